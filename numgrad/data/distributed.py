"""The sampler that gives each process of a distributed run its share of the dataset."""

from __future__ import annotations

import importlib
import math
from collections.abc import Iterator, Sized
from typing import Any

from .. import ops
from ..random import Generator
from .sampler import Sampler

__all__ = ["DistributedSampler"]


class DistributedSampler(Sampler[int]):
    """Every `num_replicas`-th index of one common order, from `rank` on.

    The order is shuffled from `seed + epoch`, the same in all processes: call `set_epoch` before
    each epoch, or all epochs have one order. All ranks get equally many indices: the order is
    padded from its own beginning, or cut with `drop_last`. `num_replicas` and `rank` default to
    those of `numgrad.distributed`.

    >>> from numgrad.utils.data.distributed import DistributedSampler
    >>> [list(DistributedSampler(range(5), 2, rank, shuffle=False)) for rank in (0, 1)]
    [[0, 2, 4], [1, 3, 0]]
    """

    def __init__(
        self,
        dataset: Sized,
        num_replicas: int | None = None,
        rank: int | None = None,
        shuffle: bool = True,
        seed: int = 0,
        drop_last: bool = False,
    ) -> None:
        if num_replicas is None:
            num_replicas = _process_group().get_world_size()
        if rank is None:
            rank = _process_group().get_rank()
        if rank >= num_replicas or rank < 0:
            raise ValueError(
                f"Invalid rank {rank}, rank should be in the interval [0, {num_replicas - 1}]"
            )
        self.dataset = dataset
        self.num_replicas: int = num_replicas
        self.rank: int = rank
        self.epoch = 0
        self.drop_last = drop_last
        self.shuffle = shuffle
        self.seed = seed
        if drop_last:
            self.num_samples = len(dataset) // self.num_replicas
        else:
            self.num_samples = math.ceil(len(dataset) / self.num_replicas)
        self.total_size = self.num_samples * self.num_replicas

    def __iter__(self) -> Iterator[int]:
        size = len(self.dataset)
        if self.shuffle:
            generator = Generator()
            generator.manual_seed(self.seed + self.epoch)
            indices = ops.randperm(size, generator=generator).tolist()
        else:
            indices = list(range(size))
        if self.drop_last:
            indices = indices[: self.total_size]
        elif size < self.total_size:
            indices = (indices * math.ceil(self.total_size / size))[: self.total_size]
        if len(indices) != self.total_size:
            raise AssertionError(
                f"Number of indices ({len(indices)}) does not match total_size ({self.total_size})"
            )
        return iter(indices[self.rank :: self.num_replicas])

    def __len__(self) -> int:
        return self.num_samples

    def set_epoch(self, epoch: int) -> None:
        """Choose the order of the next iteration."""
        self.epoch = epoch


def _process_group() -> Any:
    # Looked up by name and only when needed: most programs that load data are one process.
    try:
        return importlib.import_module("numgrad.distributed")
    except ModuleNotFoundError as error:
        if error.name != "numgrad.distributed":
            raise
        raise RuntimeError("Requires distributed package to be available") from None
