"""The world: the processes that belong together, and how this process joins them.

Either somebody has formed it (`mpiexec`, Slurm), then MPI knows it; or this process is told its rank,
the size and an address, and the ranks meet there through `_endpoint.py`, which MPI then asks for
everything it needs. The connection to the endpoint stays: over it comes which ranks are gone.
"""

from __future__ import annotations

import contextlib
import ctypes
import importlib.util
import json
import multiprocessing.util
import os
import pathlib
import socket
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from typing import Any

from . import _endpoint
from ._errors import DistError, DistNetworkError, DistStoreError

#: What process managers tell their children, and grandchildren must not take for theirs.
MANAGERS = ("PMI_", "PMIX_", "OMPI_", "HYDI_", "HYDRA_", "MPI_LOCAL", "PMI2_")
#: Seconds for the last words: for others to come to the end too, and for what is on its way.
FAREWELL = 10.0


def missing() -> str | None:
    """Why processes cannot be connected here, None where they can."""
    for name in ("mpi4py",):
        if importlib.util.find_spec(name) is None:
            return f'the package {name} is missing: pip install "numgrad[distributed]"'
    return None


def is_formed() -> bool:
    """Whether a process manager has started this process as one of several."""
    names = ("PMI_RANK", "PMI_FD", "PMIX_RANK", "OMPI_COMM_WORLD_RANK")
    return any(name in os.environ for name in names)


def without_managers(environment: Any) -> dict[str, str]:
    """An environment for processes that form a world of their own."""
    return {k: v for k, v in environment.items() if not k.startswith(MANAGERS)}


class World:
    """All processes that have been connected, this one among them; there is one in a process."""

    def __init__(self, control: Control | None) -> None:
        self.control = control
        #: Ranks that are gone, and what is known of their end.
        self.gone: dict[int, str] = {} if control is None else control.gone
        #: The error after which nothing can be done in this world.
        self.broken: str | None = None
        #: What MPI may still read or write after an error.
        self.wreck: list[Any] = []
        self.mpi: Any = None
        self.comm: Any = None
        self.rank = self.local_rank = 0
        self.size = self.local_size = 1

    def start_mpi(self, timeout: float) -> None:
        """Initialise MPI, and look at who is there."""
        import mpi4py

        mpi4py.rc.initialize = mpi4py.rc.finalize = False
        mpi4py.rc.errors = "exception"
        from mpi4py import MPI

        self.mpi = MPI
        if not MPI.Is_initialized():
            # Not through mpi4py, which keeps the GIL meanwhile: the watching thread needs it.
            library, provided = ctypes.CDLL(MPI.__file__), ctypes.c_int()
            with self.uninterruptible("initialising MPI", timeout):
                library.MPI_Init_thread(None, None, MPI.THREAD_MULTIPLE, ctypes.byref(provided))
        for comm in (MPI.COMM_WORLD, MPI.COMM_SELF):
            comm.Set_errhandler(MPI.ERRORS_RETURN)
        self.comm = MPI.COMM_WORLD
        self.rank, self.size = self.comm.Get_rank(), self.comm.Get_size()

    @contextlib.contextmanager
    def uninterruptible(self, what: str, timeout: float) -> Iterator[None]:
        """Around calls that MPI does not come back from when a rank is lost: the process ends then,
        with what has happened on its standard error."""
        watch = Watch(self, what, timeout)
        try:
            yield
        finally:
            watch.over.set()

    def forget_shared_memory(self) -> None:
        """Unlink MPI's files in shared memory. All ranks have them open, nobody else needs them."""
        if self.control is not None:
            _endpoint.remove_shared_memory(self.control.name)

    def lose(self, text: str) -> None:
        """Give up this world."""
        if self.broken is None:
            self.broken = text

    def leave(self) -> None:
        """The end of this process: MPI is finalised if all ranks come to a good end together."""
        error = sys.exc_info()[1] or getattr(sys, "last_value", None)
        failed = self.broken or self.gone or error is not None
        if self.control is None:
            if not failed and self.mpi is not None and not self.mpi.Is_finalized():
                self.mpi.Finalize()
            return
        if failed:
            how = "has failed" if error is None else f"has failed: {last_line(error)}"
            self.control.tell(leaving=how if self.broken is None else f"has failed: {self.broken}")
            return
        self.control.tell(done=True)
        until = time.monotonic() + FAREWELL
        while not self.control.finish.wait(0.002) and time.monotonic() < until:
            self.comm.Iprobe()  # what others still wait for moves on
        if self.control.finish.is_set() and not self.gone:
            with self.uninterruptible("finalising MPI", FAREWELL):
                ctypes.CDLL(self.mpi.__file__).MPI_Finalize()
        self.control.tell(leaving="has left")


def last_line(error: BaseException) -> str:
    """An exception in a line."""
    return "".join(traceback.format_exception_only(error)).strip().splitlines()[0]


class Watch:
    """Ends the process when a rank is lost or time is up, unless `over` is set before."""

    def __init__(self, world: World, what: str, timeout: float) -> None:
        self.world, self.what = world, what
        self.over = threading.Event()
        self.until = time.monotonic() + timeout
        threading.Thread(target=self._watch, daemon=True).start()

    def _watch(self) -> None:
        noticed = None
        while not self.over.wait(0.02):
            now = time.monotonic()
            if self.world.gone and noticed is None:
                noticed = now
            if now > self.until or (noticed is not None and now > noticed + 1.0):
                why = next(iter(self.world.gone.values()), "it takes too long")
                rank = self.world.control.rank if self.world.control else self.world.rank
                message = f"rank {rank} ends while {self.what}: {why}\n"
                with contextlib.suppress(OSError):
                    os.write(2, message.encode())
                if self.world.control is not None:
                    _endpoint.remove_shared_memory(self.world.control.name)
                os._exit(1)


class Control:
    """This rank's connection to the endpoint."""

    def __init__(self, rank: int, size: int, address: tuple[str, int], timeout: float) -> None:
        self.rank, self.size = rank, size
        self.gone: dict[int, str] = {}
        self.finish = threading.Event()
        self.answers: dict[int, str] = {}
        #: Says what this rank is at, for ranks that wait for it in vain.
        self.doing: Callable[[], str] = lambda: "has not begun anything"
        until = time.monotonic() + timeout
        if rank == 0:
            start_endpoint(size, address)
        self.socket = self._connect(address, until)
        self.name, self.ranks = self._meet(until)
        forked = self.socket
        os.register_at_fork(after_in_child=lambda: forked.close())
        threading.Thread(target=self._listen, daemon=True, name="numgrad-ranks").start()

    def _connect(self, address: tuple[str, int], until: float) -> socket.socket:
        where = f"{address[0]}:{address[1]}"
        while True:
            left = until - time.monotonic()
            try:
                own = socket.create_connection(address, max(left, 0.01))
            except socket.gaierror as error:
                raise DistNetworkError(
                    f"MASTER_ADDR {address[0]!r} is not known: {error}"
                ) from None
            except OSError as error:
                if left <= 0:
                    raise DistStoreError(
                        f"rank {self.rank} found nobody at {where} (MASTER_ADDR:MASTER_PORT) in "
                        f"time: {error}. Rank 0 is to be there."
                    ) from None
                time.sleep(0.01)
                continue
            if own.getsockname() == own.getpeername():  # a port of our own, by chance
                own.close()
                continue
            _endpoint.keep_alive(own)
            return own

    def _meet(self, until: float) -> tuple[str, list[str]]:
        """Say hello and wait for all others: the world's name and those of its ranks."""
        self.tell(hello=self.rank, size=self.size, pid=os.getpid(), name=host_name(), host=host())
        while True:
            self.socket.settimeout(max(until - time.monotonic(), 0.01))
            try:
                message = self._receive()
            except TimeoutError:
                self.socket.close()
                raise DistStoreError(
                    f"rank {self.rank} waited in vain for others: of {self.size} ranks not all "
                    "came in time"
                ) from None
            except (OSError, ValueError):
                message = None
            if message is None or "refused" in message:
                why = message["refused"] if message else "what listens there is no world of numgrad"
                self.socket.close()
                raise DistStoreError(f"rank {self.rank} was refused: {why}")
            if "go" in message:
                self.socket.settimeout(None)
                return message["go"], message["ranks"]
            if "gone" in message:
                self.socket.close()
                raise DistStoreError(f"{message['text']} before the world was formed")

    _buffer = b""

    def _receive(self) -> dict[str, Any] | None:
        while b"\n" not in self._buffer:
            data = self.socket.recv(_endpoint.MOST)
            if not data:
                return None
            self._buffer += data
        line, self._buffer = self._buffer.split(b"\n", 1)
        return json.loads(line)

    def tell(self, **message: Any) -> None:
        """Send a message; where nobody listens any more it is lost."""
        with contextlib.suppress(OSError):
            self.socket.sendall((json.dumps(message) + "\n").encode())

    def _listen(self) -> None:
        while True:
            try:
                message = self._receive()
            except (OSError, ValueError):
                message = None
            if message is None:
                for rank in range(self.size):
                    if rank != self.rank:
                        self.gone.setdefault(rank, "the connection to the other ranks was lost")
                self.finish.set()
                return
            if "gone" in message:
                self.gone[message["gone"]] = message["text"]
                self.finish.set()
            elif "finish" in message:
                self.finish.set()
            elif "ask" in message:
                self.tell(answer=self.doing(), to=message["ask"])
            elif "answer" in message:
                self.answers[message["rank"]] = message["answer"]

    def ask(self, ranks: list[int], seconds: float = 1.0) -> dict[int, str]:
        """What other ranks are at; one that does not answer is not in the result."""
        self.answers.clear()
        self.tell(ask=True)
        until = time.monotonic() + seconds
        while time.monotonic() < until and not all(r in self.answers for r in ranks):
            time.sleep(0.01)
        return dict(self.answers)


def host_name() -> str:
    """This host, for people."""
    return socket.gethostname()


def host() -> str:
    """This host, network and inter-process namespaces included, for telling hosts apart: ranks of
    one share memory."""
    parts = [socket.gethostname()]
    for path in ("/proc/sys/kernel/random/boot_id",):
        with contextlib.suppress(OSError):
            parts.append(pathlib.Path(path).read_text().strip())
    for name in ("net", "ipc", "mnt"):
        with contextlib.suppress(OSError):
            parts.append(os.readlink(f"/proc/self/ns/{name}"))
    return " ".join(parts)


def start_endpoint(size: int, address: tuple[str, int]) -> None:
    """Listen at the address, in a process of its own."""
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(address)
    except OSError as error:
        listener.close()
        raise DistNetworkError(
            f"rank 0 cannot listen at {address[0]}:{address[1]} (MASTER_ADDR:MASTER_PORT): "
            f"{error.strerror or error}"
        ) from None
    listener.listen(max(size * 2, 64))
    name = f"numgrad-{os.getpid()}-{time.time_ns():x}"
    program = [sys.executable, "-I", "-S", _endpoint.__file__, str(listener.fileno())]
    process = subprocess.Popen(
        [*program, str(size), name],
        pass_fds=[listener.fileno()],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,  # who reads this process's errors to the end must not wait for it
        start_new_session=True,
        env=without_managers(os.environ),
    )
    process.returncode = 0  # nobody waits for it: it outlives this process
    listener.close()


#: The world of this process, once it has one.
world: World | None = None


def join(
    rank: int | None, size: int | None, address: tuple[str, int] | None, timeout: float
) -> World:
    """This process's world: the one it is in, the one it was started in, or a new one."""
    global world
    if size == 1 and not is_formed():
        return World(None)  # takes no MPI
    if world is None:
        reason = missing()
        if reason is not None:
            raise RuntimeError(f"several processes need MPI, and {reason}")
        joined = World(None) if is_formed() else _meet(rank, size, address, timeout)
        joined.start_mpi(timeout)
        for name in ("PMI_PORT", "PMI_ID"):  # not for this process's children
            if joined.control is not None:
                os.environ.pop(name, None)
        world = joined
        multiprocessing.util.Finalize(None, joined.leave, exitpriority=-100)
    _check(world, rank, size)
    if world.broken is not None or world.gone:
        raise DistError(
            "this process's world has come to an end: "
            f"{world.broken or next(iter(world.gone.values()))}"
        )
    return world


def _meet(
    rank: int | None, size: int | None, address: tuple[str, int] | None, timeout: float
) -> World:
    assert size is not None and address is not None
    assert rank is not None
    try:
        address = (socket.gethostbyname(address[0]), address[1])
    except OSError as error:
        raise DistNetworkError(f"MASTER_ADDR {address[0]!r} is not known: {error}") from None
    control = Control(rank, size, address, timeout)
    # MPICH's other way between hosts, UCX, ends the process by a segmentation fault when the host at
    # the other end is lost; libfabric reports an error.
    os.environ.setdefault("MPIR_CVAR_CH4_NETMOD", "ofi")
    os.environ["PMI_PORT"], os.environ["PMI_ID"] = f"{address[0]}:{address[1]}", str(rank)
    return World(control)


def _check(world: World, rank: int | None, size: int | None) -> None:
    """MPI's world has to be the one that was asked for."""
    if size is not None and size != world.size:
        raise ValueError(
            f"world_size is {size}, but MPI's world has {world.size} ranks; a process joins one "
            "world in its life"
        )
    if rank is not None and rank != world.rank:
        raise ValueError(f"rank is {rank}, but in MPI's world this process is rank {world.rank}")
