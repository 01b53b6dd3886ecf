"""Parameters as one vector, and back."""

from __future__ import annotations

from collections.abc import Iterable

from ... import ops
from ...tensor import Tensor
from ..module import typename


def parameters_to_vector(parameters: Iterable[Tensor]) -> Tensor:
    """All parameters, flattened, in one vector.

    >>> layer = numgrad.nn.Linear(2, 3)
    >>> numgrad.nn.utils.parameters_to_vector(layer.parameters()).shape
    torch.Size([9])
    """
    return ops.cat([parameter.view(-1) for parameter in parameters])


def vector_to_parameters(vec: Tensor, parameters: Iterable[Tensor]) -> None:
    """Give the parameters the values of a vector, whose memory they share from then on.

    >>> layer = numgrad.nn.Linear(2, 3)
    >>> numgrad.nn.utils.vector_to_parameters(numgrad.arange(9.), layer.parameters())
    >>> layer.bias.detach()
    tensor([6., 7., 8.])
    """
    if not isinstance(vec, Tensor):
        raise TypeError(f"expected torch.Tensor, but got: {typename(vec)}")
    start = 0
    for parameter in parameters:
        count = parameter.numel()
        parameter.data = vec[start : start + count].view_as(parameter).data
        start += count
