"""Functions of functions: `grad`, `grad_and_value`, `vjp`, `jacrev`, `functional_call`.

They nest (`grad(grad(f))` is the second derivative) and may stand inside `numgrad.compile`.
Arguments are tensors, or tuples, lists and dicts of them.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable
from typing import Any

from . import autograd, ops
from .nn.module import Module
from .tensor import Tensor

__all__ = ["functional_call", "grad", "grad_and_value", "jacrev", "vjp"]


class _Level(threading.local):
    depth = 0


_level = _Level()


def _map(function: Callable, tree: Any) -> Any:
    if isinstance(tree, Tensor):
        return function(tree)
    if isinstance(tree, dict):
        return {key: _map(function, value) for key, value in tree.items()}
    if isinstance(tree, tuple) and hasattr(tree, "_fields"):
        return type(tree)(*[_map(function, value) for value in tree])
    if isinstance(tree, (tuple, list)):
        return type(tree)([_map(function, value) for value in tree])
    return tree


def _tensors(tree: Any) -> list[Tensor]:
    found: list[Tensor] = []
    _map(found.append, tree)
    return found


def _variable(tensor: Tensor) -> Tensor:
    """The same values as something to differentiate by, connected to what the tensor came from."""
    if tensor.requires_grad:
        return ops.view_as(tensor, tensor)
    return tensor.detach().requires_grad_()


def _call(function: Callable, args: tuple, kwargs: dict, argnums: int | tuple) -> tuple:
    """The function's result on variables for the arguments `argnums`; those variables."""
    numbers = (argnums,) if isinstance(argnums, int) else tuple(argnums)
    for number in numbers:
        if not -len(args) <= number < len(args):
            raise RuntimeError(f"Got argnum={number}, but only {len(args)} positional inputs")
    own = [number % len(args) for number in numbers]
    chosen = [_map(_variable, args[number]) for number in own]
    replaced = list(args)
    for number, tree in zip(own, chosen, strict=True):
        if not _tensors(tree):
            raise RuntimeError(
                f"argument {number} has to be a tensor or hold some, got {type(tree).__name__}"
            )
        replaced[number] = tree
    _level.depth += 1
    try:
        with autograd.enable_grad():
            result = function(*replaced, **kwargs)
    finally:
        _level.depth -= 1
    return result, chosen[0] if isinstance(argnums, int) else tuple(chosen)


def _gradients(outputs: Any, variables: Any, grad_outputs: Any, keep: bool, args: Any) -> Any:
    """Gradients in the shape of the tree `variables`, zeros where there is no connection."""
    listed = _tensors(variables)
    nested = _level.depth > 0 or any(t.requires_grad for t in _tensors(args))
    grads = autograd.grad(
        outputs,
        listed,
        grad_outputs,
        retain_graph=keep or nested,
        create_graph=nested,
        allow_unused=True,
    )
    filled = iter(
        [g if g is not None else ops.zeros_like(t) for g, t in zip(grads, listed, strict=True)]
    )
    return _map(lambda _: next(filled), variables)


def _detached(tree: Any, args: Any) -> Any:
    if _level.depth > 0 or any(t.requires_grad for t in _tensors(args)):
        return tree
    return _map(lambda tensor: tensor.detach(), tree)


def grad_and_value(
    func: Callable, argnums: int | tuple[int, ...] = 0, has_aux: bool = False
) -> Callable:
    """A function that returns the gradient of `func` and its value.

    `func` returns a scalar tensor, or with `has_aux` a pair of one and anything else, which then
    makes the value a pair too. `argnums` says by which positional arguments to differentiate.

    >>> numgrad.func.grad_and_value(lambda x: (x ** 2).sum())(numgrad.tensor([1., 3.]))
    (tensor([2., 6.]), tensor(10.))
    """

    @functools.wraps(func)
    def wrapper(*args: Any, **kwargs: Any) -> tuple:
        result, variables = _call(func, args, kwargs, argnums)
        aux = None
        if has_aux:
            if not (isinstance(result, tuple) and len(result) == 2):
                raise RuntimeError(
                    "grad_and_value(f)(*args): output of function f should be a tuple: "
                    "(output, aux) if has_aux is True"
                )
            result, aux = result
        if not isinstance(result, Tensor):
            raise RuntimeError(
                "grad_and_value(f)(*args): Expected f(*args) to return a tensor, got "
                f"{type(result).__name__}"
            )
        if result.dim() != 0:
            raise RuntimeError(
                "grad_and_value(f)(*args): Expected f(*args) to return a scalar tensor, got "
                f"tensor with {result.dim()} dims. Maybe you wanted to use the vjp or jacrev APIs "
                "instead?"
            )
        if result.requires_grad:
            grads = _gradients(result, variables, None, False, (args, kwargs))
        else:
            grads = _map(ops.zeros_like, variables)
        value = _detached((result, aux) if has_aux else result, (args, kwargs))
        return grads, value

    return wrapper


def grad(func: Callable, argnums: int | tuple[int, ...] = 0, has_aux: bool = False) -> Callable:
    """A function that returns the gradient of `func`, which returns a scalar tensor.

    >>> cube = lambda x: x ** 3
    >>> numgrad.func.grad(cube)(numgrad.tensor(2.))
    tensor(12.)
    >>> numgrad.func.grad(numgrad.func.grad(cube))(numgrad.tensor(2.))
    tensor(12.)
    """
    both = grad_and_value(func, argnums, has_aux)

    @functools.wraps(func)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        grads, value = both(*args, **kwargs)
        return (grads, value[1]) if has_aux else grads

    return wrapper


def vjp(func: Callable, *primals: Any, has_aux: bool = False) -> tuple:
    """`func(*primals)`, and a function from a gradient of that to those of the primals.

    >>> value, pull = numgrad.func.vjp(numgrad.sin, numgrad.zeros(2))
    >>> pull(numgrad.tensor([1., 2.]))
    (tensor([1., 2.]),)
    """
    result, variables = _call(func, primals, {}, tuple(range(len(primals))))
    aux = None
    if has_aux:
        result, aux = result

    def pull(*cotangents: Any) -> tuple:
        given = cotangents[0] if len(cotangents) == 1 else cotangents
        return _gradients(_tensors(result), variables, _tensors(given), True, (primals, given))

    value = _detached(result, primals)
    return (value, pull, aux) if has_aux else (value, pull)


def jacrev(func: Callable, argnums: int = 0) -> Callable:
    """A function that returns the Jacobian of `func`, (*output shape, *input shape).

    One backward pass for each element of the output.

    >>> numgrad.func.jacrev(lambda x: x ** 2)(numgrad.tensor([1., 3.]))
    tensor([[2., 0.],
            [0., 6.]])
    """

    @functools.wraps(func)
    def wrapper(*args: Any, **kwargs: Any) -> Tensor:
        result, variable = _call(func, args, kwargs, argnums)
        rows = []
        for k in range(result.numel()):
            seed = ops.zeros(result.numel(), dtype=result.dtype)
            seed = ops.where(ops.arange(result.numel()) == k, ops.ones_like(seed), seed)
            rows.append(
                _gradients(result, variable, seed.reshape(result.shape), True, (args, kwargs))
            )
        return ops.stack(rows).reshape((*result.shape, *variable.shape))

    return wrapper


def functional_call(module: Module, parameters: dict[str, Tensor], args: Any, kwargs: Any = None):
    """Call a module with other tensors in place of its parameters and buffers, by name.

    >>> layer = numgrad.nn.Linear(2, 1)
    >>> zeros = {name: numgrad.zeros_like(p) for name, p in layer.named_parameters()}
    >>> numgrad.func.functional_call(layer, zeros, numgrad.ones(3, 2)).tolist()
    [[0.0], [0.0], [0.0]]
    """
    if not isinstance(args, tuple):
        args = (args,)
    known = {**dict(module.named_parameters()), **dict(module.named_buffers())}
    unknown = set(parameters) - set(known)
    if unknown:
        raise KeyError(f"{sorted(unknown)[0]} is not a parameter or buffer of the module")
    replaced: list[tuple[dict, str, Any]] = []
    try:
        for name, tensor in parameters.items():
            path, _, last = name.rpartition(".")
            own = (module.get_submodule(path) if path else module).__dict__
            replaced.append((own, last, own[last]))
            own[last] = tensor
        return module(*args, **(kwargs or {}))
    finally:
        for own, last, tensor in reversed(replaced):
            own[last] = tensor
