"""A group of ranks, and what one of them has under way: `ProcessGroup` and `Work`.

Before a collective begins, the ranks compare what they are about to do: one small reduction tells
whether all have called the same, on arrays of the same shape and dtype. It costs microseconds, and
what would be a hang, or a wrong result, is an error that shows every rank's call.
"""

from __future__ import annotations

import collections
import hashlib
from collections.abc import Callable
from typing import Any

import numpy as np

from ..device import cpu
from ._errors import DistBackendError
from ._mpi import MPIEngine
from ._solo import SoloEngine
from ._wait import fail, failed, wait
from ._world import World

#: The longest text about a call that ranks exchange when they disagree.
TEXT = 256
_digests: dict[tuple, int] = {}


def digest(call: tuple) -> int:
    """A number for a call, the same in all processes."""
    found = _digests.get(call)
    if found is None:
        if len(_digests) >= 4096:
            _digests.clear()
        content = hashlib.blake2b(repr(call).encode(), digest_size=8).digest()
        found = _digests[call] = int.from_bytes(content, "little") >> 2
    return found


class ProcessGroup:
    """Some ranks of the world, which do things together; `new_group` makes one."""

    def __init__(
        self,
        world: World,
        ranks: list[int],
        comms: list[Any],
        backend: str,
        timeout: float,
        device_engine: Any = None,
    ) -> None:
        self.world = world
        self.ranks = ranks
        self.index = ranks.index(world.rank)
        self.backend = backend
        self.timeout = timeout
        #: For data, for comparing calls, for messages between two; none in a world of one.
        self.comms = comms
        self.host_engine: Any = MPIEngine(world, comms[0]) if comms else SoloEngine()
        self.message_engine = MPIEngine(world, comms[2]) if comms else None
        self.device_engine = device_engine
        self.count = 0
        self.waiting: collections.deque[Work] = collections.deque()  # not begun yet
        self.running: collections.deque[Work] = collections.deque()

    def size(self) -> int:
        """How many ranks it has."""
        return len(self.ranks)

    def rank(self) -> int:
        """This process's number in it."""
        return self.index

    def name(self) -> str:
        """The backend's name, as it was asked for."""
        return self.backend

    def __repr__(self) -> str:
        return f"<ProcessGroup {self.backend}: ranks {self.ranks}, this is {self.world.rank}>"

    def engine(self, array: Any) -> Any:
        """Who carries an array: a device's engine where there is one, else MPI."""
        if type(array) is np.ndarray or self.device_engine is None:
            return self.host_engine
        return self.device_engine

    def start(
        self,
        call: tuple,
        begin: Callable[[], list],
        finish: Callable[[], None] | None = None,
        asynchronous: bool = False,
        nbytes: int = 0,
    ) -> Work | None:
        """Do something together with the others: `begin()` starts it, `finish()` is called after.

        `call` has the name and whatever else has to be the same in all ranks.
        """
        if cpu.recorder is not None:
            cpu.recorder.read(call[0])
        world = self.world
        if world.broken is not None:
            raise DistBackendError(f"{call[0]} after an earlier error: {world.broken}")
        self.count += 1
        work = Work(self, self.count, call, begin, finish, nbytes)
        if world.control is not None:
            world.control.doing = work.doing
        self.waiting.append(work)
        if asynchronous:
            self.advance()
            return work
        work.wait()
        return None

    def advance(self) -> None:
        """Begin what can be begun, and let MPI move data."""
        waiting = self.waiting
        while waiting and waiting[0].agreed():
            work = waiting.popleft()
            work.requests = work.begin()
            self.running.append(work)
        while self.running and self.running[0].is_done():
            self.running.popleft()

    def give_up(self, work: Any) -> None:
        """After an error: what MPI may still write to stays, and NCCL ends what it has begun."""
        self.world.wreck.append(work)
        if self.device_engine is not None:
            self.device_engine.abort()

    def message_requests(self, array: np.ndarray) -> list:
        """Begin to send an array of rank 0 of the group to all others, past all that is queued."""
        return [self.comms[2].Ibcast(array, 0)] if self.comms else []

    def wait_for(self, request: Any, what: str) -> None:
        """Wait for an MPI request, as for everything else."""
        wait(request.Test, self.world, self.ranks, lambda: what, self.timeout)

    def message(self, what: str, peer: int | None, begin: Callable[[], list]) -> Message:
        """A message between two ranks, of this group's numbers."""
        if cpu.recorder is not None:
            cpu.recorder.read(what)
        if self.world.broken is not None:
            raise DistBackendError(f"{what} after an earlier error: {self.world.broken}")
        return Message(self, what, peer, begin)


class Work:
    """Something that is under way; torch's `async_op=True` returns one."""

    def __init__(
        self,
        group: ProcessGroup,
        number: int,
        call: tuple,
        begin: Callable[[], list],
        finish: Callable[[], None] | None,
        nbytes: int,
    ) -> None:
        self.group = group
        self.number = number
        self.call = call
        self.begin = begin
        self.finish = finish
        self.nbytes = nbytes
        self.requests: list | None = None
        self.done = False
        self.error: Exception | None = None
        value = digest(call)
        self._mine = np.array([value, -value])
        self._most = np.empty(2, np.int64)
        if len(group.ranks) > 1:
            self._compare: Any = group.comms[1].Iallreduce(
                self._mine, self._most, group.world.mpi.MAX
            )
        else:
            self._compare = None

    def text(self) -> str:
        """What it is, for people."""
        return f"{self.call[0]}({', '.join(map(str, self.call[1:]))})"

    def doing(self) -> str:
        """What this rank is at, as another rank is told."""
        state = "has done" if self.done else "is in"
        return f"{state} number {self.number}, {self.text()}"

    def agreed(self) -> bool:
        """Whether all ranks have come to it; DistBackendError where they have called something else."""
        if self._compare is not None:
            try:
                if not self._compare.Test():
                    return False
            except self.group.world.mpi.Exception as error:
                failed(self.group.world, self.group.ranks, self.text(), error)
            self._compare = None
            if self._most[0] != -self._most[1]:
                self._disagree()
        return True

    def _disagree(self) -> None:
        group = self.group
        mine = np.zeros(TEXT, np.uint8)
        text = self.text().encode()[:TEXT]
        mine[: len(text)] = bytearray(text)
        every = np.zeros((len(group.ranks), TEXT), np.uint8)
        request = group.comms[1].Iallgather(mine, every)
        wait(request.Test, group.world, group.ranks, self.text, min(group.timeout, 10.0))
        calls = [bytes(row).rstrip(b"\0").decode(errors="replace") for row in every]
        listed = "; ".join(f"rank {r}: {c}" for r, c in zip(group.ranks, calls, strict=True))
        fail(group.world, f"the ranks call different things at number {self.number}. {listed}")

    def is_done(self) -> bool:
        """Whether it is complete, without a look at what comes before it."""
        if self.done:
            return True
        if self.requests is None:
            return False
        try:
            for request in self.requests:
                if not request.Test():
                    return False
        except Exception as error:  # MPI's or NCCL's
            failed(self.group.world, self.group.ranks, self.text(), error)
        self.done = True
        if self.finish is not None:
            self.finish()
        self.begin = self.finish = _nothing
        return True

    def _test(self) -> bool:
        if self.requests is None:
            self.group.advance()
        return self.is_done()

    def wait(self, timeout: Any = None) -> bool:
        """Return when it is complete; DistBackendError when a rank is gone or time is up."""
        if self.error is not None:
            raise self.error
        group = self.group
        try:
            seconds = group.timeout if timeout is None else in_seconds(timeout)
            wait(self._test, group.world, group.ranks, self.text, seconds, self.nbytes)
        except Exception as error:
            self.error = error
            group.give_up(self)
            raise
        return True

    def is_completed(self) -> bool:
        """Whether it is complete. Asking also lets it go on."""
        return self._test()

    def is_success(self) -> bool:
        """Whether it is complete without an error."""
        return self.done and self.error is None

    def exception(self) -> Exception | None:
        """The error that it ended with."""
        return self.error


def _nothing() -> Any:
    return []


class Message:
    """A message on its way: what `isend` and `irecv` return."""

    def __init__(
        self, group: ProcessGroup, what: str, peer: int | None, begin: Callable[[], list]
    ) -> None:
        self.group = group
        self.what = what
        self.peers = group.ranks if peer is None else [group.ranks[peer]]
        self.status: Any = group.world.mpi.Status() if group.comms else None
        self.finish: Callable[[], None] | None = None
        self.done = False
        (self.request,) = begin()

    def _test(self) -> bool:
        if self.done:
            return True
        try:
            if not self.request.Test(self.status):
                return False
        except Exception as error:  # MPI's or NCCL's
            failed(self.group.world, self.peers, self.what, error)
        self.done = True
        if self.finish is not None:
            self.finish()
        return True

    def wait(self, timeout: Any = None) -> bool:
        """Return when it has been sent, or has come."""
        group = self.group
        seconds = group.timeout if timeout is None else in_seconds(timeout)
        try:
            wait(self._test, group.world, self.peers, lambda: self.what, seconds)
        except Exception:
            group.give_up(self)
            raise
        return True

    def is_completed(self) -> bool:
        """Whether it has been sent, or has come."""
        return self._test()

    def source_rank(self) -> int:
        """Who sent it, as a rank of the world."""
        return self.group.ranks[self.status.Get_source()]


def in_seconds(timeout: Any) -> float:
    """Seconds of a `timedelta` or a number."""
    return timeout.total_seconds() if hasattr(timeout, "total_seconds") else float(timeout)
