"""The maths functions on CUDA: libdevice's, where the CPU has polynomials of its own."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from .. import blocks, maths_bits
from .._scalar import scalar_function
from ..maths import exp


class Function(NamedTuple):
    """libdevice's names for float32 and float64, and the meaning in NumPy."""

    single: str
    double: str
    meaning: Callable[..., Any]


def _named(name: str, meaning: Callable[..., Any]) -> Function:
    return Function(name + "f", name, meaning)


#: The functions of `kernels/maths.py`, by name.
FUNCTIONS: dict[str, Function] = {
    "exp": _named("exp", np.exp),
    "exp2": _named("exp2", np.exp2),
    "expm1": _named("expm1", np.expm1),
    "log": _named("log", np.log),
    "log2": _named("log2", np.log2),
    "log10": _named("log10", np.log10),
    "log1p": _named("log1p", np.log1p),
    "tanh": _named("tanh", np.tanh),
    "sin": _named("sin", np.sin),
    "cos": _named("cos", np.cos),
    "sinpi": _named("sinpi", lambda x: type(x)(np.sin(np.pi * np.float64(x)))),
    "cospi": _named("cospi", lambda x: type(x)(np.cos(np.pi * np.float64(x)))),
    "tan": _named("tan", np.tan),
    "asin": _named("asin", np.arcsin),
    "acos": _named("acos", np.arccos),
    "atan": _named("atan", np.arctan),
    "sinh": _named("sinh", np.sinh),
    "cosh": _named("cosh", np.cosh),
    "pow": _named("pow", np.power),
    "fmod": _named("fmod", np.fmod),
    "normal_cdf": _named("normcdf", lambda x: type(x)(math.erfc(-x * math.sqrt(0.5)) / 2)),
    "erf": _named("erf", lambda x: type(x)(math.erf(x))),
    "rsqrt": _named("rsqrt", lambda x: type(x)(1) / np.sqrt(x)),
    "sqrt": _named("sqrt", np.sqrt),
    "raw_bits": Function(
        "float_as_int",
        "double_as_longlong",
        lambda x: x.view(np.int32 if x.dtype == np.float32 else np.int64),
    ),
}
#: The machine operations of `maths_bits.py`, by the names that LLVM has for them.
MACHINE: dict[str, Function] = {
    "fma": _named("fma", lambda a, b, c: type(a)(np.float64(a) * b + c)),
    "fabs": _named("fabs", np.abs),
    "copysign": _named("copysign", np.copysign),
    "sqrt": _named("sqrt", np.sqrt),
    "floor": _named("floor", np.floor),
    "ceil": _named("ceil", np.ceil),
    "trunc": _named("trunc", np.trunc),
    "rint": _named("rint", np.rint),
}


@scalar_function
def sigmoid(x):
    return 1 / (1 + exp(-x))


#: Functions of `kernels/maths.py` that libdevice does not have.
FORMULAS = {"sigmoid": sigmoid}


def _select(condition, a, b):
    return a if condition else b


def _maximum(a, b):
    return a if a > b or a != a else b


def _minimum(a, b):
    return a if a < b or a != a else b


#: The CPU's intrinsics that are plain expressions here, and these.
EXPRESSIONS: list[tuple[Any, Callable[..., Any]]] = [
    (maths_bits.select, _select),
    (blocks.maximum, _maximum),
    (blocks.minimum, _minimum),
    (blocks.larger, lambda a, b: a if a > b else b),
]
