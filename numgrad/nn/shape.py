"""Layers that change the shape: `Flatten`, `Unflatten`, padding with a constant."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .. import ops
from ..tensor import Tensor
from . import functional as F
from .module import Module

__all__ = [
    "ConstantPad1d",
    "ConstantPad2d",
    "ConstantPad3d",
    "Flatten",
    "Unflatten",
    "ZeroPad1d",
    "ZeroPad2d",
    "ZeroPad3d",
]


class Flatten(Module):
    """Dimensions `start_dim` … `end_dim` merged into one: by default all but the batch's.

    >>> numgrad.nn.Flatten()(numgrad.ones(2, 3, 4)).shape
    torch.Size([2, 12])
    """

    def __init__(self, start_dim: int = 1, end_dim: int = -1) -> None:
        super().__init__()
        self.start_dim = start_dim
        self.end_dim = end_dim

    def forward(self, input: Tensor) -> Tensor:
        return ops.flatten(input, self.start_dim, self.end_dim)

    def extra_repr(self) -> str:
        return f"start_dim={self.start_dim}, end_dim={self.end_dim}"


class Unflatten(Module):
    """Dimension `dim` split into `unflattened_size`.

    >>> numgrad.nn.Unflatten(1, (3, 4))(numgrad.ones(2, 12)).shape
    torch.Size([2, 3, 4])
    """

    def __init__(self, dim: int, unflattened_size: Sequence[int]) -> None:
        super().__init__()
        if not isinstance(dim, int):
            raise TypeError(f"invalid argument type for dim parameter: {type(dim).__name__}")
        for position, size in enumerate(unflattened_size):
            if not isinstance(size, int):
                raise TypeError(
                    "unflattened_size must be tuple of ints, but found element of type "
                    f"{type(size).__name__} at pos {position}"
                )
        self.dim = dim
        self.unflattened_size = unflattened_size

    def forward(self, input: Tensor) -> Tensor:
        return ops.unflatten(input, self.dim, self.unflattened_size)

    def extra_repr(self) -> str:
        return f"dim={self.dim}, unflattened_size={self.unflattened_size}"


class _ConstantPad(Module):
    """Room around the last `_dims` dimensions, filled with `value`."""

    _dims = 1
    value: float

    def __init__(self, padding: int | Sequence[int], value: float) -> None:
        super().__init__()
        self.padding = _both_sides(padding, 2 * self._dims)
        self.value = value

    def forward(self, input: Tensor) -> Tensor:
        return F.pad(input, self.padding, "constant", self.value)

    def extra_repr(self) -> str:
        return f"padding={self.padding}, value={self.value}"


def _both_sides(padding: Any, count: int) -> tuple[int, ...]:
    return (padding,) * count if isinstance(padding, int) else tuple(padding)


class ConstantPad1d(_ConstantPad):
    """Room left and right of the last dimension, filled with `value`.

    >>> numgrad.nn.ConstantPad1d(1, 9.)(numgrad.ones(1, 2))
    tensor([[9., 1., 1., 9.]])
    """


class ConstantPad2d(_ConstantPad):
    """Room around the last two dimensions (left, right, top, bottom), filled with `value`.

    >>> numgrad.nn.ConstantPad2d(1, 7.)(numgrad.zeros(1, 1, 1))
    tensor([[[7., 7., 7.],
             [7., 0., 7.],
             [7., 7., 7.]]])
    """

    _dims = 2


class ConstantPad3d(_ConstantPad):
    """Room around the last three dimensions, filled with `value`.

    >>> numgrad.nn.ConstantPad3d(1, 7.)(numgrad.zeros(1, 1, 1, 1)).shape
    torch.Size([1, 3, 3, 3])
    """

    _dims = 3


class _ZeroPad(_ConstantPad):
    def __init__(self, padding: int | Sequence[int]) -> None:
        super().__init__(padding, 0.0)

    def extra_repr(self) -> str:
        return f"{self.padding}"


class ZeroPad1d(_ZeroPad):
    """Zeros left and right of the last dimension.

    >>> numgrad.nn.ZeroPad1d((0, 2))(numgrad.ones(1, 2))
    tensor([[1., 1., 0., 0.]])
    """


class ZeroPad2d(_ZeroPad):
    """Zeros around the last two dimensions (left, right, top, bottom).

    >>> numgrad.nn.ZeroPad2d(1)(numgrad.ones(1, 1, 1)).sum()
    tensor(1.)
    """

    _dims = 2


class ZeroPad3d(_ZeroPad):
    """Zeros around the last three dimensions.

    >>> numgrad.nn.ZeroPad3d(1)(numgrad.ones(1, 1, 1, 1)).shape
    torch.Size([1, 3, 3, 3])
    """

    _dims = 3
