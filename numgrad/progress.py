"""Saying what a slow first call is doing: kernels are compiled when they are first needed."""

from __future__ import annotations

import contextlib
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from html import escape
from typing import Any, TypeVar

from .kernels import _contract

T = TypeVar("T")

#: Seconds of compiling after which a line appears.
PATIENCE = 1.0


class CompileProgress:
    """A line on a terminal or in a notebook while kernels are compiled, and nothing elsewhere.

    On a terminal it appears once more than `PATIENCE` seconds have gone into compiling, and is
    wiped out after each kernel, so that whatever the program prints starts on an empty line. In a
    notebook it appears at once, in an output of its own, and if the cell's kernels took longer
    than that, what stays there is how many they were and how long they took.
    """

    def __init__(self) -> None:
        self.spent = 0.0
        self.started = 0.0
        self.count = 0
        self.shown = 0
        self.say: Callable[[str], None] | None = None  # another place for the text
        self.cell = _Cell()

    def __call__(self, name: str | None, dtypes: str | None) -> None:
        if name is not None:
            self.started = time.perf_counter()
            self.count += 1
            text = f"compiling kernel {self.count}, {name}({dtypes})"
            if self.say is not None:
                self.say(text)
            elif (shell := _notebook()) is not None:
                self.cell.start(shell, text)
            elif self.spent > PATIENCE and _interactive():
                text = f"numgrad: {text}, once: it is kept on disk …"
                sys.stderr.write("\r" + text)
                sys.stderr.flush()
                self.shown = len(text)
            return
        self.spent += time.perf_counter() - self.started
        if self.say is not None:
            self.say("")
        elif self.cell.handle is not None:
            self.cell.end(time.perf_counter() - self.started)
        if self.shown:
            sys.stderr.write("\r" + " " * self.shown + "\r")
            sys.stderr.flush()
            self.shown = 0


class _Cell:
    """The line in the output of a notebook's cell."""

    def __init__(self) -> None:
        self.handle: Any = None
        self.number: Any = None  # of the cell's execution
        self.count, self.spent = 0, 0.0

    def start(self, shell: Any, text: str) -> None:
        """Say that a kernel is being compiled."""
        number = getattr(shell, "execution_count", None)
        if self.handle is None or number != self.number:
            from IPython.display import display

            self.number, self.count, self.spent = number, 0, 0.0
            self.handle = display({"text/plain": ""}, raw=True, display_id=True)
        self._write(f"numgrad: {text}, once: it is kept on disk …")

    def end(self, seconds: float) -> None:
        """A kernel is compiled."""
        self.count += 1
        self.spent += seconds
        kernels = "kernel" if self.count == 1 else "kernels"
        kept = f"numgrad compiled {self.count} {kernels} in {self.spent:.1f} s, once: kept on disk"
        self._write(kept if self.spent > PATIENCE else "")

    def _write(self, text: str) -> None:
        grey = f'<span style="color: #888888">{escape(text)}</span>' if text else ""
        self.handle.update({"text/plain": text, "text/html": grey}, raw=True)


def _notebook() -> Any:
    """The shell of the notebook that this runs in, None elsewhere and in other threads."""
    if "ipykernel" not in sys.modules or threading.current_thread() is not threading.main_thread():
        return None
    from IPython import get_ipython

    shell = get_ipython()
    return shell if hasattr(shell, "kernel") else None


def _interactive() -> bool:
    try:
        return sys.stderr.isatty()
    except (AttributeError, ValueError):
        return False


def bar(
    iterable: Iterable[T], desc: str = "", total: int | None = None, **options: Any
) -> Iterable[T]:
    """The items, with a progress bar: tqdm's, as a widget in notebooks that have widgets.

    It also says which kernel is being compiled, while one is. `options` are tqdm's.

    >>> sum(numgrad.progress.bar(range(4), disable=True))
    6
    """
    shown: Any = _tqdm()(iterable, desc=desc, total=total, **options)
    with shown_by(lambda text: shown.set_postfix_str(text)), shown:
        yield from shown


def _tqdm() -> Any:
    """tqdm's bar for where this runs; `tqdm.auto` warns where a notebook has no widgets."""
    import importlib.util

    if importlib.util.find_spec("ipywidgets") is None:
        from tqdm import tqdm

        return tqdm
    from tqdm.auto import tqdm as auto

    return auto


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
