"""PyTorch's `utils` namespace: `utils.data`."""

from . import data as data

__all__ = ["data"]
