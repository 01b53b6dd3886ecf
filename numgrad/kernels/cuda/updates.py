"""From an update rule for one element to the CUDA form of an optimizer's kernel.

All parameters of a group are updated in one launch: each block takes chunks of `CHUNK` elements,
and finds the parameter that a chunk belongs to by walking along their sizes. A thread updates four
neighbouring elements at a time, by wide loads and stores where the arrays are aligned for them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from . import cuda, device
from .blocks import VECTOR, aligned

_SHIFT = 12
#: Elements of a parameter that a block updates at a time.
CHUNK = 1 << _SHIFT
_WIDTH = 4


def chunks(params: tuple, *_: Any) -> int:
    """The work items: the chunks of all parameters."""
    return sum([(param.size + CHUNK - 1) >> _SHIFT for param in params])


def on_cuda(kernel: Any, constants: Callable) -> Callable[[Callable], None]:
    """Declare the CUDA form of an update.

    The decorated rule is a device function `rule(constants, p, g, *states)` of one element, which
    returns the new p and states as a tuple. `constants` is another, of the step count (where the
    kernel has `steps`) and all scalars; its tuple is made once for every chunk.
    """

    def declare(rule: Callable) -> None:
        specs = dict(zip(kernel.parameters, kernel.specs, strict=True))
        arrays = [n for n, s in specs.items() if s.kind == "arrays" and s.dtype is None]
        scalars = [n for n, s in specs.items() if s.kind == "scalar"]
        source = _source(arrays, scalars, "steps" in specs)
        load, store = VECTOR[_WIDTH]
        scope: dict[str, Any] = {
            "cuda": cuda,
            "aligned": aligned,
            "load": load,
            "store": store,
            "rule": device(rule),
            "constants": device(constants),
        }
        exec(compile(source, f"<numgrad CUDA kernel {kernel.name}>", "exec"), scope)
        kernel.on_cuda(each="block", items=chunks)(scope["kernel"])

    return declare


def _source(arrays: list[str], scalars: list[str], steps: bool) -> str:
    params, grads, *states = arrays
    written = [params, *states]
    names = [
        "items",
        params,
        f"{params}_sizes",
        *arrays[1:],
        *(["steps"] if steps else []),
        *scalars,
    ]
    given = ", ".join([*(["steps[k][0]"] if steps else []), *scalars])
    lines = [
        f"def kernel({', '.join(names)}):",
        "    item, k, before = cuda.blockIdx.x, 0, 0",
        "    while item < items:",
        f"        size = {params}_sizes[k]",
        f"        count = (size + {CHUNK - 1}) >> {_SHIFT}",
        "        if item >= before + count:",
        "            before += count",
        "            k += 1",
        "            continue",
        f"        start = (item - before) << {_SHIFT}",
        f"        stop = min(size, start + {CHUNK})",
        f"        made = constants({given})",
        *[f"        x{n} = {name}[k]" for n, name in enumerate(arrays)],
        "        single = start",
        f"        if {' and '.join(f'aligned(x{n}, {_WIDTH})' for n in range(len(arrays)))}:",
        f"            single = stop // {_WIDTH} * {_WIDTH}",
        f"            for group in range(start // {_WIDTH} + cuda.threadIdx.x, stop // {_WIDTH}, cuda.blockDim.x):",
        *[f"                a{n} = load(x{n}, group)" for n in range(len(arrays))],
    ]
    for j in range(_WIDTH):
        values = ", ".join(f"a{n}[{j}]" for n in range(len(arrays)))
        lines.append(f"                r{j} = rule(made, {values})")
    for n, name in enumerate(written):
        items = ", ".join(f"r{j}[{n}]" for j in range(_WIDTH))
        lines.append(f"                store(x{arrays.index(name)}, group, ({items}))")
    lines += [
        "        for i in range(single + cuda.threadIdx.x, stop, cuda.blockDim.x):",
        f"            r = rule(made, {', '.join(f'x{n}[i]' for n in range(len(arrays)))})",
        *[f"            x{arrays.index(name)}[i] = r[{n}]" for n, name in enumerate(written)],
        "        item += cuda.gridDim.x",
    ]
    return "\n".join(lines) + "\n"
