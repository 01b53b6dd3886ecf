"""The kernel contract: `@kernel` turns a plain function over a range into something launchable.

A kernel is `def name(begin, end, *arguments)`: it does the work items `begin` … `end - 1` of a
range (rows, elements, blocks), writes into arrays that it is given, allocates nothing and returns
nothing. Its parameters are annotated with what they are:

====================  ==========================================================================
`rows`, `rows(d)`      2-D C-contiguous: all dimensions but the last flattened, and the last
`flat`, `flat(d)`      1-D: a C-contiguous array of any shape, flattened
`array(k)`, `array(k, d)`  exactly `k` dimensions, C-contiguous
`scalar`, `scalar(d)`  a number: a Python float when launched, of type `d` (float64) inside
`arrays`, `arrays(d)`  a tuple of arrays; `parameter[i]` is the flat view of the i-th
====================  ==========================================================================

Where no dtype `d` is given it is T, the kernel's one type variable: a kernel is compiled once for
every T it meets, and only then.
"""

from __future__ import annotations

import functools
import inspect
import pickle
import threading
import time
from collections.abc import Callable
from typing import Any

import llvmlite.binding as llvm
import numba
import numpy as np
from numba import carray, njit, types
from numba.core import cgutils
from numba.core.registry import cpu_target
from numba.core.runtime import rtsys
from numba.extending import intrinsic, models, overload, register_model
from numba.np.numpy_support import from_dtype

from . import _cache
from ._launch import PARALLEL_WORK, launcher
from ._native import (
    ARRAY_DATA,
    ARRAY_NDIM,
    ARRAY_SHAPE,
    FLOAT_VALUE,
    as_pointer,
    load_float64,
    load_int32,
    load_int64,
)

#: LLVM's fast-math flags without `nnan` and `ninf`: NaN and infinity behave as in PyTorch.
FASTMATH = {"reassoc", "nsz", "arcp", "contract", "afn"}
OPTIONS: dict[str, Any] = {"fastmath": FASTMATH, "error_model": "numpy"}


@njit(**OPTIONS)
def element_count(array):
    """The number of elements of the NumPy array object at this address."""
    shape = load_int64(array + ARRAY_SHAPE)
    count = 1
    for k in range(load_int32(array + ARRAY_NDIM)):
        count *= load_int64(shape + 8 * k)
    return count


@njit(**OPTIONS)
def _flat(items, position, dtype):
    array = load_int64(items + 8 * position)
    return carray(as_pointer(load_int64(array + ARRAY_DATA), dtype), (element_count(array),))


@njit(**OPTIONS)
def _rows(items, position, dtype):
    array = load_int64(items + 8 * position)
    dimensions = load_int32(array + ARRAY_NDIM)
    count = 1
    last = 1
    shape = load_int64(array + ARRAY_SHAPE)
    for k in range(dimensions):
        count *= last
        last = load_int64(shape + 8 * k)
    return carray(as_pointer(load_int64(array + ARRAY_DATA), dtype), (count, last))


@njit(**OPTIONS)
def _scalar(items, position):
    return load_float64(load_int64(items + 8 * position) + FLOAT_VALUE)


@njit(**OPTIONS)
def _data(items, position):
    return load_int64(load_int64(items + 8 * position) + ARRAY_DATA)


@njit(**OPTIONS)
def _dimension(items, position, axis):
    return load_int64(load_int64(load_int64(items + 8 * position) + ARRAY_SHAPE) + 8 * axis)


class ArraysType(types.Type):
    """Inside a kernel: a Python tuple of arrays of one dtype, by address."""

    def __init__(self, dtype) -> None:
        self.dtype = dtype
        super().__init__(f"numgrad.Arrays({dtype})")


@register_model(ArraysType)
class _ArraysModel(models.StructModel):
    def __init__(self, dmm, fe_type):
        super().__init__(dmm, fe_type, [("items", types.int64), ("count", types.int64)])


@intrinsic
def _make_arrays(typingctx, items, count, dtype):
    result = ArraysType(dtype.dtype)

    def codegen(context, builder, signature, args):
        value = cgutils.create_struct_proxy(result)(context, builder)
        value.items, value.count = args[0], args[1]
        return value._getvalue()

    return result(types.int64, types.int64, dtype), codegen


def _arrays_field(name):
    @intrinsic
    def field(typingctx, value):
        def codegen(context, builder, signature, args):
            return getattr(cgutils.create_struct_proxy(value)(context, builder, args[0]), name)

        return types.int64(value), codegen

    return field


_items_of, _count_of = _arrays_field("items"), _arrays_field("count")


@njit(**OPTIONS)
def _arrays(items, position, dtype):
    # A tuple object: its length lies just before its items.
    inner = load_int64(items + 8 * position)
    return _make_arrays(inner + TUPLE_HEAD, load_int64(inner + TUPLE_HEAD - 8), dtype)


TUPLE_HEAD = tuple.__basicsize__


@overload(len)
def _arrays_len(value):
    if isinstance(value, ArraysType):
        return lambda value: _count_of(value)


@overload(__import__("operator").getitem)
def _arrays_getitem(value, index):
    if isinstance(value, ArraysType) and isinstance(index, types.Integer):
        dtype = value.dtype

        def getitem(value, index):
            return _flat(_items_of(value), index, dtype)

        return getitem


class Spec:
    """What a kernel's parameter is; calling a spec fixes its dtype (see the module's docstring)."""

    def __init__(self, kind: str, dtype: Any = None, ndim: int = 0) -> None:
        self.kind = kind
        self.dtype = None if dtype is None else np.dtype(dtype)
        self.ndim = ndim

    def __call__(self, dtype: Any) -> Spec:
        return Spec(self.kind, dtype, self.ndim)

    def __repr__(self) -> str:
        name = f"array({self.ndim})" if self.kind == "array" else self.kind
        return f"{name}[{self.dtype}]" if self.dtype is not None else name

    def expression(self, position: int) -> str:
        """The Python expression that makes this parameter from the launch arguments."""
        if self.kind == "scalar":
            value = f"_scalar(items, {position})"
            return value if self.dtype is None else f"dtype{position}({value})"
        if self.kind == "array":
            shape = ", ".join(f"_dimension(items, {position}, {k})" for k in range(self.ndim))
            return f"carray(as_pointer(_data(items, {position}), dtype{position}), ({shape},))"
        return f"_{self.kind}(items, {position}, dtype{position})"


rows, flat, scalar, arrays = Spec("rows"), Spec("flat"), Spec("scalar"), Spec("arrays")


def array(ndim: int, dtype: Any = None) -> Spec:
    """A C-contiguous array with exactly `ndim` dimensions."""
    return Spec("array", dtype, ndim)


class Compiled:
    """One line of the record of what was compiled: kernel, dtypes, seconds, from the disk or not."""

    __slots__ = ("name", "dtypes", "seconds", "cached")

    def __init__(self, name: str, dtypes: str, seconds: float, cached: bool) -> None:
        self.name, self.dtypes, self.seconds, self.cached = name, dtypes, seconds, cached

    def __repr__(self) -> str:
        how = "loaded" if self.cached else "compiled"
        return f"{self.name}({self.dtypes}) {how} in {self.seconds * 1e3:.0f} ms"


#: Every kernel specialisation of this process, in the order in which they were needed.
compiled: list[Compiled] = []
#: Called as f(name, dtypes) before a compilation and f(None, None) after it; for progress lines.
listeners: list[Callable[[str | None, str | None], None]] = []

_compile_lock = threading.RLock()


@functools.cache
def _target() -> llvm.TargetMachine:
    """The processor's code generator, after telling LLVM the symbols that Numba's code refers to."""
    context = cpu_target.target_context
    rtsys.initialize(context)
    engine = context.codegen()._engine
    for function in rtsys.library._final_module.functions:
        if not function.is_declaration:
            address = engine.get_function_address(function.name)
            if address:
                llvm.add_symbol(function.name, address)
    return llvm.Target.from_default_triple().create_target_machine(jit=True)


def _load(symbol: str, machine_code: bytes) -> int:
    """The address of a function in machine code read from the disk cache.

    Every piece of code gets an engine of its own: Numba numbers its symbols anew in every process,
    so that two pieces from different processes may call different functions by the same name.
    """
    engine = llvm.create_mcjit_compiler(llvm.parse_assembly(""), _target())
    engine.add_object_file(llvm.ObjectFileRef.from_data(machine_code))
    engine.finalize_object()
    _keep_alive.append(engine)
    return engine.get_function_address(symbol)


def native_address(function: Callable, signature, label: tuple[str, str], name: str) -> int:
    """The address of `function` compiled for `signature`, through the disk cache under `name`."""
    with _compile_lock:
        started = time.perf_counter()
        stored = _cache.read(name)
        if stored is not None:
            symbol, machine_code = pickle.loads(stored)
            address = _load(symbol, machine_code)
        else:
            for listener in listeners:
                listener(*label)
            try:
                options = {**OPTIONS, "no_cpython_wrapper": True}
                dispatcher = njit(signature, **options)(function)
            finally:
                for listener in listeners:
                    listener(None, None)
            (result,) = dispatcher.overloads.values()
            symbol = result.fndesc.llvm_cfunc_wrapper_name
            _, _, (machine_code, _) = result.library.serialize_using_object_code()
            _cache.write(name, pickle.dumps((symbol, machine_code)))
            address = result.library.get_pointer_to_function(symbol)
            _keep_alive.append(result)
        compiled.append(Compiled(*label, time.perf_counter() - started, stored is not None))
        return address


_keep_alive: list[object] = []
RANGE = types.void(types.int64, types.int64, types.int64)


class Kernel:
    """A kernel: call it on NumPy arrays, or take `function`, the `@njit` function itself.

    `kernel(x, out)` runs the whole range. `kernel.addresses[dtype]` holds the machine code of a
    specialisation, `kernel.compile(dtype)` makes it.
    """

    def __init__(self, function: Callable, items: Callable[..., int] | None = None) -> None:
        self.py_func = function
        self.name = function.__name__
        self.__name__ = function.__name__
        self.__doc__ = function.__doc__
        self.__module__ = function.__module__
        self.function = njit(**OPTIONS)(function)
        self.addresses: dict[np.dtype, int] = {}
        self.items = items
        parameters = list(inspect.signature(function, eval_str=True).parameters.values())
        if [p.name for p in parameters[:2]] != ["begin", "end"]:
            raise TypeError(f"kernel {self.name}: the first two parameters must be begin and end")
        self.specs: list[Spec] = []
        for parameter in parameters[2:]:
            if not isinstance(parameter.annotation, Spec):
                raise TypeError(
                    f"kernel {self.name}: parameter {parameter.name!r} needs a spec such as "
                    f"`rows` or `flat` as its annotation, got {parameter.annotation!r}"
                )
            self.specs.append(parameter.annotation)
        self.parameters = [p.name for p in parameters[2:]]

    def __fingerprint__(self) -> tuple:
        return (self.py_func,)

    def __repr__(self) -> str:
        listed = ", ".join(f"{n}: {s!r}" for n, s in zip(self.parameters, self.specs, strict=True))
        return f"<kernel {self.name}({listed})>"

    @functools.cached_property
    def source(self) -> str:
        """The trampoline that unpacks a launch's arguments for the kernel, as Python."""
        values = ", ".join(spec.expression(k) for k, spec in enumerate(self.specs))
        return f"def trampoline(begin, end, items):\n    kernel(begin, end, {values})\n"

    def compile(self, dtype: Any) -> int:
        """Compile for T = `dtype` (or load from the disk cache); the address of the machine code."""
        dtype = np.dtype(dtype)
        with _compile_lock:
            if dtype in self.addresses:
                return self.addresses[dtype]
            scope: dict[str, Any] = {
                "kernel": self.function,
                "carray": carray,
                "as_pointer": as_pointer,
                "_flat": _flat,
                "_rows": _rows,
                "_scalar": _scalar,
                "_data": _data,
                "_dimension": _dimension,
                "_arrays": _arrays,
            }
            for position, spec in enumerate(self.specs):
                fixed = spec.dtype if spec.dtype is not None else dtype
                scope[f"dtype{position}"] = getattr(numba, str(from_dtype(fixed)))
            exec(compile(self.source, f"<numgrad kernel {self.name}>", "exec"), scope)
            function = scope["trampoline"]
            key = _cache.key(_cache.fingerprint(function), dtype.str)
            address = native_address(function, RANGE, (self.name, dtype.name), key)
            self.addresses[dtype] = address
            return address

    def __call__(self, *arguments: Any) -> None:
        if len(arguments) != len(self.specs):
            raise TypeError(
                f"{self.name} takes {len(self.specs)} arguments ({', '.join(self.parameters)}), "
                f"got {len(arguments)}"
            )
        dtype = self._check(arguments)
        n = self.items(*arguments) if self.items else self._default_items(arguments)
        passed = tuple(
            float(a) if s.kind == "scalar" else tuple(a) if s.kind == "arrays" else a
            for a, s in zip(arguments, self.specs, strict=True)
        )
        work = max((a.size for a in passed if isinstance(a, np.ndarray)), default=n)
        address = self.addresses.get(dtype) or self.compile(dtype)
        if work < PARALLEL_WORK:
            launcher.serial(address, n, passed)
        else:
            launcher.parallel(address, n, work, passed)

    def _default_items(self, arguments: tuple) -> int:
        for value, spec in zip(arguments, self.specs, strict=True):
            if spec.kind == "rows":
                return value.size // value.shape[-1] if value.ndim and value.shape[-1] else 1
            if spec.kind == "flat":
                return value.size
            if spec.kind == "array":
                return value.shape[0]
        raise TypeError(f"kernel {self.name} needs items=, the length of its range")

    def _check(self, arguments: tuple) -> np.dtype:
        """T, after checking that every argument is what its spec says."""
        found: np.dtype | None = None
        for name, value, spec in zip(self.parameters, arguments, self.specs, strict=True):
            if spec.kind == "scalar":
                continue
            for item in value if spec.kind == "arrays" else (value,):
                if not isinstance(item, np.ndarray):
                    raise TypeError(f"{self.name}: {name} must be a NumPy array, got {type(item)}")
                if not item.flags.c_contiguous:
                    raise ValueError(f"{self.name}: {name} must be C-contiguous")
                if spec.kind == "array" and item.ndim != spec.ndim:
                    raise ValueError(
                        f"{self.name}: {name} must have {spec.ndim} dimensions, got {item.ndim}"
                    )
                expected = spec.dtype
                if expected is None:
                    expected = found = found or item.dtype
                if item.dtype != expected:
                    raise TypeError(
                        f"{self.name}: {name} must have dtype {expected}, got {item.dtype}"
                    )
        if found is None:
            found = np.dtype(np.float32)
        return found


def kernel(function: Callable | None = None, *, items: Callable[..., int] | None = None):
    """Make a kernel of a function over a range (see the module's docstring).

    `items(*arguments)` gives the range's length where the kernel is called on NumPy arrays; the
    default is the number of rows or elements of the first array parameter.
    """
    if function is None:
        return lambda f: Kernel(f, items)
    return Kernel(function, items)
