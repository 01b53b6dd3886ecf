"""An array in a device's memory: NumPy's arithmetic of shapes and strides, and no access.

A NumPy array that lies at the same address does that arithmetic, so that views come out as on the
CPU; nothing ever reads or writes through it.
"""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np

#: A buffer over all addresses but the first page: where the shadows of device arrays lie.
BASE = 4096
EVERYWHERE: Any = (ctypes.c_char * (1 << 62)).from_address(BASE)

_basic = (int, slice, type(None), type(Ellipsis), np.integer)
#: NumPy functions that make views, or look at addresses alone.
_FUNCTIONS = {
    np.broadcast_to,
    np.expand_dims,
    np.flip,
    np.may_share_memory,
    np.moveaxis,
    np.shares_memory,
    np.swapaxes,
    np.transpose,
}


class Memory:
    """A block of a device's memory; it is given back with the last array on it."""

    __slots__ = ("ptr", "size", "index", "owner", "pool", "stream", "users")

    def __init__(self, ptr: int, size: int, index: int, owner: Any, pool: Any = None) -> None:
        self.ptr = ptr
        self.size = size
        self.index = index
        self.owner = owner
        self.pool = pool
        self.stream: Any = None  # that it goes back to
        self.users: set[Any] | None = None  # other streams that have used it

    def record_stream(self, stream: Any) -> None:
        """Go back only when what is on `stream` by then is done."""
        if stream is not self.stream and self.stream is not None:
            self.users = {*(self.users or ()), stream}

    def __del__(self) -> None:
        for stream in self.users or ():
            self.stream.wait(stream)
        if self.pool is not None:
            self.pool.gave_back(self.size)


class DeviceArray:
    """An array in the memory of a CUDA device, with the metadata of a NumPy array."""

    __slots__ = ("memory", "shadow", "ptr", "shape", "dtype", "ndim", "size", "base", "__weakref__")

    device_module: Any = None  # set by the module `cuda`
    device_of: Any = None

    def __init__(self, memory: Memory, shadow: np.ndarray, ptr: int, base: Any = None) -> None:
        self.memory = memory
        self.shadow = shadow
        self.ptr = ptr
        self.shape = shadow.shape
        self.dtype = shadow.dtype
        self.ndim = shadow.ndim
        self.size = shadow.size
        self.base = base

    def _view(self, shadow: np.ndarray) -> DeviceArray:
        root = self if self.base is None else self.base
        return DeviceArray(self.memory, shadow, shadow.ctypes.data, root)

    # ------------------------------------------------------------------- metadata

    @property
    def device(self) -> Any:
        return self.device_of(self.memory.index)

    @property
    def strides(self) -> tuple[int, ...]:
        return self.shadow.strides

    @property
    def flags(self) -> Any:
        return self.shadow.flags

    @property
    def itemsize(self) -> int:
        return self.dtype.itemsize

    @property
    def nbytes(self) -> int:
        return self.size * self.dtype.itemsize

    def __len__(self) -> int:
        return len(self.shadow)

    def __repr__(self) -> str:
        return f"<array in {self.device}: shape {self.shape}, {self.dtype}, at {self.ptr:#x}>"

    # ---------------------------------------------------------------------- views

    def __getitem__(self, key: Any) -> DeviceArray:
        key = key if type(key) is tuple else (key,)
        for item in key:
            if not isinstance(item, _basic) or isinstance(item, bool):
                raise TypeError(f"a device array takes integers and slices, got {item!r}")
        if not any(item is Ellipsis for item in key):
            key = (*key, Ellipsis)  # else NumPy would read a single element
        return self._view(self.shadow[key])

    @property
    def T(self) -> DeviceArray:
        return self._view(self.shadow.T)

    def transpose(self, *order: Any) -> DeviceArray:
        return self._view(self.shadow.transpose(*order))

    def swapaxes(self, a: int, b: int) -> DeviceArray:
        return self._view(self.shadow.swapaxes(a, b))

    def reshape(self, *shape: Any, copy: bool | None = None) -> DeviceArray:
        """Another shape on the same memory; ValueError where that takes a copy."""
        if len(shape) == 1:
            (shape,) = shape
        return self._view(self.shadow.reshape(shape, copy=False))

    def view(self, dtype: Any = None) -> DeviceArray:
        return self._view(self.shadow.view() if dtype is None else self.shadow.view(dtype))

    def diagonal(self, offset: int = 0, axis1: int = 0, axis2: int = 1) -> DeviceArray:
        return self._view(self.shadow.diagonal(offset, axis1, axis2))

    def as_strided(self, shape: tuple, strides: tuple) -> DeviceArray:
        """Any shape and strides (in bytes) from the first element on."""
        return self.part(shape, self.dtype, 0, strides)

    def part(self, shape: tuple, dtype: Any, offset: int, strides: tuple) -> DeviceArray:
        """Any array `offset` bytes behind the first element."""
        shadow = np.ndarray(shape, dtype, EVERYWHERE, self.ptr + offset - BASE, strides)
        return self._view(shadow)

    def __array_function__(self, function: Any, types: Any, args: Any, kwargs: Any) -> Any:
        if function not in _FUNCTIONS:
            return NotImplemented
        result = function(*[_shadow(a) for a in args], **kwargs)
        return self._view(result) if isinstance(result, np.ndarray) else result

    # ------------------------------------------------------------------- no access

    def __array__(self, *args: Any, **kwargs: Any) -> Any:
        raise TypeError(
            f"can't convert {self.device} device type tensor to numpy. Use Tensor.cpu() to copy "
            "the tensor to host memory first."
        )

    __array_ufunc__ = None

    def __bool__(self) -> bool:
        raise TypeError("a device array has no truth value: its elements are not on the host")

    def __iter__(self) -> Any:
        raise TypeError("a device array cannot be iterated over")


def _shadow(value: Any) -> Any:
    return value.shadow if isinstance(value, DeviceArray) else value


def at(memory: Memory, ptr: int, shape: Any, dtype: Any) -> DeviceArray:
    """A C-contiguous array at an address in some memory."""
    return DeviceArray(memory, np.ndarray(shape, dtype, EVERYWHERE, ptr - BASE), ptr)
