"""Pictures: the graph of a computation, and training curves, as SVG that notebooks show.

>>> model = numgrad.nn.Sequential(numgrad.nn.Linear(2, 3), numgrad.nn.ReLU())
>>> numgrad.viz.graph(model, numgrad.ones(1, 2)).what
'2 boxes'
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..autograd.tape import Variable
from ..compile.function import CompiledFunction
from ..compiler import OptimizedModule
from ..nn import Module
from .boxes import Graph
from .curves import history
from .drawing import draw
from .picture import Picture
from .program import program_graph
from .tape import tape_graph
from .watch import watching

__all__ = ["Picture", "graph", "history", "watching"]

#: More boxes than this, and modules are closed until there are fewer.
READABLE = 90


def graph(
    what: Any,
    *args: Any,
    model: Module | None = None,
    gradients: bool = False,
    depth: int | None = None,
    fold: bool = True,
    layers: bool = False,
    title: str | None = None,
    **kwargs: Any,
) -> Picture:
    """The picture of a computation: operations, shapes, dtypes, kernels, grouped by module.

    `what` is one of

    - a tensor with a history, `graph(loss)`: the operations behind it. The modules are found from
      the parameters (those of `model`, by default of the module that holds them). Which kernels
      ran is known of what was computed inside `viz.watching()`, else the file that has them;
    - a module or a function, with arguments: `graph(model, x)`. It is run, and watched;
    - a function compiled by `numgrad.compile` that has run: its program, with the fused loops.

    `gradients`: also the norm of the gradient at every operation, of the sum of the result's
    elements, and the kernels of the backward. `layers`: frames, not boxes, for modules without
    modules inside. `depth`: how many levels of modules are frames, the deeper ones being boxes (by
    default as many as stay readable). `fold`: draw a run of four or more modules that look alike
    once, with a box for the rest.

    RuntimeError where nothing was recorded, TypeError for what has no graph.

    >>> x = numgrad.ones(3, requires_grad=True)
    >>> numgrad.viz.graph((x * 2).sum(), title="a sum").what
    '3 boxes'
    """
    compiled = getattr(what, "compiled", None) if isinstance(what, OptimizedModule) else what
    if isinstance(compiled, CompiledFunction) and not args and not kwargs:
        model = model or _model_of(compiled)
        made = program_graph(compiled.graph, model)
        name, remark = f"{compiled.__name__}, compiled", ""
    else:
        if isinstance(what, Variable):
            result: Any = what
        elif callable(what):
            with watching():
                result = what(*args, **kwargs)
            if isinstance(what, Module):
                model = model or what
        else:
            raise TypeError(f"graph() expects a tensor, a module or a function, got {what!r}")
        outputs = [t for t in _tensors(result) if t._requires_grad]
        if not outputs or all(t._node is None and t._view is None for t in outputs):
            raise RuntimeError(
                "graph(): nothing was recorded: the result has no grad_fn. Do some of the inputs "
                "or parameters require grad, and is grad mode on?"
            )
        made, name, remark = tape_graph(outputs, model, gradients)
    _make_readable(made, depth, fold, layers)
    count = sum(1 for _ in made.root.boxes())
    shown = ", ".join(part for part in (name if title is None else title, remark) if part)
    return draw(made, shown, f"{count} boxes")


def _tensors(result: Any) -> list[Variable]:
    if isinstance(result, Variable):
        return [result]
    if isinstance(result, dict):
        result = tuple(result.values())
    if isinstance(result, (tuple, list)):
        return [tensor for item in result for tensor in _tensors(item)]
    return []


def _model_of(compiled: CompiledFunction) -> Module | None:
    """The module that a compiled function runs: the one with the most modules inside."""
    function: Callable | Module = compiled._function
    if isinstance(function, Module):
        return function
    held = [h for h in compiled._last().reach.holders if isinstance(h, Module)]
    return max(held, key=lambda module: sum(1 for _ in module.modules()), default=None)


def _make_readable(made: Graph, depth: int | None, fold: bool, layers: bool) -> None:
    if not layers:
        made.close_layers()
    if fold:
        made.fold(4)
    if depth is not None:
        made.close_below(depth)
        return
    deepest = max((len(group.chain) - 1 for group in made.root.groups()), default=0)
    while deepest > 0 and sum(1 for _ in made.root.boxes()) > READABLE:
        deepest -= 1
        made.close_below(deepest)
