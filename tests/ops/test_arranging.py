"""Triangles, diagonals, flips, rolls, repeats and padding beside PyTorch."""

import pathlib
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import numgrad as ng

sys.path.insert(0, str(pathlib.Path(__file__).parent))
from expressions import check_error, check_gradients, check_like_torch


@pytest.mark.parametrize(
    "expression",
    """
t.tril(x)
t.tril(y, -1)
t.tril(x.t(), 1)
x.tril(5)
x.tril(-5)
t.triu(x)
t.triu(y, 1)
y.triu(-1)
t.tril(t.zeros(0, 3))
(x * 2).tril_()
(x * 2).t().triu_(1)
t.tril(L([[1, 2], [3, 4]], dtype=t.uint8))
t.triu(L([[nan, 1.], [nan, 2.]]))
t.tril_indices(3, 4, -1)
t.triu_indices(3, 4, 1)
t.tril_indices(0, 3)
t.triu_indices(2, 2, dtype=t.int32)
t.diag(v)
t.diag(v, -2)
t.diag(x, 1)
t.diag(x, 7)
t.diag_embed(x)
t.diag_embed(x, 1, 0, 2)
t.diag_embed(x, -1)
t.diagflat(x, 1)
t.diagonal(y, 1, 0, 2)
t.flip(y, (0, 2))
y.flip(1)
y.flip(0, -1)
y.flip([])
s.flip([0])
y[:, ::2].flip([1])
t.fliplr(x)
t.flipud(v)
t.rot90(x)
t.rot90(x, 2)
t.rot90(y, 3, (1, 2))
t.rot90(x, 4)
t.rot90(x, -1, (1, 0))
t.roll(v, 2)
t.roll(x, 4)
t.roll(x, 1, 0)
t.roll(y, (1, -2), (0, 2))
t.roll(y, (1, 1), (2, 2))
x.t().roll(-4, 1)
s.roll(1)
t.roll(t.zeros(0, 3), 1, 0)
t.repeat_interleave(x, 2)
x.repeat_interleave(2, 1)
x.repeat_interleave(L([1, 2]), 0)
x.repeat_interleave(L([0, 2, 1]), dim=-1)
x.repeat_interleave(L(2), 0)
x.repeat_interleave(L([3]), 1, output_size=9)
t.repeat_interleave(L([1, 0, 2]))
s.repeat_interleave(2)
F.pad(x, (1, 2))
F.pad(x, (1, 2), value=3)
F.pad(y, (1, 0, 0, 2, 1, 1), "constant", -1.)
F.pad(x, (-1, 1))
F.pad(x, (-1, -1, 1, 0))
F.pad(x, (-2, -1))
F.pad(x, ())
F.pad(x.t(), (0, 1))
F.pad(L([1, 2]), (1, 1), value=2.5)
F.pad(t.zeros(0, 2), (1, 1, 1, 0), value=1)
F.pad(x, (2, 1), "reflect")
F.pad(y, (3, 0, 1, 2), "reflect")
F.pad(y, (-1, 2), "reflect")
F.pad(x, (2, 1), "replicate")
F.pad(y, (3, 0, 5, 2), "replicate")
F.pad(y[None], (1, 0, -1, 2, 0, 1), "replicate")
F.pad(x, (3, 1), "circular")
F.pad(y, (-1, 1, 1, 1), "circular")
""".split("\n")[1:-1],
)
def test_like_torch(torch, expression):
    check_like_torch(torch, expression)


@pytest.mark.parametrize(
    "expression",
    [
        "t.tril(x * x)",
        "t.triu(y * y, 1)",
        "t.diag(v * v, 1)",
        "t.diag(x * x)",
        "t.diag_embed(x * x, 1, 0, 2)",
        "t.flip(x * x, (0,))",
        "t.rot90(x * x)",
        "t.roll(x * x, (1, -2), (0, 1))",
        "t.repeat_interleave(x * x, L([1, 2]), 0)",
        "F.pad(x * x, (-1, 2, 1, 0), value=2)",
        "F.pad(x * x, (2, 1), 'reflect')",
        "F.pad(x * x, (2, 1), 'replicate')",
        "F.pad(x * x, (2, 1), 'circular')",
    ],
)
def test_gradients(expression):
    check_gradients(expression)


@pytest.mark.parametrize(
    "expression",
    """
t.tril(v)
t.tril_indices(-1, 3)
t.tril_indices(2, 3, dtype=t.float32)
t.diag(s)
t.diag(y)
t.diag_embed(x, dim1=0, dim2=0)
t.diag_embed(s)
t.flip(x, (0, 0))
t.flip(x, (2,))
t.fliplr(v)
t.flipud(s)
t.rot90(x, 1, (0, 0))
t.rot90(v)
t.roll(x, (1, 1))
t.roll(x, 1, (0, 1))
t.roll(x, 1, 5)
t.roll(s, 1, 0)
x.repeat_interleave(L([1, 2, 3]), 0)
x.repeat_interleave(-1)
x.repeat_interleave(L([-1, 2]), 0)
x.repeat_interleave(L([1., 2.]), 0)
x.repeat_interleave(L([1, 2]), 0, output_size=4)
F.pad(x, (1,))
F.pad(x, (1, 1, 1, 1, 1, 1))
F.pad(x, (-2, -2))
F.pad(x, (3, 1), "reflect")
F.pad(v, (1, 1), "reflect")
F.pad(x, (4, 1), "circular")
F.pad(x, (1, 1), "foo")
F.pad(x, (1, 1), "reflect", 1.)
""".split("\n")[1:-1],
)
def test_errors(torch, expression):
    check_error(torch, expression)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.integers(0, 4), min_size=2, max_size=3),
    st.integers(-5, 5),
    st.lists(st.integers(-6, 6), min_size=3, max_size=3),
)
def test_any_shape(torch, shape, diagonal, shifts):
    ours, theirs = (lib.arange(ng.Size(shape).numel()).view(*shape) for lib in (ng, torch))
    dims = tuple(range(len(shape)))
    for call in (
        lambda lib, x: lib.tril(x, diagonal),
        lambda lib, x: lib.triu(x.mT, diagonal),
        lambda lib, x: lib.roll(x, tuple(shifts[: len(shape)]), dims),
        lambda lib, x: lib.flip(x, dims[::2]),
        lambda lib, x: x.repeat(*[abs(n) % 3 for n in shifts]),
        lambda lib, x: lib.cat([x, x.flip(0)], diagonal % len(shape)),
    ):
        assert call(ng, ours).tolist() == call(torch, theirs).tolist()
