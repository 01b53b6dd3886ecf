"""Elementwise operations on tensors, from the kernels of `kernels/elementwise.py`.

Every function broadcasts its operands, promotes their dtypes as PyTorch does, takes `out=`, and is
differentiable wherever its kernel has a derivative.
"""

from __future__ import annotations

import builtins
import functools
from collections.abc import Callable
from typing import Any, TypeVar
from typing import cast as as_type

import numpy as np

from ..autograd.tape import set_grad
from ..dtypes import BOOL, INT64
from ..kernels import checks
from ..kernels import elementwise as table
from ._core import (
    Tensor,
    binary,
    cast,
    check,
    check_tensor,
    dense,
    empty,
    float_dtype,
    inplace,
    is_number,
    launch,
    mode,
    nary,
    needs_grad,
    number,
    number_dtype,
    record,
    result_dtype,
    type_name,
    unary,
    values,
    wrap,
    zeros,
)
from ._results import given
from ._signatures import Binary
from .creation import fill_array
from .examples import add_examples

#: What an operation is made of another one: the same for editors and type checkers.
Made = TypeVar("Made", bound=Callable[..., Any])

# ------------------------------------------------- names, dtypes and operands as PyTorch's


def _renamed(operation: Made, name: str) -> Made:
    """The operation with another name for its nodes."""

    @functools.wraps(operation)
    def renamed(*args: Any, out: Tensor | None = None, **kwargs: Any) -> Tensor:
        return given(operation(*args, **kwargs), out, name)

    return as_type(Any, renamed)


def _refuse(kernel: str, dtype: np.dtype) -> None:
    """PyTorch's error for a dtype that an operation has no kernel for."""
    raise NotImplementedError(f"\"{kernel}\" not implemented for '{type_name(dtype)}'")


def _only(kinds: str, kernel: str, operation: Made) -> Made:
    """The operation, refusing dtypes of other kinds ("f", "i", "u", "b")."""

    @functools.wraps(operation)
    def checked(input: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        if isinstance(input, Tensor) and input._data.dtype.kind not in kinds:
            _refuse(kernel, input._data.dtype)
        return operation(input, *args, **kwargs)

    return as_type(Any, checked)


def _of_tensors(operation: Binary) -> Binary:
    """The operation of two tensors that takes no numbers."""

    @functools.wraps(operation)
    def checked(input: Tensor, other: Tensor, *, out: Tensor | None = None) -> Tensor:
        check_tensor(input, operation.__name__, "input")
        check_tensor(other, operation.__name__, "other", 2)
        return operation(input, other, out=out)

    checked.direct = None  # type: ignore[attr-defined]  # that one takes numbers
    return as_type(Any, checked)


# --------------------------------------------------------------------- arithmetic

_add: Any = binary(table.add, "add", number_first=True)
_sub: Any = binary(table.sub, "sub", number_first=True)
mul = multiply = binary(table.mul, "mul", number_first=True)
_div: Any = binary(table.div, "div", floating=True, number_first=True)


def add(input: Tensor, other: Any, *, alpha: float = 1, out: Tensor | None = None) -> Tensor:
    """input + alpha · other.

    >>> numgrad.add(numgrad.tensor([1., 2.]), 10)
    tensor([11., 12.])
    """
    if alpha != 1:
        other = _scaled(other, alpha, [input, other])
    return _add(input, other, out=out)


def _scaled(other: Any, alpha: float, operands: list) -> Any:
    """alpha · other, in the category that the sum of the operands has."""
    dtype = result_dtype(operands)
    if dtype.kind != "f" and isinstance(alpha, float):
        raise RuntimeError(
            "For integral input tensors, argument alpha must not be a floating point number."
        )
    if dtype.kind == "b":
        alpha = bool(alpha)
    return mul(other, alpha) if isinstance(other, Tensor) else other * alpha


def sub(input: Tensor, other: Any, *, alpha: float = 1, out: Tensor | None = None) -> Tensor:
    """input - alpha · other.

    >>> numgrad.sub(numgrad.tensor([1., 2.]), 1)
    tensor([0., 1.])
    """
    _check_no_bool(input, other)
    if alpha != 1:
        other = _scaled(other, alpha, [input, other])
    return _sub(input, other, out=out)


subtract = sub


def _check_no_bool(input: Any, other: Any) -> None:
    """Bool tensors are not subtracted, as in PyTorch."""
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


def rsub(input: Tensor, other: Any, *, alpha: float = 1) -> Tensor:
    """other - alpha · input.

    >>> numgrad.rsub(numgrad.tensor([1., 2.]), 10)
    tensor([9., 8.])
    """
    check_tensor(input, "rsub", "input")
    _check_no_bool(other, input)
    if alpha != 1:
        input = _scaled(input, alpha, [input, other])
    if isinstance(other, Tensor):
        return given(_sub(other, input), None, "RsubBackward0")
    if input._data.dtype.kind == "f" and is_number(other):
        result = _sub(wrap(number(other, input._data.dtype)), input)  # faster than `general`
    else:
        result = _sub.general(other, input)
    return given(result, None, "RsubBackward1")


def div(
    input: Tensor, other: Any, *, rounding_mode: str | None = None, out: Tensor | None = None
) -> Tensor:
    """input / other; `rounding_mode` "floor" or "trunc" rounds the quotient.

    >>> numgrad.div(numgrad.tensor([7, -7]), 2, rounding_mode="floor")
    tensor([ 3, -4])
    """
    if rounding_mode is None:
        return _div(input, other, out=out)
    if rounding_mode not in ("trunc", "floor"):
        raise RuntimeError(
            "div expected rounding_mode to be one of None, 'trunc', or 'floor' but found "
            f"'{rounding_mode}'"
        )
    dtype = result_dtype([input, other])
    _check_divisor(other, dtype, f"div_{rounding_mode}_cpu")
    if rounding_mode == "floor":
        result = _floor_divide(input, other)
    else:
        result = (_trunc_divide if dtype.kind == "f" else _int_trunc_divide)(input, other)
    return given(_stepwise(result, "DivBackward2", _no_slope, input, other), out)


def _stepwise(result: Tensor, name: str, rule: Callable, *operands: Any) -> Tensor:
    """Record a result that is constant between its steps."""
    tensors = [t if isinstance(t, Tensor) else None for t in operands]
    if mode.enabled and result._data.dtype.kind == "f":
        if needs_grad(*[t for t in tensors if t is not None]):
            record(result, name, rule, tuple(tensors), (), tensors)
    return result


def _no_slope(node: Any, grad: Tensor) -> tuple:
    from .creation import zeros_like

    return tuple([None if t is None else zeros_like(t) for t in node.context])


def _no_derivative(node: Any, grad: Tensor) -> None:
    raise RuntimeError("derivative for aten::floor_divide is not implemented")


divide = true_divide = div
_trunc_divide = binary(table.trunc_divide, "div", number_first=True)
_int_trunc_divide = binary(table.int_trunc_divide, "div", number_first=True)
_floor_divide = binary(table.floor_divide, "floor_divide", number_first=True)
_remainder = binary(table.remainder, "remainder", number_first=True)
_fmod = binary(table.fmod, "fmod")
_int_fmod = binary(table.int_fmod, "fmod")


def _check_divisor(other: Any, dtype: np.dtype, kernel: str) -> None:
    """Integer division by zero raises, as in PyTorch; bools are not divided."""
    if dtype.kind == "f":
        return
    if dtype.kind == "b":
        _refuse(kernel, dtype)
    if not isinstance(other, Tensor):
        if other == 0:
            _raise_zero_division()
    elif other._data.dtype.kind != "f" and other._data.size:
        data = dense(other._data)
        bad = zeros(1, INT64, data)
        launch(checks.check_not_zero, data.dtype, data.size, (data, bad))
        check(bad, 0, _raise_zero_division)


def _raise_zero_division() -> None:
    raise RuntimeError("ZeroDivisionError")


def floor_divide(input: Any, other: Any, *, out: Tensor | None = None) -> Tensor:
    """⌊input / other⌋.

    >>> numgrad.floor_divide(numgrad.tensor([7, -7]), 2)
    tensor([ 3, -4])
    """
    _check_divisor(other, result_dtype([input, other]), "div_floor_cpu")
    result = _floor_divide(input, other)
    return given(_stepwise(result, "NotImplemented", _no_derivative, input, other), out)


def remainder(input: Any, other: Any, *, out: Tensor | None = None) -> Tensor:
    """Python's modulus: the result has the sign of `other`.

    >>> numgrad.remainder(numgrad.tensor([-3., 3.]), 2)
    tensor([1., 1.])
    """
    _check_divisor(other, result_dtype([input, other]), "remainder_cpu")
    name = "RemainderBackward1" if isinstance(other, Tensor) else None
    return given(_remainder(input, other), out, name)


def fmod(input: Tensor, other: Any, *, out: Tensor | None = None) -> Tensor:
    """C's fmod: the result has the sign of `input`.

    >>> numgrad.fmod(numgrad.tensor([-3., 3.]), 2)
    tensor([-1.,  1.])
    """
    dtype = result_dtype([input, other])
    _check_divisor(other, dtype, "fmod_cpu")
    name = "FmodBackward1" if isinstance(other, Tensor) else None
    return given((_fmod if dtype.kind == "f" else _int_fmod)(input, other), out, name)


_pow = binary(table.pow, "pow", number_first=True)
_int_pow = binary(table.int_pow, "pow", number_first=True)


def pow(input: Any, exponent: Any, *, out: Tensor | None = None) -> Tensor:
    """input to the power `exponent`, each of them a tensor or a number.

    >>> numgrad.pow(numgrad.tensor([1., 2., 3.]), 2)
    tensor([1., 4., 9.])
    """
    if not isinstance(exponent, Tensor) and isinstance(input, Tensor):
        if exponent == 2:
            if isinstance(exponent, float):
                input = cast(input, float_dtype(input._data.dtype))
            return square(input, out=out)
        if exponent == 1:
            return given(mul(input, exponent), out, "PowBackward0")
        name = None
    else:
        name = "PowBackward1" if isinstance(input, Tensor) else "PowBackward2"
    dtype = result_dtype([input, exponent])
    if dtype.kind == "f":
        return given(_pow(input, exponent), out, name)
    if dtype.kind == "b":
        _refuse("pow", dtype)
    if is_number(exponent) and exponent < 0:
        raise RuntimeError("Integers to negative integer powers are not allowed.")
    return given(_int_pow(input, exponent), out)


_square: Any = unary(table.square, "pow")


def square(input: Tensor, *, out: Tensor | None = None) -> Tensor:
    """input · input.

    >>> numgrad.square(numgrad.tensor([-1., 3.]))
    tensor([1., 9.])
    """
    if check_tensor(input, "square", "input")._data.dtype == BOOL:
        input = cast(input, INT64)
    return _square(input, out=out)


neg = negative = unary(table.neg, "neg", integers=table.neg, same_out=True)
abs = absolute = unary(table.abs, "abs", integers=table.int_abs, same_out=True)
_sign = unary(table.sign, "sign", integers=table.int_sign, same_out=True)
reciprocal = unary(table.reciprocal, "reciprocal", floating=True)


def positive(input: Tensor) -> Tensor:
    """The tensor itself.

    >>> numgrad.positive(numgrad.tensor([-1., 2.]))
    tensor([-1.,  2.])
    """
    if check_tensor(input, "positive", "input")._data.dtype == BOOL:
        raise RuntimeError("The `+` operator, on a bool tensor is not supported.")
    return input


def sign(input: Tensor, *, out: Tensor | None = None) -> Tensor:
    """-1, 0 or 1 as an element is negative, zero or positive; bool stays as it is.

    >>> numgrad.sign(numgrad.tensor([-2., 0., 5.]))
    tensor([-1.,  0.,  1.])
    """
    if check_tensor(input, "sign", "input")._data.dtype == BOOL:
        return given(input.clone(), out)
    return _sign(input, out=out)


maximum = _of_tensors(binary(table.maximum_, "maximum", links=False))
minimum = _of_tensors(binary(table.minimum_, "minimum", links=False))
fmax = _of_tensors(binary(table.fmax, "fmax", links=False))
fmin = _of_tensors(binary(table.fmin, "fmin", links=False))
_clamp: Any = nary(table.clamp, "clamp", links=False)
_clamp_min: Any = nary(table.clamp_min, "clamp", links=False)
_clamp_max: Any = nary(table.clamp_max, "clamp", links=False)


def clamp(input: Tensor, min: Any = None, max: Any = None, *, out: Tensor | None = None) -> Tensor:
    """The elements of `input`, those below `min` replaced by it, those above `max` likewise.

    >>> numgrad.clamp(numgrad.tensor([-2., 0.5, 3.]), min=-1, max=1)
    tensor([-1.0000,  0.5000,  1.0000])
    """
    check_tensor(input, "clamp", "input")
    if min is None and max is None:
        raise RuntimeError("torch.clamp: At least one of 'min' or 'max' must not be None")
    bounds = [b for b in (min, max) if b is not None]
    numbers = [b for b in bounds if not isinstance(b, Tensor)]
    if numbers and len(numbers) < len(bounds):
        raise TypeError(
            "clamp() received an invalid combination of arguments: min and max must both be "
            f"tensors or both be numbers, not {_kind(min)} and {_kind(max)}"
        )
    if min is None:
        result = _clamp_max(input, max)
    elif max is None:
        result = _clamp_min(input, min)
    else:
        result = _clamp(input, min, max)
    return given(result, out, "ClampBackward1" if numbers else None)


def _kind(value: Any) -> str:
    return type(value).__name__


clip = clamp


def clamp_min(input: Tensor, min: Any, *, out: Tensor | None = None) -> Tensor:
    """`clamp` with a lower bound alone.

    >>> numgrad.clamp_min(numgrad.tensor([-2., 0.5]), 0)
    tensor([0.0000, 0.5000])
    """
    name = "ClampMinBackward1" if isinstance(min, Tensor) else "ClampMinBackward0"
    return given(clamp(input, min), out, name)


def clamp_max(input: Tensor, max: Any, *, out: Tensor | None = None) -> Tensor:
    """`clamp` with an upper bound alone.

    >>> numgrad.clamp_max(numgrad.tensor([-2., 0.5]), 0)
    tensor([-2.,  0.])
    """
    name = "ClampMaxBackward1" if isinstance(max, Tensor) else "ClampMaxBackward0"
    return given(clamp(input, None, max), out, name)


_lerp: Any = nary(table.lerp, "lerp", floating=True)


def lerp(input: Tensor, end: Tensor, weight: Any, *, out: Tensor | None = None) -> Tensor:
    """input + weight · (end - input).

    >>> numgrad.lerp(numgrad.tensor([0., 10.]), numgrad.tensor([1., 20.]), 0.5)
    tensor([ 0.5000, 15.0000])
    """
    check_tensor(input, "lerp", "input")
    check_tensor(end, "lerp", "end", 2)
    by_tensor = isinstance(weight, Tensor)
    for name, t in (("end", end), ("weight", weight)):
        if isinstance(t, Tensor) and t._data.dtype != input._data.dtype:
            raise RuntimeError(
                f"expected dtype {_long_name(input)} for `{name}` but got dtype {_long_name(t)}"
            )
    if input._data.dtype.kind != "f":
        _refuse("lerp_kernel_tensor" if by_tensor else "lerp_kernel_scalar", input._data.dtype)
    return given(_lerp(input, end, weight), out, "LerpBackward1" if by_tensor else None)


def _long_name(tensor: Tensor) -> str:
    return type_name(tensor._data.dtype).lower()


_addcmul: Any = nary(table.addcmul, "addcmul")
_addcdiv: Any = nary(table.addcdiv, "addcdiv")


def addcmul(
    input: Tensor, tensor1: Tensor, tensor2: Tensor, *, value: float = 1, out: Any = None
) -> Tensor:
    """input + value · tensor1 · tensor2.

    >>> numgrad.addcmul(numgrad.ones(2), numgrad.tensor([1., 2.]), numgrad.tensor([3., 4.]), value=10)
    tensor([31., 81.])
    """
    return given(_addcmul(input, tensor1, tensor2, value), out)


def addcdiv(
    input: Tensor, tensor1: Tensor, tensor2: Tensor, *, value: float = 1, out: Any = None
) -> Tensor:
    """input + value · tensor1 / tensor2.

    >>> numgrad.addcdiv(numgrad.ones(2), numgrad.tensor([1., 2.]), numgrad.tensor([4., 4.]), value=2)
    tensor([1.5000, 2.0000])
    """
    if result_dtype([tensor1, tensor2]).kind != "f":
        raise RuntimeError(
            "Integer division with addcdiv is no longer supported, and in a future  release "
            "addcdiv will perform a true division of tensor1 and tensor2. Convert one of them to "
            "a floating point dtype, or use (input + value * torch.trunc(tensor1 / tensor2))."
        )
    return given(_addcdiv(input, tensor1, tensor2, value), out)


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
    return given(result, out)


# ---------------------------------------------------- exponentials, roots, angles

exp = unary(table.exp_, "exp", floating=True)
exp2 = unary(table.exp2_, "exp2", floating=True)
expm1 = unary(table.expm1_, "expm1", floating=True)
log = unary(table.log_, "log", floating=True)
log2 = unary(table.log2_, "log2", floating=True)
log10 = unary(table.log10_, "log10", floating=True)
log1p = _renamed(unary(table.log1p_, "log1p", floating=True), "Log1PBackward0")
_logaddexp = binary(table.logaddexp, "logaddexp", floating=True)
_xlogy = binary(table.xlogy, "xlogy", floating=True, number_first=True)
sqrt = unary(table.sqrt_, "sqrt", floating=True)
rsqrt = unary(table.rsqrt_, "rsqrt", floating=True)
sin = unary(table.sin_, "sin", floating=True)
cos = unary(table.cos_, "cos", floating=True)
tan = unary(table.tan_, "tan", floating=True)
asin = arcsin = unary(table.asin_, "asin", floating=True)
acos = arccos = unary(table.acos_, "acos", floating=True)
atan = arctan = unary(table.atan_, "atan", floating=True)
atan2 = arctan2 = _of_tensors(binary(table.atan2, "atan2", floating=True))
sinh = unary(table.sinh_, "sinh", floating=True)
cosh = unary(table.cosh_, "cosh", floating=True)
tanh = unary(table.tanh_, "tanh", floating=True)
sigmoid = unary(table.sigmoid_, "sigmoid", floating=True)
erf = unary(table.erf_, "erf", floating=True)


def logaddexp(input: Tensor, other: Tensor, *, out: Tensor | None = None) -> Tensor:
    """ln(e^input + e^other), without overflow.

    >>> numgrad.logaddexp(numgrad.tensor([0.]), numgrad.tensor([1000.]))
    tensor([1000.])
    """
    check_tensor(input, "logaddexp", "input")
    check_tensor(other, "logaddexp", "other", 2)
    dtype = result_dtype([input, other])
    if dtype.kind != "f":
        _refuse("logaddexp_cpu", dtype)
    return _logaddexp(input, other, out=out)


def xlogy(input: Any, other: Any, *, out: Tensor | None = None) -> Tensor:
    """input · ln(other), 0 where input is 0 and other is not NaN.

    >>> numgrad.xlogy(numgrad.tensor([0., 1.]), numgrad.tensor([0., 1.]))
    tensor([0., 0.])
    """
    if not isinstance(input, Tensor):
        return given(_xlogy(input, other), out, "XlogyBackward1")
    return given(_xlogy(input, other), out, None if isinstance(other, Tensor) else "XlogyBackward2")


# ----------------------------------------------------------------------- rounding

floor = _only("fiu", "floor_vml_cpu", unary(table.floor_, "floor", integers="same", same_out=True))
ceil = _only("fiu", "ceil_vml_cpu", unary(table.ceil_, "ceil", integers="same", same_out=True))
trunc = fix = _only(
    "fiu", "trunc_vml_cpu", unary(table.trunc_, "trunc", integers="same", same_out=True)
)
frac = _only("f", "frac_cpu", unary(table.frac, "frac", same_out=True))
_copysign = binary(table.copysign_, "copysign", floating=True)


def copysign(input: Tensor, other: Any, *, out: Tensor | None = None) -> Tensor:
    """The magnitudes of `input` with the signs of `other`.

    >>> numgrad.copysign(numgrad.tensor([1., -2.]), -1)
    tensor([-1., -2.])
    """
    name = None if isinstance(other, Tensor) else "CopysignBackward1"
    return given(_copysign(input, other), out, name)


_round = unary(table.round_half_even, "round", integers="same", same_out=True)


def round(input: Tensor, *, decimals: int = 0, out: Tensor | None = None) -> Tensor:
    """The nearest integers (halves to even), or the nearest multiples of 10^-decimals.

    >>> numgrad.round(numgrad.tensor([0.5, 1.5, -1.2]))
    tensor([ 0.,  2., -1.])
    """
    kind = check_tensor(input, "round", "input")._data.dtype.kind
    if kind == "b":
        _refuse("round_vml_cpu", BOOL)
    if decimals == 0:
        return _round(input, out=out)
    if kind != "f":
        _refuse("round_cpu", input._data.dtype)
    scale = 10.0 ** builtins.abs(decimals)
    if decimals > 0:
        result = div(_round(mul(input, scale)), scale)
    else:
        result = mul(_round(div(input, scale)), scale)
    return given(result, out, "RoundBackward1")


# ---------------------------------------------------------- comparisons and logic

eq = binary(table.eq, "eq")
ne = not_equal = binary(table.ne, "ne")
equal_or_nan = binary(table.equal_or_nan, "equal_or_nan")
lt = less = binary(table.lt, "lt")
le = less_equal = binary(table.le, "le")
gt = greater = binary(table.gt, "gt")
ge = greater_equal = binary(table.ge, "ge")
logical_and = _of_tensors(binary(table.logical_and, "logical_and"))
logical_or = _of_tensors(binary(table.logical_or, "logical_or"))
logical_xor = _of_tensors(binary(table.logical_xor, "logical_xor"))
logical_not = unary(table.logical_not, "logical_not")
_isnan = unary(table.isnan_, "isnan")
_isinf = unary(table.isinf_, "isinf")
_isfinite = unary(table.isfinite_, "isfinite")


def _float_test(operation: Any, name: str, doc: str, otherwise: bool) -> Any:
    def test(input: Tensor) -> Tensor:
        check_tensor(input, name, "input")
        if input._data.dtype.kind != "f":
            data = empty(input._data.shape, BOOL, input._data)
            fill_array(data, otherwise)
            return wrap(data)
        return operation(input)

    test.__name__ = test.__qualname__ = name
    test.__doc__ = doc
    return test


isnan = _float_test(_isnan, "isnan", "Whether each element is NaN.", False)
isinf = _float_test(_isinf, "isinf", "Whether each element is infinite.", False)
isfinite = _float_test(_isfinite, "isfinite", "Whether each element is finite.", True)


def _integral(operation: Binary, name: str, refused: str = "f") -> Binary:
    """The operation, refusing the dtypes of these kinds."""
    kernel = f"{operation.__name__}_cpu"

    def checked(input: Any, other: Any, *, out: Tensor | None = None) -> Tensor:
        dtype = result_dtype([input, other])
        if dtype.kind in refused:
            _refuse(kernel, dtype)
        return operation(input, other, out=out)

    checked.__name__ = checked.__qualname__ = name
    checked.__doc__ = operation.__doc__
    return as_type(Any, checked)


bitwise_and = _integral(binary(table.bitwise_and, "bitwise_and", number_first=True), "bitwise_and")
bitwise_or = _integral(binary(table.bitwise_or, "bitwise_or", number_first=True), "bitwise_or")
bitwise_xor = _integral(binary(table.bitwise_xor, "bitwise_xor", number_first=True), "bitwise_xor")
bitwise_left_shift = _integral(
    binary(table.left_shift, "lshift", number_first=True), "bitwise_left_shift", "fb"
)
bitwise_right_shift = _integral(
    binary(table.right_shift, "rshift", number_first=True), "bitwise_right_shift", "fb"
)
_bitwise_not = unary(table.bitwise_not, "bitwise_not", integers=table.bitwise_not)


def bitwise_not(input: Tensor, *, out: Tensor | None = None) -> Tensor:
    """Every bit inverted; logical not for bool.

    >>> numgrad.bitwise_not(numgrad.tensor([0, -1, 5]))
    tensor([-1,  0, -6])
    """
    kind = check_tensor(input, "bitwise_not", "input")._data.dtype.kind
    if kind == "b":
        return logical_not(input, out=out)
    if kind == "f":
        _refuse("bitwise_not_cpu", input._data.dtype)
    return _bitwise_not(input, out=out)


def isclose(
    input: Tensor, other: Tensor, rtol: float = 1e-05, atol: float = 1e-08, equal_nan: bool = False
) -> Tensor:
    """|input - other| ≤ atol + rtol · |other|, elementwise.

    >>> numgrad.isclose(numgrad.tensor([1., 2.]), numgrad.tensor([1., 2.1]))
    tensor([ True, False])
    """
    check_tensor(input, "isclose", "input")
    check_tensor(other, "isclose", "other", 2)
    if input._data.dtype != other._data.dtype:
        names = [type_name(t._data.dtype) for t in (input, other)]
        raise RuntimeError("{} did not match {}".format(*names))
    for name, value in (("rtol", rtol), ("atol", atol)):
        if value < 0:
            raise RuntimeError(f"{name} must be greater than or equal to zero, but got {value:g}")
    with set_grad(False):
        close = (equal_or_nan if equal_nan else eq)(input, other)
        if rtol == 0 and atol == 0:
            return close
        if input._data.dtype.kind != "f":  # exact up to here
            input, other = (cast(t, float_dtype(t._data.dtype)) for t in (input, other))
        distance = abs(sub(input, other))
        near = le(distance, add(abs(mul(other, rtol)), atol))
        return logical_or(close, logical_and(isfinite(distance), near))


def allclose(
    input: Tensor, other: Tensor, rtol: float = 1e-05, atol: float = 1e-08, equal_nan: bool = False
) -> bool:
    """Whether all elements are close (see `isclose`).

    >>> numgrad.allclose(numgrad.tensor([1., 2.]), numgrad.tensor([1., 2.]))
    True
    """
    return bool(values(isclose(input, other, rtol, atol, equal_nan)._data, "allclose").all())


def equal(input: Tensor, other: Tensor) -> bool:
    """Whether two tensors have the same shape and the same elements.

    >>> numgrad.equal(numgrad.tensor([1, 2]), numgrad.tensor([1, 2]))
    True
    """
    a = check_tensor(input, "equal", "input")._data
    b = check_tensor(other, "equal", "other", 2)._data
    return a.shape == b.shape and bool(values(eq(input, other)._data, "equal").all())


# --------------------------------------------------------------------- activations

relu = unary(table.relu, "relu", integers=table.relu)
silu = _only("f", "silu_cpu", unary(table.silu, "silu"))
mish = _only("f", "mish_cpu", unary(table.mish, "mish"))
hardsigmoid = _only("f", "hardsigmoid_cpu", unary(table.hardsigmoid, "hardsigmoid"))
hardswish = _only("f", "hardswish_cpu", unary(table.hardswish, "hardswish"))
softsign = _renamed(unary(table.softsign, "softsign", floating=True), "DivBackward0")
logsigmoid = _only("f", "log_sigmoid_cpu", unary(table.log_sigmoid, "log_sigmoid"))
_gelu = _only("f", "GeluKernelImpl", unary(table.gelu, "gelu"))
_gelu_tanh = _only("f", "GeluKernelImpl", unary(table.gelu_tanh, "gelu"))
_elu = _only("f", "elu_cpu", nary(table.elu, "elu"))
_leaky_relu = _only("f", "leaky_relu_cpu", nary(table.leaky_relu, "leaky_relu"))
_softplus = _only("f", "softplus_cpu", nary(table.softplus, "softplus"))
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
    """x where x > 0, else alpha · (eˣ - 1).

    >>> numgrad.nn.functional.elu(numgrad.tensor([-1., 2.]))
    tensor([-0.6321,  2.0000])
    """
    return _elu(input, alpha, 1.0, 1.0)


def celu(input: Tensor, alpha: float = 1.0) -> Tensor:
    """max(0, x) + min(0, alpha · (e^(x/alpha) - 1)).

    >>> numgrad.nn.functional.celu(numgrad.tensor([-1., 2.]), alpha=2.)
    tensor([-0.7869,  2.0000])
    """
    return given(_elu(input, alpha, 1.0, 1.0 / alpha), None, "CeluBackward0")


def selu(input: Tensor) -> Tensor:
    """ELU scaled so that activations keep mean 0 and variance 1 (Klambauer et al., 2017).

    >>> numgrad.nn.functional.selu(numgrad.tensor([-1., 1.]))
    tensor([-1.1113,  1.0507])
    """
    return _elu(input, 1.6732632423543772848170429916717, 1.0507009873554804934193349852946, 1.0)


def leaky_relu(input: Tensor, negative_slope: float = 0.01) -> Tensor:
    """x where x > 0, else negative_slope · x.

    >>> numgrad.nn.functional.leaky_relu(numgrad.tensor([-1., 2.]), 0.1)
    tensor([-0.1000,  2.0000])
    """
    return _leaky_relu(input, negative_slope)


def softplus(input: Tensor, beta: float = 1.0, threshold: float = 20.0) -> Tensor:
    """ln(1 + e^(beta·x)) / beta; x itself where beta · x > threshold.

    >>> numgrad.nn.functional.softplus(numgrad.tensor([0., 30.]))
    tensor([ 0.6931, 30.0000])
    """
    return _softplus(input, beta, threshold)


def hardtanh(input: Tensor, min_val: float = -1.0, max_val: float = 1.0) -> Tensor:
    """x clamped to [min_val, max_val].

    >>> numgrad.nn.functional.hardtanh(numgrad.tensor([-2., 0.5, 2.]))
    tensor([-1.0000,  0.5000,  1.0000])
    """
    kind = check_tensor(input, "hardtanh", "input")._data.dtype.kind
    if kind == "f":
        return _hardtanh(input, min_val, max_val)
    if kind == "b":
        raise RuntimeError("Bool inputs not supported for hardtanh")
    if kind == "u" and min_val < 0:
        raise RuntimeError("cannot do hardtanh on an unsigned type with negative limits")
    return clamp(input, int(min_val), int(max_val))


def relu6(input: Tensor) -> Tensor:
    """x clamped to [0, 6].

    >>> numgrad.nn.functional.relu6(numgrad.tensor([-1., 3., 8.]))
    tensor([0., 3., 6.])
    """
    return hardtanh(input, 0.0, 6.0)


def hardshrink(input: Tensor, lambd: float = 0.5) -> Tensor:
    """0 where |x| ≤ lambd, else x.

    >>> numgrad.nn.functional.hardshrink(numgrad.tensor([-1., 0.2]))
    tensor([-1.,  0.])
    """
    return _hardshrink(input, lambd)


def softshrink(input: Tensor, lambd: float = 0.5) -> Tensor:
    """x moved towards 0 by lambd, and 0 within that distance.

    >>> numgrad.nn.functional.softshrink(numgrad.tensor([-1., 0.2]))
    tensor([-0.5000,  0.0000])
    """
    return _softshrink(input, lambd)


def tanhshrink(input: Tensor) -> Tensor:
    """x - tanh x.

    >>> numgrad.nn.functional.tanhshrink(numgrad.tensor([0., 1.]))
    tensor([0.0000, 0.2384])
    """
    return sub(input, tanh(input))


def threshold(input: Tensor, threshold: float, value: float) -> Tensor:
    """x where x > threshold, else value.

    >>> numgrad.nn.functional.threshold(numgrad.tensor([-1., 2.]), 0, 9)
    tensor([9., 2.])
    """
    return _threshold(input, threshold, value)


add_examples(globals())

# ------------------------------------------------------------------- in-place forms


def _scaled_direct(sign: int) -> Callable[..., bool]:
    """self + sign · alpha · other, straight into self."""

    def direct(self: Any, *others: Any, alpha: Any = 1, **unknown: Any) -> bool:
        if len(others) != 1 or unknown or type(alpha) not in (float, int):
            return False
        return self._data.dtype.kind == "f" and _addcmul.direct(self, others[0], alpha * sign, 1)

    return direct


def _clamp_direct(self: Any, min: Any = None, max: Any = None, **unknown: Any) -> bool:
    if unknown or (min is None and max is None):
        return False
    if min is None:
        return _clamp_max.direct(self, max)
    if max is None:
        return _clamp_min.direct(self, min)
    return isinstance(min, Tensor) == isinstance(max, Tensor) and _clamp.direct(self, min, max)


def _product_direct(operation: Any) -> Callable[..., bool]:
    """self + value · (tensor1 and tensor2), straight into self."""

    def direct(self: Any, *tensors: Any, value: Any = 1, **unknown: Any) -> bool:
        fits = len(tensors) == 2 and not unknown and self._data.dtype.kind == "f"
        return fits and operation.direct(self, *tensors, value)

    return direct


add_ = inplace(add, direct=_add.direct, named=_scaled_direct(1))
sub_ = subtract_ = inplace(sub, direct=_sub.direct, named=_scaled_direct(-1))
mul_ = multiply_ = inplace(mul)
div_ = divide_ = true_divide_ = inplace(div, direct=_div.direct)
floor_divide_ = inplace(floor_divide)
remainder_ = inplace(remainder)
fmod_ = inplace(fmod)
pow_ = inplace(pow)
neg_ = negative_ = inplace(neg)
abs_ = absolute_ = inplace(abs)
sign_ = inplace(sign)
square_ = inplace(square, "square_", direct=_square.direct)
reciprocal_ = inplace(reciprocal)
clamp_ = clip_ = inplace(clamp, direct=_clamp_direct, named=_clamp_direct)
clamp_min_ = inplace(clamp_min)
clamp_max_ = inplace(clamp_max)
lerp_ = inplace(lerp, direct=_lerp.direct)
addcmul_ = inplace(addcmul, direct=_product_direct(_addcmul), named=_product_direct(_addcmul))
addcdiv_ = inplace(addcdiv, direct=_product_direct(_addcdiv), named=_product_direct(_addcdiv))
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
asin_ = arcsin_ = inplace(asin)
acos_ = arccos_ = inplace(acos)
atan_ = arctan_ = inplace(atan)
sinh_ = inplace(sinh)
cosh_ = inplace(cosh)
tanh_ = inplace(tanh)
sigmoid_ = inplace(sigmoid)
erf_ = inplace(erf)
floor_ = inplace(floor)
ceil_ = inplace(ceil)
trunc_ = fix_ = inplace(trunc)
round_ = inplace(round)
eq_ = inplace(eq)
ne_ = not_equal_ = inplace(ne)
lt_ = less_ = inplace(lt)
le_ = less_equal_ = inplace(le)
gt_ = greater_ = inplace(gt)
ge_ = greater_equal_ = inplace(ge)
logical_and_ = inplace(logical_and)
logical_or_ = inplace(logical_or)
logical_xor_ = inplace(logical_xor)
logical_not_ = inplace(logical_not)
bitwise_and_ = inplace(bitwise_and)
bitwise_or_ = inplace(bitwise_or)
bitwise_xor_ = inplace(bitwise_xor)
bitwise_not_ = inplace(bitwise_not)
bitwise_left_shift_ = inplace(bitwise_left_shift)
bitwise_right_shift_ = inplace(bitwise_right_shift)
atan2_ = arctan2_ = inplace(atan2)
copysign_ = inplace(copysign)
xlogy_ = inplace(xlogy)
frac_ = inplace(frac)
relu_ = inplace(relu)
leaky_relu_ = inplace(_renamed(leaky_relu, "LeakyReluBackward1"))
elu_ = inplace(_renamed(elu, "EluBackward1"))
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


def traced(function: Any, args: tuple) -> Any:
    """A scalar function applied to tensors: by the operation of its name, else by its formula."""
    operation = _BY_NAME.get(function.name)
    if operation is not None:
        return operation(*args)
    return function.py_func(*args)
