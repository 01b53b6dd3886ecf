"""The worker processes of one `DataLoader` iteration, as seen from the process that iterates."""

from __future__ import annotations

import os
import pickle
import signal
import time
from collections.abc import Iterable
from multiprocessing.connection import Connection, wait
from typing import Any

from .transport import receive, send
from .worker import WorkerTask, loader_ends, run_worker

__all__ = ["Workers"]

_EXIT_SECONDS = 5.0  # how long workers may take to finish what they are doing
_KILL_SECONDS = 1.0


class Workers:
    """Starts worker processes, talks to each over a connection of its own, and ends them.

    A worker answers its requests in the order they were sent. One that died is reported when its
    next answer is waited for.
    """

    def __init__(self, context: Any, tasks: Iterable[WorkerTask]) -> None:
        self._owner = os.getpid()
        self._processes: list[Any] = []
        self._connections: list[Connection] = []
        self._failure: str | None = None
        self._closed = False
        try:
            for task in tasks:
                self._start(context, task)
        except BaseException:
            self.close()
            raise

    def _start(self, context: Any, task: WorkerTask) -> None:
        connection, worker_end = context.Pipe(duplex=True)
        loader_ends.add(connection)
        self._connections.append(connection)
        process = context.Process(target=run_worker, args=(task, worker_end), daemon=True)
        try:
            process.start()
        except (AttributeError, TypeError, pickle.PicklingError) as error:
            error.add_note(
                f"A DataLoader worker that is started by {context.get_start_method()!r} needs a "
                "dataset, collate_fn and worker_init_fn that can be pickled: no lambdas, no "
                "functions or classes defined inside a function."
            )
            raise
        finally:
            worker_end.close()
        self._processes.append(process)

    def send(self, worker: int, request: Any) -> None:
        """Send a request; one to a dead worker is lost, its missing answer tells."""
        try:
            send(self._connections[worker], request)
        except (BrokenPipeError, ConnectionResetError):
            pass

    def receive(self, worker: int, timeout: float = 0) -> Any:
        """The next answer of one worker, waited for `timeout` seconds (0: for ever)."""
        self._wait_for([worker], timeout)
        try:
            return receive(self._connections[worker])
        except (EOFError, ConnectionResetError):
            raise self._died(worker) from None

    def wait_any(self, candidates: list[int], timeout: float = 0) -> int:
        """A worker, of those given, whose `receive` will not wait."""
        return self._wait_for(candidates, timeout)

    def _wait_for(self, candidates: list[int], timeout: float) -> int:
        if self._failure is not None:
            raise RuntimeError(self._failure)
        owner: dict[Any, int] = {self._connections[worker]: worker for worker in candidates}
        # A process has ended when its sentinel is ready. Its connection alone would not tell where
        # a child of its own keeps the other end open.
        owner |= {self._processes[worker].sentinel: worker for worker in candidates}
        ready = wait(list(owner), timeout or None)
        if not ready:
            raise RuntimeError(f"DataLoader timed out after {timeout} seconds")
        for worker in candidates:
            if self._connections[worker] in ready:
                return worker
        worker = owner[ready[0]]
        if self._connections[worker].poll():  # what it sent between the two looks
            return worker
        raise self._died(worker)

    def _died(self, worker: int) -> RuntimeError:
        process = self._processes[worker]
        process.join(_KILL_SECONDS)
        code = process.exitcode
        message = f"DataLoader worker (pid {process.pid}) "
        if code is not None and code < 0:
            name = signal.strsignal(-code) or "unknown"
            message += f"is killed by signal: {name} ({signal.Signals(-code).name}). "
            if -code == getattr(signal, "SIGKILL", None):
                message += "The system kills processes when it runs out of memory."
        else:
            message += (
                f"exited unexpectedly with exit code {code}. "
                "Rerunning with num_workers=0 may give better error trace."
            )
        self._failure = message
        self.close()
        return RuntimeError(message)

    def close(self) -> None:
        """End all workers, by force where they take too long. May be called any number of times."""
        if self._closed or os.getpid() != self._owner:
            return  # a forked child holds a copy of this object, but not the processes
        self._closed = True
        try:
            for worker, connection in enumerate(self._connections):
                if worker < len(self._processes):
                    self.send(worker, None)
                connection.close()
            deadline = time.monotonic() + _EXIT_SECONDS
            for process in self._processes:
                process.join(max(0, deadline - time.monotonic()))
        finally:
            # Also when Ctrl-C comes while this waits.
            for end in ("terminate", "kill"):
                for process in self._processes:
                    if process.is_alive():
                        getattr(process, end)()
                for process in self._processes:
                    process.join(_KILL_SECONDS)
