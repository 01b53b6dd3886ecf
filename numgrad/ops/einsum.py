"""Sums over named dimensions: einsum, tensordot, inner, kron and chains of matrix products.

Each pair of operands becomes one batched matrix product: its dimensions sort into those of the
batch (in both operands and in the result), those that only one operand has, and those summed over.
Operands are contracted from left to right.
"""

from __future__ import annotations

import math
import string
import warnings
from collections.abc import Sequence
from typing import Any

from ._core import Tensor, check_tensor, normalize_dim, type_name
from ._products import c_name, check_operands, into, no_bool, product
from .elementwise import mul
from .matmul import matmul
from .reduction import sum as sum_dims
from .views import diagonal, permute, reshape, unsqueeze

_LETTERS = string.ascii_uppercase + string.ascii_lowercase  # the order of an implicit output
_ELLIPSIS = -1  # in parsed subscripts; its dimensions are numbered from len(_LETTERS) on


# --------------------------------------------------------------------------- parsing


def _parse_equation(equation: str) -> tuple[list[list[int]], list[int] | None]:
    """The subscripts of every operand, and of the output unless it is implicit."""
    arrow = equation.find("->")
    inputs = equation if arrow < 0 else equation[:arrow]
    operands: list[list[int]] = [[]]
    position = 0
    while position < len(inputs):
        char = inputs[position]
        if char == ",":
            operands.append([])
        elif char == ".":
            where = f"operand {len(operands) - 1}"
            if _ELLIPSIS in operands[-1]:
                raise RuntimeError(
                    f"einsum(): found '.' for {where} for which an ellipsis was already found"
                )
            if not inputs.startswith("...", position):
                raise RuntimeError(
                    f"einsum(): found '.' for {where} that is not part of any ellipsis"
                )
            operands[-1].append(_ELLIPSIS)
            position += 2
        elif char != " ":
            operands[-1].append(_subscript(char, position))
        position += 1
    return operands, None if arrow < 0 else _parse_output(equation, arrow + 2)


def _parse_output(equation: str, position: int) -> list[int]:
    output: list[int] = []
    while position < len(equation):
        char = equation[position]
        if char == ".":
            if _ELLIPSIS in output:
                raise RuntimeError(
                    "einsum(): found '.' for output but an ellipsis (...) was already found"
                )
            if not equation.startswith("...", position):
                raise RuntimeError(
                    "einsum(): found '.' for output that is not part of any ellipsis (...)"
                )
            output.append(_ELLIPSIS)
            position += 2
        elif char != " ":
            label = _subscript(char, position)
            if label in output:
                raise RuntimeError(
                    f"einsum(): output subscript {char} appears more than once in the output"
                )
            output.append(label)
        position += 1
    return output


def _subscript(char: str, position: int) -> int:
    label = _LETTERS.find(char)
    if label < 0:
        raise RuntimeError(
            f"einsum(): invalid subscript given at index {position} in the equation string, "
            "subscripts must be in [a-zA-Z]"
        )
    return label


def _parse_lists(arguments: tuple) -> tuple[list, list[list[int]], list[int] | None]:
    """Operands and subscripts from `einsum(op, [0, 1], op, [1, 2], [0, 2])`."""
    operands, subscripts = list(arguments[::2]), [_labels(s) for s in arguments[1::2]]
    output = None
    if len(operands) > len(subscripts):
        output = _labels(operands.pop())
    return operands, subscripts, output


def _labels(sublist: Sequence) -> list[int]:
    labels = [_ELLIPSIS if label is Ellipsis else int(label) for label in sublist]
    if any(not _ELLIPSIS <= label < len(_LETTERS) for label in labels):
        raise ValueError(
            "einsum(): subscript in subscript list is not within the valid range [0, 52)"
        )
    return labels


# ---------------------------------------------------------------------------- einsum


def einsum(*args: Any) -> Tensor:
    """The sum of products that an equation names: einsum("ij,jk->ik", a, b) is a @ b.

    A letter names a dimension; dimensions with the same letter run together, and those that are
    not in the output are summed over. "..." stands for any further dimensions, which broadcast;
    without "->" the output is the letters that occur once, in alphabetical order (upper case
    first). Subscripts may also be given as lists of numbers below 52, after each operand.

    >>> a = numgrad.tensor([[1., 2.], [3., 4.]])
    >>> numgrad.einsum("ii", a), numgrad.einsum("ij,j->i", a, numgrad.tensor([1., 2.]))
    (tensor(5.), tensor([ 5., 11.]))
    """
    if len(args) < 2:
        raise ValueError(
            "einsum(): must specify the equation string and at least one operand, or at least one "
            "operand and its subscripts list"
        )
    if isinstance(args[0], str):
        given = args[1] if len(args) == 2 and isinstance(args[1], (list, tuple)) else args[1:]
        operands = list(given)
        subscripts, output = _parse_equation(args[0])
    else:
        operands, subscripts, output = _parse_lists(args)
    for position, operand in enumerate(operands):
        if not isinstance(operand, Tensor):
            raise TypeError(
                f"expected Tensor as element {position} in argument 1, but got "
                f"{type(operand).__name__}"
            )
    if len(subscripts) != len(operands):
        more = "fewer" if len(operands) < len(subscripts) else "more"
        raise RuntimeError(
            f"einsum(): {more} operands were provided than specified in the equation"
        )
    hidden = _expand_ellipses(operands, subscripts)
    output = _output_labels(subscripts, output, hidden)
    sizes = _sizes(operands, subscripts)
    pairs = [_prepare(*pair, sizes) for pair in zip(operands, subscripts, strict=True)]
    return _contract(pairs, output)


def _expand_ellipses(operands: list, subscripts: list[list[int]]) -> list[int]:
    """Replace every ellipsis by its dimensions' labels; all of those labels."""
    most = 0
    for position, (operand, labels) in enumerate(zip(operands, subscripts, strict=True)):
        ndim, named = operand._data.ndim, len(labels) - (_ELLIPSIS in labels)
        if _ELLIPSIS not in labels and named != ndim:
            raise RuntimeError(
                f"einsum(): the number of subscripts in the equation ({named}) does not match the "
                f"number of dimensions ({ndim}) for operand {position} and no ellipsis was given"
            )
        if named > ndim:
            raise RuntimeError(
                f"einsum(): the number of subscripts in the equation ({named}) is more than the "
                f"number of dimensions ({ndim}) for operand {position}"
            )
        if _ELLIPSIS in labels:
            most = max(most, ndim - named)
    hidden = list(range(len(_LETTERS), len(_LETTERS) + most))
    for operand, labels in zip(operands, subscripts, strict=True):
        if _ELLIPSIS in labels:
            at = labels.index(_ELLIPSIS)
            labels[at : at + 1] = hidden[most - (operand._data.ndim - len(labels) + 1) :]
    return hidden


def _output_labels(
    subscripts: list[list[int]], output: list[int] | None, hidden: list[int]
) -> list[int]:
    every = [label for labels in subscripts for label in labels]
    if output is None:
        letters = sorted({label for label in every if label < len(_LETTERS)})
        return hidden + [label for label in letters if every.count(label) == 1]
    result: list[int] = []
    for label in output:
        if label == _ELLIPSIS:
            result += hidden
        elif label not in every:
            raise RuntimeError(
                f"einsum(): output subscript {_LETTERS[label]} does not appear in the equation for "
                "any input operand"
            )
        else:
            result.append(label)
    return result


def _sizes(operands: list, subscripts: list[list[int]]) -> dict[int, int]:
    """The size of every label; 1 broadcasts."""
    sizes: dict[int, int] = {}
    for position, (operand, labels) in enumerate(zip(operands, subscripts, strict=True)):
        own: dict[int, int] = {}
        for label, size in zip(labels, operand._data.shape, strict=True):
            if own.setdefault(label, size) != size:
                raise RuntimeError(
                    f"einsum(): subscript {_LETTERS[label]} is repeated for operand {position} but "
                    f"the sizes don't match, {size} != {own[label]}"
                )
        for label, size in own.items():
            seen = sizes.setdefault(label, size)
            if seen == 1:
                sizes[label] = size
            elif size not in (1, seen):
                raise RuntimeError(_does_not_broadcast(label, size, seen, position))
    return sizes


def _does_not_broadcast(label: int, size: int, seen: int, position: int) -> str:
    if label < len(_LETTERS):
        return (
            f"einsum(): subscript {_LETTERS[label]} has size {size} for operand {position} which "
            f"does not broadcast with previously seen size {seen}"
        )
    return (
        f"einsum(): dimension {label - len(_LETTERS)} covered by ellipsis in operand {position}"
        f"has size {size} which does not broadcast with previously seen ellipsis with size {seen} "
        "for the respective dimension"
    )


def _prepare(operand: Any, labels: list[int], sizes: dict[int, int]) -> tuple[Any, list[int]]:
    """The operand with one dimension a label: diagonals taken, broadcast dimensions dropped."""
    labels = list(labels)
    for label in dict.fromkeys(labels):
        while labels.count(label) > 1:
            first = labels.index(label)
            second = labels.index(label, first + 1)
            operand = diagonal(operand, 0, first, second)
            del labels[second], labels[first]
            labels.append(label)
    shape = operand._data.shape
    kept = [k for k, n in enumerate(shape) if n == sizes[labels[k]]]
    if len(kept) < len(labels):
        operand = reshape(operand, tuple([shape[k] for k in kept]))
        labels = [labels[k] for k in kept]
    return operand, labels


def _contract(pairs: list[tuple[Any, list[int]]], output: list[int]) -> Any:
    """Multiply the operands one after another, summing over every label when it is last seen."""
    result, labels = pairs[0]
    for position in range(1, len(pairs)):
        later = set(output).union(*[own for _, own in pairs[position + 1 :]])
        result, labels = _multiply(result, labels, *pairs[position], later)
    result, labels = _sum_out(result, labels, set(output))
    if labels == output and len(pairs) > 1:
        return result
    if not output:
        return result
    return permute(result, tuple([labels.index(label) for label in output]))


def _sum_out(tensor: Any, labels: list[int], kept: set[int]) -> tuple[Any, list[int]]:
    dims = [k for k, label in enumerate(labels) if label not in kept]
    if not dims:
        return tensor, labels
    return sum_dims(tensor, dims), [label for label in labels if label in kept]


def _multiply(
    a: Any, a_labels: list[int], b: Any, b_labels: list[int], later: set[int]
) -> tuple[Any, list[int]]:
    """The product of two operands, summed over what neither the output nor a later one needs."""
    a, a_labels = _sum_out(a, a_labels, later | set(b_labels))
    b, b_labels = _sum_out(b, b_labels, later | set(a_labels))
    shared = [label for label in a_labels if label in b_labels]
    batch = [label for label in shared if label in later]
    summed = [label for label in shared if label not in later]
    left = [label for label in a_labels if label not in shared]
    right = [label for label in b_labels if label not in shared]
    labels = batch + left + right
    if not summed:
        a = permute(a, tuple([a_labels.index(label) for label in batch + left]))
        for _ in right:
            a = unsqueeze(a, -1)
        b = permute(b, tuple([b_labels.index(label) for label in batch + right]))
        for _ in left:
            b = unsqueeze(b, len(batch))
        return mul(a, b), labels
    sizes = dict(zip(a_labels + b_labels, a._data.shape + b._data.shape, strict=True))

    def matrices(tensor: Any, own: list[int], rows: list[int], columns: list[int]) -> Any:
        tensor = permute(tensor, tuple([own.index(label) for label in batch + rows + columns]))
        shape = [math.prod([sizes[label] for label in part]) for part in (batch, rows, columns)]
        return reshape(tensor, tuple(shape if batch else shape[1:]))

    a = matrices(a, a_labels, left, summed)
    b = matrices(b, b_labels, summed, right)
    if a._data.dtype != b._data.dtype:
        raise RuntimeError(
            f"expected scalar type {type_name(a._data.dtype)} but found {type_name(b._data.dtype)}"
        )
    no_bool(a, "bmm")
    result = product(a, b, name="BmmBackward0")
    return reshape(result, tuple([sizes[label] for label in labels])), labels


# ------------------------------------------------------------------------- tensordot


def tensordot(a: Tensor, b: Tensor, dims: Any = 2, out: Tensor | None = None) -> Tensor:
    """The sum of products over the last `dims` dimensions of `a` and the first of `b`, or over
    the pairs of two lists of dimensions.

    >>> numgrad.tensordot(numgrad.ones(2, 3, 4), numgrad.ones(3, 4, 5)).shape
    torch.Size([2, 5])
    """
    check_operands("tensordot", a=a, b=b)
    x, y = a._data, b._data
    a_dims, b_dims = _tensordot_dims(x.ndim, y.ndim, dims)
    if x.dtype != y.dtype:
        raise RuntimeError("both inputs should have same dtype")
    if len(a_dims) != len(b_dims):
        raise RuntimeError("both dimension lists should have same length")
    a_dims = [normalize_dim(dim, x.ndim) for dim in a_dims]
    b_dims = [normalize_dim(dim, y.ndim) for dim in b_dims]
    for listed in (a_dims, b_dims):
        for dim in listed:
            if listed.count(dim) > 1:
                raise RuntimeError(f"dim {dim} appears multiple times in the list of dims")
    for first, second in zip(a_dims, b_dims, strict=True):
        n, m = x.shape[first], y.shape[second]
        if n != m and m == 1:
            a = sum_dims(a, [first], keepdim=True)
        elif n != m and n == 1:
            b = sum_dims(b, [second], keepdim=True)
        elif n != m:
            raise RuntimeError(
                f"contracted dimensions need to match, but first has size {n} in dim {first} and "
                f"second has size {m} in dim {second}"
            )
    a_kept = [dim for dim in range(x.ndim) if dim not in a_dims]
    b_kept = [dim for dim in range(y.ndim) if dim not in b_dims]
    summed = math.prod([a._data.shape[dim] for dim in a_dims])
    a_shape, b_shape = [x.shape[dim] for dim in a_kept], [y.shape[dim] for dim in b_kept]
    wide = reshape(permute(a, tuple(a_kept + a_dims)), (math.prod(a_shape), summed))
    tall = reshape(permute(b, tuple(b_dims + b_kept)), (summed, math.prod(b_shape)))
    no_bool(a, "addmm_impl_cpu_")
    result = reshape(product(wide, tall), tuple(a_shape + b_shape))
    return result if out is None else into(out, result, "tensordot")


def _tensordot_dims(a_ndim: int, b_ndim: int, dims: Any) -> tuple[list[int], list[int]]:
    if isinstance(dims, Tensor):
        dims = dims.tolist()
    if isinstance(dims, int):
        if dims < 0:
            raise RuntimeError(f"tensordot expects dims >= 0, but got {dims=}")
        if dims > min(a_ndim, b_ndim):
            raise RuntimeError(f"tensordot expects dims < ndim_a or ndim_b, but got {dims=}")
        return list(range(a_ndim - dims, a_ndim)), list(range(dims))
    if isinstance(dims, (tuple, list)) and len(dims) == 2:
        for name, part in zip(("dims_self", "dims_other"), dims, strict=True):
            if isinstance(part, int):
                raise TypeError(f"tensordot(): argument '{name}' must be tuple of ints, not int")
        return list(dims[0]), list(dims[1])
    raise RuntimeError(
        "tensordot expects dims to be int or tuple[list[int], list[int]] or list[list[int]] "
        f"containing two lists, but got {dims=!s}"
    )


def inner(input: Tensor, other: Tensor, *, out: Tensor | None = None) -> Tensor:
    """The dot products over the last dimensions: shape input.shape[:-1] + other.shape[:-1].

    >>> numgrad.inner(numgrad.tensor([1, 2, 3]), numgrad.tensor([0, 2, 1]))
    tensor(7)
    """
    check_operands("inner", input=input, other=other)
    x, y = input._data, other._data
    if x.dtype != y.dtype:
        raise RuntimeError("both inputs should have same dtype")
    if x.ndim == 0 or y.ndim == 0:
        return mul(input, other, out=out)
    if x.shape[-1] != y.shape[-1]:
        raise RuntimeError(
            "inner() the last dimension must match on both input tensors but got shapes "
            f"{list(x.shape)} and {list(y.shape)}"
        )
    result = tensordot(input, other, ([-1], [-1]))
    return result if out is None else into(out, result, "inner")


def kron(input: Tensor, other: Tensor) -> Tensor:
    """The Kronecker product: every element of `input` times the whole of `other`.

    >>> numgrad.kron(numgrad.tensor([1, 10]), numgrad.tensor([1, 2]))
    tensor([ 1,  2, 10, 20])
    """
    check_operands("kron", input=input, other=other)
    x, y = input._data.shape, other._data.shape
    ndim = max(len(x), len(y))
    x, y = (1,) * (ndim - len(x)) + x, (1,) * (ndim - len(y)) + y
    spread_x = tuple([n for size in x for n in (size, 1)])
    spread_y = tuple([n for size in y for n in (1, size)])
    result = mul(reshape(input, spread_x), reshape(other, spread_y))
    return reshape(result, tuple([n * m for n, m in zip(x, y, strict=True)]))


# ---------------------------------------------------------------------------- chains


def multi_dot(tensors: Sequence[Tensor], *, out: Tensor | None = None) -> Tensor:
    """The product of several matrices in the order that takes the fewest operations; the first
    may be a row vector, the last a column vector.

    >>> numgrad.linalg.multi_dot([numgrad.ones(2, 3), numgrad.ones(3, 1), numgrad.ones(1)])
    tensor([3., 3.])
    """
    if len(tensors) < 2:
        raise RuntimeError(f"multi_dot(): expected at least 2 tensors but got {len(tensors)}")
    for position, tensor in enumerate(tensors):
        check_tensor(tensor, "multi_dot", "tensors", position + 1)
    _check_chain(tensors)
    first, last = tensors[0]._data.ndim == 1, tensors[-1]._data.ndim == 1
    matrices = list(tensors)
    if first:
        matrices[0] = unsqueeze(matrices[0], 0)
    if last:
        matrices[-1] = unsqueeze(matrices[-1], 1)
    result = _chain(matrices)
    rows, columns = result._data.shape
    result = reshape(result, (() if first else (rows,)) + (() if last else (columns,)))
    return result if out is None else into(out, result, "multi_dot")


def _check_chain(tensors: Sequence[Any]) -> None:
    last = len(tensors) - 1
    for position, tensor in enumerate(tensors):
        ndim = tensor._data.ndim
        if position in (0, last) and ndim not in (1, 2):
            which = "last" if position else "first"
            raise RuntimeError(f"multi_dot(): the {which} tensor must be 1D or 2D but got {ndim}D")
        if 0 < position < last and ndim != 2:
            raise RuntimeError(f"multi_dot(): tensor {position} must be 2D but got {ndim}D")
        if tensor._data.dtype != tensors[0]._data.dtype:
            raise RuntimeError(
                f"multi_dot(): all tensors must have be the same dtype but tensor 0 is "
                f"{c_name(tensors[0])} and tensor {position} {c_name(tensor)}"
            )
    for position in range(last):
        a, b = tensors[position]._data.shape, tensors[position + 1]._data.shape
        if a[-1] != b[0]:
            raise RuntimeError(
                f"multi_dot(): tensors {position} and {position + 1} with shapes {list(a)} and "
                f"{list(b)} cannot be multiplied"
            )


def _chain(matrices: list) -> Any:
    """The product of matrices, split where the multiplications are fewest."""
    sizes = [matrices[0]._data.shape[0], *[matrix._data.shape[1] for matrix in matrices]]
    count = len(matrices)
    cost = [[0] * count for _ in range(count)]
    split = [[0] * count for _ in range(count)]
    for length in range(1, count):
        for i in range(count - length):
            j = i + length
            options = [
                (cost[i][k] + cost[k + 1][j] + sizes[i] * sizes[k + 1] * sizes[j + 1], k)
                for k in range(i, j)
            ]
            cost[i][j], split[i][j] = min(options)

    def multiply(i: int, j: int) -> Any:
        if i == j:
            return matrices[i]
        k = split[i][j]
        return matmul(multiply(i, k), multiply(k + 1, j))

    return multiply(0, count - 1)


def chain_matmul(*matrices: Tensor, out: Tensor | None = None) -> Tensor:
    """The product of several matrices in the best order; `linalg.multi_dot` replaces it.

    >>> numgrad.chain_matmul(numgrad.ones(2, 3), numgrad.ones(3, 1), numgrad.ones(1, 2))
    tensor([[3., 3.],
            [3., 3.]])
    """
    warnings.warn(
        "torch.chain_matmul is deprecated and will be removed in a future PyTorch release. "
        "Use torch.linalg.multi_dot instead, which accepts a list of two or more tensors as "
        "parameters.",
        stacklevel=2,
    )
    if not matrices:
        raise RuntimeError("chain_matmul(): Expected one or more matrices")
    for matrix in matrices:
        if matrix._data.ndim != 2:
            raise RuntimeError(f"Tensor dimension is {matrix._data.ndim}, expected 2 instead.")
    if len(matrices) == 1:
        return matrices[0] if out is None else into(out, matrices[0], "chain_matmul")
    return multi_dot(matrices, out=out)
