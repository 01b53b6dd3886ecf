"""Arrays of other libraries without a copy: DLPack, and `__cuda_array_interface__`.

A DLPack capsule holds the address of a C struct (dmlc/dlpack, dlpack.h): where the data are, their
shape, strides and dtype, and a function to call when they are not needed any more.
"""

from __future__ import annotations

import ctypes
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

CPU, CUDA, CUDA_HOST, CUDA_MANAGED = 1, 2, 3, 13
_CODES = {"i": 0, "u": 1, "f": 2, "b": 6}
_KINDS = {code: kind for kind, code in _CODES.items()}


class _Tensor(ctypes.Structure):
    _fields_ = [
        ("data", ctypes.c_void_p),
        ("device_type", ctypes.c_int32),
        ("device_id", ctypes.c_int32),
        ("ndim", ctypes.c_int32),
        ("code", ctypes.c_uint8),
        ("bits", ctypes.c_uint8),
        ("lanes", ctypes.c_uint16),
        ("shape", ctypes.POINTER(ctypes.c_int64)),
        ("strides", ctypes.POINTER(ctypes.c_int64)),
        ("byte_offset", ctypes.c_uint64),
    ]


class _Managed(ctypes.Structure):
    _fields_ = [("tensor", _Tensor), ("context", ctypes.c_void_p), ("deleter", ctypes.c_void_p)]


class _Versioned(ctypes.Structure):
    _fields_ = [
        ("major", ctypes.c_uint32),
        ("minor", ctypes.c_uint32),
        ("context", ctypes.c_void_p),
        ("deleter", ctypes.c_void_p),
        ("flags", ctypes.c_uint64),
        ("tensor", _Tensor),
    ]


READ_ONLY = 1  # a bit of the flags
_STRUCTS: dict[bytes, Any] = {b"dltensor": _Managed, b"dltensor_versioned": _Versioned}

_api = ctypes.pythonapi
_new = ctypes.PYFUNCTYPE(ctypes.py_object, ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p)(
    ("PyCapsule_New", _api)
)
_name = ctypes.PYFUNCTYPE(ctypes.c_char_p, ctypes.py_object)(("PyCapsule_GetName", _api))
_pointer = ctypes.PYFUNCTYPE(ctypes.c_void_p, ctypes.py_object, ctypes.c_char_p)(
    ("PyCapsule_GetPointer", _api)
)
_rename = ctypes.PYFUNCTYPE(ctypes.c_int, ctypes.py_object, ctypes.c_char_p)(
    ("PyCapsule_SetName", _api)
)
# In a capsule's destructor: by address, since the object has no references any more.
_is_valid = ctypes.PYFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_char_p)(
    ("PyCapsule_IsValid", _api)
)
_pointer_at = ctypes.PYFUNCTYPE(ctypes.c_void_p, ctypes.c_void_p, ctypes.c_char_p)(
    ("PyCapsule_GetPointer", _api)
)
_DELETER = ctypes.CFUNCTYPE(None, ctypes.c_void_p)
#: What others have of ours: struct and owner, by the struct's address.
_given: dict[int, tuple] = {}
_USED: dict[bytes, bytes] = {name: b"used_" + name for name in _STRUCTS}


@_DELETER
def _deleter(address: int) -> None:
    _given.pop(address, None)


@ctypes.PYFUNCTYPE(None, ctypes.c_void_p)
def _destructor(capsule: int) -> None:
    if _is_valid(capsule, b"dltensor"):  # nobody has taken it
        _given.pop(_pointer_at(capsule, b"dltensor"), None)


class Foreign(NamedTuple):
    """Memory of another library: `keep` frees it when it goes."""

    address: int
    device_type: int
    device_id: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]  # in bytes
    dtype: np.dtype
    keep: Any
    read_only: bool = False


def export(array: Any, address: int, device_type: int, device_id: int) -> Any:
    """A capsule for an array, which stays alive as long as it is in use."""
    item = array.dtype.itemsize
    sizes = ctypes.c_int64 * max(array.ndim, 1)
    shape, strides = sizes(*array.shape), sizes(*[s // item for s in array.strides])
    managed = _Managed()
    tensor = managed.tensor
    tensor.data, tensor.device_type, tensor.device_id = address, device_type, device_id
    tensor.ndim, tensor.code = array.ndim, _CODES[array.dtype.kind]
    tensor.bits, tensor.lanes = 8 * item, 1
    tensor.shape, tensor.strides = shape, strides
    managed.deleter = ctypes.cast(_deleter, ctypes.c_void_p)
    place = ctypes.addressof(managed)
    _given[place] = managed, shape, strides, array
    return _new(place, b"dltensor", ctypes.cast(_destructor, ctypes.c_void_p))


class _Keep:
    """Calls a deleter when it goes."""

    def __init__(self, deleter: int | None, address: int) -> None:
        self._call: Callable | None = _DELETER(deleter) if deleter else None
        self._address = address

    def __del__(self) -> None:
        if self._call is not None:
            self._call(self._address)


def take(capsule: Any) -> Foreign:
    """What a capsule holds, which is ours from now on."""
    name = _name(capsule) if type(capsule).__name__ == "PyCapsule" else None
    struct = _STRUCTS.get(name) if name is not None else None
    if name is None or struct is None:
        raise RuntimeError(
            "from_dlpack received an invalid capsule. Note that DLTensor capsules can be consumed "
            "only once, so you might have already constructed a tensor from it once."
        )
    address = _pointer(capsule, name)
    managed = struct.from_address(address)
    if struct is _Versioned and managed.major > 1:
        raise BufferError(f"a DLPack tensor of version {managed.major}, of which 1 is the latest")
    tensor = managed.tensor
    kind, bits = _KINDS.get(tensor.code), tensor.bits
    if kind is None or tensor.lanes != 1 or bits % 8:
        raise BufferError(
            f"a DLPack tensor of type code {tensor.code}, {bits} bits, {tensor.lanes} lanes, for "
            "which numgrad has no dtype"
        )
    try:
        dtype = np.dtype("?" if kind == "b" else f"{kind}{bits // 8}")
    except TypeError:
        raise BufferError(f"a DLPack tensor of {bits}-bit elements") from None
    ndim = tensor.ndim
    shape = tuple(tensor.shape[:ndim])
    if tensor.strides:
        strides = tuple([s * dtype.itemsize for s in tensor.strides[:ndim]])
    else:
        strides = _dense(shape, dtype.itemsize)
    start = (tensor.data or 0) + tensor.byte_offset
    _rename(capsule, _USED[name])
    keep = _Keep(managed.deleter, address)
    read_only = struct is _Versioned and bool(managed.flags & READ_ONLY)
    place = tensor.device_type, tensor.device_id
    return Foreign(start, *place, shape, strides, dtype, keep, read_only)


def _dense(shape: tuple, item: int) -> tuple[int, ...]:
    return tuple([item * math.prod(shape[k + 1 :]) for k in range(len(shape))])


class _Host:
    """Host memory of another library, for NumPy."""

    def __init__(self, found: Foreign) -> None:
        self.keep = found.keep
        self.__array_interface__ = {
            "data": (found.address, found.read_only),
            "shape": found.shape,
            "strides": found.strides,
            "typestr": found.dtype.str,
            "version": 3,
        }


def host_array(found: Foreign) -> np.ndarray:
    """The memory as a NumPy array."""
    if 0 in found.shape:
        return np.empty(found.shape, found.dtype)
    return np.asarray(_Host(found))


def from_interface(source: Any, device_of: Callable[[int], int]) -> tuple[Foreign, int | None]:
    """What `__cuda_array_interface__` says, and the handle of the stream to wait for."""
    interface = source.__cuda_array_interface__
    if interface.get("mask") is not None:
        raise TypeError("__cuda_array_interface__ with a mask is not supported")
    dtype = np.dtype(interface["typestr"])
    shape = tuple(interface["shape"])
    strides = interface.get("strides") or _dense(shape, dtype.itemsize)
    address, read_only = interface["data"]
    device = device_of(address) if address else 0
    found = Foreign(address, CUDA, device, shape, tuple(strides), dtype, source, read_only)
    return found, interface.get("stream")
