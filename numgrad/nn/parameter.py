"""Parameters: tensors that a module trains."""

from __future__ import annotations

from typing import Any

from ..autograd.tape import Variable
from ..tensor import Tensor, tensor

_SLOTS = ("_data", "_requires_grad", "_node", "_grad", "_counter", "_view", "_hooks")


class Parameter(Tensor):
    """A tensor that becomes a module's parameter when it is assigned as an attribute.

    >>> numgrad.nn.Parameter(numgrad.ones(2))
    Parameter containing:
    tensor([1., 1.], requires_grad=True)
    """

    __slots__ = ()

    def __new__(cls, data: Any = None, requires_grad: bool = True) -> Parameter:
        if data is None:
            data = tensor([])
        if not isinstance(data, Variable):
            raise TypeError(f"Parameter data has to be a Tensor, but got {type(data).__name__}")
        self = object.__new__(cls)
        self._data = data._data
        self._node = self._grad = self._view = self._hooks = None
        self._counter = data._counter
        self._requires_grad = False
        self.requires_grad = requires_grad
        return self

    def __repr__(self, *, tensor_contents: Any = None) -> str:
        return "Parameter containing:\n" + super().__repr__()


class Buffer(Tensor):
    """A tensor that becomes a module's buffer when it is assigned as an attribute."""

    __slots__ = ()

    def __new__(cls, data: Any = None, *, persistent: bool = True) -> Any:
        self = object.__new__(cls)
        source = tensor([]) if data is None else data
        for name in _SLOTS:
            setattr(self, name, getattr(source, name))
        self.persistent = persistent
        return self
