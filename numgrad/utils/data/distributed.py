"""`numgrad.data.distributed` under PyTorch's module path."""

from ...data.distributed import DistributedSampler as DistributedSampler

__all__ = ["DistributedSampler"]
