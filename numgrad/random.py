"""Random state: `manual_seed`, generators, saving and restoring the stream."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from .ops.generator import Generator as Generator
from .ops.generator import default_generator as default_generator
from .ops.generator import get_rng_state as get_rng_state
from .ops.generator import initial_seed as initial_seed
from .ops.generator import manual_seed as manual_seed
from .ops.generator import seed as seed
from .ops.generator import set_rng_state as set_rng_state


@contextmanager
def fork_rng(devices: Any = None, enabled: bool = True) -> Iterator[None]:
    """Restore the default generators' states at the end of the block.

    `devices` are the GPUs whose generators are meant too: all if CUDA is in use.

    >>> with numgrad.random.fork_rng():
    ...     _ = numgrad.manual_seed(1)
    >>> numgrad.random.initial_seed() == 1
    False
    """
    if not enabled:
        yield
        return
    from . import cuda

    if devices is None:
        devices = range(cuda.device_count()) if cuda.is_initialized() else ()
    state, others = get_rng_state(), [(index, cuda.get_rng_state(index)) for index in devices]
    try:
        yield
    finally:
        set_rng_state(state)
        for index, other in others:
            cuda.set_rng_state(other, index)
