"""PyTorch's `utils` namespace: `utils.data`, `utils.dlpack`."""

from . import data as data
from . import dlpack as dlpack

__all__ = ["data", "dlpack"]
