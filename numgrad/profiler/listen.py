"""Listening while a profiler is on: at the seam of launches, and where programs and modules run.

Nothing of it is there otherwise: a `Listener` puts functions that measure in the place of those
that do the work, and takes them away again.
"""

from __future__ import annotations

import threading
import time
import weakref
from collections.abc import Callable
from typing import Any

from .._seam import Replaced, launch_name, launches, user_line
from ..autograd import engine
from ..compile.function import CompiledFunction
from ..compile.program import Program
from ..device import cpu
from ..device import cuda as cuda_device
from ..kernels import _contract
from ..kernels._launch import launcher
from ..nn._hooks import HookedCall
from ..ops import _core

clock = time.perf_counter_ns
#: The listener that is on; there is one at a time.
active: Listener | None = None


class Listener:
    """Notes down (kind, name, start, end, thread, details) for what happens between start and stop.

    Kinds: "kernel", "compile", "program", "backward", "module", "range". Times in nanoseconds.
    """

    def __init__(
        self, *, shapes: bool, memory: bool, lines: bool, modules: bool, on_gpus: bool | None
    ) -> None:
        self.events: list[tuple] = []
        #: (time, bytes, in use by then, thread): what operations allocated, and what was freed.
        self.allocations: list[tuple[int, int, int, int]] = []
        #: (time, GPU, bytes): what tensors on a GPU take, after each launch there.
        self.gpu_memory: list[tuple[int, int, int]] = []
        self.in_use = self.peak = 0
        self.shapes, self.memory, self.lines, self.modules = shapes, memory, lines, modules
        self.on_gpus = cuda_device.is_initialized() if on_gpus is None else on_gpus
        self.started = self.ended = 0
        self.thread = threading.get_ident()
        self._nodes: dict[int, str] = {}  # the backward node that runs on each thread
        self._compiling: list[tuple[int, str] | None] = []
        self._arrays: dict[int, weakref.ref] = {}  # by their own ids
        self._replaced = Replaced()
        self._on_device: list[tuple[dict, Any, Any]] = []
        self._base: dict[int, tuple[Any, int]] = {}  # by GPU: an event, and the time on the host

    def note(self, kind: str, name: str, started: int, details: dict | None) -> None:
        """An event that ends now."""
        self.events.append((kind, name, started, clock(), threading.get_ident(), details))

    # ------------------------------------------------------------------ on and off

    def start(self) -> None:
        """Put what measures in its places."""
        global active
        if cpu.recorder is not None:
            cpu.recorder.read("starting a profiler")
        self._inside_recording = cpu.recorder is not None
        active = self
        change = self._replaced.change
        for holder, name, function in launches(self._launch, self._launch_on_gpu):
            change(holder, name, function)
        change(engine, "_step", self._step(engine._step))
        change(engine, "run", self._timed(engine.run, "backward", "backward()"))
        change(CompiledFunction, "__call__", self._program(CompiledFunction.__call__))
        change(CompiledFunction, "_record", self._recording(CompiledFunction._record))
        if self.modules:
            change(HookedCall, "__call__", self._module(HookedCall.__call__))
        if self.memory:
            empty = self._empty(cpu.empty)
            for holder, name in ((cpu, "empty"), (_core, "_empty")):
                change(holder, name, empty)
        _contract.listeners.append(self._compile)
        self.started = clock()

    def stop(self) -> None:
        """Take it away."""
        global active
        if cpu.recorder is not None and not self._inside_recording:
            raise RuntimeError(
                "a profiler that was started outside a compiled function cannot stop in it"
            )
        self.ended = clock()
        active = None
        self._replaced.restore()
        _contract.listeners.remove(self._compile)
        self._arrays.clear()
        self._ask_gpus()

    # ------------------------------------------------------------------ launches

    def _details(self, kernel: Any, dtype: Any, arguments: tuple, work: int) -> dict:
        operation = self._nodes.get(threading.get_ident()) or launch_name(3)
        details = {"operation": operation, "dtype": dtype.name, "work": work}
        if self.shapes:
            details["shapes"] = [list(a.shape) for a in arguments if hasattr(a, "shape")]
        if self.lines:
            details["line"] = user_line(3)
        return details

    def _launch(self, run: Callable) -> Callable:
        def launch(kernel: Any, dtype: Any, n: int, arguments: tuple, work: int) -> None:
            details = self._details(kernel, dtype, arguments, work)
            if kernel.addresses.get(dtype) is None:
                started = clock()
                self._compiling.append(None)
                kernel.compile(dtype)
                self._compiling.pop()
                cached = _contract.compiled and _contract.compiled[-1].cached
                name = "loading kernels" if cached else "compiling kernels"
                self.note("compile", name, started, {"kernel": f"{kernel.name}({dtype.name})"})
            ready = "serial" in launcher.__dict__ or work >= cpu.PARALLEL_WORK
            if work >= cpu.PARALLEL_WORK:
                ready = launcher._context[0] != 0
            started = clock()
            run(kernel, dtype, n, arguments, work)
            ended = clock()
            kind, name = ("kernel", kernel.name) if ready else ("compile", "starting the launcher")
            self.events.append((kind, name, started, ended, threading.get_ident(), details))

        return launch

    def _launch_on_gpu(self, run: Callable) -> Callable:
        def launch(kernel: Any, dtype: Any, n: int, arguments: tuple, work: int) -> None:
            details = self._details(kernel, dtype, arguments, work)
            before = self._mark(arguments)
            started = clock()
            run(kernel, dtype, n, arguments, work)
            ended = clock()
            self._finish(before, details)
            thread = threading.get_ident()
            self.events.append(("launch", kernel.name, started, ended, thread, details))

        return launch

    def _mark(self, arguments: tuple) -> tuple[int, Any] | None:
        if not self.on_gpus or cuda_device._state.capturing:
            return None
        index = cuda_device._index(arguments)
        return self._begin(index)

    def _begin(self, index: int) -> tuple[int, Any]:
        """A point of time on a GPU, before what is to be measured."""
        if index not in self._base:
            cuda_device.driver().synchronize(index)
            self._base[index] = (self._event(index), clock())
        return index, self._event(index)

    def _finish(self, before: tuple[int, Any] | None, details: dict) -> None:
        """After it: `details` will have when it ran."""
        if before is None:
            return
        index, event = before
        details["gpu"] = index
        self._on_device.append((details, event, self._event(index)))
        if self.memory:
            allocated = cuda_device.pool(index).allocated
            self.gpu_memory.append((clock(), index, allocated))

    @staticmethod
    def _event(index: int) -> Any:
        """A point of time in the stream of a GPU."""
        event = cuda_device.driver().create_event(index, True)
        cuda_device.stream(index).record(event)
        return event

    def _ask_gpus(self) -> None:
        """When launches ran on the GPUs: known once these have come to the end."""
        for index in self._base:
            cuda_device.driver().synchronize(index)
        for details, before, after in self._on_device:
            base, host = self._base[details["gpu"]]
            try:
                start = host + int((before - base) * 1e6)
                details["device"] = (start, start + int((after - before) * 1e6))
            except Exception:  # recorded into a graph: such an event has no time of its own
                continue
        self._on_device.clear()

    # ------------------------------------------------------------------ around launches

    def _timed(self, function: Callable, kind: str, name: str) -> Callable:
        def timed(*args: Any, **kwargs: Any) -> Any:
            started = clock()
            try:
                return function(*args, **kwargs)
            finally:
                self.note(kind, name, started, None)

        return timed

    def _step(self, step: Callable) -> Callable:
        def timed_step(node: Any, *args: Any) -> None:
            thread = threading.get_ident()
            outer = self._nodes.get(thread)
            self._nodes[thread] = node.name
            started = clock()
            try:
                step(node, *args)
            finally:
                self.note("backward", node.name, started, None)
                if outer is None:
                    del self._nodes[thread]
                else:
                    self._nodes[thread] = outer

        return timed_step

    def _module(self, call: Callable) -> Callable:
        def timed_call(module: Any, *args: Any, **kwargs: Any) -> Any:
            started = clock()
            try:
                return call(module, *args, **kwargs)
            finally:
                self.note("module", type(module).__name__, started, None)

        return timed_call

    def _compile(self, name: str | None, dtypes: str | None) -> None:
        if self._compiling and self._compiling[-1] is None:
            return  # noted down where the launch asks for it
        if name is not None:
            self._compiling.append((clock(), f"{name}({dtypes})"))
        elif self._compiling:
            started, kernel = self._compiling.pop()  # type: ignore[misc]
            self.note("compile", "compiling kernels", started, {"kernel": kernel})

    def _recording(self, record: Callable) -> Callable:
        def timed_record(compiled: Any, call: Any) -> Any:
            started = clock()
            try:
                return record(compiled, call)
            finally:
                self.note("compile", f"recording {compiled.__name__}", started, None)

        return timed_record

    def _program(self, call: Callable) -> Callable:
        def timed_call(compiled: Any, *args: Any, **kwargs: Any) -> Any:
            if cpu.recorder is None:
                for entry in compiled._entries:
                    self._watch(entry)
            started = clock()
            try:
                return call(compiled, *args, **kwargs)
            finally:
                self.note("program", compiled.__name__, started, None)

        return timed_call

    def _watch(self, entry: Any) -> None:
        """Have an entry's programs run launch by launch, each noted down."""
        for program in (entry.program, getattr(entry.backward, "program", None)):
            if program is None or getattr(program.run, "listener", None) is self:
                continue
            run = self._steps(program) if type(program) is Program else self._graph(program)
            self._replaced.change(program, "run", run)
            scope = entry.fast.__globals__
            if scope.get("entry") is entry and program is entry.program:
                self._replaced.change_item(scope, "run", run)

    def _steps(self, program: Any) -> Callable:
        kept: dict[int, dict] = {}
        for call in program.graph.calls:
            details = kept[id(call)] = {"dtype": call.dtype.name, "work": call.work}
            if self.shapes:
                details["shapes"] = [list(value.shape) for value in call.values]
        events, thread_of = self.events, threading.get_ident

        def launched(call: Any, launch: Callable) -> None:
            started = clock()
            launch()
            ended = clock()
            name = call.kernel.name
            events.append(("kernel", name, started, ended, thread_of(), kept[id(call)]))

        def run(address: int, arrays: tuple) -> int:
            return program.run_in_steps(arrays, launched)

        run.listener = self  # type: ignore[attr-defined]
        return run

    def _graph(self, program: Any) -> Callable:
        """A program on a GPU, which is one launch: of a CUDA graph."""
        replay = program.run
        name = f"graph of {len(program.graph.calls)} launches"

        def run(address: int, arrays: tuple) -> int:
            before = self._begin(program.index) if self.on_gpus else None
            details: dict = {}
            started = clock()
            status = replay(address, arrays)
            ended = clock()
            self._finish(before, details)
            thread = threading.get_ident()
            self.events.append(("launch", name, started, ended, thread, details))
            return status

        run.listener = self  # type: ignore[attr-defined]
        return run

    # ------------------------------------------------------------------ memory

    def _empty(self, empty: Callable) -> Callable:
        def counted(shape: Any, dtype: Any) -> Any:
            data = empty(shape, dtype)
            size = data.nbytes
            self._allocated(size)

            def freed(reference: weakref.ref) -> None:
                if self._arrays.pop(id(reference), None) is not None:
                    self._allocated(-size)

            reference = weakref.ref(data, freed)
            self._arrays[id(reference)] = reference
            return data

        return counted

    def _allocated(self, size: int) -> None:
        self.in_use += size
        self.peak = max(self.peak, self.in_use)
        self.allocations.append((clock(), size, self.in_use, threading.get_ident()))
