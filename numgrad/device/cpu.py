"""The CPU: memory is NumPy's, a launch runs a kernel's machine code on the calling thread or all.

`launch` is the one place where an operation meets a kernel, so it is also where `compile` listens.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..kernels._launch import PARALLEL_WORK, get_num_threads, launcher, set_num_threads

__all__ = ["empty", "launch", "dense", "get_num_threads", "set_num_threads"]

#: New memory, not initialised: `empty(shape, dtype)`.
empty = np.empty


def launch(kernel: Any, dtype: np.dtype, n: int, arguments: tuple, work: int) -> None:
    """Run `kernel`, compiled for T = `dtype`, over its `n` work items.

    `work` is the number of elements it touches: large launches are spread over the threads.
    """
    address = kernel.addresses.get(dtype) or kernel.compile(dtype)
    if work < PARALLEL_WORK:
        launcher.serial(address, n, arguments)
    else:
        launcher.parallel(address, n, work, arguments)


def dense(data: np.ndarray) -> np.ndarray:
    """`data` itself if it is C-contiguous, else a copy that is."""
    return data if data.flags.c_contiguous else np.ascontiguousarray(data).reshape(data.shape)
