"""Batches in page-locked memory, for copies to a GPU that nobody waits for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..tensor import Tensor


def pinned(batch: Any) -> Any:
    """The batch with every tensor in it, at any depth, page-locked.

    >>> from numgrad.data.pinning import pinned
    >>> pinned({"x": [1, "two"]})
    {'x': [1, 'two']}
    """
    if isinstance(batch, Tensor) or hasattr(batch, "pin_memory"):
        return batch.pin_memory()
    if isinstance(batch, str | bytes):
        return batch
    if isinstance(batch, Mapping):
        return _like(batch, {key: pinned(value) for key, value in batch.items()})
    if isinstance(batch, tuple) and hasattr(batch, "_fields"):
        return type(batch)(*map(pinned, batch))
    if isinstance(batch, tuple):
        return tuple(map(pinned, batch))
    if isinstance(batch, Sequence):
        return _like(batch, [pinned(value) for value in batch])
    return batch


def _like(original: Any, values: Any) -> Any:
    try:
        return type(original)(values)
    except TypeError:  # its class takes something else
        return values
