"""Saying what a slow first call is doing: kernels are compiled when they are first needed."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable, Iterator

from .kernels import _contract

#: Seconds of compiling after which a line appears.
PATIENCE = 1.0


class CompileProgress:
    """A line on a terminal or in a notebook while kernels are compiled, and nothing elsewhere.

    It appears once more than `PATIENCE` seconds have gone into compiling, and is wiped out after
    each kernel, so that whatever the program prints starts on an empty line.
    """

    def __init__(self) -> None:
        self.spent = 0.0
        self.started = 0.0
        self.count = 0
        self.shown = 0
        self.say: Callable[[str], None] | None = None  # another place for the text

    def __call__(self, name: str | None, dtypes: str | None) -> None:
        if name is not None:
            self.started = time.perf_counter()
            self.count += 1
            text = f"compiling kernel {self.count}, {name}({dtypes})"
            if self.say is not None:
                self.say(text)
            elif self.spent > PATIENCE and _interactive():
                text = f"numgrad: {text}, once: it is kept on disk …"
                sys.stderr.write("\r" + text)
                sys.stderr.flush()
                self.shown = len(text)
            return
        self.spent += time.perf_counter() - self.started
        if self.say is not None:
            self.say("")
        if self.shown:
            sys.stderr.write("\r" + " " * self.shown + "\r")
            sys.stderr.flush()
            self.shown = 0


def _interactive() -> bool:
    if "ipykernel" in sys.modules:
        return True
    try:
        return sys.stderr.isatty()
    except (AttributeError, ValueError):
        return False


@contextlib.contextmanager
def shown_by(say: Callable[[str], None]) -> Iterator[None]:
    """Hand what is being compiled to `say`, a progress bar's text, instead of writing a line.

    >>> texts = []
    >>> with numgrad.progress.shown_by(texts.append):
    ...     _ = numgrad.ones(2) + 1  # where a kernel is compiled for it, texts says so
    """
    before, _progress.say = _progress.say, say
    try:
        yield
    finally:
        _progress.say = before


def summary() -> str:
    """This process's kernels: how many were compiled, which took longest, how many came from disk.

    >>> _ = numgrad.ones(2) + 1
    >>> "kernels" in numgrad.progress.summary()
    True
    """
    fresh = sorted((c for c in _contract.compiled if not c.cached), key=lambda c: -c.seconds)
    stored = [c for c in _contract.compiled if c.cached]
    parts = []
    if fresh:
        slowest = ", ".join(f"{c.name}({c.dtypes}) {c.seconds:.1f} s" for c in fresh[:3])
        seconds = sum(c.seconds for c in fresh)
        parts.append(f"{len(fresh)} kernels compiled in {seconds:.1f} s (longest: {slowest})")
    if stored:
        milliseconds = sum(c.seconds for c in stored) * 1e3
        parts.append(f"{len(stored)} kernels loaded from disk in {milliseconds:.0f} ms")
    return ", ".join(parts) or "no kernels compiled"


_progress = CompileProgress()
_contract.listeners.append(_progress)
