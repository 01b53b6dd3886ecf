"""The random draws of data loading, from the library's stream, as PyTorch makes them."""

from __future__ import annotations

import numpy as np

from ..random import Generator, default_generator

__all__ = ["draw_seed", "numpy_seed"]


def draw_seed(generator: Generator | None) -> int:
    """What `random_()` puts into an int64, from `generator` or the global stream.

    It seeds workers and samplers. Drawn below the operations: it is a part of the cost of every
    iteration, and tensors would take three times as long.
    """
    stream = (default_generator if generator is None else generator)._state
    drawn = np.empty((), np.int64)
    stream._integers(drawn, 0, 1 << 63, True)
    return drawn.item()


def numpy_seed(base_seed: int, worker_id: int) -> np.ndarray:
    """What a worker seeds NumPy with: four words that mix both numbers.

    `random` and the library's generator are seeded with `base_seed + worker_id`. NumPy's legacy
    generator is the same algorithm, so the plain sum would give it the very same stream.
    """
    words = [worker_id, base_seed & 0xFFFFFFFF, base_seed >> 32, 0]
    return np.random.SeedSequence(words).generate_state(4)
