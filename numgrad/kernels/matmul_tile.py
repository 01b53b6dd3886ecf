"""The inner parts of a matrix product in vector registers: tiles of sums, a block transposed.

Numba vectorises loops by itself, but it doesn't keep a two-dimensional tile of sums in registers
through a loop. These intrinsics say so directly: each is a Python loop that emits one vector
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
        sums = _zeros(builder, vector, cells)
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
def edge_tile(
    typingctx, a, row_stride, k_stride, b, b_stride, k, alpha,
    start, start_stride, beta, out, out_stride, few_rows, few_columns, rows, vectors,
):  # fmt: skip
    """out[i, j] = beta * start[i, j] + alpha * sum_p a[i, p] * b[p, j], the tile not always whole.

    Of its `rows` rows the first `few_rows` count (the last of them is computed again in place of
    the others), of its `vectors` vectors of columns the first `few_columns` elements. `start`
    is not read with beta = 0; it may be `out` itself.
    """
    if not (isinstance(rows, types.IntegerLiteral) and isinstance(vectors, types.IntegerLiteral)):
        return None
    pointer, shape = a, (rows, vectors)

    def codegen(context, builder, signature, args):
        a, row_stride, k_stride, b, b_stride, k, alpha = args[:7]
        start, start_stride, beta, out, out_stride, few_rows, few_columns = args[7:14]
        rows, vectors = (size.literal_value for size in shape)
        vector, align = _vector_of(context, pointer)
        cells = [(i, j) for i in range(rows) for j in range(vectors)]
        masks = [_first(builder, few_columns, j, vector.count) for j in range(vectors)]
        own = [_at_most(builder, i, few_rows) for i in range(rows)]
        sums = _zeros(builder, vector, cells)
        starts = [_at(builder, a, builder.mul(row_stride, row)) for row in own]
        with cgutils.for_range(builder, k, intp=_I64) as loop:
            b_row = _at(builder, b, builder.mul(loop.index, b_stride))
            b_vectors = [
                _load_some(builder, b_row, j, vector, align, masks[j]) for j in range(vectors)
            ]
            offset = builder.mul(loop.index, k_stride)
            for i in range(rows):
                x = _broadcast(builder, builder.load(_at(builder, starts[i], offset)), vector)
                for j in range(vectors):
                    total = _multiply_add(builder, x, b_vectors[j], builder.load(sums[i, j]))
                    builder.store(total, sums[i, j])
        scale = _broadcast(builder, alpha, vector)
        for slot in sums.values():
            builder.store(builder.fmul(scale, builder.load(slot)), slot)
        with builder.if_then(_not_zero(builder, beta)):
            keep = _broadcast(builder, beta, vector)
            for i, j in cells:
                row = _at(builder, start, builder.mul(start_stride, own[i]))
                old = _load_some(builder, row, j, vector, align, masks[j])
                total = _multiply_add(builder, keep, old, builder.load(sums[i, j]))
                builder.store(total, sums[i, j])
        for i, j in cells:
            row = _at(builder, out, builder.mul(out_stride, own[i]))
            _store_some(builder, builder.load(sums[i, j]), row, j, align, masks[j])
        return context.get_dummy_value()

    word = types.int64
    arguments = (pointer, word, word, pointer, word, word, pointer.dtype)
    arguments += (pointer, word, pointer.dtype, pointer, word, word, word)
    return types.void(*arguments, *shape), codegen


@intrinsic
def dot_tile(
    typingctx, a, row_stride, b, column_stride, k, alpha,
    start, start_stride, beta, out, out_stride, few_rows, few_columns, rows, columns,
):  # fmt: skip
    """out[i, j] = beta * start[i, j] + alpha * dot(a[i], b[:, j]), both contiguous along the sum.

    The first `few_rows` rows and `few_columns` columns count, as in `edge_tile`.
    """
    if not (isinstance(rows, types.IntegerLiteral) and isinstance(columns, types.IntegerLiteral)):
        return None
    pointer, shape = a, (rows, columns)

    def codegen(context, builder, signature, args):
        a, row_stride, b, column_stride, k, alpha = args[:6]
        start, start_stride, beta, out, out_stride, few_rows, few_columns = args[6:13]
        rows, columns = (size.literal_value for size in shape)
        vector, align = _vector_of(context, pointer)
        cells = [(i, j) for i in range(rows) for j in range(columns)]
        own_rows = [_at_most(builder, i, few_rows) for i in range(rows)]
        own_columns = [_at_most(builder, j, few_columns) for j in range(columns)]
        a_rows = [_at(builder, a, builder.mul(row_stride, row)) for row in own_rows]
        b_rows = [_at(builder, b, builder.mul(column_stride, own)) for own in own_columns]
        sums = _zeros(builder, vector, cells)
        lanes = _I64(vector.count)
        blocks = builder.sdiv(builder.add(k, _I64(vector.count - 1)), lanes)
        with cgutils.for_range(builder, blocks, intp=_I64) as loop:
            at = builder.mul(loop.index, lanes)
            mask = _first(builder, builder.sub(k, at), 0, vector.count)
            left, right = (
                [
                    _load_some(builder, _at(builder, row, at), 0, vector, align, mask)
                    for row in all_rows
                ]
                for all_rows in (a_rows, b_rows)
            )
            for i, j in cells:
                total = _multiply_add(builder, left[i], right[j], builder.load(sums[i, j]))
                builder.store(total, sums[i, j])
        totals = {cell: cgutils.alloca_once(builder, vector.element) for cell in cells}
        for cell, slot in totals.items():
            builder.store(builder.fmul(alpha, _sum(builder, builder.load(sums[cell]))), slot)
        with builder.if_then(_not_zero(builder, beta)):
            for (i, j), slot in totals.items():
                place = _at(builder, start, builder.mul(start_stride, own_rows[i]))
                old = builder.load(_at(builder, place, own_columns[j]))
                old = builder.fmul(beta, old)
                builder.store(builder.fadd(builder.load(slot), old), slot)
        for (i, j), slot in totals.items():
            place = _at(builder, out, builder.mul(out_stride, own_rows[i]))
            builder.store(builder.load(slot), _at(builder, place, own_columns[j]))
        return context.get_dummy_value()

    word = types.int64
    arguments = (pointer, word, pointer, word, word, pointer.dtype)
    arguments += (pointer, word, pointer.dtype, pointer, word, word, word)
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


def _first(builder, count, j, lanes):
    """A mask: of vector j of a row, the elements before number `count` of the row."""
    numbers = ir.Constant(ir.VectorType(_I64, lanes), [j * lanes + lane for lane in range(lanes)])
    return builder.icmp_signed("<", numbers, _broadcast(builder, count, numbers.type))


def _at_most(builder, number, count):
    """`number`, or count - 1 where that is less."""
    last = builder.sub(count, _I64(1))
    return builder.select(builder.icmp_signed("<", _I64(number), last), _I64(number), last)


def _zeros(builder, vector, cells):
    """A place for a sum of each cell, zero; in registers once compiled."""
    sums = {cell: cgutils.alloca_once(builder, vector) for cell in cells}
    for slot in sums.values():
        builder.store(ir.Constant(vector, None), slot)
    return sums


def _load_some(builder, row, j, vector, align, mask):
    """Vector j of a row, zero where the mask is not set; memory there is not touched."""
    place = builder.bitcast(_at(builder, row, _I64(j * vector.count)), vector.as_pointer())
    kind = ir.FunctionType(vector, [place.type, _I32, mask.type, vector])
    function = cgutils.get_or_insert_function(
        builder.module, kind, f"llvm.masked.load.{_name(vector)}.p0"
    )
    return builder.call(function, [place, _I32(align), mask, ir.Constant(vector, None)])


def _store_some(builder, value, row, j, align, mask):
    """Store vector j of a row where the mask is set."""
    vector = value.type
    place = builder.bitcast(_at(builder, row, _I64(j * vector.count)), vector.as_pointer())
    kind = ir.FunctionType(ir.VoidType(), [vector, place.type, _I32, mask.type])
    function = cgutils.get_or_insert_function(
        builder.module, kind, f"llvm.masked.store.{_name(vector)}.p0"
    )
    builder.call(function, [value, place, _I32(align), mask])


def _not_zero(builder, value):
    return builder.fcmp_unordered("!=", value, ir.Constant(value.type, 0.0))


def _sum(builder, value):
    """The sum of a vector's elements, by halves."""
    element = value.type.element
    kind = ir.FunctionType(element, [element, value.type])
    function = cgutils.get_or_insert_function(
        builder.module, kind, f"llvm.vector.reduce.fadd.{_name(value.type)}"
    )
    return builder.call(function, [ir.Constant(element, -0.0), value], fastmath=("reassoc",))


def _name(vector):
    return f"v{vector.count}f{32 if isinstance(vector.element, ir.FloatType) else 64}"


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
    function = cgutils.get_or_insert_function(
        builder.module, ir.FunctionType(vector, [vector] * 3), f"llvm.fma.{_name(vector)}"
    )
    return builder.call(function, [x, y, z])
