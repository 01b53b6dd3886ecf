"""From one scalar function to the CPU loop over arrays of any layout.

`Elementwise` holds a scalar function of the table in `elementwise.py`, its derivatives, and its
compiled loops, one for each dtype. The loop is one vectorised pass over blocks: an operand that is
C-contiguous and has the output's shape is read where it lies; any other (broadcast, strided, a
single number) is first gathered into a block-sized buffer on the stack, and an output that is not
contiguous is scattered from one. So every layout is right, and the scalar function is compiled once.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import llvmlite.binding as llvm
import numba
import numpy as np
from numba import njit
from numba.np.numpy_support import from_dtype

from . import _cache
from ._contract import (
    OPTIONS,
    PARALLEL_WORK,
    RANGE,
    _compile_lock,
    launcher,
    native_address,
)
from ._native import (
    ARRAY_DATA,
    ARRAY_FLAGS,
    ARRAY_NDIM,
    ARRAY_SHAPE,
    ARRAY_STRIDES,
    C_CONTIGUOUS,
    FLOAT_VALUE,
    address_of,
    as_pointer,
    convert,
    copy_bytes,
    get,
    get_apart,
    load_float64,
    load_int32,
    load_int64,
    pointer_at,
    put,
    put_apart,
    stack_buffer,
)
from ._scalar import ScalarFunction, scalar_function

BLOCK = 512  # elements gathered at a time: the buffers of three float64 operands stay in L1

DENSE, SINGLE, STRIDED = 0, 1, 2
_MAX_DIMS = 64  # NumPy's limit


def _layout_of(operand, out):
    """How the array object at `operand` lies beside the output it is broadcast to."""
    ndim = load_int32(operand + ARRAY_NDIM)
    shape, strides = load_int64(operand + ARRAY_SHAPE), load_int64(operand + ARRAY_STRIDES)
    count, single = 1, True
    for k in range(ndim):
        size = load_int64(shape + 8 * k)
        count *= size
        single = single and (size == 1 or load_int64(strides + 8 * k) == 0)
    total = 1
    shape = load_int64(out + ARRAY_SHAPE)
    for k in range(load_int32(out + ARRAY_NDIM)):
        total *= load_int64(shape + 8 * k)
    if count == total and load_int32(operand + ARRAY_FLAGS) & C_CONTIGUOUS:
        return DENSE
    return SINGLE if single and count > 0 else STRIDED


@njit(**OPTIONS)
def _walk(array, out, start, index, strides):
    """Set `index` to the position of flat element `start` of `out`, and `strides` to the byte
    strides of `array` broadcast to it; the byte offset of that element is the result."""
    ndim = load_int32(out + ARRAY_NDIM)
    lead = ndim - load_int32(array + ARRAY_NDIM)
    shape, own_shape = load_int64(out + ARRAY_SHAPE), load_int64(array + ARRAY_SHAPE)
    own_strides = load_int64(array + ARRAY_STRIDES)
    offset = 0
    rest = start
    for axis in range(ndim - 1, -1, -1):
        size = load_int64(shape + 8 * axis)
        stride = 0
        if axis >= lead and load_int64(own_shape + 8 * (axis - lead)) != 1:
            stride = load_int64(own_strides + 8 * (axis - lead))
        index[axis] = rest % size
        rest //= size
        strides[axis] = stride
        offset += index[axis] * stride
    return offset


@njit(**OPTIONS)
def _advance(out, index, strides, axis, offset):
    """Step `index` past the end of its last axis; the new byte offset."""
    shape = load_int64(out + ARRAY_SHAPE)
    while axis >= 0 and index[axis] >= load_int64(shape + 8 * axis):
        offset -= index[axis] * strides[axis]
        index[axis] = 0
        axis -= 1
        if axis >= 0:
            index[axis] += 1
            offset += strides[axis]
    return offset


@njit(**OPTIONS)
def _copy(target, target_stride, source, source_stride, count, dtype, itemsize):
    """Copy `count` elements between addresses, with strides in bytes."""
    if source_stride == 0 and target_stride == itemsize:
        value, copy = get(as_pointer(source, dtype), 0), as_pointer(target, dtype)
        for k in range(count):
            put(copy, k, value)
    else:
        for k in range(count):
            value = get(as_pointer(source + k * source_stride, dtype), 0)
            put(as_pointer(target + k * target_stride, dtype), 0, value)


def _move(array, out, start, count, buffer, itemsize, outwards):
    """buffer[k] = element start + k of `array` broadcast to the shape of `out`; `outwards` != 0:
    the reverse."""
    index = stack_buffer(numba.int64, 64)
    strides = stack_buffer(numba.int64, 64)
    offset = _walk(array, out, start, index, strides)
    data = load_int64(array + ARRAY_DATA)
    last = load_int32(out + ARRAY_NDIM) - 1
    size = load_int64(load_int64(out + ARRAY_SHAPE) + 8 * last) if last >= 0 else 1
    stride = strides[last] if last >= 0 else 0
    done = 0
    while done < count:
        run = min(count - done, size - index[last]) if last >= 0 else 1
        target, target_stride = buffer + done * itemsize, itemsize
        source, source_stride = data + offset, stride
        if outwards:
            target, target_stride, source, source_stride = source, stride, target, itemsize
        if source_stride == itemsize and target_stride == itemsize:
            copy_bytes(target, source, run * itemsize)
        elif itemsize == 4:
            _copy(target, target_stride, source, source_stride, run, numba.int32, 4)
        elif itemsize == 8:
            _copy(target, target_stride, source, source_stride, run, numba.int64, 8)
        elif itemsize == 1:
            _copy(target, target_stride, source, source_stride, run, numba.int8, 1)
        else:
            _copy(target, target_stride, source, source_stride, run, numba.int16, 2)
        done += run
        if last >= 0:
            index[last] += run
            offset = _advance(out, index, strides, last, offset + run * stride)


@numba.extending.intrinsic
def itemsize_of(typingctx, pointer):
    """Bytes of one element behind a pointer."""

    def codegen(context, builder, signature, args):
        size = context.get_abi_sizeof(context.get_data_type(pointer.dtype))
        return context.get_constant(numba.types.int64, size)

    return numba.types.int64(pointer), codegen


# What every elementwise loop needs for other layouts than the dense one is machine code of its own,
# called by symbol: compiled into each loop it would be most of its compile time.
_SYMBOLS = {
    "numgrad_layout": (_layout_of, numba.types.int64(*[numba.types.int64] * 2)),
    "numgrad_move": (_move, numba.types.void(*[numba.types.int64] * 7)),
}
layout_of, move = (
    numba.types.ExternalFunction(symbol, signature) for symbol, (_, signature) in _SYMBOLS.items()
)


@functools.cache
def _register_symbols() -> None:
    """Make the symbols known to LLVM, before the first loop that calls them is linked."""
    for symbol, (function, signature) in _SYMBOLS.items():
        key = _cache.key(_cache.fingerprint(function), symbol)
        llvm.add_symbol(symbol, native_address(function, signature, (symbol, "any"), key))


class Elementwise:
    """An elementwise kernel: `kernel(x, ..., out)` on NumPy arrays of any layout.

    `function` is the scalar function (usable in `@njit` code), `addresses[dtype]` the machine code
    of the loop for arrays of that dtype, `derivatives[name]` the elementwise kernel of the gradient
    for the input `name`; its own inputs are named `grad`, inputs of this function, or `out`.
    """

    def __init__(self, function: ScalarFunction, result: Any = None, cost: int = 1) -> None:
        self.function = function
        #: The work of one element, against one of `exp`: dearer functions go parallel sooner.
        self.cost = cost
        self.name = function.name
        self.__name__ = function.name
        self.__doc__ = function.__doc__
        signature = inspect.signature(function.py_func)
        self.inputs = list(signature.parameters)
        #: The dtype of each input and, last, of the output; None stands for T.
        self.dtypes: list[np.dtype | None] = [
            None if p.annotation is p.empty else np.dtype(p.annotation)
            for p in signature.parameters.values()
        ] + [None if result is None else np.dtype(result)]
        self.derivatives: dict[str, Elementwise] = {}
        self.addresses: dict[np.dtype, int] = {}

    def __fingerprint__(self) -> tuple:
        return (self.function, *self.dtypes)

    @functools.cached_property
    def twin(self) -> Any:
        """The CUDA form, from the same scalar function."""
        from .cuda.elementwise import ElementwiseTwin

        return ElementwiseTwin(self)

    def __repr__(self) -> str:
        return f"<elementwise kernel {self.name}({', '.join(self.inputs)})>"

    def backward(self, *names: str) -> Callable[[Callable], Elementwise]:
        """Declare the derivative for an input (by default the only one), or for several alike."""

        def declare(function: Callable) -> Elementwise:
            scalar = function if isinstance(function, ScalarFunction) else scalar_function(function)
            if scalar.name in ("_", "<lambda>"):
                scalar.name = f"{self.name}_backward" + (f"_{names[0]}" if names else "")
            derivative = Elementwise(scalar, cost=self.cost)
            known = {"grad", "out", *self.inputs}
            if not set(derivative.inputs) <= known:
                raise TypeError(f"{scalar.name}: parameters must be among {sorted(known)}")
            for name in names or (self.inputs[0],):
                if name not in self.inputs:
                    raise TypeError(f"{self.name} has no input {name!r}")
                self.derivatives[name] = derivative
            for position, name in enumerate(derivative.inputs):
                if name in self.inputs:
                    derivative.dtypes[position] = self.dtypes[self.inputs.index(name)]
            return derivative

        return declare

    @functools.cached_property
    def scope(self) -> dict[str, Any]:
        """The names in `source`, dtypes excepted."""
        return dict(_SCOPE, function=self.function)

    @functools.cached_property
    def source(self) -> str:
        """The loop as Python, before Numba compiles it."""
        count = len(self.inputs)
        numbers = range(count)
        lines = ["def trampoline(begin, end, items):"]
        lines += [f"    x{k} = load_int64(items + {8 * k})" for k in range(count + 1)]
        lines += [f"    layout{k} = layout_of(x{k}, x{count})" for k in range(count + 1)]
        lines += [
            f"    data{k} = as_pointer(load_int64(x{k} + ARRAY_DATA), dtype{k})"
            for k in range(count + 1)
        ]
        lines += [f"    buffer{k} = stack_buffer(dtype{k}, {BLOCK})" for k in range(count + 1)]
        dense = " and ".join(f"layout{k} == DENSE" for k in range(count + 1))
        lines += [
            f"    block = max(end - begin, 1) if {dense} else {BLOCK}",
            "    filled = min(block, end - begin)",
        ]
        for k in numbers:
            lines += [
                f"    if layout{k} == SINGLE:",
                f"        value{k} = get(data{k}, 0)",
                "        for i in range(filled):",
                f"            put(buffer{k}, i, value{k})",
            ]
        lines += ["    for start in range(begin, end, block):"]
        lines += ["        count = min(block, end - start)"]
        for k in numbers:
            lines += [
                f"        p{k} = buffer{k}",
                f"        if layout{k} == DENSE:",
                f"            p{k} = pointer_at(data{k}, start)",
                f"        elif layout{k} == STRIDED:",
                f"            move(x{k}, x{count}, start, count, address_of(buffer{k}), itemsize_of(buffer{k}), 0)",
            ]
        # In place, output and input are one array; element by element that is as if they lay apart.
        arguments = ", ".join(f"get_apart(p{k}, i, {k}, {count + 1})" for k in numbers)
        lines += [
            f"        target = buffer{count}",
            f"        if layout{count} == DENSE:",
            f"            target = pointer_at(data{count}, start)",
            "        for i in range(count):",
            f"            put_apart(target, i, function({arguments}), {count}, {count + 1})",
            f"        if layout{count} != DENSE:",
            f"            move(x{count}, x{count}, start, count, address_of(target), itemsize_of(target), 1)",
        ]
        return "\n".join(lines) + "\n"

    def trampoline(self, dtype: np.dtype) -> Callable:
        """The loop for T = `dtype`, as a function for Numba to compile."""
        _register_symbols()
        scope = dict(self.scope)
        for position, fixed in enumerate(self.dtypes):
            kind = fixed if fixed is not None else dtype
            scope[f"dtype{position}"] = getattr(numba, _numba_name(kind))
        exec(compile(self.source, f"<numgrad kernel {self.name}>", "exec"), scope)
        return scope["trampoline"]

    def compile(self, dtype: Any) -> int:
        """Compile for T = `dtype` (or load from the disk cache); the address of the machine code."""
        dtype = np.dtype(dtype)
        with _compile_lock:
            if dtype in self.addresses:
                return self.addresses[dtype]
            trampoline = self.trampoline(dtype)
            key = _cache.key(
                _cache.fingerprint(trampoline), (dtype.str, [str(d) for d in self.dtypes])
            )
            address = native_address(trampoline, RANGE, (self.name, dtype.name), key)
            self.addresses[dtype] = address
            return address

    def __call__(self, *arrays: np.ndarray) -> None:
        if len(arrays) != len(self.inputs) + 1:
            raise TypeError(
                f"{self.name} takes {len(self.inputs) + 1} arrays "
                f"({', '.join(self.inputs)}, out), got {len(arrays)}"
            )
        names = [*self.inputs, "out"]
        dtype: np.dtype | None = None
        out = arrays[-1]
        for name, value, fixed in zip(names, arrays, self.dtypes, strict=True):
            if not isinstance(value, np.ndarray):
                raise TypeError(f"{self.name}: {name} must be a NumPy array, got {type(value)}")
            expected = fixed
            if expected is None:
                expected = dtype = dtype or value.dtype
            if value.dtype != expected:
                raise TypeError(
                    f"{self.name}: {name} must have dtype {expected}, got {value.dtype}"
                )
            if np.broadcast_shapes(value.shape, out.shape) != out.shape:
                raise ValueError(
                    f"{self.name}: {name} of shape {value.shape} does not broadcast to "
                    f"the output's shape {out.shape}"
                )
            same = value.shape == out.shape and value.strides == out.strides
            if np.shares_memory(value, out) and not (same and _start(value) == _start(out)):
                raise ValueError(
                    f"{self.name}: {name} and out overlap without being the same array"
                )
        if not out.flags.writeable:
            raise ValueError(f"{self.name}: out is read-only")
        if dtype is None:
            dtype = np.dtype(np.float32)
        address = self.addresses.get(dtype) or self.compile(dtype)
        n, work = out.size, out.size * self.cost
        if work < PARALLEL_WORK:
            launcher.serial(address, n, arrays)
        else:
            launcher.parallel(address, n, work, arrays)


def _start(array: np.ndarray) -> int:
    return array.__array_interface__["data"][0]


class Step(NamedTuple):
    """One scalar function of a `Fused` kernel: its operands are inputs (0 …) or, as -1 - k, the
    results of earlier steps; its result has dtype `dtype`."""

    function: ScalarFunction
    operands: tuple[int, ...]
    dtype: np.dtype


class Fused(Elementwise):
    """Several elementwise functions in one loop, with any number of outputs.

    `kernel(x0, …, out0, …)`: inputs of any layout that broadcasts to the outputs' shape; outputs
    that are C-contiguous, of one shape, and overlap nothing. `results` are the steps whose results
    are written, in the order of the outputs.
    """

    def __init__(
        self, dtypes: Sequence[np.dtype], steps: Sequence[Step], results: Sequence[int]
    ) -> None:
        self.steps = tuple(steps)
        self.results = tuple(results)
        self.outputs = len(self.results)
        self.name = self.__name__ = "_".join(step.function.name.strip("_") for step in steps[:4])
        if len(steps) > 4:
            self.name = self.__name__ = f"{self.name}_and_{len(steps) - 4}_more"
        self.__doc__ = None
        self.inputs = [f"x{k}" for k in range(len(dtypes))]
        self.dtypes = [*dtypes, *[self.steps[k].dtype for k in self.results]]
        self.derivatives = {}
        self.addresses = {}

    @functools.cached_property
    def twin(self) -> Any:
        """The CUDA form, from the same steps."""
        from .cuda.elementwise import FusedTwin

        return FusedTwin(self)

    def __fingerprint__(self) -> tuple:
        return (*(step.function for step in self.steps), str(self.steps), self.results)

    @property
    def formulas(self) -> list[str]:
        """What the loop computes for each element, a line a step."""
        lines = []
        for k, step in enumerate(self.steps):
            operands = ", ".join(f"x{n}" if n >= 0 else f"s{-1 - n}" for n in step.operands)
            lines.append(f"s{k} = {step.function.name}({operands})")
        lines.append("writes " + ", ".join(f"s{k}" for k in self.results))
        return lines

    @functools.cached_property
    def scope(self) -> dict[str, Any]:
        scope = dict(_SCOPE, get=get_apart, put=put_apart, convert=convert)
        for k, step in enumerate(self.steps):
            scope[f"function{k}"] = step.function
            scope[f"kind{k}"] = getattr(numba, _numba_name(step.dtype))
        return scope

    @property
    def effects(self) -> list[str]:
        """What the kernel does to each argument."""
        return ["reads"] * len(self.inputs) + ["writes"] * self.outputs

    def __call__(self, *arguments: Any) -> None:
        if len(arguments) != len(self.effects):
            raise TypeError(
                f"{self.name} takes {len(self.effects)} arguments, got {len(arguments)}"
            )
        for position, (value, wanted) in enumerate(zip(arguments, self.dtypes, strict=False)):
            if not isinstance(value, np.ndarray) or value.dtype != wanted:
                raise TypeError(
                    f"{self.name}: argument {position} must be an array of {wanted}, got {value!r}"
                )
        out = arguments[len(self.dtypes) - 1]
        passed = tuple([float(a) if isinstance(a, (int, float)) else a for a in arguments])
        address = self.addresses.get(out.dtype) or self.compile(out.dtype)
        launcher.serial(address, out.size, passed)

    def _head(self, like: int, block: int) -> list[str]:
        """Code that reads the arguments; `like` is the one whose shape inputs are broadcast to."""
        count, total = len(self.inputs), len(self.dtypes)
        lines = ["def trampoline(begin, end, items):"]
        lines += [f"    x{k} = load_int64(items + {8 * k})" for k in range(max(total, like + 1))]
        lines += [f"    layout{k} = layout_of(x{k}, x{like})" for k in range(count)]
        lines += [
            f"    data{k} = as_pointer(load_int64(x{k} + ARRAY_DATA), dtype{k})"
            for k in range(total)
        ]
        lines += [f"    buffer{k} = stack_buffer(dtype{k}, {block})" for k in range(count)]
        return lines

    def _singles(self, filled: str) -> list[str]:
        """Code that spreads inputs with one value over their buffers."""
        total = len(self.dtypes)
        lines = []
        for k in range(len(self.inputs)):
            lines += [
                f"    if layout{k} == SINGLE:",
                f"        value{k} = get(data{k}, 0, {k}, {total})",
                f"        for i in range({filled}):",
                f"            put(buffer{k}, i, value{k}, {k}, {total})",
            ]
        return lines

    def _block(self, like: int, indent: str) -> list[str]:
        """Code that computes `count` elements from `start` on."""
        count, total = len(self.inputs), len(self.dtypes)
        lines = []
        for k in range(count):
            lines += [
                f"p{k} = buffer{k}",
                f"if layout{k} == DENSE:",
                f"    p{k} = pointer_at(data{k}, start)",
                f"elif layout{k} == STRIDED:",
                f"    move(x{k}, x{like}, start, count, address_of(buffer{k}), itemsize_of(buffer{k}), 0)",
            ]
        outputs = range(count, count + len(self.results))
        lines += [f"p{k} = pointer_at(data{k}, start)" for k in outputs]
        lines += ["for i in range(count):"]
        lines += [f"    i{k} = get(p{k}, i, {k}, {total})" for k in range(count)]
        for k, step in enumerate(self.steps):
            operands = ", ".join(f"i{n}" if n >= 0 else f"s{-1 - n}" for n in step.operands)
            lines.append(f"    s{k} = convert(function{k}({operands}), kind{k})")
        for place, k in zip(outputs, self.results, strict=True):
            lines.append(f"    put(p{place}, i, s{k}, {place}, {total})")
        return [indent + line for line in lines]

    @functools.cached_property
    def source(self) -> str:
        """The loop as Python, before Numba compiles it."""
        count = len(self.inputs)
        dense = " and ".join(f"layout{k} == DENSE" for k in range(count)) or "True"
        lines = [
            *self._head(count, BLOCK),
            f"    block = max(end - begin, 1) if {dense} else {BLOCK}",
            *self._singles("min(block, end - begin)"),
            "    for start in range(begin, end, block):",
            "        count = min(block, end - start)",
            *self._block(count, "        "),
        ]
        return "\n".join(lines) + "\n"


class FusedReduction(Fused):
    """A fused loop whose last result is reduced along rows, as `reduction.py` reduces an array.

    `kernel(x0, …, out0, …, reduced, shape, n, chunk, parameter)`: `shape` is an array of the shape
    of what is reduced; the rest are the arguments of the reduction's own `*_rows` kernel, for rows
    of at least 512 elements. Gives the bits that the two give one after another.
    """

    def __init__(
        self,
        dtypes: Sequence[np.dtype],
        steps: Sequence[Step],
        results: Sequence[int],
        reduction: Any,
        dtype: np.dtype,
        block: int,
    ) -> None:
        super().__init__(dtypes, steps, results)
        self.reduction = reduction
        self.block = block
        self.name = self.__name__ = f"{self.name}_{reduction.name}"
        self.dtypes = [*self.dtypes, dtype]

    @functools.cached_property
    def twin(self) -> Any:
        """The CUDA form, from the same steps and the reduction's functions."""
        from .cuda.fused import FusedReductionTwin

        return FusedReductionTwin(self)

    def __fingerprint__(self) -> tuple:
        return (*super().__fingerprint__(), *self.reduction.parts, self.block)

    @property
    def formulas(self) -> list[str]:
        last = len(self.steps) - 1
        lines = super().formulas
        if not self.results:
            lines.pop()
        return [*lines, f"reduces s{last} by {self.reduction.name}"]

    @property
    def effects(self) -> list[str]:
        return [*super().effects, "writes", *["reads"] * 4]

    @functools.cached_property
    def scope(self) -> dict[str, Any]:
        names = ("load", "combine", "start_of", "widen", "finish")
        return {
            **super().scope,
            **dict(zip(names, self.reduction.parts, strict=True)),
            "get_any": get,
            "put_any": put,
            "load_float64": load_float64,
            "int64": numba.int64,
        }

    @functools.cached_property
    def source(self) -> str:
        """The loops as Python, before Numba compiles them."""
        out = len(self.dtypes) - 1
        like, last = out + 1, len(self.steps) - 1
        lines = self._head(like, self.block)
        for k, name in enumerate(("n", "chunk", "parameter"), like + 1):
            lines.append(f"    {name} = load_float64(load_int64(items + {8 * k}) + FLOAT_VALUE)")
        lines += [
            "    n, chunk = int64(n), int64(chunk)",
            f"    values = stack_buffer(kind{last}, {self.block})",
            *self._singles(f"min({self.block}, chunk)"),
            "    chunks = (n + chunk - 1) // chunk",
            "    for item in range(begin, end):",
            "        row = item // chunks",
            "        first = (item - row * chunks) * chunk",
            "        length = min(chunk, n - first)",
            "        total = start_of(widen(load(get_any(values, 0), parameter)))",
            f"        for block in range(0, length, {self.block}):",
            f"            count = min({self.block}, length - block)",
            "            start = row * n + first + block",
            *self._block(like, "            "),
            f"                put_any(values, i, s{last})",
            "            partial = start_of(load(get_any(values, 0), parameter))",
            "            for i in range(count):",
            "                partial = combine(partial, load(get_any(values, i), parameter))",
            "            total = combine(total, widen(partial))",
            f"        put_any(data{out}, item, finish(total, parameter))",
        ]
        return "\n".join(lines) + "\n"


_SCOPE: dict[str, Any] = {
    "address_of": address_of,
    "as_pointer": as_pointer,
    "itemsize_of": itemsize_of,
    "load_int64": load_int64,
    "layout_of": layout_of,
    "move": move,
    "stack_buffer": stack_buffer,
    "pointer_at": pointer_at,
    "get": get,
    "put": put,
    "get_apart": get_apart,
    "put_apart": put_apart,
    "ARRAY_DATA": ARRAY_DATA,
    "FLOAT_VALUE": FLOAT_VALUE,
    "DENSE": DENSE,
    "SINGLE": SINGLE,
    "STRIDED": STRIDED,
}


def _numba_name(dtype: np.dtype) -> str:
    return "boolean" if dtype.kind == "b" else str(from_dtype(dtype))


def elementwise(
    function: Callable | ScalarFunction | None = None, *, result: Any = None, cost: int = 1
):
    """Make an elementwise kernel of a scalar function.

    Inputs have the kernel's dtype T unless annotated with another (`condition: np.bool_`);
    `result` fixes the output's dtype (comparisons: `np.bool_`); `cost` is the work of an element
    against one of `exp`.
    """
    if function is None:
        return lambda f: elementwise(f, result=result, cost=cost)
    scalar = function if isinstance(function, ScalarFunction) else scalar_function(function)
    return Elementwise(scalar, result, cost)
