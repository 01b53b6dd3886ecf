"""Philox by its known answers, and the distributions made of it by their moments."""

import math

import numpy as np
import pytest

from numgrad.kernels import philox

LONG = (1 << 64) - 1


def words(seed, counter, group):
    with np.errstate(over="ignore"):
        return [f"{w:08x}" for w in philox.philox.py_func(*map(np.uint64, (seed, counter, group)))]


def test_known_answers():
    """Those that come with the authors' own implementation."""
    assert words(0, 0, 0) == ["6627e8d5", "e169c58d", "bc57ac4c", "9b00dbd8"]
    assert words(LONG, LONG, LONG) == ["408f276d", "41c83b0e", "a20bc7c6", "6d5451fd"]
    counter, group = 0x85A308D3243F6A88, 0x0370734413198A2E
    expected = ["d16cfe09", "94fdcceb", "5001e420", "24126ea1"]
    assert words(0x299F31D0A4093822, counter, group) == expected


def drawn(kernel, dtype, *options, n=1 << 16):
    state, out = np.array([5, 0, 0]), np.empty(n, dtype)
    kernel(state, out, *options)
    assert state.tolist() == [5, 8 if dtype in (np.float64,) else 4, 0]
    return out.astype(np.float64)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(
    ("kernel", "options", "mean", "std"),
    [
        (philox.philox_uniform, (-1.0, 4.0), 1.0, 4 / math.sqrt(12)),
        (philox.philox_normal, (1.0, 2.0), 1.0, 2.0),
        (philox.philox_log_normal, (0.0, 0.5), math.exp(0.125), 0.6039),
        (philox.philox_bernoulli, (0.3, 1.0), 0.3, math.sqrt(0.21)),
        (philox.philox_exponential, (2.0, 0.0), 0.5, 0.5),
        (philox.philox_geometric, (math.log(0.75), 0.0), 4.0, math.sqrt(12)),
    ],
    ids=lambda value: getattr(value, "name", None),
)
def test_moments(kernel, options, mean, std, dtype):
    x = drawn(kernel, dtype, *options)
    error = std / math.sqrt(x.size)
    assert abs(x.mean() - mean) < 4 * error
    assert abs(x.std() - std) < 20 * error
    # Neighbours, and elements of two groups, have nothing to do with one another.
    for distance in (1, 2, 3, 4, 8):
        a, b = x[:-distance] - mean, x[distance:] - mean
        assert abs((a * b).mean()) < 6 * std**2 / math.sqrt(x.size)


def test_the_cauchy_distribution_by_its_quartiles():
    x = drawn(philox.philox_cauchy, np.float32, 1.0, 2.0)
    np.testing.assert_allclose(np.quantile(x, [0.25, 0.5, 0.75]), [-1, 1, 3], atol=0.1)


def test_integers_cover_their_range_evenly():
    counts = np.bincount(drawn(philox.philox_integers, np.int64, 0.0, 8.0, 0.0, 0.0).astype(int))
    assert counts.size == 8 and abs(counts - 8192).max() < 400


def test_a_part_is_what_the_whole_begins_with():
    a, b = np.empty(10, np.float32), np.empty(1000, np.float32)
    for out in (a, b):
        philox.philox_normal(np.array([5, 12, 0]), out, 0.0, 1.0)
    np.testing.assert_array_equal(a, b[:10])
