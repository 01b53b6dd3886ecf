"""Tensors of random numbers: on the CPU PyTorch's, on a GPU such as a counter gives."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

import numgrad.device as devices

from .._generator import GeneratorState, check_weights
from ..autograd import tape
from ..dtypes import INT64, as_numpy_dtype, dtype, get_default_dtype
from ..dtypes import device as device_type
from ..kernels import checks
from ._core import (
    Tensor,
    _check_overlap,
    assign,
    broadcast_shapes,
    check,
    check_tensor,
    dense,
    empty,
    inplace,
    is_number,
    launch,
    needs_grad,
    record,
    type_name,
    wrap,
    write_out,
)
from ._core import zeros as new_zeros
from .creation import as_size, zeros
from .elementwise import add, clamp_min, div, mul
from .generator import Generator, stream_of
from .sorting import topk


def _memory_order(data: Any) -> list:
    """The dimensions in the order of memory, the one in which PyTorch draws."""
    if data.flags.c_contiguous:
        return list(range(data.ndim))
    return sorted(range(data.ndim), key=lambda k: -data.strides[k])


def _fill(tensor: Any, draw: Any, name: str) -> Any:
    """Fill a tensor in place by `draw(array)`, whatever its layout."""
    tape.check_inplace(tensor)
    _check_overlap(tensor)
    before = tape.alias(tensor) if needs_grad(tensor) else None
    data = tensor._data.transpose(_memory_order(tensor._data))
    if data.flags.c_contiguous:
        draw(data)
    else:
        fresh = empty(data.shape, data.dtype, data)
        draw(fresh)
        assign(data, fresh)
    tape.bump(tensor)
    if before is not None:
        history = wrap(tensor._data)
        record(history, f"{name}Backward0", _zero_backward, (before,))
        tape.adopt(tensor, history)
    return tensor


def _made(
    data: Any, method: str, arguments: tuple, generator: Any, requires_grad: bool, out: Any = None
) -> Any:
    """A tensor on new memory, drawn by a method of the stream, marked."""
    getattr(stream_of(generator, data), method)(data, *arguments)
    result = wrap(data)
    if out is not None:
        return write_out(out, result)
    return result.requires_grad_(True) if requires_grad else result


def _empty(shape: tuple, kind: np.dtype, where: Any, out: Any = None) -> Any:
    """New memory on a device, by default on that of `out`."""
    if where is None:
        return empty(shape, kind, None if out is None else out._data)
    target = device_type(where)
    if target.type == "cpu":
        return empty(shape, kind)
    return devices.empty_at(shape, kind, devices.cuda.index_of(target))


def _new(size: tuple, kind: Any, name: str, where: Any, out: Any = None) -> Any:
    if not size:
        raise TypeError(f'{name}() missing 1 required positional arguments: "size"')
    wanted = as_numpy_dtype(kind) if kind else get_default_dtype().numpy
    return _empty(as_size(size, name), wanted, where, out)


def rand(
    *size: Any,
    generator: Generator | None = None,
    out: Tensor | None = None,
    dtype: dtype | None = None,
    layout: Any = None,
    device: Any = None,
    requires_grad: bool = False,
    pin_memory: bool = False,
) -> Tensor:
    """Uniform numbers in [0, 1).

    >>> _ = numgrad.manual_seed(0)
    >>> numgrad.rand(3)
    tensor([0.4963, 0.7682, 0.0885])
    """
    data = _new(size or ((),) if out is not None else size, dtype, "rand", device, out)
    return _made(data, "uniform", (), generator, requires_grad, out)


def randn(
    *size: Any,
    generator: Generator | None = None,
    out: Tensor | None = None,
    dtype: dtype | None = None,
    layout: Any = None,
    device: Any = None,
    requires_grad: bool = False,
    pin_memory: bool = False,
) -> Tensor:
    """Normal numbers with mean 0 and standard deviation 1.

    >>> _ = numgrad.manual_seed(0)
    >>> numgrad.randn(3)
    tensor([ 1.5410, -0.2934, -2.1788])
    """
    data = _new(size or ((),) if out is not None else size, dtype, "randn", device, out)
    return _made(data, "normal", (), generator, requires_grad, out)


def randint(
    low: Any = 0,
    high: Any = None,
    size: Any = None,
    *,
    generator: Generator | None = None,
    out: Tensor | None = None,
    dtype: dtype | None = None,
    layout: Any = None,
    device: Any = None,
    requires_grad: bool = False,
    pin_memory: bool = False,
) -> Tensor:
    """Integers from `low` (0 if left out) up to but without `high`.

    >>> _ = numgrad.manual_seed(0)
    >>> numgrad.randint(10, (4,))
    tensor([4, 9, 3, 0])
    """
    if size is None:
        if hasattr(high, "__index__") or high is None:
            raise TypeError("randint() missing required argument: 'size', a tuple of ints")
        low, high, size = 0, low, high
    elif high is None:
        low, high = 0, low
    if hasattr(size, "__index__"):
        raise TypeError("randint(): argument 'size' must be tuple of ints, not int")
    kind = as_numpy_dtype(dtype) if dtype else INT64
    data = _empty(as_size((size,), "randint"), kind, device, out)
    return _made(data, "integers", (int(low), int(high)), generator, requires_grad, out)


def randperm(
    n: int,
    *,
    generator: Generator | None = None,
    out: Tensor | None = None,
    dtype: dtype | None = None,
    layout: Any = None,
    device: Any = None,
    requires_grad: bool = False,
    pin_memory: bool = False,
) -> Tensor:
    """The numbers 0 ... n - 1 in random order.

    >>> _ = numgrad.manual_seed(0)
    >>> numgrad.randperm(4)
    tensor([0, 1, 3, 2])
    """
    kind = as_numpy_dtype(dtype) if dtype else INT64
    data = _empty(as_size((n,), "randperm"), kind, device, out)
    if data.dtype.kind in "iu" and n and n - 1 > np.iinfo(data.dtype).max:
        raise RuntimeError(
            f"value cannot be converted to type {data.dtype.name}_t without overflow"
        )
    return _made(data, "permutation", (), generator, requires_grad, out)


def rand_like(input: Tensor, *, dtype: dtype | None = None, **options: Any) -> Tensor:
    """`rand` with the shape and dtype of `input`.

    >>> numgrad.rand_like(numgrad.zeros(2, 3)).shape
    torch.Size([2, 3])
    """
    return _like(input, dtype, "uniform", (), options)


def randn_like(input: Tensor, *, dtype: dtype | None = None, **options: Any) -> Tensor:
    """`randn` with the shape and dtype of `input`.

    >>> numgrad.randn_like(numgrad.zeros(2, 3)).shape
    torch.Size([2, 3])
    """
    return _like(input, dtype, "normal", (), options)


def randint_like(
    input: Tensor, low: int, high: int | None = None, *, dtype: dtype | None = None, **options: Any
) -> Any:
    """`randint` with the shape and dtype of `input`.

    >>> numgrad.randint_like(numgrad.zeros(3), 1)
    tensor([0., 0., 0.])
    """
    bounds = (0, int(low)) if high is None else (int(low), int(high))
    return _like(input, dtype, "integers", bounds, options)


def _like(input: Any, dtype: Any, method: str, arguments: tuple, options: dict) -> Any:
    """New memory of a tensor's shape and dtype, drawn by a method of the stream."""
    data = check_tensor(input, "rand_like", "input")._data
    order = _memory_order(data)
    dense = data.transpose(order)
    if not dense.flags.c_contiguous:  # no order of the dimensions makes the memory dense
        order, dense = list(range(data.ndim)), data
    kind, where = as_numpy_dtype(dtype) if dtype else data.dtype, options.pop("device", None)
    fresh = _empty(dense.shape, kind, where, input)
    generator, requires_grad = options.pop("generator", None), options.pop("requires_grad", False)
    for name in options:
        if name not in ("layout", "pin_memory", "memory_format"):
            raise TypeError(f"got an unexpected keyword argument '{name}'")
    result = _made(fresh, method, arguments, generator, requires_grad)
    if order != sorted(order):
        result._data = result._data.transpose(np.argsort(order))
    return result


def normal(
    mean: Any = 0.0,
    std: Any = 1.0,
    size: Any = None,
    *,
    generator: Generator | None = None,
    out: Tensor | None = None,
    dtype: dtype | None = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """Normal numbers with this mean and standard deviation (numbers, or tensors elementwise).

    >>> _ = numgrad.manual_seed(0)
    >>> numgrad.normal(10., 2., (2,))
    tensor([13.0820,  9.4131])
    """
    if size is not None:
        fresh = _new((size,), dtype, "normal", device, out)
        return _made(fresh, "normal", (mean, std), generator, requires_grad, out)
    shapes = [v._data.shape for v in (mean, std) if isinstance(v, Tensor)]
    if not shapes:
        raise TypeError("normal() missing required argument: 'size', a tuple of ints")
    if isinstance(std, Tensor):
        deviations = dense(std._data)
        bad = new_zeros(1, INT64, deviations)
        arguments = (deviations, bad, 0.0, math.inf)
        launch(checks.check_between, deviations.dtype, deviations.size, arguments)
        check(bad, 0, _raise_std)
    elif not std >= 0:
        raise RuntimeError(f"normal expects std >= 0.0, but found std {std:g}")
    like = (mean if isinstance(mean, Tensor) else std)._data
    data = empty(broadcast_shapes(*shapes), like.dtype, like)
    stream_of(generator, data).normal(data)
    with tape.set_grad(False):
        result = add(mul(wrap(data), std), mean)
    return result if out is None else write_out(out, result)


def _raise_std() -> None:
    raise RuntimeError("normal expects all elements of std >= 0.0")


def bernoulli(
    input: Tensor, p: Any = None, *, generator: Generator | None = None, out: Any = None
) -> Tensor:
    """Ones with the probabilities in `input` (or p), zeros otherwise.

    >>> numgrad.bernoulli(numgrad.tensor([0., 1.]))
    tensor([0., 1.])
    """
    data = check_tensor(input, "bernoulli", "input")._data
    drawn = empty(data.shape, data.dtype, data)
    _bernoulli(drawn, input if p is None else p, stream_of(generator, drawn))
    result = wrap(drawn)
    if data.dtype.kind == "f" and needs_grad(input):
        record(result, "BernoulliBackward0", _zero_backward, (input,))
    return result if out is None else write_out(out, result)


def _zero_backward(node: Any, grad: Any) -> Any:
    return wrap(new_zeros(grad._data.shape, grad._data.dtype, grad._data))


def _bernoulli(out: np.ndarray, p: Any, stream: GeneratorState) -> None:
    if isinstance(p, Tensor):
        stream.bernoulli_each(out, dense(np.broadcast_to(p._data, out.shape)))
    else:
        stream.bernoulli(out, p)


def multinomial(
    input: Tensor,
    num_samples: int,
    replacement: bool = False,
    *,
    generator: Generator | None = None,
    out: Tensor | None = None,
) -> Tensor:
    """Indices drawn with probabilities proportional to the weights in each row of `input`.

    >>> numgrad.multinomial(numgrad.tensor([0., 3., 0.]), 2, replacement=True)
    tensor([1, 1])
    """
    weights = check_tensor(input, "multinomial", "input")._data
    if weights.dtype.kind != "f":
        raise RuntimeError(
            "multinomial only supports floating-point dtypes for input, got: "
            f"{type_name(weights.dtype)}"
        )
    if weights.ndim not in (1, 2):
        raise RuntimeError("prob_dist must be 1 or 2 dim")
    if num_samples <= 0:
        raise RuntimeError("cannot sample n_sample <= 0 samples")
    if not replacement and num_samples > weights.shape[-1]:
        raise RuntimeError(
            "cannot sample n_sample > prob_dist.size(-1) samples without replacement"
        )
    weights = dense(weights)
    if replacement and num_samples > 1:
        drawn = empty((*weights.shape[:-1], num_samples), INT64, weights)
        stream_of(generator, weights).multinomial(drawn, weights)
    else:
        # The order in which independent arrivals come in, at these rates.
        check_weights(weights)
        arrivals = empty(weights.shape, weights.dtype, weights)
        stream_of(generator, weights).exponential(arrivals)
        waiting = clamp_min(wrap(arrivals), float(np.finfo(arrivals.dtype).tiny))
        drawn = topk(div(wrap(weights), waiting), num_samples)[1]._data
    result = wrap(drawn)
    return result if out is None else write_out(out, result)


def uniform_(
    self: Tensor, *bounds: float, generator: Generator | None = None, **named: float
) -> Tensor:
    """Fill with uniform numbers: `uniform_(from=0, to=1)`, without the upper bound.

    >>> _ = numgrad.manual_seed(0)
    >>> numgrad.empty(2).uniform_(-1, 1)
    tensor([-0.0075,  0.5364])
    """
    low, high = _bounds("uniform_", bounds, named, 0.0, 1.0)
    stream = stream_of(generator, self._data)
    if low > high:
        raise RuntimeError(
            f"uniform_ expects to return a [from, to) range, but found from={low:g} > to={high:g}"
        )
    return _fill(self, lambda out: stream.uniform(out, low, high), "Uniform")


def _bounds(function: str, bounds: tuple, named: dict, low: Any, high: Any) -> tuple:
    """The arguments `from` (which Python has as a keyword) and `to`."""
    if len(bounds) > 2:
        raise TypeError(f"{function}() takes at most 2 bounds, got {len(bounds)}")
    values = dict(zip(("from", "to"), bounds, strict=False))
    for name, value in named.items():
        if name not in ("from", "to") or name in values:
            raise TypeError(f"{function}() got an unexpected keyword argument '{name}'")
        values[name] = value
    return values.get("from", low), values.get("to", high)


def normal_(
    self: Tensor, mean: float = 0.0, std: float = 1.0, *, generator: Generator | None = None
) -> Tensor:
    """Fill with normal numbers.

    >>> _ = numgrad.manual_seed(0)
    >>> numgrad.empty(2).normal_(10, 2)
    tensor([13.0820,  9.4131])
    """
    stream, strided = stream_of(generator, self._data), not self._data.flags.c_contiguous
    return _fill(self, lambda out: stream.normal(out, mean, std, strided), "Normal")


def random_(self: Tensor, *bounds: int, generator: Generator | None = None, **named: int) -> Tensor:
    """Fill with integers: `random_()`, `random_(to)` or `random_(from, to)`, `to` left out.

    Without bounds they range over what the dtype holds from 0 on.

    >>> _ = numgrad.manual_seed(0)
    >>> numgrad.empty(3).random_(10)
    tensor([4., 9., 3.])
    """
    stream = stream_of(generator, self._data)
    if not bounds and not named:
        return _fill(self, stream.integers_of_dtype, "Random")
    if len(bounds) == 1 and not named:
        bounds = (0, *bounds)
    low, high = _bounds("random_", bounds, named, 0, None)
    return _fill(self, lambda out: stream.integers(out, low, high), "Random")


def bernoulli_(self: Tensor, p: Any = 0.5, *, generator: Generator | None = None) -> Tensor:
    """Fill with ones of probability p (a number, or a tensor of them), zeros otherwise."""
    stream = stream_of(generator, self._data)
    if isinstance(p, Tensor):
        each = np.broadcast_to(p._data, self._data.shape)
        each = dense(each.transpose(_memory_order(self._data)))
        return _fill(self, lambda out: stream.bernoulli_each(out, each), "Bernoulli")
    return _fill(self, lambda out: stream.bernoulli(out, p), "Bernoulli")


def exponential_(self: Tensor, lambd: float = 1.0, *, generator: Generator | None = None) -> Tensor:
    """Fill with exponentially distributed numbers of rate `lambd`."""
    stream = stream_of(generator, self._data)
    return _fill(self, lambda out: stream.exponential(out, lambd), "Exponential")


def cauchy_(
    self: Tensor, median: float = 0.0, sigma: float = 1.0, *, generator: Generator | None = None
) -> Tensor:
    """Fill with numbers of the Cauchy distribution."""
    stream = stream_of(generator, self._data)
    return _fill(self, lambda out: stream.cauchy(out, median, sigma), "Cauchy")


def log_normal_(
    self: Tensor, mean: float = 1.0, std: float = 2.0, *, generator: Generator | None = None
) -> Tensor:
    """Fill with numbers whose logarithm is normal."""
    stream = stream_of(generator, self._data)
    return _fill(self, lambda out: stream.log_normal(out, mean, std), "LogNormal")


def geometric_(self: Tensor, p: float, *, generator: Generator | None = None) -> Tensor:
    """Fill with how many trials of probability p it takes until the first success."""
    stream = stream_of(generator, self._data)
    return _fill(self, lambda out: stream.geometric(out, p), "Geometric")


def dropout(input: Tensor, p: float = 0.5, train: bool = True) -> Tensor:
    """In training, elements set to 0 with probability p and the others scaled by 1 / (1 - p).

    >>> numgrad.dropout(numgrad.ones(3), 0.5, train=False)
    tensor([1., 1., 1.])
    """
    data = check_tensor(input, "dropout", "input")._data
    if not is_number(p) or not 0 <= p <= 1:
        raise ValueError(f"dropout probability has to be between 0 and 1, but got {p}")
    if not train or p == 0 or data.size == 0:
        return input
    if data.dtype.kind != "f":
        raise RuntimeError(
            "result type Float can't be cast to the desired output type " + type_name(data.dtype)
        )
    if p == 1:
        return mul(input, zeros((), dtype=input.dtype))
    mask = empty(data.shape, data.dtype, data)
    stream_of(None, mask).bernoulli(mask, 1 - p, 1 / (1 - p))
    return mul(input, wrap(mask))


dropout_ = inplace(dropout)
