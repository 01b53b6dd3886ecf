"""Numeric checks of gradients, in float64, to any order."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from . import tape
from .tape import Variable


class GradcheckError(RuntimeError):
    """The analytical gradient differs from the numerical one."""


def _outputs(function: Callable, inputs: tuple) -> list:
    results = function(*inputs)
    listed = results if isinstance(results, (tuple, list)) else (results,)
    return [r for r in listed if isinstance(r, Variable) and r._data.dtype.kind == "f"]


def gradcheck(
    func: Callable,
    inputs: Any,
    *,
    eps: float = 1e-6,
    atol: float = 1e-5,
    rtol: float = 1e-3,
    raise_exception: bool = True,
    nondet_tol: float = 0.0,
    check_undefined_grad: bool = True,
    check_batched_grad: bool = False,
    fast_mode: bool = False,
) -> bool:
    """Compare the gradients of `func` at `inputs` with central differences, element by element.

    Inputs that require a gradient should be float64. Raises `GradcheckError` (or returns False)
    on a difference above atol + rtol · |numerical|, and on gradients that differ between two runs.

    >>> x = numgrad.tensor([0.3, 0.7], dtype=numgrad.float64, requires_grad=True)
    >>> numgrad.autograd.gradcheck(numgrad.sin, (x,))
    True
    """
    inputs = (inputs,) if isinstance(inputs, Variable) else tuple(inputs)
    try:
        _check(func, inputs, eps, atol, rtol, nondet_tol)
    except GradcheckError:
        if raise_exception:
            raise
        return False
    return True


def _check(
    func: Callable, inputs: tuple, eps: float, atol: float, rtol: float, nondet_tol: float
) -> None:
    from . import grad

    wanted = [t for t in inputs if isinstance(t, Variable) and t._requires_grad]
    if not wanted:
        raise ValueError(
            "gradcheck expects at least one input tensor to require gradient, but none of the "
            "them have requires_grad=True."
        )
    for number, tensor in enumerate(wanted):
        if tensor._data.dtype != np.float64:
            import warnings

            warnings.warn(
                f"Input #{number} requires gradient and is not a double precision floating point. "
                "This check will likely fail if all the inputs are not of double precision "
                "floating point. ",
                stacklevel=3,
            )
    outputs = _outputs(func, inputs)
    for k, output in enumerate(outputs):
        size = output._data.size
        analytical = [np.zeros((t._data.size, size)) for t in wanted]
        if output._requires_grad:
            for j in range(size):
                seed = np.zeros(output._data.shape, output._data.dtype)
                seed.reshape(-1)[j] = 1
                found = [
                    grad(output, wanted, tape.wrap(seed), retain_graph=True, allow_unused=True)
                    for _ in range(2 if j == 0 else 1)
                ]
                for i, result in enumerate(found[0]):
                    if result is not None:
                        analytical[i][:, j] = result._data.reshape(-1)
                        again = found[-1][i]._data
                        if np.abs(result._data - again).max(initial=0) > nondet_tol:
                            raise GradcheckError(
                                "Backward is not reentrant, i.e., running backward with same input "
                                "and grad_output multiple times gives different values, although "
                                "analytical gradient matches numerical gradient."
                            )
        for i, tensor in enumerate(wanted):
            numerical = _numerical(func, inputs, tensor, k, eps, size)
            if not np.allclose(analytical[i], numerical, rtol, atol, equal_nan=True):
                raise GradcheckError(
                    f"Jacobian mismatch for output {k} with respect to input {i},\n"
                    f"numerical:{numerical}\nanalytical:{analytical[i]}\n"
                )


def _numerical(
    func: Callable, inputs: tuple, tensor: Variable, k: int, eps: float, size: int
) -> np.ndarray:
    """Central differences of output `k` with respect to every element of `tensor`."""
    jacobian = np.zeros((tensor._data.size, size))
    data = tensor._data
    with tape.set_grad(True):
        for position in np.ndindex(data.shape):
            i = int(np.ravel_multi_index(position, data.shape)) if position else 0
            kept = data[position]
            sides = []
            for step in (eps, -eps):
                data[position] = kept + step
                sides.append(np.array(_outputs(func, inputs)[k]._data, np.float64).reshape(-1))
            data[position] = kept
            jacobian[i] = (sides[0] - sides[1]) / (2 * eps)
    return jacobian


def gradgradcheck(
    func: Callable,
    inputs: Any,
    grad_outputs: Any = None,
    *,
    eps: float = 1e-6,
    atol: float = 1e-5,
    rtol: float = 1e-3,
    gen_non_contig_grad_outputs: bool = False,
    raise_exception: bool = True,
    nondet_tol: float = 0.0,
    check_undefined_grad: bool = True,
    check_grad_dtypes: bool = False,
    check_batched_grad: bool = False,
    fast_mode: bool = False,
) -> bool:
    """`gradcheck` of the gradients of `func`: second derivatives.

    >>> x = numgrad.tensor([0.3, 0.7], dtype=numgrad.float64, requires_grad=True)
    >>> numgrad.autograd.gradgradcheck(numgrad.sin, (x,))
    True
    """
    from . import grad

    inputs = (inputs,) if isinstance(inputs, Variable) else tuple(inputs)
    outputs = [o for o in _outputs(func, inputs) if o._requires_grad]
    if grad_outputs is None:
        generator = np.random.default_rng(0)
        seeds = []
        for output in outputs:
            seed = tape.wrap(
                np.array(generator.uniform(0.5, 1.5, output._data.shape), output._data.dtype)
            )
            seed._requires_grad = True
            seeds.append(seed)
    else:
        seeds = list(grad_outputs) if not isinstance(grad_outputs, Variable) else [grad_outputs]
    count = len(inputs)

    def first_order(*values: Any) -> tuple:
        listed = [o for o in _outputs(func, values[:count]) if o._requires_grad]
        wanted = [t for t in values[:count] if isinstance(t, Variable) and t._requires_grad]
        found = grad(listed, wanted, values[count:], create_graph=True, allow_unused=True)
        return tuple([g for g in found if g is not None])

    return gradcheck(
        first_order,
        (*inputs, *seeds),
        eps=eps,
        atol=atol,
        rtol=rtol,
        raise_exception=raise_exception,
        nondet_tol=nondet_tol,
    )
