"""Moving and converting tensors: dtype, device, filling, copying in."""

from __future__ import annotations

from typing import Any

import numpy as np

import numgrad.device as devices

from ..autograd import tape
from ..autograd.tape import mode
from ..dtypes import as_numpy_dtype, device, dtype
from ._core import (
    Tensor,
    _check_overlap,
    assign,
    cast,
    check_tensor,
    is_number,
    needs_grad,
    record,
    type_name,
    values,
    wrap,
)
from .creation import fill_array
from .views import clone, expand


def to_device(tensor: Any, target: device, non_blocking: bool = False) -> Tensor:
    """A copy of the tensor on another device (itself if it is there).

    With `non_blocking` Python goes on while page-locked memory is copied from or to.
    """
    if target.type == "cuda":
        index = devices.cuda.index_of(target)
    elif target.type == "cpu":
        index = None
    else:
        raise RuntimeError(
            f"numgrad has no device of type {target.type!r}: its devices are cpu, cuda"
        )
    source = tensor._data
    data = devices.place(source, index, non_blocking)
    if data is source:
        return tensor
    result = wrap(data)
    if data.dtype.kind == "f" and needs_grad(tensor):
        record(result, "ToCopyBackward0", _to_device_backward, (tensor,), (), tensor.device)
    return result


def _to_device_backward(node: Any, grad: Any) -> Any:
    return to_device(grad, node.context)


def to(self: Tensor, *args: Any, **kwargs: Any) -> Tensor:
    """The tensor with another dtype and/or device: `to(dtype)`, `to(device)`, `to(other)`.

    >>> numgrad.tensor([1, 2]).to(numgrad.float32)
    tensor([1., 2.])
    """
    wanted = kwargs.pop("dtype", None)
    where = kwargs.pop("device", None)
    copy = kwargs.pop("copy", False)
    flags = [value for value in args if isinstance(value, bool)]  # non_blocking, copy
    non_blocking = bool(kwargs.pop("non_blocking", flags[0] if flags else False))
    copy = copy or (len(flags) > 1 and flags[1])
    kwargs.pop("memory_format", None)
    if kwargs:
        raise TypeError(f"to() received an invalid keyword argument {next(iter(kwargs))!r}")
    for value in args:
        if isinstance(value, dtype):
            wanted = value
        elif isinstance(value, Tensor):
            wanted, where = value.dtype, value.device
        elif isinstance(value, (device, str)) or (
            isinstance(value, int) and not isinstance(value, bool)
        ):
            where = value
        elif isinstance(value, type):
            wanted = value
        elif value is not None and not isinstance(value, bool):
            raise TypeError(
                f"to() received an invalid combination of arguments: got {value!r} of type "
                f"{type(value).__name__}, expected a dtype, a device or a tensor"
            )
    result = self
    if where is not None:
        target = device(where)
        if target.type != "cpu" or self.device.type != "cpu":
            result = to_device(result, target, non_blocking)
    if wanted is not None:
        result = cast(result, as_numpy_dtype(wanted))
    if copy and result is self:
        result = clone(self)
    return result


def pin_memory(tensor: Tensor) -> Tensor:
    """A copy in page-locked memory; the tensor itself where it is there, or there is no GPU."""
    source = tensor._data
    cuda = devices.cuda
    if type(source) is not np.ndarray:
        raise RuntimeError(
            f"cannot pin 'torch.cuda.{type_name(source.dtype)}Tensor' only dense CPU tensors can be "
            "pinned"
        )
    if cuda.is_pinned(source) or cuda.unavailable() is not None:
        return tensor
    data = cuda.empty_pinned(source.shape, source.dtype)
    data[...] = values(source, "pin_memory")
    return wrap(data)


def copy_(self: Tensor, src: Tensor, non_blocking: bool = False) -> Tensor:
    """Copy the elements of `src` (broadcast, converted) into this tensor."""
    check_tensor(src, "copy_", "other")
    tape.check_inplace(self)
    _check_overlap(self)
    if src._data.shape != self._data.shape:
        src = expand(src, self._data.shape)
    assign(self._data, src._data)
    tape.bump(self)
    if mode.enabled and (self._requires_grad or needs_grad(src)):
        tape.adopt(self, _history(self, src))
    return self


def _history(target: Any, src: Any) -> Any:
    """A stand-in result: its history is the source's, its shape the target's."""
    result = wrap(target._data)
    if needs_grad(src):
        record(result, "CopyBackwards", _copy_backward, (src,), (), src._data.dtype)
    return result


def _copy_backward(node: Any, grad: Any) -> Any:
    return cast(grad, node.context)


def fill_(self: Tensor, value: Any) -> Tensor:
    """Set every element to a number (or to a 0-d tensor).

    >>> numgrad.empty(2).fill_(3)
    tensor([3., 3.])
    """
    if isinstance(value, Tensor):
        if value._data.ndim:
            raise RuntimeError(
                "fill_ only supports 0-dimension value tensor but got tensor with "
                f"{value._data.ndim} dimensions."
            )
        return copy_(self, value)
    if not is_number(value):
        raise TypeError(f"fill_(): argument 'value' must be Number, not {type(value).__name__}")
    tape.check_inplace(self)
    _check_overlap(self)
    fill_array(self._data, value)
    tape.bump(self)
    if mode.enabled and self._requires_grad:
        tape.adopt(self, wrap(self._data))
    return self


def zero_(self: Tensor) -> Tensor:
    """Set every element to zero."""
    return fill_(self, 0)


def fill(input: Tensor, value: Any) -> Tensor:
    """A tensor of the same shape, every element `value`.

    >>> numgrad.fill(numgrad.zeros(2), 7)
    tensor([7., 7.])
    """
    return fill_(clone(input), value)
