"""Full backward hooks: identities around a module that see its gradients go by."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..autograd import Function
from ..tensor import Tensor


class _Gate(Function):
    """Passes tensors through; calls `seen(grads)` in the backward, which may replace them."""

    @staticmethod
    def forward(ctx: Any, seen: Callable, *tensors: Tensor) -> Any:
        ctx.seen = seen
        ctx.set_materialize_grads(False)
        return tuple(tensors)

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> tuple:
        return (None, *ctx.seen(grads))


def _through(seen: Callable, values: tuple) -> tuple:
    tensors = [v for v in values if isinstance(v, Tensor)]
    passed = iter(_Gate.apply(seen, *tensors) if tensors else ())
    return tuple([next(passed) if isinstance(v, Tensor) else v for v in values])


def watch(module: Any, args: tuple) -> tuple[tuple, Callable]:
    """The arguments behind a gate, and a function that puts the outputs behind another."""
    outputs: list[tuple] = []

    def leaving(grads: tuple) -> tuple:
        for hook in tuple(module._backward_pre_hooks.values()):
            changed = hook(module, grads)
            if changed is not None:
                grads = changed if isinstance(changed, tuple) else (changed,)
        outputs.append(grads)
        if not any(isinstance(a, Tensor) and a.requires_grad for a in args):
            entering((None,) * len(args))
        return grads

    def entering(grads: tuple) -> tuple:
        for hook in tuple(module._backward_hooks.values()):
            changed = hook(module, grads, outputs[-1])
            if changed is not None:
                grads = changed if isinstance(changed, tuple) else (changed,)
        return grads

    def observe(result: Any) -> Any:
        if isinstance(result, tuple):
            return _through(leaving, result)
        return _through(leaving, (result,))[0]

    return _through(entering, args), observe
