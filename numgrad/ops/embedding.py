"""Class numbers and what they stand for: one-hot rows and rows of a weight matrix."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..autograd import tape
from ..autograd.tape import mode
from ..dtypes import FLOAT64, INT64
from ..kernels import indexing as kernels
from ..kernels import sorting as finding
from . import _core
from ._core import (
    Tensor,
    cast,
    check_tensor,
    copy_array,
    launch,
    needs_grad,
    record,
    type_name,
    unpack,
    wrap,
)
from ._place import (
    WIDE,
    Place,
    check_range,
    place_along,
    raise_in_self,
    read,
    read_array,
    write_rows,
)
from .elementwise import eq, mul, reciprocal
from .masking import masked_fill
from .views import reshape, unsqueeze


def one_hot(tensor: Tensor, num_classes: int = -1) -> Tensor:
    """Class numbers as rows of zeros with a one; as many classes as needed by default.

    >>> numgrad.nn.functional.one_hot(numgrad.tensor([0, 2]))
    tensor([[1, 0, 0],
            [0, 0, 1]])
    """
    data = check_tensor(tensor, "one_hot", "tensor")._data
    if data.dtype != INT64:
        raise RuntimeError("one_hot is only applicable to index tensor of type LongTensor.")
    if data.size == 0:
        if num_classes <= 0:
            raise RuntimeError("Can not infer total number of classes from empty tensor.")
        return wrap(_core.zeros((*data.shape, num_classes), INT64, data))
    if num_classes == -1:
        largest = int(_core.values(data, "one_hot without num_classes").max())
        num_classes = max(largest, 0) + 1
    check_range(data, 0, num_classes, _raise_class, data)
    out = _core.zeros((*data.shape, num_classes), INT64, data)
    classes = _core.dense(data)
    sizes = (float(num_classes), 1.0, 1.0, 0.0)
    launch(kernels.put_along, WIDE, data.size, (_core.number(1, WIDE), classes, out, *sizes))
    return wrap(out)


def _raise_class(classes: Any) -> None:
    """PyTorch's error for a class number out of range."""
    if classes.min() < 0:
        raise RuntimeError("Class values must be non-negative.")
    raise RuntimeError("Class values must be smaller than num_classes.")


def embedding(
    input: Tensor,
    weight: Tensor,
    padding_idx: int | None = None,
    max_norm: float | None = None,
    norm_type: float = 2.0,
    scale_grad_by_freq: bool = False,
    sparse: bool = False,
) -> Tensor:
    """Rows of `weight` by their numbers, in the shape of `input` and one dimension more.

    The row `padding_idx` gets no gradient. With `max_norm` the rows that are read are first scaled
    down, in place, to that `norm_type`-norm at most. `sparse` is accepted; gradients are dense.

    >>> weight = numgrad.tensor([[1., 2.], [3., 4.]])
    >>> numgrad.nn.functional.embedding(numgrad.tensor([1, 0]), weight)
    tensor([[3., 4.],
            [1., 2.]])
    """
    index = check_tensor(input, "embedding", "indices", 2)
    table = check_tensor(weight, "embedding", "weight")._data
    if index._data.dtype != INT64:
        if index._data.dtype != np.int32:
            raise RuntimeError(
                "Expected tensor for argument #1 'indices' to have one of the following scalar "
                f"types: Long, Int; but got torch.{type_name(index._data.dtype)}Tensor instead "
                "(while checking arguments for embedding)"
            )
        index = cast(index, INT64)
    if table.ndim != 2:
        raise RuntimeError("'weight' must be 2-D")
    rows = table.shape[0]
    skip = -1
    if padding_idx is not None:
        if not -rows <= padding_idx < rows:
            raise AssertionError("Padding_idx must be within num_embeddings")
        skip = padding_idx % rows
    positions = index._data
    if max_norm is not None:
        check_range(positions, 0, rows, raise_in_self)
        _limit(weight, positions, max_norm, norm_type)
    place = place_along(table.shape, 0, positions.shape, positions.size)
    result = wrap(read_array(table, place, positions, False))
    if mode.enabled and needs_grad(weight):
        context = (place, skip, scale_grad_by_freq)
        record(result, "EmbeddingBackward0", _embedding_backward, (weight,), (index,), context)
    return result


def _limit(weight: Any, positions: Any, max_norm: float, norm_type: float) -> None:
    """Scale the rows at these positions down to a norm, in place, outside the graph."""
    used = np.unique(_core.values(positions, "embedding with max_norm"))
    with tape.set_grad(False):
        tape.check_inplace(weight)
    table = weight._data
    target = table if table.flags.c_contiguous else _core.copy_array(table, table.dtype)
    launch(
        kernels.limit_rows,
        table.dtype,
        used.size,
        (target, used, float(max_norm), float(norm_type)),
        used.size * table.shape[1],
    )
    if target is not table:
        _core.assign(table, target)
    tape.bump(weight)


def _embedding_backward(node: Any, grad: Any) -> Any:
    (index,) = unpack(node)
    place, skip, by_frequency = node.context
    if by_frequency:
        positions = _core.dense(index._data)
        counts = _core.zeros(place.n, INT64, positions)
        launch(finding.count_values, WIDE, 1, (positions, counts))
        each = place_along((place.n,), 0, positions.shape, positions.size)
        shares = reciprocal(wrap(copy_array(read_array(counts, each, positions), FLOAT64)))
        grad = mul(grad, unsqueeze(cast(shares, grad._data.dtype), -1))
    return _sum_rows(grad, place, index, skip)


def _sum_rows(grad: Any, place: Place, index: Any, skip: int) -> Any:
    """Zeros, and the rows of `grad` added at their index, apart from the index `skip`."""
    data = _core.zeros(place.source, grad._data.dtype, grad._data)
    write_rows(kernels.add_rows, data, place, index._data, grad._data, skip)
    result = wrap(data)
    if mode.enabled and needs_grad(grad):
        record(result, "EmbeddingDenseBackward0", _rows_back, (grad,), (index,), (place, skip))
    return result


def _rows_back(node: Any, grad: Any) -> Any:
    (index,) = unpack(node)
    place, skip = node.context
    result = read(grad, place, index)
    if skip < 0:
        return result
    padding = eq(index, skip)
    return masked_fill(result, reshape(padding, (*padding._data.shape, 1)), 0)
