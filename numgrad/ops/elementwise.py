"""Elementwise operations on tensors, from the kernels of `kernels/elementwise.py`.

Every function broadcasts its operands, promotes their dtypes as PyTorch does, takes `out=`, and is
differentiable wherever its kernel has a derivative.
"""

from __future__ import annotations

import builtins
from typing import Any

import numpy as np

from ..dtypes import BOOL
from ..kernels import elementwise as table
from ._core import (
    Tensor,
    binary,
    cast,
    check_tensor,
    inplace,
    is_number,
    nary,
    number_dtype,
    result_dtype,
    type_name,
    unary,
    wrap,
    write_out,
)

# --------------------------------------------------------------------- arithmetic

_add = binary(table.add, "add")
_sub: Any = binary(table.sub, "sub")
mul = multiply = binary(table.mul, "mul")
_div = binary(table.div, "div", floating=True)


def add(input: Tensor, other: Any, *, alpha: float = 1, out: Tensor | None = None) -> Tensor:
    """input + alpha · other.

    >>> numgrad.add(numgrad.tensor([1., 2.]), 10)
    tensor([11., 12.])
    """
    if alpha != 1:
        other = mul(other, alpha)
    return _add(input, other, out=out)


def sub(input: Tensor, other: Any, *, alpha: float = 1, out: Tensor | None = None) -> Tensor:
    """input - alpha · other.

    >>> numgrad.sub(numgrad.tensor([1., 2.]), 1)
    tensor([0., 1.])
    """
    if alpha != 1:
        other = mul(other, alpha)
    dtypes = [t._data.dtype if isinstance(t, Tensor) else number_dtype(t) for t in (input, other)]
    if dtypes[0].kind == "b" and dtypes[1].kind == "b":
        raise RuntimeError(
            "Subtraction, the `-` operator, with two bool tensors is not supported. Use the `^` "
            "or `logical_xor()` operator instead."
        )
    if dtypes[0].kind == "b" or dtypes[1].kind == "b":
        raise RuntimeError(
            "Subtraction, the `-` operator, with a bool tensor is not supported. If you are "
            "trying to invert a mask, use the `~` or `logical_not()` operator instead."
        )
    return _sub(input, other, out=out)


subtract = sub


def rsub(input: Tensor, other: Any, *, alpha: float = 1) -> Tensor:
    """other - alpha · input."""
    if not isinstance(other, Tensor):
        return _sub.general(other, input if alpha == 1 else mul(input, alpha))
    return sub(other, input, alpha=alpha)


def div(
    input: Tensor, other: Any, *, rounding_mode: str | None = None, out: Tensor | None = None
) -> Tensor:
    """input / other; `rounding_mode` "floor" or "trunc" rounds the quotient.

    >>> numgrad.div(numgrad.tensor([7, -7]), 2, rounding_mode="floor")
    tensor([ 3, -4])
    """
    if rounding_mode is None:
        return _div(input, other, out=out)
    if rounding_mode == "floor":
        return floor_divide(input, other, out=out)
    if rounding_mode != "trunc":
        raise RuntimeError(
            "div expected rounding_mode to be one of None, 'trunc', or 'floor' but found "
            f"'{rounding_mode}'"
        )
    if result_dtype([input, other]).kind == "f":
        return _trunc_divide(input, other, out=out)
    _check_divisor(other)
    return _int_trunc_divide(input, other, out=out)


divide = true_divide = div
_trunc_divide = binary(table.trunc_divide, "div")
_int_trunc_divide = binary(table.int_trunc_divide, "div")
_floor_divide = binary(table.floor_divide, "floor_divide")
_remainder = binary(table.remainder, "remainder")
_fmod = binary(table.fmod, "fmod")
_int_fmod = binary(table.int_fmod, "fmod")


def _check_divisor(other: Any) -> None:
    """Integer division by zero raises, as in PyTorch."""
    data = other._data if isinstance(other, Tensor) else np.asarray(other)
    if data.dtype.kind != "f" and data.size and not data.all():
        raise RuntimeError("ZeroDivisionError")


def floor_divide(input: Any, other: Any, *, out: Tensor | None = None) -> Tensor:
    """⌊input / other⌋.

    >>> numgrad.floor_divide(numgrad.tensor([7, -7]), 2)
    tensor([ 3, -4])
    """
    if result_dtype([input, other]).kind != "f":
        _check_divisor(other)
    return _floor_divide(input, other, out=out)


def remainder(input: Any, other: Any, *, out: Tensor | None = None) -> Tensor:
    """Python's modulus: the result has the sign of `other`.

    >>> numgrad.remainder(numgrad.tensor([-3., 3.]), 2)
    tensor([1., 1.])
    """
    if result_dtype([input, other]).kind != "f":
        _check_divisor(other)
    return _remainder(input, other, out=out)


def fmod(input: Tensor, other: Any, *, out: Tensor | None = None) -> Tensor:
    """C's fmod: the result has the sign of `input`.

    >>> numgrad.fmod(numgrad.tensor([-3., 3.]), 2)
    tensor([-1.,  1.])
    """
    if result_dtype([input, other]).kind == "f":
        return _fmod(input, other, out=out)
    _check_divisor(other)
    return _int_fmod(input, other, out=out)


_pow = binary(table.pow, "pow")
_int_pow = binary(table.int_pow, "pow")


def pow(input: Any, exponent: Any, *, out: Tensor | None = None) -> Tensor:
    """input to the power `exponent`, each of them a tensor or a number.

    >>> numgrad.pow(numgrad.tensor([1., 2., 3.]), 2)
    tensor([1., 4., 9.])
    """
    if not isinstance(exponent, Tensor) and isinstance(input, Tensor):
        if exponent == 2:
            result = _square_as_pow(input)
            return result if out is None else write_out(out, result)
        if exponent == 1:
            result = mul(input, 1)
            return result if out is None else write_out(out, result)
    if result_dtype([input, exponent]).kind == "f":
        return _pow(input, exponent, out=out)
    if is_number(exponent) and exponent < 0:
        raise RuntimeError("Integers to negative integer powers are not allowed.")
    return _int_pow(input, exponent, out=out)


_square_as_pow = unary(table.square, "pow")


neg = negative = unary(table.neg, "neg")
abs = absolute = unary(table.abs, "abs", integers=table.int_abs)
sign = unary(table.sign, "sign", integers=table.int_sign)
square = unary(table.square, "pow")
reciprocal = unary(table.reciprocal, "reciprocal", floating=True)


def positive(input: Tensor) -> Tensor:
    """The tensor itself."""
    return input


maximum = binary(table.maximum_, "maximum")
minimum = binary(table.minimum_, "minimum")
fmax = binary(table.fmax, "fmax")
fmin = binary(table.fmin, "fmin")
_clamp = nary(table.clamp, "clamp")
_clamp_min = nary(table.clamp_min, "clamp")
_clamp_max = nary(table.clamp_max, "clamp")


def clamp(
    input: Tensor, min: Any = None, max: Any = None, *, out: Tensor | None = None
) -> Tensor:
    """The elements of `input`, those below `min` replaced by it, those above `max` likewise.

    >>> numgrad.clamp(numgrad.tensor([-2., 0.5, 3.]), min=-1, max=1)
    tensor([-1.0000,  0.5000,  1.0000])
    """
    check_tensor(input, "clamp", "input")
    if min is None and max is None:
        raise RuntimeError("torch.clamp: At least one of 'min' or 'max' must not be None")
    if min is None:
        result = _clamp_max(input, max)
    elif max is None:
        result = _clamp_min(input, min)
    else:
        result = _clamp(input, min, max)
    return result if out is None else write_out(out, result)


clip = clamp


def clamp_min(input: Tensor, min: Any, *, out: Tensor | None = None) -> Tensor:
    """`clamp` with a lower bound alone."""
    return clamp(input, min, out=out)


def clamp_max(input: Tensor, max: Any, *, out: Tensor | None = None) -> Tensor:
    """`clamp` with an upper bound alone."""
    return clamp(input, None, max, out=out)


_lerp = nary(table.lerp, "lerp")


def lerp(input: Tensor, end: Tensor, weight: Any, *, out: Tensor | None = None) -> Tensor:
    """input + weight · (end - input).

    >>> numgrad.lerp(numgrad.tensor([0., 10.]), numgrad.tensor([1., 20.]), 0.5)
    tensor([ 0.5000, 15.0000])
    """
    for t in (end, weight):
        if isinstance(t, Tensor) and t._data.dtype != input._data.dtype:
            raise RuntimeError(
                f"expected dtype {_long_name(input)} for `end` but got dtype {_long_name(t)}"
            )
    result = _lerp(input, end, weight)
    return result if out is None else write_out(out, result)


def _long_name(tensor: Tensor) -> str:
    return type_name(tensor._data.dtype).lower()


_addcmul = nary(table.addcmul, "addcmul")
_addcdiv = nary(table.addcdiv, "addcdiv")


def addcmul(
    input: Tensor, tensor1: Tensor, tensor2: Tensor, *, value: float = 1, out: Any = None
) -> Tensor:
    """input + value · tensor1 · tensor2."""
    result = _addcmul(input, tensor1, tensor2, value)
    return result if out is None else write_out(out, result)


def addcdiv(
    input: Tensor, tensor1: Tensor, tensor2: Tensor, *, value: float = 1, out: Any = None
) -> Tensor:
    """input + value · tensor1 / tensor2."""
    result = _addcdiv(input, tensor1, tensor2, value)
    return result if out is None else write_out(out, result)


_where = nary(table.where_, "where")


def where(condition: Tensor, input: Any = None, other: Any = None, *, out: Any = None) -> Tensor:
    """`input` where the condition holds, else `other`; alone, `nonzero(as_tuple=True)`.

    >>> numgrad.where(numgrad.tensor([True, False]), numgrad.tensor([1., 2.]), 0)
    tensor([1., 0.])
    """
    check_tensor(condition, "where", "condition")
    if input is None and other is None:
        from .indexing import nonzero

        return nonzero(condition, as_tuple=True)
    if condition._data.dtype != BOOL:
        if condition._data.dtype != np.uint8:
            raise RuntimeError(
                f"where expected condition to be a boolean tensor, but got a tensor with dtype "
                f"{type_name(condition._data.dtype)}"
            )
        condition = cast(condition, BOOL)
    result = _where(condition, input, other)
    return result if out is None else write_out(out, result)


# ---------------------------------------------------- exponentials, roots, angles

exp = unary(table.exp_, "exp", floating=True)
exp2 = unary(table.exp2_, "exp2", floating=True)
expm1 = unary(table.expm1_, "expm1", floating=True)
log = unary(table.log_, "log", floating=True)
log2 = unary(table.log2_, "log2", floating=True)
log10 = unary(table.log10_, "log10", floating=True)
log1p = unary(table.log1p_, "log1p", floating=True)
logaddexp = binary(table.logaddexp, "logaddexp", floating=True)
xlogy = binary(table.xlogy, "xlogy", floating=True)
sqrt = unary(table.sqrt_, "sqrt", floating=True)
rsqrt = unary(table.rsqrt_, "rsqrt", floating=True)
sin = unary(table.sin_, "sin", floating=True)
cos = unary(table.cos_, "cos", floating=True)
tan = unary(table.tan_, "tan", floating=True)
asin = arcsin = unary(table.asin_, "asin", floating=True)
acos = arccos = unary(table.acos_, "acos", floating=True)
atan = arctan = unary(table.atan_, "atan", floating=True)
atan2 = arctan2 = binary(table.atan2, "atan2", floating=True)
sinh = unary(table.sinh_, "sinh", floating=True)
cosh = unary(table.cosh_, "cosh", floating=True)
tanh = unary(table.tanh_, "tanh", floating=True)
sigmoid = unary(table.sigmoid_, "sigmoid", floating=True)
erf = unary(table.erf_, "erf", floating=True)

# ----------------------------------------------------------------------- rounding

floor = unary(table.floor_, "floor", integers="same")
ceil = unary(table.ceil_, "ceil", integers="same")
trunc = fix = unary(table.trunc_, "trunc", integers="same")
frac = unary(table.frac, "frac")
copysign = binary(table.copysign_, "copysign", floating=True)
_round = unary(table.round_half_even, "round", integers="same")


def round(input: Tensor, *, decimals: int = 0, out: Tensor | None = None) -> Tensor:
    """The nearest integers (halves to even), or the nearest multiples of 10^-decimals.

    >>> numgrad.round(numgrad.tensor([0.5, 1.5, -1.2]))
    tensor([ 0.,  2., -1.])
    """
    if decimals == 0:
        return _round(input, out=out)
    scale = 10.0 ** builtins.abs(decimals)
    if decimals > 0:
        return div(_round(mul(input, scale)), scale, out=out)
    return mul(_round(div(input, scale)), scale, out=out)


# ---------------------------------------------------------- comparisons and logic

eq = binary(table.eq, "eq")
ne = not_equal = binary(table.ne, "ne")
lt = less = binary(table.lt, "lt")
le = less_equal = binary(table.le, "le")
gt = greater = binary(table.gt, "gt")
ge = greater_equal = binary(table.ge, "ge")
logical_and = binary(table.logical_and, "logical_and")
logical_or = binary(table.logical_or, "logical_or")
logical_xor = binary(table.logical_xor, "logical_xor")
logical_not = unary(table.logical_not, "logical_not")
_isnan = unary(table.isnan_, "isnan")
_isinf = unary(table.isinf_, "isinf")
_isfinite = unary(table.isfinite_, "isfinite")


def _float_test(operation: Any, name: str, doc: str, otherwise: bool) -> Any:
    def test(input: Tensor) -> Tensor:
        check_tensor(input, name, "input")
        if input._data.dtype.kind != "f":
            return wrap(np.full(input._data.shape, otherwise))
        return operation(input)

    test.__name__ = test.__qualname__ = name
    test.__doc__ = doc
    return test


isnan = _float_test(_isnan, "isnan", "Whether each element is NaN.", False)
isinf = _float_test(_isinf, "isinf", "Whether each element is infinite.", False)
isfinite = _float_test(_isfinite, "isfinite", "Whether each element is finite.", True)


def _integral(operation: Any, name: str) -> Any:
    def checked(input: Any, other: Any, *, out: Tensor | None = None) -> Tensor:
        if result_dtype([input, other]).kind == "f":
            raise RuntimeError(f'"{name}_cpu" not implemented for \'Float\'')
        return operation(input, other, out=out)

    checked.__name__ = checked.__qualname__ = name
    checked.__doc__ = operation.__doc__
    return checked


bitwise_and = _integral(binary(table.bitwise_and, "bitwise_and"), "bitwise_and")
bitwise_or = _integral(binary(table.bitwise_or, "bitwise_or"), "bitwise_or")
bitwise_xor = _integral(binary(table.bitwise_xor, "bitwise_xor"), "bitwise_xor")
bitwise_left_shift = _integral(binary(table.left_shift, "lshift"), "lshift")
bitwise_right_shift = _integral(binary(table.right_shift, "rshift"), "rshift")
_bitwise_not = unary(table.bitwise_not, "bitwise_not", integers=table.bitwise_not)


def bitwise_not(input: Tensor, *, out: Tensor | None = None) -> Tensor:
    """Every bit inverted; logical not for bool."""
    kind = check_tensor(input, "bitwise_not", "input")._data.dtype.kind
    if kind == "b":
        return logical_not(input, out=out)
    if kind == "f":
        raise RuntimeError("\"bitwise_not_cpu\" not implemented for 'Float'")
    return _bitwise_not(input, out=out)


def isclose(
    input: Tensor, other: Tensor, rtol: float = 1e-05, atol: float = 1e-08, equal_nan: bool = False
) -> Tensor:
    """|input - other| ≤ atol + rtol · |other|, elementwise.

    >>> numgrad.isclose(numgrad.tensor([1., 2.]), numgrad.tensor([1., 2.1]))
    tensor([ True, False])
    """
    if input._data.dtype != other._data.dtype:
        raise RuntimeError(f"{_long_name(input)} did not match {_long_name(other)}")
    return wrap(
        np.asarray(np.isclose(input._data, other._data, rtol, atol, equal_nan=equal_nan))
    )


def allclose(
    input: Tensor, other: Tensor, rtol: float = 1e-05, atol: float = 1e-08, equal_nan: bool = False
) -> bool:
    """Whether all elements are close (see `isclose`).

    >>> numgrad.allclose(numgrad.tensor([1., 2.]), numgrad.tensor([1., 2.]))
    True
    """
    return bool(isclose(input, other, rtol, atol, equal_nan)._data.all())


def equal(input: Tensor, other: Tensor) -> bool:
    """Whether two tensors have the same shape and the same elements.

    >>> numgrad.equal(numgrad.tensor([1, 2]), numgrad.tensor([1, 2]))
    True
    """
    a, b = input._data, other._data
    return a.shape == b.shape and bool(eq(input, other)._data.all())


# --------------------------------------------------------------------- activations

relu = unary(table.relu, "relu", integers=table.relu)
silu = unary(table.silu, "silu")
mish = unary(table.mish, "mish")
hardsigmoid = unary(table.hardsigmoid, "hardsigmoid")
hardswish = unary(table.hardswish, "hardswish")
softsign = unary(table.softsign, "softsign")
logsigmoid = unary(table.log_sigmoid, "log_sigmoid")
_gelu = unary(table.gelu, "gelu")
_gelu_tanh = unary(table.gelu_tanh, "gelu")
_elu = nary(table.elu, "elu")
_leaky_relu = nary(table.leaky_relu, "leaky_relu")
_softplus = nary(table.softplus, "softplus")
_hardtanh = nary(table.hardtanh, "hardtanh")
_hardshrink = nary(table.hardshrink, "hardshrink")
_softshrink = nary(table.softshrink, "softshrink")
_threshold = nary(table.threshold, "threshold")


def gelu(input: Tensor, approximate: str = "none") -> Tensor:
    """x · Φ(x), or its tanh approximation with `approximate="tanh"`.

    >>> numgrad.nn.functional.gelu(numgrad.tensor([-1., 0., 1.]))
    tensor([-0.1587,  0.0000,  0.8413])
    """
    if approximate == "none":
        return _gelu(input)
    if approximate == "tanh":
        return _gelu_tanh(input)
    raise RuntimeError("approximate argument must be either none or tanh.")


def elu(input: Tensor, alpha: float = 1.0) -> Tensor:
    """x where x > 0, else alpha · (eˣ - 1)."""
    return _elu(input, alpha, 1.0, 1.0)


def celu(input: Tensor, alpha: float = 1.0) -> Tensor:
    """max(0, x) + min(0, alpha · (e^(x/alpha) - 1))."""
    return _elu(input, alpha, 1.0, 1.0 / alpha)


def selu(input: Tensor) -> Tensor:
    """ELU scaled so that activations keep mean 0 and variance 1 (Klambauer et al., 2017)."""
    return _elu(input, 1.6732632423543772848170429916717, 1.0507009873554804934193349852946, 1.0)


def leaky_relu(input: Tensor, negative_slope: float = 0.01) -> Tensor:
    """x where x > 0, else negative_slope · x.

    >>> numgrad.nn.functional.leaky_relu(numgrad.tensor([-1., 2.]), 0.1)
    tensor([-0.1000,  2.0000])
    """
    return _leaky_relu(input, negative_slope)


def softplus(input: Tensor, beta: float = 1.0, threshold: float = 20.0) -> Tensor:
    """ln(1 + e^(beta·x)) / beta; x itself where beta · x > threshold."""
    return _softplus(input, beta, threshold)


def hardtanh(input: Tensor, min_val: float = -1.0, max_val: float = 1.0) -> Tensor:
    """x clamped to [min_val, max_val]."""
    return _hardtanh(input, min_val, max_val)


def relu6(input: Tensor) -> Tensor:
    """x clamped to [0, 6]."""
    return _hardtanh(input, 0.0, 6.0)


def hardshrink(input: Tensor, lambd: float = 0.5) -> Tensor:
    """0 where |x| ≤ lambd, else x."""
    return _hardshrink(input, lambd)


def softshrink(input: Tensor, lambd: float = 0.5) -> Tensor:
    """x moved towards 0 by lambd, and 0 within that distance."""
    return _softshrink(input, lambd)


def tanhshrink(input: Tensor) -> Tensor:
    """x - tanh x."""
    return sub(input, tanh(input))


def threshold(input: Tensor, threshold: float, value: float) -> Tensor:
    """x where x > threshold, else value."""
    return _threshold(input, threshold, value)


# ------------------------------------------------------------------- in-place forms

add_ = inplace(add)
sub_ = subtract_ = inplace(sub)
mul_ = multiply_ = inplace(mul)
div_ = divide_ = inplace(div)
floor_divide_ = inplace(floor_divide)
remainder_ = inplace(remainder)
fmod_ = inplace(fmod)
pow_ = inplace(pow)
neg_ = negative_ = inplace(neg)
abs_ = absolute_ = inplace(abs)
sign_ = inplace(sign)
square_ = inplace(square, "square_")
reciprocal_ = inplace(reciprocal)
clamp_ = clip_ = inplace(clamp)
clamp_min_ = inplace(clamp_min)
clamp_max_ = inplace(clamp_max)
lerp_ = inplace(lerp)
addcmul_ = inplace(addcmul)
addcdiv_ = inplace(addcdiv)
exp_ = inplace(exp)
exp2_ = inplace(exp2)
expm1_ = inplace(expm1)
log_ = inplace(log)
log2_ = inplace(log2)
log10_ = inplace(log10)
log1p_ = inplace(log1p)
sqrt_ = inplace(sqrt)
rsqrt_ = inplace(rsqrt)
sin_ = inplace(sin)
cos_ = inplace(cos)
tan_ = inplace(tan)
asin_ = inplace(asin)
acos_ = inplace(acos)
atan_ = inplace(atan)
sinh_ = inplace(sinh)
cosh_ = inplace(cosh)
tanh_ = inplace(tanh)
sigmoid_ = inplace(sigmoid)
erf_ = inplace(erf)
floor_ = inplace(floor)
ceil_ = inplace(ceil)
trunc_ = inplace(trunc)
round_ = inplace(round)
eq_ = inplace(eq)
ne_ = inplace(ne)
lt_ = inplace(lt)
le_ = inplace(le)
gt_ = inplace(gt)
ge_ = inplace(ge)
logical_and_ = inplace(logical_and)
logical_or_ = inplace(logical_or)
logical_xor_ = inplace(logical_xor)
logical_not_ = inplace(logical_not)
bitwise_and_ = inplace(bitwise_and)
bitwise_or_ = inplace(bitwise_or)
bitwise_xor_ = inplace(bitwise_xor)
bitwise_not_ = inplace(bitwise_not)
relu_ = inplace(relu)
leaky_relu_ = inplace(leaky_relu)
elu_ = inplace(elu)
hardtanh_ = inplace(hardtanh)
relu6_ = inplace(relu6)
silu_ = inplace(silu)

# ------------------------------------------------- scalar formulas traced on tensors

_BY_NAME = {
    "exp": exp,
    "exp2": exp2,
    "expm1": expm1,
    "log": log,
    "log2": log2,
    "log10": log10,
    "log1p": log1p,
    "sqrt": sqrt,
    "rsqrt": rsqrt,
    "sin": sin,
    "cos": cos,
    "tan": tan,
    "asin": asin,
    "acos": acos,
    "atan": atan,
    "sinh": sinh,
    "cosh": cosh,
    "tanh": tanh,
    "sigmoid": sigmoid,
    "erf": erf,
    "floor": floor,
    "ceil": ceil,
    "trunc": trunc,
    "isnan": isnan,
    "where": _where,
    "maximum": lambda x, y: _clamp_min(x, y) if is_number(y) else maximum(x, y),
    "minimum": lambda x, y: _clamp_max(x, y) if is_number(y) else minimum(x, y),
    "copysign": lambda x, y: copysign(x if isinstance(x, Tensor) else y * 0 + x, y),
    "fabs": abs,
    "abs_": abs,
    "round_": _round,
    "pow": pow,
}


def trace(function: Any, args: tuple) -> Tensor:
    """A scalar function applied to tensors: by the operation of its name, else by its formula."""
    operation = _BY_NAME.get(function.name)
    if operation is not None:
        return operation(*args)
    return function.py_func(*args)
