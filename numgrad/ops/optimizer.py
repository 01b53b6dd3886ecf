"""Optimizer updates in place: all parameters of a group in one launch (one for each dtype).

Each function takes parameters that have a gradient, their state as lists of tensors in the same
order, and the hyper-parameters as numbers. Nothing is recorded: like PyTorch's optimizers these
write below autograd, and note the write in each parameter's version counter.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np

import numgrad.device as devices

from ..autograd.tape import bump
from ..device import cpu
from ..kernels import optimizer as kernels
from ..kernels._contract import Kernel
from ._core import FLOAT32, Tensor, assign, check_same_device, copy_array, launch

__all__ = ["adagrad_", "adam_", "rmsprop_", "sgd_"]

Tensors = Sequence[Tensor]


def sgd_(
    params: Tensors,
    momentum_buffers: Tensors | None,
    lr: float,
    weight_decay: float,
    maximize: bool,
    momentum: float = 0.0,
    dampening: float = 0.0,
    nesterov: bool = False,
) -> None:
    """Stochastic gradient descent; without momentum buffers the plain step."""
    options: tuple[float, ...] = (lr, weight_decay, -1.0 if maximize else 1.0)
    if momentum_buffers is None:
        _update(kernels.sgd, params, (), options)
    else:
        options = (*options, momentum, dampening, 1.0 if nesterov else 0.0)
        _update(kernels.sgd_momentum, params, (momentum_buffers,), options)


def adam_(
    params: Tensors,
    means: Tensors,
    squares: Tensors,
    maxima: Tensors | None,
    steps: Tensors,
    lr: float,
    weight_decay: float,
    maximize: bool,
    beta1: float,
    beta2: float,
    eps: float,
    decoupled: bool,
) -> None:
    """Adam, AdamW (`decoupled`) and AMSGrad (with `maxima`). `steps` (0-d, float32) go up by 1."""
    keep = 1.0
    if decoupled:
        keep, weight_decay = 1.0 - lr * weight_decay, 0.0
    sign = -1.0 if maximize else 1.0
    options = (lr, weight_decay, sign, beta1, beta2, eps, keep)
    if maxima is None:
        _update(kernels.adam, params, (means, squares), options, steps)
    else:
        _update(kernels.adam_amsgrad, params, (means, squares, maxima), options, steps)


_RMSPROP = {
    (False, False): kernels.rmsprop,
    (False, True): kernels.rmsprop_momentum,
    (True, False): kernels.rmsprop_centered,
    (True, True): kernels.rmsprop_centered_momentum,
}


def rmsprop_(
    params: Tensors,
    squares: Tensors,
    means: Tensors | None,
    momentum_buffers: Tensors | None,
    steps: Tensors,
    lr: float,
    weight_decay: float,
    maximize: bool,
    alpha: float,
    eps: float,
    momentum: float,
) -> None:
    """RMSprop; centered with `means`, with momentum where there are buffers for it."""
    states = [state for state in (squares, means, momentum_buffers) if state is not None]
    options = [lr, weight_decay, -1.0 if maximize else 1.0, alpha, eps]
    if momentum_buffers is not None:
        options.append(momentum)
    kernel = _RMSPROP[means is not None, momentum_buffers is not None]
    _update(kernel, params, states, tuple(options), steps)


def adagrad_(
    params: Tensors,
    sums: Tensors,
    steps: Tensors,
    lr: float,
    weight_decay: float,
    maximize: bool,
    lr_decay: float,
    eps: float,
) -> None:
    """Adagrad. `steps` (0-d, float32) go up by 1."""
    options = (lr, weight_decay, -1.0 if maximize else 1.0, lr_decay, eps)
    _update(kernels.adagrad, params, (sums,), options, steps)


def _float(value: Any) -> float:
    """As a float; a number that `compile` tracks stays one."""
    return value if isinstance(value, float) else float(value)


def _update(
    kernel: Kernel,
    params: Tensors,
    states: Sequence[Tensors],
    options: tuple[float, ...],
    steps: Tensors = (),
) -> None:
    """Count the steps, where there are any, and launch `kernel` on params, gradients and states."""
    data = tuple([param._data for param in params])
    grads = tuple([param._grad._data for param in params])
    columns = [data, grads, *[tuple([tensor._data for tensor in state]) for state in states]]
    counts = tuple([step._data for step in steps])
    dtype = data[0].dtype
    others = tuple(itertools.chain.from_iterable(columns[1:]))
    on_gpu = devices.several and type(devices.home((*data, *others, *counts))) is not np.ndarray
    if on_gpu:
        places = list(dict.fromkeys([param.device for param in params]))
        if len(places) > 1:
            for place in places:
                own = [k for k, param in enumerate(params) if param.device == place]
                part, *rest, last = ([t[k] for k in own if t] for t in (params, *states, steps))
                _update(kernel, part, rest, options, last)
            return
        check_same_device(*data, *others, *counts)
        size, unlike = sum(a.size for a in data), int(not _alike(data, others))
    else:
        found = np.empty(2, np.int64)
        cpu.run(kernels.survey, dtype, len(others), (data, others, found), 0)
        size, unlike = found.tolist()
    if counts:
        launch(kernels.advance, FLOAT32, len(counts), (counts,))
    if "steps" not in kernel.parameters:
        counts = ()
    if unlike or dtype.kind != "f":
        _update_unlike(kernel, params, states, options, counts)
        return
    if counts:
        columns.append(counts)
    launch(kernel, dtype, size, (*columns, *map(_float, options)), 2 * size)
    for param in params:
        bump(param)


def _alike(data: tuple, others: tuple) -> bool:
    """Whether all arrays are dense, of one dtype, and each of its parameter's size."""
    dtype = data[0].dtype
    pairs = zip(others, itertools.cycle(data), strict=False)
    return all(a.dtype is dtype and a.flags.c_contiguous for a in (*data, *others)) and all(
        a.size == b.size for a, b in pairs
    )


def _update_unlike(
    kernel: Kernel,
    params: Tensors,
    states: Sequence[Tensors],
    options: tuple[float, ...],
    counts: tuple,
) -> None:
    """As `_update`, for parameters of several dtypes or with gaps in memory: one at a time."""
    rows = list(zip(params, *states, strict=True))
    for param, *state in rows:
        wanted = param._data
        if wanted.dtype.kind != "f":
            raise RuntimeError(
                f"{kernel.name}: expected parameters of a floating-point dtype, got {wanted.dtype}"
            )
        for tensor in (param._grad, *state):
            if tensor._data.shape != wanted.shape:
                raise RuntimeError(
                    f"{kernel.name}: expected a gradient and a state of the parameter's size "
                    f"{list(wanted.shape)}, got {list(tensor._data.shape)}"
                )
    for k, (param, *state) in enumerate(rows):
        dtype = param._data.dtype
        grad = copy_array(param._grad._data, dtype)
        written = [tensor._data for tensor in (param, *state)]
        plain = [copy_array(array, dtype) for array in written]
        arrays = [(plain[0],), (grad,), *[(array,) for array in plain[1:]]]
        if counts:
            arrays.append((counts[k],))
        arguments = (*arrays, *map(float, options))
        launch(kernel, dtype, grad.size, arguments, 2 * grad.size)
        for target, source in zip(written, plain, strict=True):
            assign(target, source)
        bump(param)
