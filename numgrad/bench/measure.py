"""Measuring kernels: interleaved with other libraries, beside what the machine could do at most.

A `Subject` is what is timed: a kernel of the library, or a function of the user's. The other
libraries run in processes of their own (`worker.py`), on the same numbers; a round times each of
them once, so that a machine whose speed drifts treats all alike.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import importlib.util
import pathlib
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np

from ..kernels._launch import PARALLEL_WORK, get_num_threads, launcher
from . import calls, ceilings, elsewhere
from .cost import Cost, cost
from .peer import Peer, PeerError
from .timing import sample

LIBRARIES = ("numpy", "torch", "jax")
#: How far the mean size of another library's result may be from ours: the sums are float32's.
CLOSE = 1e-2
#: The C library keeps what is freed and hands it out again: without, other libraries, which give
#: results new memory, would be measured at asking the system for pages.
KEEPING = {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": str(1 << 34)}
#: A library that needs so many times a round's seconds for one call is timed in two rounds only.
SLOW = 10
#: Seconds until the threads of a launch before have gone to sleep.
PAUSE = 0.003


@dataclasses.dataclass
class Subject:
    """Something to time: `run()` does it once, with `arguments` by name.

    `peers` are expressions of the arguments by library, or functions of them that run in this
    process. `written` are the arrays that hold the results; `check` says whether those of others
    are to be the same.
    """

    name: str
    run: Callable[[], Any]
    dtype: np.dtype
    arguments: dict[str, Any]
    cost: Cost
    threads: int
    peers: dict[str, Any]
    written: list[np.ndarray]
    check: bool = True

    @property
    def arrays(self) -> list[np.ndarray]:
        return [a for value in self.arguments.values() for a in calls.arrays_in(value)]


def of_call(name: str, call: calls.Call) -> Subject:
    """What is timed of a kernel's call: the launch, from Python to Python."""
    arguments = tuple(call.arguments.values())
    address = call.kernel.addresses.get(call.dtype) or call.kernel.compile(call.dtype)
    parallel = call.work >= PARALLEL_WORK and get_num_threads() > 1
    if parallel:
        launcher.pool()
        run = functools.partial(launcher.parallel, address, call.items, call.work, arguments)
    else:
        launcher.serial(address, 0, arguments)
        run = functools.partial(launcher.serial, address, call.items, arguments)
    return Subject(
        name=name,
        run=run,
        dtype=call.dtype,
        arguments=call.arguments,
        cost=cost(call.kernel, arguments),
        threads=get_num_threads() if parallel else 1,
        peers=call.peers,
        written=call.written(),
        check=elsewhere.UNEQUAL.search(name) is None,
    )


def library(name: str, n: int, dtype: Any) -> Subject:
    """A kernel of the library at about `n` elements."""
    return of_call(name, calls.library_call(name, n, dtype))


@dataclasses.dataclass
class Row:
    """One result: a kernel at one size.

    `seconds` is the median of the rounds' medians of a call, `low` and `high` are their quartiles; `least` is the shortest time that the ceilings allow, `bound` what sets it.
    """

    kernel: str
    dtype: str
    elements: int
    shape: tuple[int, ...]
    threads: int
    seconds: float
    low: float
    high: float
    read: int
    written: int
    updated: int
    operations: float | None
    least: float
    bound: str
    peers: dict[str, tuple[float, float, float]]

    @property
    def spread(self) -> float:
        """How far the quartiles of the rounds are apart, relative to the median."""
        return (self.high - self.low) / self.seconds

    @property
    def bytes(self) -> int:
        return self.read + self.written + self.updated

    @property
    def bytes_per_second(self) -> float:
        return self.bytes / self.seconds

    @property
    def operations_per_second(self) -> float | None:
        return None if self.operations is None else self.operations / self.seconds

    @property
    def intensity(self) -> float | None:
        """Operations a byte."""
        return self.operations / self.bytes if self.operations and self.bytes else None

    @property
    def roofline(self) -> float:
        """The part of the machine's ceiling that is reached, 1 being all of it."""
        return self.least / self.seconds

    def ratio(self, library: str) -> float | None:
        """Another library's time over this one."""
        return self.peers[library][0] / self.seconds if library in self.peers else None

    @property
    def key(self) -> tuple[str, str, int]:
        return self.kernel, self.dtype, self.elements


def installed(wanted: Iterable[str] = LIBRARIES) -> list[str]:
    """The libraries to compare with that are here."""
    return [name for name in wanted if importlib.util.find_spec(name) is not None]


class Others:
    """The other libraries' processes, started when first needed."""

    def __init__(self, libraries: Iterable[str], threads: int) -> None:
        self.libraries = list(libraries)
        self.threads = threads
        self.notes: list[str] = []
        self._peers: dict[str, Peer] = {}
        self._folder = tempfile.TemporaryDirectory(prefix="numgrad-bench-")

    def __enter__(self) -> Others:
        return self

    def __exit__(self, *_: Any) -> None:
        for peer in self._peers.values():
            peer.close()
        self._folder.cleanup()

    @contextlib.contextmanager
    def work(self, subject: Subject) -> Iterator[dict[str, Callable[[float], float]]]:
        """For each library that does the subject's work, and right: a function of the seconds to
        spend that gives the median time of a call."""
        found: dict[str, Callable[[float], float]] = {}
        values = _mean_size(subject.written[0]) if subject.written else float("nan")
        file: pathlib.Path | None = None
        for name, how in subject.peers.items():
            if name not in self.libraries and not callable(how):
                continue
            if callable(how):
                call = functools.partial(how, *subject.arguments.values())
                value = _mean_size(call()) if subject.check else values
                found[name] = functools.partial(sample, call)
            else:
                file = file or self._save(subject)
                try:
                    value, found[name] = self._ask(name, how, subject, file)
                except PeerError as error:
                    if not str(error).startswith(("AttributeError", "TypeError")):
                        self.notes.append(f"{subject.name}: {name}: {error}")
                    continue
            if subject.check and not abs(value - values) <= CLOSE * abs(values):
                self.notes.append(
                    f"{subject.name}: {name} computes something else, {value:.6g} on average where "
                    f"numgrad has {values:.6g}: left out"
                )
                del found[name]
        try:
            yield found
        finally:
            if file is not None:
                file.unlink()

    def _save(self, subject: Subject) -> pathlib.Path:
        file = pathlib.Path(self._folder.name, "arguments.npz")
        arrays = {}
        for name, value in subject.arguments.items():
            for k, array in enumerate(calls.arrays_in(value)):
                arrays[f"{name}.{k}" if type(value) is tuple else name] = array
        np.savez(file, **arrays)
        return file

    def _ask(
        self, name: str, expression: str, subject: Subject, file: pathlib.Path
    ) -> tuple[float, Callable[[float], float]]:
        if name not in self._peers:
            self._peers[name] = Peer(name, self.threads, **KEEPING)
        peer = self._peers[name]
        numbers = {k: v for k, v in subject.arguments.items() if not calls.arrays_in(v) and v != ()}
        case = {"expression": expression, "file": str(file), "numbers": numbers}
        case["subject"] = f"{subject.name} {subject.dtype} {[a.shape for a in subject.arrays]}"
        value = peer.ask(case, calls=1)["value"]
        return value, lambda budget: peer.ask(case, budget=budget)["seconds"]


def _mean_size(result: Any) -> float:
    if isinstance(result, (tuple, list)):
        result = result[0]
    if result is None:
        return float("nan")
    array = np.asarray(result)
    return float(np.abs(array, dtype=np.float64).mean()) if array.size else 0.0


def span(times: list[float]) -> tuple[float, float, float]:
    """The median, the lower and the upper quartile."""
    low, middle, high = np.quantile(times, [0.25, 0.5, 0.75])
    return float(middle), float(low), float(high)


def measure(subject: Subject, others: Others, rounds: int, budget: float) -> Row:
    """Time a subject and its peers: `rounds` rounds of about `budget` seconds each."""
    subject.run()
    least, bound = ceilings.measure(subject.threads).seconds(
        subject.cost,
        sum(a.nbytes for a in subject.arrays),
        subject.dtype,
    )
    taken: dict[str, list[float]] = {"": []}
    with others.work(subject) as work:
        for _ in range(rounds):
            taken[""].append(sample(subject.run, budget))
            if work:
                time.sleep(PAUSE)
            for name, timed in work.items():
                own = taken.setdefault(name, [])
                if len(own) < 2 or own[-1] < SLOW * budget:
                    own.append(timed(budget))
    spans = {name: span(times) for name, times in taken.items()}
    largest = max(subject.arrays, key=lambda a: a.size)
    return Row(
        subject.name,
        subject.dtype.name,
        max(sum(a.size for a in calls.arrays_in(v)) for v in subject.arguments.values()),
        largest.shape,
        subject.threads,
        *spans.pop(""),
        subject.cost.read,
        subject.cost.written,
        subject.cost.updated,
        subject.cost.operations,
        least,
        bound,
        spans,
    )
