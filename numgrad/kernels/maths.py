"""The maths functions of every formula and kernel, as scalar functions.

Inside `@njit` code `exp(x)` compiles to straight vector code for a float32 `x` (`maths_float32.py`,
at most 2 ulp over the whole range) and to `maths_float64.py` for a float64; integers are taken as
float64. From Python it takes a number and runs the same compiled code. Special values (0, -0,
infinities, NaN, subnormals) behave as in PyTorch.

The body of each function here is its meaning in NumPy, for the reader and for the tests.
"""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numba import types
from numba.np.numpy_support import from_dtype

from . import maths_float32, maths_float64
from ._scalar import ScalarFunction, floating_dtype, like, scalar_function
from .maths_bits import (
    absolute,
    bits_of,
    copy_sign,
    round_down,
    round_to_even,
    round_to_zero,
    round_up,
    select,
)

PI = math.pi
__all__ = [
    "ScalarFunction",
    "acos",
    "asin",
    "atan",
    "ceil",
    "copysign",
    "cos",
    "cosh",
    "erf",
    "exp",
    "exp2",
    "expm1",
    "fabs",
    "floor",
    "fmod",
    "isfinite",
    "isinf",
    "isnan",
    "like",
    "log",
    "log10",
    "log1p",
    "log2",
    "maximum",
    "minimum",
    "normal_cdf",
    "pow",
    "round_",
    "rsqrt",
    "scalar_function",
    "sigmoid",
    "sin",
    "sinh",
    "sqrt",
    "tan",
    "tanh",
    "trunc",
    "where",
]


def _float_function(meaning: Callable[..., Any]) -> ScalarFunction:
    """A function with one implementation a floating dtype, found by its name."""
    name = meaning.__name__
    single = getattr(maths_float32, name)
    double = getattr(maths_float64, name)

    def implement(*args: types.Type) -> Callable[..., Any] | None:
        if not all(isinstance(arg, (types.Float, types.Integer, types.Boolean)) for arg in args):
            return None
        floating = floating_dtype(*args) or np.float64
        function = single if floating is np.float32 else double
        if all(arg == from_dtype(np.dtype(floating)) for arg in args):
            return function.implement(*args)
        if len(args) == 1:
            return lambda x: function(floating(x))
        return lambda x, y: function(floating(x), floating(y))

    return ScalarFunction(meaning, implement, fastmath=(), depends_on=(single, double))


@_float_function
def exp(x):
    """e^x."""
    return np.exp(x)


@_float_function
def exp2(x):
    """2^x."""
    return np.exp2(x)


@_float_function
def expm1(x):
    """e^x - 1, to full precision near 0."""
    return np.expm1(x)


@_float_function
def log(x):
    """The natural logarithm: -infinity at 0, NaN below."""
    return np.log(x)


@_float_function
def log2(x):
    """The logarithm to base 2."""
    return np.log2(x)


@_float_function
def log10(x):
    """The logarithm to base 10."""
    return np.log10(x)


@_float_function
def log1p(x):
    """log(1 + x), to full precision near 0."""
    return np.log1p(x)


@_float_function
def tanh(x):
    """(e^x - e^-x) / (e^x + e^-x)."""
    return np.tanh(x)


@_float_function
def sigmoid(x):
    """1 / (1 + e^-x)."""
    return np.exp(-np.logaddexp(0.0, -x))


@_float_function
def erf(x):
    """2 / sqrt(π) · the integral of e^-t² from 0 to x."""
    return math.erf(x)


@_float_function
def normal_cdf(x):
    """Φ(x), the normal distribution's: 8e-8 off at most in float32, and 0 below -6."""
    return 0.5 * (1 + erf(x * math.sqrt(0.5)))


@_float_function
def sin(x):
    """The sine of x radians, with x reduced exactly however large it is."""
    return np.sin(x)


@_float_function
def cos(x):
    """The cosine of x radians."""
    return np.cos(x)


@_float_function
def tan(x):
    """The tangent of x radians."""
    return np.tan(x)


@_float_function
def asin(x):
    """The angle in [-π/2, π/2] with sine x."""
    return np.arcsin(x)


@_float_function
def acos(x):
    """The angle in [0, π] with cosine x."""
    return np.arccos(x)


@_float_function
def atan(x):
    """The angle in [-π/2, π/2] with tangent x."""
    return np.arctan(x)


def _of_half_turns(function: Callable[..., Any]) -> Callable[..., ScalarFunction]:
    """A function of x half turns, computed in float64 so that it is exact near its zeros."""

    def implement(x: types.Type) -> Callable[..., Any]:
        kind = floating_dtype(x) or np.float64
        return lambda x: kind(function(PI * np.float64(x)))

    return lambda meaning: ScalarFunction(meaning, implement, depends_on=(function,))


@_of_half_turns(sin)
def sinpi(x):
    """sin(π x) for x in [-2, 2]."""
    return np.sin(np.pi * x)


@_of_half_turns(cos)
def cospi(x):
    """cos(π x) for x in [-2, 2]."""
    return np.cos(np.pi * x)


@_float_function
def sinh(x):
    """(e^x - e^-x) / 2."""
    return np.sinh(x)


@_float_function
def cosh(x):
    """(e^x + e^-x) / 2."""
    return np.cosh(x)


@_float_function
def pow(x, y):
    """x^y; NaN for a negative x and a y that is no integer."""
    return np.power(x, y)


@_float_function
def rsqrt(x):
    """1 / sqrt(x), correctly rounded twice: `1 / sqrt(x)` in a fast-math loop may be less exact."""
    return 1.0 / np.sqrt(x)


@_float_function
def sqrt(x):
    """The square root, correctly rounded."""
    return np.sqrt(x)


def _implement_raw_bits(x: types.Type) -> Callable[..., Any] | None:
    return (lambda x: bits_of(x)) if isinstance(x, types.Float) else None


def _raw_bits(x):
    """The bits of a float32 or float64 as an int32 or int64."""
    return x.view(np.int32 if x.dtype == np.float32 else np.int64)


raw_bits = ScalarFunction(_raw_bits, _implement_raw_bits, name="raw_bits")

# Choices and roundings: one instruction or two, on any number type


def _any_function(floating: Callable[..., Any], integer: Callable[..., Any] | None = None):
    """A function compiled from `floating`, and where no argument is a float, from `integer`."""

    def implement(*args: types.Type) -> Callable[..., Any]:
        return floating if integer is None or floating_dtype(*args) else integer

    def wrap(meaning: Callable[..., Any]) -> ScalarFunction:
        sources = (floating,) if integer is None else (floating, integer)
        return ScalarFunction(meaning, implement, fastmath=(), depends_on=sources)

    return wrap


@_any_function(lambda condition, a, b: select(condition, a, b))
def where(condition, a, b):
    """`a` where the condition holds, else `b`: a select, no branch, both sides are computed."""
    return np.where(condition, a, b)[()]


# A comparison with NaN is false: the inner select lets a NaN in b through, the outer one in a.


@_any_function(lambda a, b: select(a == a, select(a > b, a, b), a))
def maximum(a, b):
    """The larger of two numbers, NaN if either is NaN."""
    return np.maximum(a, b)


@_any_function(lambda a, b: select(a == a, select(a < b, a, b), a))
def minimum(a, b):
    """The smaller of two numbers, NaN if either is NaN."""
    return np.minimum(a, b)


@_any_function(lambda x: x != x)
def isnan(x):
    """Whether x is NaN."""
    return np.isnan(x)


@_any_function(lambda x: absolute(x) == np.inf, lambda x: False)
def isinf(x):
    """Whether x is infinite."""
    return np.isinf(x)


@_any_function(lambda x: absolute(x) < np.inf, lambda x: True)
def isfinite(x):
    """Whether x is neither infinite nor NaN."""
    return np.isfinite(x)


@_any_function(lambda x: absolute(x), lambda x: select(x < 0, -x, x))
def fabs(x):
    """|x|."""
    return np.abs(x)


@_any_function(lambda x, y: copy_sign(x, y))
def copysign(x, y):
    """|x| with the sign of y, zeros and NaN included; both of one floating dtype."""
    return np.copysign(x, y)


@_any_function(lambda x, y: np.fmod(x, y))
def fmod(x, y):
    """x - y · trunc(x / y), exactly: the sign is the dividend's."""
    return np.fmod(x, y)


@_any_function(lambda x: round_down(x), lambda x: x)
def floor(x):
    """The largest integer not above x."""
    return np.floor(x)


@_any_function(lambda x: round_up(x), lambda x: x)
def ceil(x):
    """The smallest integer not below x."""
    return np.ceil(x)


@_any_function(lambda x: round_to_zero(x), lambda x: x)
def trunc(x):
    """x without its fraction."""
    return np.trunc(x)


@_any_function(lambda x: round_to_even(x), lambda x: x)
def round_(x):
    """The nearest integer, the even one of two."""
    return np.rint(x)
