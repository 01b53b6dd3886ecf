"""The graph: the kernel calls of one run, with the memory that they read and write.

    Storage   a piece of memory: an input's, one that lives on (a parameter), or one made on the way
    Value     an array on a storage: offset, shape, strides, dtype
    Call      one launch of a kernel
    Check     a flag that a kernel set, and the error that follows from it
    Graph     the calls in order, the inputs, and what has to exist afterwards

It is printable, and `verify` says what is wrong with it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from ..device import address, place_of
from ..kernels._elementwise import Elementwise, Fused

#: What a storage is: an argument of the compiled function; memory that exists before and after
#: (parameters, buffers, optimizer and random state, constants); a number that may be another one in
#: the next run; memory made on the way.
KINDS = ("input", "lasting", "number", "temporary")


class Storage:
    """A piece of memory of `nbytes` bytes."""

    __slots__ = ("kind", "nbytes", "index", "root", "number", "address", "pinned", "device")

    def __init__(self, kind: str, nbytes: int, index: int, root: Any = None) -> None:
        self.kind = kind
        self.nbytes = nbytes
        self.index = index
        self.root = root  # the array that owns the memory; None for inputs after recording
        self.number: Any = None  # what a "number" holds
        self.address = 0 if root is None else address(root)
        #: The number of the GPU that it is on, None for the host.
        self.device = None if root is None else place_of(root)
        #: Whether an input is (part of) memory that the function also sees without it.
        self.pinned = False

    def __repr__(self) -> str:
        return f"{'x' if self.kind == 'input' else self.kind[0]}{self.index}"


class Value:
    """An array: `offset` bytes into a storage, with shape, strides (in bytes) and dtype."""

    __slots__ = ("storage", "offset", "shape", "strides", "dtype")

    def __init__(
        self, storage: Storage, offset: int, shape: tuple, strides: tuple, dtype: np.dtype
    ) -> None:
        self.storage = storage
        self.offset = offset
        self.shape = shape
        self.strides = strides
        self.dtype = dtype

    @property
    def key(self) -> tuple:
        """Equal for values that are the same array."""
        return (id(self.storage), self.offset, self.shape, self.strides, self.dtype.str)

    @property
    def size(self) -> int:
        return math.prod(self.shape)

    def is_empty(self) -> bool:
        return 0 in self.shape

    @property
    def extent(self) -> tuple[int, int]:
        """The first byte of the storage that the array touches, and the one after the last."""
        low = high = self.offset
        if self.size == 0:
            return low, low
        for n, stride in zip(self.shape, self.strides, strict=True):
            if stride < 0:
                low += (n - 1) * stride
            else:
                high += (n - 1) * stride
        return low, high + self.dtype.itemsize

    def is_dense(self) -> bool:
        """Whether the array is C-contiguous."""
        expected = self.dtype.itemsize
        for n, stride in zip(reversed(self.shape), reversed(self.strides), strict=True):
            if n != 1 and stride != expected:
                return self.size <= 1
            expected *= n
        return True

    def overlaps(self, other: Value) -> bool:
        """Whether the two may share bytes; inputs may with each other and with lasting memory."""
        mine, its = self.storage, other.storage
        if mine is not its:
            kinds = {mine.kind, its.kind}
            return "input" in kinds and kinds <= {"input", "lasting"}
        (a, b), (c, d) = self.extent, other.extent
        return a < d and c < b

    def covers(self, other: Value) -> bool:
        """Whether writing every element of this array overwrites all bytes of the other."""
        if self.storage is not other.storage or not self.is_dense():
            return False
        (a, b), (c, d) = self.extent, other.extent
        return a <= c and d <= b

    def __repr__(self) -> str:
        text = f"{self.storage!r}"
        if self.offset or self.size * self.dtype.itemsize != self.storage.nbytes:
            text += f"+{self.offset}"
        return text

    def describe(self) -> str:
        """`t3 float32[2, 30]`, with the strides where they are not the usual ones."""
        shape = ", ".join(map(str, self.shape))
        strides = "" if self.is_dense() else f" strides {self.strides}"
        return f"{self!r} {self.dtype.name}[{shape}]{strides}"


class Call:
    """A launch: `kernel` for T = `dtype` over `n` items; arguments are Values, numbers, tuples."""

    __slots__ = ("kernel", "dtype", "n", "arguments", "work", "reads", "writes", "checks")

    def __init__(self, kernel: Any, dtype: np.dtype, n: int, arguments: tuple, work: int) -> None:
        self.kernel = kernel
        self.dtype = dtype
        self.n = n
        self.arguments = arguments
        self.work = work
        self.reads: list[Value] = []
        self.writes: list[Value] = []  # overwritten whole, whatever was there
        self.checks: list[Check] = []
        for value, effect in zip(arguments, effects(kernel, len(arguments)), strict=True):
            for item in value if isinstance(value, tuple) else (value,):
                if not isinstance(item, Value):
                    continue
                if effect != "writes":
                    self.reads.append(item)
                if effect != "reads":
                    self.writes.append(item)

    @property
    def device(self) -> int | None:
        """The GPU that it runs on, None for the host."""
        return next((v.storage.device for v in self.values if v.storage.device is not None), None)

    @property
    def updates(self) -> list[Value]:
        """What the call writes without overwriting all of it."""
        read = {value.key for value in self.reads}
        return [value for value in self.writes if value.key in read]

    @property
    def values(self) -> Iterator[Value]:
        for value in self.arguments:
            if isinstance(value, Value):
                yield value
            elif isinstance(value, tuple):
                yield from (item for item in value if isinstance(item, Value))

    def __repr__(self) -> str:
        return f"{self.kernel.name}({', '.join(map(_text, self.arguments))})"


class Check:
    """After a call: if element `index` of `flag` is not zero, `function(*arguments)` raises."""

    __slots__ = ("flag", "index", "function", "arguments")

    def __init__(self, flag: Value, index: int, function: Callable, arguments: tuple) -> None:
        self.flag = flag
        self.index = index
        self.function = function
        self.arguments = arguments

    @property
    def values(self) -> list[Value]:
        """The flag, and the arrays that the error may show."""
        return [self.flag, *[a for a in self.arguments if isinstance(a, Value)]]


def effects(kernel: Any, count: int) -> list[str]:
    """What the kernel does to each argument: "reads", "writes" or "updates"."""
    if isinstance(kernel, Fused):
        return kernel.effects
    if isinstance(kernel, Elementwise):
        return ["reads"] * (count - 1) + ["writes"]
    return [spec.effect for spec in kernel.specs]


def _text(value: Any) -> str:
    if isinstance(value, tuple):
        return f"({', '.join(map(_text, value))}{',' if len(value) == 1 else ''})"
    return f"{value:.6g}" if isinstance(value, float) else repr(value)


class Graph:
    """The calls of one run, its inputs, and the values that have to exist afterwards."""

    def __init__(
        self,
        inputs: list[Value],
        calls: list[Call],
        results: list[Value],
        given: Sequence[Storage] = (),
        uploads: Sequence[tuple[Value, Value]] = (),
    ) -> None:
        self.inputs = inputs
        self.calls = calls
        self.results = results
        #: Memory that another graph has filled: what a forward pass saves for its backward.
        self.given = tuple(given)
        #: Arrays of the host that are copied to a GPU before the calls, and where to.
        self.uploads = tuple(uploads)

    def replaced(self, calls: list[Call]) -> Graph:
        """The same with other calls."""
        return Graph(self.inputs, calls, self.results, self.given, self.uploads)

    @property
    def devices(self) -> set[int | None]:
        """The GPUs that the calls run on; None among them stands for the host."""
        return {call.device for call in self.calls}

    @property
    def storages(self) -> list[Storage]:
        """Every storage in the order of its first use."""
        found: dict[int, Storage] = {}
        for value in self.inputs:
            found.setdefault(id(value.storage), value.storage)
        for call in self.calls:
            for value in call.values:
                found.setdefault(id(value.storage), value.storage)
        for value in self.results:
            found.setdefault(id(value.storage), value.storage)
        return list(found.values())

    def __str__(self) -> str:
        lines = [f"inputs  {', '.join(v.describe() for v in self.inputs) or 'none'}"]
        lines += [f"{there!r} = {here!r} on cuda:{there.storage.device}    # {there.describe()}"
                  for here, there in self.uploads]  # fmt: skip
        shown: set[tuple] = {v.key for v in self.inputs}
        for call in self.calls:
            new = []
            for value in call.values:
                if value.key not in shown:
                    shown.add(value.key)
                    new.append(value.describe())
            lines.append(f"{call!r}" + (f"    # {'; '.join(new)}" if new else ""))
            lines += [f"    check {c.flag!r}[{c.index}] == 0" for c in call.checks]
        lines.append(f"results {', '.join(v.describe() for v in self.results) or 'none'}")
        return "\n".join(lines)

    def verify(self) -> None:
        """Raise `ValueError` where the graph reads memory that nothing has written, or leaves it."""
        written = {id(storage): [(0, max(storage.nbytes, 1))] for storage in self.given}
        for position, call in enumerate(self.calls):
            for value in call.values:
                low, high = value.extent
                if low < 0 or high > value.storage.nbytes:
                    raise ValueError(f"call {position}, {call!r}: {value!r} leaves its storage")
            updated = {v.key for v in call.updates}
            for value in call.reads:
                if value.storage.kind != "temporary" or value.size == 0 or value.key in updated:
                    continue
                if not any(low < value.extent[1] and value.extent[0] < high
                           for low, high in written.get(id(value.storage), ())):  # fmt: skip
                    raise ValueError(f"call {position}, {call!r}: nothing has written {value!r}")
            for value in call.writes:
                written.setdefault(id(value.storage), []).append(value.extent)
        for value in self.results:
            if (
                value.storage.kind == "temporary"
                and value.size
                and id(value.storage) not in written
            ):
                raise ValueError(f"result {value!r} is never written")
