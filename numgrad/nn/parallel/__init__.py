"""Modules that are trained by several processes: `DistributedDataParallel`."""

from .distributed import DistributedDataParallel as DistributedDataParallel

__all__ = ["DistributedDataParallel"]
