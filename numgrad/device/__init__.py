"""Devices: memory and launching, one module a device with the same functions."""

from __future__ import annotations

from collections.abc import Sequence
from types import ModuleType
from typing import Any

import numpy as np

from . import cpu
from ._array import DeviceArray

#: Whether this process has a device other than the CPU: set at the first use of one.
several = False


def of(data: Any) -> ModuleType:
    """The device module that holds `data`: a NumPy array is the CPU's."""
    return cpu if type(data) is np.ndarray else data.device_module


def home(arguments: Sequence) -> Any:
    """The argument whose device decides: the first array on a GPU, else the first argument.

    Numbers and 0-d arrays on the host go along with any device.
    """
    if several:
        for a in arguments:
            if type(a) is DeviceArray:
                return a
            if type(a) is tuple and a and type(a[0]) is DeviceArray:
                return a[0]
    return arguments[0]


def as_strided(data: Any, shape: tuple, strides: tuple) -> Any:
    """A view with any shape and strides (in bytes) from the array's first element on."""
    if type(data) is DeviceArray:
        return data.as_strided(shape, strides)
    return np.lib.stride_tricks.as_strided(data, shape, strides)


def address(data: Any) -> int:
    """The address of an array's first element."""
    return data.ptr if type(data) is DeviceArray else data.__array_interface__["data"][0]


def root(data: Any) -> Any:
    """The array whose memory a view shows."""
    while isinstance(data.base, (np.ndarray, DeviceArray)):
        data = data.base
    return data


def part(data: Any, shape: tuple, dtype: np.dtype, offset: int, strides: tuple) -> Any:
    """The array that lies `offset` bytes behind the start of a C-contiguous one."""
    if type(data) is DeviceArray:
        return data.part(shape, dtype, offset, strides)
    return np.ndarray(shape, dtype, data.reshape(-1).view(np.uint8).data, offset, strides)


def duplicate(data: Any) -> Any:
    """A copy of a whole block of memory."""
    if type(data) is not DeviceArray:
        return data.ravel("K").copy()
    copy = cuda.new(data.shape, data.dtype, data)
    cuda.copy_within(copy, data)
    return copy


def place_of(data: Any) -> int | None:
    """The number of the GPU that an array is on, None for the host."""
    return data.memory.index if type(data) is DeviceArray else None


def empty_at(shape: Any, dtype: Any, place: int | None) -> Any:
    """New memory on a GPU, or on the host for None."""
    return (
        cpu.empty(shape, dtype) if place is None else cuda.empty(shape, dtype, cuda.beside(place))
    )


def move(data: Any, like: Any) -> Any:
    """A copy of an array on the device of `like`."""
    return place(data, None if type(like) is np.ndarray else like.memory.index)


def place(data: Any, index: int | None, non_blocking: bool = False) -> Any:
    """The array on CUDA device `index`, or on the host for None; itself if it is there."""
    if type(data) is np.ndarray:
        if index is None:
            return data
        return cuda.from_host(data, index=index, non_blocking=non_blocking)
    if index is None:
        return cuda.to_host(data, non_blocking)
    return data if data.memory.index == index else cuda.to_index(data, index)


from . import cuda as cuda  # noqa: E402  (it asks for `several` here)
