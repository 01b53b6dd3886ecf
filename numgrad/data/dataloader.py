"""`DataLoader`: a dataset, an order and a way to make batches, as an iterable of batches."""

from __future__ import annotations

import itertools
import math
import multiprocessing
import os
import warnings
import weakref
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from multiprocessing.context import BaseContext
from typing import Any, Generic, TypeVar

from ..device import cuda
from ..random import Generator
from ._random import draw_seed
from .collate import default_collate, default_convert
from .dataset import Dataset, IterableDataset
from .fetch import Fetch, make_fetch
from .pinning import pinned
from .sampler import BatchSampler, RandomSampler, SequentialSampler, _EndlessSampler
from .worker import NextEpoch, StreamEnded, WorkerError, WorkerTask
from .workers import Workers

__all__ = ["DataLoader"]

T_co = TypeVar("T_co", covariant=True)

_FIXED_ATTRIBUTES = frozenset(
    ("batch_size", "batch_sampler", "sampler", "drop_last", "dataset", "persistent_workers")
)


class DataLoader(Generic[T_co]):
    """Iterates over batches of a dataset, loaded here or in worker processes.

    Args:
        dataset: a map-style `Dataset` (anything with `__getitem__` and `__len__`) or an
            `IterableDataset`.
        batch_size: samples in a batch; None gives the samples themselves, unbatched.
        shuffle: a new random order each iteration.
        sampler: an iterable of indices, instead of `shuffle`.
        batch_sampler: an iterable of lists of indices, instead of `batch_size`, `shuffle`,
            `sampler` and `drop_last`.
        num_workers: worker processes; 0 loads in this process.
        collate_fn: makes a batch of a list of samples; by default `default_collate`, or
            `default_convert` where `batch_size` is None.
        pin_memory: put batches in page-locked memory, which a GPU copies from by itself; an object
            in a batch that has a method `pin_memory()` is asked to. Nothing without a GPU.
        drop_last: leave out a last batch that is not full.
        timeout: seconds to wait for a batch from a worker; 0 waits for ever.
        worker_init_fn: called in each worker with its number, after seeding.
        multiprocessing_context: how workers are started: a context, or "fork", "spawn", …
        generator: where the shuffled order and the workers' base seed come from.
        prefetch_factor: batches that each worker loads ahead; 2 where there are workers.
        persistent_workers: keep the workers from one iteration to the next.
        pin_memory_device: accepted, without effect.
        in_order: False gives batches as workers finish them.

    Each iteration draws one int64 from `generator` (or the global stream): worker `i` seeds
    `random` and numgrad with that number plus `i`. The batches are PyTorch's for the same seed.

    >>> import numgrad
    >>> from numgrad.utils.data import DataLoader, TensorDataset
    >>> for x, y in DataLoader(TensorDataset(numgrad.arange(3), numgrad.eye(3)), batch_size=2):
    ...     print(x, y.shape)
    tensor([0, 1]) torch.Size([2, 3])
    tensor([2]) torch.Size([1, 3])
    """

    _initialized = False
    _context: BaseContext | None = None

    def __init__(
        self,
        dataset: Dataset[T_co],
        batch_size: int | None = 1,
        shuffle: bool | None = None,
        sampler: Iterable[Any] | None = None,
        batch_sampler: Iterable[list[Any]] | None = None,
        num_workers: int = 0,
        collate_fn: Callable[[list[Any]], Any] | None = None,
        pin_memory: bool = False,
        drop_last: bool = False,
        timeout: float = 0,
        worker_init_fn: Callable[[int], None] | None = None,
        multiprocessing_context: str | BaseContext | None = None,
        generator: Generator | None = None,
        *,
        prefetch_factor: int | None = None,
        persistent_workers: bool = False,
        pin_memory_device: str = "",
        in_order: bool = True,
    ) -> None:
        if num_workers < 0:
            raise ValueError(
                "num_workers option should be non-negative; "
                "use num_workers=0 to disable multiprocessing."
            )
        if timeout < 0:
            raise ValueError("timeout option should be non-negative")
        if num_workers == 0 and prefetch_factor is not None:
            raise ValueError(
                "prefetch_factor option could only be specified in multiprocessing."
                "let num_workers > 0 to enable multiprocessing, otherwise set prefetch_factor "
                "to None."
            )
        if prefetch_factor is not None and prefetch_factor < 0:
            raise ValueError("prefetch_factor option should be non-negative")
        if persistent_workers and num_workers == 0:
            raise ValueError("persistent_workers option needs num_workers > 0")
        if num_workers > 0 and prefetch_factor is None:
            prefetch_factor = 2

        self.dataset = dataset
        self.num_workers = num_workers
        self.prefetch_factor = prefetch_factor
        self.pin_memory = pin_memory
        self.pin_memory_device = pin_memory_device
        self.timeout = timeout
        self.worker_init_fn = worker_init_fn
        self.multiprocessing_context = multiprocessing_context
        self.in_order = in_order

        self._streaming = isinstance(dataset, IterableDataset)
        if self._streaming:
            _check_stream_options(shuffle, sampler, batch_sampler)
        if sampler is not None and shuffle:
            raise ValueError("sampler option is mutually exclusive with shuffle")
        if batch_sampler is not None:
            if batch_size != 1 or shuffle or sampler is not None or drop_last:
                raise ValueError(
                    "batch_sampler option is mutually exclusive with batch_size, shuffle, sampler, "
                    "and drop_last"
                )
            batch_size = None
        elif batch_size is None and drop_last:
            raise ValueError(
                "batch_size=None option disables auto-batching "
                "and is mutually exclusive with drop_last"
            )
        indices: Any = sampler  # the default order, where none was given
        if indices is None:
            if self._streaming:
                indices = _EndlessSampler()
            elif shuffle:
                indices = RandomSampler(dataset, generator=generator)  # type: ignore[arg-type]
            else:
                indices = SequentialSampler(dataset)  # type: ignore[arg-type]
        if batch_size is not None:
            batch_sampler = BatchSampler(indices, batch_size, drop_last)

        self.batch_size = batch_size
        self.drop_last = drop_last
        self.sampler = indices
        self.batch_sampler = batch_sampler
        self.generator = generator
        if collate_fn is None:
            collate_fn = default_convert if batch_sampler is None else default_collate
        self.collate_fn = collate_fn
        self.persistent_workers = persistent_workers
        self._reported_length: int | None = None
        self._iterator: _WorkersIterator | None = None
        self._initialized = True
        self._warn_of_too_many_workers()

    def __setattr__(self, name: str, value: Any) -> None:
        if self._initialized and name in _FIXED_ATTRIBUTES:
            raise ValueError(
                f"{name} attribute should not be set after {type(self).__name__} is initialized"
            )
        super().__setattr__(name, value)

    @property
    def multiprocessing_context(self) -> BaseContext | None:
        """How workers are started; None is multiprocessing's default."""
        return self._context

    @multiprocessing_context.setter
    def multiprocessing_context(self, context: str | BaseContext | None) -> None:
        if context is not None:
            if self.num_workers == 0:
                raise ValueError(
                    "multiprocessing_context can only be used with multi-process loading "
                    f"(num_workers > 0), but got num_workers={self.num_workers}"
                )
            if isinstance(context, str):
                methods = multiprocessing.get_all_start_methods()
                if context not in methods:
                    raise ValueError(
                        "multiprocessing_context option should specify a valid start method in "
                        f"{methods!r}, but got multiprocessing_context={context!r}"
                    )
                context = multiprocessing.get_context(context)
            if not isinstance(context, BaseContext):
                raise TypeError(
                    "multiprocessing_context option should be a valid context object or a string "
                    f"specifying the start method, but got multiprocessing_context={context}"
                )
        self._context = context

    @property
    def _index_sampler(self) -> Iterable[Any]:
        return self.sampler if self.batch_sampler is None else self.batch_sampler

    def __iter__(self) -> Iterator[Any]:
        if self.pin_memory and cuda.unavailable() is not None:
            warnings.warn(
                "'pin_memory' argument is set as true but no accelerator is found, "
                "then device pinned memory won't be used.",
                stacklevel=2,
            )
        if self.num_workers == 0:
            return _LocalIterator(self)
        if not self.persistent_workers:
            return _WorkersIterator(self)
        if self._iterator is None:
            self._iterator = _WorkersIterator(self)
        else:
            self._iterator.start_over(self)
        return self._iterator

    def __len__(self) -> int:
        """The number of batches; of an iterable dataset, what its own `__len__` suggests."""
        if not self._streaming:
            return len(self._index_sampler)  # type: ignore[arg-type]
        length = self._reported_length = len(self.dataset)  # type: ignore[arg-type]
        if self.batch_size is None:
            return length
        if self.drop_last:
            return length // self.batch_size
        return math.ceil(length / self.batch_size)

    def _warn_of_too_many_workers(self) -> None:
        try:
            processors = len(os.sched_getaffinity(0))
        except AttributeError:  # not on this system
            processors = os.cpu_count() or self.num_workers
        if self.num_workers > processors:
            warnings.warn(
                f"This DataLoader will create {self.num_workers} worker processes in total. Our "
                f"suggested max number of worker in current system is {processors}, which is "
                "smaller than what this DataLoader is going to create. Please be aware that "
                "excessive worker creation might get DataLoader running slow or even freeze, "
                "lower the worker number to avoid potential slowness/freeze if necessary.",
                stacklevel=3,
            )


def _check_stream_options(shuffle: Any, sampler: Any, batch_sampler: Any) -> None:
    # The order of a stream is the dataset's own.
    prefix = "DataLoader with IterableDataset: expected unspecified"
    if shuffle not in {False, None}:
        raise ValueError(f"{prefix} shuffle option, but got shuffle={shuffle}")
    if sampler is not None:
        raise ValueError(f"{prefix} sampler option, but got sampler={sampler}")
    if batch_sampler is not None:
        raise ValueError(f"{prefix} batch_sampler option, but got batch_sampler={batch_sampler}")


class _BatchIterator:
    """What both iterators share: the order and the base seed, drawn when iteration starts."""

    def __init__(self, loader: DataLoader[Any]) -> None:
        self._sampler = loader._index_sampler
        self._indices = iter(self._sampler)
        self._base_seed = draw_seed(loader.generator)
        self._pins = loader.pin_memory and cuda.unavailable() is None

    def _ready(self, batch: Any) -> Any:
        return pinned(batch) if self._pins else batch

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        raise NotImplementedError

    def __len__(self) -> int:
        return len(self._sampler)  # type: ignore[arg-type]

    def __reduce__(self) -> Any:
        raise NotImplementedError(f"{type(self).__name__} cannot be pickled")


class _LocalIterator(_BatchIterator):
    """Loads each batch when it is asked for, in this process."""

    def __init__(self, loader: DataLoader[Any]) -> None:
        super().__init__(loader)
        if loader.timeout != 0:
            raise AssertionError("_SingleProcessDataLoaderIter requires timeout == 0")
        fetch = make_fetch(
            loader.dataset, loader.batch_sampler is not None, loader.collate_fn, loader.drop_last
        )
        self._fetch = _counted(fetch, loader)

    def __next__(self) -> Any:
        return self._ready(self._fetch(next(self._indices)))


class _WorkersIterator(_BatchIterator):
    """Keeps worker processes busy `prefetch_factor` batches ahead and hands out their batches.

    Batches are assigned to the workers in turn, and each worker answers in order. So the next batch
    of all is always the next one of a known worker, and nothing has to be put in order here.
    """

    def __init__(self, loader: DataLoader[Any]) -> None:
        super().__init__(loader)
        prefetch_factor: int = loader.prefetch_factor  # type: ignore[assignment]
        if prefetch_factor <= 0:
            raise AssertionError(
                "prefetch_factor must be greater than 0 for MultiProcessingDataLoaderIter"
            )
        num_workers = loader.num_workers
        self._prefetch = prefetch_factor * num_workers
        self._in_order = loader.in_order
        self._timeout = loader.timeout
        self._persistent = loader.persistent_workers
        tasks = [
            WorkerTask(
                dataset=loader.dataset,
                batched=loader.batch_sampler is not None,
                collate_fn=loader.collate_fn,
                drop_last=loader.drop_last,
                base_seed=self._base_seed,
                init_fn=loader.worker_init_fn,
                worker_id=worker,
                num_workers=num_workers,
            )
            for worker in range(num_workers)
        ]
        context = loader.multiprocessing_context or multiprocessing.get_context()
        self._workers = Workers(context, tasks)
        # Runs when this iterator is dropped (after a `break`, say) or the interpreter exits.
        weakref.finalize(self, self._workers.close)
        self._begin(loader, num_workers)

    def start_over(self, loader: DataLoader[Any]) -> None:
        """Begin the next epoch on the same, persistent workers."""
        self._indices = iter(self._sampler)
        for worker in range(loader.num_workers):
            self._workers.send(worker, NextEpoch())
        for worker in range(loader.num_workers):
            # What an unfinished epoch left behind comes first.
            while not isinstance(self._workers.receive(worker, self._timeout), NextEpoch):
                pass
        self._begin(loader, loader.num_workers)

    def _begin(self, loader: DataLoader[Any], num_workers: int) -> None:
        self._pending: deque[int] = deque()  # the workers of the batches to come, in order
        self._turns = itertools.cycle(range(num_workers))
        self._active = [True] * num_workers  # False once a worker's stream has ended
        self._count = _counted(lambda batch: batch, loader)
        for _ in range(self._prefetch):
            self._request_batch()

    def _request_batch(self) -> None:
        try:
            indices = next(self._indices)
        except StopIteration:
            return
        worker = self._next_worker()
        if worker is not None:
            self._workers.send(worker, indices)
            self._pending.append(worker)

    def _next_worker(self) -> int | None:
        for worker in itertools.islice(self._turns, len(self._active)):
            if self._active[worker] and (
                self._in_order or self._pending.count(worker) < self._prefetch // sum(self._active)
            ):
                return worker
        return None

    def _take_answer(self) -> tuple[int, Any]:
        """The next answer, with the worker that gave it; StopIteration where none is due."""
        # An ended stream answers nothing of what it was still asked for.
        self._pending = deque(worker for worker in self._pending if self._active[worker])
        if not self._pending:
            if not self._persistent:
                self._workers.close()
            raise StopIteration
        worker = self._pending[0]
        if not self._in_order:
            worker = self._workers.wait_any(sorted(set(self._pending)), self._timeout)
        answer = self._workers.receive(worker, self._timeout)
        self._pending.remove(worker)
        return worker, answer

    def __next__(self) -> Any:
        while True:
            try:
                worker, answer = self._take_answer()
            except KeyboardInterrupt:
                # The traceback that a notebook keeps would keep the workers alive.
                self._workers.close()
                raise
            ended = isinstance(answer, StreamEnded)
            if ended:
                self._active[worker] = False
            self._request_batch()
            if isinstance(answer, WorkerError):
                answer.reraise()
            if not ended:
                return self._ready(self._count(answer))


def _counted(fetch: Fetch, loader: DataLoader[Any]) -> Fetch:
    """`fetch`, with a warning where a stream gives more than the length it reported."""
    reported = loader._reported_length
    if reported is None:
        return fetch
    count = 0

    def fetch_and_count(indices: Any) -> Any:
        nonlocal count
        batch = fetch(indices)
        count += 1
        if count > reported:
            message = (
                f"Length of IterableDataset {loader.dataset} was reported to be {reported}"
                f"(when accessing len(dataloader)), but {count} samples have been fetched. "
            )
            if loader.num_workers > 0:
                message += (
                    "With several workers, each of them iterates over the whole dataset unless it "
                    "asks get_worker_info() for its share."
                )
            warnings.warn(message, stacklevel=4)
        return batch

    return fetch_and_count
