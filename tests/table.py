"""One row an elementwise operation: what drives its forward, gradient and layout tests.

A row names the function in `numgrad` (or `nn.functional`), the intervals its inputs are drawn
from, and whether it is differentiable. A new operation adds a row; one without a row fails
`test_every_kernel_has_a_row`.
"""

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Row:
    name: str
    domains: tuple = ((-3.0, 3.0),)
    kwargs: dict = field(default_factory=dict)
    extra: tuple = ()  # numbers behind the tensors
    functional: bool = False  # in nn.functional
    differentiable: bool = True
    integers: bool = False  # takes integer tensors too
    specials: bool = True  # compared with PyTorch at NaN, infinities, zeros
    kernels: tuple = ()  # kernels of the table that it covers

    @property
    def id(self):
        return "-".join([self.name, *(f"{k}={v}" for k, v in self.kwargs.items())])


ANY, POSITIVE, UNIT, APART = (-3.0, 3.0), (0.2, 4.0), (-0.9, 0.9), (1.0, 3.0)


def unary(name, domain=ANY, **more):
    return Row(name, (domain,), **more)


def binary(name, x=ANY, y=ANY, **more):
    return Row(name, (x, y), **more)


ROWS = [
    binary("add", integers=True, kernels=("add",)),
    binary("add", kwargs={"alpha": 2}, specials=False),  # PyTorch fuses the product
    binary("sub", integers=True, kernels=("sub",)),
    binary("mul", integers=True, kernels=("mul",)),
    binary("div", y=POSITIVE, kernels=("div",)),
    binary(
        "div", y=POSITIVE, kwargs={"rounding_mode": "floor"}, differentiable=False, specials=False
    ),
    binary(
        "div",
        y=POSITIVE,
        kwargs={"rounding_mode": "trunc"},
        differentiable=False,
        kernels=("trunc_divide", "int_trunc_divide"),
        specials=False,
    ),
    binary(
        "floor_divide", y=POSITIVE, differentiable=False, specials=False, kernels=("floor_divide",)
    ),
    binary("remainder", y=POSITIVE, specials=False, kernels=("remainder",)),
    binary("fmod", y=POSITIVE, specials=False, kernels=("fmod", "int_fmod")),
    binary("pow", x=POSITIVE, kernels=("pow", "int_pow"), specials=False),
    unary("square", integers=True, kernels=("square",)),
    unary("neg", integers=True, kernels=("neg",)),
    unary("abs", integers=True, kernels=("abs", "int_abs")),
    unary("sign", integers=True, kernels=("sign", "int_sign")),
    unary("reciprocal", POSITIVE, kernels=("reciprocal",)),
    binary("maximum", integers=True, kernels=("maximum_",)),
    binary("minimum", integers=True, kernels=("minimum_",)),
    binary("fmax", kernels=("fmax",)),
    binary("fmin", kernels=("fmin",)),
    unary("clamp", extra=(-1.0, 1.5), kernels=("clamp",)),
    unary("clamp_min", extra=(0.5,), kernels=("clamp_min",)),
    unary("clamp_max", extra=(0.5,), kernels=("clamp_max",)),
    Row("lerp", (ANY, ANY, ANY), kernels=("lerp",), specials=False),
    Row("addcmul", (ANY, ANY, ANY), kwargs={"value": 0.5}, kernels=("addcmul",), specials=False),
    Row("addcdiv", (ANY, ANY, APART), kwargs={"value": 2}, kernels=("addcdiv",), specials=False),
    unary("exp", kernels=("exp_",)),
    unary("exp2", kernels=("exp2_",)),
    unary("expm1", kernels=("expm1_",)),
    unary("log", POSITIVE, kernels=("log_",)),
    unary("log2", POSITIVE, kernels=("log2_",)),
    unary("log10", POSITIVE, kernels=("log10_",)),
    unary("log1p", POSITIVE, kernels=("log1p_",)),
    binary("logaddexp", kernels=("logaddexp",)),
    binary("xlogy", y=POSITIVE, kernels=("xlogy",)),
    unary("sqrt", POSITIVE, kernels=("sqrt_",)),
    unary("rsqrt", POSITIVE, kernels=("rsqrt_",)),
    unary("sin", kernels=("sin_",)),
    unary("cos", kernels=("cos_",)),
    unary("tan", UNIT, kernels=("tan_",)),
    unary("asin", UNIT, kernels=("asin_",)),
    unary("acos", UNIT, kernels=("acos_",)),
    unary("atan", kernels=("atan_",)),
    binary("atan2", kernels=("atan2",)),
    unary("sinh", kernels=("sinh_",)),
    unary("cosh", kernels=("cosh_",)),
    unary("tanh", kernels=("tanh_",)),
    unary("sigmoid", kernels=("sigmoid_",)),
    unary("erf", kernels=("erf_",)),
    unary("floor", kernels=("floor_",)),
    unary("ceil", kernels=("ceil_",)),
    unary("round", kernels=("round_half_even",)),
    unary("trunc", kernels=("trunc_",)),
    unary("frac", kernels=("frac",), specials=False),
    binary("copysign", y=APART, kernels=("copysign_",), specials=False),
    *[
        binary(name, differentiable=False, integers=True, kernels=(name,))
        for name in ("eq", "ne", "lt", "le", "gt", "ge")
    ],
    *[
        binary(name, differentiable=False, integers=True, kernels=(name,))
        for name in ("logical_and", "logical_or", "logical_xor")
    ],
    unary("logical_not", differentiable=False, integers=True, kernels=("logical_not",)),
    unary("isnan", differentiable=False, kernels=("isnan_",)),
    unary("isinf", differentiable=False, kernels=("isinf_",)),
    unary("isfinite", differentiable=False, kernels=("isfinite_",)),
    unary("relu", functional=True, integers=True, kernels=("relu",)),
    unary("gelu", functional=True, kernels=("gelu",), specials=False),
    unary(
        "gelu",
        functional=True,
        kwargs={"approximate": "tanh"},
        kernels=("gelu_tanh",),
        specials=False,
    ),
    unary("silu", functional=True, kernels=("silu",), specials=False),
    unary("mish", functional=True, kernels=("mish",), specials=False),
    unary("elu", functional=True, kwargs={"alpha": 1.5}, kernels=("elu",)),
    unary("leaky_relu", functional=True, extra=(0.1,), kernels=("leaky_relu",), specials=False),
    unary("softplus", functional=True, kwargs={"beta": 2.0}, kernels=("softplus",)),
    unary("hardtanh", functional=True, extra=(-1.0, 1.5), kernels=("hardtanh",)),
    unary("logsigmoid", functional=True, kernels=("log_sigmoid",)),
    unary("hardsigmoid", functional=True, kernels=("hardsigmoid",)),
    unary("hardswish", functional=True, kernels=("hardswish",), specials=False),
    unary("softsign", functional=True, kernels=("softsign",), specials=False),
    unary("hardshrink", functional=True, extra=(0.7,), kernels=("hardshrink",)),
    unary("softshrink", functional=True, extra=(0.7,), kernels=("softshrink",)),
    unary("threshold", functional=True, extra=(0.3, 2.0), kernels=("threshold",)),
]

#: Kernels whose operations take bool or integer tensors, or a condition: tested by name.
ELSEWHERE = {
    "equal_or_nan",  # isclose, and the gradient of max
    "where_",
    "bitwise_and",
    "bitwise_or",
    "bitwise_xor",
    "bitwise_not",
    "left_shift",
    "right_shift",
}
