"""A graph on a GPU: the launches captured in one CUDA graph, and replayed.

What is captured are addresses. So inputs are copied into memory of the program's own before a
replay, and results out of it afterwards; numbers that may change (a learning rate) lie in memory
too, where the kernels read them.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..device import DeviceArray, cuda, place_of
from ..device._array import BASE, EVERYWHERE, Memory
from ..kernels._program import OTHER_INPUT, runner
from ..kernels.cuda import Slot
from .graph import Call, Check, Graph, Storage, Value
from .number import Number
from .program import Program
from .recorder import CompileError

_INT64, _FLOAT64, _BYTE = np.dtype(np.int64), np.dtype(np.float64), np.dtype(np.uint8)


class CudaProgram(Program):
    """The form of a graph on a GPU; `run` as of `Program`, whose native table holds the guards."""

    smallest_block = float("inf")

    def __init__(
        self, graph: Graph, fresh: Sequence[Storage], moving: Sequence[Storage] = ()
    ) -> None:
        self.index = _one_device(graph)
        self._nowhere = Memory(BASE, 0, self.index, None)
        #: Where the changing numbers come from, and what of them is on the GPU.
        self.numbers: list[tuple[Callable[[], Any], np.dtype]] = []
        self._slots: dict[Any, int] = {}
        self._values: list = []
        self._inputs_now: list = []
        self._arrays: Sequence = ()
        self._own_tables: dict[tuple, DeviceArray] = {}
        self._fresh = tuple(fresh)
        storages = [*[value.storage for value in graph.inputs], *fresh]
        self._places_of_arrays = [storage.device for storage in storages]
        self.captured: Any = None
        self._stream: Any = None
        super().__init__(graph, fresh, moving)
        self.run = self._run

    def ready(self) -> None:
        """Capture, once all memory has its place."""
        self._capture()

    def _copies(self) -> None:
        """What is copied to the program's memory before a replay and out of it afterwards, as
        (position among the arrays, address, bytes)."""
        graph = self.graph
        given = {id(storage) for storage in graph.given}
        written = {id(value.storage) for call in graph.calls for value in call.writes}
        used = {id(value.storage) for call in graph.calls for value in call.values}
        self.copies_in: list[tuple[int, int, int]] = []
        self.copies_out: list[tuple[int, int, int]] = []
        seen: set[int] = set()
        storages = [*[value.storage for value in graph.inputs], *self._fresh]
        for position, storage in enumerate(storages):
            key = id(storage)
            if key in seen or key not in used or storage.pinned or not storage.nbytes:
                continue
            seen.add(key)
            if storage.device is None:
                continue  # a number, or an upload
            row = (position, self._address(storage), storage.nbytes)
            comes_in = position < len(graph.inputs) or key in given
            if comes_in:
                self.copies_in.append(row)
            if not comes_in or key in written:
                self.copies_out.append(row)

    # ------------------------------------------------------------------ memory

    def _reserve(self, size: int) -> tuple[Any, int]:
        block = cuda.new((size,), _BYTE, cuda.beside(self.index))
        return block, block.ptr

    def _address(self, storage: Storage) -> int:
        """Where a storage lies, in every replay."""
        known = self._places.get(id(storage))
        if known is not None:
            return known
        if storage.kind == "input" and storage.pinned:
            address = storage.address
        elif id(storage) in self._regions:
            block = cuda.new((storage.nbytes,), _BYTE, cuda.beside(self.index))
            self.kept.append(block)
            address = block.ptr
        elif storage.kind == "lasting":
            self.kept.append(storage.root)
            address = storage.root.ptr
        else:
            raise AssertionError(f"{storage!r} has no place")
        self._places[id(storage)] = address
        return address

    def array(self, value: Value) -> Any:
        """An array of the program's own for a value on the GPU."""
        address = self._address(value.storage) + value.offset
        shadow = np.ndarray(value.shape, value.dtype, EVERYWHERE, address - BASE, value.strides)
        return DeviceArray(self._nowhere, shadow, address)

    def move(self, storage: Storage, array: Any, value: Value) -> None:
        self._places[id(storage)] = array.ptr - value.offset
        self.captured = None

    def _upload(self, here: Value, there: Value) -> Callable[[Sequence], None]:
        """Copies an array of the host to where it was copied in the recorded run."""
        target = self.array(there)
        if here.storage.kind == "input":
            region = self._regions[id(here.storage)]

            def source(arrays: Sequence) -> np.ndarray:
                return _part(arrays[region], here)

        else:
            root = here.storage.root
            self.kept.append(root)

            def source(arrays: Sequence) -> np.ndarray:
                return _part(root, here)

        def copy(arrays: Sequence) -> None:
            if target.nbytes:
                host = np.ascontiguousarray(source(arrays))
                own = cuda.stream(self.index)
                cuda.driver().copy_in(target.ptr, host, own, self.index)
                if cuda.is_pinned(host):
                    own.sync()

        return copy

    # ------------------------------------------------------------------ numbers

    def set_numbers(self, numbers: list) -> None:
        self._inputs_now = numbers

    def _slot(self, key: Any, now: Callable[[], Any], dtype: np.dtype) -> Slot:
        """A place in memory for the number that `now()` gives."""
        place = self._slots.get(key)
        if place is None:
            place = self._slots[key] = len(self.numbers)
            self.numbers.append((now, dtype))
        return Slot(8 * place, dtype)  # the address follows when it is known how many there are

    def _number(self, number: Number, key: int) -> Slot:
        def now() -> float:
            given = self._inputs_now
            return float(number.origin(given)) if given else float.__float__(number)

        return self._slot(key, now, _FLOAT64)

    def _host(self, value: Value) -> Any:
        """An argument of the host's: a number, by value or in memory, or a constant array."""
        storage = value.storage
        kind = _FLOAT64 if value.dtype.kind == "f" else _INT64
        if storage.kind == "number":
            return self._number(storage.number, id(storage))
        if storage.kind == "input":
            region = self._regions[id(storage)]
            return self._slot(value.key, lambda: _part(self._arrays[region], value).item(), kind)
        array = _part(storage.root, value)
        self.kept.append(array)
        if value.shape or not storage.root.flags.writeable:
            return array
        return self._slot(value.key, array.item, kind)

    def _refresh(self) -> None:
        """Copy the numbers to the GPU where one has changed."""
        values = [now() for now, _ in self.numbers]
        if values != self._values:
            words = np.zeros(len(values), _INT64)
            for k, ((_, dtype), value) in enumerate(zip(self.numbers, values, strict=True)):
                words[k : k + 1].view(dtype)[0] = value
            # Not page-locked: it has been read when this returns.
            cuda.driver().copy_in(self._memory.ptr, words, cuda.stream(self.index), self.index)
            self._values = values

    # ------------------------------------------------------------------ launches

    def _call(self, call: Call) -> list[int]:
        return []  # nothing runs natively

    def _argument(self, value: Any) -> Any:
        if isinstance(value, Value):
            return self._host(value) if value.storage.device is None else self.array(value)
        if isinstance(value, tuple):
            return tuple([self._argument(item) for item in value])
        return self._number(value, id(value)) if isinstance(value, Number) else float(value)

    def _tables(self, arrays: tuple) -> tuple[int, int]:
        """See `cuda.tables`; these stay as long as the program."""
        key = (*[a.ptr for a in arrays], *[a.size for a in arrays])
        found = self._own_tables.get(key)
        if found is None:
            data = cuda.upload(np.array(key, np.int64), index=self.index)
            found = self._own_tables[key] = data
        return found.ptr, found.ptr + 8 * len(arrays)

    def _plan(self, call: Call) -> tuple:
        """What `cuda.start` takes, with slots among the values."""
        twin = call.kernel.twin
        arguments = [self._argument(value) for value in call.arguments]
        if not twin.by_value:
            for k, value in enumerate(arguments):
                if type(value) is np.ndarray:
                    arguments[k] = cuda.upload(value, index=self.index)
                    self.kept.append(arguments[k])
        build, items, own_block, values = twin.plan(
            call.dtype, call.n, tuple(arguments), self._tables
        )
        places = tuple([k for k, value in enumerate(values) if type(value) is Slot])
        if len(places) != sum(type(value) is Slot for value in arguments):
            raise RuntimeError("it takes a number by value that may change from run to run")
        return twin, build.from_memory(places) if places else build, items, own_block, values

    def _capture(self) -> None:
        """Plan the launches and load their kernels, which cannot be in a CUDA graph, and capture."""
        calls = self.graph.calls
        at: list[Any] = [0, ""]  # which launch it is about, for the error
        try:
            plans = []
            for position, call in enumerate(calls, 1):
                at[:] = position, call.kernel.name
                plans.append(self._plan(call))
            self._memory = cuda.new((max(len(self.numbers), 1),), _INT64, cuda.beside(self.index))
            self._values = []
            for position, (_, build, items, _, values) in enumerate(plans, 1):
                at[:] = position, build.name
                if items:
                    cuda.loaded(build, self.index)
                for k, value in enumerate(values):
                    if type(value) is Slot:
                        values[k] = self._memory.ptr + value.address

            def launch_all() -> None:
                for position, (twin, build, items, own_block, values) in enumerate(plans, 1):
                    at[:] = position, build.name
                    if items:
                        cuda.start(twin, build, items, own_block, values, self.index)

            self._copies()
            self.uploads = [self._upload(here, there) for here, there in self.graph.uploads]
            self.checks = [self._check(check) for call in calls for check in call.checks]
            self.captured = cuda.capture(self.index, launch_all)
            self._plans = plans
        except (RuntimeError, TypeError, NotImplementedError) as error:
            raise CompileError(
                f"launch {at[0]} of {len(calls)}, {at[1]}, cannot be part of a CUDA graph on "
                f"cuda:{self.index}: {error}"
            ) from error

    def _check(self, check: Check) -> tuple:
        """What `cuda.check` takes."""
        arguments = [self.array(a) if isinstance(a, Value) else a for a in check.arguments]
        return self.array(check.flag), check.index, check.function, *arguments

    def _run(self, address: int, arrays: Sequence) -> int:
        """0, or, where the program does not fit, a reason of `native.run`."""
        status = self._begin(address, arrays)
        if status:
            return status
        cuda.replay(self.captured, self.index)
        self._end(arrays)
        return 0

    def run_in_steps(self, arrays: tuple, step: Callable[[Call, Callable], None]) -> int:
        status = self._begin(self.address, arrays)
        if status:
            return status
        for call, plan in zip(self.graph.calls, self._plans, strict=True):
            step(call, functools.partial(self._launch_and_wait, plan))
        self._end(arrays)
        return 0

    def _launch_and_wait(self, plan: tuple) -> None:
        twin, build, items, own_block, values = plan
        if items:
            cuda.start(twin, build, items, own_block, values, self.index)
        cuda.stream(self.index).sync()

    def _begin(self, address: int, arrays: Sequence) -> int:
        """Bring everything into the program's memory, if it fits."""
        if [place_of(a) for a in arrays] != self._places_of_arrays:
            return OTHER_INPUT
        shadows = tuple([a if type(a) is np.ndarray else a.shadow for a in arrays])
        status = runner.run(address, shadows)
        if status:
            return status
        if self.captured is None:
            self._capture()
        index, own = self.index, cuda.stream(self.index)
        if self._stream is not own:  # its memory is one for all streams
            if self._stream is not None:
                own.wait(self._stream)
            self._stream = own
        self._arrays = arrays
        if self.numbers:
            self._refresh()
        for upload in self.uploads:
            upload(arrays)
        self._arrays = ()
        for position, ptr, size in self.copies_in:
            cuda.driver().copy(ptr, arrays[position].ptr, size, own, index)
        return 0

    def _end(self, arrays: Sequence) -> None:
        """Bring the results out of it."""
        own = self._stream
        for position, ptr, size in self.copies_out:
            cuda.driver().copy(arrays[position].ptr, ptr, size, own, self.index)
        for check in self.checks:
            cuda.check(*check)


def _one_device(graph: Graph) -> int:
    """The GPU that a graph runs on; CompileError where that is not all."""
    places = {call.device for call in graph.calls}
    places |= {there.storage.device for _, there in graph.uploads}
    found = sorted(place for place in places if place is not None)
    if len(found) > 1:
        listed = " and ".join(f"cuda:{place}" for place in found)
        raise CompileError(f"the function computes on {listed}: a CUDA graph is of one GPU")
    if None in places:
        call = next(call for call in graph.calls if call.device is None)
        raise CompileError(
            f"the function computes on cuda:{found[0]} and, in {call.kernel.name}, on the CPU: a "
            "CUDA graph is of one GPU"
        )
    return found[0]


def _part(array: np.ndarray, value: Value) -> np.ndarray:
    """The array of a value, within the host array that its storage begins with."""
    from .emit import part

    return part(array, list(value.shape), value.dtype.str, value.offset, list(value.strides))
