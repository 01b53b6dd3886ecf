"""Data types and devices: `numgrad.float32`, `numgrad.device("cpu")`, and the promotion rules."""

from __future__ import annotations

import builtins
import re
from typing import Any

import numpy as np

from ._changes import changes

__all__ = [
    "dtype",
    "device",
    "float32",
    "float64",
    "int8",
    "int16",
    "int32",
    "int64",
    "uint8",
    "bool",
    "float",
    "double",
    "short",
    "int",
    "long",
    "Size",
    "get_default_dtype",
    "set_default_dtype",
    "promote_types",
    "can_cast",
    "finfo",
    "iinfo",
]


class dtype:
    """The type of a tensor's elements. It prints as PyTorch's: `torch.float32`.

    >>> numgrad.float32
    torch.float32
    >>> numgrad.int64.itemsize, numgrad.float64.is_floating_point
    (8, True)
    """

    __slots__ = ("name", "numpy", "is_floating_point", "is_signed", "is_complex", "itemsize")

    def __init__(self, name: str, numpy_name: str) -> None:
        self.name = name
        self.numpy = np.dtype(numpy_name)
        self.is_floating_point = self.numpy.kind == "f"
        self.is_signed = self.numpy.kind in "if"
        self.is_complex = False
        self.itemsize = self.numpy.itemsize

    def __repr__(self) -> str:
        return f"torch.{self.name}"

    def __reduce__(self) -> str:
        return "bool_" if self.name == "bool" else self.name

    def to_real(self) -> dtype:
        return self


float32 = float = dtype("float32", "float32")
float64 = double = dtype("float64", "float64")
int8 = dtype("int8", "int8")
int16 = short = dtype("int16", "int16")
int32 = int = dtype("int32", "int32")
int64 = long = dtype("int64", "int64")
uint8 = dtype("uint8", "uint8")
bool = bool_ = dtype("bool", "bool")

ALL = (float32, float64, int8, int16, int32, int64, uint8, bool_)
#: NumPy's dtype objects to ours.
FROM_NUMPY: dict[np.dtype, dtype] = {d.numpy: d for d in ALL}

BOOL, INT32, INT64 = bool_.numpy, int32.numpy, int64.numpy
FLOAT32, FLOAT64 = float32.numpy, float64.numpy


def from_numpy_dtype(value: np.dtype) -> dtype:
    """Our dtype for NumPy's; `TypeError` for one that numgrad does not have."""
    try:
        return FROM_NUMPY[value]
    except KeyError:
        raise TypeError(
            f"can't convert np.ndarray of type {value}. The only supported types are: "
            f"{', '.join(d.name for d in ALL)}."
        ) from None


def as_numpy_dtype(value: Any) -> np.dtype:
    """NumPy's dtype for a `dtype` (or for a NumPy dtype or Python type, as a courtesy)."""
    if type(value) is dtype:
        return value.numpy
    if value is builtins.bool:
        return BOOL
    if value is builtins.int:
        return INT64
    if value is builtins.float:
        return get_default_dtype().numpy
    if isinstance(value, (np.dtype, type)):
        return from_numpy_dtype(np.dtype(value)).numpy
    raise TypeError(f"dtype must be a torch.dtype (not {type(value).__name__}), got {value!r}")


_default = float32


def get_default_dtype() -> dtype:
    """The dtype of new floating-point tensors.

    >>> numgrad.get_default_dtype()
    torch.float32
    """
    return _default


def set_default_dtype(d: dtype) -> None:
    """Make `d` (float32 or float64) the dtype of new floating-point tensors.

    >>> numgrad.set_default_dtype(numgrad.float64)
    >>> numgrad.tensor([1.]).dtype
    torch.float64
    >>> numgrad.set_default_dtype(numgrad.float32)
    """
    global _default
    if type(d) is not dtype or not d.is_floating_point:
        raise TypeError(f"only floating-point types are supported as the default type, got {d!r}")
    _default = d
    changes.count += 1


def promote(a: np.dtype, b: np.dtype) -> np.dtype:
    """PyTorch's promotion of two dtypes: a float wins over every integer, whatever its width."""
    if a is b or a == b:
        return a
    if a.kind == "f":
        return a if b.kind != "f" else max(a, b, key=lambda d: d.itemsize)
    if b.kind == "f":
        return b
    return np.promote_types(a, b)


def promote_types(type1: dtype, type2: dtype) -> dtype:
    """The smallest dtype that both convert to.

    >>> numgrad.promote_types(numgrad.int64, numgrad.float32)
    torch.float32
    """
    return FROM_NUMPY[promote(type1.numpy, type2.numpy)]


_CATEGORY = {"b": 0, "u": 1, "i": 1, "f": 2}


def category(d: np.dtype) -> builtins.int:
    """0 for bool, 1 for integers, 2 for floats."""
    return _CATEGORY[d.kind]


def can_cast(from_: dtype, to: dtype) -> builtins.bool:
    """Whether a result of dtype `from_` may be written into a tensor of dtype `to`.

    >>> numgrad.can_cast(numgrad.float32, numgrad.int64)
    False
    """
    return category(from_.numpy) <= category(to.numpy)


class finfo:
    """Limits of a floating-point dtype.

    >>> numgrad.finfo(numgrad.float32).eps
    1.1920928955078125e-07
    """

    def __init__(self, type: dtype | None = None) -> None:
        info = np.finfo((type or _default).numpy)
        self.bits = info.bits
        self.eps, self.max, self.min = (builtins.float(v) for v in (info.eps, info.max, info.min))
        self.tiny = self.smallest_normal = builtins.float(info.tiny)
        self.resolution = builtins.float(info.resolution)
        self.dtype = (type or _default).name


class iinfo:
    """Limits of an integer dtype.

    >>> numgrad.iinfo(numgrad.int8).max
    127
    """

    def __init__(self, type: dtype) -> None:
        info = np.iinfo(type.numpy)
        self.bits, self.max, self.min, self.dtype = info.bits, info.max, info.min, type.name


class Size(tuple):
    """A tensor's shape: a tuple that prints as PyTorch's.

    >>> numgrad.Size([30, 50])
    torch.Size([30, 50])
    """

    __slots__ = ()

    def __repr__(self) -> str:
        return f"torch.Size([{', '.join(map(str, self))}])"

    def numel(self) -> builtins.int:
        count = 1
        for size in self:
            count *= size
        return count

    def __add__(self, other: Any) -> Size:
        return Size(tuple.__add__(self, other))

    def __getitem__(self, index: Any) -> Any:
        item = tuple.__getitem__(self, index)
        return Size(item) if isinstance(index, slice) else item


_DEVICE = re.compile(r"([a-z]+)(?::(\d+))?$")
_DEVICE_TYPES = ("cpu", "cuda", "mps", "meta", "xpu")


class device:
    """Where a tensor lives: `device("cpu")`, `device("cuda:1")`, `device("cuda", 1)`.

    >>> numgrad.device("cuda:1")
    device(type='cuda', index=1)
    """

    __slots__ = ("type", "index")

    def __init__(self, type: Any, index: builtins.int | None = None) -> None:
        if isinstance(type, device):
            type, index = type.type, type.index if index is None else index
        elif isinstance(type, builtins.int) and not isinstance(type, builtins.bool):
            type, index = "cuda", type
        elif isinstance(type, str):
            match = _DEVICE.fullmatch(type)
            if match is None:
                raise RuntimeError(f"Invalid device string: '{type}'")
            if match[1] not in _DEVICE_TYPES:
                raise RuntimeError(
                    f"Expected one of {', '.join(_DEVICE_TYPES)} device type at start of device "
                    f"string: {type}"
                )
            if match[2] is not None:
                if index is not None:
                    raise RuntimeError(
                        f"type (string) must not include an index because index was passed "
                        f"explicitly: {type}"
                    )
                index = builtins.int(match[2])
            type = match[1]
        else:
            raise TypeError(f"device(): expected a string, int or device, got {type!r}")
        self.type: str = type
        self.index = index

    def __repr__(self) -> str:
        if self.index is None:
            return f"device(type='{self.type}')"
        return f"device(type='{self.type}', index={self.index})"

    def __str__(self) -> str:
        return self.type if self.index is None else f"{self.type}:{self.index}"

    def __eq__(self, other: object) -> builtins.bool:
        if not isinstance(other, device):
            return NotImplemented
        return self.type == other.type and self.index == other.index

    def __hash__(self) -> builtins.int:
        return hash((self.type, self.index))

    def __reduce__(self) -> tuple:
        return device, (self.type, self.index)


CPU = device("cpu")


class _Named:
    """A constant of PyTorch's that is only a name here, such as a memory format."""

    __slots__ = ("name",)

    def __init__(self, name: str) -> None:
        self.name = name

    def __repr__(self) -> str:
        return f"torch.{self.name}"


#: The layout and the memory formats that tensors have; functions accept them and ignore them.
strided = _Named("strided")
contiguous_format = _Named("contiguous_format")
preserve_format = _Named("preserve_format")
