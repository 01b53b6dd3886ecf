"""`Parameter` and `Buffer`: tensors that a module registers when they are assigned to it."""

from __future__ import annotations

from typing import Any

from .. import ops
from ..autograd import tape
from ..tensor import Tensor

__all__ = ["Buffer", "Parameter"]


def _leaf(cls: type, data: Tensor, requires_grad: bool) -> Any:
    """A tensor of class `cls` on the memory of `data`, without history."""
    leaf: Any = object.__new__(cls)
    leaf._data = data._data
    if data._counter is None:
        data._counter = tape.Counter()
    leaf._counter = data._counter
    leaf._requires_grad = False
    leaf._node = leaf._grad = leaf._view = leaf._hooks = None
    if requires_grad:
        if data._data.dtype.kind != "f":
            raise RuntimeError(
                "Only Tensors of floating point and complex dtype can require gradients"
            )
        leaf._requires_grad = True
    return leaf


class Parameter(Tensor):
    """A tensor that becomes one of a module's parameters when it is assigned to it.

    It shares the memory of `data` (an empty tensor by default) and is a leaf of the graph, also
    when it is made inside `no_grad`. RuntimeError where `requires_grad` is asked of integers.

    >>> numgrad.nn.Parameter(numgrad.ones(2))
    Parameter containing:
    tensor([1., 1.], requires_grad=True)
    """

    __slots__ = ()

    def __new__(cls, data: Tensor | None = None, requires_grad: bool = True) -> Parameter:
        if data is None:
            data = ops.empty(0)
        elif not isinstance(data, Tensor):
            raise TypeError(
                f"Parameter(): argument 'data' must be Tensor, not {type(data).__name__}"
            )
        return _leaf(cls, data, requires_grad)

    def __deepcopy__(self, memo: dict[int, Any]) -> Parameter:
        if id(self) not in memo:
            memo[id(self)] = type(self)(self.detach().clone(), self.requires_grad)
        return memo[id(self)]

    def __reduce_ex__(self, protocol: Any) -> tuple:
        state = {name: v for name, v in self.__dict__.items() if not name.startswith("_")}
        return _rebuild, (type(self), self.detach(), self.requires_grad, state)

    def __repr__(self, *, tensor_contents: Any = None) -> str:  # type: ignore[override]
        return "Parameter containing:\n" + super().__repr__()


def _rebuild(cls: type, data: Tensor, requires_grad: bool, state: dict[str, Any]) -> Any:
    """A pickled parameter or buffer."""
    rebuilt = _leaf(cls, data, requires_grad)
    rebuilt.__dict__.update(state)
    return rebuilt


class Buffer(Tensor):
    """A tensor that becomes one of a module's buffers when it is assigned to it.

    A buffer is state that is not trained. With `persistent=False` it stays out of `state_dict`.

    >>> module = numgrad.nn.Module()
    >>> module.offset = numgrad.nn.Buffer(numgrad.zeros(2))
    >>> list(module.state_dict())
    ['offset']
    """

    __slots__ = ()
    persistent: bool

    def __new__(cls, data: Tensor | None = None, *, persistent: bool = True) -> Buffer:
        if data is None:
            data = ops.empty(0)
        buffer = _leaf(cls, data, data.requires_grad)
        buffer.persistent = persistent
        return buffer

    def __deepcopy__(self, memo: dict[int, Any]) -> Buffer:
        if id(self) not in memo:
            copied = type(self)(self.detach().clone(), persistent=self.persistent)
            memo[id(self)] = copied.requires_grad_(self.requires_grad)
        return memo[id(self)]

    def __reduce_ex__(self, protocol: Any) -> tuple:
        return _rebuild, (
            type(self),
            self.detach(),
            self.requires_grad,
            {"persistent": self.persistent},
        )
