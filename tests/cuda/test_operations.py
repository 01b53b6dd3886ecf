"""Operations on tensors of a simulated CUDA device: the values and gradients of the CPU."""

import pathlib
import sys
import warnings

import numpy as np
import pytest

import numgrad as ng

pytest.importorskip("greenlet", reason="the CUDA simulator needs greenlet")
TESTS = pathlib.Path(__file__).parent.parent
sys.path.insert(0, str(TESTS / "ops"))
from expressions import evaluate, leaves, tensors  # noqa: E402
from test_parity import INPLACE, NAMED, PLAIN  # noqa: E402

#: What operations say that are computed by NumPy so far, or whose kernel has no twin.
PENDING = (
    "no CUDA form yet",
    "can't convert cuda:0 device type tensor to numpy",
    "no implementation found for 'numpy.",
    "operand 'DeviceArray' does not support ufuncs",
)


@pytest.fixture(autouse=True)
def device(simulator):
    yield


def skip_what_is_pending(error):
    if not any(words in str(error) for words in PENDING):
        raise error
    pytest.skip(str(error))


def on_cuda(expression):
    own = {name: t.detach().cuda().requires_grad_() for name, t in leaves(ng).items()}
    own["L"] = lambda data, **kwargs: ng.tensor(data, device="cuda", **kwargs)
    return own


def outcome(expression, names):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        ng.manual_seed(0)
        results = tensors(evaluate(ng, expression, names))
        inputs = [t for t in names.values() if isinstance(t, ng.Tensor)]
        parts = [r for r in results if r.requires_grad]
        grads = []
        if parts:
            loss = sum((r * r).sum() for r in parts)
            grads = ng.autograd.grad(loss, inputs, allow_unused=True)
    return results, grads


@pytest.mark.parametrize("expression", NAMED + PLAIN)
def test_like_the_cpu(expression):
    expected = outcome(expression, leaves(ng))
    try:
        found = outcome(expression, on_cuda(expression))
    except (NotImplementedError, TypeError) as error:
        skip_what_is_pending(error)
    for own, other in zip([*found[0], *found[1]], [*expected[0], *expected[1]], strict=True):
        assert (own is None) == (other is None)
        if own is None:
            continue
        assert own.shape == other.shape and own.dtype == other.dtype
        assert own.is_cuda or "device" not in expression and expression.startswith("t.")
        np.testing.assert_allclose(
            own.detach().cpu().numpy(), other.detach().numpy(), rtol=1e-6, atol=1e-12
        )


#: A GPU draws other numbers than the CPU.
DRAWN = tuple(f"{name}_(" for name in ("bernoulli", "exponential", "normal", "uniform"))


@pytest.mark.parametrize("form", INPLACE)
def test_in_place(form):
    found = []
    for where in ("cpu", "cuda"):
        scope = {
            "L": lambda data, where=where: ng.tensor(data, device=where),
            "z": ng.tensor([0.25, 0.5, 0.75], device=where),
        }
        target = ng.tensor([0.1, 0.5, 0.9], device=where)
        ng.manual_seed(0)
        try:
            eval(f"target.{form}", {**scope, "target": target})
        except (NotImplementedError, TypeError) as error:
            skip_what_is_pending(error)
        found.append(target.cpu().numpy())
    if not form.startswith(DRAWN):
        np.testing.assert_allclose(*found, rtol=1e-6)
