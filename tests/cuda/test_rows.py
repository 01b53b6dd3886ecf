"""Reductions on CUDA in every regime: 1 to 32 lanes a row or a block, a thread a column or tiles,
whole or in chunks; aligned to 16 bytes or not."""

import pathlib
import sys

import numpy as np
import pytest

pytest.importorskip("greenlet", reason="the CUDA simulator needs greenlet")
sys.path.insert(0, str(pathlib.Path(__file__).parent))
from twins import Comparison

from numgrad.kernels import extremum, reduction
from numgrad.kernels.cuda import rows

ROWS = [  # outer, n, chunk
    (5, 3, 3),
    (70, 7, 7),
    (3, 30, 10),
    (4, 127, 127),
    (3, 301, 110),
    (2, 1500, 1500),
    (1, 2000, 700),
]
COLUMNS = [  # outer, n, inner, chunk
    (2, 5, 3, 5),
    (3, 40, 7, 20),
    (2, 100, 3, 100),
    (1, 90, 40, 90),
    (1, 150, 33, 60),
    (1, 300, 2, 140),
]


def draw(shape, dtype, shift=0):
    """An array with some equal numbers and a NaN, `shift` elements beyond a 16-byte boundary."""
    generator = np.random.default_rng(0)
    space = np.empty(np.prod(shape) + 64, dtype)
    start = -space.ctypes.data % 64 // space.itemsize + shift
    data = space[start : start + np.prod(shape)].reshape(shape)
    data[...] = generator.integers(-9, 9, shape)
    if data.dtype.kind == "f":
        data += np.where(generator.random(shape) < 0.5, 0, generator.random(shape)).astype(dtype)
    return data


def compare(kernel, dtype, items, arguments):
    comparison = Comparison()
    comparison.launch(kernel, np.dtype(dtype), items, arguments, items)
    assert comparison.compared
    assert not comparison.faults, comparison.faults[kernel]


def sizes(*numbers):
    return tuple(float(n) for n in numbers)


@pytest.mark.parametrize("shift", [0, 1])
@pytest.mark.parametrize("dtype", ["float32", "float64", "int64", "uint8"])
@pytest.mark.parametrize(("outer", "n", "chunk"), ROWS)
def test_rows(outer, n, chunk, dtype, shift):
    x = draw((outer, n), dtype, shift)
    parts = (outer, -(-n // chunk))
    total = np.empty(parts, dtype if x.dtype.kind == "f" else np.int64)
    kernel = reduction.sum_rows if x.dtype.kind == "f" else reduction.sum_integers_rows
    compare(kernel, dtype, total.size, (x, total, *sizes(n, chunk, 3)))
    truth = np.empty(parts, np.bool_)
    compare(reduction.all_rows, dtype, truth.size, (x, truth, *sizes(n, chunk, 1)))
    if x.dtype.kind == "f":
        x[-1, n // 2] = np.nan
    best, position = np.empty(parts, dtype), np.empty(parts, np.int64)
    compare(reduction.amax_rows, dtype, best.size, (x, best, *sizes(n, chunk, 1)))
    compare(extremum.min_rows, dtype, best.size, (x, best, position, *sizes(n, chunk)))


@pytest.mark.parametrize("dtype", ["float32", "int64"])
@pytest.mark.parametrize(("outer", "n", "inner", "chunk"), COLUMNS)
def test_columns(outer, n, inner, chunk, dtype):
    x = draw((outer, n, inner), dtype)
    items = reduction.column_items(outer, n, inner, chunk)
    parts = (outer, -(-n // chunk), inner)
    total = np.empty(parts, dtype if x.dtype.kind == "f" else np.int64)
    kernel = reduction.sum_columns if x.dtype.kind == "f" else reduction.sum_integers_columns
    compare(kernel, dtype, items, (x, total, *sizes(n, inner, chunk, 1)))
    if x.dtype.kind == "f":
        x[-1, n // 2] = np.nan
    best, position = np.empty(parts, dtype), np.empty(parts, np.int64)
    compare(reduction.amin_columns, dtype, items, (x, best, *sizes(n, inner, chunk, 1)))
    compare(extremum.max_columns, dtype, items, (x, best, position, *sizes(n, inner, chunk)))


def test_large_reductions_are_cut():
    # Enough blocks to fill the machine, and what they leave is joined by one more launch.
    for n in (1 << 20, 1 << 26, (1 << 32) + 5):
        chunk = rows.row_chunk(1, n)
        assert 128 <= -(-n // chunk) <= 1 << 15
        assert rows.row_chunk(1, -(-n // chunk)) <= 1 << 14
    assert rows.row_chunk(1, 1 << 14) == 1 << 14
    assert rows.row_chunk(4096, 1 << 20) == 1 << 20
    for outer, n, inner in [(1, 8192, 8192), (1, 1 << 24, 4), (16, 4096, 32)]:
        chunk = rows.column_chunk(outer, n, inner)
        parts = -(-n // chunk)
        assert parts <= 512 and outer * parts * -(-inner // 32) >= 512
        assert rows.column_chunk(outer, parts, inner) == parts
    assert rows.column_chunk(1, 64, 512) == 64


def test_a_gpu_has_its_own_chunks(simulator):
    import numgrad as ng

    x = np.random.default_rng(0).standard_normal((2, 1500)).astype(np.float32)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rows, "WHOLE", 64)
        patch.setattr(rows, "SHORTEST", 128)
        on_cuda = ng.from_numpy(x).cuda()
        for dim in (None, 1):
            found = ng.sum(on_cuda, dim).cpu().numpy()
            np.testing.assert_allclose(found, x.sum(dim), rtol=1e-4, atol=1e-4)
            found = ng.argmax(on_cuda, dim).cpu().numpy()
            assert (found == x.argmax(dim)).all()
