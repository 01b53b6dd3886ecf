"""What PyTorch's names in a checkpoint's pickle mean here, and which of them may be called.

The constructors are called with arguments of the file's choice. So each of them takes only what
`torch.save` would have written, and cannot be made to compute, allocate or read out of bounds.
"""

from __future__ import annotations

from _codecs import encode
from collections import Counter, OrderedDict
from collections.abc import Callable
from pickle import UnpicklingError
from typing import Any

import numpy as np

from ..autograd import tape
from ..dtypes import ALL as DTYPES
from ..dtypes import Size, device
from ..nn.parameter import Parameter
from ..tensor import Tensor
from .storages import STORAGE_TYPES, Storage
from .unpickler import hashable

__all__ = ["ALLOWED", "CONSTRUCTOR_OF", "NOT_IN_NUMGRAD", "TORCH_NAMES"]


def rebuild_tensor(
    storage: Any,
    storage_offset: Any,
    size: Any,
    stride: Any,
    requires_grad: Any,
    backward_hooks: Any,
    metadata: Any = None,
) -> Tensor:
    """`torch._utils._rebuild_tensor_v2`: a view of a storage that stays inside of it."""
    if type(storage) is not Storage:
        raise UnpicklingError(f"a tensor whose storage is a {type(storage)}")
    size, stride = tuple(size), tuple(stride)
    numbers = (storage_offset, *size, *stride)
    if any(type(number) is not int or number < 0 for number in numbers) or len(size) != len(stride):
        raise UnpicklingError(
            "a tensor whose offset, size and stride are not non-negative integers, as many sizes "
            "as strides"
        )
    if backward_hooks or metadata:
        raise UnpicklingError("a tensor with hooks or metadata, which numgrad does not load")
    array = storage.array
    last = storage_offset + sum((n - 1) * step for n, step in zip(size, stride, strict=True))
    beyond = storage_offset > array.size if 0 in size else last >= array.size
    if beyond:
        raise UnpicklingError(
            f"a tensor that reaches beyond its storage of {array.size} elements: offset "
            f"{storage_offset}, size {_text(size)}, stride {_text(stride)}"
        )
    item = array.itemsize
    strides = tuple(step * item for step in stride)
    start = storage_offset * item
    if type(array) is np.ndarray:
        view: Any = np.ndarray(size, array.dtype, array, start, strides)
    else:
        view = array.part(size, array.dtype, start, strides)
    tensor = tape.wrap(view)
    tensor._counter = storage.counter
    return _requiring_grad(tensor, requires_grad)


def _text(numbers: tuple[int, ...]) -> str:
    return str(numbers) if len(numbers) <= 8 and max(numbers, default=0) < 2**64 else "(…)"


def _requiring_grad(tensor: Any, requires_grad: Any) -> Any:
    if type(requires_grad) is not bool or (requires_grad and tensor._data.dtype.kind != "f"):
        raise UnpicklingError(
            f"requires_grad={requires_grad is True} on a tensor of {tensor._data.dtype}: only "
            "floating-point tensors can require gradients"
        )
    tensor._requires_grad = requires_grad
    return tensor


def rebuild_parameter(data: Any, requires_grad: Any, backward_hooks: Any) -> Parameter:
    """`torch._utils._rebuild_parameter`."""
    if not isinstance(data, Tensor) or backward_hooks:
        raise UnpicklingError(f"a parameter made of a {type(data)}, or with hooks")
    return _requiring_grad(Parameter(data, requires_grad=False), requires_grad)


def rebuild_parameter_with_state(
    data: Any, requires_grad: Any, backward_hooks: Any, state: Any
) -> Parameter:
    """`torch._utils._rebuild_parameter_with_state`: one with attributes that a user gave it."""
    return _with_attributes(rebuild_parameter(data, requires_grad, backward_hooks), state)


def rebuild_from_type(function: Any, cls: Any, arguments: Any, state: Any) -> Tensor:
    """`torch._tensor._rebuild_from_type_v2`: a tensor with attributes, or of a subclass."""
    if function is not rebuild_tensor and function is not rebuild_parameter:
        raise UnpicklingError(f"a tensor rebuilt by a {type(function)}")
    if not isinstance(cls, type) or not issubclass(cls, Tensor):
        raise UnpicklingError(f"a tensor of a class that is no Tensor, {type(cls)}")
    tensor = function(*arguments)
    tensor.__class__ = cls
    return _with_attributes(tensor, state)


def _with_attributes(tensor: Any, state: Any) -> Any:
    if type(state) is tuple and len(state) == 2 and not state[1]:
        state = state[0]  # (attributes, slots)
    if type(state) is not dict:
        raise UnpicklingError(f"a tensor with attributes in a {type(state)}")
    for name in state:
        if type(name) is not str or name.startswith("_") or hasattr(type(tensor), name):
            raise UnpicklingError("an attribute that would replace one of the tensor's own")
    tensor.__dict__.update(state)
    return tensor


def _ordered_dict(items: Any = ()) -> OrderedDict:
    return OrderedDict((hashable(key), value) for key, value in items)


def _counter(counts: Any = ()) -> Counter:
    return Counter({hashable(key): count for key, count in dict(counts).items()})


def _set(items: Any = ()) -> set:
    return {hashable(item) for item in items}


def _encode(text: Any, encoding: Any) -> bytes:
    # This is how pickle protocol 2 writes bytes. Other codecs run code that the file would choose.
    if type(text) is not str or encoding not in ("latin1", "latin-1"):
        raise UnpicklingError("_codecs.encode of anything but a string to latin1")
    return text.encode("latin1")


def _no_bytes() -> bytes:
    return b""


def _bytearray(content: Any = b"", encoding: Any = "latin-1") -> bytearray:
    # bytearray(10**12) would fill the memory.
    octets = _encode(content, encoding) if type(content) is str else content
    if type(octets) is not bytes:
        raise UnpicklingError(f"a bytearray of a {type(content)}")
    return bytearray(octets)


def _complex(real: float, imag: float) -> complex:
    return complex(real, imag)


def _size(sizes: tuple) -> Size:
    if type(sizes) is not tuple or any(type(size) is not int for size in sizes):
        raise UnpicklingError("a torch.Size of anything but integers")
    return Size(sizes)


def _device(type: Any, index: Any = None) -> device:
    try:
        return device(type, index)
    except RuntimeError as error:
        raise UnpicklingError(f"torch.device: {error}") from None


#: Name in the pickle: what it stands for, and what calling that does.
CONSTRUCTORS: dict[str, tuple[Any, Callable[..., Any]]] = {
    "collections.OrderedDict": (OrderedDict, _ordered_dict),
    "collections.Counter": (Counter, _counter),
    "builtins.set": (set, _set),
    "builtins.bytearray": (bytearray, _bytearray),
    "builtins.bytes": (bytes, _no_bytes),
    "builtins.complex": (complex, _complex),
    "_codecs.encode": (encode, _encode),
    "torch.Size": (Size, _size),
    "torch.device": (device, _device),
    "torch._utils._rebuild_tensor_v2": (rebuild_tensor, rebuild_tensor),
    "torch._utils._rebuild_parameter": (rebuild_parameter, rebuild_parameter),
    "torch._utils._rebuild_parameter_with_state": (
        rebuild_parameter_with_state,
        rebuild_parameter_with_state,
    ),
    "torch._tensor._rebuild_from_type_v2": (rebuild_from_type, rebuild_from_type),
}

#: What REDUCE does when told to call an object (by id).
CONSTRUCTOR_OF = {id(named): constructor for named, constructor in CONSTRUCTORS.values()}

#: Everything that a file may name.
ALLOWED: dict[str, Any] = (
    {name: named for name, (named, _) in CONSTRUCTORS.items()}
    | {"torch.Tensor": Tensor, "torch.nn.parameter.Parameter": Parameter}
    | {f"torch.{dtype.name}": dtype for dtype in DTYPES}
    | {f"torch.{name}": kind for name, kind in STORAGE_TYPES.items()}
)

#: The (module, name) under which an object (by id) is written.
TORCH_NAMES: dict[int, tuple[str, str]] = {}
for _path, _named in ALLOWED.items():
    _module, _, _name = _path.rpartition(".")
    if _module.startswith("torch"):
        TORCH_NAMES[id(_named)] = _module, _name

#: What PyTorch saves and numgrad does not have, for an error that says so.
NOT_IN_NUMGRAD = {
    "torch._utils._rebuild_sparse_tensor": "a sparse tensor",
    "torch._utils._rebuild_nested_tensor": "a nested tensor",
    "torch._utils._rebuild_qtensor": "a quantized tensor",
    "torch._utils._rebuild_meta_tensor_no_storage": "a meta tensor",
    "torch._utils._rebuild_tensor_v3": "a tensor of dtype uint16, uint32, uint64 or float8",
    "torch.ComplexFloatStorage": "a complex tensor",
    "torch.ComplexDoubleStorage": "a complex tensor",
    "torch.storage.UntypedStorage": "a storage without a tensor",
    "torch.float16": "the dtype float16",
    "torch.bfloat16": "the dtype bfloat16",
    "torch.complex64": "the dtype complex64",
    "torch.complex128": "the dtype complex128",
}
