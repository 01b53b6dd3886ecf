"""`numgrad.compile`: a function's kernel calls as one native program.

>>> @numgrad.compile
... def double(x):
...     return (x + x).detach()
>>> double(numgrad.ones(2)), double(numgrad.ones(2))
(tensor([2., 2.]), tensor([2., 2.]))
>>> print(double.graph)
inputs  x0 float32[2]
add(x0, x0, t0)    # t0 float32[2]
results t0 float32[2]
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from .function import CompiledFunction
from .recorder import CompileError

__all__ = ["CompileError", "CompiledFunction", "compile"]


def compile(
    model: Callable | None = None,
    *,
    fullgraph: bool = False,
    dynamic: bool | None = None,
    backend: str = "numgrad",
    mode: str | None = None,
    options: dict[str, Any] | None = None,
    disable: bool = False,
) -> Any:
    if model is None:
        return functools.partial(
            compile, fullgraph=fullgraph, dynamic=dynamic, backend=backend, mode=mode,
            options=options, disable=disable,
        )  # fmt: skip
    if disable:
        return model
    return CompiledFunction(model, {"fullgraph": fullgraph, **(options or {})})
