"""Making tensors: values, dtypes, shapes and errors beside PyTorch."""

import pathlib
import sys

import numpy as np
import pytest

import numgrad as ng

sys.path.insert(0, str(pathlib.Path(__file__).parent))
from expressions import check_error, check_like_torch


@pytest.mark.parametrize(
    "expression",
    """
L([[1, 2], [3, 4]])
L([1, 2.5])
L([True, False])
L([1, True])
L([1., True])
L(3)
L(2.5)
L(False)
L([])
L([[], []])
L([1, 2], dtype=t.float32)
L([1.9, -1.9], dtype=t.int64)
L([0, 2, nan], dtype=t.bool)
L(np.arange(6).reshape(2, 3))
L(np.float64(2.5))
L(np.int32(2))
L(np.arange(6, dtype=np.int16).reshape(2, 3).T)
L([np.float32(1), np.float32(2)])
L([L(1), L(2)])
L([(1, 2), [3, 4]])
L(range(3))
L([[1., 2.]], requires_grad=True)
L(2**40)
L([2**62, -1])
t.as_tensor([1, 2])
t.as_tensor(np.arange(3))
t.as_tensor(v)
t.as_tensor(v, dtype=t.float32)
t.asarray([1., 2.])
t.from_numpy(np.arange(3.))
t.zeros(2, 3)
t.zeros((2,), dtype=t.int32)
t.zeros([])
t.zeros(2, 0)
t.ones(2, dtype=t.bool)
t.ones(t.Size([2, 2]))
t.full((2,), 3)
t.full((2,), 2.5)
t.full((2,), True)
t.full([], 1, dtype=t.float64)
t.full((2,), float("inf"))
t.eye(3)
t.eye(2, 4, dtype=t.int64)
t.eye(0)
t.arange(5)
t.arange(2, 5)
t.arange(5, 0, -2)
t.arange(0, 1, 0.25)
t.arange(0.5, 3)
t.arange(3.)
t.arange(0, 5, 2, dtype=t.float32)
t.arange(L(3))
t.arange(1, 0.1, -0.3, dtype=t.float64)
t.arange(0)
t.linspace(0, 1, 5)
t.linspace(3, -2, 7)
t.linspace(0, 10, 1)
t.linspace(0, 1, 0)
t.linspace(0, 9, 4, dtype=t.int64)
t.linspace(-1, 1, 100, dtype=t.float64)
t.logspace(0, 2, 3)
t.zeros_like(x)
t.ones_like(x, dtype=t.int64)
t.full_like(x, 3.5)
t.full_like(L([1, 2]), 7)
t.empty_like(x).shape == x.shape
t.empty(2, 3).dtype
x.new_zeros(2)
x.new_ones((2, 2), dtype=t.int32)
x.new_full((2,), 3)
x.new_tensor([1, 2])
t.scalar_tensor(2)
t.is_tensor(x), t.is_tensor(1), t.is_floating_point(x), t.numel(y), t.is_nonzero(L([1]))
""".split("\n")[1:-1],
)
def test_like_torch(torch, expression):
    check_like_torch(torch, expression)


@pytest.mark.parametrize(
    "expression",
    """
L([[1, 2], [3]])
L("abc")
L([None])
L(None)
L([1, "a"])
L([1, 2], requires_grad=True)
t.zeros(-1)
t.zeros(2.5)
t.zeros("a")
t.full((2,), [1])
t.eye(-1)
t.arange(0, 1, 0)
t.arange(0, 1, -1)
t.arange(0, float("inf"))
t.linspace(0, 1, -1)
t.from_numpy([1])
t.from_numpy(np.arange(3)[::-1])
t.from_numpy(np.array(["a"]))
t.is_nonzero(v)
""".split("\n")[1:-1],
)
def test_errors(torch, expression):
    check_error(torch, expression, Exception)


@pytest.mark.parametrize(
    "expression",
    """
L([[1, 2], [3]])
t.eye(-1)
t.arange(0, 1, 0)
t.arange(0, 1, -1)
t.linspace(0, 1, -1)
t.from_numpy([1])
t.is_nonzero(v)
""".split("\n")[1:-1],
)
def test_sentences(torch, expression):
    check_error(torch, expression)


def test_from_numpy_shares_memory_and_tensor_copies():
    array = np.zeros(3, np.float32)
    shared, copied = ng.from_numpy(array), ng.tensor(array)
    array[0] = 7
    assert shared.tolist() == [7, 0, 0] and copied.tolist() == [0, 0, 0]
    assert ng.as_tensor(array).data_ptr() == shared.data_ptr()


def test_copying_a_tensor_warns():
    x = ng.ones(2, requires_grad=True)
    with pytest.warns(UserWarning, match="To copy construct from a tensor"):
        y = ng.tensor(x)
    assert y.is_leaf and not y.requires_grad and y.data_ptr() != x.data_ptr()


def test_out():
    out = ng.ones(2, 2)
    assert ng.zeros(2, 2, out=out) is out
    assert out.sum().item() == 0


def test_the_default_dtype():
    ng.set_default_dtype(ng.float64)
    try:
        made = [ng.zeros(1), ng.tensor([1.0]), ng.rand(1), ng.linspace(0, 1, 2), ng.eye(1)]
        assert all(t.dtype is ng.float64 for t in made)
    finally:
        ng.set_default_dtype(ng.float32)
