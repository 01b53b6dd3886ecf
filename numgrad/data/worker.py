"""What runs in a worker process of a `DataLoader`."""

from __future__ import annotations

import os
import pickle
import queue
import random
import signal
import threading
import traceback
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any, NoReturn

import numpy as np

from ..device.cpu import set_num_threads
from ..random import default_generator
from ._random import numpy_seed
from .dataset import IterableDataset
from .fetch import Fetch, make_fetch
from .transport import receive, send

__all__ = ["WorkerInfo", "get_worker_info"]

_ORPHAN_CHECK_SECONDS = 5.0

#: The loader's ends of all connections to workers that live in this process. A forked worker
#: inherits them and closes them: a connection has to end with the process that owns it.
loader_ends: weakref.WeakSet[Connection] = weakref.WeakSet()


@dataclass(frozen=True, slots=True)
class WorkerInfo:
    """What a worker knows of itself: its number, how many there are, its seed, its dataset copy.

    >>> numgrad.utils.data.get_worker_info() is None
    True
    """

    id: int
    num_workers: int
    seed: int
    dataset: Any


_worker_info: WorkerInfo | None = None


def get_worker_info() -> WorkerInfo | None:
    """In a `DataLoader` worker: its `WorkerInfo`. Elsewhere: None.

    >>> from numgrad.utils.data import get_worker_info
    >>> print(get_worker_info())
    None
    """
    return _worker_info


@dataclass(frozen=True, slots=True)
class WorkerTask:
    """All that a worker is told at its start."""

    dataset: Any
    batched: bool
    collate_fn: Callable[[Any], Any]
    drop_last: bool
    base_seed: int
    init_fn: Callable[[int], None] | None
    worker_id: int
    num_workers: int


class StreamEnded:
    """A worker's answer once its copy of an iterable dataset has no more samples."""


class NextEpoch:
    """Asks a persistent worker to start over; the worker sends it back first."""


class _KeyErrorText(str):
    # KeyError shows the repr of its argument, which puts a whole traceback on one line.
    __slots__ = ()

    def __repr__(self) -> str:
        return str(self)


class WorkerError:
    """An exception on its way to the process that iterates: its type and its traceback's text."""

    def __init__(self, error: Exception, worker_id: int) -> None:
        kind = type(error)
        text = "".join(traceback.format_exception(error))
        self.text = (
            f"Caught {kind.__name__} in DataLoader worker process {worker_id}.\nOriginal {text}"
        )
        try:
            pickle.dumps(kind)
        except Exception:
            kind = RuntimeError  # a class that was defined inside a function
        self.kind: type[Exception] = kind

    def reraise(self) -> NoReturn:
        """Raise an exception of the same type whose message holds the worker's traceback."""
        text = _KeyErrorText(self.text) if self.kind is KeyError else self.text
        try:
            error = self.kind(text)
        except Exception:
            error = RuntimeError(text)  # the type's constructor wants something else
        raise error


def run_worker(task: WorkerTask, connection: Connection) -> None:
    """Answer the requests that come over `connection`, until None comes or the loader is gone."""
    for end in list(loader_ends):
        end.close()
    # Ctrl-C reaches every process of the terminal; what it means is decided by the loader's. Not
    # SIG_IGN, which programs started by a dataset would inherit.
    signal.signal(signal.SIGINT, lambda number, frame: None)
    inbox: queue.SimpleQueue[Any] = queue.SimpleQueue()
    closing = threading.Event()
    threading.Thread(target=_read_requests, args=(connection, inbox, closing), daemon=True).start()
    try:
        _answer_requests(task, connection, inbox, closing)
    except (BrokenPipeError, ConnectionResetError):
        pass  # the loader no longer listens


def _read_requests(
    connection: Connection, inbox: queue.SimpleQueue[Any], closing: threading.Event
) -> None:
    """Keep the connection empty, so that the loader never has to wait for a busy worker."""
    loader_process = os.getppid()
    while not closing.is_set():
        try:
            while not connection.poll(_ORPHAN_CHECK_SECONDS):
                if os.getppid() != loader_process:
                    raise EOFError
            request = receive(connection)
        except (EOFError, OSError):
            os._exit(1)  # the loader died: nobody waits for what this worker is in the middle of
        if request is None:
            closing.set()
        inbox.put(request)


def _answer_requests(
    task: WorkerTask,
    connection: Connection,
    inbox: queue.SimpleQueue[Any],
    closing: threading.Event,
) -> None:
    failure: Exception | None = None
    try:
        _set_up(task)
    except Exception as error:
        failure = error
    fetch: Fetch | None = _start_fetching(task, failure)
    while True:
        request = inbox.get()
        if closing.is_set():
            return
        if isinstance(request, NextEpoch):
            send(connection, request)
            fetch = _start_fetching(task, failure)
        elif fetch is not None:
            answer = _answer(fetch, request, task)
            if isinstance(answer, StreamEnded):
                fetch = None
            try:
                send(connection, answer)
            except (BrokenPipeError, ConnectionResetError):
                raise
            except Exception as error:
                # The batch cannot be pickled; nothing of it has been sent.
                send(connection, WorkerError(error, task.worker_id))


def _set_up(task: WorkerTask) -> None:
    global _worker_info
    set_num_threads(1)
    seed = task.base_seed + task.worker_id
    random.seed(seed)
    default_generator.manual_seed(seed)
    np.random.seed(numpy_seed(task.base_seed, task.worker_id))
    _worker_info = WorkerInfo(task.worker_id, task.num_workers, seed, task.dataset)
    if task.init_fn is not None:
        task.init_fn(task.worker_id)


def _start_fetching(task: WorkerTask, failure: Exception | None) -> Fetch:
    """A fetch function from the beginning of the dataset; one that raises where that failed."""
    if failure is None:
        try:
            return make_fetch(task.dataset, task.batched, task.collate_fn, task.drop_last)
        except Exception as error:
            failure = error

    def fail(_: Any) -> NoReturn:
        raise failure

    return fail


def _answer(fetch: Fetch, indices: Any, task: WorkerTask) -> Any:
    try:
        return fetch(indices)
    except Exception as error:
        if isinstance(error, StopIteration) and isinstance(task.dataset, IterableDataset):
            return StreamEnded()
        return WorkerError(error, task.worker_id)
