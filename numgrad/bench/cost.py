"""What a kernel costs by its own account: bytes moved, operations done.

Bytes follow from the specs of a kernel's parameters: an array that it reads or writes counts once,
one that it updates twice. Operations are what a sentence of its docstring says:

    Reads x and writes out once; an exponential and four operations an element.

The number is a word, from "no" to "forty", of operations, comparisons or additions; maths functions
may come before it. "An element" is one of the largest array, or "of x" of that parameter. "Reads
values, writes out" has an `updates` array count once, because it is only written in part, and
"reads one element of x for each of out" has x count as out does. A matrix product says "2 m n k
operations".

An elementwise kernel says nothing: its operations are counted in its formula, and in the formulas
of the maths functions that it calls. A multiply-add counts as two, a comparison as one, a choice or
a change of bits as none.
"""

from __future__ import annotations

import dis
import functools
import inspect
import math
import re
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numba.core.dispatcher import Dispatcher
from numba.extending import _Intrinsic as Intrinsic
from numba.np.numpy_support import from_dtype

from ..kernels import maths
from ..kernels._contract import Kernel
from ..kernels._elementwise import Elementwise
from ..kernels._scalar import ScalarFunction

_WORDS = "no one two three four five six seven eight nine ten eleven twelve thirteen fourteen"
_WORDS += " fifteen sixteen seventeen eighteen nineteen twenty"
NUMBERS = {word: number for number, word in enumerate(_WORDS.split())}
NUMBERS |= {"an": 1, "a": 1, "thirty": 30, "forty": 40}
#: Maths functions as a docstring names them.
FUNCTIONS = {
    "exponential": maths.exp,
    "logarithm": maths.log,
    "sine": maths.sin,
    "tangent": maths.tan,
}
_FUNCTION = rf"an? (?:{'|'.join(FUNCTIONS)})"
_OPERATIONS = re.compile(
    rf"(?P<functions>(?:{_FUNCTION}(?:,| and) )*)(?:about )?(?P<count>{'|'.join(NUMBERS)})"
    r" (?:operation|comparison|addition)s?(?:(?: an? element| each)(?: of (?P<of>\w+))?)?(?!\w)",
    re.IGNORECASE,
)
_MOVED = re.compile(r"reads (?P<reads>[^.;:]*?),? (?:and )?writes (?P<writes>[^.;:]*)", re.I)
_PICKED = re.compile(r"one element of (?P<which>\w+) for each of (?P<each>\w+)")
_PRODUCT = re.compile(r"\b2 m n k operations")
#: The operations of what formulas call that is no formula itself; what is missing counts as none.
_INSTRUCTIONS = {"fma": 2, "sqrt": 1, "floor": 1, "ceil": 1, "trunc": 1, "rint": 1, "tile": 0}
#: A call into the C library, such as that of `math.pow`, counts as so many.
_LIBRARY = 40
_ARITHMETIC = {"+", "-", "*", "/", "//", "%", "**"}


class Cost(NamedTuple):
    """Bytes of arrays that are read, written, and (both counted) updated in place; operations done
    (None: the kernel does not say)."""

    read: int
    written: int
    updated: int
    operations: float | None

    @property
    def bytes(self) -> int:
        return self.read + self.written + self.updated


def cost(kernel: Kernel | Elementwise, arguments: Sequence[Any]) -> Cost:
    """What one call of a kernel with these NumPy arrays and numbers costs.

    >>> import numpy as np
    >>> from numgrad.bench.cost import cost
    >>> from numgrad.kernels.softmax import softmax_backward_rows
    >>> grad = np.ones((4, 8), np.float32)
    >>> cost(softmax_backward_rows, (grad, grad, grad, 8))
    Cost(read=256, written=128, updated=0, operations=128)
    """
    if isinstance(kernel, Elementwise):
        dtype = np.dtype(arguments[0].dtype)
        each = operations(kernel.function, dtype)
        read = sum(x.nbytes for x in arguments[:-1])
        return Cost(read, arguments[-1].nbytes, 0, each * arguments[-1].size)
    effects = [spec.effect for spec in kernel.specs]
    return declared(
        kernel.__doc__ or "", dict(zip(kernel.parameters, arguments, strict=True)), effects
    )


def declared(doc: str, arguments: dict[str, Any], effects: Sequence[str]) -> Cost:
    """The cost of a call by a docstring, and by what is done ("reads", "writes", "updates") to
    each argument."""
    text = " ".join(doc.split())
    listed = {name: _arrays(value) for name, value in arguments.items()}
    moved, picked = _MOVED.search(text), _PICKED.search(text)
    part = set()
    if moved is not None:
        words = [set(re.findall(r"\w+", moved[side])) for side in ("reads", "writes")]
        part = words[1] - words[0]
    read = written = updated = 0
    for (name, arrays), effect in zip(listed.items(), effects, strict=True):
        size = sum(array.nbytes for array in arrays)
        if picked is not None and picked["which"] == name:
            size = arrays[0].itemsize * listed[picked["each"]][0].size
        if effect == "reads":
            read += size
        elif effect == "writes" or name in part:
            written += size
        else:
            updated += 2 * size
    return Cost(read, written, updated, _declared_operations(text, listed))


def _arrays(value: Any) -> Sequence[Any]:
    return value if type(value) is tuple else (value,) if hasattr(value, "nbytes") else ()


def _declared_operations(text: str, listed: dict[str, Sequence[Any]]) -> float | None:
    if _PRODUCT.search(text):
        batch, m, n, k = (int(size) for size in listed["sizes"][0][:4])
        return 2 * batch * m * n * k
    found = _OPERATIONS.search(text)
    if found is None:
        return None
    sizes = {name: sum(array.size for array in arrays) for name, arrays in listed.items()}
    largest = max(sizes, key=lambda name: sizes[name])
    dtype = np.dtype(listed[largest][0].dtype)
    each = NUMBERS[found["count"].lower()]
    for name in re.findall("|".join(FUNCTIONS), found["functions"]):
        each += operations(FUNCTIONS[name], dtype)
    return each * sizes[found["of"] if found["of"] in sizes else largest]


@functools.cache
def operations(function: ScalarFunction, dtype: np.dtype) -> int:
    """The operations of a formula for arguments of a dtype.

    >>> import numpy as np
    >>> from numgrad.bench.cost import operations
    >>> from numgrad.kernels.elementwise import lerp, square
    >>> operations(square.function, np.dtype(np.float32))
    1
    """
    count = len(inspect.signature(function.py_func).parameters)
    implementation = function.implement(*[from_dtype(dtype)] * count)
    return 0 if implementation is None else _count(implementation, dtype, frozenset())


def _count(function: Callable, dtype: np.dtype, inside: frozenset) -> int:
    if function.__code__ in inside:
        return 0
    inside |= {function.__code__}
    scope = dict(function.__globals__)
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
        scope[name] = cell.cell_contents
    total = 0
    polynomial = False  # its coefficients come next
    value: Any = None
    for instruction in dis.get_instructions(function):
        operation, argument = instruction.opname, instruction.argval
        if operation == "BINARY_OP":
            total += instruction.argrepr.removesuffix("=") in _ARITHMETIC
        elif operation in ("UNARY_NEGATIVE", "COMPARE_OP"):
            total += 1
        elif operation in ("LOAD_GLOBAL", "LOAD_DEREF", "LOAD_ATTR", "LOAD_METHOD"):
            if operation in ("LOAD_ATTR", "LOAD_METHOD"):
                value = getattr(value, argument, None)
            else:
                value = scope.get(argument)
            if isinstance(value, ScalarFunction):
                total += operations(value, dtype)
            elif isinstance(value, Dispatcher):
                total += _count(value.py_func, dtype, inside)
            elif isinstance(value, Intrinsic):
                polynomial = value._name == "polynomial"
                total += _INSTRUCTIONS.get(value._name, 0)
            elif type(value) is type(math.pow):
                total += 1 if value is math.sqrt else _LIBRARY
        coefficients = argument if operation == "LOAD_CONST" else value
        if polynomial and type(coefficients) is tuple:
            total += 2 * (len(coefficients) - 1)
            polynomial = False
    return total
