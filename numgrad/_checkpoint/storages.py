"""Storages: the memory that tensors are views of, in a file and here."""

from __future__ import annotations

from bisect import bisect_right
from itertools import accumulate
from operator import mul
from typing import Any

import numpy as np

from ..autograd import tape
from ..device import cuda, place
from ..dtypes import CPU, FROM_NUMPY, device, dtype

__all__ = ["STORAGE_TYPES", "SavedMemory", "Storage", "StorageReference", "StorageType"]


class StorageType:
    """PyTorch's name for storages of one dtype, `torch.FloatStorage`, as a pickle refers to it.

    `stored` is the dtype in the file, `dtype` what it becomes here.
    """

    def __init__(self, name: str, stored: str, dtype: str) -> None:
        self.name = name
        self.stored = np.dtype(stored)
        self.dtype = np.dtype(dtype)

    def decode(self, array: np.ndarray) -> np.ndarray:
        """The values of a record, read as `stored`, in the dtype that they have here."""
        if self.name == "BFloat16Storage":  # the upper half of a float32
            return (array.astype(np.uint32) << 16).view(np.float32)
        if self.name == "BoolStorage":
            # A byte other than 0 and 1 is neither true nor false to code that counts on the two.
            octets = array.view(np.uint8)
            if (octets > 1).any():
                return octets != 0
        return array.astype(self.dtype, copy=False)


STORAGE_TYPES = {
    name: StorageType(name, stored, loaded)
    for name, stored, loaded in (
        ("FloatStorage", "float32", "float32"),
        ("DoubleStorage", "float64", "float64"),
        ("CharStorage", "int8", "int8"),
        ("ShortStorage", "int16", "int16"),
        ("IntStorage", "int32", "int32"),
        ("LongStorage", "int64", "int64"),
        ("ByteStorage", "uint8", "uint8"),
        ("BoolStorage", "bool", "bool"),
        # numgrad has neither of these dtypes; float32 holds every value of both.
        ("HalfStorage", "float16", "float32"),
        ("BFloat16Storage", "uint16", "float32"),
    )
}
TYPE_OF = {kind.dtype: kind for kind in STORAGE_TYPES.values() if kind.stored == kind.dtype}


class Storage:
    """The memory of loaded tensors, as a one-dimensional array; what `map_location` is given."""

    def __init__(self, array: Any) -> None:
        self.array = array
        # Of all tensors on this memory: a write through one is seen by autograd in the others.
        self.counter = tape.Counter()

    @property
    def device(self) -> device:
        return CPU if type(self.array) is np.ndarray else self.array.device

    @property
    def dtype(self) -> dtype:
        return FROM_NUMPY[self.array.dtype]

    def __len__(self) -> int:
        return self.array.size

    def cpu(self) -> Storage:
        """On the CPU: itself if it is there, else a copy."""
        return self._at(None)

    def cuda(self, device: Any = None) -> Storage:
        """On a GPU: itself if it is there, else a copy."""
        return self._at(cuda.index_of(device))

    def _at(self, index: int | None) -> Storage:
        array = place(self.array, index)
        return self if array is self.array else Storage(array)


class StorageReference:
    """Stands for a storage while pickling, and is written as its persistent id."""

    def __init__(self, kind: StorageType, key: str, location: str, numel: int) -> None:
        self.pid = ("storage", kind, key, location, numel)


class Allocation:
    """One piece of memory, which parts of it the saved tensors occupy, and how it is cut up."""

    def __init__(self, root: np.ndarray) -> None:
        self.root = root
        self.memory = np.asarray(root).ravel(order="K").view(np.uint8)
        self.used: list[tuple[int, int, np.dtype]] = []
        self.blocks = [(0, self.memory.size)]

    def block_of(self, start: int) -> tuple[int, int]:
        return self.blocks[bisect_right(self.blocks, start, key=lambda block: block[0]) - 1]

    def blocks_in_use(self) -> list[tuple[int, int]]:
        """The used parts, those that overlap taken together."""
        blocks: list[tuple[int, int]] = []
        kind: np.dtype | None = None
        for start, end, used_as in sorted(self.used, key=lambda part: part[:2]):
            if not blocks or start >= blocks[-1][1]:
                blocks.append((start, end))
            elif used_as != kind:
                raise RuntimeError(
                    "Cannot save multiple tensors or storages that view the same data as "
                    "different types"
                )
            else:
                blocks[-1] = (blocks[-1][0], max(end, blocks[-1][1]))
            kind = used_as
        return blocks


class SavedMemory:
    """Which storages a file has, and where in them each saved tensor lies.

    Tensors that overlap are views of one storage, as they are in PyTorch. But PyTorch saves whole
    allocations, all of a matrix for one row of it; here a storage is what the saved tensors occupy.
    That is known only once all of them have been seen: if `settle` changes its mind, the object has
    to be pickled again.
    """

    def __init__(self) -> None:
        self._allocations: dict[int, Allocation] = {}
        self._keys: dict[tuple[int, int], str] = {}
        self.records: list[np.ndarray] = []
        self._copies: dict[int, tuple[Any, np.ndarray]] = {}  # of memory on a GPU

    def on_host(self, data: Any) -> np.ndarray:
        """The values of an array on a GPU; arrays that share memory there do so here."""
        root = data if data.base is None else data.base
        if id(root) not in self._copies:
            self._copies[id(root)] = root, cuda.to_host(root).reshape(-1).view(np.uint8)
        copy = self._copies[id(root)][1]
        return np.ndarray(data.shape, data.dtype, copy, data.ptr - root.ptr, data.strides)

    def place(
        self, array: np.ndarray, location: str
    ) -> tuple[StorageReference, int, tuple[int, ...]]:
        """The storage of a tensor with these values, its offset there and its strides.

        `location`: the device that the values come from.
        """
        root = _root_of(array)
        start = _address(array) - _address(root)
        steps = (start, *array.strides)
        regular = min(steps) >= 0 and not any(step % array.itemsize for step in steps)
        if not array.size or not regular or not root.flags.forc:
            # Nothing to share, or laid out as no tensor can be.
            array = root = array.copy("C")
            start = 0
        stride = tuple(step // array.itemsize for step in array.strides)
        if not array.size:  # NumPy gives any strides, PyTorch those of sizes of at least 1
            inner = [max(size, 1) for size in reversed(array.shape[1:])]
            stride = tuple(accumulate([1, *inner], mul))[::-1]
        if id(root) not in self._allocations:
            self._allocations[id(root)] = Allocation(root)
        allocation = self._allocations[id(root)]
        if array.size:
            steps_taken = zip(array.shape, array.strides, strict=True)
            last = start + sum((size - 1) * step for size, step in steps_taken)
            allocation.used.append((start, last + array.itemsize, array.dtype))
        block_start, block_end = allocation.block_of(start)
        place = (id(root), block_start)
        if place not in self._keys:
            self._keys[place] = str(len(self._keys))
            self.records.append(allocation.memory[block_start:block_end])
        numel = (block_end - block_start) // array.itemsize
        kind = TYPE_OF[array.dtype]
        reference = StorageReference(kind, self._keys[place], location, numel)
        return reference, (start - block_start) // array.itemsize, stride

    def settle(self) -> bool:
        """Cut the memory to what is in use; False if any of it had been placed otherwise."""
        settled = True
        for allocation in self._allocations.values():
            if allocation.used:
                blocks = allocation.blocks_in_use()
                settled = settled and blocks == allocation.blocks
                allocation.blocks, allocation.used = blocks, []
        if not settled:
            self._keys.clear()
            self.records.clear()
        return settled


def _root_of(array: np.ndarray) -> np.ndarray:
    """The array that a view is of, in the end."""
    while True:
        base = array.base
        if not isinstance(base, np.ndarray):
            # `as_strided` puts an object between a view and its array.
            base = getattr(base, "base", None)
        if not isinstance(base, np.ndarray):
            return array
        array = base


def _address(array: np.ndarray) -> Any:
    return array.__array_interface__["data"][0]
