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

Arrays are read only, unless the spec is wrapped: `writes(rows)` for an output that the kernel fills
over its whole range, `updates(rows)` for one that it also reads, or writes in part. `compile` relies
on this to drop, reorder and merge launches.

Where no dtype `d` is given it is T, the kernel's one type variable: a kernel is compiled once for
every T it meets, and only then.
"""

from __future__ import annotations

import functools
import gc
import inspect
import operator
import pickle
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

import llvmlite.binding as llvm
import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.core import cgutils
from numba.core.compiler_lock import global_compiler_lock
from numba.core.registry import cpu_target
from numba.core.runtime import rtsys
from numba.extending import intrinsic, models, overload, register_model
from numba.np.arrayobj import populate_array
from numba.np.numpy_support import from_dtype

from . import _cache
from ._launch import PARALLEL_WORK, launcher
from ._native import (
    ARRAY_DATA,
    ARRAY_NDIM,
    ARRAY_SHAPE,
    FLOAT_VALUE,
)
from .cuda import THREADS, Twin

#: LLVM's fast-math flags without `nnan` and `ninf`: NaN and infinity behave as in PyTorch.
FASTMATH = {"reassoc", "nsz", "arcp", "contract", "afn"}
#: Options of every function inside a kernel; without the wrappers, which are a third of the code,
#: it can be called from compiled code only.
OPTIONS: dict[str, Any] = {
    "fastmath": FASTMATH,
    "error_model": "numpy",
    "no_cpython_wrapper": True,
    "no_cfunc_wrapper": True,
}


def _word_at(builder, address, offset, width=64):
    kind = ir.IntType(width)
    place = builder.add(address, ir.Constant(address.type, offset))
    value = builder.load(builder.inttoptr(place, kind.as_pointer()))
    return value if width == 64 else builder.sext(value, address.type)


def array_value(context, builder, numba_type, address, kind):
    """Numba's array structure for the NumPy array object at `address` (an LLVM value)."""
    word = address.type
    shape = _word_at(builder, address, ARRAY_SHAPE)
    if kind == "array":
        sizes = [_word_at(builder, shape, 8 * k) for k in range(numba_type.ndim)]
    else:
        # rows: (product of all sizes but the last, the last); flat: (product of all sizes,)
        count = cgutils.alloca_once_value(builder, ir.Constant(word, 1))
        last = cgutils.alloca_once_value(builder, ir.Constant(word, 1))
        with cgutils.for_range(builder, _word_at(builder, address, ARRAY_NDIM, 32), intp=word) as k:
            builder.store(builder.mul(builder.load(count), builder.load(last)), count)
            place = builder.add(shape, builder.mul(k.index, ir.Constant(word, 8)))
            builder.store(_word_at(builder, place, 0), last)
        sizes = [builder.load(count), builder.load(last)]
        if kind == "flat":
            sizes = [builder.mul(*sizes)]
    itemsize = context.get_abi_sizeof(context.get_data_type(numba_type.dtype))
    strides = [ir.Constant(word, itemsize)]
    for size in reversed(sizes[1:]):
        strides.insert(0, builder.mul(strides[0], size))
    data = builder.inttoptr(
        _word_at(builder, address, ARRAY_DATA), context.get_data_type(numba_type.dtype).as_pointer()
    )
    array = context.make_array(numba_type)(context, builder)
    populate_array(
        array, data=data, shape=sizes, strides=strides, itemsize=strides[-1], meminfo=None
    )
    return array._getvalue()


class ArraysType(types.Type):
    """Inside a kernel: a Python tuple of arrays of one dtype, by address."""

    def __init__(self, dtype) -> None:
        self.dtype = dtype
        super().__init__(f"numgrad.Arrays({dtype})")


@register_model(ArraysType)
class _ArraysModel(models.StructModel):
    def __init__(self, dmm, fe_type):
        super().__init__(dmm, fe_type, [("items", types.int64), ("count", types.int64)])


TUPLE_HEAD = tuple.__basicsize__


@intrinsic
def _arrays_count(typingctx, value):
    def codegen(context, builder, signature, args):
        return cgutils.create_struct_proxy(value)(context, builder, args[0]).count

    return types.int64(value), codegen


@intrinsic
def items_of(typingctx, value):
    """The address of the items of the tuple behind an `arrays` parameter."""

    def codegen(context, builder, signature, args):
        return cgutils.create_struct_proxy(value)(context, builder, args[0]).items

    return types.int64(value), codegen


@intrinsic
def _arrays_item(typingctx, value, index):
    item = types.Array(value.dtype, 1, "C")

    def codegen(context, builder, signature, args):
        items = cgutils.create_struct_proxy(value)(context, builder, args[0]).items
        place = builder.add(items, builder.mul(args[1], ir.Constant(items.type, 8)))
        return array_value(context, builder, item, _word_at(builder, place, 0), "flat")

    return item(value, types.int64), codegen


@overload(len, jit_options=OPTIONS)  # type: ignore[arg-type]
def _arrays_len(value):
    if isinstance(value, ArraysType):
        return lambda value: _arrays_count(value)


@overload(operator.getitem, jit_options=OPTIONS)  # type: ignore[arg-type]
def _arrays_getitem(value, index):
    if isinstance(value, ArraysType) and isinstance(index, types.Integer):
        return lambda value, index: _arrays_item(value, index)


class Spec:
    """What a kernel's parameter is; calling a spec fixes its dtype (see the module's docstring).

    `effect` says what the kernel does to the array's elements: "reads", "writes" (every element of
    the range, whatever it held) or "updates" (reads and writes, or writes some elements only).
    """

    def __init__(self, kind: str, dtype: Any = None, ndim: int = 0, effect: str = "reads") -> None:
        self.kind = kind
        self.dtype = None if dtype is None else np.dtype(dtype)
        self.ndim = ndim
        self.effect = effect

    def __call__(self, dtype: Any) -> Spec:
        return Spec(self.kind, dtype, self.ndim, self.effect)

    def __repr__(self) -> str:
        name = f"array({self.ndim})" if self.kind == "array" else self.kind
        name = f"{name}[{self.dtype}]" if self.dtype is not None else name
        return name if self.effect == "reads" else f"{self.effect}({name})"

    def numba_type(self, dtype: np.dtype) -> types.Type:
        """The parameter's type inside the kernel, for T = `dtype`."""
        if self.kind == "scalar":
            return types.float64 if self.dtype is None else from_dtype(self.dtype)
        element = from_dtype(self.dtype if self.dtype is not None else dtype)
        if self.kind == "arrays":
            return ArraysType(element)
        return types.Array(element, {"rows": 2, "flat": 1}.get(self.kind, self.ndim), "C")

    def value(self, context: Any, builder: Any, numba_type: types.Type, address: Any) -> Any:
        """LLVM code that makes the parameter from the Python object at `address`."""
        if self.kind == "arrays":
            value = cgutils.create_struct_proxy(numba_type)(context, builder)
            # A tuple object: its length lies just before its items.
            value.items = builder.add(address, ir.Constant(address.type, TUPLE_HEAD))
            value.count = _word_at(builder, address, TUPLE_HEAD - 8)
            return value._getvalue()
        if self.kind == "scalar":
            place = builder.add(address, ir.Constant(address.type, FLOAT_VALUE))
            number = builder.load(builder.inttoptr(place, ir.DoubleType().as_pointer()))
            return context.cast(builder, number, types.float64, numba_type)
        return array_value(context, builder, numba_type, address, self.kind)


rows, flat, scalar, arrays = Spec("rows"), Spec("flat"), Spec("scalar"), Spec("arrays")


def array(ndim: int, dtype: Any = None) -> Spec:
    """A C-contiguous array with exactly `ndim` dimensions."""
    return Spec("array", dtype, ndim)


def writes(spec: Spec) -> Spec:
    """An array that the kernel fills over its whole range, whatever it held."""
    return Spec(spec.kind, spec.dtype, spec.ndim, "writes")


def updates(spec: Spec) -> Spec:
    """An array that the kernel reads and writes, or writes in part."""
    return Spec(spec.kind, spec.dtype, spec.ndim, "updates")


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


def _load(symbol: str, machine_code: Sequence[bytes]) -> int:
    """The address of a function in machine code read from the disk cache.

    Every kernel gets an engine of its own: Numba numbers its symbols anew in every process, so
    that two pieces from different processes may call different functions by the same name.
    """
    engine = llvm.create_mcjit_compiler(llvm.parse_assembly(""), _target())
    for code in machine_code:
        engine.add_object_file(llvm.ObjectFileRef.from_data(code))
    engine.finalize_object()
    _keep_alive.append(engine)
    return engine.get_function_address(symbol)


def _entry(compiled: Any, specs: Sequence[Spec] | None) -> tuple[Any, str]:
    """A library with the C function that unpacks a launch's arguments and calls `compiled`.

    The function is `void (begin, end, items)`, or, without specs, has the arguments of `compiled`,
    which are integers. It is not linked with what it calls, so that Numba optimises that once.
    """
    context = compiled.target_context
    word, argtypes = ir.IntType(64), compiled.signature.args
    library = context.codegen().create_library(f"{compiled.fndesc.mangled_name}.entry")
    module = library.create_ir_module("entry")
    name = f"entry.{compiled.fndesc.mangled_name}"
    result = compiled.signature.return_type
    nothing = result == types.none
    count = len(argtypes) if specs is None else 3
    function = ir.Function(
        module, ir.FunctionType(ir.VoidType() if nothing else word, [word] * count), name
    )
    builder = ir.IRBuilder(function.append_basic_block())
    values = list(function.args)
    if specs is not None:
        items = values.pop()
        for k, (spec, numba_type) in enumerate(zip(specs, argtypes[2:], strict=True)):
            address = _word_at(builder, items, 8 * k)
            values.append(spec.value(context, builder, numba_type, address))
    kind = context.call_conv.get_function_type(result, argtypes)
    callee = ir.Function(module, kind, compiled.fndesc.llvm_func_name)
    _, value = context.call_conv.call_function(builder, callee, result, argtypes, values)
    if nothing:
        builder.ret_void()
    else:
        builder.ret(value)
    library.enable_object_caching()
    library.add_ir_module(module)
    library.finalize()
    return library, name


def native_address(
    function: Any, signature: Any, label: tuple[str, str], name: str, specs: Any = None
) -> int:
    """The address of `function` compiled for `signature`, through the disk cache under `name`."""
    with _compile_lock:
        started = time.perf_counter()
        name = _cache.key(name, _entry_fingerprint())
        with _cache.made_once(name) as stored:
            if stored is not None:
                address = _load(*pickle.loads(stored))
            else:
                address = _build(function, signature, label, name, specs)
        compiled.append(Compiled(*label, time.perf_counter() - started, stored is not None))
        return address


def _build(function: Any, signature: Any, label: tuple[str, str], name: str, specs: Any) -> int:
    for listener in listeners:
        listener(*label)
    # A compilation makes millions of objects that live until its end: looking through them for
    # cycles again and again takes a seventh of its time.
    collecting = gc.isenabled()
    gc.disable()
    try:
        dispatcher = njit(signature, **OPTIONS)(function)
        (result,) = dispatcher.overloads.values()
        with global_compiler_lock:
            entry, symbol = _entry(result, specs)
    finally:
        if collecting:
            gc.enable()
        for listener in listeners:
            listener(None, None)
    code = [lib.serialize_using_object_code()[2][0] for lib in (result.library, entry)]
    _cache.write(name, pickle.dumps((symbol, code)), f"{label[0]}({label[1]})")
    _keep_alive.append((result, entry))
    return entry.get_pointer_to_function(symbol)


_keep_alive: list[object] = []
RANGE = types.void(types.int64, types.int64, types.int64)


@functools.cache
def _entry_fingerprint() -> str:
    # Of `native_address` the code alone: what it names, a lock for one, differs in every process.
    options = [[name, _cache.compiler_option(OPTIONS[name])] for name in sorted(OPTIONS)]
    code = native_address.__code__.co_code
    return _cache.fingerprint(_entry, Spec.value, array_value, code, options)


class Kernel:
    """A kernel: call it on NumPy arrays, or take `function`, the `@njit` function itself.

    `kernel(x, out)` runs the whole range. `kernel.addresses[dtype]` holds the machine code of a
    specialisation, `kernel.compile(dtype)` makes it.
    """

    #: The work of one item where a launch does not say.
    cost = 1

    def __init__(self, function: Callable, items: Callable[..., int] | None = None) -> None:
        self.py_func = function
        self.name = function.__name__
        self.__name__ = function.__name__
        self.__doc__ = function.__doc__
        self.__module__ = function.__module__
        self.function = njit(**OPTIONS)(function)
        self.addresses: dict[np.dtype, int] = {}
        self.items = items
        #: Of a row reduction that starts from a neutral element: its load, combine, start, widen
        #: and finish functions, so that `compile` can feed it from a fused loop.
        self.parts: tuple | None = None
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
        #: The CUDA form, where it has one.
        self.twin: Twin | None = None

    def on_cuda(
        self,
        *,
        each: str = "thread",
        threads: int = THREADS,
        items: Callable[..., int] | None = None,
    ) -> Callable[[Callable], Twin]:
        """Declare the CUDA form of the kernel: see `cuda/__init__.py`."""

        def declare(function: Callable) -> Twin:
            self.twin = Twin(function, self.name, self.parameters, self.specs, each, threads, items)
            return self.twin

        return declare

    def __fingerprint__(self) -> tuple:
        return (self.py_func,)

    def __repr__(self) -> str:
        listed = ", ".join(f"{n}: {s!r}" for n, s in zip(self.parameters, self.specs, strict=True))
        return f"<kernel {self.name}({listed})>"

    def compile(self, dtype: Any) -> int:
        """Compile for T = `dtype` (or load from the disk cache); the address of the machine code."""
        dtype = np.dtype(dtype)
        with _compile_lock:
            if dtype in self.addresses:
                return self.addresses[dtype]
            word = types.int64
            signature = types.void(word, word, *[s.numba_type(dtype) for s in self.specs])
            key = _cache.key(_cache.fingerprint(self.py_func), (dtype.str, signature))
            label = (self.name, dtype.name)
            address = native_address(self.py_func, signature, label, key, self.specs)
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
