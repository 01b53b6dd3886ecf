"""Saying what a slow first call is doing: kernels are compiled when they are first needed."""

from __future__ import annotations

import sys
import time

from .kernels import _contract

#: Seconds of compiling after which a line appears.
PATIENCE = 1.0


class CompileProgress:
    """A line on a terminal or in a notebook while kernels are compiled, and nothing elsewhere.

    It appears once more than `PATIENCE` seconds have gone into compiling, is rewritten in place,
    and ends with how many kernels there were and that the next process finds them on disk.
    """

    def __init__(self) -> None:
        self.spent = 0.0
        self.started = 0.0
        self.count = 0
        self.shown = 0

    def __call__(self, name: str | None, dtypes: str | None) -> None:
        if name is not None:
            self.started = time.perf_counter()
            self.count += 1
            if self.spent > PATIENCE and _interactive():
                text = f"numgrad: compiling kernel {self.count}, {name}({dtypes}) …"
                sys.stderr.write("\r" + text.ljust(self.shown))
                sys.stderr.flush()
                self.shown = len(text)
            return
        self.spent += time.perf_counter() - self.started
        if self.shown:
            text = (
                f"numgrad: compiled {self.count} kernels in {self.spent:.1f} s "
                "(kept on disk for the next time)"
            )
            sys.stderr.write("\r" + text.ljust(self.shown))
            sys.stderr.flush()
            self.shown = len(text)


def _interactive() -> bool:
    if "ipykernel" in sys.modules:
        return True
    try:
        return sys.stderr.isatty()
    except (AttributeError, ValueError):
        return False


def finish_line() -> None:
    """End the progress line, if there is one, before something else is printed."""
    if _progress.shown:
        sys.stderr.write("\n")
        _progress.shown = 0


def summary() -> str:
    """One line on this process's kernels: how many were compiled, how many came from the disk."""
    fresh = [c for c in _contract.compiled if not c.cached]
    stored = [c for c in _contract.compiled if c.cached]
    return (
        f"{len(fresh)} kernels compiled in {sum(c.seconds for c in fresh):.1f} s, "
        f"{len(stored)} loaded from disk in {sum(c.seconds for c in stored) * 1e3:.0f} ms"
    )


_progress = CompileProgress()
_contract.listeners.append(_progress)
