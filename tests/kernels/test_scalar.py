"""Scalar functions: literals, nesting, tracing, and what Numba makes of them."""

import math
import pickle

import numpy as np
import pytest
from numba import njit

from numgrad.kernels import _cache
from numgrad.kernels._scalar import FASTMATH, ScalarFunction, like, scalar_function, specialise

THIRD = 1.0 / 3.0
PI = math.pi


@scalar_function
def cubic(x):
    """x / 3 + 2x² + 1."""
    return THIRD * x + 2 * x**2 + 1


@scalar_function
def ratio(x, y):
    return (cubic(x) + PI) / (y + 1)


def loop_over(function):
    @njit(fastmath=FASTMATH, error_model="numpy")
    def loop(x, out):
        for i in range(x.size):
            out[i] = function(x[i])

    return loop


def intermediate_code(function, dtype):
    loop = loop_over(function)
    x = np.linspace(-2, 2, 64).astype(dtype)
    loop(x, np.empty_like(x))
    return loop.inspect_llvm(loop.signatures[0])


def test_a_call_from_python_keeps_the_dtype():
    assert cubic(3.0) == pytest.approx(20.0)
    assert isinstance(cubic(np.float32(3.0)), np.float32)
    assert isinstance(cubic(3.0), float)
    assert ratio(3.0, 1.0) == pytest.approx((20.0 + math.pi) / 2)
    assert cubic.py_func(3.0) == cubic(3.0)
    assert cubic.name == "cubic" and cubic.__doc__ == "x / 3 + 2x² + 1."


def test_literals_and_constants_take_the_arguments_dtype():
    assert "double" not in intermediate_code(cubic, np.float32)
    assert "double" in intermediate_code(cubic, np.float64)


def test_integer_exponents_become_multiplications():
    # 2 is a factor and an exponent here: only the factor may become a float.
    code = intermediate_code(cubic, np.float32)
    assert not [line for line in code.splitlines() if "call" in line and "pow" in line]


def test_specialise_converts_tuples_and_closures_and_nothing_else():
    scale = 0.1

    def formula(x, factor=2.0):
        coefficients = (0.5, 3)
        return scale * x * coefficients[0] if x is not None else True

    copy = specialise(formula, np.float32)
    assert copy.__closure__[0].cell_contents == np.float32(0.1)
    assert (np.float32(0.5), np.float32(3)) in copy.__code__.co_consts
    assert isinstance(copy(np.float32(1.0)), np.float32)
    assert copy.__defaults__ == (2.0,)
    assert scale == 0.1 and formula(1.0) == 0.05
    assert specialise(formula, None) is formula


def test_a_float_attribute_of_a_module_is_refused():
    @scalar_function
    def degrees(x):
        return x * math.pi

    with pytest.raises(TypeError, match=r"degrees: math\.pi would be float64 inside a formula"):
        degrees(np.float32(1.0))


def test_a_tensor_takes_over():
    class Traced:
        def __scalar_function__(self, function, args):
            return self, function, args

    traced = Traced()
    assert cubic(traced) == (traced, cubic, (traced,))
    assert ratio(1.0, traced) == (traced, ratio, (1.0, traced))
    assert like(traced, 0.5) == 0.5


def test_what_is_no_number_is_refused():
    with pytest.raises(TypeError, match=r"cubic\(\): expected numbers, got list"):
        cubic([1.0])


def test_a_missing_implementation_is_named():
    only_float32 = ScalarFunction(
        lambda x: x, lambda x: (lambda x: x) if str(x) == "float32" else None, name="narrow"
    )
    assert only_float32(np.float32(2.0)) == 2.0
    with pytest.raises(TypeError, match=r"narrow\(\): no implementation for \(float64\)"):
        only_float32(2.0)


def test_like():
    @njit
    def halve(x):
        return like(x, 0.5) * x

    halve(np.float32(3.0))
    assert str(halve.nopython_signatures[0].return_type) == "float32"
    assert halve(np.float32(3.0)) == 1.5
    assert like(np.float32(1.0), 0.1) == np.float32(0.1)
    assert like(2.0, 1) == 1.0


def test_pickles_by_name():
    assert pickle.loads(pickle.dumps(cubic)) is cubic


def test_the_fingerprint_follows_the_formula():
    def build(text):
        scope = {}
        exec(text, scope)
        return _cache.fingerprint(scalar_function(scope["f"]))

    first = build("def f(x): return 2 * x")
    assert first == build("def f(x): return 2 * x")
    assert first != build("def f(x): return 3 * x")
