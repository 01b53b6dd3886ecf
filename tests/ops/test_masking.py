"""masked_fill, masked_select, masked_scatter, nonzero, where: beside PyTorch."""

import pathlib
import sys

import numpy as np
import pytest

import numgrad as ng
from numgrad.kernels import sorting as kernels

sys.path.insert(0, str(pathlib.Path(__file__).parent))
from expressions import check_error, check_gradients, check_like_torch


@pytest.mark.parametrize(
    "expression",
    """
t.masked_fill(x, L([True, False, True]), 5)
x.masked_fill(x.detach() > 0.5, s)
x.masked_fill(L([[True], [False]]), float("-inf"))
v[:3].masked_fill(x.detach() > 0.5, 7)
s.masked_fill(L([True, False]), 2.5)
L([1, 2]).masked_fill(L([True, False]), 2.5)
t.zeros(0, 3).masked_fill(L([True, False, True]), 1)
(x * 2).masked_fill_(L([True, False, True]), s)
(x * 2).t().masked_fill_(L([True, False]), 3)
t.masked_select(x, L([True, False, True]))
x.masked_select(x.detach() > 0.5)
y[0, 0].masked_select(L([[True, False, True, True], [False] * 4]))
s.masked_select(L([True, True]))
t.masked_scatter(x, L([True, False, True]), y)
(x * 2).masked_scatter_(x.detach() > 0.5, v)
x.t().masked_scatter(L([True, False]), v)
v[:3].masked_scatter(L([[True, False, True], [False, True, True]]), y)
t.nonzero(L([[0, 1], [2, 0]]))
t.nonzero(x)
L([[0., nan], [-0., 1.]]).nonzero()
t.nonzero(L([[0, 1], [2, 0]]), as_tuple=True)
L([0, 3, 5]).nonzero(as_tuple=True)
t.nonzero(L(3.))
t.nonzero(L(0.))
t.nonzero(L(3.), as_tuple=True)
t.nonzero(t.zeros(0, 2))
t.nonzero(t.zeros(0, 2), as_tuple=True)
t.argwhere(L([[0, 1], [2, 0]]).t())
t.where(L([[0, 1], [2, 0]]) > 0)
t.where(x.detach() > 0.5, x, v[:3])
t.where(x.detach() > 0.5, s, 0)
""".split("\n")[1:-1],
)
def test_like_torch(torch, expression):
    check_like_torch(torch, expression)


@pytest.mark.parametrize(
    "expression",
    [
        "(x * x).masked_fill(L([True, False, True]), s * s)",
        "(v[:3] * v[:3]).masked_fill(L([[True, False, True], [False, True, True]]), 7)",
        "(x * x).masked_select(L([True, False, True]))",
        "(x * x).masked_scatter(L([True, False, True]), v * v)",
        "t.where(L([True, False, True]), x * x, v[:3] * v[:3])",
    ],
)
def test_gradients(expression):
    check_gradients(expression)


@pytest.mark.parametrize(
    "expression",
    """
x.masked_fill(L([1, 0, 1]), 5)
x.masked_fill(L([True, False]), 5)
x.masked_fill(L([True, False, True]), v)
v[:3].clone().masked_fill_(x > 0, 1)
x.masked_fill_(L([True, False, True]), 5)
x.masked_select(L([1, 0, 1]))
x.masked_select(L([True, False]))
x.masked_scatter(L([True, False, True]), v[:1])
x.masked_scatter(L([True, False, True]), L([1, 2, 3, 4]))
""".split("\n")[1:-1],
)
def test_errors(torch, expression):
    check_error(torch, expression)


def test_masks_of_many_blocks():
    mask = np.random.default_rng(0).random((3, kernels.BLOCK)) < 0.3
    x = ng.arange(mask.size).view(*mask.shape)
    assert (ng.nonzero(ng.tensor(mask)).numpy() == np.argwhere(mask)).all()
    assert (x[ng.tensor(mask)].numpy() == np.flatnonzero(mask)).all()
    assert (x.T[ng.tensor(mask.T)].numpy() == x.numpy().T[mask.T]).all()
