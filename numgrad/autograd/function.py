"""Custom differentiable functions: a forward and a backward written by the user."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from . import tape
from .tape import Node, Variable, edge, mode, needs_grad, unpack


class Context:
    """What `forward` leaves for `backward`; attributes may be set freely."""

    def __init__(self) -> None:
        self._to_save: tuple = ()
        self._node: Node | None = None
        self._non_differentiable: tuple = ()
        self._dirty: tuple = ()
        self._materialize = True
        self.needs_input_grad: tuple[bool, ...] = ()

    def save_for_backward(self, *tensors: Any) -> None:
        """Keep inputs or outputs for `backward`, where `saved_tensors` gives them back."""
        for tensor in tensors:
            if tensor is not None and not isinstance(tensor, Variable):
                raise TypeError(
                    "save_for_backward can only save variables, but argument "
                    f"{tensors.index(tensor)} is of type {type(tensor).__name__}"
                )
        self._to_save = tensors

    def mark_non_differentiable(self, *tensors: Any) -> None:
        """Outputs that get no gradient."""
        self._non_differentiable = tensors

    def mark_dirty(self, *tensors: Any) -> None:
        """Inputs that `forward` changed in place and returns."""
        self._dirty = tensors

    def set_materialize_grads(self, value: bool) -> None:
        """Whether `backward` gets zeros (the default) or None for outputs without a gradient."""
        self._materialize = value

    @property
    def saved_tensors(self) -> tuple:
        """The tensors of `save_for_backward`; raises if one was changed in place since."""
        if self._node is None:
            return self._to_save
        return tuple(unpack(self._node))


class Function:
    """A differentiable function of your own: subclass it, call it by `apply`.

    `forward(ctx, *args)` computes (with any code, a hand-written `@njit` kernel on `x.numpy()`
    included); `backward(ctx, *grad_outputs)` returns one gradient for each argument of `forward`.

    >>> class Cube(numgrad.autograd.Function):
    ...     @staticmethod
    ...     def forward(ctx, x):
    ...         ctx.save_for_backward(x)
    ...         return x ** 3
    ...     @staticmethod
    ...     def backward(ctx, grad_output):
    ...         (x,) = ctx.saved_tensors
    ...         return grad_output * 3 * x ** 2
    >>> x = numgrad.tensor([2.], requires_grad=True)
    >>> Cube.apply(x).backward(); x.grad
    tensor([12.])
    """

    @staticmethod
    def forward(*args: Any, **kwargs: Any) -> Any:
        """Compute the result; the first argument is the context, unless there is `setup_context`."""
        raise NotImplementedError("You must implement the forward function for custom Function.")

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Any) -> Any:
        """The gradient for each argument of `forward`."""
        raise NotImplementedError(
            "You must implement either the backward or vjp method for your custom Function to "
            "use it with backward mode AD."
        )

    setup_context: Callable[..., None] | None = None

    @classmethod
    def apply(cls, *args: Any) -> Any:
        """Run `forward` and record `backward`."""
        ctx = Context()
        ctx.needs_input_grad = tuple([_wants(a) for a in args])
        record = needs_grad(*[a for a in args if isinstance(a, Variable)])
        with tape.set_grad(False):
            if cls.setup_context is not None:
                outputs = cls.forward(*args)
                cls.setup_context(ctx, args, outputs)
            else:
                outputs = cls.forward(ctx, *args)
        if not record:
            return outputs
        return _link(cls, ctx, args, outputs)


def _wants(value: Any) -> bool:
    return isinstance(value, Variable) and edge(value) is not None and mode.enabled


def _link(cls: type[Function], ctx: Context, args: tuple, outputs: Any) -> Any:
    """Make the outputs results of a node whose rule is the user's backward."""
    several = isinstance(outputs, tuple)
    listed = outputs if several else (outputs,)
    tensors = [a if isinstance(a, Variable) else None for a in args]
    edges = tuple([edge(t) if t is not None else None for t in tensors])
    node = Node(f"{cls.__name__}Backward", functools.partial(_run, cls, ctx, several), edges)
    differentiable = [
        isinstance(o, Variable)
        and o._data.dtype.kind == "f"
        and not any(o is n for n in ctx._non_differentiable)
        for o in listed
    ]
    results = []
    for output, wanted in zip(listed, differentiable, strict=True):
        if wanted and any(output is a for a in args) and not any(output is d for d in ctx._dirty):
            output = tape.alias(output)
        results.append(output)
    for dirty in ctx._dirty:
        tape.bump(dirty)
    if several:
        node.outputs = len(results)
    for index, (output, wanted) in enumerate(zip(results, differentiable, strict=True)):
        if wanted:
            output._node = tape.Output(node, index) if several else node
            output._requires_grad = True
    node.context = [o._data if isinstance(o, Variable) else None for o in results]
    replaced = {id(a): b for a, b in zip(listed, results, strict=True)}
    saved = tuple([replaced.get(id(t), t) for t in ctx._to_save])
    _save(node, saved, results, several)
    ctx._node = node
    return tuple(results) if several else results[0]


def _save(node: Node, saved: tuple, results: list, several: bool) -> None:
    tape.save(node, saved, None)
    kept = list(node.saved or ())
    for position, tensor in enumerate(saved):  # an output kept whole would be a cycle
        if tensor is not None and any(tensor is r for r in results):
            kept[position] = tape.SavedOutput(tensor)
            if several:
                kept[position] = tensor
    node.saved = tuple(kept)


def _run(cls: type[Function], ctx: Context, several: bool, node: Node, grad: Any) -> tuple:
    grads = grad if several else [grad]
    if ctx._materialize:
        some = next(g for g in grads if g is not None)
        grads = [
            some.new_zeros(data.shape) if g is None and data is not None else g
            for g, data in zip(grads, node.context, strict=True)
        ]
    results = cls.backward(ctx, *grads)
    if not isinstance(results, tuple):
        results = (results,)
    expected = len(node.edges)
    if len(results) > expected and all(r is None for r in results[expected:]):
        results = results[:expected]
    if len(results) != expected:
        raise RuntimeError(
            f"function {cls.__name__}Backward returned an incorrect number of gradients (expected "
            f"{expected}, got {len(results)})"
        )
    return results


def once_differentiable(function: Callable) -> Callable:
    """Mark a `backward` that is not itself differentiable: a second derivative raises.

    >>> class Double(numgrad.autograd.Function):
    ...     @staticmethod
    ...     def forward(ctx, x):
    ...         return x * 2
    ...     @staticmethod
    ...     @numgrad.autograd.function.once_differentiable
    ...     def backward(ctx, grad_output):
    ...         return grad_output * 2
    >>> x = numgrad.ones(1, requires_grad=True)
    >>> Double.apply(x).backward(); x.grad
    tensor([2.])
    """

    @functools.wraps(function)
    def wrapped(ctx: Any, *grads: Any) -> Any:
        with tape.set_grad(False):
            results = function(ctx, *grads)
        if not any(isinstance(g, Variable) and g._requires_grad for g in grads):
            return results
        listed = results if isinstance(results, tuple) else (results,)
        marked = []
        for result in listed:
            if isinstance(result, Variable):
                result = tape.alias(result)
                result._node = Node("OnceDifferentiable", _refuse, ())
                result._requires_grad = True
            marked.append(result)
        return tuple(marked) if isinstance(results, tuple) else marked[0]

    return wrapped


def _refuse(node: Node, grad: Any) -> Any:
    raise RuntimeError(
        "trying to differentiate twice a function that was marked with @once_differentiable"
    )
