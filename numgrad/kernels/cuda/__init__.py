"""The CUDA side of the kernel contract: a kernel's twin, written beside it, compiled when needed.

A CUDA twin is a plain Python function that a grid of threads runs:

    @softmax_rows.on_cuda(each="block")
    def _(items, x, out, n):
        for row in range(cuda.blockIdx.x, items, cuda.gridDim.x):
            ...

It takes what it needs of the CPU kernel's arguments, by name:

====================  ==========================================================================
`x`                    an array: a pointer to its first element, for `x[i]` (bool: uint8, 0 or 1)
`x_size`, `x_shape0` … its number of elements, the length of its first dimension …
`n`                    a `scalar`: int64 where its spec has an integer dtype, else float64
`parts`                `arrays`: a table of pointers, `parts[k][i]`; `parts_sizes[k]`,
                       `parts_count`
`items`                the number of work items
====================  ==========================================================================

Names in it mean, when it is compiled: `cuda`, numba.cuda; `T`, the kernel's dtype as a NumPy type;
a scalar function, a maths function or an `@njit` helper, its device function. Any number of blocks
must be right: loops step by the grid. The host does not wait for a check of what is in memory (an
index, a label) before it launches more: a twin does nothing where such a number is out of range.

Nothing here imports a CUDA package. `compile.py` makes machine code of a twin, `simulate.py` runs
it in Python, thread by thread.
"""

from __future__ import annotations

import builtins
import inspect
import types as python_types
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numba.core.dispatcher import Dispatcher
from numba.extending import _Intrinsic as NumbaIntrinsic

from .._scalar import ScalarFunction
from . import maths

_MATHS = "numgrad.kernels.maths"
#: Threads of a block where a twin does not say.
THREADS = 256


class Name:
    """A name in a kernel file that means something else for every compilation."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __repr__(self) -> str:
        return self.name

    def __fingerprint__(self) -> tuple:
        return (self.name,)


#: In CUDA twins: the module numba.cuda, and the kernel's dtype T as a NumPy type.
cuda: Any = Name("cuda")
T: Any = Name("T")


class DeviceFunction:
    """A function that CUDA twins call (`@device`)."""

    def __init__(self, function: Callable) -> None:
        self.py_func = function
        self.__name__ = function.__name__
        self.__doc__ = function.__doc__

    def __fingerprint__(self) -> tuple:
        return (self.py_func,)

    def __call__(self, *args: Any) -> Any:
        raise TypeError(f"{self.__name__} is a device function: only CUDA kernels can call it")


device = DeviceFunction


class Intrinsic(DeviceFunction):
    """A device function of a few instructions: `intrinsics.py` generates them, and the function
    here is what it means, for the simulator."""


class Parameter(NamedTuple):
    """A parameter of a twin: what it takes ("pointer", "table", "sizes", "count", "size", "shape",
    "scalar", "items") of which of the launch's arguments, and as what dtype (None: T)."""

    kind: str
    position: int = 0
    dtype: np.dtype | None = None
    axis: int = 0


class Build:
    """What is compiled: a function for one T, with the kinds and dtypes of its parameters.

    `kinds` holds for each parameter "pointer" (to `dtype`), "table" (of pointers to `dtype`),
    "integer" (int64) or "number" (float64). `loaded` is for the device layer: the kernel on each
    device.
    """

    __slots__ = ("name", "function", "dtype", "kinds", "loaded", "_from_memory")

    def __init__(
        self,
        name: str,
        function: Callable,
        dtype: np.dtype,
        kinds: tuple[tuple[str, np.dtype], ...],
    ) -> None:
        self.name = name
        self.function = function
        self.dtype = dtype
        self.kinds = kinds
        self.loaded: dict[int, Any] = {}
        self._from_memory: dict[tuple[int, ...], Build] = {}

    def from_memory(self, places: tuple[int, ...]) -> Build:
        """The same, with the numbers at these places among its parameters read from memory."""
        build = self._from_memory.get(places)
        if build is None:
            names = [f"x{k}" for k in range(len(self.kinds))]
            passed = [f"{n}[0]" if k in places else n for k, n in enumerate(names)]
            source = f"def kernel({', '.join(names)}):\n    body({', '.join(passed)})\n"
            scope = {"body": DeviceFunction(self.function)}
            # `compile` is the name of a module here.
            exec(builtins.compile(source, f"<numgrad CUDA kernel {self.name}>", "exec"), scope)
            kinds = list(self.kinds)
            for k in places:
                kinds[k] = ("pointer", kinds[k][1])
            build = self._from_memory[places] = Build(
                f"{self.name}_from_memory", scope["kernel"], self.dtype, tuple(kinds)
            )
        return build


class Slot:
    """A number in device memory, at `address`, in the place of one that a launch passes by value:
    a CUDA graph repeats what it has been passed, and reads what is in memory."""

    __slots__ = ("address", "dtype")
    shape = ()

    def __init__(self, address: int, dtype: np.dtype) -> None:
        self.address = address
        self.dtype = dtype


class Twin:
    """The CUDA form of a `Kernel`.

    `each` says what serves a work item: a "thread" or a "block". `items(*arguments)`, where
    given, counts the twin's own work items, if they are not those of the CPU kernel.
    """

    by_value = False

    def __init__(
        self,
        function: Callable,
        name: str,
        parameters: Sequence[str],
        specs: Sequence[Any],
        each: str,
        threads: int,
        items: Callable[..., int] | None,
    ) -> None:
        if each not in ("thread", "block"):
            raise ValueError(f'{name}: each must be "thread" or "block", got {each!r}')
        self.function = function
        self.name = name
        self.each = each
        self.threads = threads
        self.items = items
        self.parameters = [
            _parameter(p, name, parameters, specs) for p in inspect.signature(function).parameters
        ]
        self.builds: dict[np.dtype, Build] = {}

    def build(self, dtype: np.dtype) -> Build:
        """What to compile for T = `dtype`."""
        build = self.builds.get(dtype)
        if build is None:
            kinds = []
            for kind, _, own, _ in self.parameters:
                wanted = dtype if own is None else own
                if kind in ("pointer", "table"):
                    kinds.append((kind, wanted))
                elif kind == "sizes":
                    kinds.append(("pointer", _INT64))
                elif kind == "scalar" and (own is None or own.kind == "f"):
                    kinds.append(("number", _FLOAT64))
                else:
                    kinds.append(("integer", _INT64))
            build = self.builds[dtype] = Build(self.name, self.function, dtype, tuple(kinds))
        return build

    def plan(
        self, dtype: np.dtype, n: int, arguments: tuple, table: Callable[[tuple], tuple]
    ) -> tuple[Build, int, bool, list]:
        """What to launch: the build, its work items, whether each has a block of its own, and the
        values of the parameters. `table(arrays)` puts the addresses and the sizes of arrays where
        kernels can read them."""
        items = n if self.items is None else int(self.items(*arguments))
        values: list = []
        for kind, position, own, axis in self.parameters:
            if kind == "items":
                values.append(items)
                continue
            value = arguments[position]
            if kind == "pointer":
                values.append(value.ptr)
            elif kind == "scalar":
                if type(value) is not Slot:
                    whole = own is not None and own.kind != "f"
                    value = int(value) if whole else float(value)
                values.append(value)
            elif kind == "size":
                values.append(value.size)
            elif kind == "shape":
                values.append(value.shape[axis])
            elif kind == "rows":
                width = value.shape[-1] if value.ndim else 1
                values.append(width if axis else value.size // max(width, 1))
            elif kind == "count":
                values.append(len(value))
            else:
                values.append(table(value)[kind == "sizes"])
        build = self.builds.get(dtype) or self.build(dtype)
        return build, items, self.each == "block", values


_INT64, _FLOAT64 = np.dtype(np.int64), np.dtype(np.float64)


def _parameter(
    name: str, kernel: str, parameters: Sequence[str], specs: Sequence[Any]
) -> Parameter:
    if name == "items":
        return Parameter("items")
    if name in parameters:
        position = list(parameters).index(name)
        spec = specs[position]
        kind = {"scalar": "scalar", "arrays": "table"}.get(spec.kind, "pointer")
        return Parameter(kind, position, spec.dtype)
    base, _, what = name.rpartition("_")
    if base in parameters:
        position = list(parameters).index(base)
        listed = specs[position].kind == "arrays"
        if listed and what in ("sizes", "count"):
            return Parameter(what, position)
        if not listed and what == "size":
            return Parameter("size", position)
        if not listed and what.startswith("shape") and what[5:].isdigit():
            kind = "rows" if specs[position].kind == "rows" else "shape"
            return Parameter(kind, position, None, int(what[5:]))
    raise TypeError(
        f"{kernel} on CUDA: parameter {name!r} is none of items, {', '.join(parameters)} and their "
        "_size, _shape<k>, _sizes, _count"
    )


class Target:
    """What the names in CUDA code stand for, for one T: the part that machine code and the
    simulator have in common."""

    cuda: Any = None

    def __init__(self, dtype: np.dtype) -> None:
        #: Bools are bytes, 0 or 1.
        self.type = np.uint8 if dtype.kind == "b" else dtype.type
        self._known: dict[int, tuple[Any, Any]] = {}

    def bind(self, function: Callable) -> Callable:
        """The function with the names in it bound."""
        return rebind(function, self.replace)

    def replace(self, value: Any) -> Any:
        if value is cuda:
            return self.cuda
        if value is T:
            return self.type
        known = self._known.get(id(value))
        if known is None:
            known = self._known[id(value)] = (value, self._find(value))
        return known[1]

    def _find(self, value: Any) -> Any:
        if isinstance(value, Intrinsic):
            return self.intrinsic(value)
        if isinstance(value, (DeviceFunction, Dispatcher)):
            return self.function(value.py_func)
        if isinstance(value, ScalarFunction):
            if value.__module__ == _MATHS and value.name in maths.FUNCTIONS:
                return self.maths(maths.FUNCTIONS[value.name])
            own = maths.FORMULAS.get(value.name) if value.__module__ == _MATHS else None
            return self.dispatched((own or value).implement)
        if isinstance(value, NumbaIntrinsic):
            for intrinsic, function in maths.EXPRESSIONS:
                if value is intrinsic:
                    return self.function(function)
            return self.maths(maths.MACHINE[value._name])
        if isinstance(value, python_types.ModuleType) and value.__name__ == _MATHS:
            module = python_types.ModuleType(value.__name__)
            for name, item in vars(value).items():
                if isinstance(item, ScalarFunction):
                    setattr(module, name, self.replace(item))
            return module
        return value

    def function(self, function: Callable) -> Any:
        """A device function."""
        return self.dispatched(lambda *types: function)

    def dispatched(self, implement: Callable) -> Any:
        """A device function that is `implement(*types)` for arguments of these Numba types."""
        raise NotImplementedError

    def intrinsic(self, intrinsic: Intrinsic) -> Any:
        raise NotImplementedError

    def maths(self, own: maths.Function) -> Any:
        raise NotImplementedError


def rebind(function: Callable, replace: Callable[[Any], Any]) -> Callable:
    """A copy of `function` in which every global and closure value is `replace(value)`."""
    scope = dict(function.__globals__)
    for name in _names(function.__code__):
        if name in scope:
            scope[name] = replace(scope[name])
    cells = tuple(
        python_types.CellType(replace(cell.cell_contents)) for cell in function.__closure__ or ()
    )
    copy = python_types.FunctionType(
        function.__code__, scope, function.__name__, function.__defaults__, cells
    )
    copy.__qualname__ = function.__qualname__
    copy.__module__ = function.__module__
    return copy


def _names(code: python_types.CodeType) -> set[str]:
    names = set(code.co_names)
    for constant in code.co_consts:
        if isinstance(constant, python_types.CodeType):
            names |= _names(constant)
    return names
