"""`spawn`: a function in several processes, of which the first failure ends all."""

from __future__ import annotations

import contextlib
import logging
import multiprocessing
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable
from multiprocessing import connection
from typing import Any

log = logging.getLogger("numgrad.multiprocessing")

#: Seconds that processes have to end when they are asked to, before they are killed.
TERMINATION = 5.0
#: The longest traceback that a child hands over: what a pipe takes without a reader.
TRACE = 60_000


class ProcessException(Exception):
    """A child process failed: `error_index` is its number, `pid` was its process id."""

    def __init__(self, msg: str, error_index: int, pid: int) -> None:
        super().__init__(msg)
        self.msg = msg
        self.error_index = error_index
        self.pid = pid

    def __reduce__(self) -> tuple:
        return type(self), (self.msg, self.error_index, self.pid)


class ProcessRaisedException(ProcessException):
    """A child process raised an exception; the message has its traceback."""


class ProcessExitedException(ProcessException):
    """A child process ended by a signal, or with an exit code, and no exception."""

    def __init__(
        self,
        msg: str,
        error_index: int,
        error_pid: int,
        exit_code: int,
        signal_name: str | None = None,
    ) -> None:
        super().__init__(msg, error_index, error_pid)
        self.exit_code = exit_code
        self.signal_name = signal_name

    def __reduce__(self) -> tuple:
        return type(self), (self.msg, self.error_index, self.pid, self.exit_code, self.signal_name)


def spawn(
    fn: Callable,
    args: tuple = (),
    nprocs: int = 1,
    join: bool = True,
    daemon: bool = False,
    start_method: str = "spawn",
) -> ProcessContext | None:
    """Run `fn(i, *args)` in `nprocs` new processes, i = 0 … nprocs - 1, and wait for all of them.

    When one fails, the others are terminated, and `ProcessRaisedException` (with the child's
    traceback) or `ProcessExitedException` (with its signal or exit code) is raised. With `join=False`
    it returns at once a `ProcessContext`, to be joined. Children end with the process that started
    them. `fn` and `args` are pickled: a function of a module, not a lambda or a local one.

    >>> numgrad.multiprocessing.spawn(print, nprocs=0)
    """
    if start_method != "spawn":
        log.warning(
            "spawn only supports start_method='spawn'; to use another one (%s), call "
            "start_processes",
            start_method,
        )
    return start_processes(fn, args, nprocs, join, daemon, "spawn")


def start_processes(
    fn: Callable,
    args: tuple = (),
    nprocs: int = 1,
    join: bool = True,
    daemon: bool = False,
    start_method: str = "spawn",
) -> ProcessContext | None:
    """As `spawn`, with a choice of how processes start: `"spawn"`, `"fork"` or `"forkserver"`.

    >>> numgrad.multiprocessing.start_processes(print, nprocs=0)
    """
    context = multiprocessing.get_context(start_method)
    processes: list[Any] = []
    failures: list[Any] = []
    try:
        for index in range(nprocs):
            ours, theirs = context.Pipe(duplex=False)
            failures.append(ours)
            process = context.Process(  # type: ignore[attr-defined]
                target=_run, args=(fn, index, args, theirs), daemon=daemon
            )
            try:
                process.start()
            finally:
                theirs.close()
            processes.append(process)
    except BaseException:
        _end(processes)
        raise
    started = ProcessContext(processes, failures)
    if not join:
        return started
    try:
        while not started.join():
            pass
    except BaseException:
        _end(processes)  # a failure has ended them already; Ctrl-C has not
        raise
    return None


class ProcessContext:
    """The processes that `start_processes` has started."""

    def __init__(self, processes: list[Any], failures: list[Any]) -> None:
        self.processes = processes
        self.failures = failures
        self.sentinels = {process.sentinel: k for k, process in enumerate(processes)}

    def pids(self) -> list[int]:
        """Their process ids."""
        return [process.pid for process in self.processes]

    def join(self, timeout: float | None = None, grace_period: float | None = None) -> bool:
        """Wait for some process to end, for `timeout` seconds at most; True when all have.

        Where one has failed, the others have `grace_period` seconds to end by themselves, are
        terminated, and an exception says which one failed, and why.
        """
        if not self.sentinels:
            return True
        ready = connection.wait(list(self.sentinels), timeout)
        failed: list[int] = []
        for sentinel in ready:
            index = self.sentinels.pop(sentinel)
            self.processes[index].join()
            if self.processes[index].exitcode != 0:
                failed.append(index)
        if not failed:
            return not self.sentinels
        # Of several, one that was killed: the others may only say that they have lost it.
        failed.sort(key=lambda k: (self.processes[k].exitcode > 0, k))
        if grace_period is not None:
            _join(self.processes, grace_period)
        _end(self.processes)
        self._raise(failed[0])
        raise AssertionError

    def _raise(self, index: int) -> None:
        process = self.processes[index]
        text = None
        with contextlib.suppress(EOFError, OSError):
            if self.failures[index].poll():
                text = self.failures[index].recv()
        if text is not None:
            raise ProcessRaisedException(
                f"\n\n-- Process {index} terminated with the following error:\n{text}",
                index,
                process.pid,
            )
        code = process.exitcode
        if code >= 0:
            raise ProcessExitedException(
                f"process {index} terminated with exit code {code}", index, process.pid, code
            )
        try:
            name = signal.Signals(-code).name
        except ValueError:
            name = f"<Unknown signal {-code}>"
        raise ProcessExitedException(
            f"process {index} terminated with signal {name}", index, process.pid, code, name
        )


#: torch's older name.
SpawnContext = ProcessContext


def _join(processes: list[Any], seconds: float) -> None:
    until = time.monotonic() + seconds
    for process in processes:
        process.join(max(0.0, until - time.monotonic()))


def _end(processes: list[Any]) -> None:
    """End all that are alive, by force where they take too long."""
    for process in processes:
        if process.is_alive():
            process.terminate()
    _join(processes, TERMINATION)
    for process in processes:
        if process.is_alive():
            process.kill()
        process.join()


def _run(fn: Callable, index: int, args: tuple, failure: Any) -> None:
    """What runs in a child."""
    from ..distributed._world import MANAGERS

    for name in [name for name in os.environ if name.startswith(MANAGERS)]:
        del os.environ[name]  # the parent's rank is not the child's
    threading.Thread(target=_end_with_parent, daemon=True).start()
    try:
        fn(index, *args)
    except KeyboardInterrupt:
        pass  # Ctrl-C reaches the parent too, which ends the children
    except SystemExit as exit:
        raise exit
    except BaseException as error:
        text = traceback.format_exc()
        sys.last_value = error  # what the ends of this process's world say to other ranks
        with contextlib.suppress(OSError, ValueError):
            failure.send(text if len(text) < TRACE else "…" + text[-TRACE:])
        sys.exit(1)


def _end_with_parent() -> None:
    """End when the process that started this one does."""
    process, above = multiprocessing.parent_process(), os.getppid()
    if process is None:
        return
    # A forked sibling may hold the sentinel's other end: then only the parent's id tells.
    while not connection.wait([process.sentinel], 1.0) and os.getppid() == above:
        pass
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(TERMINATION)
    os._exit(1)  # the signal was caught
