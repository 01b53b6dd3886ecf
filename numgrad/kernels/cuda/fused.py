"""The CUDA form of a fused loop whose last result is reduced along rows.

A block computes the elements of a row, or of a chunk of one, and reduces them as it goes: what is
reduced goes to memory only where something else reads it too.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from . import Build, Slot
from .blocks import block_reduction
from .elementwise import ElementwiseTwin, Loop, collapse

_INT64, _FLOAT64 = np.dtype(np.int64), np.dtype(np.float64)


class FusedReductionTwin(ElementwiseTwin):
    """The CUDA form of a `FusedReduction` kernel."""

    def plan(self, dtype: np.dtype, n: int, arguments: tuple, table: Any) -> tuple:
        """What to launch: see `Twin.plan`."""
        *loop, out, like, length, chunk, parameter = arguments
        by_value, values, width = self._values(tuple(loop), like.shape)
        if not isinstance(parameter, Slot):
            parameter = float(parameter)
        values = [n, out.ptr, int(length), int(chunk), parameter, *values]
        if width:  # dense: element i is element i
            key: tuple = (dtype, by_value, 0)
        else:
            arrays = [x for x, how in zip(loop, by_value, strict=True) if how == "p"]
            sizes, strides = collapse(like.shape, arrays)
            values += sizes
            for own in strides:
                values += own
            key = (dtype, by_value, len(sizes))
        build = self.builds.get(key) or self._build(key)
        return build, n, True, values

    def _build(self, key: tuple) -> Build:
        dtype, by_value, rank = key
        kernel = self.kernel
        load, combine, start_of, _, finish = kernel.reduction.parts
        loop = Loop(by_value, kernel.dtypes[:-1], kernel.steps, kernel.results)
        last, out = len(kernel.steps) - 1, kernel.dtypes[-1]
        parameters = [*loop.names]
        loop.kinds = loop.kinds[1:]
        if rank:
            parameters += loop.layout(rank)
        loop.kinds = (
            ("integer", _INT64), ("pointer", out), ("integer", _INT64), ("integer", _INT64),
            ("number", _FLOAT64), *loop.kinds,
        )  # fmt: skip
        kind = out.type
        loop.scope.update(
            load=load, combine=combine, start_of=start_of, finish=finish, kind=kind,
            reduce=block_reduction(combine, kind),
        )  # fmt: skip
        element = (lambda k: loop.element(k, rank)) if rank else (lambda k: f"x{k}[i]")
        body = [*(loop.places(rank, False) if rank else []), *loop.compute(element)]
        places = range(len(kernel.results))
        writes = [f"{element(loop.count + place)} = {loop.written(place)}" for place in places]
        lines = [
            f"def kernel(items, reduced, n, chunk, parameter, {', '.join(parameters)}):",
            *[f"    {line}" for line in loop.numbers()],
            "    parameter = kind(parameter)",
            "    chunks = (n + chunk - 1) // chunk",
            "    for item in range(cuda.blockIdx.x, items, cuda.gridDim.x):",
            "        row = item // chunks",
            "        first = (item - row * chunks) * chunk",
            "        length = min(chunk, n - first)",
            "        begin = row * n + first",
            "        i = begin",
            *[f"        {line}" for line in body],
            f"        total = kind(start_of(kind(load(s{last}, parameter))))",
            "        for i in range(begin + cuda.threadIdx.x, begin + length, cuda.blockDim.x):",
            *[f"            {line}" for line in (*body, *writes)],
            f"            total = combine(total, kind(load(s{last}, parameter)))",
            "        total = reduce(total)",
            "        if cuda.threadIdx.x == 0:",
            "            reduced[item] = finish(total, parameter)",
        ]
        name = f"{kernel.name}_{'strided' if rank else 'dense'}"
        source = "\n".join(lines) + "\n"
        exec(compile(source, f"<numgrad CUDA kernel {name}>", "exec"), loop.scope)
        build = self.builds[key] = Build(name, loop.scope["kernel"], dtype, loop.kinds)
        return build
