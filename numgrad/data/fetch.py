"""Fetching one batch of a dataset: shared by the loop in this process and the one in a worker."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from .dataset import IterableDataset

__all__ = ["Fetch", "make_fetch"]

#: From what the sampler gave (an index, or a list of them) to a finished batch.
Fetch = Callable[[Any], Any]


def make_fetch(
    dataset: Any, batched: bool, collate_fn: Callable[[Any], Any], drop_last: bool
) -> Fetch:
    """The function that turns the sampler's next index, or list of indices, into a batch.

    For an iterable dataset it raises StopIteration at the end of the stream.
    """
    if isinstance(dataset, IterableDataset):
        return _stream_fetch(dataset, batched, collate_fn, drop_last)
    if not batched:
        return lambda index: collate_fn(dataset[index])
    if getattr(dataset, "__getitems__", None):
        return lambda indices: collate_fn(dataset.__getitems__(indices))
    return lambda indices: collate_fn([dataset[index] for index in indices])


def _stream_fetch(
    dataset: Any, batched: bool, collate_fn: Callable[[Any], Any], drop_last: bool
) -> Fetch:
    samples = iter(dataset)
    ended = False

    def fetch_sample(_: Any) -> Any:
        return collate_fn(next(samples))

    def fetch_batch(indices: Sequence[Any]) -> Any:
        nonlocal ended
        batch: list[Any] = []
        for _ in indices:
            if ended:
                break
            try:
                batch.append(next(samples))
            except StopIteration:
                ended = True
        if not batch or (drop_last and len(batch) < len(indices)):
            raise StopIteration
        return collate_fn(batch)

    return fetch_batch if batched else fetch_sample
