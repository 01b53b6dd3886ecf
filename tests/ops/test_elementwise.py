"""The table's rows: values beside PyTorch, gradients of both orders by numbers, layouts."""

import pathlib
import sys

import numpy as np
import pytest

import numgrad as ng
from numgrad import ops
from numgrad.autograd import gradcheck, gradgradcheck
from numgrad.kernels import elementwise as kernels
from numgrad.kernels._elementwise import Elementwise

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent))
from table import ELSEWHERE, ROWS  # noqa: E402

rows = pytest.mark.parametrize("row", ROWS, ids=lambda r: r.id)


def draw(row, shape, dtype=np.float32, seed=0):
    generator = np.random.default_rng(seed)
    if np.dtype(dtype).kind in "iu":
        return [generator.integers(1, 6, shape).astype(dtype) for _ in row.domains]
    return [generator.uniform(a, b, shape).astype(dtype) for a, b in row.domains]


def call(row, arrays):
    return getattr(ops, row.name)(*map(ng.from_numpy, arrays), *row.extra, **row.kwargs)


def peer(torch, row, arrays):
    function = getattr(torch.nn.functional if row.functional else torch, row.name)
    return function(*map(torch.from_numpy, arrays), *row.extra, **row.kwargs).numpy()


def check(torch, row, arrays, rtol=2e-6):
    result = call(row, arrays)
    expected = peer(torch, row, arrays)
    assert result.numpy().dtype == expected.dtype
    assert result.numpy().shape == expected.shape
    np.testing.assert_allclose(result.numpy(), expected, rtol=rtol, atol=1e-6)


def test_every_kernel_has_a_row():
    covered = {name for row in ROWS for name in row.kernels} | ELSEWHERE
    existing = {n for n, k in vars(kernels).items() if isinstance(k, Elementwise) and n[0] != "_"}
    assert existing - covered == set()


@rows
def test_values_and_layouts(torch, row):
    for shape in [(5, 7), (), (0, 3)]:
        check(torch, row, draw(row, shape))
    strided = [a[::2, ::-1][:, ::-1].T for a in draw(row, (6, 5))]
    check(torch, row, strided)
    arrays = draw(row, (4, 6))
    if len(arrays) > 1:
        check(torch, row, [arrays[0], arrays[1][0], *arrays[2:]])
        check(torch, row, [arrays[0][:, :1], *arrays[1:]])
        check(torch, row, [arrays[0], np.asarray(arrays[1][0, 0]), *arrays[2:]])


@rows
def test_larger_than_a_block_and_parallel(torch, row):
    check(torch, row, draw(row, (70001,)), rtol=5e-6)
    if len(row.domains) > 1:
        arrays = draw(row, (300, 257))
        check(torch, row, [arrays[0], arrays[1][:1], *arrays[2:]], rtol=5e-6)


@pytest.mark.parametrize("row", [r for r in ROWS if r.specials], ids=lambda r: r.id)
def test_special_values(torch, row):
    values = np.array([np.nan, np.inf, -np.inf, 0.0, -0.0, 1.0, -2.5, 1e-40, 3e38], np.float32)
    grids = np.meshgrid(*[values] * len(row.domains))
    arrays = [np.ascontiguousarray(g) for g in grids]
    result, expected = call(row, arrays).numpy(), peer(torch, row, arrays)
    np.testing.assert_allclose(result, expected, rtol=5e-6, atol=1e-30)


@pytest.mark.parametrize("row", [r for r in ROWS if r.integers], ids=lambda r: r.id)
@pytest.mark.parametrize("dtype", [np.int64, np.uint8])
def test_integers(torch, row, dtype):
    if dtype is np.uint8 and row.name in ("neg", "sub"):
        return  # wraps around; nothing to learn
    check(torch, row, draw(row, (3, 4), dtype))


@pytest.mark.parametrize("row", [r for r in ROWS if r.differentiable], ids=lambda r: r.id)
def test_gradients_of_both_orders(row):
    arrays = draw(row, (2, 3), np.float64, seed=3)
    if len(arrays) > 1:
        arrays[1] = arrays[1][0]
    inputs = [ng.from_numpy(a.copy()).requires_grad_() for a in arrays]

    def function(*tensors):
        return getattr(ops, row.name)(*tensors, *row.extra, **row.kwargs)

    assert gradcheck(function, inputs)
    assert gradgradcheck(function, inputs)


@pytest.mark.parametrize("name", ["sign", "floor", "ceil", "round", "trunc"])
def test_a_gradient_of_zero_is_a_tensor_where_more_gradients_follow(name):
    x = ng.tensor([0.3, -1.7], requires_grad=True)
    y = getattr(ng, name)(x)
    (grad,) = ng.autograd.grad((y * y).sum(), x, create_graph=True)
    assert grad.tolist() == [0, 0]
    assert not grad.requires_grad


def test_where_and_bits(torch):
    c = np.array([[True, False, True]])
    x, y = np.arange(6.0).reshape(2, 3), -np.ones((2, 1))
    ours = ng.where(ng.from_numpy(c), ng.from_numpy(x), ng.from_numpy(y))
    theirs = torch.where(*map(torch.from_numpy, (c, x, y)))
    np.testing.assert_array_equal(ours.numpy(), theirs.numpy())
    leaf = ng.from_numpy(x.copy()).requires_grad_()
    other = ng.from_numpy(y.copy()).requires_grad_()
    assert gradcheck(lambda a, b: ng.where(ng.from_numpy(c), a, b), (leaf, other))
    a, b = np.array([5, -3, 12]), np.array([3, 6, 1])
    for name in ("and", "or", "xor", "left_shift", "right_shift"):
        name = f"bitwise_{name}"
        result = getattr(ng, name)(ng.from_numpy(a), ng.from_numpy(b)).numpy()
        np.testing.assert_array_equal(
            result, getattr(torch, name)(torch.from_numpy(a), torch.from_numpy(b)).numpy()
        )
    np.testing.assert_array_equal((~ng.from_numpy(a)).numpy(), ~a)
    flags = np.array([True, False])
    np.testing.assert_array_equal((~ng.from_numpy(flags)).numpy(), ~flags)


@pytest.mark.parametrize(
    "make",
    [
        lambda t: t.tensor([1, 2]) + 1.5,
        lambda t: t.tensor([1, 2]) + True,
        lambda t: t.tensor([True]) + 1,
        lambda t: t.tensor([1, 2], dtype=t.int32) + t.tensor([1.0, 2.0]),
        lambda t: t.tensor([1, 2], dtype=t.int8) * t.tensor([300]),
        lambda t: t.tensor([1.0, 2.0]) * t.tensor(3.0, dtype=t.float64),
        lambda t: t.tensor([1, 2]) * t.tensor(3.5, dtype=t.float64),
        lambda t: t.tensor([1, 2], dtype=t.uint8) + t.tensor([1, 2], dtype=t.int8),
        lambda t: t.tensor(1) + t.tensor([1], dtype=t.int8),
        lambda t: t.tensor([1, 2]) / 2,
        lambda t: 2 ** t.tensor([1, 2]),
        lambda t: 1 - t.tensor([1, 2]),
        lambda t: 7 // t.tensor([2, 3]),
        lambda t: t.tensor([1, 2]) > 1,
        lambda t: t.sqrt(t.tensor([1, 4])),
    ],
)
def test_promotion(torch, make):
    ours, theirs = make(ng), make(torch)
    assert str(ours.dtype) == str(theirs.dtype)
    np.testing.assert_array_equal(ours.numpy(), theirs.numpy())


def test_out_and_errors(torch):
    out = ng.empty(2)
    assert ng.add(ng.ones(2), 1, out=out) is out
    assert out.tolist() == [2, 2]
    for t, errors in ((ng, RuntimeError), (torch, RuntimeError)):
        with pytest.raises(errors, match="can't be cast to the desired output type Long"):
            t.add(t.ones(2), 1.5, out=t.empty(2, dtype=t.int64))
        with pytest.raises(errors, match=r"The size of tensor a \(2\) must match the size of"):
            t.ones(2) + t.ones(3)
        with pytest.raises(errors, match="ZeroDivisionError"):
            t.tensor([1]) // t.tensor([0])
        with pytest.raises(errors, match="Subtraction, the `-` operator"):
            t.tensor([True]) - t.tensor([True])
        with pytest.raises(TypeError):
            t.add("a", 1)


def test_numbers_keep_their_digits(torch):
    for t in (ng, torch):
        assert t.tensor(0.1, dtype=t.float64).item() == 0.1
        assert t.tensor([0.1, 2], dtype=t.float64).tolist() == [0.1, 2.0]
    empty = ng.from_numpy(np.ones((2, 0), np.float32))
    assert empty.add_(1).shape == (2, 0)
