"""Hooks of a module: functions that it calls before and after `forward` and its backward."""

from __future__ import annotations

import warnings
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

from .. import ops
from ..autograd import tape
from ..tensor import RemovableHandle, Tensor

HOOKS = (
    "_forward_pre_hooks",
    "_forward_hooks",
    "_backward_pre_hooks",
    "_backward_hooks",
)
FLAGS = (
    "_forward_pre_hooks_with_kwargs",
    "_forward_hooks_with_kwargs",
    "_forward_hooks_always_called",
)


class HookedCall:
    """Calling a module, with its hooks if it has any."""

    # Set by the first hook; without it a call goes straight to `forward`.
    _hooked = False
    _forward_pre_hooks: OrderedDict[int, Callable]
    _forward_pre_hooks_with_kwargs: OrderedDict[int, bool]
    _forward_hooks: OrderedDict[int, Callable]
    _forward_hooks_with_kwargs: OrderedDict[int, bool]
    _forward_hooks_always_called: OrderedDict[int, bool]
    _backward_pre_hooks: OrderedDict[int, Callable]
    _backward_hooks: OrderedDict[int, Callable]
    forward: Callable[..., Any]

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if self._hooked:
            return self._call_with_hooks(args, kwargs)
        return self.forward(*args, **kwargs)

    def register_forward_pre_hook(
        self, hook: Callable, *, prepend: bool = False, with_kwargs: bool = False
    ) -> RemovableHandle:
        """Call `hook(module, args)` before every `forward`; what it returns replaces the arguments.

        `with_kwargs`: `hook(module, args, kwargs)`, which returns None or `(args, kwargs)`.
        `prepend`: before the hooks that are there already.

        >>> layer = numgrad.nn.Identity()
        >>> handle = layer.register_forward_pre_hook(lambda module, args: (args[0] + 1,))
        >>> layer(numgrad.zeros(2))
        tensor([1., 1.])
        """
        handle = RemovableHandle(self._forward_pre_hooks, hook, prepend)
        if with_kwargs:
            self._forward_pre_hooks_with_kwargs[handle.id] = True
        self._hooked = True
        return handle

    def register_forward_hook(
        self,
        hook: Callable,
        *,
        prepend: bool = False,
        with_kwargs: bool = False,
        always_call: bool = False,
    ) -> RemovableHandle:
        """Call `hook(module, args, output)` after every `forward`; what it returns replaces that.

        `with_kwargs`: `hook(module, args, kwargs, output)`. `always_call`: also where `forward`
        raises (with the output None).

        >>> layer = numgrad.nn.Identity()
        >>> handle = layer.register_forward_hook(lambda module, args, output: output * 2)
        >>> layer(numgrad.ones(2))
        tensor([2., 2.])
        >>> handle.remove()
        >>> layer(numgrad.ones(2))
        tensor([1., 1.])
        """
        handle = RemovableHandle(self._forward_hooks, hook, prepend)
        if with_kwargs:
            self._forward_hooks_with_kwargs[handle.id] = True
        if always_call:
            self._forward_hooks_always_called[handle.id] = True
        self._hooked = True
        return handle

    def register_full_backward_pre_hook(
        self, hook: Callable, prepend: bool = False
    ) -> RemovableHandle:
        """Call `hook(module, grad_output)` when the gradients of the outputs are known.

        `grad_output` is a tuple; a tuple that the hook returns takes its place.
        """
        handle = RemovableHandle(self._backward_pre_hooks, hook, prepend)
        self._hooked = True
        return handle

    def register_full_backward_hook(self, hook: Callable, prepend: bool = False) -> RemovableHandle:
        """Call `hook(module, grad_input, grad_output)` when the gradients of the inputs are known.

        Both are tuples (None for what is not a tensor or needs no gradient); a tuple that the hook
        returns takes the place of `grad_input`.

        >>> layer = numgrad.nn.Linear(2, 1)
        >>> handle = layer.register_full_backward_hook(lambda m, gi, go: print(go[0]))
        >>> layer(numgrad.ones(1, 2, requires_grad=True)).sum().backward()
        tensor([[1.]])
        """
        handle = RemovableHandle(self._backward_hooks, hook, prepend)
        self._hooked = True
        return handle

    def _call_with_hooks(self, args: tuple, kwargs: dict[str, Any]) -> Any:
        if not any([getattr(self, name) for name in HOOKS]):
            self._hooked = False
            return self.forward(*args, **kwargs)
        done: set[int] = set()
        try:
            args, kwargs = self._run_pre_hooks(args, kwargs)
            backward = None
            if self._backward_hooks or self._backward_pre_hooks:
                backward = BackwardHooks(self)
                args = backward.watch_inputs(args)
            output = self.forward(*args, **kwargs)
            output = self._run_forward_hooks(args, kwargs, output, done)
            return output if backward is None else backward.watch_outputs(output)
        except Exception:
            self._run_always_called_hooks(args, kwargs, done)
            raise

    def _run_pre_hooks(self, args: tuple, kwargs: dict[str, Any]) -> tuple[tuple, dict[str, Any]]:
        for key, hook in list(self._forward_pre_hooks.items()):
            if key in self._forward_pre_hooks_with_kwargs:
                changed = hook(self, args, kwargs)
                if changed is None:
                    continue
                if not isinstance(changed, tuple) or len(changed) != 2:
                    raise RuntimeError(
                        "forward pre-hook must return None or a tuple of (new_args, new_kwargs), "
                        f"but got {changed}."
                    )
                args, kwargs = changed
            else:
                changed = hook(self, args)
                if changed is not None:
                    args = changed if isinstance(changed, tuple) else (changed,)
        return args, kwargs

    def _run_forward_hooks(
        self, args: tuple, kwargs: dict[str, Any], output: Any, done: set[int]
    ) -> Any:
        for key, hook in list(self._forward_hooks.items()):
            done.add(key)
            if key in self._forward_hooks_with_kwargs:
                changed = hook(self, args, kwargs, output)
            else:
                changed = hook(self, args, output)
            if changed is not None:
                output = changed
        return output

    def _run_always_called_hooks(self, args: tuple, kwargs: dict[str, Any], done: set[int]) -> None:
        """After an error: the hooks that asked for it. The error itself stays the one raised."""
        for key, hook in list(self._forward_hooks.items()):
            if key in done or key not in self._forward_hooks_always_called:
                continue
            try:
                if key in self._forward_hooks_with_kwargs:
                    hook(self, args, kwargs, None)
                else:
                    hook(self, args, None)
            except Exception as error:
                warnings.warn(
                    "module forward hook with ``always_call=True`` raised an exception that was "
                    f"silenced as another error was raised in forward: {error}",
                    stacklevel=2,
                )


class BackwardHooks:
    """The backward hooks of one call: one node behind its inputs, one in front of its outputs.

    Both pass every gradient on; on the way the hooks see all of them together.
    """

    def __init__(self, module: HookedCall) -> None:
        self.module = module
        self.hooks = list(module._backward_hooks.values())
        self.pre_hooks = list(module._backward_pre_hooks.values())
        self.inputs: list[int] = []  # positions of the tensors among the arguments
        self.outputs: list[int] = []
        self.input_count = 0
        self.output_count = 0
        self.watched = False
        self.shown: list[Tensor] = []  # the inputs, for zeros where no gradient arrives
        self.grad_outputs: tuple | None = None

    def watch_inputs(self, args: tuple) -> tuple:
        self.input_count = len(args)
        self.inputs, passed = _pass_through(args, self._on_inputs)
        self.watched = passed is not args
        if self.watched:
            self.shown = [passed[i].detach() for i in self.inputs]
        return passed

    def watch_outputs(self, output: Any) -> Any:
        if not isinstance(output, (Tensor, tuple)):
            warnings.warn(
                "For backward hooks to be called, module output should be a Tensor or a tuple of "
                f"Tensors but received {type(output)}",
                stacklevel=4,
            )
            return output
        outputs = output if isinstance(output, tuple) else (output,)
        self.output_count = len(outputs)
        self.outputs, passed = _pass_through(outputs, self._on_outputs)
        if passed is outputs or isinstance(output, tuple):
            return output if passed is outputs else passed
        return passed[0]

    def _on_outputs(self, node: Any, grads: list) -> tuple:
        all_grads = _spread(grads, self.outputs, self.output_count)
        for hook in self.pre_hooks:
            changed = hook(self.module, all_grads)
            if changed is not None:
                all_grads = _same_length(changed, all_grads, "Backward pre hook", "grad_output")
        self.grad_outputs = all_grads
        if not self.watched:
            self._call_without_inputs(all_grads)
        return tuple([all_grads[i] for i in self.outputs])

    def _call_without_inputs(self, grad_outputs: tuple) -> None:
        if self.hooks:
            warnings.warn(
                "Full backward hook is firing when gradients are computed with respect to module "
                "outputs since no inputs require gradients.",
                stacklevel=2,
            )
        for hook in self.hooks:
            changed = hook(self.module, (None,) * self.input_count, grad_outputs)
            if changed is not None and not (
                isinstance(changed, tuple) and all(each is None for each in changed)
            ):
                raise RuntimeError(
                    "Backward hook for Modules where no input requires gradient should always "
                    "return None or None for all gradients."
                )
        self.grad_outputs = None

    def _on_inputs(self, node: Any, grads: list) -> tuple:
        if self.grad_outputs is None:  # the gradient did not come through the module's output
            return tuple(grads)
        grads = [
            ops.zeros_like(value) if grad is None else grad
            for grad, value in zip(grads, self.shown, strict=True)
        ]
        all_grads = _spread(grads, self.inputs, self.input_count)
        for hook in self.hooks:
            changed = hook(self.module, all_grads, self.grad_outputs)
            if changed is not None:
                all_grads = _same_length(changed, all_grads, "Backward hook", "grad_input")
        self.grad_outputs = None
        return tuple([all_grads[i] for i in self.inputs])


def _pass_through(values: tuple, rule: Callable) -> tuple[list[int], tuple]:
    """The values with their tensors behind one node whose backward is `rule`."""
    positions = [i for i, value in enumerate(values) if isinstance(value, Tensor)]
    tensors = tuple([values[i] for i in positions])
    if not tape.needs_grad(*tensors):
        return positions, values
    results = tuple([tape.alias(tensor.detach()) for tensor in tensors])
    wanted = tuple([tensor.requires_grad for tensor in tensors])
    tape.record_many(results, "BackwardHookFunctionBackward", rule, tensors, differentiable=wanted)
    passed = list(values)
    for position, result in zip(positions, results, strict=True):
        passed[position] = result
    return positions, tuple(passed)


def _spread(grads: Any, positions: list[int], count: int) -> tuple:
    full: list[Any] = [None] * count
    for position, grad in zip(positions, grads, strict=True):
        full[position] = grad
    return tuple(full)


def _same_length(changed: Any, grads: tuple, hook: str, name: str) -> tuple:
    if isinstance(changed, Tensor):
        changed = (changed,)
    if len(changed) != len(grads):
        raise RuntimeError(
            f"{hook} returned an invalid number of {name}, got {len(changed)}, but expected "
            f"{len(grads)}"
        )
    return tuple(changed)
