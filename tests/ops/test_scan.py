"""Running sums, products and extrema."""

import pathlib
import sys

import numpy as np
import pytest

import numgrad as ng
from numgrad import ops

sys.path.insert(0, str(pathlib.Path(__file__).parent))
from cases import case, check_error, check_gradients, check_parity, noise

X = noise(3, 4, 5)
INTEGERS = np.random.default_rng(0).integers(-3, 4, (3, 4))
NAMES = ("cumsum", "cumprod", "logcumsumexp", "cummax", "cummin")
ZEROS = np.array([[1.5, 0.0, 2.0, 0.0, 3.0], [1.0, 2.0, 0.0, 4.0, 5.0]])

CASES = [
    *[case(f, X, d) for f in NAMES for d in (0, -1)],
    *[case(f, np.array(2.0), 0) for f in NAMES],
    *[case(f, np.zeros((0, 3)), 0) for f in NAMES],
    *[case(f, INTEGERS, 1) for f in ("cumsum", "cumprod", "cummax")],
    *[case(f, INTEGERS > 0, 0) for f in ("cumsum", "cumprod")],
    case("cumprod", ZEROS, 1),
    case("cummax", np.round(X), 1),
    case("diff", X),
    case("diff", X, 2, 0),
    case("diff", INTEGERS > 0),
    case("diff", X, 1, -1, X[..., :2].copy()),
]


@pytest.mark.parametrize("item", CASES, ids=str)
def test_parity(torch, item):
    check_parity(torch, item)


@pytest.mark.parametrize(
    "item",
    [
        *[case(f, noise(2, 3), d) for f in NAMES for d in (0, 1)],
        case("cumprod", ZEROS, 1),
        case("diff", noise(2, 3)),
    ],
    ids=str,
)
def test_gradients_of_both_orders(item):
    check_gradients(item)


def test_errors(torch):
    check_error(torch, case("cumsum", X, 3))
    check_error(torch, case("diff", np.array(1.0)))


def test_dtype_and_out(torch):
    for t in (ng, torch):
        x = t.tensor([1, 2, 3])
        assert t.cumsum(x, 0, dtype=t.float32).dtype == t.float32
        out = t.empty(3, dtype=t.int64)
        t.cumsum(x, 0, out=out)
        assert out.tolist() == [1, 3, 6]


def test_named_results():
    result = ops.cummax(ng.tensor([1.0, 3.0, 2.0]), 0)
    assert result.values.tolist() == [1, 3, 3]
    assert result.indices.tolist() == [0, 1, 1]
