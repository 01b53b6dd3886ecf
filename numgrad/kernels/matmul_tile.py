"""The inner parts of a matrix product in vector registers: a tile of sums, a block transposed.

Numba vectorises loops by itself, but it doesn't keep a two-dimensional tile of sums in registers
through a loop. These two intrinsics say so directly: each is a Python loop that emits one vector
instruction after another. What a tile needs is in registers for the whole sum over k, so that a
multiply-add is issued on every cycle.
"""

from __future__ import annotations

import platform

import llvmlite.binding as llvm
import numba
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic


def _features() -> set[str]:
    """The processor's features, as Numba's code generator sees them."""
    setting = numba.config.CPU_FEATURES
    if setting is not None:
        return {name[1:] for name in setting.split(",") if name.startswith("+")}
    return {name for name, present in llvm.get_host_cpu_features().items() if present}


#: Bytes in a vector register.
VECTOR_BYTES = 64 if "avx512f" in _features() else 32 if "avx2" in _features() else 16
_ARM = platform.machine() in ("aarch64", "arm64")
_REGISTERS = 32 if VECTOR_BYTES == 64 or _ARM else 16
#: Whether a multiply-add is one instruction, rounded once.
FUSED = _ARM or "fma" in _features()
#: The rows of a whole tile, and its columns in vectors: TILE_ROWS * TILE_VECTORS sums, a row of b
#: and one element of a are in registers at once.
TILE_ROWS, TILE_VECTORS = (8, 3) if _REGISTERS == 32 else (4, 3)
#: The side of the square that `transpose_block` transposes.
BLOCK = 8

_I32, _I64 = ir.IntType(32), ir.IntType(64)


@intrinsic
def pointer_to(typingctx, array):
    """A pointer to the first element of an array. Indices through it are never wrapped around, so
    that loops over them become vector instructions."""
    element, structure = types.CPointer(array.dtype), array

    def codegen(context, builder, signature, args):
        return context.make_array(structure)(context, builder, args[0]).data

    return element(array), codegen


@intrinsic
def tile(typingctx, a, row_stride, k_stride, b, b_stride, k, out, out_stride, add, rows, vectors):
    """out[i, j] (+)= sum_p a[i, p] * b[p, j] for one tile of `rows` rows by `vectors` vectors.

    `a` is read at `a[i * row_stride + p * k_stride]`, `b` in whole vectors from `b[p * b_stride]`
    on. Every element is one chain of multiply-adds over p, so that its bits do not
    depend on the tile it is in.
    """
    if not (isinstance(rows, types.IntegerLiteral) and isinstance(vectors, types.IntegerLiteral)):
        return None
    pointer, shape = a, (rows, vectors)

    def codegen(context, builder, signature, args):
        a, row_stride, k_stride, b, b_stride, k, out, out_stride, add = args[:9]
        rows, vectors = (size.literal_value for size in shape)
        vector, align = _vector_of(context, pointer)
        lanes = vector.count
        cells = [(i, j) for i in range(rows) for j in range(vectors)]
        sums = {cell: cgutils.alloca_once(builder, vector) for cell in cells}
        for slot in sums.values():
            builder.store(ir.Constant(vector, None), slot)
        starts = [_at(builder, a, builder.mul(row_stride, _I64(i))) for i in range(rows)]
        with cgutils.for_range(builder, k, intp=_I64) as loop:
            b_row = _at(builder, b, builder.mul(loop.index, b_stride))
            b_vectors = [
                _load(builder, _at(builder, b_row, _I64(j * lanes)), vector, align)
                for j in range(vectors)
            ]
            offset = builder.mul(loop.index, k_stride)
            for i in range(rows):
                x = _broadcast(builder, builder.load(_at(builder, starts[i], offset)), vector)
                for j in range(vectors):
                    total = _multiply_add(builder, x, b_vectors[j], builder.load(sums[i, j]))
                    builder.store(total, sums[i, j])
        places = {}
        for i, j in cells:
            row = _at(builder, out, builder.mul(out_stride, _I64(i)))
            places[i, j] = _at(builder, row, _I64(j * lanes))
        with builder.if_then(add):
            for cell in cells:
                old = _load(builder, places[cell], vector, align)
                builder.store(builder.fadd(old, builder.load(sums[cell])), sums[cell])
        for cell in cells:
            _store(builder, builder.load(sums[cell]), places[cell], align)
        return context.get_dummy_value()

    word = types.int64
    arguments = (pointer, word, word, pointer, word, word, pointer, word, types.boolean)
    return types.void(*arguments, *shape), codegen


@intrinsic
def transpose_block(typingctx, source, source_stride, target, target_stride, scale, add):
    """target[j, i] (+)= scale * source[i, j] for a block of `BLOCK` by `BLOCK` elements."""
    pointer = source

    def codegen(context, builder, signature, args):
        source, source_stride, target, target_stride, scale, add = args
        vector, align = _vector_of(context, pointer, BLOCK)
        rows = []
        for i in range(BLOCK):
            place = _at(builder, source, builder.mul(source_stride, _I64(i)))
            rows.append(_load(builder, place, vector, align))
        # Dealing out the rows like cards, one from the upper half and one from the lower, moves
        # the number of an element by one bit; three deals exchange row and column.
        low = _lanes([lane // 2 + lane % 2 * BLOCK for lane in range(BLOCK)])
        high = _lanes([(BLOCK + lane) // 2 + lane % 2 * BLOCK for lane in range(BLOCK)])
        for _ in range(3):
            pairs = list(zip(rows[: BLOCK // 2], rows[BLOCK // 2 :], strict=True))
            rows = [builder.shuffle_vector(*p, lanes) for p in pairs for lanes in (low, high)]
        factor = _broadcast(builder, scale, vector)
        slots = [cgutils.alloca_once(builder, vector) for _ in rows]
        places = [_at(builder, target, builder.mul(target_stride, _I64(j))) for j in range(BLOCK)]
        for row, slot in zip(rows, slots, strict=True):
            builder.store(builder.fmul(row, factor), slot)
        with builder.if_then(add):
            for slot, place in zip(slots, places, strict=True):
                old = _load(builder, place, vector, align)
                builder.store(builder.fadd(old, builder.load(slot)), slot)
        for slot, place in zip(slots, places, strict=True):
            _store(builder, builder.load(slot), place, align)
        return context.get_dummy_value()

    word = types.int64
    return types.void(pointer, word, pointer, word, pointer.dtype, types.boolean), codegen


def _vector_of(context, pointer, lanes=None):
    """The vector type of a pointer's elements, and their alignment."""
    element = context.get_value_type(pointer.dtype)
    size = 4 if isinstance(element, ir.FloatType) else 8
    return ir.VectorType(element, lanes or VECTOR_BYTES // size), size


def _at(builder, pointer, index):
    return builder.gep(pointer, [index])


def _load(builder, pointer, vector, align):
    return builder.load(builder.bitcast(pointer, vector.as_pointer()), align=align)


def _store(builder, value, pointer, align):
    builder.store(value, builder.bitcast(pointer, value.type.as_pointer()), align=align)


def _lanes(numbers):
    return ir.Constant(ir.VectorType(_I32, len(numbers)), numbers)


def _broadcast(builder, scalar, vector):
    undefined = ir.Constant(vector, ir.Undefined)
    first = builder.insert_element(undefined, scalar, _I32(0))
    return builder.shuffle_vector(first, undefined, _lanes([0] * vector.count))


def _multiply_add(builder, x, y, z):
    if not FUSED:
        return builder.fadd(builder.fmul(x, y), z)
    vector = x.type
    name = f"llvm.fma.v{vector.count}f{32 if isinstance(vector.element, ir.FloatType) else 64}"
    function = cgutils.get_or_insert_function(
        builder.module, ir.FunctionType(vector, [vector] * 3), name
    )
    return builder.call(function, [x, y, z])
