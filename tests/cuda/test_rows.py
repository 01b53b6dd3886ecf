"""Reductions on CUDA in every regime: 1 to 32 lanes a row or a block, a thread a column or tiles,
whole or in chunks; aligned to 16 bytes or not."""

import pathlib
import sys

import numpy as np
import pytest

pytest.importorskip("greenlet", reason="the CUDA simulator needs greenlet")
sys.path.insert(0, str(pathlib.Path(__file__).parent))
from twins import Comparison

from numgrad.kernels import checks, extremum, reduction, variance
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
    if x.dtype.kind == "f":
        mean = np.empty(parts)
        for data in (x, x[:1] + 1000):
            arguments = (data, mean[: len(data)], best[: len(data)], *sizes(n, chunk, 1, 1))
            compare(variance.variance_rows, dtype, arguments[1].size, arguments)


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
    if x.dtype.kind == "f":
        mean, out = np.empty(parts), np.empty(parts, dtype)
        items = variance.variance_items(outer, n, inner, chunk)
        arguments = (x, mean, out, *sizes(n, inner, chunk, 0, -1))
        compare(variance.variance_columns, dtype, items, arguments)


@pytest.mark.parametrize(("outer", "parts", "inner"), [(1, 300, 1), (2, 50, 3), (3, 5, 40)])
def test_joining_chunks(outer, parts, inner):
    x = draw((outer, parts, inner), "float32")
    position = np.broadcast_to(np.arange(parts)[:, None] * 10, x.shape).copy()
    best, where = np.empty((outer, inner), np.float32), np.empty((outer, inner), np.int64)
    arguments = (x, position, best, where, *sizes(parts, inner))
    compare(extremum.max_parts, "float32", best.size, arguments)
    mean = np.empty((outer, inner))
    arguments = (x.astype(float), x, mean, best, *sizes(7 * parts - 3, inner, 7, 1, 0))
    compare(variance.variance_parts, "float32", best.size, arguments)


@pytest.mark.parametrize("place", [None, 0, 1, 150, -1])
def test_checks_look_at_every_element(place):
    x, row = np.full(301, 0.5, np.float32), np.full((2, 150), 0.5, np.float32)
    bad = np.zeros(2, np.int64)
    for kernel, value, limits in [
        (checks.check_between, np.nan, (0.0, 1.0)),
        (checks.check_not_negative, -1, ()),
        (checks.check_not_zero, 0, ()),
    ]:
        if place is not None:
            x[place] = value
        compare(kernel, "float32", x.size, (x, bad, *limits))
        assert bad[0] == (place is not None)
        bad[:] = 0
    for value in (np.inf, np.nan, -1):
        if place is not None:
            row.reshape(-1)[place] = value
        compare(checks.check_weights, "float32", 2, (row, bad))
    assert bad.tolist() == [place is not None, 0]
    row[0, :] = 0
    compare(checks.check_weights, "float32", 2, (row, bad))
    assert bad[1] == 1


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
