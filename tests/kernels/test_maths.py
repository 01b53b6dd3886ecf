"""The maths functions against NumPy in float64 (float32) and in extended precision (float64)."""

import math
import re

import numpy as np
import pytest
from numba import njit
from scipy import special

from numgrad.kernels import maths
from numgrad.kernels._scalar import FASTMATH, scalar_function

COUNT = 1 << 22

REFERENCES = {
    "exp": np.exp,
    "exp2": np.exp2,
    "expm1": np.expm1,
    "log": np.log,
    "log2": np.log2,
    "log10": np.log10,
    "log1p": np.log1p,
    "tanh": np.tanh,
    "sigmoid": special.expit,
    "erf": special.erf,
    "sin": np.sin,
    "cos": np.cos,
    "tan": np.tan,
    "asin": np.arcsin,
    "acos": np.arccos,
    "atan": np.arctan,
    "sinh": np.sinh,
    "cosh": np.cosh,
    "sqrt": np.sqrt,
    "rsqrt": lambda x: 1.0 / np.sqrt(x),
}
# In extended precision, where NumPy has the function.
LONG_REFERENCES = {
    **{name: f for name, f in REFERENCES.items() if name != "erf"},
    "sigmoid": lambda x: np.where(x < 0, np.exp(x), 1) / (1 + np.exp(-np.abs(x))),
}

pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning")


def loop_over(function, arity=1):
    """`function` inlined into a loop compiled the way the kernels are."""
    if arity == 1:

        def loop(x, out):
            for i in range(x.size):
                out[i] = function(x[i])

    else:

        def loop(x, y, out):
            for i in range(x.size):
                out[i] = function(x[i], y[i])

    return njit(loop, fastmath=FASTMATH, error_model="numpy")


LOOPS = {name: loop_over(getattr(maths, name)) for name in REFERENCES}


def run(loop, *arrays):
    out = np.empty_like(arrays[0])
    loop(*arrays, out)
    return out


def ulps(result, reference):
    """|result - reference| in units of the last place of the reference, in result's dtype."""
    limits = np.finfo(result.dtype)
    largest = reference.dtype.type(limits.max)
    beyond = reference.dtype.type(2.0) ** limits.maxexp
    # An overflow counts as the number after the largest one.
    exact = np.clip(reference, -beyond, beyond)
    got = np.clip(result.astype(reference.dtype), -beyond, beyond)
    last_place = np.spacing(np.clip(np.abs(exact), limits.tiny, largest).astype(result.dtype))
    # Rounding to result's dtype may have moved up to the next binade.
    rounded_up = np.clip(np.abs(exact), limits.tiny, largest).astype(result.dtype) > np.abs(exact)
    at_power = np.frexp(np.abs(exact).astype(result.dtype))[0] == 0.5
    normal = np.abs(exact) >= 2 * limits.tiny
    last_place = np.where(rounded_up & at_power & normal, last_place / 2, last_place)
    error = np.abs(got - exact) / last_place
    both_nan = np.isnan(result) & np.isnan(reference)
    return np.where(both_nan, 0.0, np.where(np.isnan(error), np.inf, error))


def bit_patterns(seed):
    """float32 values: random bit patterns, and every exponent with dense mantissas, both signs."""
    rng = np.random.default_rng(seed)
    random = rng.integers(0, 1 << 32, COUNT, dtype=np.uint64).astype(np.uint32)
    spread = np.arange(COUNT, dtype=np.uint32) * np.uint32((1 << 32) // COUNT)
    spread += rng.integers(0, (1 << 32) // COUNT, COUNT, dtype=np.uint64).astype(np.uint32)
    return random.view(np.float32), spread.view(np.float32)


@pytest.mark.parametrize("name", REFERENCES)
def test_float32_is_within_two_ulp_everywhere(name):
    for x in bit_patterns(0):
        result = run(LOOPS[name], x)
        for part in np.array_split(np.arange(x.size), 16):
            error = ulps(result[part], REFERENCES[name](x[part].astype(np.float64)))
            worst = error.argmax()
            assert error[worst] <= 2.0, (x[part][worst], result[part][worst])


def spread_float64():
    rng = np.random.default_rng(0)
    anywhere = rng.integers(0, 1 << 63, 1 << 14, dtype=np.uint64).view(np.float64)
    anywhere = np.where(rng.integers(0, 2, anywhere.size) == 1, anywhere, -anywhere)
    usual = rng.standard_normal(1 << 16) * np.exp(rng.uniform(-30, 6, 1 << 16))
    return np.concatenate([anywhere, usual])


@pytest.mark.skipif(np.finfo(np.longdouble).nmant < 63, reason="needs an extended precision type")
@pytest.mark.parametrize("name", LONG_REFERENCES)
def test_float64_is_within_two_ulp(name):
    x = spread_float64()
    error = ulps(run(LOOPS[name], x), LONG_REFERENCES[name](x.astype(np.longdouble)))
    assert error.max() <= 2.0, x[error.argmax()]


@pytest.mark.skipif(np.finfo(np.longdouble).nmant < 63, reason="needs an extended precision type")
@pytest.mark.parametrize("name", ["sin", "cos", "tan"])
def test_float64_near_the_zeros_of_sine_and_cosine(name):
    x = np.arange(1, 70_000) * (math.pi / 2)
    error = ulps(run(LOOPS[name], x), LONG_REFERENCES[name](x.astype(np.longdouble)))
    assert error.max() <= 2.0, x[error.argmax()]


def test_normal_cdf():
    loop = loop_over(maths.normal_cdf)
    for x in (*bit_patterns(1), np.linspace(-7, 7, 1 << 18, dtype=np.float32)):
        exact = np.array([0.5 * math.erfc(-v * math.sqrt(0.5)) for v in x[:: 1 << 4].tolist()])
        got = run(loop, x[:: 1 << 4])
        assert np.array_equal(np.isnan(got), np.isnan(exact))
        assert np.nanmax(np.abs(got - exact)) < 8e-8
    x = np.linspace(-6, 6, 10001)
    exact = [0.5 * math.erfc(-v * math.sqrt(0.5)) for v in x.tolist()]
    np.testing.assert_allclose(run(loop, x), exact, rtol=0, atol=3e-16)
    ends = np.array([0.0, -0.0, np.inf, -np.inf, -6.1, 9.0], np.float32)
    np.testing.assert_array_equal(run(loop, ends), [0.5, 0.5, 1, 0, 0, 1])


def test_float64_erf():
    x = spread_float64()[:4096]
    error = ulps(run(LOOPS["erf"], x), np.array([math.erf(value) for value in x]))
    assert error.max() <= 2.0, x[error.argmax()]


SPECIAL = [0.0, -0.0, np.inf, -np.inf, np.nan, 1e-45, -1e-45, 1e-39, -1e-39, 1.0, -1.0, 3e38]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", REFERENCES)
def test_special_values(name, dtype):
    x = np.array(SPECIAL, dtype)
    result = run(LOOPS[name], x)
    expected = REFERENCES[name](x.astype(np.float64)).astype(dtype)
    np.testing.assert_array_equal(np.isnan(result), np.isnan(expected))
    number = ~np.isnan(expected)
    np.testing.assert_array_equal(np.signbit(result[number]), np.signbit(expected[number]))
    exact = number & ((expected == 0) | np.isinf(expected) | (expected == x))
    np.testing.assert_array_equal(result[exact], expected[exact])


def test_sine_of_huge_arguments():
    # Values closest to multiples of π/2, where a careless reduction keeps no correct digit.
    x = np.array([16367173.0 * 2.0**72, 8.5899346e09, 1.7e38, 3.4028235e38, 1e22, 6e5], np.float32)
    for name in ("sin", "cos", "tan"):
        error = ulps(run(LOOPS[name], x), REFERENCES[name](x.astype(np.float64)))
        assert error.max() <= 2.0, (name, x[error.argmax()])


POWER = loop_over(maths.pow, 2)


def power_arguments():
    rng = np.random.default_rng(0)
    for values in bit_patterns(1):
        yield values, rng.permutation(bit_patterns(2)[0])
    x = np.exp(rng.uniform(-100, 88, COUNT)).astype(np.float32)
    yield x, (rng.uniform(-110, 110, COUNT) / np.log(x.astype(np.float64))).astype(np.float32)
    yield (
        (1 + 1e-3 * rng.standard_normal(COUNT)).astype(np.float32),
        (3e4 * rng.standard_normal(COUNT)).astype(np.float32),
    )
    yield (
        (3 * rng.standard_normal(COUNT)).astype(np.float32),
        rng.integers(-40, 40, COUNT).astype(np.float32),
    )


def test_float32_power_is_within_two_ulp():
    for x, y in power_arguments():
        error = ulps(run(POWER, x, y), np.power(x.astype(np.float64), y.astype(np.float64)))
        worst = error.argmax()
        assert error[worst] <= 2.0, (x[worst], y[worst])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_power_of_special_values(dtype):
    values = np.array([*SPECIAL, 2, -2, 0.5, -0.5, 3, -3, 1.5, -1.5, 16777217], dtype)
    x, y = (grid.ravel().copy() for grid in np.meshgrid(values, values))
    result = run(POWER, x, y)
    expected = np.power(x.astype(np.float64), y.astype(np.float64)).astype(dtype)
    np.testing.assert_allclose(result, expected, rtol=3e-7)
    number = ~np.isnan(expected)
    np.testing.assert_array_equal(np.signbit(result[number]), np.signbit(expected[number]))


SQRT_HALF = math.sqrt(0.5)
SQRT_2_OVER_PI = math.sqrt(2.0 / math.pi)


@scalar_function
def silu(x):
    return x * maths.sigmoid(x)


@scalar_function
def gelu(x):
    return 0.5 * x * (1 + maths.erf(SQRT_HALF * x))


@scalar_function
def gelu_tanh(x):
    return 0.5 * x * (1 + maths.tanh(SQRT_2_OVER_PI * (x + 0.044715 * x**3)))


@scalar_function
def softplus(x):
    return maths.maximum(x, 0) + maths.log1p(maths.exp(-maths.fabs(x)))


@pytest.mark.parametrize("name", REFERENCES)
def test_float32_loops_call_nothing(name):
    """A loop with a call into the C library in it would not be vectorised."""
    loop = LOOPS[name]
    run(loop, np.ones(64, np.float32))
    (signature,) = [s for s in loop.signatures if s[0].dtype.bitwidth == 32]
    assembly = loop.inspect_asm(signature)
    called = set(re.findall(r"\b(?:callq?|jmp|bl|movabsq|b)\s+\$?_?([a-z0-9]+f?)\b", assembly))
    library = {n + end for n in [*REFERENCES, "fma", "rint", "log", "atan2"] for end in ("", "f")}
    assert not called & library
    assert re.search(r"<\d+ x float>", loop.inspect_llvm(signature))


@pytest.mark.parametrize("formula", [silu, gelu, gelu_tanh, softplus], ids=lambda f: f.name)
def test_float32_formulas_stay_in_float32(formula):
    loop = loop_over(formula)
    x = np.linspace(-20, 20, 4001, dtype=np.float32)
    result = run(loop, x)
    assert "double" not in loop.inspect_llvm(loop.signatures[0])
    np.testing.assert_allclose(result, run(loop, x.astype(np.float64)), rtol=2e-5, atol=2e-6)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_choices_and_roundings(dtype):
    values = np.array([*SPECIAL, 0.5, 1.5, -0.5, -1.5, 2.5, 1e10, -7.25], dtype)
    x, y = (grid.ravel().copy() for grid in np.meshgrid(values, values))
    unary = {"fabs": np.abs, "floor": np.floor, "ceil": np.ceil, "trunc": np.trunc}
    for name, reference in {**unary, "round_": np.rint}.items():
        np.testing.assert_array_equal(run(loop_over(getattr(maths, name)), x), reference(x))
    for name in ("maximum", "minimum", "copysign"):
        result = run(loop_over(getattr(maths, name), 2), x, y)
        np.testing.assert_array_equal(result, getattr(np, name)(x, y))
    for name in ("isnan", "isinf", "isfinite"):
        loop = loop_over(getattr(maths, name))
        result = np.empty(x.size, np.bool_)
        loop(x, result)
        np.testing.assert_array_equal(result, getattr(np, name)(x))


def test_choices_on_integers_and_booleans():
    assert maths.maximum(2, 3) == 3 and isinstance(maths.maximum(2, 3), int)
    assert maths.minimum(True, False) is False
    assert maths.where(True, 4, 5) == 4
    assert maths.fabs(-3) == 3 and maths.floor(7) == 7
    assert not maths.isnan(3) and maths.isfinite(3)
    x = np.array([-5, 3, 0], np.int32)
    np.testing.assert_array_equal(run(loop_over(maths.maximum, 2), x, -x), [5, 3, 0])


def test_numbers_from_python():
    assert maths.exp(1) == pytest.approx(math.e, rel=1e-15)
    assert maths.exp(np.float64(1.0)) == maths.exp(1.0)
    single = maths.exp(np.float32(1.0))
    assert isinstance(single, np.float32) and single == np.float32(math.e)
    assert maths.pow(np.float32(2.0), 0.5) == pytest.approx(math.sqrt(2.0), rel=1e-15)
    with pytest.raises(TypeError, match=r"exp\(\): expected numbers, got str"):
        maths.exp("1")


@pytest.mark.parametrize("name", REFERENCES)
def test_the_meaning_in_numpy_is_the_function(name):
    function = getattr(maths, name)
    assert function.py_func(0.4) == pytest.approx(function(0.4), rel=1e-14)
    assert function.__doc__
