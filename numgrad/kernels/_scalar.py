"""Scalar functions: one formula that serves a Python call, a compiled loop and a traced tensor.

A `ScalarFunction` is called in three places:

- from Python, with numbers: it compiles itself for their types and returns a number;
- inside `@njit` code: Numba types the call, compiles the formula for the argument types and
  inlines it, so that LLVM vectorises the loop around it;
- with a tensor: `type(tensor).__scalar_function__(tensor, function, args)` takes over, which lets a
  formula be traced into operations.

The maths functions of `maths.py` are scalar functions with one implementation a dtype. A formula is
written with `scalar_function`:

    @scalar_function
    def silu(x):
        "silu(x) = x · σ(x)"
        return x * sigmoid(x)

Numba reads the literal `0.5` as float64 and `1` as int64, and float32 times either is float64:
half the lanes of a vector. So a formula is specialised before it is compiled: its numeric literals,
and the module constants it names, become scalars of its arguments' floating dtype.
"""

import dis
import types as python_types
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
from numba import njit, types
from numba.extending import typeof_impl
from numba.np.numpy_support import as_dtype

# NaN and infinity stay meaningful: never "nnan" or "ninf".
FASTMATH = {"reassoc", "nsz", "arcp", "contract", "afn"}

# Formulas are inlined into the loop that calls them, so they need no wrappers of their own.
_INLINED = {
    "error_model": "numpy",
    "forceinline": True,
    "no_cpython_wrapper": True,
    "no_cfunc_wrapper": True,
}


class ScalarFunction:
    """A function of numbers, compiled for the types it meets.

    `implement` receives the Numba types of the arguments and returns the Python function to compile
    for them, or None where there is none; `depends_on` lists what it may return. `fastmath` holds
    for that function's own instructions only.

    >>> from numgrad.kernels._scalar import scalar_function
    >>> @scalar_function
    ... def square_and_half(x):
    ...     return 0.5 * x * x
    >>> square_and_half(3.0)
    4.5
    """

    def __init__(
        self,
        py_func: Callable[..., Any],
        implement: Callable[..., Callable[..., Any] | None],
        name: str | None = None,
        fastmath: Iterable[str] = FASTMATH,
        depends_on: Iterable[Callable[..., Any]] = (),
    ) -> None:
        self.py_func = py_func
        self.name = self.__name__ = name or py_func.__name__
        self.__qualname__ = name or py_func.__qualname__
        self.__module__ = py_func.__module__
        self.__doc__ = py_func.__doc__
        self.implement = implement
        self._depends_on = tuple(depends_on)
        self._options: dict[str, Any] = {**_INLINED, "fastmath": set(fastmath)}
        self._compiled: dict[tuple[types.Type, ...], Any] = {}
        self._python_entry: Any = None

    def __call__(self, *args: Any) -> Any:
        for arg in args:
            traced = getattr(type(arg), "__scalar_function__", None)
            if traced is not None:
                return traced(arg, self, args)
        for arg in args:
            if not isinstance(arg, (int, float, np.number, np.bool_)):
                raise TypeError(f"{self.name}(): expected numbers, got {type(arg).__name__}")
        if self._python_entry is None:
            self._python_entry = njit(error_model="numpy")(_calling(self, len(args)))
        result = self._python_entry(*args)
        floats = [arg for arg in args if isinstance(arg, (float, np.floating))]
        if isinstance(result, float) and floats and all(type(f) is np.float32 for f in floats):
            return np.float32(result)  # Numba hands a float32 back as a Python float
        return result

    def __repr__(self) -> str:
        return f"<scalar function {self.name}>"

    def __reduce__(self) -> str:
        return self.__qualname__

    def __fingerprint__(self) -> tuple[Any, ...]:
        """What the compiled code depends on, for the key of the disk cache."""
        return (self.py_func, *self._depends_on, sorted(self._options["fastmath"]), specialise)

    # What Numba's typing and lowering ask the object behind a `types.Dispatcher` for.

    is_compiling = False  # True would mean a recursive call

    def get_call_template(self, args: tuple[types.Type, ...], kws: dict[str, types.Type]) -> Any:
        args = tuple(types.unliteral(arg) for arg in args)
        return self._dispatcher(args).get_call_template(args, kws)

    def get_overload(self, args: tuple[types.Type, ...]) -> Any:
        return self._dispatcher(tuple(args)).get_overload(tuple(args))

    def _dispatcher(self, args: tuple[types.Type, ...]) -> Any:
        if args not in self._compiled:
            implementation = self.implement(*args)
            if implementation is None:
                listed = ", ".join(str(arg) for arg in args)
                raise TypeError(f"{self.name}(): no implementation for ({listed})")
            self._compiled[args] = njit(**self._options)(implementation)
        return self._compiled[args]


@typeof_impl.register(ScalarFunction)
def _typeof_scalar_function(value: ScalarFunction, context: Any) -> types.Type:
    return types.Dispatcher(value)  # type: ignore[type-var]


def scalar_function(formula: Callable[..., Any]) -> ScalarFunction:
    """Turn a formula in numbers and other scalar functions into a `ScalarFunction`.

    Its literals take the floating dtype of the arguments; an integer exponent (`x ** 2`) stays an
    integer. A constant other than a literal has to be a name of the formula's own module
    (`SQRT_2 = math.sqrt(2.0)`), because `math.pi` inside would be computed in float64.
    """
    return ScalarFunction(
        formula, lambda *args: specialise(formula, floating=floating_dtype(*args))
    )


class _Like(ScalarFunction):
    def __call__(self, x: Any, value: Any) -> Any:
        # A tensor takes a plain number as it is: its dtype decides, not the number's.
        return value if hasattr(type(x), "__scalar_function__") else self.py_func(x, value)


def _like(x, value):
    """`value` as a number of `x`'s type: for code outside formulas, where a literal is float64.

    >>> from numgrad.kernels._scalar import like
    >>> import numpy as np
    >>> like(np.float32(2.0), 0.1)
    np.float32(0.1)
    """
    return type(x)(value)


def _implement_like(x: types.Type, value: types.Type) -> Callable[..., Any]:
    scalar_type = as_dtype(x).type
    return lambda x, value: scalar_type(value)


like = _Like(_like, _implement_like, name="like")


def floating_dtype(*args: types.Type) -> type | None:
    """The widest floating NumPy type among Numba types, None where there is none."""
    widths = [arg.bitwidth for arg in args if isinstance(arg, types.Float)]
    return {32: np.float32, 64: np.float64}[max(widths)] if widths else None


def specialise(
    formula: Callable[..., Any], floating: type | None, integer: type | None = None
) -> Callable[..., Any]:
    """A copy of `formula` whose constants are scalars of the type `floating`.

    Integers follow `floating` too (exponents and indices excepted), or become scalars of the type
    `integer`.
    """
    if floating is None:
        return formula
    integer = integer or floating

    def cast(value: Any) -> Any:
        if type(value) is float:
            with np.errstate(over="ignore"):
                return floating(value)
        if type(value) is int:
            return integer(value)
        if type(value) is tuple:
            return tuple(cast(item) for item in value)
        return value

    code, whole = _separate_whole_numbers(formula.__code__)
    constants = tuple(
        value if slot in whole else cast(value) for slot, value in enumerate(code.co_consts)
    )
    names = dict(formula.__globals__)
    for name in _global_names(formula):
        names[name] = cast(names[name])
    closure = tuple(
        python_types.CellType(cast(cell.cell_contents)) for cell in formula.__closure__ or ()
    )
    copy = python_types.FunctionType(
        code.replace(co_consts=constants), names, formula.__name__, formula.__defaults__, closure
    )
    copy.__qualname__ = formula.__qualname__
    copy.__module__ = formula.__module__
    return copy


def _global_names(formula: Callable[..., Any]) -> set[str]:
    """The module-level names a formula reads, after refusing the float attributes of modules."""
    scope = formula.__globals__
    names = set()
    module: Any = None
    for instruction in dis.get_instructions(formula.__code__):
        if module is not None and instruction.opname in ("LOAD_ATTR", "LOAD_METHOD"):
            if isinstance(getattr(module, instruction.argval, None), float):
                constant = f"{module.__name__}.{instruction.argval}"
                raise TypeError(
                    f"{formula.__name__}: {constant} would be float64 inside a formula; bind it to "
                    f"a name of the module, {instruction.argval.upper()} = {constant}, and use that"
                )
        module = None
        if instruction.opname == "LOAD_GLOBAL" and instruction.argval in scope:
            names.add(instruction.argval)
            value = scope[instruction.argval]
            module = value if isinstance(value, python_types.ModuleType) else None
    return names


def _separate_whole_numbers(
    code: python_types.CodeType,
) -> tuple[python_types.CodeType, set[int]]:
    """Give the literals that must stay integers constant slots of their own; (code, slots).

    These are exponents, since Numba turns `x ** 2` into multiplications, and indices of tuples. The
    same `2` may occur elsewhere as a factor, and shares its slot with them.
    """
    instructions = list(dis.get_instructions(code))
    constants = list(code.co_consts)
    bytecode = bytearray(code.co_code)
    slots = set()
    for literal, operation in zip(instructions, instructions[1:], strict=False):
        whole = operation.opname == "BINARY_SUBSCR" or (
            operation.opname == "BINARY_OP" and operation.argrepr in ("**", "**=", "[]")
        )
        if not whole or not literal.opname.startswith("LOAD_") or type(literal.argval) is not int:
            continue
        if len(constants) > 255:  # a wider slot number would need a longer instruction
            raise ValueError(f"{code.co_name}: too many constants in one formula")
        slots.add(len(constants))
        bytecode[literal.offset] = dis.opmap["LOAD_CONST"]
        bytecode[literal.offset + 1] = len(constants)
        constants.append(literal.argval)
    return code.replace(co_code=bytes(bytecode), co_consts=tuple(constants)), slots


def _calling(function: ScalarFunction, arity: int) -> Callable[..., Any]:
    """A plain function of `arity` arguments for Numba to compile: what a call from Python runs."""
    if arity == 1:
        return lambda a: function(a)
    if arity == 2:
        return lambda a, b: function(a, b)
    if arity == 3:
        return lambda a, b, c: function(a, b, c)
    raise TypeError(f"{function.name}(): takes 1 to 3 arguments, got {arity}")
