"""What CUDA twins share: wide loads, and reductions over the threads of a block.

A reduction by shuffles combines in a fixed order, so that the same launch gives the same bits. All
threads of a block must take part, and a block has a power of two of warps.
"""

from . import Intrinsic, T, cuda, device

FULL = 0xFFFFFFFF  # all lanes of a warp


def _vector(width):
    def load(pointer, group):
        return tuple([pointer[width * group + k] for k in range(width)])

    def store(pointer, group, values):
        for k in range(width):
            pointer[width * group + k] = values[k]

    load.__name__, store.__name__ = f"load{width}", f"store{width}"
    load.__doc__ = f"Elements {width} · group … of an aligned pointer, as a tuple."
    store.__doc__ = f"Put a tuple where `load{width}` reads one."
    return Intrinsic(load), Intrinsic(store)


#: By width: elements `width` · group … of a pointer that is aligned to `width` elements, as a
#: tuple, by one instruction; and the reverse.
VECTOR = {width: _vector(width) for width in (1, 2, 4, 8, 16)}
load4, store4 = VECTOR[4]
load16 = VECTOR[16][0]


@Intrinsic
def aligned(pointer, width):
    """Whether a pointer is aligned for loads of `width` elements, a power of two."""
    return pointer.start % width == 0  # the memory behind it begins at a multiple of 512


@Intrinsic
def atomic_add(pointer, index, value):
    """pointer[index] += value of an integer, in one step for all threads; what it held before."""
    before = pointer[index]
    pointer[index] = before + value
    return before


@Intrinsic
def divide32(a, b):
    """a // b of numbers from 0 to 2³² - 1; in 64 bits it takes several times as long."""
    return a // b


@Intrinsic
def remainder32(a, b):
    """a % b of numbers from 0 to 2³² - 1."""
    return a % b


def block_reduction(combine, kind=T):
    """A device function that reduces one value a thread, of the type `kind`, over the block by the
    device function `combine`; every thread gets the result."""

    @device
    def reduce(value):
        partial = cuda.shared.array(32, kind)
        for offset in (16, 8, 4, 2, 1):
            value = combine(value, cuda.shfl_xor_sync(FULL, value, offset))
        warps = cuda.blockDim.x // 32
        if warps > 1:
            lane = cuda.threadIdx.x % 32
            if lane == 0:
                partial[cuda.threadIdx.x // 32] = value
            cuda.syncthreads()
            value = partial[lane % warps]
            offset = warps // 2
            while offset > 0:
                value = combine(value, cuda.shfl_xor_sync(FULL, value, offset))
                offset //= 2
            # The next reduction writes where others may still read.
            cuda.syncthreads()
        return value

    return reduce


@device
def add(a, b):
    return a + b


@device
def greater(a, b):
    """The larger of two numbers, NaN if either is NaN."""
    return a if a > b or a != a else b


block_sum = block_reduction(add)
block_max = block_reduction(greater)


def block_scan(kind=T):
    """A device function that gives each thread the sum of the values, of the type `kind`, of all
    threads up to and with itself, and the sum of all."""

    @device
    def scan(value):
        partial = cuda.shared.array(32, kind)
        lane, warp = cuda.threadIdx.x % 32, cuda.threadIdx.x // 32
        for offset in (1, 2, 4, 8, 16):
            other = cuda.shfl_up_sync(FULL, value, offset)
            if lane >= offset:
                value += other
        if lane == 31:
            partial[warp] = value
        cuda.syncthreads()
        total = kind(0)
        before = kind(0)
        for k in range(cuda.blockDim.x // 32):
            if k == warp:
                before = total
            total += partial[k]
        cuda.syncthreads()
        return value + before, total

    return scan
