"""Processes to measure in, and times as text."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from typing import Any


def environment(threads: int, **variables: str) -> dict[str, str]:
    """The environment of a process that computes on so many threads."""
    count = str(threads)
    return dict(
        os.environ,
        OMP_NUM_THREADS=count,
        NUM_CPU_THREADS=count,  # tinygrad's, as the next
        TRAINING="1",
        JAX_PLATFORMS="cpu",
        **variables,
    )


class PeerError(Exception):
    """A library cannot do a case."""


class Peer:
    """A worker process with one library. It is stopped while it has nothing to do: the threads of
    some libraries go on asking for work, on the processors that the next one is measured on.
    """

    def __init__(self, library: str, threads: int, **variables: str) -> None:
        self.library = library
        self.process = subprocess.Popen(
            [sys.executable, "-m", "numgrad.bench.worker", library, str(threads)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment(threads, **variables),
        )

    def ask(self, case: Any, **request: float) -> dict[str, float]:
        """`seconds` of a call, measured for `budget` seconds; the `value` after so many `calls`."""
        assert self.process.stdin is not None and self.process.stdout is not None
        self._signal(signal.SIGCONT)
        try:
            self.process.stdin.write(json.dumps({"case": case, **request}) + "\n")
            self.process.stdin.flush()
            text = self.process.stdout.readline()
        except BrokenPipeError:
            text = ""
        self._signal(signal.SIGSTOP)
        if not text:
            raise PeerError("the process ended")
        answer = json.loads(text)
        if "error" in answer:
            raise PeerError(answer["error"])
        return answer

    def close(self) -> None:
        """End the process."""
        assert self.process.stdin is not None and self.process.stdout is not None
        self._signal(signal.SIGCONT)
        try:
            self.process.stdin.close()
        except BrokenPipeError:
            pass
        self.process.wait()
        self.process.stdout.close()

    def _signal(self, number: int) -> None:
        if self.process.poll() is None:
            self.process.send_signal(number)


def once(what: str, library: str, case: Any, threads: int, **variables: str) -> dict[str, float]:
    """What a process of its own answers: see `once.py`."""
    done = subprocess.run(
        [sys.executable, "-m", "numgrad.bench.once", what, library, json.dumps(case), str(threads)],
        env=environment(threads, **variables),
        stdout=subprocess.PIPE,
        text=True,
    )
    if done.returncode:
        raise PeerError("the process ended")
    answer = json.loads(done.stdout)
    if "error" in answer:
        raise PeerError(answer["error"])
    return answer


def time_text(seconds: float) -> str:
    """`3.95 µs`, eleven characters wide."""
    for unit, size in (("s ", 1.0), ("ms", 1e-3), ("µs", 1e-6)):
        if seconds >= size:
            return f"{seconds / size:8.2f} {unit}"
    return f"{seconds * 1e9:8.0f} ns"
