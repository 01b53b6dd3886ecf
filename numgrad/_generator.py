"""One stream of random numbers: the state of a `Generator`, and draws into NumPy arrays.

The numbers are PyTorch's for the same seed, and the saved state is PyTorch's own 5056 bytes, so
that a stream can be carried from one library to the other and back. The drawing itself is in
`kernels/random.py`.
"""

import os
import threading
from typing import Any

import numpy as np

import numgrad.device as devices

from .device import cpu
from .kernels import checks
from .kernels import random as kernels

#: The seed of a PyTorch generator that nobody seeded.
DEFAULT_SEED = 67280421310721

# PyTorch's saved state. `left` counts the words until the next refill, that one included.
_SAVED = np.dtype(
    [
        ("seed", "<u8"),
        ("left", "<i4"),
        ("seeded", "<i4"),
        ("next", "<u8"),
        ("words", "<u8", kernels.WORDS),
        ("normal_x", "<f8"),
        ("normal", "<f8"),
        ("normal_rho", "<f8"),
        ("normal_is_kept", "<i8"),
        ("float_normal", "<u8"),
    ]
)

# Integers: a span below this takes 32 random bits, any other 64.
_WIDE_SPAN = 1 << 28

# What a kernel without a dtype of its own to choose is compiled for.
_FIXED = np.dtype(np.float32)

# What PyTorch calls these types when a bound does not fit.
_C_NAMES = {
    "bool": "bool",
    "uint8": "unsigned char",
    "int8": "signed char",
    "int16": "short",
    "int32": "int",
    "int64": "long",
    "float32": "float",
    "float64": "double",
}


class GeneratorState:
    """A random stream with PyTorch's numbers.

    Every drawing method fills a C-contiguous array and may be called from several threads. `state`
    is the kernels' state array: its memory stays the same for the generator's whole life, so that a
    compiled program can hold on to it; take `lock` around a launch that draws from it, after
    `prepare()`.
    """

    __slots__ = ("lock", "state", "_seed", "_is_seeded", "_float_normal")

    def __init__(self, seed: int = DEFAULT_SEED) -> None:
        self.lock = threading.RLock()
        self.state: Any = self._allocate()
        self.manual_seed(seed)

    def _allocate(self) -> Any:
        return np.zeros(kernels.STATE_WORDS, np.uint32)

    def manual_seed(self, seed: int) -> None:
        """Restart the stream from a seed in [-2^63, 2^64); a negative one counts from 2^64."""
        if not -(1 << 63) <= seed < 1 << 64:
            raise ValueError("Overflow when unpacking long long")
        # What Python does to the state is not in a compiled program.
        if cpu.recorder is not None:
            cpu.recorder.read("manual_seed")
        with self.lock:
            self._seed = seed % (1 << 64)
            self._is_seeded = False  # the words are made when they are first needed
            self._float_normal = 0

    def seed(self) -> int:
        """Restart the stream from a seed that the operating system provides, and return it."""
        seed = int.from_bytes(os.urandom(8), "little")
        self.manual_seed(seed)
        return seed

    def initial_seed(self) -> int:
        """The seed that the stream was last started from."""
        return self._seed

    def prepare(self) -> np.ndarray:
        """The state array with its words made: call it, with `lock` held, before drawing."""
        if not self._is_seeded:
            cpu.run(kernels.seed, _FIXED, 1, (self.state, float(self._seed & 0xFFFFFFFF)), 0)
            self._is_seeded = True
        return self.state

    def get_state(self) -> np.ndarray:
        """The state as PyTorch saves it, 5056 bytes."""
        saved = np.zeros((), _SAVED)
        with self.lock:
            state = cpu.values(self.prepare(), "get_rng_state")
            position = int(state[kernels.POSITION])
            saved["seed"] = self._seed
            saved["left"] = max(1, kernels.WORDS + 1 - position)
            saved["seeded"] = 1
            saved["next"] = 0 if position == kernels.UNUSED else position
            saved["words"] = state[: kernels.WORDS]
            if state[kernels.KEPT]:
                saved["normal_is_kept"] = 1
                saved["normal"] = state[kernels.KEPT_VALUE :].view(np.float64)[0]
            saved["float_normal"] = self._float_normal
        return np.frombuffer(saved.tobytes(), np.uint8).copy()

    def set_state(self, saved: np.ndarray) -> None:
        """Take over a state that `get_state`, or PyTorch, has saved."""
        cpu.values(self.state, "set_rng_state")
        saved = np.asarray(saved)
        if saved.dtype != np.uint8:
            raise TypeError("RNG state must be a torch.ByteTensor")
        if saved.size != _SAVED.itemsize:
            raise RuntimeError(
                f"Expected a CPUGeneratorImplState of size {_SAVED.itemsize} but found the input "
                f"RNG state size to be {saved.size}"
            )
        fields = np.frombuffer(saved.tobytes(), _SAVED)[0]
        left, following = int(fields["left"]), int(fields["next"])
        unused = left == 1 and following == 0
        if fields["seeded"] != 1 or not (unused or 0 <= following == kernels.WORDS + 1 - left):
            raise RuntimeError("Invalid mt19937 state")
        if not 0 < left <= kernels.WORDS or fields["words"].max() >> 32:
            raise RuntimeError("Invalid mt19937 state")
        with self.lock:
            self._seed = int(fields["seed"])
            self._is_seeded = True
            self._float_normal = int(fields["float_normal"])
            self.state[: kernels.WORDS] = fields["words"]
            self.state[kernels.POSITION] = kernels.UNUSED if unused else following
            self.state[kernels.KEPT] = fields["normal_is_kept"] & 1
            self.state[kernels.KEPT_VALUE :].view(np.float64)[0] = fields["normal"]

    def __getstate__(self) -> np.ndarray:
        return self.get_state()

    def __setstate__(self, saved: np.ndarray) -> None:
        self.__init__()  # type: ignore[misc]
        self.set_state(saved)

    def _draw(self, kernel: Any, dtype: np.dtype, out: np.ndarray, *arguments: Any) -> None:
        if not out.flags.c_contiguous:
            raise ValueError(f"{kernel.name}: the array to fill must be C-contiguous")
        with self.lock:
            cpu.launch(kernel, dtype, 1, (self.prepare(), out, *arguments), 0)

    def uniform(self, out: np.ndarray, low: float = 0.0, high: float = 1.0) -> None:
        """Fill with numbers uniform in [low, high)."""
        _check_floating(out, "check_uniform_bounds")
        if low > high:
            raise RuntimeError(
                "uniform_ expects to return a [from, to) range, but found "
                f"from={low:g} > to={high:g}"
            )
        single = out.dtype == np.float32
        kernel = kernels.uniform_float32 if single else kernels.uniform_float64
        self._draw(kernel, _FIXED, out, float(low), float(high))

    def normal(
        self, out: np.ndarray, mean: float = 0.0, std: float = 1.0, strided: bool = False
    ) -> None:
        """Fill with normal numbers; `strided` as PyTorch does for a tensor that is not dense."""
        _check_floating(out, "normal_kernel_cpu")
        if not std >= 0.0:
            raise RuntimeError(f"normal expects std >= 0.0, but found std {std:g}")
        if out.size < 16 or strided:
            self._draw(kernels.normal_one_by_one, out.dtype, out, float(mean), float(std))
        elif out.dtype == np.float32:
            self._draw(kernels.normal_float32, _FIXED, out, float(mean), float(std))
        else:
            self._draw(kernels.normal_float64, _FIXED, out, float(mean), float(std))

    def integers(self, out: np.ndarray, low: int, high: int | None) -> None:
        """Fill with integers in [low, high); None: up to and with the largest int64."""
        last = (1 << 63) - 1 if high is None else high - 1
        if high is not None and low >= high:
            raise RuntimeError(
                f"random_ expects 'from' to be less than 'to', but got from={low} >= to={high}"
            )
        for bound, text in ((low, "from"), (last, "to - 1")):
            if not _fits(bound, out.dtype):
                name = _C_NAMES.get(out.dtype.name, out.dtype.name)
                raise RuntimeError(f"{text} is out of bounds for {name}")
        span = last - low + 1
        if span == 1 << 64:  # every wide word is a value as it is
            low = 0
        self._integers(out, low, span, span >= _WIDE_SPAN)

    def integers_of_dtype(self, out: np.ndarray) -> None:
        """Fill with the non-negative integers that the array's dtype holds, as `random_()` does."""
        if out.dtype.kind == "f":
            span = (1 << (np.finfo(out.dtype).nmant + 1)) + 1
        else:
            span = 2 if out.dtype == np.bool_ else int(np.iinfo(out.dtype).max) + 1
        self._integers(out, 0, span, out.dtype in (np.float64, np.int64))

    def _integers(self, out: np.ndarray, low: int, span: int, wide: bool) -> None:
        bounds = np.array([span % (1 << 64), low % (1 << 64)], np.uint64)
        self._draw(kernels.wide_integers if wide else kernels.integers, out.dtype, out, bounds)

    def permutation(self, out: np.ndarray) -> None:
        """Fill with the integers 0 ... size - 1 in random order."""
        self._draw(kernels.permutation, out.dtype, out)

    def bernoulli(self, out: np.ndarray, probability: float = 0.5, value: float = 1.0) -> None:
        """Fill with `value` with the given probability, else 0: a dropout mask, for one."""
        if not 0.0 <= probability <= 1.0:
            raise RuntimeError(f"bernoulli_ expects p to be in [0, 1], but got p={probability:g}")
        self._draw(kernels.bernoulli, out.dtype, out, float(probability), float(value))

    def bernoulli_each(self, out: np.ndarray, probabilities: np.ndarray) -> None:
        """Fill with 1 with a probability for each element, else 0."""
        _check_floating(probabilities, "bernoulli_tensor_cpu_p_")
        if probabilities.shape != out.shape:
            raise ValueError(
                f"bernoulli_each: expected probabilities of shape {out.shape}, "
                f"got {probabilities.shape}"
            )
        home = devices.of(probabilities)
        probabilities = home.dense(probabilities)
        bad = _zeros(1, probabilities)
        arguments = (probabilities, bad, 0.0, 1.0)
        size = probabilities.size
        home.launch(checks.check_between, probabilities.dtype, size, arguments, size)
        home.check(bad, 0, _raise_probability)
        single = probabilities.dtype == np.float32
        kernel = kernels.bernoulli_float32 if single else kernels.bernoulli_float64
        self._draw(kernel, out.dtype, out, probabilities)

    def exponential(self, out: np.ndarray, rate: float = 1.0) -> None:
        """Fill with exponential numbers of mean 1 / rate."""
        _check_floating(out, "exponential_cpu")
        if not rate > 0.0:
            raise RuntimeError(f"exponential_ expects lambda > 0.0, but found lambda={rate:g}")
        self._draw(kernels.exponential, out.dtype, out, float(rate))

    def cauchy(self, out: np.ndarray, median: float = 0.0, sigma: float = 1.0) -> None:
        """Fill with Cauchy numbers."""
        _check_floating(out, "cauchy_cpu")
        if not sigma > 0.0:
            raise RuntimeError(f"cauchy_ expects sigma > 0.0, but found sigma={sigma:g}")
        self._draw(kernels.cauchy, out.dtype, out, float(median), float(sigma))

    def log_normal(self, out: np.ndarray, mean: float = 1.0, std: float = 2.0) -> None:
        """Fill with numbers whose logarithm is normal."""
        _check_floating(out, "log_normal_cpu")
        if not std > 0.0:
            raise RuntimeError(f"log_normal_ expects std > 0.0, but found std={std:g}")
        self._draw(kernels.log_normal, out.dtype, out, float(mean), float(std))

    def geometric(self, out: np.ndarray, probability: float) -> None:
        """Fill with the number of trials up to and with the first success."""
        if not 0.0 < probability < 1.0:
            raise RuntimeError(f"geometric_ expects p to be in (0, 1), but got p={probability:g}")
        self._draw(kernels.geometric, out.dtype, out, float(probability))

    def multinomial(self, out: np.ndarray, weights: np.ndarray) -> None:
        """Fill rows of int64 indices, drawn with replacement in proportion to rows of weights."""
        _check_floating(weights, "multinomial")
        if out.dtype != np.int64 or weights.shape[:-1] != out.shape[:-1]:
            raise ValueError(
                f"multinomial: expected int64 rows for weights of shape {weights.shape}, "
                f"got {out.dtype} of shape {out.shape}"
            )
        weights = np.ascontiguousarray(weights)
        check_weights(weights)
        scratch = cpu.empty(weights.shape[-1], weights.dtype)
        self._draw(kernels.multinomial, weights.dtype, out, weights, scratch)


def check_weights(weights: np.ndarray) -> None:
    """Raise PyTorch's errors unless rows of weights (C-contiguous) can be drawn from."""
    count = weights.shape[-1]
    if count == 0:
        _raise_no_weight()
    home, bad = devices.of(weights), _zeros(2, weights)
    home.launch(
        checks.check_weights, weights.dtype, weights.size // count, (weights, bad), weights.size
    )
    home.check(bad, 0, _raise_weight)
    home.check(bad, 1, _raise_no_weight)


def _zeros(count: int, like: Any) -> Any:
    """Flags that are not set, where the array `like` is."""
    flags = np.zeros(count, np.int64)
    return flags if type(like) is np.ndarray else devices.cuda.from_host(flags, like)


def _raise_weight() -> None:
    raise RuntimeError("probability tensor contains either `inf`, `nan` or element < 0")


def _raise_no_weight() -> None:
    raise RuntimeError("invalid multinomial distribution (sum of probabilities <= 0)")


def _raise_probability() -> None:
    raise RuntimeError("Expected p_in >= 0 && p_in <= 1 to be true, but got false.")


def _check_floating(array: np.ndarray, kernel: str) -> None:
    if array.dtype not in (np.float32, np.float64):
        names = {"int64": "Long", "int32": "Int", "int16": "Short", "int8": "Char"}
        names |= {"uint8": "Byte", "bool": "Bool"}
        name = names.get(array.dtype.name, array.dtype.name)
        raise NotImplementedError(f"\"{kernel}\" not implemented for '{name}'")


def _fits(bound: int, dtype: np.dtype) -> bool:
    if dtype == np.bool_:
        return 0 <= bound <= 1
    if dtype.kind == "f":
        return abs(bound) <= np.finfo(dtype).max
    limits = np.iinfo(dtype)
    return int(limits.min) <= bound <= int(limits.max)
