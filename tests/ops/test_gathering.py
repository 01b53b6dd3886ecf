"""gather, scatter, index_select, index_add, take and their kin: beside PyTorch."""

import pathlib
import sys

import numpy as np
import pytest

import numgrad as ng

sys.path.insert(0, str(pathlib.Path(__file__).parent))
from expressions import check_error, check_gradients, check_like_torch

EXPRESSIONS = """
t.index_select(x, 0, L([1, 1, 0]))
y.index_select(1, L([2, 0]))
y.index_select(-1, L([3], dtype=t.int32))
x.t().index_select(0, L([2, 2]))
x.index_select(0, L(1))
x.index_select(0, L([], dtype=t.int64))
s.index_select(0, L([0]))
t.index_add(x, 0, L([0, 0, 1]), y[:, 0, :3].repeat(2, 1)[:3], alpha=2)
t.index_add(y, 1, L([2, 2]), y[:, :2] * 2)
(v * 2).index_add_(0, L([4, 0, 4]), v[:3])
x.t().index_add(1, L([1]), v[:3, None])
L([1, 2]).index_add(0, L([0, 0]), L([5, 6]))
L([True, False]).index_add(0, L([1, 1]), L([True, True]))
t.index_copy(x, 0, L([1]), v[None, :3])
t.index_copy(y, 2, L([3, 0]), y[:, :, :2] * 2)
(v * 2).index_copy_(0, L([4, 0]), v[:2])
t.index_fill(x, 1, L([0, -1]), 7)
t.index_fill(x, 0, L([1]), s)
(y * 2).index_fill_(2, L([1, 2]), -1)
t.gather(x, 1, L([[0, 0], [2, 1]]))
t.gather(x, 0, L([[0, 1, 1]]))
y.gather(1, L([[[0, 2, 1, 1], [2, 2, 0, 0]]]))
y.gather(2, L([[[0], [3]], [[1], [1]]]))
y.gather(-1, t.zeros(2, 3, 1, dtype=t.int32))
x.t().gather(0, L([[2, 0]]))
s.gather(0, L([0, 0]))
s.gather(0, L(0))
v.gather(0, L(3))
x.gather(1, t.zeros(0, dtype=t.int64))
x.gather(1, t.zeros(2, 0, dtype=t.int64))
t.scatter(x, 1, L([[2, 0], [1, 0]]), y[:, 0, :2])
t.scatter(x, 1, L([[2, 0], [1, 0]]), y.detach()[:, 0])
t.scatter(x, 1, L([[2], [0]]), 7)
t.scatter(x, 0, L([[1, 0, 1]]), value=s.item())
t.scatter(y, 1, L([[[2, 0]], [[1, 1]]]), y[:, :1, :2] * 2)
(y * 2).scatter_(2, L([[[3], [0]]]), -1.)
(x * 2).t().scatter_(0, L([[2, 1]]), v[None, :2])
v.scatter(0, L(3), 1.)
x.scatter(0, t.zeros(0, 3, dtype=t.int64), x.detach())
x.detach().scatter(1, L([[0, 0]]), 2., reduce="add")
x.detach().scatter(1, L([[0, 1], [2, 2]]), x.detach(), reduce="multiply")
x.detach().scatter(1, L([[0, 0]]), 2., reduce="multiply")
x.detach().clone().scatter_(1, L([[0, 0]]), 2., reduce="multiply")
t.scatter_add(x, 1, L([[0, 0, 2], [1, 1, 1]]), x * 2)
t.scatter_add(v, 0, L([1, 1, 1, 0]), v[:4] * 2)
(y * 2).scatter_add_(0, L([[[1, 1], [0, 1]], [[1, 0], [0, 0]]]), y[:, :2, :2])
x.scatter_add(0, L([[0], [0]]), x[:, 1:2])
t.scatter_reduce(x, 1, L([[0, 0, 2], [1, 1, 1]]), y[:, 0, :3], "sum")
t.scatter_reduce(x, 1, L([[0, 0, 2], [1, 1, 1]]), y[:, 0, :3], "sum", include_self=False)
t.scatter_reduce(x, 1, L([[0, 0, 2], [1, 1, 1]]), y[:, 0, :3], "mean")
t.scatter_reduce(x, 1, L([[0, 0, 2], [1, 1, 1]]), y[:, 0, :3], "mean", include_self=False)
t.scatter_reduce(x, 1, L([[0, 0, 2], [1, 1, 1]]), y[:, 0, :3], "prod")
t.scatter_reduce(x, 1, L([[0, 0, 2], [1, 1, 1]]), y[:, 0, :3], "prod", include_self=False)
t.scatter_reduce(x, 0, L([[1, 0, 1], [1, 0, 0]]), x - 0.5, "amax")
t.scatter_reduce(x, 0, L([[1, 0, 1], [1, 0, 0]]), x - 0.5, "amin", include_self=False)
t.scatter_reduce(x * 0, 0, L([[1, 0, 1], [1, 0, 0]]), x * 0, "amax")
t.scatter_reduce(v - v.detach()[2], 0, L([2, 2, 0, 1]), v[:4] - v.detach()[1], "prod")
L([1, 2, 3]).scatter_reduce(0, L([0, 0, 1]), L([4, 6, 8]), "mean")
L([1, 2, 3]).scatter_reduce(0, L([0, 0, 1]), L([4, 6, 8]), "amin", include_self=False)
L([1., nan, 3.]).scatter_reduce(0, L([0, 1, 2]), L([nan, 1., 2.]), "amax")
(x * 2).scatter_reduce_(1, L([[0, 0, 2], [1, 1, 1]]), x, "amax")
t.take(x, L([0, -1, 4]))
t.take(x.t(), L([[1, 2], [3, 1]]))
t.take_along_dim(x, t.argsort(x, 1), 1)
t.take_along_dim(x, L([[1], [2]]), 1)
t.take_along_dim(y, L([[[0]], [[2]]]), 1)
t.take_along_dim(x, L([5, 0]))
(x * 2).put_(L([0, -1]), v[:2])
(x * 2).put_(L([0, 0, 3]), v[:3], accumulate=True)
(x * 2).put(L([[1], [0]]), v[:2])
""".split("\n")[1:-1]


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_like_torch(torch, expression):
    check_like_torch(torch, expression)


@pytest.mark.parametrize(
    "expression",
    [
        "t.index_select(x * x, 1, L([1, 1]))",
        "t.index_add(x * x, 0, L([0, 0]), y[:, 0, :3] * x, alpha=2)",
        "t.index_copy(x * x, 0, L([1]), v[None, :3] * v[:3])",
        "t.index_fill(x * x, 1, L([0, -1]), s * s)",
        "t.gather(x * x, 1, L([[0, 0], [2, 1]]))",
        "(y * y).gather(1, L([[[0, 2, 1, 1], [2, 2, 0, 0]]]))",
        # Where the values reach further than the index, which PyTorch cannot differentiate.
        "t.scatter(x * x, 1, L([[2, 0], [1, 0]]), y[:, 0, :3] * x)",
        "t.scatter_reduce(x * x, 0, L([[1, 0], [1, 0]]), x * x - 0.5, 'amin')",
        "t.scatter_add(x * x, 1, L([[0, 0, 2], [1, 1, 1]]), x * x)",
        "t.scatter_reduce(x * x, 1, L([[0, 0, 2]]), x * x, 'mean')",
        "t.scatter_reduce(x * x, 1, L([[0, 0, 2]]), x * x, 'prod')",
        "t.scatter_reduce(x * x, 1, L([[0, 0, 2]]), x * x * 2, 'amax')",
        "t.take(x * x, L([0, -1, 0]))",
        "(x * x).put(L([0, 0, 3]), v[:3] * v[:3], accumulate=True)",
    ],
)
def test_gradients(expression):
    check_gradients(expression)


def test_the_product_of_the_others_where_one_factor_is_zero():
    x = ng.tensor([2.0, 0.0, 0.0], dtype=ng.float64, requires_grad=True)
    start = ng.ones(2, dtype=ng.float64)
    start.scatter_reduce(0, ng.tensor([0, 0, 1]), x, "prod").sum().backward()
    assert x.grad.tolist() == [0, 2, 1]


@pytest.mark.parametrize(
    "expression",
    """
x.index_select(0, L([0, 5]))
x.index_select(0, L([-1]))
x.index_select(2, L([0]))
x.index_select(0, L([[0]]))
x.index_select(0, L([1.]))
s.index_select(0, L([0, 0]))
x.index_add(0, L([0, 5]), x)
x.index_add(0, L([-1]), x[:1])
x.index_add(0, L([0]), x)
x.index_add(0, L([0, 1]), x[:, :2])
x.index_add(0, L([0, 1]), x.float())
x.index_copy(0, L([0, 5]), x)
x.index_copy(0, L([1]), x)
x.index_copy(0, L([1]), x[:1, :2])
x.index_fill(0, L([5]), 1)
x.index_fill(0, L([1]), v)
x.index_fill(0, L([[1]]), 1)
x.gather(1, L([[0, 5]]))
t.zeros(0, 3).gather(0, L([[0, 0, 0]]))
x.gather(1, L([[-1]]))
x.gather(1, L([0]))
x.gather(0, L([[0, 1, 1, 1]]))
x.gather(1, L([[0.]]))
x.scatter(1, L([[5]]), 1.)
x.scatter(1, L([[0, 0]]), x[:1, :1])
x.scatter(1, L([[0]]), L([[1]]))
x.scatter(1, L([0]), v[:1])
x.scatter(1, L([[0]] * 3), 1.)
x.scatter(1, L([[0, 0]]), 2., reduce="foo")
x.scatter_add(1, L([[0, 0, 7]]), x)
x.scatter_reduce(1, L([[0]]), x, "foo")
x.scatter_(1, L([[0]]), 1.)
x.take(L([6]))
x.take(L([0.]))
t.take_along_dim(x, L([0]), 1)
x.clone().put_(L([0, 9]), v[:2])
x.clone().put_(L([0]), v[:2])
x.clone().put_(L([0]), L([9]))
""".split("\n")[1:-1],
)
def test_errors(torch, expression):
    check_error(torch, expression)


def test_scatter_adds_in_order_whatever_the_threads():
    generator = np.random.default_rng(0)
    index = generator.integers(0, 9, (300, 200))
    values = generator.standard_normal((300, 200)).astype(np.float32)
    sums = []
    threads = ng.get_num_threads()
    for count in (1, 2):
        ng.set_num_threads(count)
        sums.append(ng.zeros(9, 200).scatter_add(0, ng.tensor(index), ng.tensor(values)).numpy())
    ng.set_num_threads(threads)
    expected = np.zeros((9, 200), np.float32)
    np.add.at(expected, (index, np.arange(200)), values)
    assert (sums[0] == expected).all() and (sums[1] == expected).all()
