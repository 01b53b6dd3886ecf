"""The maths functions in float64: at most 2 ulp, most of them vector code as in `maths_float32.py`.

The methods are those of the float32 file, with longer polynomials; the comments there hold here.
Two things take more than a vector pays for and are the C library's, one call an element: reducing
an angle of 10^5 and more modulo π, and the general power, which needs a logarithm to 64 bits.
"""

import math

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
    library_function,
    polynomial,
    select,
    shift_left,
    shift_right,
    square_root,
    subtract,
)


def _float64(function):
    return ScalarFunction(
        function, lambda *args: specialise(function, np.float64, np.int64), fastmath=()
    )


INFINITY = float("inf")
NAN = float("nan")
SMALLEST_NORMAL = 2.0**-1022

LOG2_E = 1.4426950408889634
LOG2_E_LOW = 2.0355273740931033e-17
LN2_HIGH = 0.6931471805599453
LN2_LOW = 2.3190468138462996e-17
LOG10_2_HIGH = 0.3010299956639812
LOG10_2_LOW = -2.8037281277851704e-18
LOG10_E = 0.4342944819032518
LOG10_E_LOW = 1.098319650216765e-17
HALF_PI = 1.5707963267948966
HALF_PI_LOW = 6.123233995736766e-17
HALF_PI_LOWEST = -1.4973849048591698e-33
TWO_OVER_PI = 0.6366197723675814
# From here on the C library reduces an angle.
LARGE = 1e5
QUARTER_PI = HALF_PI / 2.0
QUARTER_PI_LOW = HALF_PI_LOW / 2.0
TAN_OF_EIGHTH_PI = 0.41421356237309503
COT_OF_EIGHTH_PI = 2.414213562373095

library_sin, library_cos, library_tan = (library_function(name) for name in ("sin", "cos", "tan"))

# v + ROUND rounds |v| < 2^51 to an integer n, and the low bits of the sum hold n; see float32's.
ROUND = 1.5 * 2.0**52
ROUND_POWER = ROUND + 1023.0
ROUND_HALVES = ROUND + 2046.0

SQRT_HALF = 0.7071067811865476
SQRT_HALF_BITS = 0x3FE6A09E667F3BCD
ONE_BITS = 0x3FF0000000000000
MANTISSA_BITS = 0x000FFFFFFFFFFFFF


# Exponentials


@_float64
def exp_remainder(r):
    """(e^r - 1 - r) / r² for |r| <= ln(2) / 2."""
    return polynomial(
        r,
        (
            0.5,
            0.16666666666666677,
            0.04166666666666667,
            0.008333333333321334,
            0.0013888888888883583,
            0.000198412698870483,
            2.480158732378838e-05,
            2.75572431345474e-06,
            2.7557277291977145e-07,
            2.510945639309957e-08,
            2.0912839181860967e-09,
        ),
    )


@_float64
def exp_minus_one_of_reduced(r):
    """e^r - 1 for |r| <= ln(2) / 2."""
    return fma(exp_remainder(r), r * r, r)


@_float64
def scaled_exp_minus_one(r, s, one):
    """s · e^r - one, where s is a power of two and s - one is exact."""
    # r + the terms beyond it would round twice: the first sum keeps what its rounding lost.
    base = s - one
    high = fma(s, r, base)
    low = fma(s, r, base - high)
    return high + fma(s, exp_remainder(r) * (r * r), low)


@_float64
def exp2_of_reduced(r):
    """2^r for |r| <= 1/2."""
    p = polynomial(
        r,
        (
            0.6931471805599453,
            0.2402265069591012,
            0.05550410866482267,
            0.009618129107597826,
            0.0013333558146241514,
            0.00015403530453256872,
            1.5252733959987285e-05,
            1.3215436927863418e-06,
            1.0178017416178027e-07,
            7.07353489416343e-09,
            4.46085591637941e-10,
        ),
    )
    return fma(p, r, 1.0)


@_float64
def times_power_of_two(p, shifted):
    """p · 2^n, where `shifted` is n + ROUND_HALVES."""
    bits = bits_of(shifted)
    half = shift_right(bits, 1)
    return p * from_bits(shift_left(half, 52)) * from_bits(shift_left(subtract(bits, half), 52))


@_float64
def exp(x):
    x = select(x < -746.0, -746.0, x)
    x = select(x > 710.0, 710.0, x)
    shifted = fma(x, LOG2_E, ROUND_HALVES)
    n = shifted - ROUND_HALVES
    r = fma(n, -LN2_LOW, fma(n, -LN2_HIGH, x))
    return times_power_of_two(exp_minus_one_of_reduced(r) + 1.0, shifted)


@_float64
def exp2(x):
    x = select(x < -1076.0, -1076.0, x)
    x = select(x > 1025.0, 1025.0, x)
    shifted = x + ROUND_HALVES
    return times_power_of_two(exp2_of_reduced(x - (shifted - ROUND_HALVES)), shifted)


@_float64
def expm1(x):
    y = select(x < -38.0, -38.0, x)
    y = select(y > 710.0, 710.0, y)
    shifted = fma(y, LOG2_E, ROUND_POWER - 1.0)
    n = shifted - (ROUND_POWER - 1.0)
    r = fma(n, -LN2_LOW, fma(n, -LN2_HIGH, y))
    s = from_bits(shift_left(bits_of(shifted), 52))
    large = 2.0 * scaled_exp_minus_one(r, s, 0.5)
    return copy_sign(select(n == 0.0, exp_minus_one_of_reduced(r), large), x)


@_float64
def half_exp(x):
    """e^x / 2 for x >= 0, finite as long as the half is."""
    x = select(x > 712.0, 712.0, x)
    shifted = fma(x, LOG2_E, ROUND_HALVES)
    n = shifted - ROUND_HALVES
    r = fma(n, -LN2_LOW, fma(n, -LN2_HIGH, x))
    return times_power_of_two(fma(0.5, exp_minus_one_of_reduced(r), 0.5), shifted)


@_float64
def sinh(x):
    a = absolute(x)
    z = a * a
    p = polynomial(
        z,
        (
            0.16666666666666669,
            0.008333333333332906,
            0.00019841269841598406,
            2.7557319104984967e-06,
            2.5052131295672077e-08,
            1.6056635309189258e-10,
            7.777341988921729e-13,
        ),
    )
    h = half_exp(a)
    return copy_sign(select(a < 1.0, fma(p * z, a, a), h - 0.25 / h), x)


@_float64
def cosh(x):
    h = half_exp(absolute(x))
    return h + 0.25 / h


@_float64
def tanh(x):
    # With d = 2 |x|: (e^d - 1) / (e^d + 1). From |x| = 19.1 on the result is 1.
    a = absolute(x)
    a = select(a > 19.1, 19.1, a)
    d = a + a
    shifted = fma(d, LOG2_E, ROUND_POWER)
    n = shifted - ROUND_POWER
    r = fma(n, -LN2_LOW, fma(n, -LN2_HIGH, d))
    s = from_bits(shift_left(bits_of(shifted), 52))
    numerator = scaled_exp_minus_one(r, s, 1.0)
    denominator = numerator + 2.0
    denominator_low = numerator - (denominator - 2.0)
    # One step of correction, for the rounding of the denominator and of the quotient.
    inverse = 1.0 / denominator
    quotient = numerator * inverse
    rest = fma(-quotient, denominator_low, fma(-quotient, denominator, numerator))
    return copy_sign(fma(rest, inverse, quotient), x)


@_float64
def sigmoid(x):
    e = exp(-absolute(x))
    larger = select(x < 0.0, e, 1.0)
    return fma(-larger, e / (e + 1.0), larger)


@_float64
def erf(x):
    a = absolute(x)
    small = polynomial(
        a * a,
        (
            0.1283791670955126,
            -0.37612638903183754,
            0.11283791670955648,
            -0.02686617064569405,
            0.005223977636399911,
            -0.0008548327983947058,
            0.00012055379698236146,
            -1.4927014249084414e-05,
            1.6486454373441878e-06,
            -1.6621856363117999e-07,
            1.6185569041296474e-08,
            -1.412916884770214e-09,
        ),
    )
    small = fma(small, a, a)
    # From 0.85 on: 1 - 2^q, with q a polynomial for log2(erfc). From 6 on the result is 1.
    q = polynomial(
        select(a > 6.0, 6.0, a),
        (
            -2.323692411498763e-07,
            -1.627904476265429,
            -0.9184611574021215,
            -0.1482291410073206,
            0.027510559003406657,
            0.0004335552383449452,
            -0.002595624673909637,
            0.0009734547077582961,
            -0.00010582954130230621,
            -7.435722417190246e-05,
            5.094451265707939e-05,
            -1.8140568063145025e-05,
            4.445225531302065e-06,
            -7.886004731548721e-07,
            1.0049702945844699e-07,
            -8.77374130228037e-09,
            4.711998952448831e-10,
            -1.1753467340857221e-11,
        ),
    )
    shifted = q + ROUND_POWER
    power = from_bits(shift_left(bits_of(shifted), 52))
    large = fma(-power, exp2_of_reduced(q - (shifted - ROUND_POWER)), 1.0)
    return copy_sign(select(a < 0.85, small, large), x)


@_float64
def normal_cdf(x):
    return fma(0.5, erf(x * SQRT_HALF), 0.5)


# Logarithms


@_float64
def split(x):
    """(n, f) with x = 2^n · (1 + f), f between sqrt(1/2) - 1 and sqrt(2) - 1, for finite x > 0."""
    subnormal = x < SMALLEST_NORMAL
    bits = bits_of(select(subnormal, x * 4503599627370496.0, x))
    bits = subtract(bits, SQRT_HALF_BITS)
    n = np.float64(shift_right(bits, 52)) - select(subnormal, 52.0, 0.0)
    m = from_bits(add(bit_and(bits, MANTISSA_BITS), SQRT_HALF_BITS))
    return n, m - 1.0


@_float64
def beyond_two_terms(f, half_square):
    """log(1 + f) - f + f²/2, where half_square is f²/2.

    With s = f / (2 + f), log(1 + f) = 2s + 2s³/3 + 2s⁵/5 + ..., whose terms shrink faster, and
    2s = f - s f.
    """
    s = f / (f + 2.0)
    z = s * s
    p = polynomial(
        z,
        (
            0.6666666666666734,
            0.3999999999941474,
            0.28571428742751703,
            0.2222219850612626,
            0.18183569081586426,
            0.15313900884903256,
            0.14797696015929532,
        ),
    )
    return s * fma(p, z, half_square)


@_float64
def log1p_of_reduced(f, n):
    """log(1 + f) + n · ln(2)."""
    half_square = 0.5 * f * f
    low = fma(n, LN2_LOW, beyond_two_terms(f, half_square)) - half_square
    return fma(n, LN2_HIGH, f + low)


@_float64
def with_logarithms_special_values(x, result):
    result = select(x < INFINITY, result, x)  # infinity and NaN are their own logarithms
    return select(x > 0.0, result, select(x == 0.0, -INFINITY, NAN))


@_float64
def log(x):
    n, f = split(x)
    return with_logarithms_special_values(x, log1p_of_reduced(f, n))


@_float64
def log_in_two(f):
    """log(1 + f) as an unevaluated sum of a leading part and the rest."""
    half_square = 0.5 * f * f
    high = f - half_square
    return high, (f - high) - half_square + beyond_two_terms(f, half_square)


@_float64
def log2(x):
    n, f = split(x)
    high, low = log_in_two(f)
    low = fma(high, LOG2_E_LOW, low * LOG2_E)
    return with_logarithms_special_values(x, n + fma(high, LOG2_E, low))


@_float64
def log10(x):
    n, f = split(x)
    high, low = log_in_two(f)
    low = fma(high, LOG10_E_LOW, fma(low, LOG10_E, n * LOG10_2_LOW))
    return with_logarithms_special_values(x, fma(n, LOG10_2_HIGH, fma(high, LOG10_E, low)))


@_float64
def log1p(x):
    u = x + 1.0
    bits = subtract(bits_of(u), SQRT_HALF_BITS)
    exponent = shift_right(bits, 52)
    scale = from_bits(subtract(ONE_BITS, shift_left(exponent, 52)))
    m = from_bits(add(bit_and(bits, MANTISSA_BITS), SQRT_HALF_BITS))
    f = select(x > 18014398509481984.0, m - 1.0, fma(x, scale, scale - 1.0))
    result = copy_sign(log1p_of_reduced(f, np.float64(exponent)), x)
    result = select(x < INFINITY, result, x)
    return select(x > -1.0, result, select(x == -1.0, -INFINITY, NAN))


# Powers


@_float64
def pow(x, y):
    return math.pow(x, y)


@_float64
def sqrt(x):
    return square_root(x)


@_float64
def rsqrt(x):
    return 1.0 / square_root(x)


# Circular functions


@_float64
def quarter_turns(x):
    """(r, rest, q) with x = q · π/2 + r + rest and |r| <= π/4, for |x| < LARGE."""
    shifted = fma(x, TWO_OVER_PI, ROUND)
    n = shifted - ROUND
    first = fma(n, -HALF_PI, x)  # exact
    second = n * HALF_PI_LOW
    r = first - second
    # What that difference and that product lost, and the third part of π/2.
    taken = first - r
    lost = (first - (r + taken)) + (taken - second)
    rest = fma(n, -HALF_PI_LOWEST, lost - fma(n, HALF_PI_LOW, -second))
    return r, rest, bits_of(shifted)


@_float64
def sin_beyond_first_term(r, rest, z):
    """sin(r + rest) - r, where z = r²."""
    p = polynomial(
        z,
        (
            -0.16666666666666638,
            0.008333333333323395,
            -0.00019841269830433146,
            2.7557313872257798e-06,
            -2.505078223719067e-08,
            1.589801273592919e-10,
        ),
    )
    return fma(p * z, r, fma(-0.5 * z, rest, rest))


@_float64
def cos_minus_one(r, rest, z):
    """cos(r + rest) - 1, where z = r²."""
    p = polynomial(
        z,
        (
            0.0416666666666666,
            -0.0013888888888874068,
            2.4801587289436282e-05,
            -2.755731433647768e-07,
            2.0875720823995387e-09,
            -1.1359507920458091e-11,
        ),
    )
    return fma(-0.5, z, fma(p * z, z, -r * rest))


@_float64
def sin_at_quarter(r, rest, quarter):
    z = r * r
    cosine = cos_minus_one(r, rest, z) + 1.0
    sine = sin_beyond_first_term(r, rest, z) + r
    y = select(bit_and(quarter, 1) != 0, cosine, sine)
    return from_bits(bit_xor(bits_of(y), shift_left(bit_and(quarter, 2), 62)))


@_float64
def sin(x):
    if absolute(x) >= LARGE:
        return library_sin(x)
    r, rest, quarter = quarter_turns(x)
    return select(x == 0.0, x, sin_at_quarter(r, rest, quarter))  # a zero keeps its sign


@_float64
def cos(x):
    if absolute(x) >= LARGE:
        return library_cos(x)
    r, rest, quarter = quarter_turns(x)
    return sin_at_quarter(r, rest, add(quarter, 1))


@_float64
def tan(x):
    if absolute(x) >= LARGE:
        return library_tan(x)
    r, rest, quarter = quarter_turns(x)
    # Sine and cosine, each with what its rounding lost.
    z = r * r
    s_rest = sin_beyond_first_term(r, rest, z)
    s = r + s_rest
    s_low = s_rest - (s - r)
    c_rest = cos_minus_one(r, rest, z)
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
    left = fma(-quotient, denominator, numerator) + fma(-quotient, denominator_low, numerator_low)
    return select(x == 0.0, x, fma(left, inverse, quotient))


@_float64
def atan(x):
    # Up to tan(π/8) as it is, from cot(π/8) on as π/2 + atan(-1/a), between as
    # π/4 + atan((a - 1) / (a + 1)).
    a = absolute(x)
    small = a < TAN_OF_EIGHTH_PI
    large = a > COT_OF_EIGHTH_PI
    numerator = select(small, a, select(large, -1.0, a - 1.0))
    t = numerator / select(small, 1.0, select(large, a, a + 1.0))
    offset = select(small, 0.0, select(large, HALF_PI, QUARTER_PI))
    offset_low = select(small, 0.0, select(large, HALF_PI_LOW, QUARTER_PI_LOW))
    z = t * t
    p = polynomial(
        z,
        (
            -0.3333333333333331,
            0.19999999999982415,
            -0.1428571428281624,
            0.1111111090315294,
            -0.09090900935041012,
            0.07692112812503406,
            -0.0666366413532881,
            0.058517279994980576,
            -0.050556726666259925,
            0.03845966537739375,
            -0.018319717954558456,
        ),
    )
    return copy_sign(offset + (t + fma(p * z, t, offset_low)), x)


@_float64
def asin_of_reduced(t, z):
    """asin(t), where z = t² <= 0.3165."""
    p = polynomial(
        z,
        (
            0.16666666666666602,
            0.07500000000037317,
            0.04464285709331744,
            0.030381947369634794,
            0.02237206271901815,
            0.017354747561677528,
            0.0139376742640333,
            0.011808894237435393,
            0.008050091628886705,
            0.016430632879661112,
            -0.018981443876133357,
            0.06411256823551922,
            -0.07231909221201051,
            0.05786647146724355,
        ),
    )
    return fma(p * z, t, t)


@_float64
def asin(x):
    a = absolute(x)
    large = a > 0.5625  # asin(a) = π/2 - 2 asin(sqrt((1 - a) / 2))
    z = select(large, fma(-0.5, a, 0.5), a * a)
    p = asin_of_reduced(select(large, square_root(z), a), z)
    return copy_sign(select(large, HALF_PI - fma(2.0, p, -HALF_PI_LOW), p), x)


@_float64
def acos(x):
    a = absolute(x)
    large = a > 0.5625
    z = select(large, fma(-0.5, a, 0.5), a * a)
    p = asin_of_reduced(select(large, square_root(z), a), z)
    near_one = select(x > 0.0, 2.0 * p, 2.0 * (HALF_PI - (p - HALF_PI_LOW)))
    return select(large, near_one, HALF_PI - (copy_sign(p, x) - HALF_PI_LOW))
