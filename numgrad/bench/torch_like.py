"""The compile suite's work in numgrad and torch, which are programmed alike."""

from __future__ import annotations

import functools
import importlib
from collections.abc import Callable
from typing import Any

from .work import LIBRARIES, Case, Work, chain, factors, mean_size, numbers, pair


def make(library: str, case: Case, threads: int) -> Work:
    """The work of a case: eager, or the whole of it compiled."""
    t: Any = importlib.import_module(LIBRARIES[library][1])
    t.set_num_threads(threads)
    compiled = library in ("compiled", "torch.compile")

    def wrap(function: Callable) -> Callable:
        # A user's function: of those in numgrad's own modules `compile` knows that what they refer
        # to stays as it is.
        function.__module__ = "__main__"
        return t.compile(function) if compiled else function

    if case.kind == "train":
        return _training(t, case, wrap)
    if case.kind == "forward":
        return _forward(t, case, wrap)
    if case.kind == "products":
        return _products(t, case)
    return _elementwise(t, case, wrap)


def _network(t: Any, case: Case) -> tuple[Any, Any, Any, Callable[[], None]]:
    made = numbers(case)
    layers: list[Any] = []
    for fan_in, fan_out in zip(case.sizes, case.sizes[1:], strict=False):
        layers += [t.nn.Linear(fan_in, fan_out), t.nn.ReLU()]
    model = t.nn.Sequential(*layers[:-1])
    initial = [t.tensor(array) for layer in made.layers for array in layer]

    def reset() -> None:
        with t.no_grad():
            for parameter, value in zip(model.parameters(), initial, strict=True):
                parameter.copy_(value)

    reset()
    return model, t.tensor(made.x), t.tensor(made.y), reset


def _training(t: Any, case: Case, wrap: Callable) -> Work:
    F = t.nn.functional
    model, x, y, reset_model = _network(t, case)
    optimizer = getattr(t.optim, case.optimizer)(model.parameters(), lr=case.lr)

    def step(x: Any, y: Any) -> Any:
        loss = F.cross_entropy(model(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss

    def reset() -> None:
        reset_model()
        for state in optimizer.state.values():
            for value in state.values():
                if value is not None:
                    value.zero_()

    return Work(functools.partial(wrap(step), x, y), lambda loss: loss.item(), reset)


def _forward(t: Any, case: Case, wrap: Callable) -> Work:
    model, x, _, _ = _network(t, case)

    def forward(x: Any) -> Any:
        with t.no_grad():
            return model(x)

    return Work(functools.partial(wrap(forward), x), mean_size)


def _elementwise(t: Any, case: Case, wrap: Callable) -> Work:
    x, y = map(t.tensor, pair(case))

    def add(x: Any, y: Any) -> Any:
        return x + y

    def ten(x: Any, y: Any) -> Any:
        return chain(x, y, t.relu, t.abs)

    return Work(functools.partial(wrap(ten if case.kind == "chain" else add), x, y), mean_size)


def _products(t: Any, case: Case) -> Work:
    """Without time for memory: torch is given it, numgrad keeps that of the product before."""
    operands = []
    for a, b in factors(case):
        # A transposed operand is a view, as in the step.
        sides = [t.tensor(m.T).T if m.flags.f_contiguous else t.tensor(m) for m in (a, b)]
        out = t.empty(a.shape[0], b.shape[1]) if t.__name__ == "torch" else None
        operands.append((*sides, out))

    def run() -> None:
        for a, b, out in operands:
            t.mm(a, b, out=out)

    return Work(run, lambda _: mean_size(*[t.mm(a, b) for a, b, _ in operands]))
