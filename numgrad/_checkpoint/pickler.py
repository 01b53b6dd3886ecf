"""Writing the pickle of a `.pth` file: our objects under PyTorch's names.

A tensor is pickled as a call, `torch._utils._rebuild_tensor_v2(storage, offset, size, stride, …)`,
and its storage as a persistent id, `("storage", torch.FloatStorage, key, location, numel)`.
"""

from __future__ import annotations

import io
import pickle
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import numpy as np

from ..dtypes import Size, device
from ..nn.parameter import Parameter
from ..tensor import Tensor
from .names import TORCH_NAMES, rebuild_from_type, rebuild_parameter, rebuild_tensor
from .names import rebuild_parameter_with_state as rebuild_with_state
from .storages import SavedMemory, StorageReference

__all__ = ["pickle_checkpoint"]


def pickle_checkpoint(obj: Any, protocol: int) -> tuple[bytes, list[np.ndarray]]:
    """The pickle of `obj`, and the bytes of the storages "0", "1" … that it refers to."""
    memory = SavedMemory()
    settled = False
    while not settled:
        file = io.BytesIO()
        CheckpointPickler(file, protocol, memory).dump(obj)
        settled = memory.settle()
    return file.getvalue(), memory.records


class Values:
    """Stands for a tensor without its class and attributes while those are pickled."""

    def __init__(self, tensor: Tensor, requires_grad: bool, memory: SavedMemory) -> None:
        self.array = tensor._host() if tensor.is_cpu else memory.on_host(tensor._data)
        self.requires_grad = requires_grad
        self.location = str(tensor.device)


class CheckpointPickler(pickle._Pickler):
    """Python's pickler, not C's: that one cannot write a name that it cannot import."""

    proto: int
    save: Callable[[Any], None]
    write: Callable[[bytes], Any]
    memoize: Callable[[Any], None]

    def __init__(self, file: io.BytesIO, protocol: int, memory: SavedMemory) -> None:
        super().__init__(file, protocol)
        self._memory = memory

    def persistent_id(self, obj: Any) -> Any:
        return obj.pid if type(obj) is StorageReference else None

    def reducer_override(self, obj: Any) -> Any:
        """What `__reduce__` would give; a string: "the global of that name"."""
        if id(obj) in TORCH_NAMES:
            return TORCH_NAMES[id(obj)][1]
        if type(obj) is Values:
            return self._reduce_values(obj)
        if isinstance(obj, Tensor):
            return self._reduce_tensor(obj)
        if type(obj) is Size:
            return Size, (tuple(obj),)
        if type(obj) is device:
            return device, (obj.type,) if obj.index is None else (obj.type, obj.index)
        return NotImplemented

    def _reduce_values(self, values: Values) -> tuple:
        array = values.array
        storage, offset, stride = self._memory.place(array, values.location)
        hooks: OrderedDict = OrderedDict()  # PyTorch's: never filled, but expected
        arguments = (storage, offset, array.shape, stride, values.requires_grad, hooks)
        return rebuild_tensor, arguments

    def _reduce_tensor(self, tensor: Tensor) -> tuple:
        attributes = {k: v for k, v in tensor.__dict__.items() if not k.startswith("_")}
        hooks: OrderedDict = OrderedDict()
        requires_grad = tensor.requires_grad
        if type(tensor) is Parameter:
            arguments = (Values(tensor, False, self._memory), requires_grad, hooks)
            if attributes:
                return rebuild_with_state, (*arguments, attributes)
            return rebuild_parameter, arguments
        function, arguments = self._reduce_values(Values(tensor, requires_grad, self._memory))
        if type(tensor) is Tensor and not attributes:
            return function, arguments
        return rebuild_from_type, (function, type(tensor), arguments, attributes)

    def save_global(self, obj: Any, name: str | None = None) -> None:
        if id(obj) not in TORCH_NAMES:
            return super().save_global(obj, name)  # type: ignore[misc]
        module, name = TORCH_NAMES[id(obj)]
        if self.proto >= 4:
            self.save(module)
            self.save(name)
            self.write(pickle.STACK_GLOBAL)
        else:
            self.write(pickle.GLOBAL + f"{module}\n{name}\n".encode())
        self.memoize(obj)
