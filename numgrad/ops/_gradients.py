"""What the backward walk needs of operations: adding gradients, seeding, keeping them."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np

from ..autograd import engine
from ..autograd.tape import Variable
from ..device import cpu
from ._core import cast, copy_array, values, wrap
from .creation import ones_like
from .elementwise import add


def own(grad: Any) -> Any:
    """A gradient that a leaf may keep: the tensor itself if nobody else holds it, else a copy."""
    data = grad._data
    if (
        sys.getrefcount(grad) > _HELD_BY_ENGINE
        or grad._view is not None
        or grad._node is not None
        or data.base is not None
        or not data.flags.c_contiguous
        or sys.getrefcount(data)
        > _HELD_BY_TENSOR + (cpu.recorder is not None and cpu.recorder.holds(data))
    ):
        return wrap(copy_array(data, data.dtype))
    return grad


# References to a gradient that the walk itself holds where it calls `own`: its table of pending
# gradients, the loop's variable, two frames' arguments and getrefcount's own.
_HELD_BY_ENGINE = 6
_HELD_BY_TENSOR = 3


def fit(grad: Any, tensor: Any, name: str) -> Any:
    """The given output gradient, checked against the output."""
    if not isinstance(grad, Variable):
        raise TypeError(f"gradients can be either Tensors or None, but got {type(grad).__name__}")
    if grad._data.shape != tensor._data.shape:
        raise RuntimeError(
            f"Mismatch in shape: grad_output[0] has a shape of {_size(grad)} and output[0] has a "
            f"shape of {_size(tensor)}."
        )
    return cast(grad, tensor._data.dtype)


def _size(tensor: Any) -> str:
    return f"torch.Size([{', '.join(map(str, tensor._data.shape))}])"


def has_nan(tensor: Any) -> bool:
    """Whether any element is NaN."""
    return bool(np.isnan(values(tensor._data, "detect_anomaly")).any())


engine.use({"accumulate": add, "ones_like": ones_like, "fit": fit, "own": own, "has_nan": has_nan})
