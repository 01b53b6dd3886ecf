"""The maths functions in float32: at most 2 ulp over the whole range, and nothing but vector code.

Every function is straight-line scalar code: both sides of a choice are computed and `select` takes
one, so that a loop around it becomes vector instructions, as many elements at a time as the
processor has lanes. The steps are the classical ones: reduce the argument to a small interval,
evaluate a polynomial there, undo the reduction with integer operations on the exponent.

The polynomials are weighted minimax fits over the reduced interval; their coefficients were rounded
to float32 one at a time, lowest power first, the others refitted after each. Literals take the
type float32 and integer literals int32 when a function is compiled (`_scalar.specialise`);
constants that have to stay float64 are NumPy scalars.
"""

import numpy as np

from ._scalar import ScalarFunction, specialise
from .maths_bits import (
    absolute,
    add,
    bit_and,
    bit_xor,
    bits_of,
    copy_sign,
    fma,
    from_bits,
    low_bits,
    polynomial,
    round_to_even,
    round_to_zero,
    select,
    shift_left,
    shift_right,
    square_root,
    subtract,
)


def _float32(function):
    # No fast-math flags: the last bits and the special values depend on the order of operations.
    return ScalarFunction(
        function, lambda *args: specialise(function, np.float32, np.int32), fastmath=()
    )


def _float64(function):
    """A helper in float64, for the steps that need more than 24 bits."""
    return ScalarFunction(
        function, lambda *args: specialise(function, np.float64, np.int64), fastmath=()
    )


INFINITY = float("inf")
NAN = float("nan")
SMALLEST_NORMAL = 2.0**-126

LOG2_E = 1.4426950408889634
# ln(2) in two pieces: the first as float32 holds it, the second what is left.
LN2_HIGH = float(np.float32(0.6931471805599453))
LN2_LOW = 0.6931471805599453 - LN2_HIGH
LOG2_E_LOW = 1.4426950408889634 - float(np.float32(1.4426950408889634))
LOG10_2_HIGH = float(np.float32(0.3010299956639812))
LOG10_2_LOW = 0.3010299956639812 - LOG10_2_HIGH
LOG10_E_LOW = 0.4342944819032518 - float(np.float32(0.4342944819032518))
LOG10_E = 0.4342944819032518
PI = float(np.float32(3.141592653589793))
PI_LOW = 3.141592653589793 - PI
HALF_PI = PI / 2.0
HALF_PI_LOW = PI_LOW / 2.0

# v + ROUND rounds |v| < 2^22 to an integer n, and the low bits of the sum hold n.
ROUND = 1.5 * 2.0**23
# The same with the exponent's bias added: shifted left by 23, the bits are those of 2^n.
ROUND_POWER = ROUND + 127.0
# Twice the bias: half of the low bits, shifted left by 23, are those of 2^(n / 2).
ROUND_HALVES = ROUND + 254.0

SQRT_HALF_BITS = 0x3F3504F3
MANTISSA_BITS = 0x007FFFFF
SIGN_BIT = -0x80000000


# Exponentials


@_float32
def exp_minus_one_of_reduced(r):
    """e^r - 1 for |r| <= ln(2) / 2."""
    p = polynomial(r, (0.5, 0.16666521, 0.04166639, 0.008368681, 0.0013941874))
    return fma(p, r * r, r)


@_float32
def exp2_of_reduced(r):
    """2^r for |r| <= 1/2."""
    p = polynomial(r, (0.6931472, 0.2402265, 0.055503596, 0.009618065, 0.0013390997, 0.00015461475))
    return fma(p, r, 1.0)


@_float32
def times_power_of_two(p, shifted):
    """p · 2^n, where `shifted` is n + ROUND_HALVES.

    2^n alone can overflow or be subnormal where the product isn't: two factors.
    """
    bits = bits_of(shifted)
    half = shift_right(bits, 1)
    return p * from_bits(shift_left(half, 23)) * from_bits(shift_left(subtract(bits, half), 23))


@_float32
def exp(x):
    # e^x = 2^n · e^r. Beyond these bounds the result is 0 or infinity.
    x = select(x < -104.0, -104.0, x)
    x = select(x > 89.0, 89.0, x)
    shifted = fma(x, LOG2_E, ROUND_HALVES)
    n = shifted - ROUND_HALVES
    r = fma(n, -LN2_LOW, fma(n, -LN2_HIGH, x))
    return times_power_of_two(exp_minus_one_of_reduced(r) + 1.0, shifted)


@_float32
def exp2(x):
    x = select(x < -151.0, -151.0, x)
    x = select(x > 129.0, 129.0, x)
    shifted = x + ROUND_HALVES
    return times_power_of_two(exp2_of_reduced(x - (shifted - ROUND_HALVES)), shifted)


@_float32
def expm1(x):
    y = select(x < -18.0, -18.0, x)
    y = select(y > 89.0, 89.0, y)
    # s = 2^(n - 1), because 2^n overflows at n = 128: e^x - 1 = 2 (s (e^r - 1) + (s - 1/2)).
    shifted = fma(y, LOG2_E, ROUND_POWER - 1.0)
    n = shifted - (ROUND_POWER - 1.0)
    r = fma(n, -LN2_LOW, fma(n, -LN2_HIGH, y))
    p = exp_minus_one_of_reduced(r)
    s = from_bits(shift_left(bits_of(shifted), 23))
    # At n = 0 the halving would cost a subnormal result its last bit.
    return copy_sign(select(n == 0.0, p, 2.0 * fma(s, p, s - 0.5)), x)


@_float32
def half_exp(x):
    """e^x / 2 for x >= 0, finite as long as the half is."""
    x = select(x > 90.0, 90.0, x)
    shifted = fma(x, LOG2_E, ROUND_HALVES)
    n = shifted - ROUND_HALVES
    r = fma(n, -LN2_LOW, fma(n, -LN2_HIGH, x))
    return times_power_of_two(fma(0.5, exp_minus_one_of_reduced(r), 0.5), shifted)


@_float32
def sinh(x):
    a = absolute(x)
    z = a * a
    p = polynomial(z, (0.16666667, 0.008333311, 0.00019842619, 2.784127e-06))
    h = half_exp(a)
    return copy_sign(select(a < 1.0, fma(p * z, a, a), h - 0.25 / h), x)


@_float32
def cosh(x):
    h = half_exp(absolute(x))
    return h + 0.25 / h


@_float32
def tanh(x):
    a = absolute(x)
    z = a * a
    small = polynomial(z, (-0.33333322, 0.1333272, -0.05386447, 0.021116463, -0.006332071))
    small = fma(small * z, a, a)
    # From 0.55 on, with d = 2 |x|: (e^d - 1) / (e^d + 1). From 9.1 on the result is 1.
    near_zero = a < 0.55
    a = select(a > 9.1, 9.1, a)
    d = a + a
    shifted = fma(d, LOG2_E, ROUND_POWER)
    n = shifted - ROUND_POWER
    r = fma(n, -LN2_LOW, fma(n, -LN2_HIGH, d))
    s = from_bits(shift_left(bits_of(shifted), 23))
    expm1_d = fma(s, exp_minus_one_of_reduced(r), s - 1.0)
    return copy_sign(select(near_zero, small, expm1_d / (expm1_d + 2.0)), x)


@_float32
def sigmoid(x):
    # From e^-|x| alone, which neither overflows nor loses the digits of a small result.
    e = exp(-absolute(x))
    larger = select(x < 0.0, e, 1.0)
    return fma(-larger, e / (e + 1.0), larger)


@_float32
def erf(x):
    a = absolute(x)
    z = a * a
    small = polynomial(
        z, (0.12837917, -0.37612593, 0.11282905, -0.02680897, 0.0050604716, -0.00063642144)
    )
    small = fma(small, a, a)
    # From 0.85 on: 1 - 2^q, with q a polynomial for log2(erfc). From 4 on the result is 1.
    b = select(a > 4.0, 4.0, a)
    q = polynomial(
        b,
        (
            -0.00015079936,
            -1.627448,
            -0.9183029,
            -0.1507988,
            0.03248797,
            -0.004498065,
            0.00029383833,
        ),
    )
    shifted = q + ROUND_POWER
    power = from_bits(shift_left(bits_of(shifted), 23))
    large = fma(-power, exp2_of_reduced(q - (shifted - ROUND_POWER)), 1.0)
    return copy_sign(select(a < 0.85, small, large), x)


@_float32
def normal_cdf(x):
    # 2^q for -|x|, with q a polynomial for log2(Φ); from -6 on (Φ < 1e-9) the result is 0.
    a = absolute(x)
    q = polynomial(
        a,
        (
            -1.0,
            -1.1511061,
            -0.4591975,
            -0.05253651,
            0.007132208,
            -0.00019706339,
            -0.00015841944,
            3.2976168e-05,
            -2.2573849e-06,
        ),
    )
    q = select(a > 6.0, -127.0, q)
    shifted = q + ROUND_POWER
    power = from_bits(shift_left(bits_of(shifted), 23))
    tail = power * exp2_of_reduced(q - (shifted - ROUND_POWER))
    return select(x < 0.0, tail, 1.0 - tail)


# Logarithms


@_float32
def split(x):
    """(n, f) with x = 2^n · (1 + f), f between sqrt(1/2) - 1 and sqrt(2) - 1, for finite x > 0."""
    subnormal = x < SMALLEST_NORMAL
    bits = bits_of(select(subnormal, x * 8388608.0, x))
    bits = subtract(bits, SQRT_HALF_BITS)
    n = np.float32(shift_right(bits, 23)) - select(subnormal, 23.0, 0.0)
    m = from_bits(add(bit_and(bits, MANTISSA_BITS), SQRT_HALF_BITS))
    return n, m - 1.0


@_float32
def log1p_of_reduced(f, n):
    """log(1 + f) + n · ln(2)."""
    p = polynomial(
        f,
        (
            0.33333316,
            -0.25000808,
            0.20002297,
            -0.16624641,
            0.14181101,
            -0.13127948,
            0.1288172,
            -0.07861506,
        ),
    )
    z = f * f
    low = fma(-0.5, z, fma(p * f, z, n * LN2_LOW))
    return fma(n, LN2_HIGH, f + low)


@_float32
def with_logarithms_special_values(x, result):
    result = select(x < INFINITY, result, x)  # infinity and NaN are their own logarithms
    return select(x > 0.0, result, select(x == 0.0, -INFINITY, NAN))


@_float32
def log(x):
    n, f = split(x)
    return with_logarithms_special_values(x, log1p_of_reduced(f, n))


@_float32
def log2(x):
    n, f = split(x)
    p = polynomial(
        f,
        (
            -0.72134733,
            0.4808982,
            -0.36069867,
            0.28857142,
            -0.23956735,
            0.20448658,
            -0.19139086,
            0.18708822,
            -0.110255755,
        ),
    )
    low = fma(p * f, f, f * LOG2_E_LOW)
    return with_logarithms_special_values(x, n + fma(f, LOG2_E, low))


@_float32
def log10(x):
    n, f = split(x)
    p = polynomial(
        f,
        (
            -0.21714719,
            0.14476478,
            -0.108580895,
            0.086868696,
            -0.07212285,
            0.06155904,
            -0.05756469,
            0.056283318,
            -0.033273853,
        ),
    )
    low = fma(p * f, f, fma(f, LOG10_E_LOW, n * LOG10_2_LOW))
    return with_logarithms_special_values(x, fma(n, LOG10_2_HIGH, fma(f, LOG10_E, low)))


@_float32
def log1p(x):
    u = x + 1.0
    bits = subtract(bits_of(u), SQRT_HALF_BITS)
    exponent = shift_right(bits, 23)
    # 1 + f = (1 + x) / 2^n, computed from x itself, not from the rounded 1 + x. From 2^32 on the
    # two don't differ, and 1 / 2^n would become subnormal.
    scale = from_bits(subtract(0x3F800000, shift_left(exponent, 23)))
    m = from_bits(add(bit_and(bits, MANTISSA_BITS), SQRT_HALF_BITS))
    f = select(x > 4294967296.0, m - 1.0, fma(x, scale, scale - 1.0))
    result = copy_sign(log1p_of_reduced(f, np.float32(exponent)), x)
    result = select(x < INFINITY, result, x)
    return select(x > -1.0, result, select(x == -1.0, -INFINITY, NAN))


# Powers


@_float64
def log2_of_power(m, n, y):
    """y · (n + log2(m)) for m between sqrt(1/2) and sqrt(2)."""
    f = m - 1.0
    p = polynomial(
        f,
        (
            1.4426950408686803,
            -0.7213475208693284,
            0.4808983614110641,
            -0.36067367473921663,
            0.28853729193218497,
            -0.24045316871982617,
            0.2061754125949606,
            -0.18030058579499855,
            0.15876904734238562,
            -0.1431558896050304,
            0.14475223812594457,
            -0.14284477703229959,
            0.07737015231849471,
        ),
    )
    t = y * fma(p, f, n)
    t = select(t < -151.0, -151.0, t)
    return select(t > 129.0, 129.0, t)


@_float32
def pow(x, y):
    # |x|^y = 2^(y · log2 |x|). The product needs 8 bits beyond float32's 24: it is done in float64.
    a = absolute(x)
    n, f = split(a)
    n = select(a == 0.0, -INFINITY, select(a < INFINITY, n, a))
    t = log2_of_power(np.float64(f) + np.float64(1.0), np.float64(n), np.float64(y))
    whole = round_to_even(t)
    shifted = np.float32(whole) + ROUND_HALVES
    result = times_power_of_two(exp2_of_reduced(np.float32(t - whole)), shifted)
    half = y * 0.5
    integer = round_to_zero(y) == y
    odd = integer & (round_to_zero(half) != half)
    result = select((x < 0.0) & (a < INFINITY) & ~integer, NAN, result)
    result = select(odd, copy_sign(result, x), result)
    # 1 whatever the other argument, NaN included; (-1)^±infinity is 1 too.
    one = (y == 0.0) | (x == 1.0) | ((x == -1.0) & (absolute(y) == INFINITY))
    return select(one, 1.0, result)


@_float32
def sqrt(x):
    return square_root(x)


@_float32
def rsqrt(x):
    return 1.0 / square_root(x)


# Circular functions

# 2/π for |x| from 0, 2^48, 2^74 and 2^100 on, each in two float64. An argument that large is a
# multiple of a power of two, so the leading bits of 2/π only add whole turns and are left out.
TWO_OVER_PI_0 = 0.6366197723675813
TWO_OVER_PI_0_LOW = 7.166494911215068e-17
TWO_OVER_PI_48 = 8.528719804229428e-08
TWO_OVER_PI_48_LOW = 6.074026489649846e-24
TWO_OVER_PI_74 = 2.93709554037182e-16
TWO_OVER_PI_74_LOW = 1.018166438749971e-32
TWO_OVER_PI_100 = 6.074026489649846e-24
TWO_OVER_PI_100_LOW = 3.1436547554916045e-40
TWO_TO_48 = np.float32(2.0**48)
TWO_TO_74 = np.float32(2.0**74)
TWO_TO_100 = np.float32(2.0**100)
ROUND_FLOAT64 = 1.5 * 2.0**52
HALF_PI_FLOAT64 = 1.5707963267948966


@_float64
def quarter_turns(x):
    """(r, q) with x = q · π/2 + r, modulo 2π, for a float32 x: r in float64, q in int32.

    |r| stays below 0.97: the second product can add 0.11 quarters to the remainder of the first.
    """
    a = absolute(x)
    high = select(a < TWO_TO_48, TWO_OVER_PI_0, TWO_OVER_PI_48)
    low = select(a < TWO_TO_48, TWO_OVER_PI_0_LOW, TWO_OVER_PI_48_LOW)
    high = select(a < TWO_TO_74, high, TWO_OVER_PI_74)
    low = select(a < TWO_TO_74, low, TWO_OVER_PI_74_LOW)
    high = select(a < TWO_TO_100, high, TWO_OVER_PI_100)
    low = select(a < TWO_TO_100, low, TWO_OVER_PI_100_LOW)
    wide = np.float64(x)
    shifted = fma(wide, high, ROUND_FLOAT64)
    rest = fma(wide, low, fma(wide, high, -(shifted - ROUND_FLOAT64)))
    return rest * HALF_PI_FLOAT64, low_bits(shifted)


@_float32
def sin_beyond_first_term(r, z):
    """sin(r) - r, where z = r²."""
    p = polynomial(z, (-0.16666667, 0.00833336, -0.00019844182, 2.7397543e-06))
    return p * z * r


@_float32
def cos_minus_one(z):
    """cos(r) - 1, where z = r²."""
    p = polynomial(z, (0.041666597, -0.0013885378, 2.4250643e-05))
    return fma(p * z, z, -0.5 * z)


@_float32
def sin_at_quarter(r, quarter):
    z = r * r
    cosine = cos_minus_one(z) + 1.0
    y = select(bit_and(quarter, 1) != 0, cosine, sin_beyond_first_term(r, z) + r)
    return from_bits(bit_xor(bits_of(y), shift_left(bit_and(quarter, 2), 30)))


@_float32
def sin(x):
    r, quarter = quarter_turns(x)
    return select(x == 0.0, x, sin_at_quarter(np.float32(r), quarter))  # a zero keeps its sign


@_float32
def cos(x):
    r, quarter = quarter_turns(x)
    return sin_at_quarter(np.float32(r), add(quarter, 1))


@_float32
def tan(x):
    r_wide, quarter = quarter_turns(x)
    r = np.float32(r_wide)
    r_low = np.float32(r_wide - r)
    # Sine and cosine, each with what its rounding lost.
    z = r * r
    s_rest = sin_beyond_first_term(r, z) + r_low
    s = r + s_rest
    s_low = s_rest - (s - r)
    c_rest = fma(-r, r_low, cos_minus_one(z))
    c = c_rest + 1.0
    c_low = c_rest - (c - 1.0)
    # s / c, or -c / s a quarter on, with one step of correction.
    even = bit_and(quarter, 1) == 0
    numerator = select(even, s, -c)
    numerator_low = select(even, s_low, -c_low)
    denominator = select(even, c, s)
    denominator_low = select(even, c_low, s_low)
    inverse = 1.0 / denominator
    quotient = numerator * inverse
    rest = fma(-quotient, denominator, numerator) + fma(-quotient, denominator_low, numerator_low)
    return select(x == 0.0, x, fma(rest, inverse, quotient))


@_float32
def atan(x):
    a = absolute(x)
    large = a > 1.0  # atan(a) = π/2 + atan(-1 / a)
    t = select(large, -1.0, a) / select(large, a, 1.0)
    z = t * t
    p = polynomial(
        z,
        (
            -0.33333302,
            0.19998609,
            -0.14264795,
            0.10954774,
            -0.08410365,
            0.058067594,
            -0.03128092,
            0.010967123,
            -0.0018048441,
        ),
    )
    small = fma(p * z, t, t)
    return copy_sign(select(large, HALF_PI + (small + HALF_PI_LOW), small), x)


@_float32
def asin_of_reduced(t, z):
    """asin(t), where z = t² <= 0.3165."""
    p = polynomial(z, (0.16666642, 0.07501719, 0.044279907, 0.033738166, 0.007466579, 0.046756934))
    return fma(p * z, t, t)


@_float32
def asin(x):
    a = absolute(x)
    large = a > 0.5625  # asin(a) = π/2 - 2 asin(sqrt((1 - a) / 2))
    z = select(large, fma(-0.5, a, 0.5), a * a)
    p = asin_of_reduced(select(large, square_root(z), a), z)
    return copy_sign(select(large, HALF_PI - fma(2.0, p, -HALF_PI_LOW), p), x)


@_float32
def acos(x):
    a = absolute(x)
    large = a > 0.5625
    z = select(large, fma(-0.5, a, 0.5), a * a)
    p = asin_of_reduced(select(large, square_root(z), a), z)
    near_one = select(x > 0.0, 2.0 * p, PI - fma(2.0, p, -PI_LOW))
    return select(large, near_one, HALF_PI - (copy_sign(p, x) - HALF_PI_LOW))
