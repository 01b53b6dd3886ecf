"""Normalisation on CUDA in every regime: 1 to 32 lanes a row or a block, several threads a column or
several columns a thread, blocks of rows; channels of one element or of many."""

import pathlib
import sys

import numpy as np
import pytest

pytest.importorskip("greenlet", reason="the CUDA simulator needs greenlet")
sys.path.insert(0, str(pathlib.Path(__file__).parent))
from twins import Comparison

from numgrad.kernels import normalization as kernels


def compare(kernel, items, *arguments):
    comparison = Comparison()
    arguments = tuple([float(a) if np.ndim(a) == 0 else a for a in arguments])
    comparison.launch(kernel, arguments[0].dtype, items, arguments, items)
    assert comparison.compared
    assert not comparison.faults, comparison.faults[kernel]


def draw(*shape):
    return np.random.default_rng(0).standard_normal(shape).astype(np.float32)


@pytest.mark.parametrize("affine", [True, False])
@pytest.mark.parametrize(
    ("rows", "n", "block"), [(70, 3, 33), (21, 30, 16), (9, 64, 4), (9, 70, 5), (1, 1100, 1)]
)
def test_layer_norm(rows, n, block, affine):
    x, grad, weight, bias = draw(rows, n) + 3, draw(rows, n)[::-1].copy(), draw(n), draw(1, n)[0]
    out, stats = np.empty_like(x), np.empty((rows, 2), np.float32)
    compare(kernels.layer_norm_forward, rows, x, weight, bias, out, stats, n, 1e-5)
    blocks = -(-rows // block)
    sums = np.empty((blocks, 2, n) if affine else 0, np.float32)
    arrays = (grad, x, weight, stats, out, sums)
    compare(kernels.layer_norm_backward, blocks, *arrays, n, block)


@pytest.mark.parametrize(
    ("samples", "channels", "inner", "block"),
    [
        (70, 3, 1, 30),
        (40, 33, 1, 16),
        (9, 70, 1, 16),
        (7, 3, 5, 4),
        (5, 2, 30, 2),
        (3, 2, 300, 16),
    ],
)
def test_batch_norm(samples, channels, inner, block):
    x = draw(samples, channels, inner) + 3
    grad = draw(samples, channels, inner)[::-1].copy()
    weight, bias = draw(2, channels)
    mean, variance = x.mean((0, 2), dtype=float), x.var((0, 2))
    stats, out = np.empty((2, channels), np.float32), np.empty_like(x)
    for running in (np.empty((2, 0), np.float32), draw(2, channels)):
        arrays = (mean, variance, stats, running[0], running[1])
        comparison = Comparison()
        arguments = (*arrays, 0.1, float(samples * inner), 1e-5)
        comparison.launch(kernels.batch_norm_stats, x.dtype, 1, arguments, channels)
        assert comparison.compared and not comparison.faults, comparison.faults
    compare(kernels.batch_norm_apply, samples, x, stats, weight, bias, out, inner)
    blocks = -(-samples // block)
    sums = np.empty((blocks, 2, channels), np.float32)
    compare(kernels.batch_norm_sums, blocks, grad, x, stats, sums, inner, block)
    sums = sums.sum(0)
    for count in (samples * inner, np.inf):
        arrays = (grad, x, stats, weight, sums, out)
        compare(kernels.batch_norm_backward, samples, *arrays, inner, count)


def test_a_gpu_has_its_own_blocks():
    for rows in (1 << 13, 1 << 16, 1 << 20):
        assert -(-rows // kernels.rows_in_block(rows, True)) == 512
    assert kernels.rows_in_block(64, True) == 16
