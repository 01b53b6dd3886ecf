"""Recording: listening at the seam where operations launch kernels.

While a `Recorder` is active on a thread, the function runs as it always does, and every launch,
every new array and every check is noted down as a `Graph`. What leaves the seam, a value that
Python reads, ends the recording but not the run: the function goes on eagerly.
"""

from __future__ import annotations

import contextlib
import itertools
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from ..device import DeviceArray, address, cpu, cuda, duplicate, place_of
from ..kernels import elementwise as table
from ..ops import _core
from .graph import Call, Check, Graph, Storage, Value, effects
from .number import Number

_recording = threading.RLock()


class Recorder:
    """Notes down one run; `reason` says why there is no graph of it, None where there is one."""

    def __init__(self, inputs: list[np.ndarray], lasting: set[int], strict: bool = False) -> None:
        self.calls: list[Call] = []
        self.reason: str | None = None
        self.strict = strict
        self.thread = threading.get_ident()
        self.storages: dict[int, Storage] = {}  # by the id of the array that owns the memory
        self.lasting = lasting  # ids of the owners of memory that is known to live on
        self.before: dict[int, np.ndarray] = {}  # what unknown memory held before it was written
        self.count = itertools.count()
        self.inputs: list[Value] = []
        self.extents: list[tuple[int, int, int, Storage]] = []
        self.owners: list[np.ndarray] = []
        self.uploads: list[tuple[Value, Value]] = []
        for array in inputs:
            self.inputs.append(self._input(array))

    def _input(self, array: np.ndarray) -> Value:
        root = owner(array)
        start = address(array)
        probe = Value(None, 0, array.shape, array.strides, array.dtype)  # type: ignore[arg-type]
        nbytes = probe.extent[1]
        for _, low, high, storage in self.extents:
            if low < start + nbytes and start < high:
                if (low, high) != (start, start + nbytes):
                    self.fail("two arguments overlap in memory without being the same")
                return Value(storage, 0, array.shape, array.strides, array.dtype)
        storage = Storage("input", nbytes, len(self.extents))
        storage.root, storage.address, storage.device = root, start, place_of(array)
        storage.pinned = id(root) in self.lasting
        self.extents.append((id(root), start, start + nbytes, storage))
        self.owners.append(root)
        return Value(storage, 0, array.shape, array.strides, array.dtype)

    # ------------------------------------------------------------------ while it runs

    def value(self, array: Any) -> Value:
        """The graph's name for an array."""
        root = owner(array)
        start = address(array)
        for known, low, high, storage in self.extents:
            if known == id(root) and low <= start < high:
                return Value(storage, start - low, array.shape, array.strides, array.dtype)
        storage = self.storages.get(id(root))  # type: ignore[assignment]
        if storage is None:
            storage = Storage("lasting", root.nbytes, next(self.count), root)
            self.storages[id(root)] = storage
        return Value(storage, start - storage.address, array.shape, array.strides, array.dtype)

    def empty(self, shape: Any, dtype: Any) -> np.ndarray:
        data = np.empty(shape, dtype)
        if threading.get_ident() == self.thread and self.reason is None:
            storage = Storage("temporary", data.nbytes, next(self.count), data)
            self.storages[id(data)] = storage
        return data

    def launch(self, kernel: Any, dtype: np.dtype, n: int, arguments: tuple, work: int) -> None:
        if threading.get_ident() == self.thread and self.reason is None:
            self._note(kernel, dtype, n, arguments, work)
        cpu.run(kernel, dtype, n, plain(arguments), work)

    def _note(self, kernel: Any, dtype: np.dtype, n: int, arguments: tuple, work: int) -> None:
        named: list[Any] = []
        for value, effect in zip(arguments, effects(kernel, len(arguments)), strict=True):
            if type(value) is np.ndarray or type(value) is DeviceArray:
                named.append(self._argument(value, effect))
            elif type(value) is tuple:
                named.append(tuple([self._argument(item, effect) for item in value]))
            elif isinstance(value, float):
                named.append(value)
            else:
                self.fail(f"{kernel.name} was launched on a {type(value).__name__}")
                return
        self.calls.append(Call(kernel, dtype, n, tuple(named), work))

    def _argument(self, array: Any, effect: str) -> Value:
        value = self.value(array)
        storage = value.storage
        if effect != "reads" and storage.kind == "lasting" and id(storage.root) not in self.lasting:
            # Written, and not known to live on: perhaps made on the way with a content.
            self.before.setdefault(id(storage.root), duplicate(storage.root))
        return value

    def empty_on_cuda(
        self, shape: Any, dtype: Any, like: Any = None, index: int | None = None
    ) -> DeviceArray:
        data = cuda.new(shape, dtype, like, index)
        if threading.get_ident() == self.thread and self.reason is None:
            storage = Storage("temporary", data.nbytes, next(self.count), data)
            self.storages[id(data)] = storage
        return data

    def launch_on_cuda(
        self, kernel: Any, dtype: np.dtype, n: int, arguments: tuple, work: int
    ) -> None:
        if threading.get_ident() == self.thread and self.reason is None:
            self._note(kernel, dtype, n, arguments, work)
        cuda.run(kernel, dtype, n, plain(arguments), work)

    def upload(
        self, array: np.ndarray, like: Any = None, index: int | None = None, **options: Any
    ) -> DeviceArray:
        """A host array goes to a GPU: once if it was made on the way, else in every run."""
        data = cuda.upload(array, like, index, **options)
        if threading.get_ident() == self.thread and self.reason is None:
            source = self.value(array)
            storage = Storage("lasting", data.nbytes, next(self.count), data)
            self.storages[id(data)] = storage
            if source.storage.kind == "temporary":
                self.fail(f"what was computed on the CPU is copied to {data.device}")
            elif source.storage.kind == "input" or id(source.storage.root) in self.lasting:
                self.uploads.append((source, self.value(data)))
        return data

    def holds(self, array: np.ndarray) -> bool:
        """Whether the recorder itself has a reference to the array."""
        return id(array) in self.storages

    def check(self, flag: Any, index: int, function: Callable, arguments: tuple) -> None:
        """A check that an operation makes on what a kernel has found."""
        if threading.get_ident() != self.thread or self.reason is not None or not self.calls:
            return
        arrays = (np.ndarray, DeviceArray)
        named = tuple([self.value(a) if type(a) in arrays else a for a in arguments])
        self.calls[-1].checks.append(Check(self.value(flag), index, function, named))

    def read(self, what: str) -> None:
        """Python is about to look at values."""
        if threading.get_ident() == self.thread:
            self.fail(
                f"{what} leaves the kernels for Python",
                "; stay in tensors there (numgrad.where for a branch), or move it out of the function",
            )

    def fail(self, reason: str, hint: str = "") -> None:
        """Give up the graph, not the run."""
        if self.reason is None:
            self.reason = f"{reason} ({_line()}){hint}"
            if self.strict:
                raise CompileError(self.reason)

    def number(self, value: Any, dtype: np.dtype) -> np.ndarray:
        """A 0-d array for a number that may be another one in the next run."""
        array = np.array(float(value), dtype)
        if threading.get_ident() == self.thread and self.reason is None:
            storage = Storage("number", array.nbytes, next(self.count), array)
            storage.number = value
            self.storages[id(array)] = storage
        return array

    # ------------------------------------------------------------------ afterwards

    def graph(self, results: list[Value]) -> Graph:
        """What was noted down; memory that was made with a content is given it first."""
        filled = []
        for key, content in self.before.items():
            storage = self.storages[key]
            storage.kind = "temporary"
            source = Storage("lasting", content.nbytes, next(self.count), content)
            dtype, whole = content.dtype, (content.shape, content.strides, content.dtype)
            arguments = (Value(source, 0, *whole), Value(storage, 0, *whole))
            filled.append(Call(table.copy[dtype], dtype, content.size, arguments, content.size))
        for _, there in self.uploads:
            if there.storage.kind == "temporary":
                raise CompileError("the function writes to what it has copied from the host")
        return Graph(self.inputs, filled + self.calls, results, (), self.uploads)


class CompileError(RuntimeError):
    """A function that `numgrad.compile` cannot turn into one program.

    >>> mean = numgrad.compile(lambda x: x.mean().item(), fullgraph=True)
    >>> mean(numgrad.ones(2))
    Traceback (most recent call last):
    numgrad.compile.recorder.CompileError: the function leaves the kernels for Python (...
    """


def owner(array: Any) -> Any:
    """The array that owns the memory of a view (of an array on foreign memory: the array)."""
    if type(array) is DeviceArray:
        return array if array.base is None else array.base
    base = array.base
    while base is not None:
        if isinstance(base, np.ndarray):
            array = base
        elif not isinstance(getattr(base, "base", None), np.ndarray):
            break  # foreign memory; what passes is the stand-in of NumPy's as_strided
        base = base.base
    return array


def plain(arguments: tuple) -> tuple:
    """A launch's arguments with Python floats for numbers that are tracked."""
    if any(type(a) is Number for a in arguments):
        return tuple([float(a) if type(a) is Number else a for a in arguments])
    return arguments


def _line() -> str:
    """Where the user's code is: the innermost frame outside numgrad."""
    for frame in reversed(traceback.extract_stack(sys._getframe(1))):
        folder = __file__.rsplit("compile", 1)[0]
        if not frame.filename.startswith(folder):
            return f"{frame.filename}:{frame.lineno}, in {frame.name}: {frame.line}"
    return "unknown line"


@contextlib.contextmanager
def listening(recorder: Recorder) -> Iterator[Recorder]:
    """Send this process's launches through `recorder`, which takes those of its thread."""
    with _recording:
        launch, empty = cpu.launch, cpu.empty
        cpu.launch = _core._launch = recorder.launch
        cpu.empty = _core._empty = recorder.empty
        cuda.launch, cuda.empty = recorder.launch_on_cuda, recorder.empty_on_cuda
        cuda.from_host = recorder.upload  # type: ignore[assignment]
        cpu.recorder = recorder
        try:
            yield recorder
        finally:
            cpu.launch = _core._launch = launch
            cpu.empty = _core._empty = empty
            cuda.launch, cuda.empty, cuda.from_host = cuda.run, cuda.new, cuda.upload
            cpu.recorder = None
