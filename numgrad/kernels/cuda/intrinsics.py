"""Every llvmlite intrinsic of the CUDA kernels: the one file to write anew for another lowering.

What each means is said by the `Intrinsic` of its name, most of them in `blocks.py`.
"""

from llvmlite import ir
from numba import types
from numba.cuda.extending import intrinsic


def _vector(width):
    """Loads and stores of `width` neighbouring elements by one instruction."""

    @intrinsic
    def load(typingctx, pointer, group):
        element = pointer.dtype
        if not isinstance(group, types.Integer):
            return None

        def codegen(context, builder, signature, args):
            place, size = _place(context, builder, pointer, width, *args)
            loaded = builder.load(place, align=size)
            items = [
                builder.extract_element(loaded, ir.Constant(ir.IntType(32), k))
                for k in range(width)
            ]
            return context.make_tuple(builder, signature.return_type, items)

        return types.UniTuple(element, width)(pointer, group), codegen

    @intrinsic
    def store(typingctx, pointer, group, values):
        if not isinstance(values, types.BaseTuple) or len(values) != width:
            return None
        element = pointer.dtype

        def codegen(context, builder, signature, args):
            place, size = _place(context, builder, pointer, width, *args[:2])
            vector = ir.Constant(place.type.pointee, ir.Undefined)
            for k, kind in enumerate(signature.args[2]):
                item = builder.extract_value(args[2], k)
                item = context.cast(builder, item, kind, element)
                vector = builder.insert_element(vector, item, ir.Constant(ir.IntType(32), k))
            builder.store(vector, place, align=size)
            return context.get_dummy_value()

        return types.void(pointer, group, values), codegen

    return load, store


def _place(context, builder, pointer, width, address, group):
    kind = context.get_data_type(pointer.dtype)
    group = builder.mul(group, ir.Constant(group.type, width))
    place = builder.gep(address, [group])
    size = context.get_abi_sizeof(kind) * width
    return builder.bitcast(place, ir.VectorType(kind, width).as_pointer()), size


load1, store1 = _vector(1)
load2, store2 = _vector(2)
load4, store4 = _vector(4)
load8, store8 = _vector(8)
load16, store16 = _vector(16)


@intrinsic
def aligned(typingctx, pointer, width):
    def codegen(context, builder, signature, args):
        word = ir.IntType(64)
        size = context.get_abi_sizeof(context.get_data_type(pointer.dtype))
        mask = builder.sub(builder.mul(args[1], ir.Constant(word, size)), ir.Constant(word, 1))
        rest = builder.and_(builder.ptrtoint(args[0], word), mask)
        return builder.icmp_unsigned("==", rest, ir.Constant(word, 0))

    return types.boolean(pointer, types.int64), codegen


@intrinsic
def atomic_add(typingctx, pointer, index, value):
    element = pointer.dtype
    if not isinstance(element, types.Integer):
        return None

    def codegen(context, builder, signature, args):
        amount = context.cast(builder, args[2], value, element)
        return builder.atomic_rmw("add", builder.gep(args[0], [args[1]]), amount, "monotonic")

    return element(pointer, index, value), codegen


def _unsigned32(name):
    @intrinsic
    def operation(typingctx, a, b):
        def codegen(context, builder, signature, args):
            word = ir.IntType(32)
            narrow = [builder.trunc(v, word) for v in args]
            return builder.zext(getattr(builder, name)(*narrow), ir.IntType(64))

        return types.int64(types.int64, types.int64), codegen

    return operation


divide32, remainder32 = _unsigned32("udiv"), _unsigned32("urem")


# ------------------------------------------------------------------------ `rows.py`


@intrinsic
def ahead(typingctx, pointer, index):
    if not isinstance(index, types.Integer):
        return None

    def codegen(context, builder, signature, args):
        return builder.gep(args[0], [args[1]])

    return pointer(pointer, index), codegen


@intrinsic
def unaligned(typingctx, pointer):
    def codegen(context, builder, signature, args):
        word = ir.IntType(64)
        size = context.get_abi_sizeof(context.get_data_type(pointer.dtype))
        rest = builder.neg(builder.ptrtoint(args[0], word))
        rest = builder.and_(rest, ir.Constant(word, 15))
        return builder.lshr(rest, ir.Constant(word, size.bit_length() - 1))

    return types.int64(pointer), codegen


@intrinsic
def width(typingctx, pointer):
    def codegen(context, builder, signature, args):
        return ir.Constant(ir.IntType(64), _width(pointer))

    return types.int64(pointer), codegen


def _width(pointer):
    return 128 // pointer.dtype.bitwidth


@intrinsic
def load_wide(typingctx, pointer, group):
    return _vector(_width(pointer))[0]._defn(typingctx, pointer, group)


@intrinsic
def store_wide(typingctx, pointer, group, values):
    return _vector(_width(pointer))[1]._defn(typingctx, pointer, group, values)
