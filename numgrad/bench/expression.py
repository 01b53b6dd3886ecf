"""A kernel's work in NumPy, torch or JAX: an expression of its arguments, by name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from .memory import all_apart
from .work import Work


def work(library: str, case: dict[str, Any], threads: int) -> Work:
    """The work of `case["expression"]` on the arrays of `case["file"]`."""
    arguments: dict[str, Any] = dict(case["numbers"])
    with np.load(case["file"]) as file:
        arrays = dict(zip(file.files, all_apart([file[k] for k in file.files]), strict=True))
    listed: dict[str, list] = {}
    for key, array in arrays.items():
        name, _, place = key.partition(".")
        if place:
            listed.setdefault(name, []).append(array)
        else:
            arguments[name] = array
    arguments.update({name: tuple(items) for name, items in listed.items()})
    code = compile(case["expression"], "<peer>", "eval")
    run = {"numpy": _numpy, "torch": _torch, "jax": _jax}[library](code, arguments, threads)
    run()
    return Work(run, _mean_size)


def _each(value: Any, function: Callable[[np.ndarray], Any]) -> Any:
    if type(value) is tuple:
        return tuple([function(item) for item in value])
    return function(value) if isinstance(value, np.ndarray) else value


def _numpy(code: Any, arguments: dict[str, Any], threads: int) -> Callable[[], Any]:
    scope = {"np": np, "random": np.random.default_rng(0), **arguments}
    return lambda: eval(code, scope)


def _torch(code: Any, arguments: dict[str, Any], threads: int) -> Callable[[], Any]:
    import torch

    torch.set_num_threads(threads)
    scope: dict[str, Any] = {"torch": torch, "F": torch.nn.functional}
    for name, value in arguments.items():
        scope[name] = _each(value, torch.from_numpy)

    def run() -> Any:
        with torch.inference_mode():
            return eval(code, scope)

    return run


def _jax(code: Any, arguments: dict[str, Any], threads: int) -> Callable[[], Any]:
    import jax
    import jax.numpy as jnp

    jax.config.update("jax_enable_x64", True)
    numbers = {name: v for name, v in arguments.items() if isinstance(v, (int, float))}
    arrays = {name: _each(v, jnp.asarray) for name, v in arguments.items() if name not in numbers}

    def function(arrays: dict[str, Any]) -> Any:
        return eval(code, {"jax": jax, "jnp": jnp, **numbers, **arrays})

    compiled = jax.jit(function)
    return lambda: jax.block_until_ready(compiled(arrays))


def _mean_size(result: Any) -> float:
    if isinstance(result, (tuple, list)):
        result = result[0]
    if result is None:
        return float("nan")
    array = np.asarray(result)
    return float(np.abs(array, dtype=np.float64).mean()) if array.size else 0.0
