"""cat, stack, repeat, meshgrid and their kin beside PyTorch."""

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
t.cat([x, x * 2])
t.cat((x, x[:, :1], x.t()[:2, :2]), 1)
t.cat([y, y[:, :1]], dim=-2)
t.cat([x], axis=1)
t.cat([v, s[None], v[:0]])
t.cat([t.zeros(0), x], 1)
t.cat([x, t.zeros(0, dtype=t.float64, requires_grad=True)])
t.cat([t.zeros(0), t.zeros(0)], 1)
t.cat([t.zeros(0, 3), t.ones(1, 3)])
t.cat([L([1]), L([2.]), L([True])])
t.cat([L([1], dtype=t.int32), L([1], dtype=t.uint8)])
t.cat([L([True]), L([False])])
t.cat([y[:, ::2], y.transpose(0, 2).transpose(0, 2)[:, :1]], 1)
t.concat([x, x])
t.concatenate([x, x], 1)
t.stack([x, x * 2])
t.stack([x, x.t().t()], 1)
t.stack((x, x), -1)
t.stack([s, s * 2, s])
t.stack([L([1]), L([2.])])
t.stack([t.zeros(0), t.zeros(0)])
t.hstack([v, s])
t.hstack([x, x[:, :1]])
t.vstack([v[:3], x])
t.vstack([s, s])
t.dstack([x, x])
t.dstack([v, v])
t.column_stack([v[:2], x, x.t()[:2]])
t.row_stack([x, v[:3]])
t.atleast_1d(s)
t.atleast_2d([s, v])
t.atleast_3d(s, v, x, y)
t.meshgrid(v[:2], v[2:], indexing="ij")
t.meshgrid(v[:2], s, v, indexing="xy")
t.meshgrid([v, v], indexing="ij")
t.cartesian_prod(v[:2], v[2:])
t.cartesian_prod(v)
t.block_diag(x, v, s)
x.repeat(2, 1)
x.repeat(2, 1, 2)
x.repeat((1, 2))
x.t().repeat(1, 2)
s.repeat(3)
x.repeat(0, 1)
t.zeros(2, 0).repeat(2, 3)
x.tile(2)
x.tile((2, 1, 1))
t.tile(v, (2,))
""".split("\n")[1:-1],
)
def test_like_torch(torch, expression):
    check_like_torch(torch, expression)


@pytest.mark.parametrize(
    "expression",
    [
        "t.cat([x * x, v[:2, None] * v[:2, None]], 1)",
        "t.stack([x * x, x], 1)",
        "(x * x).repeat(2, 1, 2)",
        "t.block_diag(x * x, v[:2])",
    ],
)
def test_gradients(expression):
    check_gradients(expression)


@pytest.mark.parametrize(
    "expression",
    """
t.cat([])
t.cat(x)
t.cat([x, 1])
t.cat([s, s])
t.cat([x, s])
t.cat([x, x[:, :2]])
t.cat([x, v])
t.cat([x, x], 2)
t.stack([])
t.stack(x)
t.stack([x, 1])
t.stack([x, v])
t.stack([x, x], 3)
t.hstack([])
t.meshgrid(v, v.float(), indexing="ij")
t.meshgrid(v, v, indexing="ab")
x.repeat(2)
x.repeat(-1, 1)
x.repeat()
""".split("\n")[1:-1],
)
def test_errors(torch, expression):
    check_error(torch, expression)


def test_names_of_nodes(torch):
    for call in (lambda lib, x: lib.cat([x, x]), lambda lib, x: lib.stack([x]),
                 lambda lib, x: x.repeat(2)):  # fmt: skip
        ours, theirs = (call(lib, lib.ones(2, requires_grad=True)) for lib in (ng, torch))
        assert ours.grad_fn.name() == theirs.grad_fn.name()


def test_out():
    out = ng.zeros(4, 2)
    assert ng.cat([ng.ones(2, 2), ng.zeros(2, 2)], out=out) is out
    assert out.tolist() == [[1, 1], [1, 1], [0, 0], [0, 0]]
    ng.stack([ng.zeros(2), ng.ones(2)], out=out[:2])
    assert out.tolist() == [[0, 0], [1, 1], [0, 0], [0, 0]]


def test_many_and_large_parts():
    """More parts than a thread's share, and parts that a share begins in the middle of."""
    parts = [np.random.default_rng(k).standard_normal((3, k % 7, 500)) for k in range(200)]
    joined = ng.cat([ng.tensor(p) for p in parts], 1)
    np.testing.assert_array_equal(joined.numpy(), np.concatenate(parts, 1))
    stacked = ng.stack([ng.tensor(parts[1])] * 40, 1)
    np.testing.assert_array_equal(stacked.numpy(), np.stack([parts[1]] * 40, 1))
