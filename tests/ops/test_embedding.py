"""embedding and one_hot beside PyTorch."""

import pathlib
import sys

import numpy as np
import pytest

import numgrad as ng

sys.path.insert(0, str(pathlib.Path(__file__).parent))
from expressions import check_error, check_gradients, check_like_torch


@pytest.mark.parametrize(
    "expression",
    """
F.embedding(L([1, 0, 1]), x)
F.embedding(L([[1, 0], [1, 1]]), x)
F.embedding(L(1), x)
F.embedding(L([], dtype=t.int64), x)
F.embedding(L([0, 1], dtype=t.int32), x)
F.embedding(L([1, 0, 1]), x, padding_idx=1)
F.embedding(L([1, 0, 1]), x, padding_idx=-2)
F.embedding(L([1, 0, 1]), x, scale_grad_by_freq=True)
F.embedding(L([2, 0, 2]), x.t())
F.embedding(L([1, 1]), x.detach().clone(), max_norm=0.5)
F.embedding(L([1, 1]), x.detach().clone(), max_norm=0.5, norm_type=1)
F.embedding(L([1]), x.detach().clone(), max_norm=0.5, norm_type=float("inf"))
F.embedding(L([2]), x.detach().clone().t(), max_norm=0.5, norm_type=3)
F.one_hot(L([0, 2]))
F.one_hot(L([[0], [1]]), 4)
F.one_hot(L(1), 3)
F.one_hot(t.empty(0, dtype=t.int64), 3)
""".split("\n")[1:-1],
)
def test_like_torch(torch, expression):
    check_like_torch(torch, expression)


@pytest.mark.parametrize(
    "expression",
    [
        "F.embedding(L([1, 0, 1]), x * x)",
        "F.embedding(L([1, 0, 1]), x * x, scale_grad_by_freq=False)",
    ],
)
def test_gradients(expression):
    check_gradients(expression)


@pytest.mark.parametrize(
    "expression",
    """
F.embedding(L([0, 5]), x)
F.embedding(L([-1]), x)
F.embedding(L([0.]), x)
F.embedding(L([0]), v)
F.embedding(L([0]), x, padding_idx=5)
F.embedding([0], x)
F.one_hot(L([0, 2]), 2)
F.one_hot(L([-1, 2]))
F.one_hot(L([0.]))
F.one_hot(t.empty(0, dtype=t.int64))
""".split("\n")[1:-1],
)
def test_errors(torch, expression):
    check_error(torch, expression)


def test_second_gradient_leaves_the_padding_out():
    weight = ng.ones(3, 2, dtype=ng.float64, requires_grad=True)
    out = ng.nn.functional.embedding(ng.tensor([1, 0, 1]), weight, padding_idx=1)
    seed = ng.ones(3, 2, dtype=ng.float64, requires_grad=True)
    (grad,) = ng.autograd.grad(out, weight, seed, create_graph=True)
    (second,) = ng.autograd.grad(grad.sum(), seed)
    assert grad.tolist() == [[1, 1], [0, 0], [0, 0]]
    assert second.tolist() == [[0, 0], [1, 1], [0, 0]]


def test_rows_over_the_norm_are_scaled_down_in_place():
    weight = ng.tensor([[3.0, 4.0], [0.3, 0.4]])
    ng.nn.functional.embedding(ng.tensor([0, 0, 1]), weight, max_norm=1.0)
    np.testing.assert_allclose(weight.numpy(), [[0.6, 0.8], [0.3, 0.4]], 1e-6)
