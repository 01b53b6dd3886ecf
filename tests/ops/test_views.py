"""Views: shapes, strides, shared memory, gradients, in-place writes through them."""

import pathlib
import sys

import pytest

import numgrad as ng

sys.path.insert(0, str(pathlib.Path(__file__).parent))
from expressions import check_error, check_gradients, check_like_torch, evaluate, leaves, tensors

VIEWS = """
y.view(6, 4)
y.view(-1)
y.view(2, -1, 2)
y.view((24,))
y.view_as(t.zeros(4, 6))
s.view(1, 1)
y.reshape(4, 6)
y.flatten()
y.flatten(1)
y.flatten(0, 1)
s.flatten()
x.ravel()
y.unflatten(2, (2, 2))
y.unflatten(-1, (-1, 2))
y.permute(2, 0, 1)
y.permute((-1, 0, 1))
y.transpose(0, 2)
y.transpose(-1, -2)
y.swapaxes(0, 1)
x.t()
v.t()
x.T
y.mT
y.movedim(0, 2)
y.movedim((0, 1), (2, 0))
t.moveaxis(y, 1, 0)
y[None].squeeze()
y[None].squeeze(0)
y.squeeze(0)
y[None, :, None].squeeze((0, 2))
v.unsqueeze(0)
v.unsqueeze(-1)
s.unsqueeze(0)
v.expand(2, 5)
v[:, None].expand(-1, 3)
s.expand(2)
v.broadcast_to((2, 5))
v.expand_as(t.zeros(2, 5))
t.broadcast_tensors(v[:, None], x[0])
y.narrow(1, 1, 2)
y.narrow(-1, -2, 1)
y.select(1, -1)
x.diagonal()
y.diagonal(1, 0, 2)
y.diagonal(-1, 1, 2)
y.diagonal(5)
t.unbind(y, 1)
t.split(v, 2)
v.split([1, 0, 4])
y.split(2, 1)
t.chunk(v, 2)
v.chunk(7)
t.tensor_split(v, 3)
t.tensor_split(v, (1, 3))
y.detach()
""".split("\n")[1:-1]

COPIES = """
x.t().reshape(6)
x.t().flatten()
y.transpose(0, 1).reshape(-1, 2)
x.clone()
x.t().contiguous()
t.zeros(0, 3).reshape(3, 0)
t.zeros(0, 3).view(-1, 3)
""".split("\n")[1:-1]


@pytest.mark.parametrize("expression", VIEWS + COPIES)
def test_like_torch(torch, expression):
    check_like_torch(torch, expression)


@pytest.mark.parametrize("expression", VIEWS)
def test_strides_and_memory(torch, expression):
    found = []
    for lib in (ng, torch):
        names = {k: v.detach() for k, v in leaves(lib).items()}
        parts = tensors(evaluate(lib, expression, names))
        bases = [v.data_ptr() for v in names.values()]
        own = []
        for part in parts:
            inside = part.numel() == 0 or any(
                0 <= part.data_ptr() - base < 8 * v.numel()
                for base, v in zip(bases, names.values(), strict=True)
            )
            strides = tuple(s for s, n in zip(part.stride(), part.shape, strict=True) if n > 1)
            own.append((strides, part.is_contiguous(), inside))
        found.append(own)
    assert found[0] == found[1]


@pytest.mark.parametrize(
    "expression",
    [
        "(y * y).view(6, 4)",
        "(x * x).t().reshape(6)",
        "(y * y).permute(2, 0, 1)",
        "(y * y).transpose(0, 2)",
        "(y * y).movedim(0, 2)",
        "(v * v)[:, None].expand(-1, 3)",
        "(y * y).narrow(1, 1, 2)",
        "(y * y).select(1, -1)",
        "(y * y).diagonal(1, 0, 2)",
        "t.unbind(x * x, 1)",
        "t.split(v * v, 2)",
        "(x * x)[None].squeeze(0).unsqueeze(1)",
    ],
)
def test_gradients(expression):
    check_gradients(expression)


@pytest.mark.parametrize(
    "expression",
    """
x.view(4)
x.view(-1, -1)
x.t().view(6)
t.zeros(0, 2).view(-1, 0)
x.flatten(1, 0)
x.permute(0, 0)
x.transpose(0, 2)
y.t()
v.mT
x.movedim(0, 5)
x.movedim((0, 0), (0, 1))
x.squeeze(3)
x.unsqueeze(4)
x.expand(2, 4)
x.narrow(1, 1, 3)
x.narrow(1, 4, 1)
s.narrow(0, 0, 1)
s.select(0, 0)
x.select(0, 2)
x.diagonal(0, 1, 1)
s.split(1)
v.split(0)
v.split([1, 2])
v.split(-1)
v.chunk(0)
""".split("\n")[1:-1],
)
def test_errors(torch, expression):
    check_error(torch, expression)


WRITES = """
z.view(6).add_(1)
z.t().mul_(v[:3, None])
z[0].copy_(v[:3])
z[:, 1].fill_(7)
z[0][1:].mul_(2)
z.T[1].add_(s)
z.diagonal().zero_()
z.unsqueeze(0)[0, 1].sub_(v[:3])
z.narrow(1, 0, 2).pow_(2)
z.select(1, 2).neg_()
z.permute(1, 0)[2].mul_(v[:2])
""".split("\n")[1:-1]


@pytest.mark.parametrize("write", WRITES)
def test_writing_through_views(torch, write):
    """A base's history after writes to a view of it; other views of it see them."""
    expression = f"[(z, z[1], {write}, z.sum(1), z * z)[k] for z in [x * 2] for k in (1, 3, 4)]"
    check_like_torch(torch, expression)


def test_views_of_leaves_refuse_writes(torch):
    for lib in (ng, torch):
        x = lib.ones(2, 2, requires_grad=True)
        with pytest.raises(RuntimeError, match="a view of a leaf Variable"):
            x[0].zero_()
        with lib.no_grad():
            x[0].zero_()
        assert x.tolist() == [[0, 0], [1, 1]]


def test_a_saved_value_that_a_view_overwrites_is_noticed():
    x = ng.ones(2, requires_grad=True)
    y = x * 1
    z = y * y
    y[0] = 5
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        z.sum().backward()


def test_names_of_nodes(torch):
    for expression in (
        "x.view(6)",
        "x.t()",
        "y.permute(2, 0, 1)",
        "y.transpose(0, 1)",
        "v.unsqueeze(0)",
        "v[None].squeeze(0)",
        "v[None].squeeze()",
        "v.expand(2, 5)",
        "x.diagonal()",
        "x.select(0, 1)",
        "x.narrow(0, 0, 1)",
        "x.clone()",
        "y.mT",
        "x.t().reshape(6)",
    ):
        ours, theirs = (evaluate(lib, expression, leaves(lib)).grad_fn for lib in (ng, torch))
        assert ours.name() == theirs.name(), expression
