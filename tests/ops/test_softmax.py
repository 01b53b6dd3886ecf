"""softmax, log_softmax, softmin and logsumexp."""

import pathlib
import sys

import numpy as np
import pytest

import numgrad as ng
from numgrad import ops

sys.path.insert(0, str(pathlib.Path(__file__).parent))
from cases import case, check_error, check_gradients, check_parity, noise

X = noise(3, 4, 5)
NAMES = ("softmax", "log_softmax", "softmin")
SPECIAL = np.array(
    [[0.0, np.nan, 1.0], [0.0, np.inf, 1.0], [-np.inf] * 3, [-np.inf, 0.0, 1.0], [1e5, 0.0, -1e5]]
)

CASES = [
    *[case(f, X, d) for f in NAMES for d in (0, -1)],
    *[case(f, np.array(2.0), 0) for f in NAMES],
    *[case(f, np.zeros((0, 3)), 1) for f in NAMES],
    *[case(f, SPECIAL, d) for f in ("softmax", "log_softmax", "logsumexp") for d in (1,)],
    *[case("logsumexp", X, d) for d in (1, (0, 2), (0, 1, 2))],
    case("logsumexp", X, 2, True),
    case("softmax", noise(4, 3).T, 0),
]


@pytest.mark.parametrize("item", CASES, ids=str)
def test_parity(torch, item):
    check_parity(torch, item)


@pytest.mark.parametrize(
    "item",
    [
        *[case(f, noise(2, 3), d) for f in NAMES for d in (0, 1)],
        *[case("logsumexp", noise(2, 3), d) for d in (1, (0, 1))],
    ],
    ids=str,
)
def test_gradients_of_both_orders(item):
    check_gradients(item)


def test_errors(torch):
    integers = np.arange(6).reshape(2, 3)
    for name in ("softmax", "log_softmax"):
        for dim in (0, 1):
            check_error(torch, case(name, integers, dim))
        check_error(torch, case(name, X, 3))
    with pytest.raises(TypeError, match="must be Tensor"):
        ops.softmax(3, 0)


def test_dtype_and_implicit_dimension(torch):
    x = np.arange(6).reshape(2, 3)
    for t in (ng, torch):
        tensor = t.from_numpy(x)
        found = t.softmax(tensor, 1, dtype=t.float32)
        assert found.dtype == t.float32
        np.testing.assert_allclose(found.sum(1).numpy(), 1, rtol=1e-6)
        out = t.empty(2, 3)
        t.softmax(found, 1, out=out)
        np.testing.assert_allclose(out.sum(1).numpy(), 1, rtol=1e-6)
    with pytest.warns(UserWarning, match="Implicit dimension choice for softmax"):
        ops.softmax(ng.ones(2, 3))


def test_large_in_float32():
    x = noise(300, 200).astype(np.float32)
    exact = np.exp(x.astype(np.float64))
    for dim in (0, 1):
        expected = exact / exact.sum(dim, keepdims=True)
        tensor = ng.from_numpy(x).requires_grad_()
        result = ng.softmax(tensor, dim)
        np.testing.assert_allclose(result.detach().numpy(), expected, rtol=2e-6)
        result.square().sum().backward()
        slope = 2 * expected * (expected - (expected**2).sum(dim, keepdims=True))
        np.testing.assert_allclose(tensor.grad.numpy(), slope, rtol=1e-4, atol=1e-9)
