"""From one scalar function to CUDA kernels over arrays of any layout.

Where every array lies densely in the output's shape, threads read and write 16 bytes at a time;
for any other layout (broadcast, transposed, sliced) a thread finds its element's place in each
array from sizes and strides. A Python number, or a 0-d array on the host, travels by value.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from . import Build, Slot, cuda
from .blocks import VECTOR, divide32, remainder32

_INT64, _FLOAT64 = np.dtype(np.int64), np.dtype(np.float64)
#: Below it, places are computed in 32 bits.
_NARROW = 1 << 31
_BYTES = 16  # the widest load


class Step(NamedTuple):
    """A scalar function of a loop: see `_elementwise.Step`."""

    function: Any
    operands: tuple[int, ...]
    dtype: np.dtype


class ElementwiseTwin:
    """The CUDA form of an `Elementwise` or `Fused` kernel.

    The loop computes one or several scalar functions, the steps, from its inputs and from the
    results of earlier steps, and writes the results of some.
    """

    threads = 256
    by_value = True  # takes numbers, and 0-d host arrays

    def __init__(self, kernel: Any) -> None:
        self.kernel = kernel
        self.builds: dict[tuple, Build] = {}

    def plan(self, dtype: np.dtype, n: int, arguments: tuple, table: Any) -> tuple:
        """What to launch: see `Twin.plan`."""
        out = arguments[-1]
        by_value, values, width = self._values(arguments, out.shape)
        values.insert(0, out.size)
        if width:
            key: tuple = (dtype, by_value, width)
            build = self.builds.get(key) or self._build(key)
            return build, -(-out.size // width), False, values
        arrays = [x for x, how in zip(arguments, by_value, strict=True) if how == "p"]
        sizes, strides = collapse(out.shape, arrays)
        key = (dtype, by_value, len(sizes), out.size < _NARROW)
        values += sizes
        for own in strides:
            values += own
        build = self.builds.get(key) or self._build(key)
        return build, out.size, False, values

    def _values(self, arguments: tuple, shape: tuple) -> tuple[str, list, int]:
        """How each argument travels, "n" a number and "p" an address, what does, and how many
        elements can be read at a time, 0 where the arrays don't all lie densely in `shape`."""
        width, by_value, values, dense, address = _BYTES, "", [], True, 0
        for x in arguments:
            if type(x) is np.ndarray:
                by_value += "n"
                value = x.item()
                values.append(int(value) if type(value) is bool else value)
            elif type(x) is Slot:
                by_value += "n"
                values.append(x)
            else:
                by_value += "p"
                values.append(x.ptr)
                address |= x.ptr
                width = min(width, _BYTES // x.dtype.itemsize)
                dense = dense and x.shape == shape and x.flags.c_contiguous
        if not dense:
            return by_value, values, 0
        return by_value, values, 1 if address % _BYTES else width

    def _steps(self, dtypes: list) -> tuple[Sequence[Any], Sequence[int]]:
        """What the loop computes, and which results it writes."""
        count = len(dtypes) - 1
        return [Step(self.kernel.function, tuple(range(count)), dtypes[count])], [0]

    def _build(self, key: tuple) -> Build:
        dtype, by_value, *layout = key
        dtypes = [d if d is not None else dtype for d in self.kernel.dtypes]
        steps, results = self._steps(dtypes)
        loop = Loop(by_value, dtypes, steps, results)
        if len(layout) == 1:
            source = loop.dense(*layout)
            loop.scope["load"], loop.scope["store"] = VECTOR[layout[0]]
        else:
            source = loop.strided(*layout)
        name = f"{self.kernel.name}_{'dense' if len(layout) == 1 else 'strided'}"
        exec(compile(source, f"<numgrad CUDA kernel {name}>", "exec"), loop.scope)
        build = self.builds[key] = Build(name, loop.scope["kernel"], dtype, loop.kinds)
        return build


class FusedTwin(ElementwiseTwin):
    """The CUDA form of a `Fused` kernel, whose outputs are dense."""

    def _steps(self, dtypes: list) -> tuple[Sequence[Any], Sequence[int]]:
        return self.kernel.steps, self.kernel.results


def collapse(shape: tuple, arrays: list) -> tuple[list[int], list[list[int]]]:
    """The sizes of an index space, and for each array, broadcast to `shape`, its strides in
    elements; with as few dimensions as possible, the last the fastest."""
    sizes: list[int] = []
    strides: list[list[int]] = [[] for _ in arrays]
    padded = []
    for x in arrays:
        lead = len(shape) - x.ndim
        item = x.dtype.itemsize
        own = [s // item if n != 1 else 0 for n, s in zip(x.shape, x.strides, strict=True)]
        padded.append([0] * lead + own)
    for axis, n in enumerate(shape):
        if n == 1:
            continue
        if sizes and all(
            mine[-1] == own[axis] * n for mine, own in zip(strides, padded, strict=True)
        ):
            sizes[-1] *= n
            for mine, own in zip(strides, padded, strict=True):
                mine[-1] = own[axis]
            continue
        sizes.append(n)
        for mine, own in zip(strides, padded, strict=True):
            mine.append(own[axis])
    if not sizes:
        return [1], [[0] for _ in arrays]
    return sizes, strides


class Loop:
    """The source of a loop, the names in it and the kinds of its parameters."""

    def __init__(
        self, by_value: str, dtypes: list, steps: Sequence[Any], results: Sequence[int]
    ) -> None:
        self.by_value, self.dtypes = by_value, dtypes
        self.steps, self.results = steps, results
        self.count = len(dtypes) - len(results)
        self.scope: dict[str, Any] = {"cuda": cuda}
        kinds = [("integer", _INT64)]
        for k, (how, own) in enumerate(zip(by_value, dtypes, strict=True)):
            self.scope[f"kind{k}"] = _type(own)
            if how == "p":
                kinds.append(("pointer", own))
            else:
                kinds.append(("number", _FLOAT64) if own.kind == "f" else ("integer", _INT64))
        for k, step in enumerate(steps):
            self.scope[f"function{k}"], self.scope[f"type{k}"] = step.function, _type(step.dtype)
        self.kinds = tuple(kinds)
        self.names = [f"x{k}" for k in range(len(dtypes))]
        self.pointers = [k for k, how in enumerate(by_value) if how == "p"]

    def numbers(self) -> list[str]:
        """Lines that give the inputs that are numbers their type."""
        return [
            f"x{k} = x{k} != 0" if self.dtypes[k].kind == "b" else f"x{k} = kind{k}(x{k})"
            for k, how in enumerate(self.by_value)
            if how == "n"
        ]

    def compute(self, element: Callable[[int], str], mark: str = "") -> list[str]:
        """Lines that compute the steps from the inputs; step k's result is named s<k><mark>."""

        def operand(n: int) -> str:
            if n < 0:
                return f"s{-1 - n}{mark}"
            if self.by_value[n] == "n":
                return f"x{n}"
            return f"{element(n)} != 0" if self.dtypes[n].kind == "b" else element(n)

        lines = []
        for k, step in enumerate(self.steps):
            value = f"function{k}({', '.join(map(operand, step.operands))})"
            value = f"({value}) != 0" if step.dtype.kind == "b" else f"type{k}({value})"
            lines.append(f"s{k}{mark} = {value}")
        return lines

    def written(self, place: int, mark: str = "") -> str:
        """An output's value, as it goes to memory."""
        return f"kind{self.count + place}(s{self.results[place]}{mark})"

    def dense(self, width: int) -> str:
        """The loop over dense arrays, `width` elements at a time."""
        outputs = range(len(self.results))
        lines = [f"def kernel(n, {', '.join(self.names)}):"]
        lines += [f"    {line}" for line in self.numbers()]
        lines += [
            "    first, step = cuda.grid(1), cuda.gridsize(1)",
            f"    for group in range(first, n // {width}, step):",
            *[f"        a{k} = load(x{k}, group)" for k in self.pointers if k < self.count],
        ]
        for j in range(width):
            computed = self.compute(lambda k, j=j: f"a{k}[{j}]", f"_{j}")  # type: ignore[misc]
            lines += [f"        {line}" for line in computed]
        for place in outputs:
            items = ", ".join(self.written(place, f"_{j}") for j in range(width))
            lines.append(f"        store(x{self.count + place}, group, ({items},))")
        lines.append(f"    for i in range(n // {width} * {width} + first, n, step):")
        lines += [f"        {line}" for line in self.compute(lambda k: f"x{k}[i]")]
        lines += [f"        x{self.count + place}[i] = {self.written(place)}" for place in outputs]
        return "\n".join(lines) + "\n"

    def strided(self, rank: int, narrow: bool) -> str:
        """The loop over arrays of any layout, by `rank` sizes and strides."""
        parameters = [*self.names, *self.layout(rank)]
        lines = [f"def kernel(n, {', '.join(parameters)}):"]
        lines += [f"    {line}" for line in self.numbers()]
        lines.append("    for i in range(cuda.grid(1), n, cuda.gridsize(1)):")
        lines += [f"        {line}" for line in self.places(rank, narrow)]
        lines += [f"        {line}" for line in self.compute(lambda k: self.element(k, rank))]
        for place in range(len(self.results)):
            element = self.element(self.count + place, rank)
            lines.append(f"        {element} = {self.written(place)}")
        return "\n".join(lines) + "\n"

    def layout(self, rank: int) -> list[str]:
        """The parameters that `places` and `element` need, sizes and strides."""
        self.scope["divide"], self.scope["remainder"] = divide32, remainder32
        self.kinds += (("integer", _INT64),) * (rank * (1 + len(self.pointers)))
        sizes = [f"size{axis}" for axis in range(rank)]
        return sizes + [f"stride{k}_{axis}" for k in self.pointers for axis in range(rank)]

    def places(self, rank: int, narrow: bool) -> list[str]:
        """Lines that compute the place of element `i` along each dimension."""
        lines = ["rest = i"]
        for axis in range(rank - 1, 0, -1):
            if narrow:
                lines.append(f"place{axis} = remainder(rest, size{axis})")
                lines.append(f"rest = divide(rest, size{axis})")
            else:
                lines.append(f"place{axis} = rest % size{axis}")
                lines.append(f"rest = rest // size{axis}")
        return [*lines, "place0 = rest"]

    def element(self, k: int, rank: int) -> str:
        """An array's element at that place."""
        return f"x{k}[{' + '.join(f'place{axis} * stride{k}_{axis}' for axis in range(rank))}]"


def _type(dtype: np.dtype) -> Any:
    return np.uint8 if dtype.kind == "b" else dtype.type
