"""From one scalar function to CUDA kernels over arrays of any layout.

Where every array lies densely in the output's shape, threads read and write 16 bytes at a time;
for any other layout (broadcast, transposed, sliced) a thread finds its element's place in each
array from sizes and strides. A Python number, or a 0-d array on the host, travels by value.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from . import Build, cuda
from .blocks import VECTOR, divide32, remainder32

_INT64, _FLOAT64 = np.dtype(np.int64), np.dtype(np.float64)
#: Below it, places are computed in 32 bits.
_NARROW = 1 << 31
_BYTES = 16  # the widest load


class ElementwiseTwin:
    """The CUDA form of an `Elementwise` kernel."""

    threads = 256
    by_value = True  # takes numbers, and 0-d host arrays

    def __init__(self, kernel: Any) -> None:
        self.kernel = kernel
        self.builds: dict[tuple, Build] = {}

    def plan(self, dtype: np.dtype, n: int, arguments: tuple, table: Any) -> tuple:
        """What to launch: see `Twin.plan`."""
        *inputs, out = arguments
        shape = out.shape
        width = _BYTES
        by_value = ""
        values: list = [out.size]
        dense = out.flags.c_contiguous
        address = out.ptr
        for x in arguments:
            if type(x) is np.ndarray:
                by_value += "n"
                value = x.item()
                values.append(int(value) if type(value) is bool else value)
                continue
            by_value += "p"
            values.append(x.ptr)
            address |= x.ptr
            width = min(width, _BYTES // x.dtype.itemsize)
            dense = dense and x.shape == shape and x.flags.c_contiguous
        if dense:
            if address % _BYTES:
                width = 1
            key: tuple = (dtype, by_value, width)
            build = self.builds.get(key) or self._build(key)
            return build, -(-out.size // width), False, values
        sizes, strides = collapse(shape, [x for x in arguments if type(x) is not np.ndarray])
        key = (dtype, by_value, len(sizes), out.size < _NARROW)
        values += sizes
        for own in strides:
            values += own
        build = self.builds.get(key) or self._build(key)
        return build, out.size, False, values

    def _build(self, key: tuple) -> Build:
        dtype, by_value, *layout = key
        dtypes = [d if d is not None else dtype for d in self.kernel.dtypes]
        scope: dict[str, Any] = {"cuda": cuda, "function": self.kernel.function}
        kinds = [("integer", _INT64)]
        for k, (how, own) in enumerate(zip(by_value, dtypes, strict=True)):
            scope[f"kind{k}"] = np.uint8 if own.kind == "b" else own.type
            if how == "p":
                kinds.append(("pointer", own))
            else:
                kinds.append(("number", _FLOAT64) if own.kind == "f" else ("integer", _INT64))
        if len(layout) == 1:
            source = _dense(by_value, dtypes, *layout)
            scope["load"], scope["store"] = VECTOR[layout[0]]
        else:
            source = _strided(by_value, dtypes, *layout)
            kinds += [("integer", _INT64)] * (layout[0] * (1 + by_value.count("p")))
            scope["divide"], scope["remainder"] = divide32, remainder32
        name = f"{self.kernel.name}_{'dense' if len(layout) == 1 else 'strided'}"
        exec(compile(source, f"<numgrad CUDA kernel {name}>", "exec"), scope)
        build = self.builds[key] = Build(name, scope["kernel"], dtype, tuple(kinds))
        return build


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


def _numbers(by_value: str, dtypes: list) -> list[str]:
    """Lines that give the inputs that are numbers their type."""
    return [
        f"    x{k} = x{k} != 0" if dtypes[k].kind == "b" else f"    x{k} = kind{k}(x{k})"
        for k, how in enumerate(by_value)
        if how == "n"
    ]


def _operand(value: str, dtype: np.dtype) -> str:
    return f"{value} != 0" if dtype.kind == "b" else value


def _converted(result: str, dtype: np.dtype, count: int) -> str:
    return f"kind{count}(({result}) != 0)" if dtype.kind == "b" else f"kind{count}({result})"


def _dense(by_value: str, dtypes: list, width: int) -> str:
    count = len(by_value) - 1
    names = [f"x{k}" for k in range(count + 1)]
    lines = [f"def kernel(n, {', '.join(names)}):", *_numbers(by_value, dtypes)]

    def result(element: Any) -> str:
        operands = [
            f"x{k}" if by_value[k] == "n" else _operand(element(k), dtypes[k]) for k in range(count)
        ]
        return _converted(f"function({', '.join(operands)})", dtypes[count], count)

    lines += [
        "    first, step = cuda.grid(1), cuda.gridsize(1)",
        f"    for group in range(first, n // {width}, step):",
        *[f"        a{k} = load(x{k}, group)" for k in range(count) if by_value[k] == "p"],
    ]
    items = [result(lambda k, j=j: f"a{k}[{j}]") for j in range(width)]
    lines += [
        f"        store(x{count}, group, ({', '.join(items)},))",
        f"    for i in range(n // {width} * {width} + first, n, step):",
        f"        x{count}[i] = {result(lambda k: f'x{k}[i]')}",
    ]
    return "\n".join(lines) + "\n"


def _strided(by_value: str, dtypes: list, rank: int, narrow: bool) -> str:
    count = len(by_value) - 1
    pointers = [k for k, how in enumerate(by_value) if how == "p"]
    parameters = [
        *[f"x{k}" for k in range(count + 1)],
        *[f"size{axis}" for axis in range(rank)],
        *[f"stride{k}_{axis}" for k in pointers for axis in range(rank)],
    ]
    lines = [f"def kernel(n, {', '.join(parameters)}):", *_numbers(by_value, dtypes)]
    lines += ["    for i in range(cuda.grid(1), n, cuda.gridsize(1)):", "        rest = i"]
    for axis in range(rank - 1, 0, -1):
        if narrow:
            lines.append(f"        place{axis} = remainder(rest, size{axis})")
            lines.append(f"        rest = divide(rest, size{axis})")
        else:
            lines.append(f"        place{axis} = rest % size{axis}")
            lines.append(f"        rest = rest // size{axis}")
    lines.append("        place0 = rest")

    def element(k: int) -> str:
        where = " + ".join(f"place{axis} * stride{k}_{axis}" for axis in range(rank))
        return f"x{k}[{where}]"

    operands = [
        f"x{k}" if by_value[k] == "n" else _operand(element(k), dtypes[k]) for k in range(count)
    ]
    result = _converted(f"function({', '.join(operands)})", dtypes[count], count)
    lines.append(f"        {element(count)} = {result}")
    return "\n".join(lines) + "\n"
