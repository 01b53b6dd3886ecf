"""Making tensors: from data, filled with a value, sequences."""

from __future__ import annotations

import builtins
import math
import operator
import warnings
from typing import Any

import numpy as np

import numgrad.device as devices

from ..device import _dlpack
from ..dtypes import (
    CPU,
    FROM_NUMPY,
    INT64,
    as_numpy_dtype,
    device,
    dtype,
    from_numpy_dtype,
    get_default_dtype,
)
from ..kernels import elementwise as table
from . import _core
from ._core import (
    Tensor,
    assign,
    cast,
    check_tensor,
    copy_array,
    is_number,
    launch,
    number,
    number_dtype,
    values,
    wrap,
)


def _on(where: Any) -> Any:
    """An array on a device, for new ones to lie beside it; None for the host."""
    if where is None or where is CPU:
        return None
    target = device(where)
    return devices.cuda.beside(devices.cuda.index_of(target)) if target.type == "cuda" else None


def _place(data: Any, where: Any, requires_grad: builtins.bool) -> Any:
    """A tensor on this memory, moved to a device, marked."""
    tensor = wrap(data)
    if where is not None and where is not CPU:
        target = device(where)
        if target.type != "cpu":
            from .conversion import to_device

            tensor = to_device(tensor, target)
    if requires_grad:
        tensor.requires_grad_(True)
    return tensor


def _infer(data: Any) -> np.ndarray:
    """A NumPy array of nested Python data, in PyTorch's dtypes."""
    if isinstance(data, np.ndarray):
        from_numpy_dtype(data.dtype)
        return np.array(data, order="C")
    if isinstance(data, np.generic):
        from_numpy_dtype(data.dtype)
        return np.array(data)
    if is_number(data):
        return np.array(data, number_dtype(data))
    if isinstance(data, (list, tuple, range)):
        flat = _leaves(data)
        shape = _shape_of(data, 0)
        if flat and isinstance(flat[0], Tensor):
            flat = [t.item() if isinstance(t, Tensor) else t for t in flat]
        kind = number_dtype(False)
        for value in flat:
            own = value.dtype if isinstance(value, np.generic) else number_dtype(value)
            if own.kind == "f":
                kind = get_default_dtype().numpy if not isinstance(value, np.float64) else own
                break
            if own.kind != "b":
                kind = INT64
        if not flat:
            kind = get_default_dtype().numpy
        try:
            return np.array(flat, kind).reshape(shape)
        except OverflowError:
            raise RuntimeError("Overflow when unpacking long long") from None
    if hasattr(data, "__array__"):
        return _infer(np.asarray(data))
    if hasattr(data, "__iter__"):
        raise TypeError(f"new(): data must be a sequence (got {type(data).__name__})")
    raise RuntimeError(f"Could not infer dtype of {type(data).__name__}")


def _leaves(data: Any) -> list:
    if not isinstance(data, (list, tuple, range)):
        if isinstance(data, (np.ndarray, Tensor)) and data.ndim:
            return list(np.asarray(data).ravel())  # a tensor's __array__ says that it is read
        if isinstance(data, str):
            raise TypeError("new(): invalid data type 'str'")
        if not (is_number(data) or isinstance(data, (Tensor, np.ndarray))):
            raise RuntimeError(f"Could not infer dtype of {type(data).__name__}")
        return [data.item() if isinstance(data, np.ndarray) else data]
    if data and is_number(data[0]):
        for item in data:
            if not is_number(item):
                break
        else:
            return list(data)
    return [leaf for item in data for leaf in _leaves(item)]


def _shape_of(data: Any, depth: int) -> tuple:
    if isinstance(data, (np.ndarray, Tensor)):
        return tuple(data.shape)
    if not isinstance(data, (list, tuple, range)):
        return ()
    if len(data) == 0:
        return (0,)
    first = _shape_of(data[0], depth + 1)
    for item in data:
        own = _shape_of(item, depth + 1)
        if own != first:
            if len(own) != len(first):
                if not own or not first:
                    raise ValueError(
                        f"expected sequence of length {first[0]} at dim {depth + 1} (got "
                        f"{type(item).__name__})"
                        if first
                        else "only one element tensors can be converted to Python scalars"
                    )
            raise ValueError(
                f"expected sequence of length {first[0] if first else 0} at dim {depth + 1} "
                f"(got {own[0] if own else 0})"
            )
    return (len(data), *first)


def tensor(
    data: Any,
    *,
    dtype: dtype | None = None,
    device: Any = None,
    requires_grad: builtins.bool = False,
    pin_memory: builtins.bool = False,
) -> Tensor:
    """A new tensor with a copy of the data: a number, nested sequences, a NumPy array.

    Python ints become int64, floats the default dtype (float32), bools bool.

    >>> numgrad.tensor([[1, 2], [3, 4]])
    tensor([[1, 2],
            [3, 4]])
    """
    if isinstance(data, Tensor):
        warnings.warn(
            "To copy construct from a tensor, it is recommended to use sourceTensor.detach()"
            ".clone() or sourceTensor.detach().clone().requires_grad_(True), rather than "
            "torch.tensor(sourceTensor).",
            UserWarning,
            stacklevel=2,
        )
        copied = wrap(copy_array(data._data, data._data.dtype))
        if dtype is not None:
            copied = cast(copied, as_numpy_dtype(dtype))
        if device is not None:
            copied = copied.to(device)
        return copied.requires_grad_(True) if requires_grad else copied
    if hasattr(data, "__cuda_array_interface__"):
        copied = _from_interface(data).to(device, dtype, copy=True)
        return copied.requires_grad_(True) if requires_grad else copied
    array = _infer(data)
    if dtype is not None:
        wanted = as_numpy_dtype(dtype)
        if array.dtype != wanted:
            if wanted.kind == "f" and array.dtype.kind == "f" and not isinstance(data, np.ndarray):
                array = np.array(_leaves(data), wanted).reshape(array.shape)  # not by float32
            else:
                if not isinstance(data, np.ndarray):
                    _check_fits(array, wanted)
                array = array.astype(wanted)
    return _place(array, device, requires_grad)


def _check_fits(array: np.ndarray, wanted: np.dtype) -> None:
    """Python numbers that an integer type cannot hold raise, -255 … -1 as uint8 excepted."""
    if wanted.kind in "iu" and array.size:
        high = np.iinfo(wanted).max
        low = -high if wanted.kind == "u" else -high - 1
        if array.min() < low or array.max() > high:
            raise RuntimeError(f"value cannot be converted to type {wanted.name} without overflow")


def as_tensor(data: Any, dtype: dtype | None = None, device: Any = None) -> Tensor:
    """The data as a tensor, without a copy where that is possible.

    >>> numgrad.as_tensor([1., 2.])
    tensor([1., 2.])
    """
    if isinstance(data, Tensor):
        result = data if dtype is None else cast(data, as_numpy_dtype(dtype))
        return result if device is None else result.to(device)
    if isinstance(data, np.ndarray) or hasattr(data, "__cuda_array_interface__"):
        if isinstance(data, np.ndarray):
            result = from_numpy(data)
        else:
            result = _from_interface(data)
        result = result if dtype is None else cast(result, as_numpy_dtype(dtype))
        return result if device is None else result.to(device)
    return tensor(data, dtype=dtype, device=device)


asarray = as_tensor


def from_numpy(ndarray: np.ndarray) -> Tensor:
    """A tensor on the memory of a NumPy array: writing to one changes the other.

    >>> a = np.zeros(2, dtype=np.float32)
    >>> numgrad.from_numpy(a).add_(1); a
    tensor([1., 1.])
    array([1., 1.], dtype=float32)
    """
    if not isinstance(ndarray, np.ndarray):
        raise TypeError(f"expected np.ndarray (got {type(ndarray).__name__})")
    from_numpy_dtype(ndarray.dtype)
    if not ndarray.dtype.isnative:
        raise ValueError(
            "given numpy array has byte order different from the native byte order. Conversion "
            "between byte orders is currently not supported."
        )
    if any(s < 0 for s in ndarray.strides):
        raise ValueError(
            "At least one stride in the given numpy array is negative, and tensors with negative "
            "strides are not currently supported. (You can probably work around this by making "
            "a copy of your array  with array.copy().)"
        )
    if not ndarray.flags.writeable:
        warnings.warn(
            "The given NumPy array is not writable, and PyTorch does not support non-writable "
            "tensors. Writing to this tensor would change read-only memory: copy the array first.",
            UserWarning,
            stacklevel=2,
        )
    if type(ndarray) is not np.ndarray:
        ndarray = ndarray.view(np.ndarray)
    return wrap(ndarray)


def _from_interface(data: Any) -> Any:
    """A tensor on the memory of an object with `__cuda_array_interface__`."""
    array = devices.cuda.from_interface(data)
    from_numpy_dtype(array.dtype)
    return wrap(array)


def from_dlpack(
    ext_tensor: Any, *, device: Any = None, copy: builtins.bool | None = None
) -> Tensor:
    """A tensor on the memory of another library's array, by the DLPack protocol.

    Takes an object with `__dlpack__` and `__dlpack_device__` (arrays of PyTorch, CuPy, JAX, NumPy
    …), or a capsule. `copy=True` copies; `device` moves the tensor there, which with `copy=False`
    raises ValueError where it takes a copy. Raises BufferError for a dtype or device that numgrad
    does not have.

    >>> a = np.zeros(2, np.float32)
    >>> numgrad.from_dlpack(a).add_(1); a
    tensor([1., 1.])
    array([1., 1.], dtype=float32)
    """
    capsule = ext_tensor
    if hasattr(ext_tensor, "__dlpack__"):
        kind, index = ext_tensor.__dlpack_device__()
        own: dict[str, Any] = {}
        if int(kind) in (_dlpack.CUDA, _dlpack.CUDA_MANAGED):
            devices.cuda.driver()
            # The producer makes our stream wait for its own.
            own["stream"] = int(devices.cuda.stream(index).handle) or 1
        try:
            capsule = ext_tensor.__dlpack__(**own, max_version=(1, 0))
        except TypeError:  # from before version 1.0
            capsule = ext_tensor.__dlpack__(**own)
    found = _dlpack.take(capsule)
    from_numpy_dtype(found.dtype)
    if found.device_type in (_dlpack.CPU, _dlpack.CUDA_HOST):
        array = _dlpack.host_array(found)
        if any(s < 0 for s in array.strides):
            raise BufferError("a DLPack tensor with negative strides: make a copy of it first")
        result = wrap(array)
    elif found.device_type in (_dlpack.CUDA, _dlpack.CUDA_MANAGED):
        result = wrap(devices.cuda.from_foreign(found))
    else:
        raise BufferError(f"a DLPack tensor on a device of type {found.device_type}")
    moved = result if device is None else result.to(device)
    if copy is False and moved is not result:
        raise ValueError(f"cannot move (from {result.device} to {moved.device}) without copying")
    return moved.clone() if copy and moved is result else moved


def to_dlpack(
    tensor: Any,
    stream: Any = None,
    max_version: Any = None,
    dl_device: Any = None,
    copy: Any = None,
) -> Any:
    """A DLPack capsule of a tensor's memory, which another library takes once.

    `stream` is the consumer's, by handle, for a tensor on a GPU. The other parameters are those of
    the protocol's `__dlpack__`. Raises BufferError for a device that numgrad does not have.

    >>> numgrad.from_dlpack(numgrad.to_dlpack(numgrad.ones(2)))
    tensor([1., 1.])
    """
    data = tensor._data
    if dl_device is not None:
        kind = int(dl_device[0])
        wanted = "cpu" if kind == _dlpack.CPU else f"cuda:{dl_device[1]}"
        if kind not in (_dlpack.CPU, _dlpack.CUDA):
            raise BufferError(f"to_dlpack: no device of type {kind}")
        if copy is False and device(wanted) != tensor.device:
            raise ValueError(f"to_dlpack: {tensor.device} to {wanted} takes a copy")
        data = tensor.to(wanted)._data
    if type(data) is np.ndarray:
        data = values(data, "to_dlpack")
        return data.__dlpack__(max_version=max_version, copy=copy)
    if _core.cpu.recorder is not None:
        _core.cpu.recorder.read("to_dlpack")
    if copy:
        data = copy_array(data, data.dtype)
    return devices.cuda.export(data, None if stream is None else int(stream))


def scalar_tensor(s: Any, *, dtype: dtype | None = None, device: Any = None) -> Tensor:
    """A 0-d tensor; a float by default.

    >>> numgrad.scalar_tensor(3)
    tensor(3.)
    """
    return full((), s, dtype=dtype or get_default_dtype(), device=device)


def as_size(args: Any, function: str = "size", size: Any = None) -> tuple:
    """A shape given as `f(2, 3)`, `f((2, 3))` or `f(size=(2, 3))`, checked."""
    if size is not None:
        args = (size,)
    elif not args:
        raise TypeError(f'{function}() missing 1 required positional arguments: "size"')
    if len(args) == 1 and not is_number(args[0]) and not isinstance(args[0], Tensor):
        args = args[0]
    try:
        shape = tuple([operator.index(n) for n in args])
    except TypeError:
        raise TypeError(
            f"{function}(): argument 'size' must be tuple of ints, but found element of type "
            f"{type(next(n for n in args if not hasattr(n, '__index__'))).__name__}"
        ) from None
    for n in shape:
        if n < 0:
            raise RuntimeError(
                f"{function}: Dimension size must be non-negative."
                if function == "zeros"
                else f"Trying to create tensor with negative dimension {n}: {list(shape)}"
            )
    return shape


def _new(shape: tuple, dtype_: Any, where: Any = None) -> Any:
    wanted = as_numpy_dtype(dtype_) if dtype_ else get_default_dtype().numpy
    return _core.empty(shape, wanted, _on(where))


def fill_array(data: Any, value: Any) -> None:
    """data[...] = value."""
    launch(table.copy[data.dtype], data.dtype, data.size, (number(value, data.dtype), data))


def empty(
    *sizes: Any,
    size: Any = None,
    dtype: dtype | None = None,
    layout: Any = None,
    device: Any = None,
    requires_grad: builtins.bool = False,
    pin_memory: builtins.bool = False,
    memory_format: Any = None,
    out: Any = None,
) -> Tensor:
    """A tensor with memory that is not initialised.

    >>> numgrad.empty(2, 3).shape
    torch.Size([2, 3])
    """
    return _place(_new(as_size(sizes, "empty", size), dtype, device), device, requires_grad)


def zeros(
    *sizes: Any,
    size: Any = None,
    dtype: dtype | None = None,
    layout: Any = None,
    device: Any = None,
    requires_grad: builtins.bool = False,
    out: Any = None,
) -> Tensor:
    """A tensor of zeros.

    >>> numgrad.zeros(2, 3)
    tensor([[0., 0., 0.],
            [0., 0., 0.]])
    """
    wanted = as_numpy_dtype(dtype) if dtype else get_default_dtype().numpy
    data = _core.zeros(as_size(sizes, "zeros", size), wanted, _on(device))
    return _into(out, _place(data, device, requires_grad))


def ones(
    *sizes: Any,
    size: Any = None,
    dtype: dtype | None = None,
    layout: Any = None,
    device: Any = None,
    requires_grad: builtins.bool = False,
    out: Any = None,
) -> Tensor:
    """A tensor of ones.

    >>> numgrad.ones(2, dtype=numgrad.int64)
    tensor([1, 1])
    """
    data = _new(as_size(sizes, "ones", size), dtype, device)
    fill_array(data, 1)
    return _into(out, _place(data, device, requires_grad))


def _into(out: Any, result: Any) -> Any:
    if out is None:
        return result
    from ._core import write_out

    return write_out(out, result)


def _number_dtype(value: Any) -> np.dtype:
    """The dtype that a number, or a tensor in place of one, stands for."""
    if not isinstance(value, Tensor):
        return number_dtype(value)
    kind = value._data.dtype.kind
    return number_dtype({"f": 0.0, "b": False}.get(kind, 0))


def _fill(data: Any, value: Any, function: str) -> None:
    """data[...] = value, a number or a 0-d tensor."""
    if not isinstance(value, Tensor):
        fill_array(data, value)
    elif value._data.ndim:
        raise TypeError(
            f"{function}(): argument 'fill_value' (position 2) must be Number, not Tensor"
        )
    else:
        assign(data, value._data)


def full(
    size: Any,
    fill_value: Any,
    *,
    dtype: dtype | None = None,
    device: Any = None,
    requires_grad: builtins.bool = False,
    out: Any = None,
) -> Tensor:
    """A tensor of this size, every element `fill_value`.

    >>> numgrad.full((2,), 3.5)
    tensor([3.5000, 3.5000])
    """
    if hasattr(size, "__index__"):
        raise TypeError(
            f"full(): argument 'size' (position 1) must be tuple of ints, not {type(size).__name__}"
        )
    if dtype is None:
        dtype = FROM_NUMPY[_number_dtype(fill_value)]
    data = _new(as_size((size,), "full"), dtype, device)
    _fill(data, fill_value, "full")
    return _into(out, _place(data, device, requires_grad))


def _like(
    function: str, input: Tensor, dtype: Any, device: Any, requires_grad: builtins.bool, value: Any
) -> Any:
    source = check_tensor(input, function, "input")._data
    wanted = as_numpy_dtype(dtype) if dtype else source.dtype

    data = _core.empty(source.shape, wanted, source if device is None else _on(device))
    if value is not None:
        _fill(data, value, function)
    return _place(data, device, requires_grad)


def empty_like(
    input: Tensor,
    *,
    dtype: dtype | None = None,
    device: Any = None,
    requires_grad: builtins.bool = False,
    memory_format: Any = None,
) -> Any:
    """`empty` with the shape, dtype and device of `input`.

    >>> numgrad.empty_like(numgrad.zeros(2, 3)).shape
    torch.Size([2, 3])
    """
    return _like("empty_like", input, dtype, device, requires_grad, None)


def zeros_like(
    input: Tensor,
    *,
    dtype: dtype | None = None,
    device: Any = None,
    requires_grad: builtins.bool = False,
    memory_format: Any = None,
) -> Tensor:
    """`zeros` with the shape, dtype and device of `input`.

    >>> numgrad.zeros_like(numgrad.tensor([1, 2]))
    tensor([0, 0])
    """
    return _like("zeros_like", input, dtype, device, requires_grad, 0)


def ones_like(
    input: Tensor,
    *,
    dtype: dtype | None = None,
    device: Any = None,
    requires_grad: builtins.bool = False,
    memory_format: Any = None,
) -> Tensor:
    """`ones` with the shape, dtype and device of `input`.

    >>> numgrad.ones_like(numgrad.tensor([1., 2.]))
    tensor([1., 1.])
    """
    return _like("ones_like", input, dtype, device, requires_grad, 1)


def full_like(
    input: Tensor,
    fill_value: Any,
    *,
    dtype: dtype | None = None,
    device: Any = None,
    requires_grad: builtins.bool = False,
    memory_format: Any = None,
) -> Tensor:
    """`full` with the shape, dtype and device of `input`.

    >>> numgrad.full_like(numgrad.tensor([1, 2]), 7)
    tensor([7, 7])
    """
    return _like("full_like", input, dtype, device, requires_grad, fill_value)


def eye(
    n: int,
    m: int | None = None,
    *,
    dtype: dtype | None = None,
    device: Any = None,
    requires_grad: builtins.bool = False,
) -> Tensor:
    """Ones on the diagonal, zeros elsewhere.

    >>> numgrad.eye(2)
    tensor([[1., 0.],
            [0., 1.]])
    """
    if n < 0 or (m is not None and m < 0):
        raise RuntimeError(
            f"{'n' if n < 0 else 'm'} must be greater or equal to 0, got {n if n < 0 else m}"
        )
    wanted = as_numpy_dtype(dtype) if dtype else get_default_dtype().numpy
    columns = n if m is None else m
    data = _core.zeros((n, columns), wanted)
    if count := min(n, columns):
        fill_array(data.reshape(-1)[: (count - 1) * (columns + 1) + 1 : columns + 1], 1)
    return _place(data, device, requires_grad)


def arange(
    start: Any = 0,
    end: Any = None,
    step: Any = 1,
    *,
    dtype: dtype | None = None,
    device: Any = None,
    requires_grad: builtins.bool = False,
    out: Any = None,
) -> Tensor:
    """start, start + step, … below `end`; int64 where all three are ints.

    >>> numgrad.arange(1, 4)
    tensor([1, 2, 3])
    >>> numgrad.arange(0, 1, 0.25)
    tensor([0.0000, 0.2500, 0.5000, 0.7500])
    """
    if end is None:
        start, end = 0, start
    start, end, step = (v.item() if isinstance(v, Tensor) else v for v in (start, end, step))
    if step == 0:
        raise RuntimeError("step must be nonzero")
    if (end - start) * step < 0:
        raise RuntimeError("upper bound and lower bound inconsistent with step sign")
    if not all(math.isfinite(v) for v in (start, end)):
        raise RuntimeError(f"unsupported range: {start} -> {end}")
    if dtype is not None and as_numpy_dtype(dtype).kind == "b":
        raise NotImplementedError("\"arange_cpu\" not implemented for 'Bool'")
    integral = all(isinstance(v, (int, np.integer)) for v in (start, end, step))
    wanted = as_numpy_dtype(dtype) if dtype else INT64 if integral else get_default_dtype().numpy
    if integral:
        data = np.arange(start, end, step, dtype=INT64).astype(wanted, copy=False)
    else:
        count = math.ceil((end - start) / step)
        data = (start + step * np.arange(count, dtype=np.float64)).astype(wanted)
    return _into(out, _place(data, device, requires_grad))


def linspace(
    start: Any,
    end: Any,
    steps: int,
    *,
    dtype: dtype | None = None,
    device: Any = None,
    requires_grad: builtins.bool = False,
) -> Tensor:
    """`steps` values from `start` to `end`, both included, at equal distances.

    >>> numgrad.linspace(0, 1, 5)
    tensor([0.0000, 0.2500, 0.5000, 0.7500, 1.0000])
    """
    start, end = (v.item() if isinstance(v, Tensor) else v for v in (start, end))
    if steps < 0:
        raise RuntimeError("number of steps must be non-negative")
    wanted = as_numpy_dtype(dtype) if dtype else get_default_dtype().numpy
    if steps == 1:
        data = _new((1,), dtype)
        fill_array(data, start)
    else:
        # Symmetric, as PyTorch computes it: from the start below the middle, else from the end.
        kind = wanted.type if wanted.kind == "f" else np.float64
        index = np.arange(steps)
        width = kind((end - start) / (steps - 1)) if steps > 1 else kind(0)
        data = np.where(
            index < steps // 2,
            kind(start) + width * index.astype(kind),
            kind(end) - width * (steps - 1 - index).astype(kind),
        ).astype(wanted)
    return _place(data, device, requires_grad)


def logspace(
    start: Any, end: Any, steps: int, base: float = 10.0, *, dtype: dtype | None = None
) -> Any:
    """`steps` values from base^start to base^end, evenly spaced in the exponent.

    >>> numgrad.logspace(0, 2, 3)
    tensor([  1.,  10., 100.])
    """
    exponents = linspace(start, end, steps, dtype=FROM_NUMPY[np.dtype("float64")])
    wanted = as_numpy_dtype(dtype) if dtype else get_default_dtype().numpy
    return wrap(np.power(base, exponents._data).astype(wanted))  # numbers that Python has made


def is_tensor(obj: Any) -> builtins.bool:
    """Whether an object is a tensor.

    >>> numgrad.is_tensor([1.])
    False
    """
    return isinstance(obj, Tensor)


def is_floating_point(input: Tensor) -> builtins.bool:
    """Whether the tensor's dtype is floating.

    >>> numgrad.is_floating_point(numgrad.tensor([1, 2]))
    False
    """
    return input._data.dtype.kind == "f"


def is_nonzero(input: Tensor) -> builtins.bool:
    """Whether a one-element tensor is not zero.

    >>> numgrad.is_nonzero(numgrad.tensor([0.]))
    False
    """
    if input._data.size != 1:
        raise RuntimeError(
            f"Boolean value of Tensor with {'no' if not input._data.size else 'more than one'} "
            f"value{'s' if not input._data.size else ''} is ambiguous"
        )
    return builtins.bool(values(input._data, "is_nonzero").item())


def numel(input: Tensor) -> int:
    """The number of elements.

    >>> numgrad.numel(numgrad.zeros(2, 3))
    6
    """
    return input._data.size
