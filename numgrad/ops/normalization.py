"""Layer, batch, group, instance and RMS normalisation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..autograd import tape
from ..dtypes import FLOAT64
from ..kernels import normalization as kernels
from ..kernels import variance as variance_kernels
from ..kernels.reduction import sum_columns, sum_rows
from ._core import (
    Tensor,
    assign,
    check_tensor,
    copy_array,
    dense,
    empty,
    launch,
    mode,
    needs_grad,
    record,
    type_name,
    unpack,
    wrap,
)
from ._reduce import reduce_array
from .creation import fill_array
from .elementwise import add, mul, rsqrt, square, sub
from .reduction import mean, sum
from .variance import moments3
from .views import reshape

_SUM = (sum_rows, sum_columns)


def _constant(shape: tuple, value: float, data: Any) -> Any:
    out = empty(shape, data.dtype, data)
    fill_array(out, value)
    return out


def _affine(weight: Any, bias: Any, shape: tuple, data: Any) -> tuple[Any, Any]:
    """The arrays of weight and bias, 1 and 0 where there are none."""
    factor = _constant(shape, 1.0, data) if weight is None else dense(weight._data)
    shift = _constant(shape, 0.0, data) if bias is None else dense(bias._data)
    return factor, shift


def _check_dtype(name: str, input: Any, *others: Any) -> None:
    dtype = check_tensor(input, name, "input")._data.dtype
    if dtype.kind != "f":
        raise NotImplementedError(f"\"{name}\" not implemented for '{type_name(dtype)}'")
    for other in others:
        if other is not None and other._data.dtype != dtype:
            raise RuntimeError(
                f"expected scalar type {type_name(dtype)} but found {type_name(other._data.dtype)}"
            )


# ------------------------------------------------------------------------------- layer


def layer_norm(
    input: Tensor,
    normalized_shape: Sequence[int],
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
) -> Tensor:
    """(input - mean) / √(variance + eps) · weight + bias over the last dimensions.

    `normalized_shape` gives these dimensions; weight and bias have that shape.

    >>> numgrad.nn.functional.layer_norm(numgrad.tensor([[1., 2., 3.]]), (3,))
    tensor([[-1.2247,  0.0000,  1.2247]])
    """
    _check_dtype("LayerNormKernelImpl", input, weight, bias)
    shape = (normalized_shape,) if isinstance(normalized_shape, int) else tuple(normalized_shape)
    data = input._data
    if not shape or data.shape[max(data.ndim - len(shape), 0) :] != shape:
        listed = "".join(f", {n}" for n in shape)
        raise RuntimeError(
            f"Given normalized_shape={list(shape)}, expected input with shape [*{listed}], but got "
            f"input of size{list(data.shape)}"
        )
    for name, given in (("weight", weight), ("bias", bias)):
        if given is not None and given._data.shape != shape:
            raise RuntimeError(
                f"Expected {name} to be of same shape as normalized_shape, but got {name} of shape "
                f"{list(given._data.shape)} and normalized_shape = {list(shape)}"
            )
    data = dense(data)
    n = 1
    for size in shape:
        n *= size
    rows = data.size // n if n else 0
    factor, shift = _affine(weight, bias, shape, data)
    out, stats = empty(data.shape, data.dtype, data), empty((rows, 2), data.dtype, data)
    if out.size:
        arguments = (data, factor, shift, out, stats, float(n), float(eps))
        launch(kernels.layer_norm_forward, data.dtype, rows, arguments, 2 * out.size)
    result = wrap(out)
    tensors = [t for t in (input, weight, bias) if t is not None]
    if needs_grad(*tensors):
        inputs, saved = (input, weight, bias), (input, weight)
        context = (shape, n, float(eps), stats, factor)
        record(result, "NativeLayerNormBackward0", _layer_norm_backward, inputs, saved, context)
    return result


def _layer_norm_backward(node: Any, grad: Any) -> tuple:
    x, weight = unpack(node)
    shape, n, eps, stats, factor = node.context
    if mode.enabled:
        return _traced_layer_norm_backward(node, grad, x, weight)
    data, own = dense(x._data), dense(grad._data)
    dtype = data.dtype
    rows = stats.shape[0]
    out = empty(data.shape, dtype, data)
    affine = node.edges[1] is not None or node.edges[2] is not None
    block = kernels.rows_in_block(rows, type(data) is not np.ndarray)
    blocks = -(-rows // block)
    sums = empty((blocks, 2, n) if affine else 0, dtype, data)
    if out.size:
        arguments = (own, data, factor, stats, out, sums, float(n), float(block))
        launch(kernels.layer_norm_backward, dtype, blocks, arguments, 4 * out.size)
    if not affine:
        return wrap(out), None, None
    dweight, dbias = _halves(sums, shape, blocks)
    return wrap(out), dweight, dbias


def _halves(sums: Any, shape: tuple, blocks: int) -> tuple[Any, Any]:
    """The blocks' partial sums (blocks, 2, n) added, as two tensors of `shape`."""
    if blocks == 0:
        zero = _constant(shape, 0.0, sums)
        return wrap(zero), wrap(copy_array(zero, zero.dtype))
    n = sums.size // (2 * blocks)
    if blocks == 1:
        total = sums.reshape(2, n)
    else:
        total = reduce_array(_SUM, sums.reshape(blocks, 2 * n), (0,), (2, n), sums.dtype)
    return wrap(total[0].reshape(shape)), wrap(total[1].reshape(shape))


def _traced_layer_norm_backward(node: Any, grad: Any, x: Any, weight: Any) -> tuple:
    shape, _, eps, _, _ = node.context
    ndim = x._data.ndim
    inner = tuple(range(ndim - len(shape), ndim))
    outer = tuple(range(ndim - len(shape)))
    centred = sub(x, mean(x, inner, keepdim=True))
    rstd = rsqrt(add(mean(square(centred), inner, keepdim=True), eps))
    normal = mul(centred, rstd)
    own = grad if weight is None else mul(grad, weight)
    slope = mean(mul(own, normal), inner, keepdim=True)
    dx = mul(rstd, sub(sub(own, mean(own, inner, keepdim=True)), mul(normal, slope)))
    dweight, dbias = mul(grad, normal), grad
    if outer:
        dweight, dbias = sum(dweight, outer), sum(dbias, outer)
    return dx, dweight, dbias


# ------------------------------------------------------------------------------- batch


def batch_norm(
    input: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """(input - mean) / √(variance + eps) · weight + bias for each channel (dimension 1).

    In training the statistics are the batch's, and the running ones move towards them by
    `momentum` (in place); else the running ones are used.

    >>> x = numgrad.tensor([[1., 2.], [3., 6.]])
    >>> numgrad.nn.functional.batch_norm(x, None, None, training=True)
    tensor([[-1.0000, -1.0000],
            [ 1.0000,  1.0000]])
    """
    _check_dtype("batch_norm", input, weight, bias)
    data = dense(input._data)
    shape = data.shape
    if data.ndim < 2:
        raise ValueError(f"expected at least 2D input (got {data.ndim}D input)")
    channels, inner = shape[1], 1
    for n in shape[2:]:
        inner *= n
    count = shape[0] * inner
    if training and count == 1:
        raise ValueError(
            "Expected more than 1 value per channel when training, got input size "
            f"torch.Size([{', '.join(map(str, shape))}])"
        )
    named = {
        "running_mean": running_mean,
        "running_var": running_var,
        "weight": weight,
        "bias": bias,
    }
    for name, given in named.items():
        if given is not None and given._data.size != channels:
            raise RuntimeError(f"{name} should contain {channels} elements not {given._data.size}")
        if given is None and not training and name.startswith("running"):
            raise RuntimeError(f"{name} must be defined in evaluation mode")
    factor, shift = _affine(weight, bias, (channels,), data)
    if training:
        stats = _batch_stats(data, count, inner, running_mean, running_var, momentum, eps)
    else:
        stats = _fixed_stats(data, running_mean, running_var, eps)
    out = empty(shape, data.dtype, data)
    if out.size:
        arguments = (data, stats, factor, shift, out, float(inner))
        launch(kernels.batch_norm_apply, data.dtype, shape[0], arguments, out.size)
    result = wrap(out)
    tensors = [t for t in (input, weight, bias) if t is not None]
    if needs_grad(*tensors):
        inputs, saved = (input, weight, bias), (input, weight)
        fixed = None if training else stats
        context = (stats, factor, inner, float(count), float(eps), fixed)
        record(result, "NativeBatchNormBackward0", _batch_norm_backward, inputs, saved, context)
    return result


def _stats(
    data: Any, centre: Any, variance: Any, running: tuple, momentum: float, count: float, eps: float
) -> Any:
    channels = centre.size
    stats = empty((2, channels), data.dtype, data)
    arguments = (centre, variance, stats, *running, float(momentum), float(count), float(eps))
    launch(kernels.batch_norm_stats, data.dtype, 1, arguments, channels)
    return stats


def _batch_stats(
    data: Any,
    count: int,
    inner: int,
    running_mean: Any,
    running_var: Any,
    momentum: float,
    eps: float,
) -> Any:
    """The batch's statistics, and the running ones moved towards them."""
    samples, channels = data.shape[:2]
    dtype = data.dtype
    if data.size == 0:
        centre, variance = empty(channels, FLOAT64, data), empty(channels, dtype, data)
        for array in (centre, variance):
            fill_array(array, np.nan)
    elif inner == 1:
        centre, variance = moments3(data, 1, samples, channels, (channels,), 0.0, False)
    else:  # each channel of each sample, then the samples together
        rows = samples * channels
        centres, m2s = empty(rows, FLOAT64, data), empty(rows, dtype, data)
        sizes: tuple = (float(inner), float(inner), 0.0, -1.0)
        arguments: tuple = (data, centres, m2s, *sizes)
        launch(variance_kernels.variance_rows, dtype, rows, arguments, data.size)
        centre, variance = empty(channels, FLOAT64, data), empty(channels, dtype, data)
        sizes = (float(count), float(channels), float(inner), 0.0, 0.0)
        arguments = (centres, m2s, centre, variance, *sizes)
        launch(variance_kernels.variance_parts, dtype, channels, arguments, rows)
    if running_mean is None or running_var is None or data.size == 0:
        none = empty(0, dtype, data)
        return _stats(data, centre, variance, (none, none), 0.0, count, eps)
    moved = []
    for tensor in (running_mean, running_var):
        own = tensor._data
        same = own.dtype == dtype and own.flags.c_contiguous
        moved.append(own if same else copy_array(own, dtype))
    stats = _stats(data, centre, variance, tuple(moved), momentum, count, eps)
    for tensor, array in zip((running_mean, running_var), moved, strict=True):
        if array is not tensor._data:
            assign(tensor._data, array)
        tape.bump(tensor)
    return stats


def _fixed_stats(data: Any, running_mean: Any, running_var: Any, eps: float) -> Any:
    centre = copy_array(dense(running_mean._data), FLOAT64)
    variance = running_var._data
    variance = dense(variance) if variance.dtype == data.dtype else copy_array(variance, data.dtype)
    none = empty(0, data.dtype, data)
    return _stats(data, centre, variance, (none, none), 0.0, 2.0, eps)


def _batch_norm_backward(node: Any, grad: Any) -> tuple:
    x, weight = unpack(node)
    stats, factor, inner, count, _, fixed = node.context
    if mode.enabled:
        return _traced_batch_norm_backward(node, grad, x, weight)
    data, own = dense(x._data), dense(grad._data)
    dtype, samples, channels = data.dtype, data.shape[0], data.shape[1]
    out = empty(data.shape, dtype, data)
    block = kernels.rows_in_block(samples, type(data) is not np.ndarray)
    blocks = -(-samples // block)
    sums = empty((blocks, 2, channels), dtype, data)
    if out.size:
        arguments: tuple = (own, data, stats, sums, float(inner), float(block))
        launch(kernels.batch_norm_sums, dtype, blocks, arguments, 2 * data.size)
    if blocks > 1:
        sums = reduce_array(_SUM, sums, (0,), (1, 2, channels), dtype)
    elif not blocks:
        sums = _constant((1, 2, channels), 0.0, data)
    if out.size:
        given = count if fixed is None else np.inf
        arguments = (own, data, stats, factor, sums, out, float(inner), given)
        launch(kernels.batch_norm_backward, dtype, samples, arguments, 2 * data.size)
    return wrap(out), wrap(sums[0, 0]), wrap(sums[0, 1])


def _traced_batch_norm_backward(node: Any, grad: Any, x: Any, weight: Any) -> tuple:
    stats, _, _, _, eps, fixed = node.context
    ndim = x._data.ndim
    axes = (0, *range(2, ndim))
    shape = (1, -1, *[1] * (ndim - 2))
    if fixed is None:
        centred = sub(x, mean(x, axes, keepdim=True))
        rstd = rsqrt(add(mean(square(centred), axes, keepdim=True), eps))
    else:
        centred = sub(x, reshape(wrap(stats[0]), shape))
        rstd = reshape(wrap(stats[1]), shape)
    normal = mul(centred, rstd)
    own = grad if weight is None else mul(grad, reshape(weight, shape))
    if fixed is None:
        slope = mean(mul(own, normal), axes, keepdim=True)
        dx = mul(rstd, sub(sub(own, mean(own, axes, keepdim=True)), mul(normal, slope)))
    else:
        dx = mul(rstd, own)
    return dx, sum(mul(grad, normal), axes), sum(grad, axes)


def instance_norm(
    input: Tensor,
    running_mean: Tensor | None = None,
    running_var: Tensor | None = None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    use_input_stats: bool = True,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """Batch normalisation of each sample by itself.

    >>> numgrad.nn.functional.instance_norm(numgrad.tensor([[[1., 3.]]]))
    tensor([[[-1.0000,  1.0000]]])
    """
    from .joining import repeat

    samples, channels = input._data.shape[:2]
    rest = input._data.shape[2:]
    size = 1
    for n in rest:
        size *= n
    if use_input_stats and size == 1:
        shown = ", ".join(map(str, input._data.shape))
        raise ValueError(
            "Expected more than 1 spatial element when training, got input size "
            f"torch.Size([{shown}])"
        )
    tiled = [
        None if t is None else repeat(t, samples) for t in (running_mean, running_var, weight, bias)
    ]
    flat = reshape(input, (1, samples * channels, *rest))
    means, variances, weights, biases = tiled
    result = batch_norm(flat, means, variances, weights, biases, use_input_stats, momentum, eps)
    if use_input_stats:
        for tensor, copies in ((running_mean, means), (running_var, variances)):
            if tensor is not None and copies is not None:
                averaged = mean(reshape(copies, (samples, channels)), 0)
                assign(tensor._data, averaged._data)
                tape.bump(tensor)
    return reshape(result, input._data.shape)


# ----------------------------------------------------------------------- group and RMS


def group_norm(
    input: Tensor,
    num_groups: int,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
) -> Tensor:
    """Normalisation of each sample's channels in groups.

    >>> numgrad.nn.functional.group_norm(numgrad.tensor([[1., 3., 2., 6.]]), 2)
    tensor([[-1.0000,  1.0000, -1.0000,  1.0000]])
    """
    _check_dtype("GroupNormKernelImpl", input, weight, bias)
    shape = input._data.shape
    if len(shape) < 2:
        raise RuntimeError(
            f"Expected at least 2 dimensions for input tensor but received {len(shape)}"
        )
    if num_groups <= 0 or shape[1] % num_groups:
        raise RuntimeError(
            "Expected number of channels in input to be divisible by num_groups, but got input of "
            f"shape {list(shape)} and num_groups={num_groups}"
        )
    for name, given in (("weight", weight), ("bias", bias)):
        if given is not None and given._data.shape != shape[1:2]:
            raise RuntimeError(
                f"Expected {name} to be a vector of size equal to the number of channels in "
                f"input, but got {name} of shape {list(given._data.shape)} and input of shape "
                f"{list(shape)}"
            )
    size = 1
    for n in shape[1:]:
        size *= n
    rows = reshape(input, (shape[0] * num_groups, size // num_groups))
    result = reshape(layer_norm(rows, (size // num_groups,), eps=eps), shape)
    across = (1, -1, *[1] * (len(shape) - 2))
    if weight is not None:
        result = mul(result, reshape(weight, across))
    if bias is not None:
        result = add(result, reshape(bias, across))
    if result._node is not None:
        result._node.name = "NativeGroupNormBackward0"
    return result


def rms_norm(
    input: Tensor,
    normalized_shape: Sequence[int],
    weight: Tensor | None = None,
    eps: float | None = None,
) -> Tensor:
    """input / √(mean of squares + eps) · weight over the last dimensions.

    `eps` is the dtype's machine epsilon by default.

    >>> numgrad.nn.functional.rms_norm(numgrad.tensor([[3., 4.]]), (2,))
    tensor([[0.8485, 1.1314]])
    """
    _check_dtype("rms_norm", input)
    shape = (normalized_shape,) if isinstance(normalized_shape, int) else tuple(normalized_shape)
    data = input._data
    if not shape or data.shape[max(data.ndim - len(shape), 0) :] != shape:
        listed = "".join(f", {n}" for n in shape)
        raise RuntimeError(
            f"Given normalized_shape={list(shape)}, expected input with shape [*{listed}], but got "
            f"input of size{list(data.shape)}"
        )
    axes = tuple(range(data.ndim - len(shape), data.ndim))
    if eps is None:
        eps = float(np.finfo(data.dtype).eps)
    result = mul(input, rsqrt(add(mean(square(input), axes, keepdim=True), eps)))
    return result if weight is None else mul(result, weight)
