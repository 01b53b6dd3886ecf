"""Samplers: the order in which a `DataLoader` visits a dataset.

The random ones draw what PyTorch's draw, from the same stream and at the same moment, so that the
same seed gives the same batches. That is why they draw when the first index is asked for, not
before, and why a generator that the user handed in is advanced even where the numbers go unused.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence, Sized
from typing import Any, Generic, TypeVar

from .. import ops
from ..dtypes import float64
from ..random import Generator
from ..tensor import Tensor
from ._random import draw_seed

__all__ = [
    "BatchSampler",
    "RandomSampler",
    "Sampler",
    "SequentialSampler",
    "SubsetRandomSampler",
    "WeightedRandomSampler",
]

T_co = TypeVar("T_co", covariant=True)

_REPLACEMENT_BLOCK = 32  # indices drawn at a time by RandomSampler(replacement=True), as in PyTorch


class Sampler(Generic[T_co]):
    """Base class of samplers: `__iter__` yields indices (or lists of them); `__len__` is optional.

    >>> from numgrad.utils.data import Sampler
    >>> class Backwards(Sampler):
    ...     def __init__(self, data):
    ...         self.data = data
    ...     def __iter__(self):
    ...         return iter(range(len(self.data) - 1, -1, -1))
    >>> list(Backwards("abc"))
    [2, 1, 0]
    """

    def __iter__(self) -> Iterator[T_co]:
        raise NotImplementedError("Subclasses of Sampler should implement __iter__.")


class SequentialSampler(Sampler[int]):
    """0, 1, 2, … up to the length of `data_source`.

    >>> from numgrad.utils.data import SequentialSampler
    >>> list(SequentialSampler("abc"))
    [0, 1, 2]
    """

    def __init__(self, data_source: Sized) -> None:
        self.data_source = data_source

    def __iter__(self) -> Iterator[int]:
        return iter(range(len(self.data_source)))

    def __len__(self) -> int:
        return len(self.data_source)


class RandomSampler(Sampler[int]):
    """Indices of `data_source` in random order, or drawn with replacement.

    `num_samples` defaults to the length of `data_source`. Without a `generator`, each iteration
    seeds a fresh one from the global stream.

    >>> import numgrad
    >>> from numgrad.utils.data import RandomSampler
    >>> list(RandomSampler("abcde", generator=numgrad.Generator().manual_seed(0)))
    [4, 0, 1, 3, 2]
    """

    def __init__(
        self,
        data_source: Sized,
        replacement: bool = False,
        num_samples: int | None = None,
        generator: Generator | None = None,
    ) -> None:
        self.data_source = data_source
        self.replacement = replacement
        self._num_samples = num_samples
        self.generator = generator
        if not isinstance(replacement, bool):
            raise TypeError(
                f"replacement should be a boolean value, but got replacement={replacement}"
            )
        if not isinstance(self.num_samples, int) or self.num_samples <= 0:
            raise ValueError(
                "num_samples should be a positive integer value, "
                f"but got num_samples={self.num_samples}"
            )

    @property
    def num_samples(self) -> int:
        """How many indices one iteration gives; follows a `data_source` that grows."""
        return len(self.data_source) if self._num_samples is None else self._num_samples

    def __iter__(self) -> Iterator[int]:
        size = len(self.data_source)
        num_samples = self.num_samples
        generator = self.generator
        if generator is None:
            generator = Generator()
            generator.manual_seed(draw_seed(None))
        if self.replacement:
            blocks, rest = divmod(num_samples, _REPLACEMENT_BLOCK)
            for count in itertools.chain(itertools.repeat(_REPLACEMENT_BLOCK, blocks), (rest,)):
                yield from ops.randint(0, size, (count,), generator=generator).tolist()
            return
        permutations, rest = divmod(num_samples, size)
        for _ in range(permutations):
            yield from ops.randperm(size, generator=generator).tolist()
        # PyTorch draws the last permutation even where nothing of it is used; only a generator that
        # outlives this loop can tell.
        if rest or self.generator is not None:
            yield from ops.randperm(size, generator=generator).tolist()[:rest]

    def __len__(self) -> int:
        return self.num_samples


class SubsetRandomSampler(Sampler[int]):
    """The given indices in random order.

    >>> from numgrad.utils.data import SubsetRandomSampler
    >>> sorted(SubsetRandomSampler([7, 3, 5]))
    [3, 5, 7]
    """

    def __init__(self, indices: Sequence[int], generator: Generator | None = None) -> None:
        self.indices = indices
        self.generator = generator

    def __iter__(self) -> Iterator[int]:
        for i in ops.randperm(len(self.indices), generator=self.generator).tolist():
            yield self.indices[i]

    def __len__(self) -> int:
        return len(self.indices)


class WeightedRandomSampler(Sampler[int]):
    """`num_samples` indices of `weights`, each with a probability proportional to its weight.

    >>> from numgrad.utils.data import WeightedRandomSampler
    >>> list(WeightedRandomSampler([0.0, 0.0, 2.5], num_samples=4))
    [2, 2, 2, 2]
    """

    weights: Tensor

    def __init__(
        self,
        weights: Sequence[float] | Tensor,
        num_samples: int,
        replacement: bool = True,
        generator: Generator | None = None,
    ) -> None:
        if not isinstance(num_samples, int) or isinstance(num_samples, bool) or num_samples <= 0:
            raise ValueError(
                f"num_samples should be a positive integer value, but got num_samples={num_samples}"
            )
        if not isinstance(replacement, bool):
            raise ValueError(
                f"replacement should be a boolean value, but got replacement={replacement}"
            )
        self.weights = ops.as_tensor(weights, dtype=float64)
        if self.weights.ndim != 1:
            raise ValueError(
                "weights should be a 1d sequence but given "
                f"weights have shape {tuple(self.weights.shape)}"
            )
        self.num_samples = num_samples
        self.replacement = replacement
        self.generator = generator

    def __iter__(self) -> Iterator[int]:
        # One number is drawn in PyTorch's way of drawing without replacement.
        replacement = self.replacement and self.num_samples > 1
        drawn = ops.multinomial(
            self.weights, self.num_samples, replacement, generator=self.generator
        )
        yield from drawn.tolist()

    def __len__(self) -> int:
        return self.num_samples


class BatchSampler(Sampler[list[int]]):
    """Lists of `batch_size` successive indices of `sampler`.

    >>> from numgrad.utils.data import BatchSampler
    >>> list(BatchSampler(range(5), batch_size=2, drop_last=False))
    [[0, 1], [2, 3], [4]]
    """

    def __init__(self, sampler: Iterable[int], batch_size: int, drop_last: bool) -> None:
        if not isinstance(batch_size, int) or isinstance(batch_size, bool) or batch_size <= 0:
            raise ValueError(
                f"batch_size should be a positive integer value, but got batch_size={batch_size}"
            )
        if not isinstance(drop_last, bool):
            raise ValueError(f"drop_last should be a boolean value, but got drop_last={drop_last}")
        self.sampler = sampler
        self.batch_size = batch_size
        self.drop_last = drop_last

    def __iter__(self) -> Iterator[list[int]]:
        indices = iter(self.sampler)
        batch_size = self.batch_size
        smallest = batch_size if self.drop_last else 1
        while len(batch := list(itertools.islice(indices, batch_size))) >= smallest:
            yield batch

    def __len__(self) -> int:
        count: int = len(self.sampler)  # type: ignore[arg-type]
        return count // self.batch_size if self.drop_last else -(-count // self.batch_size)


class _EndlessSampler(Sampler[Any]):
    """None, for ever: stands in for a sampler where the dataset is iterable and has no indices."""

    def __iter__(self) -> Iterator[None]:
        return itertools.repeat(None)
