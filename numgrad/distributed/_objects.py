"""Collectives on any objects that can be pickled. What comes from other ranks is unpickled, which
runs what they say: only connect processes that trust each other."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np

from ..device import cpu
from ._group import ProcessGroup
from ._state import get_group_rank, resolve


def _bytes(value: Any) -> np.ndarray:
    return np.frombuffer(pickle.dumps(value), np.uint8).copy()


def _value(data: np.ndarray) -> Any:
    return pickle.loads(data.tobytes())


def _sizes(group: ProcessGroup, what: str, size: int) -> list[int]:
    mine, every = np.array([size], np.int64), np.empty(group.size(), np.int64)
    group.start((what, "sizes"), lambda: group.host_engine.all_gather(every, mine))
    return every.tolist()


def _gather(group: ProcessGroup, what: str, value: Any) -> list[Any]:
    """All ranks' objects, in every rank."""
    mine = _bytes(value)
    sizes = _sizes(group, what, mine.size)
    padded = np.zeros(max(sizes), np.uint8)
    padded[: mine.size] = mine
    every = cpu.empty((group.size(), padded.size), np.dtype(np.uint8))
    group.start((what, max(sizes)), lambda: group.host_engine.all_gather(every, padded))
    return [_value(row[:size]) for row, size in zip(every, sizes, strict=True)]


def all_gather_object(object_list: list, obj: Any, group: Any = None) -> None:
    """Object r of every rank's `object_list` becomes the `obj` of rank r."""
    own = resolve(group)
    if own is None:
        return
    if len(object_list) != own.size():
        raise ValueError(f"object_list has {len(object_list)} places for {own.size()} ranks")
    object_list[:] = _gather(own, "all_gather_object", obj)


def gather_object(
    obj: Any,
    object_gather_list: list | None = None,
    dst: int | None = None,
    group: Any = None,
    group_dst: int | None = None,
) -> None:
    """Object r of the `object_gather_list` of rank `dst` becomes the `obj` of rank r."""
    own = resolve(group)
    if own is None:
        return
    root = group_dst if group_dst is not None else get_group_rank(own, dst or 0)
    if own.index == root and object_gather_list is None:
        raise ValueError("Argument ``object_gather_list`` must be specified on destination rank.")
    found = _gather(own, "gather_object", obj)
    if own.index == root and object_gather_list is not None:
        object_gather_list[:] = found


def broadcast_object_list(
    object_list: list,
    src: int | None = None,
    group: Any = None,
    device: Any = None,
    group_src: int | None = None,
) -> None:
    """Every rank's `object_list` has the objects of rank `src`."""
    own = resolve(group)
    if own is None:
        return
    root = group_src if group_src is not None else get_group_rank(own, src or 0)
    object_list[:] = _broadcast(own, "broadcast_object_list", list(object_list), root)


def _broadcast(group: ProcessGroup, what: str, value: Any, root: int) -> Any:
    sends = group.index == root
    mine = _bytes(value) if sends else np.empty(0, np.uint8)
    size = _sizes(group, what, mine.size)[root]
    data = mine if sends else cpu.empty((size,), np.dtype(np.uint8))
    group.start((what, size), lambda: group.host_engine.broadcast(data, root))
    return value if sends else _value(data)


def scatter_object_list(
    scatter_object_output_list: list,
    scatter_object_input_list: list | None = None,
    src: int | None = None,
    group: Any = None,
    group_src: int | None = None,
) -> None:
    """The first of every rank's output list becomes its object of the input list of rank `src`."""
    own = resolve(group)
    if own is None:
        return
    root = group_src if group_src is not None else get_group_rank(own, src or 0)
    parts: list[bytes] | None = None
    if own.index == root:
        if scatter_object_input_list is None or len(scatter_object_input_list) != own.size():
            raise ValueError(f"scatter_object_input_list is to have {own.size()} objects")
        parts = [pickle.dumps(value) for value in scatter_object_input_list]
    found = _broadcast(own, "scatter_object_list", parts, root)
    scatter_object_output_list[0] = pickle.loads(found[own.index])
