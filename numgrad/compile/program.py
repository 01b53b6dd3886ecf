"""A graph made ready to run: memory laid out, arguments made, everything in one native table.

Every array that a kernel is launched on is a NumPy array object of the program's own, made once;
before a run only the data pointers of those on inputs and results are set, natively. So a run costs
one call, whatever the number of launches.
"""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..autograd.tape import Variable
from ..device import cpu
from ..kernels import _program as native
from ..kernels._elementwise import Elementwise, Fused
from ..kernels._launch import PARALLEL_WORK, launcher
from ..kernels._native import ARRAY_DATA, FLOAT_VALUE
from ..kernels._program import runner
from .graph import Call, Graph, Storage, Value
from .number import Number

ALIGN = 64


def program(graph: Graph, fresh: Sequence[Storage], moving: Sequence[Storage] = ()) -> Any:
    """The program of a graph, for the device that it runs on."""
    if graph.devices <= {None} and not graph.uploads:
        return Program(graph, fresh, moving)
    from .cuda import CudaProgram

    return CudaProgram(graph, fresh, moving)


class Program:
    """The native form of a graph: `run(address, arrays)` on the arrays of inputs, then results.

    The storages in `fresh` are the results', allocated for every run; those in `moving` are given
    their memory by `move`; all other temporaries share an arena and what is free of the latter.
    """

    #: Bytes from which on a moving storage lends its memory; smaller ones may not be aligned.
    smallest_block: float = cpu.LARGE

    def __init__(
        self, graph: Graph, fresh: Sequence[Storage], moving: Sequence[Storage] = ()
    ) -> None:
        self.graph = graph
        self.kept: list[Any] = []  # what the table points to
        self.arguments: list[tuple] = []  # of each call
        self.arrays: dict[tuple, Any] = {}
        #: Numbers that may change: a float object or a 0-d array, and the origin of its value.
        self.floats: list[tuple[Any, Any]] = []
        self._places: dict[int, int] = {}  # static addresses of storages
        regions: dict[int, int] = {}
        for k, value in enumerate(graph.inputs):
            regions.setdefault(id(value.storage), k)
        for k, storage in enumerate(fresh):
            regions[id(storage)] = len(graph.inputs) + k
        self._regions = regions
        self._moving = {id(storage) for storage in moving}
        self._patches: list[int] = []
        self._moved: dict[int, list[tuple[int, int]]] = {}
        #: Temporaries that lie in a moving storage, and where in it.
        self._inside: dict[int, tuple[Storage, int]] = {}
        self.arena = self._lay_out(graph)
        calls: list[int] = []
        for call in graph.calls:
            calls += self._call(call)
        header = np.zeros(native.HEADER, np.int64)
        tables = {
            native.INPUTS: (self._inputs(graph.inputs), len(graph.inputs)),
            native.PLACES: self._apart(graph),
            native.PATCHES: (self._patches, len(self._patches) // native.PATCH),
            native.CALLS: (calls, len(calls) // native.CALL),
        }
        for place, (words, count) in tables.items():
            table = np.array(words or [0], np.int64)
            self.kept.append(table)
            header[place], header[place + 1] = count, table.ctypes.data
        if any(pieces > 1 for pieces in calls[3 :: native.CALL]):
            launcher.pool()
        header[native.POOL] = launcher.context
        self.header = header
        self.address = header.ctypes.data
        self.run: Any = runner.run
        self.run_whole = runner.run

    # ------------------------------------------------------------------ memory

    def _lay_out(self, graph: Graph) -> Any:
        """One block for all temporaries; those that are never alive at once share bytes, and lie
        where they can in the memory of a large result that is not written until they are dead."""
        first: dict[int, int] = {}
        last: dict[int, int] = {}
        storages: dict[int, Storage] = {}
        for position, call in enumerate(graph.calls):
            checked = [value for check in call.checks for value in check.values]
            for value in (*call.values, *checked):
                if value.storage.kind == "temporary" and id(value.storage) not in self._regions:
                    storages[id(value.storage)] = value.storage
                    first.setdefault(id(value.storage), position)
                    last[id(value.storage)] = position
        for value in graph.results:
            if id(value.storage) in storages:
                last[id(value.storage)] = len(graph.calls)
        moving = [storages.pop(key) for key in self._moving if key in storages]
        heads = _in_place(graph, storages, first, last)
        # Each block: bytes, and what is placed in it so far: offset, end, first, last.
        placed: dict[int, list[tuple[int, int, int, int]]] = {id(s): [] for s in moving}
        blocks = [s for s in moving if s.nbytes >= self.smallest_block]
        arena: list[tuple[int, int, int, int]] = []
        offsets: dict[int, int] = {}
        # The largest first, each at the lowest place that is free for its whole life.
        for key in sorted(heads, key=lambda k: (-storages[k].nbytes, first[k])):
            size = -(-max(storages[key].nbytes, 1) // ALIGN) * ALIGN
            life = first[key], last[key]
            for block in blocks:
                rows = placed[id(block)]
                offset = _free_offset(rows, size, *life)
                if life[1] < first[id(block)] and offset + size <= block.nbytes:
                    self._inside[key] = block, offset
                    break
            else:
                rows = arena
                offset = offsets[key] = _free_offset(rows, size, *life)
            rows.append((offset, offset + size, *life))
        self.temporary_bytes = max((end for _, end, _, _ in arena), default=0)
        memory, start = self._reserve(self.temporary_bytes)
        for head, members in heads.items():
            for key in members:
                if head in self._inside:
                    self._inside[key] = self._inside[head]
                else:
                    self._places[key] = start + offsets[head]
        return memory

    def _reserve(self, size: int) -> tuple[Any, int]:
        """A block for the temporaries, and where in it they begin."""
        memory = np.zeros(size + ALIGN, np.uint8)
        return memory, -(-memory.ctypes.data // ALIGN) * ALIGN

    def _place(self, storage: Storage) -> int:
        """The address of a storage that stays where it is."""
        if id(storage) in self._places:
            return self._places[id(storage)]
        if storage.kind == "number":
            origin: Any = storage.number
            array = np.zeros((), storage.root.dtype)
            array[...] = float(origin)
            self.kept.append(array)
            address = array.ctypes.data
            self.floats.append((array, origin.origin))
        elif storage.kind == "lasting":
            self.kept.append(storage.root)
            address = storage.root.ctypes.data
        else:
            raise AssertionError(f"{storage!r} has no place")
        self._places[id(storage)] = address
        return address

    def array(self, value: Value) -> Any:
        """The program's own array object for a value."""
        array = self.arrays.get(value.key)
        if array is None:
            anywhere = np.empty(1, value.dtype)
            array = np.lib.stride_tricks.as_strided(anywhere, value.shape, value.strides)
            self.arrays[value.key] = array
            self._point(id(array) + ARRAY_DATA, value.storage, value.offset)
        return array

    def _point(self, place: int, storage: Storage, offset: int) -> None:
        """Have the word at `place` hold the address `offset` bytes into a storage."""
        region = self._regions.get(id(storage))
        if id(storage) in self._inside:
            block, start = self._inside[id(storage)]
            self._moved.setdefault(id(block), []).append((place, start + offset))
        elif id(storage) in self._moving:
            self._moved.setdefault(id(storage), []).append((place, offset))
        elif region is None:
            ctypes.c_int64.from_address(place).value = self._place(storage) + offset
        else:
            self._patches += [place, region, offset]

    # ------------------------------------------------------------------ tables

    def _argument(self, value: Any) -> Any:
        if isinstance(value, Value):
            return self.array(value)
        if isinstance(value, tuple):
            return tuple([self._argument(item) for item in value])
        number = float(value) * 1.0  # an object of its own
        if isinstance(value, Number):
            self.floats.append((number, value.origin))
        return number

    def _call(self, call: Call) -> list[int]:
        arguments = tuple([self._argument(value) for value in call.arguments])
        checks = call.checks
        table = np.zeros(max(len(checks), 1), np.int64)
        for k, check in enumerate(checks):
            offset = check.flag.offset + check.index * check.flag.dtype.itemsize
            self._point(table.ctypes.data + 8 * k, check.flag.storage, offset)
        self.kept.append(table)
        self.arguments.append(arguments)
        address = call.kernel.addresses.get(call.dtype) or call.kernel.compile(call.dtype)
        pieces = min(call.n, 2 * call.work // PARALLEL_WORK) if call.work >= PARALLEL_WORK else 1
        items = id(arguments) + tuple.__basicsize__
        return [address, call.n, items, max(pieces, 1), len(checks), table.ctypes.data]

    def _inputs(self, inputs: Sequence[Value]) -> list[int]:
        words: list[int] = []
        for value in inputs:
            self.kept.append(value.dtype)
            words += [id(value.dtype), len(value.shape)]
            for n, stride in zip(value.shape, value.strides, strict=True):
                words += [n, native.ANY if n == 1 else stride]
        return words

    def _apart(self, graph: Graph) -> tuple[list[int], int]:
        """How inputs have to lie to each other and to lasting memory, as they did when recorded."""
        rows: list[tuple[int, ...]] = []
        first: dict[int, int] = {}
        for k, value in enumerate(graph.inputs):
            storage = value.storage
            if storage.pinned and not value.is_empty():
                rows.append((k, 0, -1, storage.address, -1))
            same = first.setdefault(id(storage), k)
            if same != k and not value.is_empty():
                rows.append((k, 0, same, 0, -1))
        written = {id(value.storage) for call in graph.calls for value in call.writes}
        others = [s for s in graph.storages if s.kind == "lasting"]
        inputs = [(k, graph.inputs[k].storage) for k in first.values()]
        for position, (k, mine) in enumerate(inputs):
            for j, its in inputs[:position]:
                if id(mine) in written or id(its) in written:
                    rows.append((k, mine.nbytes, j, 0, its.nbytes))
            for its in others:
                if not mine.pinned and (id(mine) in written or id(its) in written):
                    rows.append((k, mine.nbytes, -1, its.address, its.nbytes))
        return [word for row in rows for word in row], len(rows)

    def ready(self) -> None:
        """Called when all memory has its place."""

    def run_in_steps(self, arrays: tuple, step: Callable[[Call, Callable], None]) -> int:
        """As `run`, but launch by launch: `step(call, launch)` has to call `launch()`."""
        header = self.header.copy()
        header[native.CALLS] = 0  # what has to hold, and the addresses of the arguments
        status = self.run_whole(header.ctypes.data, arrays)
        if status:
            return status
        for position, (call, launch) in enumerate(self._launches):
            step(call, launch)
            if call.checks:
                if any(self.array(check.flag).item(check.index) for check in call.checks):
                    return position + 1
        return 0

    @functools.cached_property
    def _launches(self) -> list[tuple[Call, Callable]]:
        """Each call, and a function that makes its launch."""
        found: list[tuple[Call, Callable]] = []
        for call, arguments in zip(self.graph.calls, self.arguments, strict=True):
            address = call.kernel.addresses[call.dtype]
            if call.work < PARALLEL_WORK:
                launch = functools.partial(launcher.serial, address, call.n, arguments)
            else:
                launch = functools.partial(launcher.parallel, address, call.n, call.work, arguments)
            found.append((call, launch))
        return found

    # ------------------------------------------------------------------ between runs

    def set_numbers(self, numbers: list) -> None:
        """Compute all numbers that depend on the input numbers anew."""
        for place, origin in self.floats:
            value = origin(numbers)
            if isinstance(place, np.ndarray):
                place[...] = value
            else:
                ctypes.c_double.from_address(id(place) + FLOAT_VALUE).value = float(value)

    def move(self, storage: Storage, array: np.ndarray, value: Value) -> None:
        """Give a storage the memory of `array`, which is to hold `value`."""
        start = array.ctypes.data - value.offset
        for place, offset in self._moved.get(id(storage), ()):
            ctypes.c_int64.from_address(place).value = start + offset

    def set_guards(self, guards: Sequence[tuple[int, int, bool]]) -> None:
        """The words in memory that have to be, or not to be, as given for the program to run."""
        words = np.array([word for guard in guards for word in guard] or [0], np.int64)
        self._guards = words
        self.header[native.GUARDS] = len(guards)
        self.header[native.GUARDS + 1] = words.ctypes.data

    def update_guards(self, values: Sequence[int]) -> None:
        """Other values for the first guards there are."""
        self._guards[1 : native.GUARD * len(values) : native.GUARD] = values

    def raise_check(self, position: int) -> None:
        """Raise what the failed check after a call raises."""
        for check in self.graph.calls[position].checks:
            if self.array(check.flag).item(check.index):
                check.function(
                    *[self.array(a) if isinstance(a, Value) else a for a in check.arguments]
                )


def _free_offset(rows: list[tuple[int, int, int, int]], size: int, first: int, last: int) -> int:
    """The lowest offset at which `size` bytes are free from call `first` to call `last`."""
    offset = 0
    for start, end, born, dies in sorted(rows):
        if born <= last and first <= dies and start < offset + size:
            offset = max(offset, end)
    return offset


def _in_place(
    graph: Graph, storages: dict[int, Storage], first: dict[int, int], last: dict[int, int]
) -> dict[int, list[int]]:
    """Groups of storages that can be one: an elementwise loop may write over an input that is not
    read again. By the key of their first; `first` and `last` become the group's."""
    groups = {key: [key] for key in storages}
    head = {key: key for key in storages}
    for position, call in enumerate(graph.calls):
        if type(call.kernel) not in (Elementwise, Fused):
            continue
        for out in call.writes:
            for value in call.reads:
                mine, its = id(out.storage), id(value.storage)
                if mine == its or mine not in groups or its not in storages:
                    continue
                everywhere = [v for v in call.reads if v.storage is value.storage]
                if any(v.key != value.key for v in everywhere):
                    continue  # read in another order too
                if (
                    first[mine] == position == last[head[its]]
                    and out.shape == value.shape
                    and all(
                        v.is_dense() and v.size * v.dtype.itemsize == v.storage.nbytes
                        for v in (out, value)
                    )
                    and out.storage.nbytes == value.storage.nbytes
                ):
                    into = head[its]
                    last[into] = last[mine]
                    for key in groups.pop(mine):
                        head[key] = into
                        groups[into].append(key)
                    break
    return groups


def slot_offset(name: str) -> int:
    """Where a tensor object keeps the attribute `name`, in bytes from its start."""
    if name not in _offsets:
        probe, mark = object.__new__(Variable), object()
        setattr(probe, name, mark)
        size = Variable.__basicsize__
        words = (ctypes.c_int64 * (size // 8)).from_address(id(probe))
        found = [k for k in range(size // 8) if words[k] == id(mark)]
        if len(found) != 1:
            raise RuntimeError(f"cannot tell where tensors keep {name}")
        _offsets[name] = 8 * found[0]
    return _offsets[name]


_offsets: dict[str, int] = {}


@functools.cache
def version_offset() -> int | None:
    """Where a dict keeps a word that every change to it changes, in bytes from its start.

    None where this Python has none (from 3.14 on).
    """
    sample: dict[str, Any] = {"a": 1.0}
    offset = dict.__basicsize__ - 3 * 8  # before the keys and the values
    word = ctypes.c_int64.from_address(id(sample) + offset)
    seen = [word.value]
    if sample["a"] != 1.0 or list(sample.items()) != [("a", 1.0)] or word.value != seen[0]:
        return None
    for change in (
        lambda: sample.update(a=2.0),
        lambda: sample.__setitem__("b", 3),
        lambda: sample.__delitem__("b"),
        lambda: sample.setdefault("c", 4),
        lambda: sample.pop("c"),
        sample.clear,
    ):
        change()
        seen.append(word.value)
    return offset if len(set(seen)) == len(seen) else None


def version_of(d: dict) -> int:
    """The address of that word."""
    return id(d) + (version_offset() or 0)
