"""Messages between a `DataLoader` and its workers.

A message is pickled with the memory of its arrays kept apart (pickle protocol 5). Small messages go
through the connection whole. Of a large one only a descriptor does: its bytes lie in an anonymous
file in memory, which has no name and so cannot outlive the two processes, whatever kills them.
"""

from __future__ import annotations

import io
import mmap
import os
import pickle
import struct
import sys
import weakref
from collections.abc import Callable, Iterator
from multiprocessing import reduction
from multiprocessing.connection import Connection
from typing import Any

import numpy as np

from .. import ops
from ..tensor import Tensor

__all__ = ["receive", "send"]

_WHOLE_BELOW = 1 << 14  # bytes: a few such messages fit into the connection unread
_MAP_FROM = 1 << 20  # bytes: from here on, mapping the file costs less than copying it
_MAX_MAPPED = 128  # a mapping may hold a descriptor open for as long as its batch lives
_ALIGNMENT = 64
_IN_FILE = -1  # in place of the number of parts: the message is in the file that follows
_HAS_MEMORY_FILES = hasattr(os, "memfd_create")

_mapped: weakref.WeakSet[mmap.mmap] = weakref.WeakSet()


def send(connection: Connection, message: Any) -> None:
    """Send a picklable object; the arrays and tensors in it arrive as copies."""
    body = io.BytesIO()
    buffers: list[pickle.PickleBuffer] = []
    _Pickler(body, buffers).dump(message)
    parts = [body.getbuffer(), *[buffer.raw() for buffer in buffers]]
    head = struct.pack(f"<{1 + len(parts)}q", len(parts), *[part.nbytes for part in parts])
    pieces: list[Any] = [p for part in (head, *parts) for p in (part, _padding(len(part)))]
    size = sum(map(len, pieces))
    if size < _WHOLE_BELOW or not _HAS_MEMORY_FILES:
        connection.send_bytes(b"".join(pieces))
        return
    file = os.memfd_create("numgrad-batch")
    try:
        for piece in pieces:
            rest = memoryview(piece)
            while rest:
                rest = rest[os.write(file, rest) :]
        connection.send_bytes(struct.pack("<2q", _IN_FILE, size))
        reduction.send_handle(connection, file, None)
    finally:
        os.close(file)


def receive(connection: Connection) -> Any:
    """The next object that the other side sent; raises EOFError where that side is gone."""
    data: Any = bytearray(connection.recv_bytes())  # arrays that share its memory are writable
    (count,) = struct.unpack_from("<q", data)
    if count == _IN_FILE:
        (size,) = struct.unpack_from("<q", data, 8)
        file = reduction.recv_handle(connection)
        try:
            data = _read_file(file, size)
        finally:
            os.close(file)
        (count,) = struct.unpack_from("<q", data)
    body, *buffers = _split(memoryview(data), count)
    return pickle.loads(body, buffers=buffers)


def _padding(size: int) -> bytes:
    return bytes(-size % _ALIGNMENT)


def _split(data: memoryview, count: int) -> Iterator[memoryview]:
    sizes = struct.unpack_from(f"<{count}q", data, 8)
    start = 8 * (1 + count)
    for size in sizes:
        start += -start % _ALIGNMENT
        yield data[start : start + size]
        start += size


def _read_file(file: int, size: int) -> Any:
    if size >= _MAP_FROM and len(_mapped) < _MAX_MAPPED:
        try:
            data = _map_file(file, size)
        except OSError:
            pass  # out of descriptors or mappings: a copy needs neither
        else:
            _mapped.add(data)
            return data
    copy: Any = np.empty(size, np.uint8)
    done = 0
    while done < size:
        done += os.preadv(file, [copy[done:]], done)
    return copy


def _map_file(file: int, size: int) -> mmap.mmap:
    flags = mmap.MAP_SHARED | getattr(mmap, "MAP_POPULATE", 0)
    if sys.version_info >= (3, 13):
        return mmap.mmap(file, size, flags=flags, trackfd=False)
    return mmap.mmap(file, size, flags=flags)


class _Pickler(reduction.ForkingPickler):
    """Pickles tensors, and what multiprocessing can send between its processes (locks, pipes)."""

    def __init__(self, stream: io.BytesIO, buffers: list[pickle.PickleBuffer]) -> None:
        super().__init__(stream, 5, True, buffers.append)
        self.dispatch_table[Tensor] = _reduce_tensor


def _reduce_tensor(value: Tensor) -> tuple[Callable[..., Tensor], tuple[Any, ...]]:
    if value.requires_grad and not value.is_leaf:
        raise RuntimeError(
            "Cowardly refusing to serialize non-leaf tensor which requires_grad, since autograd "
            "does not support crossing process boundaries.  If you just want to transfer the data, "
            "call detach() on the tensor before serializing (e.g., putting it on the queue)."
        )
    # Of a view only its elements travel, not the memory it looks into.
    array: Any = np.ascontiguousarray(value.detach().numpy())
    buffer = pickle.PickleBuffer(array)
    return _rebuild_tensor, (buffer, array.dtype.name, tuple(value.shape), value.requires_grad)


def _rebuild_tensor(buffer: Any, dtype: str, shape: tuple[int, ...], requires_grad: bool) -> Tensor:
    # By the name of its dtype: an unpickled NumPy dtype is another object than NumPy's own.
    value = ops.from_numpy(np.frombuffer(buffer, np.dtype(dtype)).reshape(shape))
    return value.requires_grad_() if requires_grad else value
