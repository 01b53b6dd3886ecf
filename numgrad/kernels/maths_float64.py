"""The maths functions in float64: the C library's, one call an element."""

import math

from ._scalar import ScalarFunction


def _float64(function):
    return ScalarFunction(function, lambda *args: function, fastmath=())


@_float64
def exp(x):
    return math.exp(x)


@_float64
def exp2(x):
    return math.pow(2.0, x)


@_float64
def expm1(x):
    return math.expm1(x)


@_float64
def log(x):
    return math.log(x)


@_float64
def log2(x):
    return math.log2(x)


@_float64
def log10(x):
    return math.log10(x)


@_float64
def log1p(x):
    return math.log1p(x)


@_float64
def sigmoid(x):
    # From e^-|x| alone, which neither overflows nor loses the digits of a small result.
    e = math.exp(-abs(x))
    return (e if x < 0.0 else 1.0) / (e + 1.0)


@_float64
def pow(x, y):
    return math.pow(x, y)


@_float64
def sqrt(x):
    return math.sqrt(x)


@_float64
def rsqrt(x):
    return 1.0 / math.sqrt(x)


def _from_library(name):
    function = getattr(math, name)

    def call(x):
        return function(x)

    call.__name__ = call.__qualname__ = name
    return _float64(call)


erf, tanh, sinh, cosh = (_from_library(name) for name in ("erf", "tanh", "sinh", "cosh"))
sin, cos, tan = (_from_library(name) for name in ("sin", "cos", "tan"))
asin, acos, atan = (_from_library(name) for name in ("asin", "acos", "atan"))
