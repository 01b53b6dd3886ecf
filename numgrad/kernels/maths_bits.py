"""The few machine operations that the maths functions are made of, each one LLVM instruction.

All are usable inside `@njit` code only, on float32 and float64 (`select` on anything), and all
vectorise. None of them is touched by the fast-math flags of the code around it: `fma` rounds once
and `select` has no branch, whatever the caller's loop allows.
"""

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

_INTEGER = {types.float32: types.int32, types.float64: types.int64}
_FLOAT = {integer: floating for floating, integer in _INTEGER.items()}


def _llvm_function(name, arity):
    """An intrinsic for `llvm.<name>`, which takes `arity` numbers of one floating type."""

    def codegen(context, builder, signature, args):
        floating = context.get_value_type(signature.return_type)
        function = builder.module.declare_intrinsic(
            f"llvm.{name}", [floating], ir.FunctionType(floating, [floating] * arity)
        )
        return builder.call(function, args)

    def typed(*args):
        if args[0] in _INTEGER and all(arg == args[0] for arg in args):
            return args[0](*args), codegen
        return None

    typing = {
        1: lambda typingctx, x: typed(x),
        2: lambda typingctx, x, y: typed(x, y),
        3: lambda typingctx, x, y, z: typed(x, y, z),
    }[arity]
    typing.__name__ = typing.__qualname__ = name
    return intrinsic(typing)


#: a * b + c, rounded once.
fma = _llvm_function("fma", 3)
absolute = _llvm_function("fabs", 1)
copy_sign = _llvm_function("copysign", 2)
square_root = _llvm_function("sqrt", 1)
round_down = _llvm_function("floor", 1)
round_up = _llvm_function("ceil", 1)
round_to_zero = _llvm_function("trunc", 1)
round_to_even = _llvm_function("rint", 1)


def library_function(name):
    """The C library's function of one float64, as a call that stays where it is written.

    LLVM computes a call of `math.sin` for every element, wherever the branch around it leads: it
    knows that a sine has no side effects. Of a plain external function it knows nothing.
    """

    @intrinsic
    def call(typingctx, x):
        def codegen(context, builder, signature, args):
            double = ir.DoubleType()
            function = cgutils.get_or_insert_function(
                builder.module, ir.FunctionType(double, [double]), name
            )
            return builder.call(function, args)

        return types.float64(types.float64), codegen

    return call


@intrinsic
def polynomial(typingctx, x, coefficients):
    """Σ coefficients[k] · x^k by Horner's rule, one `fma` a coefficient after the first."""
    if x not in _INTEGER or coefficients != types.UniTuple(x, len(coefficients)):
        return None

    def codegen(context, builder, signature, args):
        floating = context.get_value_type(x)
        function = builder.module.declare_intrinsic(
            "llvm.fma", [floating], ir.FunctionType(floating, [floating] * 3)
        )
        *lower, result = (builder.extract_value(args[1], k) for k in range(len(coefficients)))
        for coefficient in reversed(lower):
            result = builder.call(function, [result, args[0], coefficient])
        return result

    return x(x, coefficients), codegen


@intrinsic
def select(typingctx, condition, if_true, if_false):
    """`if_true if condition else if_false`, both computed: no branch."""
    common = typingctx.unify_types(types.unliteral(if_true), types.unliteral(if_false))
    if common is None:
        return None

    def codegen(context, builder, signature, args):
        test = context.cast(builder, args[0], signature.args[0], types.boolean)
        return builder.select(test, args[1], args[2])

    return common(types.unliteral(condition), common, common), codegen


@intrinsic
def bits_of(typingctx, x):
    """The bits of a float32 as int32, of a float64 as int64."""
    if x not in _INTEGER:
        return None

    def codegen(context, builder, signature, args):
        return builder.bitcast(args[0], context.get_value_type(signature.return_type))

    return _INTEGER[x](x), codegen


@intrinsic
def low_bits(typingctx, x):
    """The low 32 bits of a float64, as int32."""

    def codegen(context, builder, signature, args):
        wide = builder.bitcast(args[0], ir.IntType(64))
        return builder.trunc(wide, ir.IntType(32))

    return types.int32(types.float64), codegen


@intrinsic
def from_bits(typingctx, bits):
    """The float32 with the bits of an int32, the float64 with those of an int64."""
    if bits not in _FLOAT:
        return None

    def codegen(context, builder, signature, args):
        return builder.bitcast(args[0], context.get_value_type(signature.return_type))

    return _FLOAT[bits](bits), codegen


def _integer_operation(name):
    """An intrinsic for an integer instruction that keeps its operands' width.

    Numba computes `int32 + int32` in int64; a vector of float32 needs its integers 32 bits wide.
    """

    def typing(typingctx, x, y):
        if not isinstance(x, types.Integer):
            return None

        def codegen(context, builder, signature, args):
            return getattr(builder, name)(*args)

        return x(x, x), codegen

    typing.__name__ = typing.__qualname__ = name
    return intrinsic(typing)


add = _integer_operation("add")
subtract = _integer_operation("sub")
bit_and = _integer_operation("and_")
bit_or = _integer_operation("or_")
bit_xor = _integer_operation("xor")
shift_left = _integer_operation("shl")
shift_right = _integer_operation("ashr")  # keeps the sign
