"""What the structured kernels share: raw pointers into their arrays, maxima that keep NaN.

Numba's array indexing wraps negative indices, which costs a comparison an access and keeps LLVM
from vectorising `x[base + i]`; a pointer read with `get` and written with `put` does not.
"""

import llvmlite.binding as llvm
from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic


@intrinsic
def data(typingctx, array):
    """The pointer to an array's first element."""

    def codegen(context, builder, signature, args):
        return context.make_array(signature.args[0])(context, builder, args[0]).data

    return types.CPointer(array.dtype)(array), codegen


def _extremum(name: str, comparison: str):
    # LLVM vectorises a running `llvm.maximum`, but knows how to emit one for x86 since version 17.
    known = llvm.llvm_version_info[0] >= 17

    @intrinsic
    def extremum(typingctx, a, b):
        def codegen(context, builder, signature, args):
            first, second = args
            if not isinstance(a, types.Float):
                signed = getattr(a, "signed", False)
                compare = builder.icmp_signed if signed else builder.icmp_unsigned
                return builder.select(compare(comparison, first, second), first, second)
            if known:
                kind = ir.FunctionType(first.type, [first.type] * 2)
                function = builder.module.declare_intrinsic(name, [first.type], kind)
                return builder.call(function, args, fastmath=("nsz",))
            taken = builder.or_(
                builder.fcmp_ordered(comparison, first, second),
                builder.fcmp_unordered("uno", first, first),
            )
            return builder.select(taken, first, second)

        return a(a, a), codegen

    return extremum


#: maximum(a, b), minimum(a, b) of two numbers of one type: NaN where either is NaN.
maximum = _extremum("llvm.maximum", ">")
minimum = _extremum("llvm.minimum", "<")


@njit(fastmath=set(), forceinline=True, no_cpython_wrapper=True, no_cfunc_wrapper=True)
def difference(a, b):
    """a - b rounded by itself, without the flags that let LLVM reorder the sums around it."""
    return a - b


@intrinsic
def larger(typingctx, a, b):
    """The larger of two numbers that the caller takes for no NaN: one instruction where `maximum`
    is three. With a NaN the result is unspecified, so use it where NaN reaches the output anyhow.
    """

    def codegen(context, builder, signature, args):
        flags = ("nnan", "nsz")
        return builder.select(builder.fcmp_ordered(">", *args, flags=flags), *args, flags=flags)

    return a(a, a), codegen
