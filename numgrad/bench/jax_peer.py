"""The compile suite's work in JAX: one `jit` a step, which is given its state's memory to reuse."""

from __future__ import annotations

import functools
from typing import Any

import jax
import jax.numpy as jnp

from .work import Case, Work, chain, factors, mean_size, numbers, pair


def make(library: str, case: Case, threads: int) -> Work:
    """The work of a case. The number of threads is that of the processors the process may use."""
    if case.kind == "train":
        return _training(case)
    if case.kind == "forward":
        made = _tree(numbers(case))
        forward = jax.jit(_logits)
        return Work(lambda: forward(made.layers, made.x).block_until_ready(), mean_size)
    if case.kind == "products":
        sides = [(jnp.asarray(a), jnp.asarray(b)) for a, b in factors(case)]
        products = jax.jit(lambda sides: [a @ b for a, b in sides])
        return Work(lambda: jax.block_until_ready(products(sides)), lambda r: mean_size(*r))
    x, y = map(jnp.asarray, pair(case))
    ten = functools.partial(chain, relu=jax.nn.relu, absolute=jnp.abs)
    function = jax.jit(ten if case.kind == "chain" else jnp.add)
    return Work(lambda: function(x, y).block_until_ready(), mean_size)


def _tree(made: Any) -> Any:
    return jax.tree.map(jnp.asarray, made)


def _logits(layers: Any, x: Any) -> Any:
    for k, (weight, bias) in enumerate(layers):
        x = x @ weight.T + bias
        if k < len(layers) - 1:
            x = jax.nn.relu(x)
    return x


def _loss(layers: Any, x: Any, y: Any) -> Any:
    logs = jax.nn.log_softmax(_logits(layers, x))
    return -jnp.take_along_axis(logs, y[:, None], axis=1).mean()


def _adam(case: Case, state: Any, grads: Any) -> Any:
    layers, count, first, second = state
    count = count + 1
    first = jax.tree.map(lambda m, g: 0.9 * m + 0.1 * g, first, grads)
    second = jax.tree.map(lambda v, g: 0.999 * v + 0.001 * g * g, second, grads)
    size = case.lr / (1 - 0.9**count)
    scale = jnp.sqrt(1 - 0.999**count)

    def update(p: Any, m: Any, v: Any) -> Any:
        return p - size * m / (jnp.sqrt(v) / scale + 1e-8)

    return jax.tree.map(update, layers, first, second), count, first, second


def _training(case: Case) -> Work:
    made = _tree(numbers(case))
    held: list[Any] = [None]

    @functools.partial(jax.jit, donate_argnums=0)
    def step(state: Any, x: Any, y: Any) -> Any:
        loss, grads = jax.value_and_grad(_loss)(state[0], x, y)
        if case.optimizer == "Adam":
            return _adam(case, state, grads), loss
        return (jax.tree.map(lambda p, g: p - case.lr * g, state[0], grads),), loss

    def reset() -> None:
        layers = _tree(numbers(case).layers)
        held[0] = (layers,)
        if case.optimizer == "Adam":
            zeros = [jax.tree.map(jnp.zeros_like, layers) for _ in range(2)]
            held[0] = (layers, jnp.zeros((), jnp.float32), *zeros)
        jax.block_until_ready(held[0])

    def run() -> Any:
        held[0], loss = step(held[0], made.x, made.y)
        return loss.block_until_ready()

    reset()
    return Work(run, float, reset)
