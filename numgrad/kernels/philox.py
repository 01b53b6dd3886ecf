"""Random numbers by counting: Philox, the generator of a GPU's random numbers.

A block of random words is a function of a seed and a counter, so that a thread computes those of
its elements and no others, in whatever order, and any grid gives the same numbers. Here the counter
holds the stream's offset and the number of a group of four elements (Salmon, Moraes, Dror & Shaw
2011, "Parallel random numbers: as easy as 1, 2, 3": Philox4x32-10).

The stream's state is three int64: the seed, the offset, which goes up by the words that a draw takes
of each group (PyTorch's two numbers, saved as it saves them), and a counter that is 0 between
launches. It lies in the device's memory, so that a captured graph goes on with the stream.

A float32 number takes one word, a float64 one two; other dtypes are made of float32 numbers. Each
kernel is one work item on the CPU, which serves the tests, and a group an item on CUDA.
"""

from collections.abc import Callable

import numpy as np
from numba import njit

from ._contract import Kernel, flat, kernel, rows, scalar, updates, writes
from ._scalar import ScalarFunction, floating_dtype, like
from .cuda import T, cuda, device
from .cuda.blocks import VECTOR, aligned, atomic_add, block_scan
from .maths import ceil, cospi, exp, log1p, sinpi, sqrt

STATE = updates(flat(np.int64))
SEED, OFFSET, TICKET, STATE_WORDS = 0, 1, 2, 3
#: Elements whose numbers come from one block of words, or from two.
GROUP = 4
ROUNDS = 10

MULTIPLIER_0, MULTIPLIER_1 = np.uint64(0xD2511F53), np.uint64(0xCD9E8D57)
WEYL_0, WEYL_1 = np.uint32(0x9E3779B9), np.uint32(0xBB67AE85)
LOW, HIGH = np.uint64(0xFFFFFFFF), np.uint64(32)

SINGLE_STEP, DOUBLE_STEP = np.float32(2.0**-24), np.float64(2.0**-53)
SINGLE_SHIFT, DOUBLE_SHIFT = np.uint32(8), np.uint64(11)
#: Between 0 and the smallest number that is drawn.
BELOW = 2.0**-54

EXACT = {
    "error_model": "numpy",
    "forceinline": True,
    "no_cpython_wrapper": True,
    "no_cfunc_wrapper": True,
}


# ------------------------------------------------------------------------ the generator


@njit(**EXACT)
def philox(seed, counter, group):
    """Four random words, uint32, of a seed, a counter and the number of a group (int64 each)."""
    a, b = np.uint64(counter), np.uint64(group)
    c0, c1 = np.uint32(a & LOW), np.uint32(a >> HIGH)
    c2, c3 = np.uint32(b & LOW), np.uint32(b >> HIGH)
    key = np.uint64(seed)
    k0, k1 = np.uint32(key & LOW), np.uint32(key >> HIGH)
    for _ in range(ROUNDS):
        p, q = MULTIPLIER_0 * np.uint64(c0), MULTIPLIER_1 * np.uint64(c2)
        c0, c1, c2, c3 = (
            np.uint32(q >> HIGH) ^ c1 ^ k0,
            np.uint32(q & LOW),
            np.uint32(p >> HIGH) ^ c3 ^ k1,
            np.uint32(p & LOW),
        )
        k0, k1 = np.uint32(k0 + WEYL_0), np.uint32(k1 + WEYL_1)
    return c0, c1, c2, c3


@njit(**EXACT)
def _single(word):
    return np.float32(np.int32(word >> SINGLE_SHIFT)) * SINGLE_STEP


@njit(**EXACT)
def wide(high, low):
    """Two words as one of 64 bits."""
    return (np.uint64(high) << HIGH) | np.uint64(low)


@njit(**EXACT)
def _double(high, low):
    return np.float64(np.int64(wide(high, low) >> DOUBLE_SHIFT)) * DOUBLE_STEP


def _units_single(zero, seed, offset, group):
    a, b, c, d = philox(seed, offset >> 2, group)
    return _single(a), _single(b), _single(c), _single(d)


def _units_double(zero, seed, offset, group):
    a, b, c, d = philox(seed, offset >> 2, group)
    e, f, g, h = philox(seed, (offset >> 2) + 1, group)
    return _double(a, b), _double(c, d), _double(e, f), _double(g, h)


def _by_type(name: str, single: Callable, double: Callable, doc: str) -> ScalarFunction:
    """A function that is `double` where its first argument is a float64, and `single` else."""

    def meaning(zero, *arguments):
        return (double if isinstance(zero, np.float64) else single)(zero, *arguments)

    meaning.__doc__ = doc
    return ScalarFunction(
        meaning,
        lambda zero, *rest: double if floating_dtype(zero) is np.float64 else single,
        name=name,
        fastmath=(),
        depends_on=(single, double),
    )


unit_zero = _by_type(
    "unit_zero",
    lambda zero: np.float32(0),
    lambda zero: np.float64(0),
    "0 in the dtype of the random numbers for an element of this type.",
)
words = _by_type(
    "words", lambda zero: 4, lambda zero: 8, "How many words a group of four numbers takes."
)
units = _by_type(
    "units",
    _units_single,
    _units_double,
    "Four uniform numbers in [0, 1), of the type of `zero`.",
)


@njit(**EXACT)
def _box_muller(u, v):
    """Two normal numbers of two uniform ones (Box & Muller 1958)."""
    radius = sqrt(like(u, -2) * log1p(-u))
    return radius * cospi(v + v), radius * sinpi(v + v)


@njit(**EXACT)
def normals(zero, seed, offset, group):
    """Four normal numbers."""
    u = units(zero, seed, offset, group)
    a, b = _box_muller(u[0], u[1])
    c, d = _box_muller(u[2], u[3])
    return a, b, c, d


@device
def advance(state, offset, count):
    """Move the stream on once all blocks have read its state: the last of them does so."""
    cuda.threadfence()
    cuda.syncthreads()
    if cuda.threadIdx.x == 0 and atomic_add(state, TICKET, 1) == cuda.gridDim.x - 1:
        state[TICKET] = 0
        state[OFFSET] = offset + count


def _groups(state, out, *rest):
    return -(-out.size // GROUP)


def _one(*arguments):
    return 1


# ----------------------------------------------------- numbers of one distribution each


def _filler(name: str, source: Callable, draw: Callable, doc: str) -> Kernel:
    """The kernel out[i] = draw(uᵢ, a, b) with the u of `source`: `units` or `normals`."""
    draw = njit(**EXACT)(draw)
    load, store = VECTOR[GROUP]

    def fill(begin, end, state: STATE, out: writes(flat), a: scalar, b: scalar):
        n = out.size
        if begin < end and n > 0:
            seed, offset = state[SEED], state[OFFSET]
            zero = unit_zero(out.dtype.type(0))
            p, q = like(zero, a), like(zero, b)
            for group in range((n + GROUP - 1) // GROUP):
                u = source(zero, seed, offset, group)
                for j in range(min(GROUP, n - GROUP * group)):
                    out[GROUP * group + j] = draw(u[j], p, q)
            state[OFFSET] = offset + words(zero)

    fill.__name__ = fill.__qualname__ = name
    fill.__doc__ = doc
    made = kernel(fill, items=_one)

    @made.on_cuda(items=_groups)
    def _(items, state, out, out_size, a, b):
        seed, offset = state[SEED], state[OFFSET]
        zero = unit_zero(T(0))
        p, q = like(zero, a), like(zero, b)
        whole = out_size // GROUP if aligned(out, GROUP) else 0
        for group in range(cuda.grid(1), items, cuda.gridsize(1)):
            u = source(zero, seed, offset, group)
            x, y, z, w = draw(u[0], p, q), draw(u[1], p, q), draw(u[2], p, q), draw(u[3], p, q)
            first = GROUP * group
            if group < whole:
                store(out, group, (x, y, z, w))
            else:
                out[first] = x
                if first + 1 < out_size:
                    out[first + 1] = y
                if first + 2 < out_size:
                    out[first + 2] = z
                if first + 3 < out_size:
                    out[first + 3] = w
        advance(state, offset, words(zero))

    return made


def _uniform(u, low, span):
    return u * span + low


def _event(u, probability, value):
    return value if u < probability else like(u, 0)


def _exponential(u, rate, _):
    return -log1p(-u) / rate


def _cauchy(u, median, sigma):
    v = u if u > 0 else like(u, BELOW)
    return median - sigma * (cospi(v) / sinpi(v))


def _geometric(u, log_failure, _):
    trials = ceil(log1p(-u) / log_failure)
    return trials if trials > 1 else like(u, 1)


def _scaled(z, mean, std):
    return z * std + mean


def _log_normal(z, mean, std):
    return exp(z * std + mean)


philox_uniform = _filler(
    "philox_uniform",
    units,
    _uniform,
    "out[i] = u · b + a, u uniform in [0, 1). Forty operations an element.",
)
philox_normal = _filler(
    "philox_normal",
    normals,
    _scaled,
    "out[i] = z · b + a, z normal. A logarithm, a sine and forty operations an element.",
)
philox_log_normal = _filler(
    "philox_log_normal",
    normals,
    _log_normal,
    "out[i] = exp(z · b + a), z normal. An exponential, a logarithm, a sine and forty operations an "
    "element.",
)
philox_bernoulli = _filler(
    "philox_bernoulli",
    units,
    _event,
    "out[i] = b with the probability a, else 0. Forty operations an element.",
)
philox_exponential = _filler(
    "philox_exponential",
    units,
    _exponential,
    "out[i] = -log(1 - u) / a; b is not read. A logarithm and forty operations an element.",
)
philox_cauchy = _filler(
    "philox_cauchy",
    units,
    _cauchy,
    "out[i] = a + b · tan(π (u - 1/2)); u = 0 counts as 2⁻⁵⁴. A tangent and forty operations an "
    "element.",
)
philox_geometric = _filler(
    "philox_geometric",
    units,
    _geometric,
    "out[i] = ceil(log(1 - u) / a), 1 at least, a the logarithm of the probability of failure: "
    "trials up to and with the first success; b is not read. A logarithm and forty operations an "
    "element.",
)


def _each(name: str, dtype: type) -> Kernel:
    """The kernel out[i] = 1 with the probability probabilities[i]."""

    def fill(begin, end, state: STATE, out: writes(flat), probabilities: flat(dtype)):
        n = out.size
        if begin < end and n > 0:
            seed, offset = state[SEED], state[OFFSET]
            zero = dtype(0)
            for group in range((n + GROUP - 1) // GROUP):
                u = units(zero, seed, offset, group)
                for j in range(min(GROUP, n - GROUP * group)):
                    out[GROUP * group + j] = u[j] < probabilities[GROUP * group + j]
            state[OFFSET] = offset + words(zero)

    fill.__name__ = fill.__qualname__ = name
    fill.__doc__ = (
        "out[i] = 1 with the probability probabilities[i], else 0. Forty operations an element."
    )
    made = kernel(fill, items=_one)

    @made.on_cuda(items=_groups)
    def _(items, state, out, out_size, probabilities):
        seed, offset = state[SEED], state[OFFSET]
        zero = dtype(0)
        for group in range(cuda.grid(1), items, cuda.gridsize(1)):
            a, b, c, d = units(zero, seed, offset, group)
            first = GROUP * group
            out[first] = T(a < probabilities[first])
            if first + 1 < out_size:
                out[first + 1] = T(b < probabilities[first + 1])
            if first + 2 < out_size:
                out[first + 2] = T(c < probabilities[first + 2])
            if first + 3 < out_size:
                out[first + 3] = T(d < probabilities[first + 3])
        advance(state, offset, words(zero))

    return made


philox_bernoulli_float32 = _each("philox_bernoulli_float32", np.float32)
philox_bernoulli_float64 = _each("philox_bernoulli_float64", np.float64)


# ------------------------------------------------------------------------------ integers


@njit(**EXACT)
def _bound(high, low):
    """Two halves, which float64 holds, as 64 bits."""
    return (np.uint64(high) << HIGH) | np.uint64(low)


def _integer_filler(name: str, sources: int, doc: str) -> Kernel:
    """The kernel out[i] = word mod span + base, a word of 32 or of 64 bits."""

    @njit(**EXACT)
    def narrow(seed, offset, group):
        a, b, c, d = philox(seed, offset >> 2, group)
        return np.uint64(a), np.uint64(b), np.uint64(c), np.uint64(d)

    @njit(**EXACT)
    def broad(seed, offset, group):
        a, b, c, d = philox(seed, offset >> 2, group)
        e, f, g, h = philox(seed, (offset >> 2) + 1, group)
        return wide(a, b), wide(c, d), wide(e, f), wide(g, h)

    @njit(**EXACT)
    def number(word, span, base):
        # A span of 2^64 is 0 here.
        return np.int64((word if span == np.uint64(0) else word % span) + base)

    source = narrow if sources == 1 else broad
    count = GROUP * sources

    def fill(
        begin, end, state: STATE, out: writes(flat),
        span_high: scalar, span_low: scalar, base_high: scalar, base_low: scalar,
    ):  # fmt: skip
        n = out.size
        if begin < end and n > 0:
            seed, offset = state[SEED], state[OFFSET]
            span, base = _bound(span_high, span_low), _bound(base_high, base_low)
            for group in range((n + GROUP - 1) // GROUP):
                word = source(seed, offset, group)
                for j in range(min(GROUP, n - GROUP * group)):
                    out[GROUP * group + j] = number(word[j], span, base)
            state[OFFSET] = offset + count

    fill.__name__ = fill.__qualname__ = name
    fill.__doc__ = doc
    made = kernel(fill, items=_one)

    @made.on_cuda(items=_groups)
    def _(items, state, out, out_size, span_high, span_low, base_high, base_low):
        seed, offset = state[SEED], state[OFFSET]
        span, base = _bound(span_high, span_low), _bound(base_high, base_low)
        for group in range(cuda.grid(1), items, cuda.gridsize(1)):
            a, b, c, d = source(seed, offset, group)
            first = GROUP * group
            out[first] = T(number(a, span, base))
            if first + 1 < out_size:
                out[first + 1] = T(number(b, span, base))
            if first + 2 < out_size:
                out[first + 2] = T(number(c, span, base))
            if first + 3 < out_size:
                out[first + 3] = T(number(d, span, base))
        advance(state, offset, count)

    return made


philox_integers = _integer_filler(
    "philox_integers",
    1,
    "out[i] = word mod span + base; span and base in halves of 32 bits, modulo 2^64. Forty operations "
    "an element.",
)
philox_wide_integers = _integer_filler(
    "philox_wide_integers",
    2,
    "`philox_integers` with words of 64 bits; a span of 0 is 2^64. Forty operations an element.",
)


# ---------------------------------------------------------------- indices by their weights

scan = block_scan()


@kernel(items=_one)
def philox_multinomial(
    begin, end, state: STATE, out: writes(rows(np.int64)), weights: rows, cumulative: updates(rows)
):
    """out[i, k] = an index into weights[i], drawn with replacement in proportion to the weights.

    weights and `cumulative`, which is scratch space, (count, n); out (count, draws). Two operations
    an element of weights, and as many comparisons for each drawn as n has bits.
    """
    if begin < end and out.size > 0:
        seed, offset = state[SEED], state[OFFSET]
        zero = weights.dtype.type(0)
        n, draws = weights.shape[1], out.shape[1]
        for i in range(weights.shape[0]):
            total = zero
            for j in range(n):
                total += weights[i, j]
                cumulative[i, j] = total
            for k in range(draws):
                p = i * draws + k
                u = units(zero, seed, offset, p // GROUP)[p % GROUP]
                target = (like(u, 1) - u) * total
                first, last = 0, n - 1  # the answer lies in [first, last]
                while first < last:
                    middle = (first + last) // 2
                    if cumulative[i, middle] < target:
                        first = middle + 1
                    else:
                        last = middle
                out[i, k] = first
        state[OFFSET] = offset + words(zero)


@philox_multinomial.on_cuda(each="block", items=lambda state, out, weights, *_: weights.shape[0])
def _(items, state, out, out_size, weights, weights_size, cumulative):
    seed, offset = state[SEED], state[OFFSET]
    zero = T(0)
    n, draws = weights_size // items, out_size // items
    for i in range(cuda.blockIdx.x, items, cuda.gridDim.x):
        row = i * n
        total = zero
        for start in range(0, n, cuda.blockDim.x):
            j = start + cuda.threadIdx.x
            running, added = scan(weights[row + j] if j < n else zero)
            if j < n:
                cumulative[row + j] = total + running
            total += added
        cuda.syncthreads()
        for k in range(cuda.threadIdx.x, draws, cuda.blockDim.x):
            p = i * draws + k
            u = units(zero, seed, offset, p // GROUP)[p % GROUP]
            target = (like(u, 1) - u) * total
            first, last = 0, n - 1
            while first < last:
                middle = (first + last) // 2
                if cumulative[row + middle] < target:
                    first = middle + 1
                else:
                    last = middle
            out[p] = first
        cuda.syncthreads()
    advance(state, offset, words(zero))
