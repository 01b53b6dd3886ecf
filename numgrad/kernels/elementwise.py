"""The table of elementwise kernels: each operation's scalar function, its derivatives beside it.

A derivative is named for the input it belongs to and takes what it needs by name: `grad` (the
gradient of the output), inputs, or `out` (the output). `identity` passes the gradient through. An
input without a derivative has none. The CPU loop, the CUDA kernel, fusion and the tensor operation
follow from the line here; for higher orders the derivative itself is traced on tensors.

A loop over n elements reads every input and writes the output once: (inputs + 1) · n · itemsize
bytes; its floating-point operations are the formula's.
"""

# ruff: noqa: F811, A001

import math

import numpy as np

from . import maths
from ._elementwise import Elementwise, elementwise
from ._scalar import scalar_function
from .maths import (
    ceil,
    copysign,
    cos,
    erf,
    exp,
    expm1,
    fabs,
    floor,
    isnan,
    log,
    log1p,
    maximum,
    minimum,
    normal_cdf,
    round_,
    sigmoid,
    sqrt,
    tanh,
    trunc,
    where,
)

LN2 = math.log(2.0)
LN10 = math.log(10.0)
TWO_OVER_SQRT_PI = 2.0 / math.sqrt(math.pi)
INV_SQRT_2PI = 1.0 / math.sqrt(2.0 * math.pi)
GELU_SCALE = math.sqrt(2.0 / math.pi)
INF = math.inf


@scalar_function
def identity(grad):
    """The gradient passes through."""
    return grad


@scalar_function
def _sign(x):
    """-1, 0 or 1; 0 for NaN, as in PyTorch."""
    return where(x > 0, 1, where(x < 0, -1, 0))


# ------------------------------------------------------------------- arithmetic


@elementwise
def add(x, y):
    """x + y"""
    return x + y


add.backward("x", "y")(identity)


@elementwise
def sub(x, y):
    """x - y"""
    return x - y


sub.backward("x")(identity)


@sub.backward("y")
def _(grad):
    return -grad


@elementwise
def mul(x, y):
    """x · y"""
    return x * y


@mul.backward("x")
def _(grad, y):
    return grad * y


@mul.backward("y")
def _(grad, x):
    return grad * x


@elementwise
def div(x, y):
    """x / y"""
    return x / y


@div.backward("x")
def _(grad, y):
    return grad / y


@div.backward("y")
def _(grad, y, out):
    return -grad * out / y


@elementwise
def floor_divide(x, y):
    """⌊x / y⌋"""
    return x // y


@elementwise
def trunc_divide(x, y):
    """x / y rounded towards zero"""
    return trunc(x / y)


@elementwise
def int_trunc_divide(x, y):
    """x / y of integers, rounded towards zero"""
    quotient = x // y
    return where((quotient < 0) & (quotient * y != x), quotient + 1, quotient)


@elementwise
def remainder(x, y):
    """x - y · ⌊x / y⌋: the sign is the divisor's"""
    return x % y


remainder.backward("x")(identity)


@remainder.backward("y")
def _(grad, x, y):
    return -grad * floor(x / y)


@elementwise
def fmod(x, y):
    """x - y · trunc(x / y): the sign is the dividend's"""
    return maths.fmod(x, y)


fmod.backward("x")(identity)


@fmod.backward("y")
def _(grad, x, y):
    return -grad * trunc(x / y)


@elementwise
def int_fmod(x, y):
    """The remainder of integers with the dividend's sign"""
    r = x % y
    return where((r != 0) & ((r < 0) != (x < 0)), r - y, r)


@elementwise
def pow(x, y):
    """x to the power y"""
    return maths.pow(x, y)


@pow.backward("x")
def _(grad, x, y):
    return where(y == 0, 0, grad * y * maths.pow(x, y - 1))


@pow.backward("y")
def _(grad, x, y, out):
    return where((x == 0) & (y >= 0), 0, grad * out * log(x))


@elementwise
def int_pow(x, y):
    """x to the power y of integers, by squaring; negative powers round to 0 (or ±1)"""
    result = x * 0 + 1
    base = x
    power = y
    if power < 0:
        if x == 1:
            return result
        if x == -1:
            return result if power % 2 == 0 else -result
        return x * 0
    while power > 0:
        if power & 1:
            result = result * base
        base = base * base
        power = power >> 1
    return result


@elementwise
def neg(x):
    """-x"""
    return -x


@neg.backward()
def _(grad):
    return -grad


@elementwise
def abs(x):
    """|x|"""
    return fabs(x)


@abs.backward()
def _(grad, x):
    return grad * _sign(x)


@elementwise
def int_abs(x):
    """|x| of integers"""
    return where(x < 0, -x, x)


@elementwise
def sign(x):
    """-1, 0 or 1"""
    return _sign(x)


@sign.backward()
def _(grad):
    return 0


@elementwise
def int_sign(x):
    """-1, 0 or 1 of integers"""
    return where(x > 0, x * 0 + 1, where(x < 0, x * 0 - 1, x * 0))


@elementwise
def square(x):
    """x²"""
    return x * x


@square.backward()
def _(grad, x):
    return 2 * grad * x


@elementwise
def reciprocal(x):
    """1 / x"""
    return 1 / x


@reciprocal.backward()
def _(grad, out):
    return -grad * out * out


@elementwise
def maximum_(x, y):
    """The larger; NaN if either is"""
    return maximum(x, y)


@maximum_.backward("x")
def _(grad, x, y):
    return where(x == y, 0.5 * grad, where(x < y, 0, grad))


@maximum_.backward("y")
def _(grad, x, y):
    return where(x == y, 0.5 * grad, where(x > y, 0, grad))


@elementwise
def minimum_(x, y):
    """The smaller; NaN if either is"""
    return minimum(x, y)


@minimum_.backward("x")
def _(grad, x, y):
    return where(x == y, 0.5 * grad, where(x > y, 0, grad))


@minimum_.backward("y")
def _(grad, x, y):
    return where(x == y, 0.5 * grad, where(x < y, 0, grad))


@elementwise
def fmax(x, y):
    """The larger; the number where one is NaN"""
    return where(isnan(x), y, where(isnan(y), x, maximum(x, y)))


@fmax.backward("x")
def _(grad, x, y):
    return where((x >= y) | isnan(y), grad, 0)


@fmax.backward("y")
def _(grad, x, y):
    return where((x >= y) | isnan(y), 0, grad)


@elementwise
def fmin(x, y):
    """The smaller; the number where one is NaN"""
    return where(isnan(x), y, where(isnan(y), x, minimum(x, y)))


@fmin.backward("x")
def _(grad, x, y):
    return where((x <= y) | isnan(y), grad, 0)


@fmin.backward("y")
def _(grad, x, y):
    return where((x <= y) | isnan(y), 0, grad)


@elementwise
def clamp(x, lower, upper):
    """min(max(x, lower), upper)"""
    return minimum(maximum(x, lower), upper)


@clamp.backward("x")
def _(grad, x, lower, upper):
    return where((x < lower) | (x > upper), 0, grad)


@clamp.backward("lower")
def _(grad, x, lower, upper):
    return where((x < lower) & (lower < upper), grad, 0)


@clamp.backward("upper")
def _(grad, x, lower, upper):
    return where((x > upper) | (lower > upper), grad, 0)


@elementwise
def clamp_min(x, lower):
    """max(x, lower)"""
    return maximum(x, lower)


@clamp_min.backward("x")
def _(grad, x, lower):
    return where(x < lower, 0, grad)


@clamp_min.backward("lower")
def _(grad, x, lower):
    return where(x < lower, grad, 0)


@elementwise
def clamp_max(x, upper):
    """min(x, upper)"""
    return minimum(x, upper)


@clamp_max.backward("x")
def _(grad, x, upper):
    return where(x > upper, 0, grad)


@clamp_max.backward("upper")
def _(grad, x, upper):
    return where(x > upper, grad, 0)


@elementwise
def lerp(start, end, weight):
    """start + weight · (end - start), computed from the nearer end"""
    return where(
        fabs(weight) < 0.5, start + weight * (end - start), end - (end - start) * (1 - weight)
    )


@lerp.backward("start")
def _(grad, weight):
    return grad * (1 - weight)


@lerp.backward("end")
def _(grad, weight):
    return grad * weight


@lerp.backward("weight")
def _(grad, start, end):
    return grad * (end - start)


@elementwise
def addcmul(x, a, b, value):
    """x + value · a · b"""
    return x + value * a * b


addcmul.backward("x")(identity)


@addcmul.backward("a")
def _(grad, b, value):
    return grad * value * b


@addcmul.backward("b")
def _(grad, a, value):
    return grad * value * a


@elementwise
def addcdiv(x, a, b, value):
    """x + value · a / b"""
    return x + value * a / b


addcdiv.backward("x")(identity)


@addcdiv.backward("a")
def _(grad, b, value):
    return grad * value / b


@addcdiv.backward("b")
def _(grad, a, b, value):
    return -grad * value * a / (b * b)


@elementwise
def where_(condition: np.bool_, x, y):
    """x where the condition holds, else y"""
    return where(condition, x, y)


@where_.backward("x")
def _(grad, condition):
    return where(condition, grad, 0)


@where_.backward("y")
def _(grad, condition):
    return where(condition, 0, grad)


# -------------------------------------------------- exponentials and logarithms


@elementwise
def exp_(x):
    """eˣ"""
    return exp(x)


@exp_.backward()
def _(grad, out):
    return grad * out


@elementwise
def exp2_(x):
    """2ˣ"""
    return maths.exp2(x)


@exp2_.backward()
def _(grad, out):
    return grad * out * LN2


@elementwise
def expm1_(x):
    """eˣ - 1"""
    return expm1(x)


@expm1_.backward()
def _(grad, out):
    return grad * (out + 1)


@elementwise
def log_(x):
    """ln x"""
    return log(x)


@log_.backward()
def _(grad, x):
    return grad / x


@elementwise
def log2_(x):
    """log₂ x"""
    return maths.log2(x)


@log2_.backward()
def _(grad, x):
    return grad / (x * LN2)


@elementwise
def log10_(x):
    """log₁₀ x"""
    return maths.log10(x)


@log10_.backward()
def _(grad, x):
    return grad / (x * LN10)


@elementwise
def log1p_(x):
    """ln(1 + x)"""
    return log1p(x)


@log1p_.backward()
def _(grad, x):
    return grad / (x + 1)


@elementwise
def logaddexp(x, y):
    """ln(eˣ + eʸ)"""
    high = maximum(x, y)
    return where(high == minimum(x, y), high + LN2, high + log1p(exp(-fabs(x - y))))


@logaddexp.backward("x")
def _(grad, x, out):
    return grad * exp(x - out)


@logaddexp.backward("y")
def _(grad, y, out):
    return grad * exp(y - out)


@elementwise
def xlogy(x, y):
    """x · ln y, and 0 where x is 0 and y is not NaN"""
    return where((x == 0) & ~isnan(y), 0, x * log(y))


@xlogy.backward("x")
def _(grad, x, y):
    return where((x == 0) & (y <= 0), 0, grad * log(y))


@xlogy.backward("y")
def _(grad, x, y):
    return grad * x / y


@elementwise
def sqrt_(x):
    """√x"""
    return sqrt(x)


@sqrt_.backward()
def _(grad, out):
    return grad / (2 * out)


@elementwise
def rsqrt_(x):
    """1 / √x"""
    return maths.rsqrt(x)


@rsqrt_.backward()
def _(grad, out):
    return -0.5 * grad * out * out * out


# --------------------------------------------- trigonometric and hyperbolic


@elementwise(cost=2)
def sin_(x):
    """sin x"""
    return maths.sin(x)


@sin_.backward()
def _(grad, x):
    return grad * cos(x)


@elementwise(cost=2)
def cos_(x):
    """cos x"""
    return cos(x)


@cos_.backward()
def _(grad, x):
    return -grad * maths.sin(x)


@elementwise(cost=2)
def tan_(x):
    """tan x"""
    return maths.tan(x)


@tan_.backward()
def _(grad, out):
    return grad * (1 + out * out)


@elementwise
def asin_(x):
    """arcsin x"""
    return maths.asin(x)


@asin_.backward()
def _(grad, x):
    return grad * maths.rsqrt(1 - x * x)


@elementwise
def acos_(x):
    """arccos x"""
    return maths.acos(x)


@acos_.backward()
def _(grad, x):
    return -grad * maths.rsqrt(1 - x * x)


@elementwise
def atan_(x):
    """arctan x"""
    return maths.atan(x)


@atan_.backward()
def _(grad, x):
    return grad / (1 + x * x)


@elementwise
def atan2(x, y):
    """The angle of the point (y, x): arctan(x / y) in the right quadrant"""
    return math.atan2(x, y)


@atan2.backward("x")
def _(grad, x, y):
    return grad * y / (x * x + y * y)


@atan2.backward("y")
def _(grad, x, y):
    return -grad * x / (x * x + y * y)


@elementwise
def sinh_(x):
    """sinh x"""
    return maths.sinh(x)


@sinh_.backward()
def _(grad, x):
    return grad * maths.cosh(x)


@elementwise
def cosh_(x):
    """cosh x"""
    return maths.cosh(x)


@cosh_.backward()
def _(grad, x):
    return grad * maths.sinh(x)


@elementwise
def tanh_(x):
    """tanh x"""
    return tanh(x)


@tanh_.backward()
def _(grad, out):
    return grad * (1 - out * out)


@elementwise
def erf_(x):
    """erf x"""
    return erf(x)


@erf_.backward()
def _(grad, x):
    return grad * TWO_OVER_SQRT_PI * exp(-x * x)


@elementwise
def sigmoid_(x):
    """σ(x) = 1 / (1 + e⁻ˣ)"""
    return sigmoid(x)


@sigmoid_.backward()
def _(grad, out):
    return grad * (1 - out) * out


# ------------------------------------------------------------------- rounding


@elementwise
def floor_(x):
    """⌊x⌋"""
    return floor(x)


@elementwise
def ceil_(x):
    """⌈x⌉"""
    return ceil(x)


@elementwise
def round_half_even(x):
    """The nearest integer, halves to the even one"""
    return round_(x)


@elementwise
def trunc_(x):
    """x without its fraction"""
    return trunc(x)


@elementwise
def frac(x):
    """x - trunc(x)"""
    return x - trunc(x)


frac.backward()(identity)


@elementwise
def copysign_(x, y):
    """|x| with the sign of y"""
    return copysign(x, y)


@copysign_.backward("x")
def _(grad, x, y):
    return where(x == 0, 0, grad * _sign(x) * copysign(1, y))


for _flat_kernel in (floor_, ceil_, round_half_even, trunc_):

    @_flat_kernel.backward()
    def _(grad):
        return 0


# --------------------------------------------------- comparisons, logic, bits


@elementwise(result=np.bool_)
def eq(x, y):
    """x = y"""
    return x == y


@elementwise(result=np.bool_)
def equal_or_nan(x, y):
    """x = y, or both are NaN"""
    return (x == y) | ((x != x) & (y != y))


@elementwise(result=np.bool_)
def ne(x, y):
    """x ≠ y"""
    return x != y


@elementwise(result=np.bool_)
def lt(x, y):
    """x < y"""
    return x < y


@elementwise(result=np.bool_)
def le(x, y):
    """x ≤ y"""
    return x <= y


@elementwise(result=np.bool_)
def gt(x, y):
    """x > y"""
    return x > y


@elementwise(result=np.bool_)
def ge(x, y):
    """x ≥ y"""
    return x >= y


@elementwise(result=np.bool_)
def logical_and(x, y):
    """x ≠ 0 and y ≠ 0"""
    return (x != 0) & (y != 0)


@elementwise(result=np.bool_)
def logical_or(x, y):
    """x ≠ 0 or y ≠ 0"""
    return (x != 0) | (y != 0)


@elementwise(result=np.bool_)
def logical_xor(x, y):
    """exactly one of x ≠ 0, y ≠ 0"""
    return (x != 0) != (y != 0)


@elementwise(result=np.bool_)
def logical_not(x):
    """x = 0"""
    return x == 0


@elementwise(result=np.bool_)
def isnan_(x):
    """x is NaN"""
    return x != x


@elementwise(result=np.bool_)
def isinf_(x):
    """x is +∞ or -∞"""
    return fabs(x) == INF


@elementwise(result=np.bool_)
def isfinite_(x):
    """x is neither infinite nor NaN"""
    return fabs(x) < INF


@elementwise
def bitwise_and(x, y):
    """x AND y, bit by bit"""
    return x & y


@elementwise
def bitwise_or(x, y):
    """x OR y, bit by bit"""
    return x | y


@elementwise
def bitwise_xor(x, y):
    """x XOR y, bit by bit"""
    return x ^ y


@elementwise
def bitwise_not(x):
    """NOT x, bit by bit"""
    return ~x


@elementwise
def left_shift(x, y):
    """x · 2ʸ of integers; 0 where y is negative or beyond the number of bits"""
    return where((y < 0) | (y > 63), 0, x << (y & 63))


@elementwise
def right_shift(x, y):
    """⌊x / 2ʸ⌋ of integers; the sign (0 or -1) where y is negative or beyond the number of bits"""
    return x >> where((y < 0) | (y > 63), 63, y)


# ----------------------------------------------------------------- activations


@elementwise
def relu(x):
    """max(x, 0)"""
    return where(x < 0, 0, x)


@relu.backward()
def _(grad, out):
    return where(out <= 0, 0, grad)


@elementwise
def gelu(x):
    """x · Φ(x) = x/2 · (1 + erf(x/√2))"""
    return x * normal_cdf(x)


@gelu.backward()
def _(grad, x):
    return grad * (normal_cdf(x) + x * INV_SQRT_2PI * exp(-0.5 * x * x))


@elementwise
def gelu_tanh(x):
    """x/2 · (1 + tanh(√(2/π) · (x + 0.044715·x³)))"""
    return 0.5 * x * (1 + tanh(GELU_SCALE * (x + 0.044715 * x * x * x)))


@gelu_tanh.backward()
def _(grad, x):
    t = tanh(GELU_SCALE * (x + 0.044715 * x * x * x))
    slope = GELU_SCALE * (1 + 3 * 0.044715 * x * x)
    return grad * (0.5 * (1 + t) + 0.5 * x * (1 - t * t) * slope)


@elementwise
def silu(x):
    """x · σ(x)"""
    return x * sigmoid(x)


@silu.backward()
def _(grad, x):
    s = sigmoid(x)
    return grad * s * (1 + x * (1 - s))


@elementwise
def mish(x):
    """x · tanh(ln(1 + eˣ))"""
    return x * tanh(where(x > 20, x, log1p(exp(minimum(x, 20)))))


@mish.backward()
def _(grad, x):
    t = tanh(where(x > 20, x, log1p(exp(minimum(x, 20)))))
    return grad * (t + x * sigmoid(x) * (1 - t * t))


@elementwise
def elu(x, alpha, scale, input_scale):
    """scale · x where x > 0, else scale · alpha · (e^(input_scale · x) - 1)"""
    return where(x > 0, scale * x, scale * alpha * expm1(minimum(x, 0) * input_scale))


@elu.backward("x")
def _(grad, x, alpha, scale, input_scale):
    return grad * where(
        x > 0,
        scale,
        scale * alpha * input_scale * exp(minimum(x, 0) * input_scale),
    )


@elementwise
def leaky_relu(x, negative_slope):
    """x where x > 0, else negative_slope · x"""
    return where(x > 0, x, negative_slope * x)


@leaky_relu.backward("x")
def _(grad, x, negative_slope):
    return where(x > 0, grad, negative_slope * grad)


@leaky_relu.backward("negative_slope")
def _(grad, x):
    return where(x > 0, 0, grad * x)


@elementwise
def softplus(x, beta, threshold):
    """ln(1 + e^(beta·x)) / beta, and x where beta · x > threshold"""
    z = x * beta
    return where(z > threshold, x, (maximum(z, 0) + log1p(exp(-fabs(z)))) / beta)


@softplus.backward("x")
def _(grad, x, beta, threshold):
    return where(x * beta > threshold, grad, grad * sigmoid(x * beta))


@elementwise
def hardtanh(x, lower, upper):
    """x between lower and upper, else the nearer of them"""
    return minimum(maximum(x, lower), upper)


@hardtanh.backward("x")
def _(grad, x, lower, upper):
    return where((x <= lower) | (x >= upper), 0, grad)


@elementwise
def log_sigmoid(x):
    """ln σ(x) = min(x, 0) - ln(1 + e^-|x|)"""
    return minimum(x, 0) - log1p(exp(-fabs(x)))


@log_sigmoid.backward()
def _(grad, x):
    return grad * sigmoid(-x)


@elementwise
def hardsigmoid(x):
    """min(max(x/6 + 1/2, 0), 1)"""
    return minimum(maximum(x + 3, 0), 6) / 6


@hardsigmoid.backward()
def _(grad, x):
    return where((x > -3) & (x < 3), grad / 6, 0)


@elementwise
def hardswish(x):
    """x · min(max(x + 3, 0), 6) / 6"""
    return x * minimum(maximum(x + 3, 0), 6) / 6


@hardswish.backward()
def _(grad, x):
    return where(x <= -3, 0, where(x < 3, grad * (x / 3 + 0.5), grad))


@elementwise
def softsign(x):
    """x / (1 + |x|)"""
    return x / (1 + fabs(x))


@softsign.backward()
def _(grad, x):
    d = 1 + fabs(x)
    return grad / (d * d)


@elementwise
def hardshrink(x, lambd):
    """0 where |x| ≤ lambd, else x"""
    return where(fabs(x) <= lambd, 0, x)


@hardshrink.backward("x")
def _(grad, x, lambd):
    return where(fabs(x) <= lambd, 0, grad)


@elementwise
def softshrink(x, lambd):
    """x - lambd where x > lambd, x + lambd where x < -lambd, else 0"""
    return where(x > lambd, x - lambd, where(x < -lambd, x + lambd, 0 * x))


@softshrink.backward("x")
def _(grad, x, lambd):
    return where(fabs(x) <= lambd, 0, grad)


@elementwise
def threshold(x, limit, value):
    """x where x > limit, else value"""
    return where(x <= limit, value, x)


@threshold.backward("x")
def _(grad, x, limit):
    return where(x <= limit, 0, grad)


# ---------------------------------------------------------------- conversions


def _copy(x):
    """x, converted to the output's dtype"""
    return x


#: copy[dtype] converts T to dtype.
copy: dict[np.dtype, Elementwise] = {}
for _dtype in ("float32", "float64", "int8", "int16", "int32", "int64", "uint8", "bool"):
    copy[np.dtype(_dtype)] = elementwise(_copy, result=_dtype)
