"""The compile suite's work in tinygrad: its JIT replays the kernels of a step."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
from tinygrad import Device, Tensor, TinyJit, nn

from .work import Case, Work, chain, factors, mean_size, numbers, pair


def make(library: str, case: Case, threads: int) -> Work:
    """The work of a case. The number of threads is that of the processors the process may use."""
    if case.kind == "train":
        return _training(case)
    if case.kind == "forward":
        layers, x, _ = _network(case)
        return Work(_replayed(lambda x: _logits(layers, x), x), _mean_size)
    if case.kind == "products":
        sides = [_tensor(m) for pair in factors(case) for m in pair]

        def products(*sides: Any) -> Any:
            results = [a @ b for a, b in zip(sides[::2], sides[1::2], strict=True)]
            Tensor.realize(*results)
            return results

        return Work(_replayed(products, *sides), lambda r: _mean_size(*r))
    ten = functools.partial(chain, relu=Tensor.relu, absolute=Tensor.abs)
    function = ten if case.kind == "chain" else lambda x, y: x + y
    return Work(_replayed(function, *map(_tensor, pair(case))), _mean_size)


def _tensor(array: np.ndarray) -> Any:
    return Tensor(np.ascontiguousarray(array)).realize()


def _mean_size(*results: Any) -> float:
    return mean_size(*[tensor.numpy() for tensor in results])


def _replayed(function: Callable, *arguments: Any) -> Callable[[], Any]:
    """A call of the JIT that waits for its results."""
    jitted: Any = TinyJit(lambda *a: r if isinstance(r := function(*a), list) else r.realize())
    device = Device[Device.DEFAULT]

    def run() -> Any:
        result = jitted(*arguments)
        device.synchronize()
        return result

    return run


def _network(case: Case) -> tuple[list[tuple[Any, Any]], Any, Any]:
    made = numbers(case)
    layers = [(_tensor(weight), _tensor(bias)) for weight, bias in made.layers]
    return layers, _tensor(made.x), _tensor(made.y.astype(np.int32))


def _logits(layers: Any, x: Any) -> Any:
    for k, (weight, bias) in enumerate(layers):
        x = x.linear(weight.T, bias)
        if k < len(layers) - 1:
            x = x.relu()
    return x


def _training(case: Case) -> Work:
    layers, x, y = _network(case)
    parameters = [tensor for layer in layers for tensor in layer]
    optimizer = getattr(nn.optim, case.optimizer)(parameters, lr=case.lr)
    state = nn.state.get_state_dict(optimizer)
    Tensor.realize(*state.values())
    initial = {name: tensor.numpy().copy() for name, tensor in state.items()}

    def step(x: Any, y: Any) -> Any:
        loss = _logits(layers, x).sparse_categorical_crossentropy(y)
        optimizer.zero_grad()
        loss.backward()
        # At once: realized after the update, the loss would be that of the new weights.
        return loss.realize(*optimizer.schedule_step())

    def reset() -> None:
        for name, tensor in state.items():
            tensor.assign(Tensor(initial[name])).realize()

    return Work(_replayed(step, x, y), lambda loss: loss.item(), reset)
