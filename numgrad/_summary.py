"""`numgrad.summary`: the layers of a model with their shapes, parameters, multiply-adds and times."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable
from html import escape
from typing import Any

import numpy as np

from ._seam import Replaced, launches
from .autograd import no_grad
from .autograd.tape import Variable
from .device import cuda as cuda_device
from .nn import Module
from .nn._hooks import HookedCall
from .random import fork_rng
from .viz.modules import name_below

#: What the columns are called; the first two are texts.
COLUMNS = ("layer", "output", "parameters", "multiply-adds", "time")


class Row:
    """A module, or all its calls: what it gives, holds and takes, modules inside included."""

    __slots__ = ("name", "kind", "depth", "output", "parameters", "multiply_adds", "times", "calls")

    def __init__(self, name: str, kind: str, depth: int, parameters: int) -> None:
        self.name, self.kind, self.depth, self.parameters = name, kind, depth, parameters
        self.output = ""
        self.multiply_adds = self.calls = 0
        self.times: list[float] = []  # of one run each

    @property
    def seconds(self) -> float:
        """The median over the runs."""
        return statistics.median(self.times)

    @property
    def label(self) -> str:
        return f"{self.name}: {self.kind}" if self.depth else self.kind

    def cells(self) -> tuple[str, ...]:
        again = f" (called {self.calls} times)" if self.calls > 1 else ""
        return (
            "  " * self.depth + self.label + again,
            self.output,
            f"{self.parameters:,}",
            f"{self.multiply_adds:,}",
            duration(self.seconds),
        )


class Summary:
    """What `numgrad.summary` found: `rows`, and the model's totals. It prints as a table."""

    def __init__(self, model: Module, rows: list[Row]) -> None:
        self.rows = rows
        self.parameters = sum(p.numel() for p in model.parameters())
        self.trained = sum(p.numel() for p in model.parameters() if p.requires_grad)
        self.nbytes = sum(p.numel() * p.element_size() for p in model.parameters())
        self.multiply_adds = rows[0].multiply_adds
        self.seconds = rows[0].seconds

    def __str__(self) -> str:
        cells = [COLUMNS, *[row.cells() for row in self.rows]]
        widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
        lines = []
        for cell in cells:
            texts = [t.ljust(w) if k < 2 else t.rjust(w)
                     for k, (t, w) in enumerate(zip(cell, widths, strict=True))]  # fmt: skip
            lines.append("  ".join(texts).rstrip())
        lines.insert(1, "─" * max(map(len, lines)))
        return "\n".join([*lines, lines[1], self._total()])

    def _total(self) -> str:
        frozen = self.parameters - self.trained
        trained = f" ({frozen:,} frozen)" if frozen else ""
        return (
            f"{self.parameters:,} parameters{trained}, {self.nbytes / 2**20:.2f} MiB; "
            f"{self.multiply_adds:,} multiply-adds and {duration(self.seconds)} a forward pass"
        )

    __repr__ = __str__

    def _repr_html_(self) -> str:
        style = "text-align: left; white-space: pre"
        head = "".join(f'<th style="{style}">{name}</th>' for name in COLUMNS)
        body = ""
        for row in self.rows:
            cells = [
                f'<td style="{style if k < 2 else "text-align: right"}">{escape(text)}</td>'
                for k, text in enumerate(row.cells())
            ]
            body += f"<tr>{''.join(cells)}</tr>"
        return (
            f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
            f"<p>{escape(self._total())}</p>"
        )


def summary(model: Module, *inputs: Any, repeats: int = 5, **kwargs: Any) -> Summary:
    """The layers of a model as it runs on `inputs`: shapes, parameters, multiply-adds, times.

    The model runs `repeats` times (after once to compile what is missing) without gradients and in
    evaluation mode; its modes and the state of the random numbers are afterwards as they were.
    A row has the modules inside it included, in time (the median of the runs) too. Multiply-adds
    are those of matrix products, as is usual; a call of a module that comes back counts again.

    TypeError where `model` is no module.

    >>> model = numgrad.nn.Sequential(numgrad.nn.Linear(4, 3), numgrad.nn.ReLU())
    >>> found = numgrad.summary(model, numgrad.ones(2, 4))
    >>> [(row.label, row.output, row.parameters, row.multiply_adds) for row in found.rows]
    [('Sequential', '[2, 3]', 15, 24), ('0: Linear', '[2, 3]', 15, 24), ('1: ReLU', '[2, 3]', 0, 0)]
    """
    if not isinstance(model, Module):
        raise TypeError(f"summary() expects a module, got {type(model).__name__}")
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        with no_grad(), fork_rng():
            model(*inputs, **kwargs)
            watch = _Watch(model)
            for _ in range(max(repeats, 1)):
                with watch:
                    model(*inputs, **kwargs)
    finally:
        for module, mode in modes:
            module.training = mode
    return Summary(model, list(watch.rows.values()))


class _Watch:
    """Notes down the calls of modules, and the products in them."""

    def __init__(self, model: Module) -> None:
        self.rows: dict[tuple[int, ...], Row] = {}
        self._runs = 0
        self._stack: list[tuple[Module, tuple[int, ...]]] = []

    def __enter__(self) -> None:
        self._runs += 1
        self._replaced = Replaced()
        change = self._replaced.change
        if self._runs == 1:
            for holder, name, function in launches(self._counted, self._counted):
                change(holder, name, function)
        change(HookedCall, "__call__", self._timed(HookedCall.__call__))

    def __exit__(self, *_: object) -> None:
        self._replaced.restore()
        self._stack.clear()

    def _counted(self, run: Callable) -> Callable:
        def launch(kernel: Any, dtype: Any, n: int, arguments: tuple, work: int) -> None:
            found = multiply_adds(kernel, arguments)
            if found:
                for _, key in self._stack:
                    self.rows[key].multiply_adds += found
            run(kernel, dtype, n, arguments, work)

        return launch

    def _timed(self, call: Callable) -> Callable:
        stack, first = self._stack, self._runs == 1

        def timed(module: Any, *args: Any, **kwargs: Any) -> Any:
            parent, above = stack[-1] if stack else (None, ())
            key = (*above, id(module))
            row = self.rows.get(key)
            if row is None:
                name = name_below(module, parent)
                held = sum(p.numel() for p in module.parameters())
                row = self.rows[key] = Row(name, type(module).__name__, len(above), held)
            stack.append((module, key))
            synchronize()
            started = time.perf_counter()
            result = call(module, *args, **kwargs)
            synchronize()
            seconds = time.perf_counter() - started
            stack.pop()
            if first:
                row.calls += 1
                row.output = shapes(result)
            if len(row.times) < self._runs:
                row.times.append(seconds)
            else:
                row.times[-1] += seconds
            return result

        return timed


def synchronize() -> None:
    """Wait for the GPU, where one is in use."""
    if cuda_device.is_initialized():
        cuda_device.driver().synchronize(cuda_device.current_index())


def multiply_adds(kernel: Any, arguments: tuple) -> int:
    """Of a launch, if it is a matrix product."""
    if not kernel.name.startswith("matmul"):
        return 0
    sizes = arguments[-1]
    return math.prod(sizes[:4].tolist()) if isinstance(sizes, np.ndarray) and sizes.size > 4 else 0


def shapes(result: Any) -> str:
    """`[2, 3]`, or several of them."""
    if isinstance(result, Variable):
        return str(list(result._data.shape))
    if isinstance(result, dict):
        result = list(result.values())
    if isinstance(result, (tuple, list)):
        return ", ".join(text for item in result if (text := shapes(item)))
    return ""


def duration(seconds: float) -> str:
    """Three digits and a unit.

    >>> from numgrad._summary import duration
    >>> duration(0.00123), duration(2e-6)
    ('1.23 ms', '2.00 µs')
    """
    for factor, unit in ((1.0, "s"), (1e-3, "ms")):
        if seconds >= factor:
            return f"{seconds / factor:.3g} {unit}"
    return f"{seconds * 1e6:.2f} µs"
