"""One line of text, evaluated by numgrad and by PyTorch: the same values, dtypes and gradients.

In an expression `t` is the library, `F` its `nn.functional`, `L` its `tensor`; the leaves are
float64 tensors of distinct numbers that require gradients: `x` (2, 3), `y` (2, 3, 4), `v` (5,) and
`s` (0-d); `put(target, S[index], value)` assigns.
"""

import math
import warnings

import numpy as np
import pytest

import numgrad as ng
from numgrad.autograd import gradcheck, gradgradcheck

LEAVES = {"x": (2, 3), "y": (2, 3, 4), "v": (5,), "s": ()}


def leaves(lib):
    generator = np.random.default_rng(0)
    found = {}
    for name, shape in LEAVES.items():
        count = math.prod(shape)
        values = generator.permutation(count).reshape(shape) / 4 + 0.25
        found[name] = lib.tensor(np.asarray(values), dtype=lib.float64, requires_grad=True)
    return found


def evaluate(lib, expression, names):
    scope = {"t": lib, "F": lib.nn.functional, "L": lib.tensor, "S": np.s_, "np": np}
    return eval(expression, {**scope, "nan": math.nan, "put": put, **names})


def put(target, index, value, then=None):
    """`target[index] = value`; the target, or what `then(target)` makes of it."""
    target[index] = value
    return target if then is None else then(target)


def tensors(result):
    """The tensors in a result, in order."""
    if hasattr(result, "requires_grad"):
        return [result]
    if isinstance(result, (tuple, list)):
        return [tensor for part in result for tensor in tensors(part)]
    return []


def plain(tensor):
    return tensor.detach().numpy()


def same(ours, theirs, label, rtol=1e-6):
    assert tuple(ours.shape) == tuple(theirs.shape), label
    assert str(ours.dtype) == str(theirs.dtype), label
    np.testing.assert_allclose(plain(ours), plain(theirs), rtol, 1e-12, err_msg=label)


def check_like_torch(torch, expression):
    """Compare results, which of them require gradients, and the gradients of all of them."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        _compare(torch, expression)


def _compare(torch, expression):
    names = [leaves(ng), leaves(torch)]
    ours, theirs = (
        tensors(evaluate(lib, expression, own)) for lib, own in zip((ng, torch), names, strict=True)
    )
    assert len(ours) == len(theirs)
    for a, b in zip(ours, theirs, strict=True):
        same(a, b, expression)
        assert a.requires_grad == b.requires_grad, expression
    losses = []
    for lib, results in ((ng, ours), (torch, theirs)):
        parts = [r for r in results if r.requires_grad]
        weights = [np.random.default_rng(1).standard_normal(tuple(r.shape)) for r in parts]
        losses.append(
            sum(
                [(r * lib.tensor(np.asarray(w))).sum() for r, w in zip(parts, weights, strict=True)]
            )
        )
    if not isinstance(losses[0], int):
        found = [
            lib.autograd.grad(loss, list(own.values()), allow_unused=True)
            for lib, loss, own in zip((ng, torch), losses, names, strict=True)
        ]
        for name, a, b in zip(LEAVES, *found, strict=True):
            if b is None or a is None:  # a gradient of zeros may be left out
                assert all(g is None or not plain(g).any() for g in (a, b)), expression
            else:
                same(a, b, f"gradient of {name} in {expression}")


def check_gradients(expression, second=True):
    """Compare the gradients with numeric ones, and the second gradients."""
    known = leaves(ng)
    used = [name for name in LEAVES if name in names_in(expression)]

    def function(*values):
        results = tensors(evaluate(ng, expression, dict(zip(used, values, strict=True))))
        return tuple([r for r in results if r.is_floating_point()])

    inputs = tuple([known[name] for name in used])
    assert gradcheck(function, inputs)
    if second:
        assert gradgradcheck(function, inputs)


def names_in(expression):
    return compile(expression, "<expression>", "eval").co_names


def check_error(torch, expression, kind=None):
    """Both raise the same exception with the same first line (or only the same exception)."""
    with pytest.raises(Exception) as theirs:  # noqa: PT011
        evaluate(torch, expression, leaves(torch))
    with pytest.raises(type(theirs.value)) as ours:
        evaluate(ng, expression, leaves(ng))
    if kind is None:
        expected = str(theirs.value).split("\n")[0].split("  (Could this")[0]
        assert str(ours.value).split("\n")[0] == expected, expression
