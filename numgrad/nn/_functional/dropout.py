"""Dropout in its variants."""

from __future__ import annotations

import math
import warnings

from ... import ops
from ...ops._core import inplace as in_place
from ...tensor import Tensor

_dropout_ = in_place(ops.dropout)


def _check(p: float) -> None:
    if p < 0.0 or p > 1.0:
        raise ValueError(f"dropout probability has to be between 0 and 1, but got {p}")


def dropout(input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    """While training, zero elements with probability p and scale the others by 1 / (1 - p).

    >>> numgrad.nn.functional.dropout(numgrad.ones(3), 0.5, training=False)
    tensor([1., 1., 1.])
    """
    if inplace and training:
        return _dropout_(input, p, training)
    return ops.dropout(input, p, training)


def _channel_noise(input: Tensor, p: float) -> Tensor:
    """Ones with probability 1 - p, one for each sample and channel, else zeros."""
    if input.dim() < 2:
        raise RuntimeError("Feature dropout requires at least 2 dimensions in the input")
    shape = (*input.shape[:2], *[1] * (input.dim() - 2))
    return ops.empty(shape, dtype=input.dtype).bernoulli_(1 - p)


def _drop_channels(input: Tensor, p: float, training: bool, inplace: bool) -> Tensor:
    if p == 0 or not training or input.numel() == 0:
        return input
    if p == 1:
        return input.zero_() if inplace else input * 0.0
    noise = _channel_noise(input, p).div_(1 - p)
    return input.mul_(noise) if inplace else input * noise


def _single_or_batch(input: Tensor, p: float, training: bool, inplace: bool, rank: int) -> Tensor:
    """Dropout of channels where the batch's dimension may be missing."""
    if input.dim() != rank:
        if inplace:
            _drop_channels(input.unsqueeze(0), p, training, True)
            return input
        return _drop_channels(input.unsqueeze(0), p, training, False).squeeze(0)
    return _drop_channels(input, p, training, inplace)


def _deprecated_rank(name: str, rank: int, spatial: str, expected: str) -> str:
    return (
        f"{name}: Received a {rank}-D input to {name}, which is deprecated and will result in an "
        "error in a future release. To retain the behavior and silence this warning, please use "
        f"dropout instead. Note that {name} exists to provide channel-wise dropout on inputs with "
        f"{spatial}, a channel dimension, and an optional batch dimension (i.e. {expected} inputs)."
    )


def dropout1d(
    input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False
) -> Tensor:
    """Dropout of whole channels of (N, C, L) or (C, L).

    >>> numgrad.nn.functional.dropout1d(numgrad.ones(2, 3, 4), 0.5).shape
    torch.Size([2, 3, 4])
    """
    _check(p)
    if input.dim() not in (2, 3):
        raise RuntimeError(
            f"dropout1d: Expected 2D or 3D input, but received a {input.dim()}D input. Note that "
            "dropout1d exists to provide channel-wise dropout on inputs with 1 spatial dimension, "
            "a channel dimension, and an optional batch dimension (i.e. 2D or 3D inputs)."
        )
    return _single_or_batch(input, p, training, inplace, 3)


def dropout2d(
    input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False
) -> Tensor:
    """Dropout of whole channels of (N, C, H, W).

    >>> numgrad.nn.functional.dropout2d(numgrad.ones(2, 3, 4, 4), 0.5).shape
    torch.Size([2, 3, 4, 4])
    """
    _check(p)
    if input.dim() not in (3, 4):
        warnings.warn(
            _deprecated_rank("dropout2d", input.dim(), "2 spatial dimensions", "3D or 4D"),
            stacklevel=2,
        )
    elif input.dim() == 3:
        warnings.warn(
            "dropout2d: Received a 3D input to dropout2d and assuming that channel-wise 1D "
            "dropout behavior is desired - input is interpreted as shape (N, C, L), where C is the "
            "channel dim. This behavior will change in a future release to interpret the input as "
            "one without a batch dimension, i.e. shape (C, H, W). To maintain the 1D channel-wise "
            "dropout behavior, please switch to using dropout1d instead.",
            stacklevel=2,
        )
    return _drop_channels(input, p, training, inplace)


def dropout3d(
    input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False
) -> Tensor:
    """Dropout of whole channels of (N, C, D, H, W) or (C, D, H, W).

    >>> numgrad.nn.functional.dropout3d(numgrad.ones(2, 3, 4, 4, 4), 0.5).shape
    torch.Size([2, 3, 4, 4, 4])
    """
    _check(p)
    if input.dim() not in (4, 5):
        warnings.warn(
            _deprecated_rank("dropout3d", input.dim(), "3 spatial dimensions", "4D or 5D"),
            stacklevel=2,
        )
    return _single_or_batch(input, p, training, inplace, 5)


def alpha_dropout(
    input: Tensor, p: float = 0.5, training: bool = False, inplace: bool = False
) -> Tensor:
    """Dropout that keeps mean 0 and variance 1 (Klambauer et al., 2017).

    >>> numgrad.nn.functional.alpha_dropout(numgrad.ones(2), 0.5)
    tensor([1., 1.])
    """
    return _alpha_dropout(input, p, training, inplace, channels=False)


def feature_alpha_dropout(
    input: Tensor, p: float = 0.5, training: bool = False, inplace: bool = False
) -> Tensor:
    """`alpha_dropout` of whole channels.

    >>> numgrad.nn.functional.feature_alpha_dropout(numgrad.ones(2, 3), 0.5).shape
    torch.Size([2, 3])
    """
    return _alpha_dropout(input, p, training, inplace, channels=True)


def _alpha_dropout(
    input: Tensor, p: float, training: bool, inplace: bool, channels: bool
) -> Tensor:
    _check(p)
    if p == 0 or not training or input.numel() == 0:
        return input
    if p == 1:
        return input.zero_() if inplace else input * 0.0
    # What a dropped element becomes: SELU's limit at minus infinity, -scale · alpha.
    dropped = 1.7580993408473766
    scale = 1 / math.sqrt((dropped * dropped * p + 1) * (1 - p))
    if channels:
        noise = _channel_noise(input, p)
    else:
        noise = ops.empty(input.shape, dtype=input.dtype).bernoulli_(1 - p)
    shift = noise.add(-1).mul_(dropped * scale).add_(dropped * scale * p)
    noise.mul_(scale)
    if inplace:
        return input.mul_(noise).add_(shift)
    return input * noise + shift
