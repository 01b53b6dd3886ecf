"""Rows of several arrays at once, on CUDA: elementwise results, and reductions.

As in `rows.py` a row goes through its lanes, 16 bytes at a time where it is long; here where all its
pointers lie alike. The loops are generated for the number of arrays.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from numba import types

from .._scalar import ScalarFunction
from . import DeviceFunction, device
from .rows import ahead, load_wide, store_wide, unaligned, width


def mapping(function: DeviceFunction, inputs: int) -> DeviceFunction:
    """A device function f(x0, …, out, n, lane, lanes, parameter) that writes a lane's share of the n
    elements out[j] = function(j, x0[j], …, parameter), from `inputs` pointers."""
    several = _on_tuples(function, inputs, _map_tuples, _mapped)
    return _generate(
        "out",
        inputs,
        {"function": function, "several": several},
        one="out[{at}] = function({at}, {values}, parameter)",
        many="store_wide(ahead(out, head), {group}, several({at}, {values}, parameter))",
        end="",
    )


def taking(update: DeviceFunction, inputs: int) -> DeviceFunction:
    """A device function f(x0, …, state, n, lane, lanes, parameter) that takes a lane's share of n
    elements into a state, by update(state, x0[j], …, parameter), from `inputs` pointers."""
    several = _on_tuples(update, inputs, _take_tuples, _taken)
    return _generate(
        "state",
        inputs,
        {"function": update, "several": several},
        one="state = function(state, {values}, parameter)",
        many="state = several(state, {values}, parameter)",
        end="    return state",
    )


def _generate(
    last: str, inputs: int, functions: dict[str, Any], one: str, many: str, end: str
) -> DeviceFunction:
    names = [f"x{k}" for k in range(inputs)]

    def single(at: str) -> str:
        return one.format(at=at, values=", ".join(f"{x}[{at}]" for x in names))

    def wide(letter: str, group: str) -> str:
        values = ", ".join(f"{letter}{k}" for k in range(inputs))
        return many.format(at=f"head + ({group}) * wide", group=group, values=values)

    def loads(letter: str, group: str) -> list[str]:
        return [
            f"            {letter}{k} = load_wide(ahead(x{k}, head), {group})"
            for k in range(inputs)
        ]

    first = "out" if last == "out" else "x0"
    alike = "".join(f" and unaligned({x}) == head" for x in names if x != first)
    lines = [
        f"def of_row({', '.join(names)}, {last}, n, lane, lanes, parameter):",
        f"    j, head = lane + 0, unaligned({first})",
        f"    if lanes >= 32{alike}:",
        f"        head, wide = min(n, head), width({first})",
        "        if lane < head:",
        f"            {single('j')}",
        "        count, group = (n - head) // wide, lane + 0",
    ]
    if inputs < 3:  # two groups at a time, else there are loads enough
        lines += [
            "        while group + lanes < count:",
            *loads("a", "group"),
            *loads("b", "group + lanes"),
            f"            {wide('a', 'group')}",
            f"            {wide('b', 'group + lanes')}",
            "            group += 2 * lanes",
        ]
    lines += [
        "        while group < count:",
        *loads("a", "group"),
        f"            {wide('a', 'group')}",
        "            group += lanes",
        "        j = head + count * wide + lane",
        "    while j < n:",
        f"        {single('j')}",
        "        j += lanes",
        end,
    ]
    scope: dict[str, Any] = {
        **functions,
        "ahead": ahead,
        "load_wide": load_wide,
        "store_wide": store_wide,
        "unaligned": unaligned,
        "width": width,
    }
    exec(compile("\n".join(lines) + "\n", "<numgrad CUDA row>", "exec"), scope)
    return device(scope["of_row"])


# ------------------------------------------------- a function of elements on tuples of them


def _on_tuples(
    function: DeviceFunction,
    inputs: int,
    source: Callable[[int, Sequence[str]], str],
    meaning: Callable[[DeviceFunction], Callable],
) -> ScalarFunction:
    """What machine code has of it is `source`, for the length of the tuples; the simulator has
    `meaning`."""

    def implement(*args: Any) -> Callable:
        found = next((a for a in args[1:-1] if isinstance(a, types.BaseTuple)), None)
        if found is None:
            return meaning(function)
        text = source(len(found), [f"x{k}" for k in range(inputs)])
        scope: dict[str, Any] = {"function": function}
        exec(compile(text, "<numgrad CUDA tuples>", "exec"), scope)
        return scope["several"]

    return ScalarFunction(
        meaning(function), implement, name="several", depends_on=(function.py_func, source)
    )


def _map_tuples(count: int, names: Sequence[str]) -> str:
    items = [
        f"function(j + {k}, {', '.join(f'{x}[{k}]' for x in names)}, parameter)"
        for k in range(count)
    ]
    return f"def several(j, {', '.join(names)}, parameter):\n    return ({', '.join(items)},)\n"


def _mapped(function: DeviceFunction) -> Callable:
    def several(j, *arguments):
        *columns, parameter = arguments
        rows = zip(*columns, strict=True)
        return tuple([function(j + k, *row, parameter) for k, row in enumerate(rows)])

    return several


def _take_tuples(count: int, names: Sequence[str]) -> str:
    lines = [
        f"    state = function(state, {', '.join(f'{x}[{k}]' for x in names)}, parameter)\n"
        for k in range(count)
    ]
    return f"def several(state, {', '.join(names)}, parameter):\n{''.join(lines)}    return state\n"


def _taken(function: DeviceFunction) -> Callable:
    def several(state, *arguments):
        *columns, parameter = arguments
        for row in zip(*columns, strict=True):
            state = function(state, *row, parameter)
        return state

    return several
