"""Matrix products against float64, at sizes around every boundary of the kernels."""

import os
import platform
import subprocess
import sys

import numpy as np
import pytest

from numgrad.kernels import matmul
from numgrad.kernels._launch import get_num_threads, set_num_threads
from numgrad.kernels.matmul import (
    TINY,
    matmul_packed,
    matmul_small,
    matmul_thin,
    matmul_tiny,
    multiply,
    plan,
    product_info,
)

# Whole and broken tiles, panels, strips and blocks; (m, n, k).
SIZES = {
    matmul_tiny: [
        *[(0, 3, 4), (0, 300, 400), (3, 0, 4), (3, 4, 0), (1, 1, 1), (2, 30, 2), (5, 7, 3)],
        *[(3, 6, 11), (2, 20, 30), (20, 30, 2), (7, 33, 18), (16, 32, 16), (1, 5, 400)],
    ],
    matmul_thin: [(1, 300, 700), (700, 1, 300), (3, 130, 600), (131, 2, 513), (4, 128, 64)],
    matmul_packed: [
        (64, 512, 784),
        (65, 131, 77),
        (290, 70, 40),
        (17, 49, 600),
        (40, 16, 13),
        (9, 49, 513),
    ],
}
CASES = [(kernel, *size) for kernel, sizes in SIZES.items() for size in sizes]
LAYOUTS = [(False, False), (False, True), (True, False), (True, True)]


def numbers(seed, *shape, dtype=np.float32):
    rng = np.random.default_rng(seed)
    if np.dtype(dtype).kind == "f":
        return rng.standard_normal(shape).astype(dtype)
    return rng.integers(-9, 9, shape).astype(dtype)


def operands(m, n, k, transpose_a, transpose_b, batch, dtype):
    a = numbers(1, batch, *((k, m) if transpose_a else (m, k)), dtype=dtype)
    b = numbers(2, batch, *((n, k) if transpose_b else (k, n)), dtype=dtype)
    return a, b


def reference(a, b, transpose_a, transpose_b):
    a = a.swapaxes(1, 2) if transpose_a else a
    b = b.swapaxes(1, 2) if transpose_b else b
    return a.astype(np.float64) @ b.astype(np.float64), a.astype(np.float64).sum(2)


def assert_close(found, expected, k):
    if found.dtype.kind == "f":
        tolerance = 50 * np.finfo(found.dtype).eps * (k**0.5 + 1)
        np.testing.assert_allclose(found, expected, rtol=0, atol=tolerance)
    else:
        np.testing.assert_array_equal(found, expected.astype(found.dtype))


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int64], ids=str)
@pytest.mark.parametrize(("kernel", "m", "n", "k"), CASES)
def test_product(kernel, m, n, k, dtype):
    """Every layout; overwriting NaN, then scaled and added to a scaled output with a bias."""
    if dtype == np.int64 and kernel is matmul_packed:
        m, n, k = m // 4, n // 4, k // 4
    for ta, tb in LAYOUTS:
        expected_kernel = kernel if dtype != np.int64 else matmul_small
        assert plan(m, n, k, ta, tb, 1, dtype).kernel is expected_kernel
        a, b = operands(m, n, k, ta, tb, 1, dtype)
        expected, row_sums = reference(a, b, ta, tb)
        out = np.full((1, m, n), np.nan if dtype != np.int64 else 77, dtype)
        multiply(a, b, out, transpose_a=ta, transpose_b=tb)
        assert_close(out, expected, k)

        bias, sums = numbers(3, n, dtype=dtype), np.full(m, 7, dtype)
        old = out.astype(np.float64)
        options = {"alpha": -2, "beta": 3, "bias": (bias,), "sums": (sums,)}
        multiply(a, b, out, transpose_a=ta, transpose_b=tb, **options)
        assert_close(out, 3 * old - 2 * expected + bias, 9 * k)
        assert_close(sums, row_sums[0], k)


@pytest.mark.parametrize(("m", "n", "k"), [(3, 4, 5), (2, 200, 33), (33, 65, 17)])
def test_batches_and_one_operand_for_all(m, n, k):
    for ta, tb in LAYOUTS:
        a, b = operands(m, n, k, ta, tb, 5, np.float32)
        for own_a, own_b in [(a, b), (a[:1], b), (a, b[:1])]:
            out = np.empty((5, m, n), np.float32)
            multiply(own_a, own_b, out, transpose_a=ta, transpose_b=tb)
            assert_close(out, reference(own_a, own_b, ta, tb)[0], k)


@pytest.mark.parametrize(("kernel", "m", "n", "k"), [c for c in CASES if c[3] > 0 and c[1] * c[2]])
def test_nan_and_infinity_pass_through(kernel, m, n, k):
    a, b = np.ones((m, k), np.float32), np.ones((k, n), np.float32)
    a[m // 2, k // 2], b[k - 1, n - 1] = np.nan, np.inf
    out = np.empty((m, n), np.float32)
    multiply(a, b, out)
    expected = np.full((m, n), k, np.float32)
    expected[:, n - 1] = np.inf
    expected[m // 2] = np.nan
    np.testing.assert_array_equal(out, expected)


@pytest.mark.parametrize(("m", "n", "k"), [(3, 4, 5), (2, 200, 33), (33, 65, 17)])
def test_alpha_zero_does_not_read_the_operands(m, n, k):
    a, b = np.full((m, k), np.nan, np.float32), np.full((k, n), np.nan, np.float32)
    out = np.ones((m, n), np.float32)
    multiply(a, b, out, alpha=0, beta=2)
    assert (out == 2).all()
    multiply(a, b, out, alpha=0)
    assert (out == 0).all()


@pytest.mark.parametrize(
    ("m", "n", "k"), [(64, 500, 784), (300, 130, 1030), (2, 3000, 900), (3000, 3, 900)]
)
def test_threads_do_not_change_the_bits(m, n, k):
    before = get_num_threads()
    try:
        for ta, tb in LAYOUTS:
            a, b = operands(m, n, k, ta, tb, 1, np.float32)
            results = []
            for threads in (1, 2):
                set_num_threads(threads)
                out = np.empty((1, m, n), np.float32)
                multiply(a, b, out, transpose_a=ta, transpose_b=tb)
                results.append(out.tobytes())
            assert results[0] == results[1]
    finally:
        set_num_threads(before)


def test_an_element_does_not_depend_on_its_tile():
    a, b = operands(70, 200, 600, False, True, 1, np.float32)
    whole, part = np.empty((70, 200), np.float32), np.empty((13, 57), np.float32)
    multiply(a[0], b[0], whole, transpose_b=True)
    multiply(np.ascontiguousarray(a[0, 31:44]), b[0, 95:152], part, transpose_b=True)
    np.testing.assert_array_equal(part, whole[31:44, 95:152])


def test_kernels_run_by_themselves():
    a, b = operands(40, 30, 20, False, False, 1, np.float32)
    out = np.empty((40, 30), np.float32)
    sizes = plan(40, 30, 20).sizes
    matmul_packed(a[0], b[0], out, (), (), 1.0, 0.0, sizes)
    assert_close(out, a[0].astype(np.float64) @ b[0], 20)


def test_shapes_that_do_not_fit_raise():
    a, out = np.ones((2, 3), np.float32), np.ones((2, 2), np.float32)
    with pytest.raises(ValueError, match="do not give"):
        multiply(a, a, out)
    assert (out == 1).all()


def test_product_info():
    assert product_info()["vector_bits"] in (128, 256, 512)
    assert matmul.plan(8, 8, TINY // 64).kernel is matmul_tiny


NARROW = """
import numpy as np
from numgrad.kernels.matmul import multiply, product_info
assert product_info()["vector_bits"] == 256
rng = np.random.default_rng(0)
for m, n, k in [(3, 200, 70), (21, 60, 530)]:
    a, b = rng.standard_normal((2, 600, 600)).astype(np.float32)
    a, b, out, sums = a[:k, :m].copy(), b[:n, :k].copy(), np.empty((m, n), np.float32), a[0, :m]
    sums = sums.copy()
    multiply(a, b, out, transpose_a=True, transpose_b=True, sums=(sums,))
    assert abs(out - a.T.astype(float) @ b.T).max() < 1e-3
    assert abs(sums - a.astype(float).sum(0)).max() < 1e-3
"""


@pytest.mark.skipif(platform.machine() != "x86_64", reason="names an x86 processor")
def test_a_processor_with_narrower_vectors():
    features = "+avx,+avx2,+bmi,+bmi2,+f16c,+fma,+popcnt,+sse4.1,+sse4.2"
    narrow = {"NUMBA_CPU_NAME": "haswell", "NUMBA_CPU_FEATURES": features}
    subprocess.run([sys.executable, "-c", NARROW], env=os.environ | narrow, check=True)
