"""The llvmlite intrinsics below every kernel: reading NumPy's array objects, raw pointers, calls by address.

A kernel is launched with one Python tuple of arguments and reads everything it needs from the
tuple's memory: a NumPy array's data pointer, shape and strides, a Python float's value. That makes
a launch cost about 0.1 µs whatever the number, rank and dtype of its arguments. Every assumption
about object layouts is in this file, and `check_layouts` compares them with the running
interpreter before the first launch.
"""

import ctypes

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import (
    NativeValue,
    intrinsic,
    models,
    register_model,
    unbox,
)

_WORD = 8  # bytes in a pointer
_HEAD = object.__basicsize__  # PyObject_HEAD: reference count and type
_TUPLE_ITEMS = tuple.__basicsize__  # PyTupleObject.ob_item
_FLOAT_VALUE = _HEAD  # PyFloatObject.ob_fval
_ARRAY_DATA = _HEAD  # PyArrayObject.data
_ARRAY_NDIM = _HEAD + _WORD
_ARRAY_SHAPE = _HEAD + 2 * _WORD
_ARRAY_STRIDES = _HEAD + 3 * _WORD
_ARRAY_FLAGS = _HEAD + 6 * _WORD
C_CONTIGUOUS = 1  # NPY_ARRAY_C_CONTIGUOUS

ARRAY_DATA, ARRAY_NDIM, ARRAY_SHAPE = _ARRAY_DATA, _ARRAY_NDIM, _ARRAY_SHAPE
ARRAY_STRIDES, ARRAY_FLAGS, FLOAT_VALUE = _ARRAY_STRIDES, _ARRAY_FLAGS, _FLOAT_VALUE

_I64 = ir.IntType(64)


def check_layouts() -> None:
    """Raise `RuntimeError` where this interpreter's objects are not laid out as the kernels read them."""
    sample = np.zeros((3, 5), np.float32)[:, ::2]
    address = id(sample)

    def word(base: int, offset: int) -> int:
        return ctypes.c_int64.from_address(base + offset).value

    shape, strides = word(address, _ARRAY_SHAPE), word(address, _ARRAY_STRIDES)
    found = (
        word(address, _ARRAY_DATA),
        ctypes.c_int32.from_address(address + _ARRAY_NDIM).value,
        (word(shape, 0), word(shape, _WORD)),
        (word(strides, 0), word(strides, _WORD)),
        ctypes.c_int32.from_address(address + _ARRAY_FLAGS).value & C_CONTIGUOUS,
        ctypes.c_double.from_address(id(2.5) + _FLOAT_VALUE).value,
    )
    pair = (sample, sample)
    expected = (sample.ctypes.data, 2, sample.shape, sample.strides, 0, 2.5)
    if found != expected or word(id(pair), _TUPLE_ITEMS) != address:
        raise RuntimeError(
            "numgrad reads NumPy arrays and Python tuples from memory, and this interpreter lays "
            f"them out differently: expected {expected}, found {found}"
        )


class TupleRef(types.Type):
    """A Python tuple, passed to native code as the address of its first item."""

    def __init__(self) -> None:
        super().__init__("numgrad.TupleRef")


tuple_ref = TupleRef()


@register_model(TupleRef)
class _TupleRefModel(models.PrimitiveModel):
    def __init__(self, dmm, fe_type):
        super().__init__(dmm, fe_type, _I64)


@unbox(TupleRef)
def _unbox_tuple(typ, obj, c):
    address = c.builder.ptrtoint(obj, _I64)
    return NativeValue(c.builder.add(address, ir.Constant(_I64, _TUPLE_ITEMS)))


@intrinsic
def items_address(typingctx, ref):
    """The address of a tuple's items."""

    def codegen(context, builder, signature, args):
        return args[0]

    return types.int64(ref), codegen


def _load(numba_type, llvm_type, extend=None):
    @intrinsic
    def load(typingctx, address):
        def codegen(context, builder, signature, args):
            value = builder.load(builder.inttoptr(args[0], llvm_type.as_pointer()))
            return builder.sext(value, extend) if extend else value

        return numba_type(types.int64), codegen

    return load


load_int64 = _load(types.int64, _I64)
load_int32 = _load(types.int64, ir.IntType(32), _I64)
load_float64 = _load(types.float64, ir.DoubleType())


@intrinsic
def store_int64(typingctx, address, value):
    def codegen(context, builder, signature, args):
        builder.store(args[1], builder.inttoptr(args[0], _I64.as_pointer()))
        return context.get_dummy_value()

    return types.void(types.int64, types.int64), codegen


@intrinsic
def as_pointer(typingctx, address, dtype):
    """The address as a typed pointer: `as_pointer(address, numba.float32)[i]`."""
    pointer = types.CPointer(dtype.dtype)

    def codegen(context, builder, signature, args):
        return builder.inttoptr(args[0], context.get_value_type(pointer))

    return pointer(types.int64, dtype), codegen


@intrinsic
def pointer_at(typingctx, pointer, index):
    """The pointer `index` elements further on."""

    def codegen(context, builder, signature, args):
        return builder.gep(args[0], [args[1]])

    return pointer(pointer, types.int64), codegen


@intrinsic
def get(typingctx, pointer, index):
    """pointer[index], for every dtype (Numba's own indexing of pointers has no booleans)."""

    def codegen(context, builder, signature, args):
        return context.unpack_value(builder, pointer.dtype, builder.gep(args[0], [args[1]]))

    return pointer.dtype(pointer, types.int64), codegen


@intrinsic
def put(typingctx, pointer, index, value):
    """pointer[index] = value, converted to the pointer's dtype."""

    def codegen(context, builder, signature, args):
        converted = context.cast(builder, args[2], value, pointer.dtype)
        context.pack_value(builder, pointer.dtype, converted, builder.gep(args[0], [args[1]]))
        return context.get_dummy_value()

    return types.void(pointer, types.int64, value), codegen


def _scopes(builder, own, others):
    """Metadata that tells LLVM which array an access belongs to: none overlaps another."""
    module = builder.module
    domain = module.add_metadata(["numgrad arrays"])
    scope = {k: module.add_metadata([f"array {k}", domain]) for k in (own, *others)}
    return module.add_metadata([scope[own]]), module.add_metadata([scope[k] for k in others])


@intrinsic(prefer_literal=True)
def get_apart(typingctx, pointer, index, own, count):
    """pointer[index], of array `own` among `count` (literals) that do not overlap."""

    def codegen(context, builder, signature, args):
        value = builder.load(builder.gep(args[0], [args[1]]))
        others = [k for k in range(count.literal_value) if k != own.literal_value]
        mine, theirs = _scopes(builder, own.literal_value, others)
        value.set_metadata("alias.scope", mine)
        value.set_metadata("noalias", theirs)
        return context.data_model_manager[pointer.dtype].from_data(builder, value)

    return pointer.dtype(pointer, index, own, count), codegen


@intrinsic(prefer_literal=True)
def put_apart(typingctx, pointer, index, value, own, count):
    """pointer[index] = value, for array `own` among `count` (literals) that do not overlap."""

    def codegen(context, builder, signature, args):
        converted = context.cast(builder, args[2], value, pointer.dtype)
        data = context.data_model_manager[pointer.dtype].as_data(builder, converted)
        store = builder.store(data, builder.gep(args[0], [args[1]]))
        others = [k for k in range(count.literal_value) if k != own.literal_value]
        mine, theirs = _scopes(builder, own.literal_value, others)
        store.set_metadata("alias.scope", mine)
        store.set_metadata("noalias", theirs)
        return context.get_dummy_value()

    return types.void(pointer, index, value, own, count), codegen


@intrinsic
def convert(typingctx, value, dtype):
    """A number as one of another dtype, as an array of that dtype would hold it."""

    def codegen(context, builder, signature, args):
        return context.cast(builder, args[0], value, dtype.dtype)

    return dtype.dtype(value, dtype), codegen


@intrinsic
def stack_buffer(typingctx, dtype, count):
    """A pointer to `count` (a literal) elements on the stack, 64-byte aligned."""
    if not isinstance(count, types.IntegerLiteral):
        return None
    pointer = types.CPointer(dtype.dtype)

    def codegen(context, builder, signature, args):
        size = ir.Constant(_I64, count.literal_value)
        slot = cgutils.alloca_once(builder, context.get_data_type(dtype.dtype), size=size)
        slot.align = 64
        return slot

    return pointer(dtype, count), codegen


@intrinsic
def call_range(typingctx, address, begin, end, items):
    """Call the native kernel at `address`: `void (int64 begin, int64 end, int64 items)`."""

    def codegen(context, builder, signature, args):
        kernel_type = ir.FunctionType(ir.VoidType(), [_I64, _I64, _I64])
        function = builder.inttoptr(args[0], kernel_type.as_pointer())
        builder.call(function, list(args[1:]))
        return context.get_dummy_value()

    word = types.int64
    return types.void(word, word, word, word), codegen


@intrinsic
def copy_bytes(typingctx, target, source, count):
    """Copy `count` bytes between two addresses that do not overlap."""

    def codegen(context, builder, signature, args):
        byte = ir.IntType(8).as_pointer()
        to, origin = (builder.inttoptr(address, byte) for address in args[:2])
        cgutils.raw_memcpy(builder, to, origin, args[2], ir.Constant(_I64, 1))
        return context.get_dummy_value()

    return types.void(types.int64, types.int64, types.int64), codegen


@intrinsic
def address_of(typingctx, pointer):
    """A pointer as an integer."""

    def codegen(context, builder, signature, args):
        return builder.ptrtoint(args[0], _I64)

    return types.int64(pointer), codegen


@intrinsic
def call_parallel_for(typingctx, pool, function, arguments, count, steps, data, threads):
    """Run `function` over `count` items on Numba's thread pool.

    `pool` is the address of its `parallel_for(function, arguments, counts, steps, data,
    inner_ndim, array_count, threads)`; it splits the range and calls
    `function(arguments, counts, steps, data)` with the arguments advanced by their steps.
    """

    def codegen(context, builder, signature, args):
        address, function, arguments, count, steps, data, threads = args
        word, i32 = _I64, ir.IntType(32)
        pool_type = ir.FunctionType(ir.VoidType(), [word] * 7 + [i32])
        one, none = ir.Constant(word, 1), ir.Constant(word, 0)
        builder.call(
            builder.inttoptr(address, pool_type.as_pointer()),
            [function, arguments, count, steps, data, none, one, builder.trunc(threads, i32)],
        )
        return context.get_dummy_value()

    return types.void(*[types.int64] * 7), codegen
