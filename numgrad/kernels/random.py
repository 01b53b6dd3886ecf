"""PyTorch's CPU random numbers: the Mersenne Twister MT19937 and what is made of its words.

A stream is sequential, so every kernel here is one work item. Its state is one array of
`STATE_WORDS` uint32: 624 words of the twister, how many of them are used up, and a normal value
kept for the next call (whether there is one, and its float64 in two words). The order of the draws,
the bits taken from each and the roundings are PyTorch's, so that the same seed gives the same
numbers: bit for bit where no transcendental function is involved, to the last digits where one is.
(PyTorch on an Intel processor takes `bernoulli_`, dropout masks and `exponential_` from MKL's
generator instead; here, as in PyTorch on any other processor, they come from this one.)

A *word* is one 32-bit draw; a *wide word* is two, the first one the high half. Uniform float32
numbers come from 24 bits of a word, float64 ones from 53 bits of a wide word.
"""

import math

import numpy as np
from numba import njit

from ._contract import flat, kernel, rows, scalar, updates, writes
from .maths import log as log_of
from .maths_bits import add, bits_of, fma, from_bits
from .maths_float32 import ROUND, sin_at_quarter

WORDS = 624
POSITION = WORDS  # state[POSITION]: how many words are used up; WORDS and more: all
KEPT = WORDS + 1  # state[KEPT]: 1 where a normal value is kept
KEPT_VALUE = WORDS + 2  # its low and high half
STATE_WORDS = WORDS + 4
STATE = updates(flat(np.uint32))  # the spec of the array of them
#: The position right after seeding. PyTorch's saved state tells it from "all used up".
UNUSED = WORDS + 1

#: From this many elements on a permutation takes wide words, in another order.
MANY = (1 << 32) // 20

SHIFT = 397
UPPER, LOWER, TWIST = np.uint32(0x80000000), np.uint32(0x7FFFFFFF), np.uint32(0x9908B0DF)
MASK_B, MASK_C = np.uint32(0x9D2C5680), np.uint32(0xEFC60000)
SINGLE_BITS, DOUBLE_BITS = np.uint32((1 << 24) - 1), np.uint64((1 << 53) - 1)
SINGLE_STEP, DOUBLE_STEP = np.float32(2.0**-24), 2.0**-53

TWO_PI = 2.0 * math.pi
TWO_PI_SINGLE = np.float32(TWO_PI)
TWO_OVER_PI_SINGLE = np.float32(2.0 / math.pi)
HALF_PI_HIGH = np.float32(math.pi / 2)
HALF_PI_LOW = np.float32(math.pi / 2 - float(HALF_PI_HIGH))
ROUND_SINGLE = np.float32(ROUND)
ONE, MINUS_TWO = np.float32(1.0), np.float32(-2.0)

# No fast-math flags: a fused multiply-add would round other than PyTorch does.
EXACT = {
    "error_model": "numpy",
    "forceinline": True,
    "no_cpython_wrapper": True,
    "no_cfunc_wrapper": True,
}


def _one(*arguments):
    """The work items of a kernel that consumes a stream."""
    return 1


# The generator


@kernel(items=_one)
def seed(begin, end, state: STATE, value: scalar(np.int64)):
    """The twister's initial words from the low 32 bits of a seed: Knuth's linear recurrence.
    Four operations an element."""
    if begin < end:
        word = np.uint32(value)
        state[0] = word
        for k in range(1, WORDS):
            word = np.uint32(
                np.uint32(1812433253) * (word ^ (word >> np.uint32(30))) + np.uint32(k)
            )
            state[k] = word
        state[POSITION] = UNUSED
        state[KEPT] = 0


@njit(**EXACT)
def _twisted(word, following, distant):
    mixed = (word & UPPER) | (following & LOWER)
    return np.uint32(distant ^ (mixed >> np.uint32(1)) ^ (TWIST * (mixed & np.uint32(1))))


@njit(error_model="numpy", no_cpython_wrapper=True, no_cfunc_wrapper=True)
def _refill(state):
    """The next 624 words of the twister, in place."""
    for k in range(WORDS - SHIFT):
        state[k] = _twisted(state[k], state[k + 1], state[k + SHIFT])
    for k in range(WORDS - SHIFT, WORDS - 1):
        state[k] = _twisted(state[k], state[k + 1], state[k + SHIFT - WORDS])
    state[WORDS - 1] = _twisted(state[WORDS - 1], state[0], state[SHIFT - 1])


@njit(**EXACT)
def _tempered(word):
    word = np.uint32(word ^ (word >> np.uint32(11)))
    word = np.uint32(word ^ ((word << np.uint32(7)) & MASK_B))
    word = np.uint32(word ^ ((word << np.uint32(15)) & MASK_C))
    return np.uint32(word ^ (word >> np.uint32(18)))


@njit(**EXACT)
def _position(state):
    """Where the next unused word lies."""
    if state[POSITION] >= WORDS:
        _refill(state)
        state[POSITION] = 0
    return np.int64(state[POSITION])


@njit(**EXACT)
def _word(state):
    position = _position(state)
    state[POSITION] = position + 1
    return _tempered(state[position])


@njit(**EXACT)
def _wide(high, low):
    return (np.uint64(high) << np.uint64(32)) | np.uint64(low)


@njit(**EXACT)
def _wide_word(state):
    high = _word(state)
    return _wide(high, _word(state))


@njit(**EXACT)
def _fill_from_words(state, out, start, stop, transform, a, b):
    """out[i] = transform(word, a, b) for start <= i < stop, a whole block of words at a time."""
    done = start
    while done < stop:
        position = _position(state)
        count = min(stop - done, WORDS - position)
        words = state[position : position + count]
        part = out[done : done + count]
        for k in range(count):
            part[k] = transform(_tempered(words[k]), a, b)
        state[POSITION] = position + count
        done += count


@njit(**EXACT)
def _fill_from_wide_words(state, out, start, stop, transform, a, b):
    """out[i] = transform(wide word, a, b) for start <= i < stop."""
    done = start
    while done < stop:
        position = _position(state)
        count = min(stop - done, (WORDS - position) // 2)
        if count == 0:  # one word is left, the low half is in the next block
            out[done] = transform(_wide_word(state), a, b)
            done += 1
            continue
        words = state[position : position + 2 * count]
        part = out[done : done + count]
        for k in range(count):
            part[k] = transform(_wide(_tempered(words[2 * k]), _tempered(words[2 * k + 1])), a, b)
        state[POSITION] = position + 2 * count
        done += count


# Uniform numbers


@njit(**EXACT)
def _unit_single(word):
    return np.float32(np.int32(word & SINGLE_BITS)) * SINGLE_STEP


@njit(**EXACT)
def _unit_double(wide):
    return np.float64(np.int64(wide & DOUBLE_BITS)) * DOUBLE_STEP


@njit(**EXACT)
def _uniform_single(word, low, span):
    return _unit_single(word) * span + low


@njit(**EXACT)
def _uniform_double(wide, low, span):
    return _unit_double(wide) * span + low


@kernel(items=_one)
def uniform_float32(
    begin, end, state: STATE, out: writes(flat(np.float32)), low: scalar, high: scalar
):
    """out[i] = u · (high - low) + low with u = (word mod 2^24) / 2^24, in float32; three
    operations an element of out."""
    if begin < end:
        base = np.float32(low)
        _fill_from_words(state, out, 0, out.size, _uniform_single, base, np.float32(high) - base)


@kernel(items=_one)
def uniform_float64(
    begin, end, state: STATE, out: writes(flat(np.float64)), low: scalar, high: scalar
):
    """out[i] = u · (high - low) + low with u = (wide word mod 2^53) / 2^53; three operations
    an element of out."""
    if begin < end:
        _fill_from_wide_words(state, out, 0, out.size, _uniform_double, low, high - low)


# Integers. `bounds` holds the number of values and the lowest one as uint64, modulo 2^64.


@njit(**EXACT)
def _integer(word, span, base):
    return np.int64(np.uint64(word % np.uint32(span)) + base)


@njit(**EXACT)
def _wide_integer(wide, span, base):
    # A span of 2^64 is 0 here.
    return np.int64((wide if span == np.uint64(0) else wide % span) + base)


@kernel(items=_one)
def integers(begin, end, state: STATE, out: writes(flat), bounds: flat(np.uint64)):
    """out[i] = word mod span + base; two operations an element of out."""
    if begin < end:
        _fill_from_words(state, out, 0, out.size, _integer, bounds[0], bounds[1])


@kernel(items=_one)
def wide_integers(begin, end, state: STATE, out: writes(flat), bounds: flat(np.uint64)):
    """out[i] = wide word mod span + base; two operations an element of out."""
    if begin < end:
        _fill_from_wide_words(state, out, 0, out.size, _wide_integer, bounds[0], bounds[1])


@kernel(items=_one)
def permutation(begin, end, state: STATE, out: writes(flat)):
    """The numbers 0 ... n - 1 in random order, each order as likely as any other; one
    operation an element of out."""
    if begin < end:
        n = out.size
        if n < MANY:  # each number changes places with one from itself on
            for i in range(n):
                out[i] = i
            for i in range(n - 1):
                j = i + np.int64(np.uint64(_word(state)) % np.uint64(n - i))
                out[i], out[j] = out[j], out[i]
        else:  # each number goes to a place up to its own, what was there to its own
            for i in range(n):
                j = np.int64(_wide_word(state) % np.uint64(i + 1))
                out[i] = out[j]
                out[j] = i


# Events


@njit(**EXACT)
def _event(wide, probability, value):
    return value if _unit_double(wide) < probability else 0.0


@kernel(items=_one)
def bernoulli(begin, end, state: STATE, out: writes(flat), probability: scalar, value: scalar):
    """out[i] = `value` with the given probability, else 0; a wide word and two operations an
    element of out."""
    if begin < end:
        _fill_from_wide_words(state, out, 0, out.size, _event, probability, value)


@kernel(items=_one)
def bernoulli_float32(begin, end, state: STATE, out: writes(flat), probabilities: flat(np.float32)):
    """out[i] = 1 with probability probabilities[i], else 0; a word and two operations an element of
    out."""
    if begin < end:
        for i in range(out.size):
            out[i] = _unit_single(_word(state)) < probabilities[i]


@kernel(items=_one)
def bernoulli_float64(begin, end, state: STATE, out: writes(flat), probabilities: flat(np.float64)):
    """out[i] = 1 with probability probabilities[i], else 0; a wide word and two operations an
    element of out."""
    if begin < end:
        for i in range(out.size):
            out[i] = _unit_double(_wide_word(state)) < probabilities[i]


@kernel(items=_one)
def multinomial(
    begin, end, state: STATE, out: writes(rows(np.int64)), weights: rows, cumulative: updates(flat)
):
    """out[i, k] = an index into weights[i], drawn with replacement in proportion to the weights.

    `cumulative` is scratch space for one row. Two operations an element of weights, log2(n)
    comparisons for each draw.
    """
    if begin < end:
        categories = weights.shape[1]
        for i in range(weights.shape[0]):
            total = cumulative.dtype.type(0)
            for j in range(categories):
                total += weights[i, j]
                cumulative[j] = total
            for j in range(categories):
                cumulative[j] = _quotient(cumulative[j], total)
            for k in range(out.shape[1]):
                u = _unit_double(_wide_word(state))
                first, last = 0, categories  # the answer lies in [first, last]
                while first < last:
                    middle = (first + last) // 2
                    if cumulative[middle] < u:
                        first = middle + 1
                    else:
                        last = middle
                out[i, k] = min(first, categories - 1)


@njit(**EXACT)
def _quotient(a, b):
    return a / b


# Continuous distributions, computed in float64 from one wide word


@njit(**EXACT)
def _exponential(wide, rate, _):
    return -1.0 / rate * math.log1p(-_unit_double(wide))


@njit(**EXACT)
def _cauchy(wide, median, sigma):
    return median + sigma * math.tan(math.pi * (_unit_double(wide) - 0.5))


@njit(**EXACT)
def _geometric(wide, log_failure, _):
    return math.ceil(math.log(_unit_double(wide)) / log_failure)


@kernel(items=_one)
def exponential(begin, end, state: STATE, out: writes(flat), rate: scalar):
    """out[i] = -log(1 - u) / rate: a logarithm and five operations an element of out."""
    if begin < end:
        _fill_from_wide_words(state, out, 0, out.size, _exponential, rate, 0.0)


@kernel(items=_one)
def cauchy(begin, end, state: STATE, out: writes(flat), median: scalar, sigma: scalar):
    """out[i] = median + sigma · tan(π (u - 1/2)): a tangent and six operations an element of out."""
    if begin < end:
        _fill_from_wide_words(state, out, 0, out.size, _cauchy, median, sigma)


@kernel(items=_one)
def geometric(begin, end, state: STATE, out: writes(flat), probability: scalar):
    """out[i] = ceil(log(u) / log(1 - probability)): trials up to and with the first success;
    a logarithm and four operations an element of out."""
    if begin < end:
        log_failure = math.log1p(-probability)
        _fill_from_wide_words(state, out, 0, out.size, _geometric, log_failure, 0.0)


# Normal numbers. Box and Muller: from uniform u and v, sqrt(-2 log(u)) times cos(2πv) and sin(2πv).


@njit(**EXACT)
def _normal(state):
    """One normal number in float64; every second one was kept from the last call."""
    if state[KEPT]:
        state[KEPT] = 0
        low, high = np.uint64(state[KEPT_VALUE]), np.uint64(state[KEPT_VALUE + 1])
        return from_bits(np.int64((high << np.uint64(32)) | low))
    angle = TWO_PI * _unit_double(_wide_word(state))
    radius = math.sqrt(-2.0 * math.log1p(-_unit_double(_wide_word(state))))
    bits = bits_of(radius * math.sin(angle))
    state[KEPT] = 1
    state[KEPT_VALUE] = np.uint32(bits & np.int64(0xFFFFFFFF))
    state[KEPT_VALUE + 1] = np.uint32(bits >> np.int64(32))
    return radius * math.cos(angle)


@njit(**EXACT)
def _scaled(z, mean, std):
    return z * std + mean


@kernel(items=_one)
def normal_one_by_one(begin, end, state: STATE, out: writes(flat), mean: scalar, std: scalar):
    """out[i] = z · std + mean in float64: PyTorch's way for fewer than 16 or strided numbers; a
    sine, a logarithm and eight operations an element of out."""
    if begin < end:
        for i in range(out.size):
            out[i] = _scaled(_normal(state), mean, std)


@kernel(items=_one)
def log_normal(begin, end, state: STATE, out: writes(flat), mean: scalar, std: scalar):
    """out[i] = exp(z · std + mean), one by one: a sine, a logarithm, an exponential and eight
    operations an element of out."""
    if begin < end:
        for i in range(out.size):
            out[i] = math.exp(_scaled(_normal(state), mean, std))


@njit(**EXACT)
def _sixteen_single(part, mean, std):
    # 8 radii from the first half, 8 angles from the second; cosines, then sines.
    for k in range(8):
        radius = np.float32(math.sqrt(MINUS_TWO * log_of(ONE - part[k])))
        angle = TWO_PI_SINGLE * part[k + 8]
        shifted = fma(angle, TWO_OVER_PI_SINGLE, ROUND_SINGLE)
        quarters = shifted - ROUND_SINGLE
        rest = fma(quarters, -HALF_PI_LOW, fma(quarters, -HALF_PI_HIGH, angle))
        quarter = bits_of(shifted)
        part[k] = radius * sin_at_quarter(rest, add(quarter, np.int32(1))) * std + mean
        part[k + 8] = radius * sin_at_quarter(rest, quarter) * std + mean


@njit(**EXACT)
def _sixteen_double(part, mean, std):
    for k in range(8):
        radius = math.sqrt(-2.0 * math.log(1.0 - part[k]))
        angle = TWO_PI * part[k + 8]
        part[k] = radius * math.cos(angle) * std + mean
        part[k + 8] = radius * math.sin(angle) * std + mean


@kernel(items=_one)
def normal_float32(
    begin, end, state: STATE, out: writes(flat(np.float32)), mean: scalar, std: scalar
):
    """out[i] = z · std + mean for 16 numbers or more, sixteen at a time from sixteen uniforms.

    Where their count is no multiple of 16, the last sixteen are drawn anew. For each pair of numbers
    a logarithm and two sines: about forty operations an element of out.
    """
    if begin < end:
        n = out.size
        zero, mean_single, std_single = np.float32(0.0), np.float32(mean), np.float32(std)
        _fill_from_words(state, out, 0, n, _uniform_single, zero, ONE)
        for i in range(0, n - 15, 16):
            _sixteen_single(out[i : i + 16], mean_single, std_single)
        if n % 16 != 0:
            _fill_from_words(state, out, n - 16, n, _uniform_single, zero, ONE)
            _sixteen_single(out[n - 16 : n], mean_single, std_single)


@kernel(items=_one)
def normal_float64(
    begin, end, state: STATE, out: writes(flat(np.float64)), mean: scalar, std: scalar
):
    """`normal_float32`'s rule in float64: a sine, a logarithm and eight operations an element of out."""
    if begin < end:
        n = out.size
        _fill_from_wide_words(state, out, 0, n, _uniform_double, 0.0, 1.0)
        for i in range(0, n - 15, 16):
            _sixteen_double(out[i : i + 16], mean, std)
        if n % 16 != 0:
            _fill_from_wide_words(state, out, n - 16, n, _uniform_double, 0.0, 1.0)
            _sixteen_double(out[n - 16 : n], mean, std)
