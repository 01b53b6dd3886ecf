"""The work of the compile suite: what is computed, from which numbers, whatever the library.

A `Case` is data. `torch_like.py`, `jax_peer.py` and `tinygrad_peer.py` make a `Work` of it, each in
its library's own best way; that they do the same is checked by comparing `Work.value` of results.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np


class Case(NamedTuple):
    """`kind` is train, forward, chain, add or products; the sizes are a network's, or one number."""

    kind: str
    sizes: tuple[int, ...]
    batch: int = 1
    optimizer: str = "SGD"
    lr: float = 0.01

    @property
    def name(self) -> str:
        if self.kind in ("chain", "add"):
            power = self.sizes[0].bit_length() - 1
            return (
                f"{'ten elementwise operations' if self.kind == 'chain' else 'one add'}, 2^{power}"
            )
        text = f"{self.kind} {'-'.join(map(str, self.sizes))}, batch {self.batch}"
        return f"{text}, {self.optimizer}" if self.kind == "train" else text


class Work(NamedTuple):
    """`run()` is what is timed; `reset()` brings back the state before the first run."""

    run: Callable[[], Any]
    value: Callable[[Any], float]
    reset: Callable[[], None] = lambda: None


class Numbers(NamedTuple):
    """A network's initial weights and biases, a layer each, and a batch."""

    layers: list[tuple[np.ndarray, np.ndarray]]
    x: np.ndarray
    y: np.ndarray


def numbers(case: Case) -> Numbers:
    """The same for every library."""
    random = np.random.default_rng(0)
    layers = []
    for fan_in, fan_out in zip(case.sizes, case.sizes[1:], strict=False):
        bound = fan_in**-0.5
        layers.append(
            (
                random.uniform(-bound, bound, (fan_out, fan_in)).astype(np.float32),
                random.uniform(-bound, bound, fan_out).astype(np.float32),
            )
        )
    x = random.standard_normal((case.batch, case.sizes[0]), np.float32)
    return Numbers(layers, x, random.integers(0, case.sizes[-1], case.batch))


def pair(case: Case) -> tuple[np.ndarray, np.ndarray]:
    """Two arrays of the case's size."""
    random = np.random.default_rng(0)
    x = random.standard_normal(case.sizes[0], np.float32)
    return x, random.standard_normal(case.sizes[0], np.float32)


def chain(x: Any, y: Any, relu: Callable, absolute: Callable) -> Any:
    """Ten elementwise operations, two arrays read and one written, as by one add."""
    h = relu(x * y + x) * y
    return relu((absolute(h - x) + y) * x - y)


def factors(case: Case) -> list[tuple[np.ndarray, np.ndarray]]:
    """The operands of a training step's matrix products: forward, gradients of weights and inputs.

    A network of three layers has eight, since its input needs no gradient.
    """
    made = numbers(case)
    random = np.random.default_rng(1)
    inputs = [
        random.standard_normal((case.batch, n), np.float32) for n in case.sizes[1:]
    ]  # of the layers after the first, and gradients of what each layer returns
    found = []
    for k, (weight, _) in enumerate(made.layers):
        x, grad = (made.x if k == 0 else inputs[k - 1]), inputs[k]
        found += [(x, weight.T), (grad.T, x)]
        if k:
            found.append((grad, weight))
    return found


def mean_size(*arrays: Any) -> float:
    """The mean absolute value: of a result, for comparing it with another library's."""
    return float(np.mean([np.abs(np.asarray(a), dtype=np.float64).mean() for a in arrays]))


#: How libraries are called in the tables -> the module that makes their `Work`, what to import.
LIBRARIES = {
    "compiled": ("torch_like", "numgrad"),
    "eager": ("torch_like", "numgrad"),
    "torch": ("torch_like", "torch"),
    "torch.compile": ("torch_like", "torch"),
    "jax": ("jax_peer", "jax"),
    "tinygrad": ("tinygrad_peer", "tinygrad"),
}


def make(library: str, case: Case, threads: int) -> Work:
    """The case's work in a library, which is imported here."""
    module = importlib.import_module(f"{__package__}.{LIBRARIES[library][0]}")
    return module.make(library, case, threads)
