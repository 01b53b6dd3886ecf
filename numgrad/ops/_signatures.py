"""What type checkers and editors know of the operations that are made from a kernel.

`unary` and `binary` make functions that are methods of `Tensor` too: so the parameters of one that
is taken from an instance are without the first.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, overload

if TYPE_CHECKING:
    from ..tensor import Tensor


class Unary(Protocol):
    """A function of one tensor."""

    __name__: str
    __qualname__: str

    def __call__(self, input: Tensor, *, out: Tensor | None = None) -> Tensor: ...

    @overload
    def __get__(self, instance: None, owner: Any = None) -> Unary: ...
    @overload
    def __get__(self, instance: object, owner: Any = None) -> BoundUnary: ...


class BoundUnary(Protocol):
    """The same as a method."""

    def __call__(self, *, out: Tensor | None = None) -> Tensor: ...


class Binary(Protocol):
    """A function of two tensors, or of a tensor and a number."""

    __name__: str
    __qualname__: str

    def __call__(self, input: Any, other: Any, *, out: Tensor | None = None) -> Tensor: ...

    @overload
    def __get__(self, instance: None, owner: Any = None) -> Binary: ...
    @overload
    def __get__(self, instance: object, owner: Any = None) -> BoundBinary: ...


class BoundBinary(Protocol):
    """The same as a method."""

    def __call__(self, other: Any, *, out: Tensor | None = None) -> Tensor: ...
