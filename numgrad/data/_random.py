"""The random draws of data loading, from the library's stream, as PyTorch makes them."""

from __future__ import annotations

import numpy as np

from .. import ops
from ..dtypes import float64
from ..random import Generator, default_generator

__all__ = ["draw_seed", "numpy_seed", "weighted_draw"]


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


def weighted_draw(
    weights: np.ndarray, count: int, replacement: bool, generator: Generator | None
) -> list[int]:
    """`count` indices, index i with a probability proportional to `weights[i]` (float64, 1-D).

    With replacement: the slot of the cumulative distribution that a uniform number falls into.
    Without: the largest weights once each is divided by an exponential number of its own, which
    is the order in which independent arrivals at those rates come in.
    """
    size = len(weights)
    if count > size and not replacement:
        raise RuntimeError(
            "cannot sample n_sample > prob_dist.size(-1) samples without replacement"
        )
    if not np.isfinite(weights).all() or (weights < 0).any():
        raise RuntimeError("probability tensor contains either `inf`, `nan` or element < 0")
    if weights.sum() <= 0:
        raise RuntimeError("invalid multinomial distribution (sum of probabilities <= 0)")
    if replacement and count > 1:
        uniform = ops.rand((count,), dtype=float64, generator=generator).numpy()
        cumulative = np.cumsum(weights)
        cumulative /= cumulative[-1]
        cumulative[-1] = 1
        return np.searchsorted(cumulative, uniform).tolist()
    uniform = ops.rand((size,), dtype=float64, generator=generator).numpy()
    # A uniform number of exactly 0 would divide by 0.
    arrivals = np.maximum(-np.log1p(-uniform), np.finfo(np.float64).tiny)
    return np.argsort(-(weights / arrivals), kind="stable")[:count].tolist()
