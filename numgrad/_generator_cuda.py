"""One stream of random numbers on a GPU: Philox, whose state is a seed and an offset.

The numbers depend on the seed, on how much was drawn before, and on nothing else: not on the GPU
or the launch. They are not PyTorch's for the same seed, which depend on both. The saved state has
PyTorch's meaning and form, 16 bytes. The drawing itself is in `kernels/philox.py`.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ._generator import GeneratorState, check_weights
from .device import cpu, cuda
from .kernels import elementwise, philox, random, sorting

_INT64 = np.dtype(np.int64)
_LONG = 1 << 63

#: For each kernel of the CPU's stream the one that draws here.
_KERNELS = {
    random.bernoulli: philox.philox_bernoulli,
    random.bernoulli_float32: philox.philox_bernoulli_float32,
    random.bernoulli_float64: philox.philox_bernoulli_float64,
    random.cauchy: philox.philox_cauchy,
    random.exponential: philox.philox_exponential,
    random.geometric: philox.philox_geometric,
    random.log_normal: philox.philox_log_normal,
    random.normal_float32: philox.philox_normal,
    random.normal_float64: philox.philox_normal,
    random.normal_one_by_one: philox.philox_normal,
    random.uniform_float32: philox.philox_uniform,
    random.uniform_float64: philox.philox_uniform,
}


class PhiloxState(GeneratorState):
    """A stream on CUDA device `index`, with the methods of the CPU's.

    The state array lies on the device and stays the same, so that a captured graph can draw from
    it; `prepare()` has it made.
    """

    __slots__ = ("index", "_offset", "_driver")

    def __init__(self, index: int, seed: int | None = None) -> None:
        self.index = index
        self._driver: Any = None
        super().__init__() if seed is None else super().__init__(seed)

    def _allocate(self) -> Any:
        return None  # with the first numbers

    def manual_seed(self, seed: int) -> None:
        """Restart the stream from a seed in [-2^63, 2^64); a negative one counts from 2^64."""
        super().manual_seed(seed)
        self._offset = 0

    def prepare(self) -> Any:
        """The state array on the device, up to date: call it, with `lock` held, before drawing."""
        driver = cuda.driver()
        if driver is not self._driver:
            self.state = cuda.empty(philox.STATE_WORDS, _INT64, cuda.beside(self.index))
            self._driver, self._is_seeded = driver, False
        if not self._is_seeded:
            words = np.array([_signed(self._seed), _signed(self._offset), 0], _INT64)
            driver.copy_in(self.state.ptr, words, cuda.stream(self.index), self.index)
            self._is_seeded = True
        return self.state

    def get_state(self) -> np.ndarray:
        """The state as PyTorch saves it: the seed and the offset, 16 bytes."""
        if cpu.recorder is not None:
            cpu.recorder.read("get_rng_state")
        with self.lock:
            if self._driver is not None and self._driver is cuda.driver() and self._is_seeded:
                self._offset = int(cuda.to_host(self.state)[philox.OFFSET]) % (1 << 64)
            return np.array([self._seed, self._offset], "<u8").view(np.uint8)

    def set_state(self, saved: np.ndarray) -> None:
        """Take over a state that `get_state`, or PyTorch, has saved."""
        if cpu.recorder is not None:
            cpu.recorder.read("set_rng_state")
        saved = np.asarray(saved)
        if saved.dtype != np.uint8:
            raise TypeError("RNG state must be a torch.ByteTensor")
        if saved.size not in (8, 16):
            raise RuntimeError("RNG state is wrong size")
        words = np.frombuffer(saved.tobytes(), "<u8").tolist()
        offset = words[1] if len(words) == 2 else 0
        if offset % 4:
            raise RuntimeError("offset must be a multiple of 4")
        with self.lock:
            self._seed, self._offset = words[0], offset
            self._is_seeded = False

    def __getstate__(self) -> Any:
        return self.index, self.get_state()

    def __setstate__(self, saved: Any) -> None:
        self.__init__(saved[0])  # type: ignore[misc]
        self.set_state(saved[1])

    def _draw(self, kernel: Any, dtype: np.dtype, out: Any, *arguments: Any) -> None:
        kernel = _KERNELS.get(kernel, kernel)
        dtype = out.dtype if kernel is not philox.philox_multinomial else dtype
        if kernel is philox.philox_uniform:
            low, high = arguments
            arguments = (low, high - low)
        elif kernel is philox.philox_geometric:
            arguments = (math.log1p(-arguments[0]), 0.0)
        elif kernel is philox.philox_exponential:
            arguments = (*arguments, 0.0)
        if not out.flags.c_contiguous:
            raise ValueError(f"{kernel.name}: the array to fill must be C-contiguous")
        if out.memory.index != self.index:
            raise RuntimeError(
                f"Expected a generator on {out.device}, but found one on cuda:{self.index}"
            )
        with self.lock:
            cuda.launch(kernel, dtype, 1, (self.prepare(), out, *arguments), out.size)

    def _integers(self, out: Any, low: int, span: int, wide: bool) -> None:
        halves = [
            float(v % (1 << 64) >> shift & 0xFFFFFFFF) for v in (span, low) for shift in (32, 0)
        ]
        kernel = philox.philox_wide_integers if wide else philox.philox_integers
        self._draw(kernel, out.dtype, out, *halves)

    def permutation(self, out: Any) -> None:
        """Fill with the integers 0 ... size - 1 in random order: that of as many random keys."""
        if out.size == 0:
            return
        keys, positions, *spare = (cuda.empty((1, out.size), _INT64, out) for _ in range(5))
        self._integers(keys, 0, 1 << 64, True)
        arguments = (keys, positions, *spare, 0.0)
        cuda.launch(sorting.order, _INT64, 1, arguments, 16 * out.size)
        cuda.launch(
            elementwise.copy[out.dtype], _INT64, out.size, (positions.reshape(-1), out), out.size
        )

    def multinomial(self, out: Any, weights: Any) -> None:
        """Fill rows of int64 indices, drawn with replacement in proportion to rows of weights."""
        weights = cuda.dense(weights)
        check_weights(weights)
        columns = weights.shape[-1]
        rows = weights.reshape(-1, columns)
        scratch = cuda.empty(rows.shape, rows.dtype, rows)
        drawn = out.reshape(rows.shape[0], -1)
        self._draw(philox.philox_multinomial, rows.dtype, drawn, rows, scratch)


def _signed(word: int) -> int:
    return word - (word & _LONG) * 2
