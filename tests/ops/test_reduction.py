"""Sums, products, extrema, truth: every form of `dim`, empty and 0-d inputs, gradients, errors."""

import pathlib
import sys

import numpy as np
import pytest

import numgrad as ng
from numgrad import ops

sys.path.insert(0, str(pathlib.Path(__file__).parent))
from cases import case, check_error, check_gradients, check_parity, noise

X = noise(3, 4, 5)
WITH_NAN = np.where(noise(3, 4, seed=1) > 1, np.nan, noise(3, 4))
INTEGERS = np.random.default_rng(0).integers(-3, 4, (3, 4, 5))
FLAGS = INTEGERS > 0
DIMS = (0, 1, -1, (0, 1), (0, 2), (0, 1, 2))

FLOATING = [
    *[case(f, X) for f in ("sum", "mean", "nansum", "prod", "amax", "amin")],
    *[case(f, X, d) for f in ("sum", "mean") for d in DIMS],
    *[case(f, X, (0, 2), True) for f in ("sum", "mean", "nansum", "amax", "amin")],
    *[case(f, X, 1) for f in ("nansum", "prod", "amax", "amin")],
    *[case(f, np.array(2.5)) for f in ("sum", "mean", "prod", "amax")],
    case("prod", X, 2, True),
    case("sum", np.ascontiguousarray(X[:, :, 0]).T),
    case("amax", np.round(X), 1),
]
OTHERS = [
    *[case(f, INTEGERS) for f in ("sum", "prod", "amax", "amin", "all", "any", "count_nonzero")],
    *[case(f, FLAGS, 1) for f in ("sum", "prod", "amax", "all", "any", "count_nonzero")],
    *[case(f, INTEGERS.astype(np.uint8), (0, 2)) for f in ("sum", "all", "any")],
    *[case(f, X, (0, 2)) for f in ("all", "any", "count_nonzero")],
    *[case(f, WITH_NAN, 0) for f in ("nansum", "nanmean")],
    *[case(f, np.zeros((0, 3))) for f in ("sum", "mean", "prod", "all", "any", "count_nonzero")],
    *[case(f, np.zeros((0, 3)), d) for f in ("sum", "mean", "prod", "any") for d in (0, 1)],
    case("amax", np.zeros((0, 3)), 1),
    case("sum", np.zeros((0, 3), np.int64), 0),
]


@pytest.mark.parametrize("item", [*FLOATING, *OTHERS], ids=str)
def test_parity(torch, item):
    check_parity(torch, item)


@pytest.mark.parametrize(
    "item",
    [
        *[case(f, noise(2, 3)) for f in ("sum", "mean", "nansum", "prod", "amax", "amin")],
        *[case(f, noise(2, 3, 2), (0, 2)) for f in ("sum", "mean", "amax")],
        *[case(f, noise(2, 3), 1, True) for f in ("sum", "mean", "prod", "amin")],
        case("nanmean", noise(2, 3), 0),
        case("prod", np.array([[1.5, 0.0, 2.0], [0.0, 0.0, 3.0]]), 1),
        case("prod", np.array([2.0, 0.0, 3.0])),
    ],
    ids=str,
)
def test_gradients_of_both_orders(item):
    check_gradients(item)


@pytest.mark.parametrize(
    "item",
    [
        case("sum", X, 3),
        case("sum", X, (0, 0)),
        case("sum", X, (1, -2)),
        case("mean", INTEGERS),
        case("amax", np.zeros((0, 3))),
        case("amax", np.zeros((0, 3)), 0),
        case("nanmean", INTEGERS),
        case("sum", np.array(1.0), 1),
    ],
    ids=str,
)
def test_errors(torch, item):
    check_error(torch, item)


def test_not_a_tensor():
    with pytest.raises(TypeError, match=r"sum\(\): argument 'input' \(position 1\) must be Tensor"):
        ops.sum([1])


def test_dtype_and_out(torch):
    x = np.array([[1.6, 2.7], [3.8, 4.9]], np.float32)
    for t in (ng, torch):
        tensor = t.from_numpy(x)
        assert t.sum(tensor, dtype=t.int64).item() == 10
        assert t.mean(tensor, dtype=t.float64).dtype == t.float64
        assert t.prod(tensor, dtype=t.int64).item() == 24
        out = t.empty(2)
        assert t.sum(tensor, 0, out=out) is out
        np.testing.assert_allclose(out.numpy(), x.sum(0), rtol=1e-6)


def test_float32_results_and_methods():
    x = ng.from_numpy(X.astype(np.float32))
    np.testing.assert_allclose(x.sum(0).numpy(), X.sum(0), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(x.mean().item(), X.mean(), rtol=1e-5)
    assert x.sum(dtype=ng.float64).dtype == ng.float64
    assert (x > 0).sum().dtype == ng.int64


def test_long_reductions_in_chunks():
    x = noise(700, 600)
    tensor = ng.from_numpy(x)
    np.testing.assert_allclose(tensor.sum().item(), x.sum(), rtol=1e-12)
    np.testing.assert_allclose(tensor.sum(0).numpy(), x.sum(0), rtol=1e-11)
    np.testing.assert_allclose(tensor.mean(1).numpy(), x.mean(1), rtol=1e-11)
    np.testing.assert_allclose(tensor.amax(0).numpy(), x.max(0))
    assert (tensor > 0).sum().item() == (x > 0).sum()
    assert tensor.count_nonzero().item() == x.size
    cube = ng.from_numpy(noise(60, 40, 60))
    np.testing.assert_allclose(cube.sum((0, 2)).numpy(), noise(60, 40, 60).sum((0, 2)), rtol=1e-11)


def test_equal_extrema_share_the_gradient(torch):
    for t in (ng, torch):
        x = t.tensor([[2.0, 1.0, 2.0]], requires_grad=True)
        x.amax(1).sum().backward()
        assert x.grad.tolist() == [[0.5, 0, 0.5]]
