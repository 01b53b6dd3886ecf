"""Scans on CUDA in every regime: from 1 lane a row to a block and several tiles, columns, both
directions; NaN, infinity, and factors whose product no float holds."""

import pathlib
import sys

import numpy as np
import pytest

pytest.importorskip("greenlet", reason="the CUDA simulator needs greenlet")
sys.path.insert(0, str(pathlib.Path(__file__).parent))
from twins import Comparison

from numgrad.kernels import scan

SHAPES = [(70, 3, 1), (9, 20, 1), (3, 127, 1), (2, 130, 1), (1, 700, 1), (2, 30, 3), (1, 5, 70)]


def compare(kernel, x, *arrays, sizes):
    comparison = Comparison()
    outer, n, inner, _ = sizes
    arguments = (x, *arrays, *[float(k) for k in sizes[1:]])
    comparison.launch(kernel, x.dtype, scan.scan_items(outer, inner), arguments, x.size)
    assert comparison.compared
    assert not comparison.faults, comparison.faults[kernel]
    return arrays[-1]


@pytest.mark.parametrize("reverse", [0, 1])
@pytest.mark.parametrize("shape", SHAPES)
def test_scans(shape, reverse):
    generator = np.random.default_rng(0)
    x = generator.standard_normal(shape).astype(np.float32)
    whole = generator.integers(-2, 3, shape)
    sizes = (*shape, reverse)
    compare(scan.cumsum, x, np.empty_like(x), sizes=sizes)
    compare(scan.cumprod, x.astype(float), np.empty(shape), sizes=sizes)
    compare(scan.cumsum_integers, whole, np.empty(shape, np.int64), sizes=sizes)
    compare(scan.cumsum_integers, whole.astype(np.uint8), np.empty(shape, np.int64), sizes=sizes)
    compare(scan.linear_scan, x, x[::-1].copy() * 0.9, np.empty_like(x), sizes=sizes)
    x[0, 2::9] = np.inf
    x[0, 1::2] = -np.inf
    x[-1, -2] = np.nan
    compare(scan.logcumsumexp, x, np.empty_like(x), sizes=sizes)


@pytest.mark.parametrize("dtype", ["float32", "int64", "uint8"])
@pytest.mark.parametrize("shape", SHAPES)
def test_running_extrema(shape, dtype):
    x = np.random.default_rng(0).integers(0, 99, shape).astype(dtype)
    sizes = (*shape, 0)
    for kernel in (scan.cummax, scan.cummin):
        for _ in range(2 if x.dtype.kind == "f" else 1):
            indices = compare(kernel, x, np.empty_like(x), np.empty(shape, np.int64), sizes=sizes)
            grad = np.random.default_rng(1).standard_normal(shape)
            compare(scan.scatter_added, grad, indices, np.empty(shape), sizes=sizes)
            x[0, -2:] = np.nan if x.dtype.kind == "f" else 0


@pytest.mark.parametrize("reverse", [0, 1])
def test_a_product_of_factors_beyond_the_type(reverse):
    x, factor = np.zeros((1, 300, 1), np.float32), np.full((1, 300, 1), 1e20, np.float32)
    x[0, 150] = 3  # before it 1e20ⁿ · 0; behind it 3e20, 3, 3e20 …, then 0
    factor[0, 60:240:2] = 1e-20
    factor[0, [59, 240]] = 0
    out = compare(scan.linear_scan, x, factor, np.empty_like(x), sizes=(1, 300, 1, reverse))
    assert not np.isnan(out).any()
