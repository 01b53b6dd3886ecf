"""How an operation is made: type rules, launching, recording, `out=` and in-place forms.

`unary`, `binary` and `nary` turn a kernel of the elementwise table into a function on tensors.
Structured operations compute their result with `launch` and `empty` and call `tape.record`.
"""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any
from typing import cast as as_type

import numpy as np

import numgrad.device as devices

from ..autograd import tape
from ..autograd.tape import Node, Variable, mode, needs_grad, record, refresh, unpack, wrap
from ..device import DeviceArray, cpu
from ..dtypes import (
    BOOL,
    FLOAT32,
    FROM_NUMPY,
    INT64,
    as_numpy_dtype,
    category,
    get_default_dtype,
    promote,
)
from ..kernels import elementwise as table
from ..kernels._elementwise import Elementwise
from ._signatures import Binary, Unary

if TYPE_CHECKING:
    from ..tensor import Tensor  # what the operations return, for editors and type checkers
else:
    Tensor = Variable

Operation = Callable[..., Tensor]
_ndarray = np.ndarray
_launch, _empty = cpu.launch, cpu.empty


# ---------------------------------------------------------------- memory and launching


def empty(shape: Any, dtype: np.dtype, like: Any = None) -> Any:
    """New memory on the device of the array `like` (the CPU by default)."""
    if like is None or type(like) is _ndarray:
        return _empty(shape, dtype)
    return devices.of(like).empty(shape, dtype, like)


def zeros(shape: Any, dtype: np.dtype, like: Any = None) -> Any:
    """New memory of zeros."""
    if cpu.recorder is None and (like is None or type(like) is _ndarray):
        data = np.zeros(shape, dtype)  # a small one takes a fifth of a launch's time
        if data.nbytes < cpu.LARGE:
            return data
    data = empty(shape, dtype, like)
    launch(table.copy[dtype], dtype, data.size, (number(0, dtype), data))
    return data


def launch(kernel: Any, dtype: np.dtype, n: int, arguments: tuple, work: int | None = None) -> None:
    """Run a kernel over `n` work items on the device that holds its arguments.

    `arguments` are arrays, Python floats and tuples of arrays, in the kernel's order; `work` is
    the number of elements touched (default n times the kernel's cost), which decides between
    serial and parallel.
    """
    work = n * kernel.cost if work is None else work
    if devices.several:
        first = devices.home(arguments)
        if type(first) is DeviceArray:
            first.device_module.launch(kernel, dtype, n, arguments, work)
            return
    _launch(kernel, dtype, n, arguments, work)


def check(flag: Any, index: int, function: Callable, *arguments: Any) -> None:
    """After a launch: call `function(*arguments)`, which raises, if it set element `index` of
    `flag`. A compiled program makes the same check, with its own arrays among the arguments."""
    if cpu.recorder is None and type(flag) is _ndarray:
        if flag.item(index):
            function(*arguments)
    else:
        devices.of(flag).check(flag, index, function, *arguments)


def values(data: Any, what: str) -> np.ndarray:
    """The array, on the host, for Python to look at its values; `what` names the operation.

    What Python learns from it is not in a compiled program: the recording ends here.
    """
    if type(data) is _ndarray:
        return data if cpu.recorder is None else cpu.values(data, what)
    return devices.of(data).values(data, what)


def dense(data: Any) -> Any:
    """The array itself where it is C-contiguous, else a C-contiguous copy."""
    if type(data) is _ndarray:
        return data if data.flags.c_contiguous else copy_array(data, data.dtype)
    return devices.of(data).dense(data)


def copy_array(data: Any, dtype: np.dtype) -> Any:
    """A new C-contiguous array with the same elements, converted to `dtype`."""
    out = empty(data.shape, dtype, data)
    launch(table.copy[dtype], data.dtype, out.size, (data, out))
    return out


def assign(target: Any, source: Any) -> None:
    """target[...] = source, with broadcasting and conversion; overlapping memory is safe."""
    if type(source) is not type(target):
        source = devices.move(source, target)
    if source.dtype is target.dtype and np.may_share_memory(target, source):
        source = copy_array(source, source.dtype)
    launch(table.copy[target.dtype], source.dtype, target.size, (source, target))


# ----------------------------------------------------------------------- numbers


_numbers: dict[tuple, np.ndarray] = {}


def number(value: Any, dtype: np.dtype) -> np.ndarray:
    """A read-only 0-d array with this value, kept for the next time."""
    if type(value) is not float and cpu.recorder is not None and hasattr(value, "origin"):
        return cpu.recorder.number(value, dtype)
    # 0.0 and -0.0 are the same key.
    key = (value, dtype) if value or type(value) is int else (str(value), dtype)
    array = _numbers.get(key)
    if array is None:
        if dtype.kind in "iu" and type(value) is int:
            array = np.array(value).astype(dtype) if abs(value) < 1 << 63 else _too_large(value)
        else:
            array = np.array(value, dtype)
        array.flags.writeable = False
        if len(_numbers) > 4096:
            _numbers.clear()
        _numbers[key] = array
    return array


def _too_large(value: int) -> Any:
    raise RuntimeError(f"value cannot be converted to type int64_t without overflow: {value}")


_NUMBERS = (bool, int, float, np.generic)


def number_dtype(value: Any) -> np.dtype:
    """The dtype of a Python number where nothing else decides."""
    if isinstance(value, (bool, np.bool_)):
        return BOOL
    if isinstance(value, (int, np.integer)):
        return INT64
    return get_default_dtype().numpy


def result_dtype(operands: Sequence[Any]) -> np.dtype:
    """PyTorch's promotion: tensors with dimensions, then 0-d tensors, then Python numbers; a
    later group only counts where its category (bool, int, float) is higher."""
    result: np.dtype | None = None
    for rank in (0, 1, 2):
        group: np.dtype | None = None
        for operand in operands:
            if isinstance(operand, Variable):
                if (0 if operand._data.ndim else 1) != rank:
                    continue
                dtype = operand._data.dtype
            elif rank == 2:
                dtype = number_dtype(operand)
            else:
                continue
            group = dtype if group is None else promote(group, dtype)
        if group is not None:
            if result is None:
                result = group
            elif category(group) > category(result):
                result = promote(result, group) if rank == 1 and group.kind != "f" else group
                if rank == 2 and group.kind == "f":
                    result = get_default_dtype().numpy
    assert result is not None
    return result


def is_number(value: Any) -> bool:
    """Whether a value is a Python (or NumPy) number."""
    return isinstance(value, _NUMBERS)


def float_dtype(dtype: np.dtype) -> np.dtype:
    """The dtype itself if it is floating, else the default one."""
    return dtype if dtype.kind == "f" else get_default_dtype().numpy


def check_tensor(value: Any, function: str, name: str, position: int = 1) -> Any:
    """The value, if it is a tensor; else PyTorch's TypeError."""
    if isinstance(value, Variable):
        return value
    raise TypeError(
        f"{function}(): argument '{name}' (position {position}) must be Tensor, "
        f"not {type(value).__name__}"
    )


def check_same_device(*arrays: Any) -> None:
    """Raise PyTorch's error unless all arrays lie on one device."""
    found = list(dict.fromkeys("cpu" if type(a) is _ndarray else str(a.device) for a in arrays))
    if len(found) > 1:
        raise RuntimeError(
            "Expected all tensors to be on the same device, but found at least two devices, "
            f"{found[0]} and {found[1]}!"
        )


def normalize_dim(dim: int, ndim: int) -> int:
    """A non-negative dimension number; IndexError with PyTorch's sentence if out of range."""
    bound = max(ndim, 1)
    if not -bound <= dim < bound:
        raise IndexError(
            f"Dimension out of range (expected to be in range of [{-bound}, {bound - 1}], "
            f"but got {dim})"
        )
    return dim + bound if dim < 0 else dim


def broadcast_shapes(*shapes: tuple) -> tuple:
    """The shape to which all broadcast; PyTorch's RuntimeError where there is none."""
    result: tuple = ()
    for shape in shapes:
        if shape == result:
            continue
        if len(shape) > len(result):
            longer, shorter = shape, result
        else:
            longer, shorter = result, shape
        merged = list(longer)
        lead = len(longer) - len(shorter)
        for k, size in enumerate(shorter):
            own = merged[lead + k]
            if own == size or size == 1:
                continue
            if own != 1:
                a, b = result[k - len(shorter)], shape[k - len(shorter)]
                raise RuntimeError(
                    f"The size of tensor a ({a}) must match the size of tensor b ({b}) at "
                    f"non-singleton dimension {lead + k}"
                )
            merged[lead + k] = size
        result = tuple(merged)
    return result


def sum_to(grad: Any, shape: tuple) -> Any:
    """Sum a gradient over the dimensions that broadcasting added, back to `shape`."""
    from .reduction import sum

    lead = grad._data.ndim - len(shape)
    own = grad._data.shape
    dims = [*range(lead)] + [
        lead + k for k, size in enumerate(shape) if size == 1 and own[lead + k] != 1
    ]
    if dims:
        grad = sum(grad, dims, keepdim=True)
    if lead:
        from .views import reshape

        grad = reshape(grad, shape)
    return grad


# --------------------------------------------------------------------- out= and in place


def write_out(out: Any, result: Any) -> Any:
    """Put a result into the tensor given as `out`, as PyTorch does, and return that."""
    if not isinstance(out, Variable):
        raise TypeError(f"argument 'out' must be Tensor, not {type(out).__name__}")
    if mode.enabled and (out._requires_grad or result._requires_grad):
        raise RuntimeError(
            "functions with out=... arguments don't support automatic differentiation, but one "
            "of the arguments requires grad."
        )
    target, source = out._data, result._data
    if category(source.dtype) > category(target.dtype):
        raise RuntimeError(
            f"result type {type_name(source.dtype)} can't be cast to the desired output type "
            f"{type_name(target.dtype)}"
        )
    if target.shape != source.shape:
        if target.size:
            warnings.warn(
                f"An output with one or more elements was resized since it had shape "
                f"{list(target.shape)}, which does not match the required output shape "
                f"{list(source.shape)}.",
                stacklevel=3,
            )
        out._data = target = empty(source.shape, target.dtype, target)
    assign(target, source)
    tape.bump(out)
    return out


_TYPE_NAMES = {
    "float32": "Float",
    "float64": "Double",
    "int64": "Long",
    "int32": "Int",
    "int16": "Short",
    "int8": "Char",
    "uint8": "Byte",
    "bool": "Bool",
}


def type_name(dtype: np.dtype) -> str:
    """PyTorch's old name of a dtype, which its error messages use: Float, Long …"""
    return _TYPE_NAMES[dtype.name]


def inplace(
    operation: Callable,
    name: str | None = None,
    *,
    direct: Callable[..., bool] | None = None,
    named: Callable[..., bool] | None = None,
) -> Operation:
    """The in-place form of an operation: `add_` from `add`.

    `direct` (by default the operation's own, where it has one) tries to write straight into the
    tensor, and says whether it did; `named` does so for calls with keyword arguments.
    """
    name = name or operation.__name__ + "_"
    direct = direct or getattr(operation, "direct", None)

    def method(self: Any, *args: Any, **kwargs: Any) -> Any:
        if kwargs:
            if named is not None and named(self, *args, **kwargs):
                return self
        elif direct is not None and direct(self, *args):
            return self
        tape.check_inplace(self)
        _check_overlap(self)
        before = tape.alias(self) if mode.enabled else self
        result = operation(before, *args, **kwargs)
        node = result._node
        if node is not None and node.saved and any(kept is before for kept in node.saved):
            # The gradient needs the values from before: keep them apart from the write.
            counter = tape.Counter()
            counter.version = tape.version(before)
            before._data, before._counter = copy_array(before._data, before._data.dtype), counter
        overwrite(self, result, name)
        return self

    functools.update_wrapper(method, operation)
    method.__name__ = method.__qualname__ = name
    method.__doc__ = f"In-place version of `{operation.__name__}`."
    return method


#: Up to so many elements an in-place operation is one launch. A loop whose output is an input too
#: runs element by element; from here on two passes that are not are faster.
_DIRECT = 1 << 14


def _direct(kernel: Elementwise, kinds: str) -> Callable[..., bool] | None:
    """What launches a kernel from a tensor and other operands straight into that tensor, where
    nothing is recorded and dtypes (of these kinds), shapes and memory allow it."""
    if any(kernel.dtypes):
        return None
    count = len(kernel.inputs)

    def direct(self: Any, *others: Any) -> bool:
        x = self._data
        dtype = x.dtype
        if (
            type(x) is not _ndarray
            or x.size > _DIRECT
            or dtype.kind not in kinds
            or 0 in x.strides
            or cpu.recorder is not None
            or (
                (self._requires_grad or self._view is not None)
                and mode.enabled
                and _has_history(self)
            )
        ):
            return False
        arrays = [x]
        for other in others:
            kind = type(other)
            if kind is float or kind is int:
                if kind is float and dtype.kind != "f":
                    return False
                arrays.append(number(other, dtype))
                continue
            if not isinstance(other, Variable):
                return False
            y = other._data
            if y is not x:
                if y.dtype is not dtype or type(y) is not _ndarray or not _fits(y, x):
                    return False
            if other._requires_grad or other._view is not None:
                if mode.enabled and _has_history(other):
                    return False
            arrays.append(y)
        arrays.append(x)
        if len(arrays) != count + 1:
            return False
        n = x.size
        _launch(kernel, dtype, n, tuple(arrays), n)
        counter = self._counter
        if counter is None:
            counter = self._counter = tape.Counter()
        counter.version += 1
        return True

    return direct


def _has_history(tensor: Any) -> bool:
    """Whether operations on a tensor may have to be recorded."""
    view = tensor._view
    return tensor._requires_grad or (view is not None and view.base._requires_grad)


def _fits(y: Any, x: Any) -> bool:
    """Whether y broadcasts to x, and is the same memory element by element or other memory."""
    same = y.shape == x.shape
    if not same and y.ndim:
        lead = x.ndim - y.ndim
        if lead < 0:
            return False
        for n, wanted in zip(y.shape, x.shape[lead:], strict=True):
            if n != wanted and n != 1:
                return False
    if (y.base is None and x.base is None) or not np.may_share_memory(x, y):
        return True
    return same and y.strides == x.strides and y.ctypes.data == x.ctypes.data


def _check_overlap(tensor: Any) -> None:
    data = tensor._data
    if (
        0 in data.strides
        and data.size
        and any(n > 1 and s == 0 for n, s in zip(data.shape, data.strides, strict=True))
    ):
        raise RuntimeError(
            "unsupported operation: more than one element of the written-to tensor refers to a "
            "single memory location. Please clone() the tensor before performing the operation."
        )


def overwrite(tensor: Any, result: Any, name: str) -> None:
    """Write an operation's result into a tensor and give the tensor its history."""
    target, source = tensor._data, result._data
    if target.shape != source.shape:
        raise RuntimeError(
            f"output with shape {list(target.shape)} doesn't match the broadcast shape "
            f"{list(source.shape)}"
        )
    if category(source.dtype) > category(target.dtype):
        raise RuntimeError(
            f"result type {type_name(source.dtype)} can't be cast to the desired output type "
            f"{type_name(target.dtype)}"
        )
    launch(table.copy[target.dtype], source.dtype, target.size, (source, target))
    tape.bump(tensor)
    if mode.enabled and (tensor._requires_grad or result._requires_grad):
        if source.dtype != target.dtype and result._requires_grad:
            result = cast(result, target.dtype)
        tape.adopt(tensor, result)


# ------------------------------------------------------------------------ conversion


def cast(tensor: Any, dtype: np.dtype) -> Any:
    """The tensor with elements of another dtype (itself if it has it)."""
    data = tensor._data
    if data.dtype == dtype:
        return tensor
    result = wrap(copy_array(data, dtype))
    if dtype.kind == "f" and needs_grad(tensor):
        record(result, "ToCopyBackward0", _cast_backward, (tensor,), (), data.dtype)
    return result


def _cast_backward(node: Any, grad: Any) -> Any:
    return cast(grad, node.context)


# -------------------------------------------------------------------- elementwise


def node_name(name: str) -> str:
    """`AddBackward0` for `add`, `FloorDivideBackward0` for `floor_divide`."""
    return "".join(part.capitalize() for part in name.split("_")) + "Backward0"


_identity = table.identity


def derive(derivative: Elementwise, values: list, shape: tuple, links: bool = True) -> Any:
    """A gradient by its derivative kernel; traced on tensors where it must be differentiable.

    With `links` it is differentiable with respect to all `values`, if only with zeros.
    """
    if mode.enabled:
        for value in values:
            if value._requires_grad:
                return _traced(derivative, values, shape, links)
    arrays = [value._data for value in values]
    dtype = arrays[0].dtype
    out = empty(shape, dtype, devices.home(arrays))
    n = out.size
    launch(derivative, dtype, n, (*arrays, out))
    return wrap(out)


def _traced(derivative: Elementwise, values: list, shape: tuple, links: bool) -> Any:
    """A gradient by its derivative's formula, linked to every tensor that the formula names."""
    last = tape.last_order()
    result: Any = derivative.function(*values)
    if not isinstance(result, Variable):
        data = empty(shape, values[0]._data.dtype, values[0]._data)
        launch(table.copy[data.dtype], data.dtype, data.size, (number(result, data.dtype), data))
        return wrap(data)
    if not links:
        return result
    unlinked = []
    for k, value in enumerate(values):
        if value._requires_grad and derivative.inputs[k] != "grad":
            key = (derivative, k)
            reached = _reached.get(key)
            if reached is None:
                reached = _reached[key] = tape.reaches(result, value, last)
            if not reached:
                unlinked.append(value)
    if not unlinked:
        return result
    edges = tuple([tape.edge(value) for value in unlinked])
    return linked(result, edges, tuple([value._data.shape for value in unlinked]))


#: Whether the formula of a derivative depends, differentiably, on its k-th input.
_reached: dict[tuple[Elementwise, int], bool] = {}


def linked(result: Any, edges: tuple, shapes: tuple) -> Any:
    """A result with edges to where it does not depend on what lies there: the gradients along
    them are zeros of these shapes, where there would be none. PyTorch has them so too."""
    tensor = wrap(result._data)
    tensor._node = Node("LinkBackward0", _link_backward, (tape.edge(result), *edges), shapes)
    tensor._requires_grad = True
    return tensor


def _link_backward(node: Node, grad: Any) -> tuple:
    data = grad._data
    return (grad, *[wrap(zeros(shape, data.dtype, data)) for shape in node.context])


def unary(
    kernel: Elementwise,
    name: str,
    *,
    floating: bool = False,
    integers: Any = None,
    same_out: bool = False,
) -> Unary:
    """The function on tensors of a kernel with one input.

    With `floating`, integers are computed in the default float dtype; `integers` is a kernel that
    takes their place otherwise, or "same" for an operation that leaves them as they are. With
    `same_out`, `out` has to have the input's dtype.
    """
    node = node_name(name)
    result_type = kernel.dtypes[-1]
    derivative: Any  # None, or a kernel
    ((input_name, derivative),) = kernel.derivatives.items() or (("", None),)
    if derivative is not None:
        saved_names = [n for n in derivative.inputs if n != "grad"]
        grad_at = derivative.inputs.index("grad") if "grad" in derivative.inputs else 0
        passes = derivative.function is _identity
        keeps_input, keeps_output = input_name in saved_names, "out" in saved_names

    def rule(self: Any, grad: Any) -> Any:
        if passes:
            return grad
        values = unpack(self) if saved_names else []
        values.insert(grad_at, grad)
        return derive(derivative, values, grad._data.shape)

    rule.kernel = kernel  # type: ignore[attr-defined]  # for pictures of graphs

    def operation(input: Any, *, out: Any = None) -> Any:
        try:
            x = input._data
        except AttributeError:
            raise check_tensor(input, name, "input") from None
        dtype = x.dtype
        if out is not None and same_out and out._data.dtype != dtype:
            raise RuntimeError(
                f"Found dtype {type_name(out._data.dtype)} but expected {type_name(dtype)}"
            )
        chosen = kernel
        if dtype.kind != "f":
            if floating:
                input = cast(input, get_default_dtype().numpy)
                x = input._data
                dtype = x.dtype
            elif integers is not None:
                if integers == "same":
                    return input.clone() if out is None else write_out(out, input)
                if dtype.kind == "b":
                    _no_bool(name)
                chosen = integers
        data = empty(x.shape, result_type or dtype, x)
        launch(chosen, dtype, data.size, (x, data))
        result = wrap(data)
        if derivative is not None and (input._requires_grad or input._view is not None):
            if needs_grad(input) and dtype.kind == "f":
                kept = (
                    (input, result)
                    if keeps_input and keeps_output
                    else (input,)
                    if keeps_input
                    else (result,)
                    if keeps_output
                    else ()
                )
                record(result, node, rule, (input,), kept)
        return result if out is None else write_out(out, result)

    operation.__name__ = operation.__qualname__ = name
    operation.__doc__ = kernel.__doc__
    operation.direct = _direct(kernel, "f")  # type: ignore[attr-defined]
    return as_type(Unary, operation)


def _no_bool(name: str) -> None:
    if name == "neg":
        raise RuntimeError(
            "Negation, the `-` operator, on a bool tensor is not supported. If you are trying to "
            "invert a mask, use the `~` or `logical_not()` operator instead."
        )
    if name == "relu":
        raise RuntimeError("Boolean inputs not supported for relu")
    raise NotImplementedError(f"\"{name}_cpu\" not implemented for 'Bool'")


def nary(
    kernel: Elementwise, name: str, *, floating: bool = False, links: bool = True
) -> Operation:
    """The function on tensors and numbers of a kernel with any number of inputs.

    Without `links`, gradients don't depend on inputs that their formula only compares.
    """
    node = node_name(name)
    count = len(kernel.inputs)
    fixed = kernel.dtypes[:-1]
    result_type = kernel.dtypes[-1]
    derivatives = [kernel.derivatives.get(n) for n in kernel.inputs]
    free = [k for k in range(count) if fixed[k] is None]
    positions = {n: k for k, n in enumerate([*kernel.inputs, "out"])}
    # What each derivative takes: positions among the inputs, `count` for the output, -1 for grad.
    takes = [
        None if d is None else [-1 if n == "grad" else positions[n] for n in d.inputs]
        for d in derivatives
    ]
    passes = [d is not None and d.function is _identity for d in derivatives]

    def rule(self: Any, grad: Any) -> tuple:
        values = unpack(self) if self.saved != () else ()
        results: list[Any] = []
        shape = grad._data.shape
        for k, (edge, own_shape) in enumerate(zip(self.edges, self.context, strict=True)):
            derivative = derivatives[k]
            if edge is None or derivative is None:
                results.append(None)
                continue
            if passes[k]:
                own = grad
            else:
                taken = [grad if p < 0 else values[p] for p in takes[k]]  # type: ignore[union-attr]
                own = derive(derivative, taken, shape, links)
            if own._data.shape != own_shape:
                own = sum_to(own, own_shape)
            results.append(own)
        return tuple(results)

    rule.kernel = kernel  # type: ignore[attr-defined]

    def finish(tensors: list, arrays: list, dtype: np.dtype, shape: tuple) -> Any:
        data = empty(shape, result_type or dtype, devices.home(arrays))
        n = data.size
        launch(kernel, dtype, n, (*arrays, data))
        output = wrap(data)
        for tensor in tensors:
            if tensor is not None and (tensor._requires_grad or tensor._view is not None):
                break
        else:
            return output
        if dtype.kind == "f" and needs_grad(*[t for t in tensors if t is not None]):
            wanted: set[int] = set()
            inputs: list[Any] = [None] * count
            for k, tensor in enumerate(tensors):
                if tensor is not None and tensor._requires_grad and derivatives[k] is not None:
                    inputs[k] = tensor
                    if not passes[k]:
                        wanted.update(takes[k])  # type: ignore[arg-type]
            if any(t is not None for t in inputs):
                kept: tuple = ()
                if wanted - {-1}:
                    listed = [
                        (tensors[k] if tensors[k] is not None else wrap(arrays[k]))
                        if k in wanted
                        else None
                        for k in range(count)
                    ]
                    kept = (*listed, output if count in wanted else None)
                shapes = tuple([a.shape for a in arrays])
                record(output, node, rule, tuple(inputs), kept, shapes)
        return output

    def general(*operands: Any) -> Any:
        dtype: Any = None
        shape: Any = None
        fractional = floating
        place: Any = None
        tensors: list[Any] = []
        arrays: list[Any] = []
        # Tensors of one dtype, and numbers that it holds: nothing to promote.
        for k, operand in enumerate(operands):
            kind = type(operand)
            if kind is float or kind is int:
                fractional = fractional or (kind is float and fixed[k] is None)
                tensors.append(None)
                arrays.append(None)
                continue
            if not isinstance(operand, Variable):
                return mixed(*operands)
            own = operand._data
            here = -1 if type(own) is _ndarray else own.memory.index
            if place is None:
                place = here
            elif place != here:
                return mixed(*operands)
            if fixed[k] is not None:
                if own.dtype is not fixed[k]:
                    return mixed(*operands)
            elif dtype is None:
                dtype = own.dtype
            elif own.dtype is not dtype:
                return mixed(*operands)
            if shape is None:
                shape = own.shape
            elif own.shape != shape:
                shape = broadcast_shapes(shape, own.shape)
            tensors.append(operand)
            arrays.append(own)
        if dtype is None or (dtype.kind != "f" and (fractional or dtype.kind == "b")):
            return mixed(*operands)
        for k, array in enumerate(arrays):
            if array is None:
                arrays[k] = number(operands[k], fixed[k] or dtype)
        return finish(tensors, arrays, dtype, shape)

    def mixed(*operands: Any) -> Any:
        dtype = result_dtype([operands[k] for k in free])
        if floating and dtype.kind != "f":
            dtype = get_default_dtype().numpy
        tensors: list[Any] = []
        arrays: list[Any] = []
        for k, operand in enumerate(operands):
            own = fixed[k] or dtype
            if isinstance(operand, Variable):
                if operand._data.dtype != own:
                    operand = cast(operand, own)
                tensors.append(operand)
                arrays.append(operand._data)
            elif isinstance(operand, _NUMBERS):
                tensors.append(None)
                arrays.append(number(operand, own))
            else:
                check_tensor(operand, name, kernel.inputs[k], k + 1)
        if devices.several:
            arrays = _to_one_device(arrays, tensors)
        return finish(tensors, arrays, dtype, broadcast_shapes(*[a.shape for a in arrays]))

    general.__name__ = general.__qualname__ = name
    general.__doc__ = kernel.__doc__
    general.rule = rule  # type: ignore[attr-defined]
    general.direct = _direct(kernel, "f" if floating else "fiu")  # type: ignore[attr-defined]
    return general


def _to_one_device(arrays: list, tensors: list) -> list:
    """0-d CPU tensors go along with tensors on a GPU; one whose gradient is wanted is copied."""
    away = devices.home(arrays)
    if type(away) is _ndarray:
        return arrays
    for k, tensor in enumerate(tensors):
        if tensor is not None and not tensor._data.ndim and type(tensor._data) is _ndarray:
            if needs_grad(tensor):
                from .conversion import to_device

                tensors[k] = to_device(tensor, away.device)
                arrays[k] = tensors[k]._data
    check_same_device(*[a for a in arrays if type(a) is not _ndarray or a.ndim])
    return arrays


def _on_one_gpu(x: Any, y: Any, second: Any) -> bool:
    """Whether x and y lie on one GPU; a number (`second` is None then) lies on any."""
    if type(x) is _ndarray:
        return False
    return second is None or (type(y) is DeviceArray and x.memory.index == y.memory.index)


def binary(
    kernel: Elementwise,
    name: str,
    *,
    floating: bool = False,
    number_first: bool = False,
    links: bool = True,
) -> Binary:
    """The function on tensors and numbers of a kernel with two inputs, with `out`.

    The first operand may be a number where PyTorch takes one: with `number_first`.
    """
    general: Any = nary(kernel, name, floating=floating, links=links)
    result_type = kernel.dtypes[-1]

    def operation(input: Any, other: Any, *, out: Any = None) -> Any:
        try:
            x = input._data
            kind = type(other)
            if kind is float or kind is int:
                # A number takes the tensor's dtype, unless a float meets integers.
                if x.dtype.kind != "f":
                    result = general(input, other)
                    return result if out is None else write_out(out, result)
                y = number(other, x.dtype)
                plain = not (input._requires_grad or input._view is not None)
                second = None
            else:
                second = other
                y = other._data
                plain = not (
                    input._requires_grad
                    or other._requires_grad
                    or input._view is not None
                    or other._view is not None
                )
        except AttributeError:
            if not isinstance(input, Variable):
                if not isinstance(other, Variable):
                    check_tensor(input, name, "input")
                if not number_first:
                    raise TypeError(
                        f"{name}() received an invalid combination of arguments - got "
                        f"({type(input).__name__}, Tensor), but expected one of:\n"
                        " * (Tensor input, Tensor other, *, Tensor out = None)\n"
                        " * (Tensor input, Number other, *, Tensor out = None)"
                    ) from None
            result = general(input, other)
            return result if out is None else write_out(out, result)
        dtype = x.dtype
        if (
            y.dtype is dtype
            and (dtype.kind == "f" or not floating)
            and ((type(x) is _ndarray and type(y) is _ndarray) or _on_one_gpu(x, y, second))
        ):
            shape = x.shape
            own = y.shape
            if own != shape and own:
                shape = broadcast_shapes(shape, own)
            data: Any
            if type(x) is _ndarray:
                data = _empty(shape, result_type or dtype)
                n = data.size
                _launch(kernel, dtype, n, (x, y, data), n)
            else:
                data = devices.cuda.empty(shape, result_type or dtype, x)
                n = data.size
                devices.cuda.launch(kernel, dtype, n, (x, y, data), n)
            result = wrap(data)
            if not plain and mode.enabled and dtype.kind == "f":
                link(result, input, second if second is not None else y, x.shape, own)
        else:
            result = general(input, other)
        return result if out is None else write_out(out, result)

    derivatives = [kernel.derivatives.get(n) for n in kernel.inputs]
    uses = [set() if d is None else {n for n in d.inputs if n != "grad"} for d in derivatives]
    first, second = kernel.inputs
    has = [d is not None for d in derivatives]
    # For (needs first, needs second): which of first, second and the output to keep.
    plans = {}
    for a in (False, True):
        for b in (False, True):
            used = (uses[0] if a else set()) | (uses[1] if b else set())
            plans[a, b] = (first in used, second in used, "out" in used) if used else None
    node = node_name(name)
    rule = general.rule

    def link(result: Any, input: Any, other: Any, own: tuple, others: tuple) -> None:
        if input._view is not None:
            refresh(input)
        needs_first = input._requires_grad and has[0]
        needs_second = False
        if type(other) is _ndarray:
            other = wrap(other)  # a number
        else:
            if other._view is not None:
                refresh(other)
            needs_second = other._requires_grad and has[1]
        if not (needs_first or needs_second):
            return
        made = Node(
            node,
            rule,
            (
                (input._node or input) if needs_first else None,
                (other._node or other) if needs_second else None,
            ),
            (own, others),
        )
        result._node = made
        result._requires_grad = True
        plan = plans[needs_first, needs_second]
        if plan is not None:
            tape.save(
                made,
                (
                    input if plan[0] else None,
                    other if plan[1] else None,
                    result if plan[2] else None,
                ),
                result,
            )

    operation.__name__ = operation.__qualname__ = name
    operation.__doc__ = kernel.__doc__
    operation.general = general  # type: ignore[attr-defined]
    operation.direct = general.direct  # type: ignore[attr-defined]
    return as_type(Binary, operation)


def to_dtype(dtype: Any) -> np.dtype | None:
    """NumPy's dtype of an optional `dtype=` argument."""
    return None if dtype is None else as_numpy_dtype(dtype)


__all__ = [
    "FLOAT32",
    "FROM_NUMPY",
    "Tensor",
    "assign",
    "binary",
    "broadcast_shapes",
    "cast",
    "check",
    "check_same_device",
    "check_tensor",
    "copy_array",
    "dense",
    "derive",
    "empty",
    "float_dtype",
    "inplace",
    "is_number",
    "launch",
    "linked",
    "nary",
    "needs_grad",
    "node_name",
    "normalize_dim",
    "number",
    "number_dtype",
    "overwrite",
    "record",
    "result_dtype",
    "sum_to",
    "to_dtype",
    "type_name",
    "unary",
    "unpack",
    "wrap",
    "values",
    "write_out",
    "zeros",
]
