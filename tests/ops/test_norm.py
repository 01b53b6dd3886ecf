"""Vector norms, normalize, cosine similarity, distances."""

import math
import pathlib
import sys

import numpy as np
import pytest

import numgrad as ng

sys.path.insert(0, str(pathlib.Path(__file__).parent))
from cases import case, check_error, check_gradients, check_parity, noise

X, Y = noise(3, 4), noise(3, 4, seed=1)
ORDERS = (0, 1, 2, 3, 0.5, 1.5, -1, math.inf, -math.inf)

CASES = [
    *[case("vector_norm", X, p) for p in ORDERS],
    *[case("vector_norm", noise(2, 3, 4), p, (0, 2), True) for p in (1, 2, 3, math.inf)],
    case("norm", X),
    case("norm", X, 1, 0),
    case("norm", X, "fro", (0, 1)),
    case("normalize", X),
    case("normalize", X, 1.0, 0),
    case("cosine_similarity", X, Y),
    case("pairwise_distance", X, Y),
    case("dist", X, Y, 3),
    case("norm", np.zeros(0)),
]


@pytest.mark.parametrize("item", CASES, ids=str)
def test_parity(torch, item):
    check_parity(torch, item)


@pytest.mark.parametrize(
    "item",
    [
        *[case("vector_norm", noise(2, 3), p) for p in ORDERS if p],
        case("vector_norm", noise(2, 3), 3, 1),
        case("normalize", noise(2, 3)),
        case("cosine_similarity", noise(2, 3), noise(2, 3, seed=1)),
        case("pairwise_distance", noise(2, 3), noise(2, 3, seed=1)),
    ],
    ids=str,
)
def test_gradients_of_both_orders(item):
    check_gradients(item)


def test_errors(torch):
    check_error(torch, case("vector_norm", np.arange(3)))
    check_error(torch, case("vector_norm", np.zeros(0), math.inf))


@pytest.mark.parametrize("order", ORDERS)
def test_zero_has_a_finite_gradient(order):
    x = ng.zeros(3, dtype=ng.float64, requires_grad=True)
    x.norm(order).backward()
    assert not x.grad.isnan().any() or order < 0
