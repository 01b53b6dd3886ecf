"""Collation: a list of samples becomes one batch.

`default_collate` looks the type of the first sample up in a table of collate functions, and walks
into dicts, tuples and sequences. The table, `default_collate_fn_map`, may be extended in place.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Mapping, MutableMapping, MutableSequence, Sequence
from typing import Any

import numpy as np

from .. import ops
from ..dtypes import float64
from ..tensor import Tensor, tensor

__all__ = ["collate", "default_collate", "default_collate_fn_map", "default_convert"]

CollateMap = dict[type | tuple[type, ...], Callable[..., Any]]

_NOT_COLLATABLE = (
    "default_collate: batch must contain tensors, numpy arrays, numbers, dicts or lists; found {}"
)
_NO_TENSOR_KINDS = "SUO"  # kinds of NumPy dtypes that are no numbers


def _collate_tensors(
    batch: Sequence[Tensor], *, collate_fn_map: CollateMap | None = None
) -> Tensor:
    return ops.stack(batch)


def _collate_arrays(
    batch: Sequence[np.ndarray], *, collate_fn_map: CollateMap | None = None
) -> Tensor:
    dtype = batch[0].dtype
    if dtype.kind in _NO_TENSOR_KINDS:
        raise TypeError(_NOT_COLLATABLE.format(dtype))
    return collate([ops.as_tensor(array) for array in batch], collate_fn_map=collate_fn_map)


def _collate_numpy_scalars(
    batch: Sequence[np.generic], *, collate_fn_map: CollateMap | None = None
) -> Tensor:
    return ops.as_tensor(np.asarray(batch))


def _collate_floats(batch: Sequence[float], *, collate_fn_map: CollateMap | None = None) -> Tensor:
    return tensor(batch, dtype=float64)


def _collate_ints(batch: Sequence[int], *, collate_fn_map: CollateMap | None = None) -> Tensor:
    return tensor(batch)


def _keep(batch: Any, *, collate_fn_map: CollateMap | None = None) -> Any:
    return batch


#: From the type of a sample to the function that collates a list of them.
default_collate_fn_map: CollateMap = {
    Tensor: _collate_tensors,
    np.ndarray: _collate_arrays,
    (np.bool_, np.number, np.object_): _collate_numpy_scalars,
    float: _collate_floats,
    int: _collate_ints,
    str: _keep,
    bytes: _keep,
}


def collate(batch: Sequence[Any], *, collate_fn_map: CollateMap | None = None) -> Any:
    """Collate `batch` with the functions of `collate_fn_map`, walking into containers.

    The type of the first sample decides: by exact type, then by `isinstance` in the order of the
    map. Each function is called as `function(batch, collate_fn_map=...)`.
    """
    first = batch[0]
    kind = type(first)
    if collate_fn_map is not None:
        function = collate_fn_map.get(kind)
        if function is not None:
            return function(batch, collate_fn_map=collate_fn_map)
        for candidate, function in collate_fn_map.items():
            if isinstance(first, candidate):
                return function(batch, collate_fn_map=collate_fn_map)

    if isinstance(first, tuple):
        if hasattr(first, "_fields"):
            rows = zip(*batch, strict=False)
            return kind(*[collate(column, collate_fn_map=collate_fn_map) for column in rows])
        # A plain tuple of samples becomes a list, as in PyTorch.
        return _collate_columns(batch, collate_fn_map)
    if isinstance(first, Mapping):
        columns = {
            key: collate([sample[key] for sample in batch], collate_fn_map=collate_fn_map)
            for key in first
        }
        return _like_mapping(first, columns)
    if isinstance(first, Sequence):
        return _like_sequence(first, _collate_columns(batch, collate_fn_map))
    raise TypeError(_NOT_COLLATABLE.format(kind))


def _collate_columns(batch: Sequence[Any], collate_fn_map: CollateMap | None) -> list[Any]:
    """The first entries of all samples collated, then the second ones, and so on."""
    functions = collate_fn_map or {}
    collated = []
    try:
        columns = list(zip(*batch, strict=True))
    except ValueError:
        raise RuntimeError("each element in list of batch should be of equal size") from None
    for column in columns:
        function = functions.get(type(column[0]), collate)
        collated.append(function(column, collate_fn_map=collate_fn_map))
    return collated


def default_collate(batch: Sequence[Any]) -> Any:
    """Put a list of samples into a batch with one more dimension, the batch, in front.

    Tensors and NumPy arrays are stacked, numbers become a tensor (Python floats a float64 one),
    strings and bytes stay a list, and dicts, tuples and sequences are collated entry by entry.
    Anything else raises a TypeError; samples of unequal length or shape raise a RuntimeError.

    >>> from numgrad.utils.data import default_collate
    >>> default_collate([{"x": 1, "name": "a"}, {"x": 2, "name": "b"}])
    {'x': tensor([1, 2]), 'name': ['a', 'b']}
    >>> default_collate([(0, 0.5), (1, 1.5)])
    [tensor([0, 1]), tensor([0.5000, 1.5000], dtype=torch.float64)]
    """
    return collate(batch, collate_fn_map=default_collate_fn_map)


def default_convert(data: Any) -> Any:
    """Turn the NumPy arrays inside one sample into tensors; everything else stays as it is.

    This is what a `DataLoader` with `batch_size=None` does instead of collating.

    >>> import numpy as np
    >>> from numgrad.utils.data import default_convert
    >>> default_convert([np.array([0, 1]), "name"])
    [tensor([0, 1]), 'name']
    """
    if isinstance(data, Tensor):
        return data
    if isinstance(data, (np.ndarray, np.generic)):
        return data if data.dtype.kind in _NO_TENSOR_KINDS else ops.as_tensor(np.asarray(data))
    if isinstance(data, Mapping):
        return _like_mapping(data, {key: default_convert(data[key]) for key in data})
    if isinstance(data, Sequence) and not isinstance(data, (str, bytes)):
        values = [default_convert(value) for value in data]
        if isinstance(data, tuple):
            return type(data)(*values) if hasattr(data, "_fields") else values
        return _like_sequence(data, values)
    return data


def _like_mapping(template: Mapping[Any, Any], values: dict[Any, Any]) -> Any:
    """`values` in a mapping of the template's type, its further attributes included."""
    kind = type(template)
    if kind is dict:
        return values
    try:
        if isinstance(template, MutableMapping):
            clone = copy.copy(template)
            clone.update(values)
            return clone
        return kind(values)  # type: ignore[call-arg]
    except TypeError:
        return values  # a type that can neither be copied nor built from a dict


def _like_sequence(template: Sequence[Any], values: list[Any]) -> Any:
    """`values` in a sequence of the template's type, its further attributes included."""
    kind = type(template)
    if kind is list:
        return values
    try:
        if isinstance(template, MutableSequence):
            clone = copy.copy(template)
            _assign(clone, values)
            return clone
        return kind(values)  # type: ignore[call-arg]
    except TypeError:
        return values  # for instance a range


def _assign(sequence: MutableSequence[Any], values: Iterable[Any]) -> None:
    for i, value in enumerate(values):
        sequence[i] = value
