"""What steers `numgrad.compile`: `disable`, `reset`, `is_compiling`, and the function itself."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from .autograd.tape import changes
from .compile.function import CompiledFunction, everywhere
from .compile.recorder import CompileError
from .device import cpu
from .nn.module import Module

__all__ = ["CompileError", "OptimizedModule", "compile", "disable", "is_compiling", "reset"]


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
    """A function, or a module, whose calls run as one native program of its kernels.

    The first call with arguments of new shapes, dtypes or strides runs as usual and is recorded;
    later calls run the program, in which one native call stands for all launches, elementwise
    operations are merged into single loops, and no memory is allocated but for results. `backward()`
    and optimizer steps may be inside, so that a whole training step is one program; or they stay
    outside, and the backward of what the function returns is a program of its own.

    Everything that the function refers to is looked at before each call: tensors, modules (training
    mode, parameters), optimizers, numbers. Where something has changed, another program is recorded;
    learning rates and other numbers are passed to the program as they are.

    A function that looks at a tensor's values in Python (`.item()`, `if x > 0:`, printing) runs
    eagerly, with a warning that names the line; with `fullgraph=True` it raises `CompileError`. What
    else it does in Python (printing a constant, appending to a list) happens while recording only.

    `dynamic` is accepted: a program for another batch size takes no compilation, since kernels serve
    all shapes. Arrays of at least 4096 elements (`options={"fuse_from": 4096}`), or with
    `mode="max-autotune"` all, have their elementwise operations merged into new kernels, which takes
    about half a second each when first met; a merged loop may round once where two loops round twice
    (a multiplication and an addition become one instruction), and all else gives eager mode's bits.
    `options={"passes": ("remove_dead",)}` names the passes
    to run, which are all by default.

    The result has `graph`, `recorded_graph`, `source`, `programs`, `reason` to look at.

    >>> @numgrad.compile
    ... def double(x):
    ...     return x + x
    >>> double(numgrad.ones(2)), double(numgrad.ones(2))
    (tensor([2., 2.]), tensor([2., 2.]))
    >>> print(double.graph)
    inputs  x0 float32[2]
    add(x0, x0, t0)    # t0 float32[2]
    results t0 float32[2]
    """
    if model is None:
        return functools.partial(
            compile,
            fullgraph=fullgraph,
            dynamic=dynamic,
            backend=backend,
            mode=mode,
            options=options,
            disable=disable,
        )
    if not callable(model):
        raise TypeError(f"compile() expects a function or a module, got {type(model).__name__}")
    if backend not in ("numgrad", "inductor", "eager"):
        raise RuntimeError(f"Invalid backend: {backend!r}; numgrad has one of its own, 'numgrad'")
    if mode not in (None, "default", "reduce-overhead", "max-autotune"):
        raise RuntimeError(
            f"Unrecognized mode={mode}, should be one of: default, reduce-overhead, max-autotune"
        )
    if disable or backend == "eager":
        return model
    settings: dict[str, Any] = {"fullgraph": fullgraph}
    if mode == "max-autotune":
        settings["fuse_from"] = 0
    settings.update(options or {})
    unknown = set(settings) - {"fullgraph", "fuse_from", "passes"}
    if unknown:
        raise RuntimeError(f"Unexpected optimization option {sorted(unknown)[0]}")
    if hasattr(model, "__compiled__"):  # it knows which of its parts is to be compiled
        return model.__compiled__(settings)
    if isinstance(model, Module):
        return OptimizedModule(model, settings)
    return CompiledFunction(model, settings)


class OptimizedModule(Module):
    """A module whose calls run compiled; its parameters and modes are the original's."""

    def __init__(self, original: Module, settings: dict[str, Any]) -> None:
        super().__init__()
        self._orig_mod = original
        self.__dict__["compiled"] = CompiledFunction(original, settings)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.compiled(*args, **kwargs)

    def __getattr__(self, name: str) -> Any:
        if name in ("graph", "recorded_graph", "source", "programs", "reason"):
            return getattr(self.compiled, name)
        return getattr(self.__dict__["_orig_mod"], name)

    def train(self, mode: bool = True) -> Any:
        super().train(mode)
        return self


def disable(function: Callable | None = None, recursive: bool = True) -> Any:
    """A function that is never part of a program: a caller that is being compiled runs eagerly.

    >>> @numgrad.compiler.disable
    ... def show(x):
    ...     print(x.sum().item())
    >>> show(numgrad.ones(2))
    2.0
    """
    if function is None:
        return functools.partial(disable, recursive=recursive)

    @functools.wraps(function)
    def disabled(*args: Any, **kwargs: Any) -> Any:
        if cpu.recorder is not None:
            cpu.recorder.read(f"{function.__name__}, which is disabled for compile,")
        return function(*args, **kwargs)

    return disabled


def is_compiling() -> bool:
    """Whether a call is being recorded.

    >>> numgrad.compiler.is_compiling()
    False
    """
    return cpu.recorder is not None


def reset() -> None:
    """Forget all programs of all compiled functions.

    >>> numgrad.compiler.reset()
    """
    changes.count += 1
    for compiled in list(everywhere):
        compiled.reset()
