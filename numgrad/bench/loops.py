"""Loops that do one thing as fast as the machine can: copy, read, update, multiply and add."""

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from ..kernels._contract import flat, kernel, scalar, updates, writes
from ..kernels._native import get, pointer_at, put
from ..kernels.blocks import data
from ..kernels.matmul_tile import FUSED, VECTOR_BYTES

INDEX = scalar(np.int64)
#: Vectors of sums in the loop of multiply-adds: more than a processor has in flight.
CHAINS = 12
#: Elements between the parts of two threads, lest one fetches ahead what the other writes.
GAP = 1024


@kernel(items=lambda x, out, count, repeats: x.size // (count + GAP))
def copy_again(begin, end, x: flat, out: writes(flat), count: INDEX, repeats: INDEX):
    """out = x, `repeats` times; an item is a part of `count` elements, `GAP` before the next. No
    operations."""
    for item in range(begin, end):
        start = item * (count + GAP)
        source, target = pointer_at(data(x), start), pointer_at(data(out), start)
        for _ in range(repeats):
            for i in range(count):
                put(target, i, get(source, i))


@kernel(items=lambda x, out, count, repeats: x.size // (count + GAP))
def read_again(begin, end, x: flat, out: writes(flat), count: INDEX, repeats: INDEX):
    """out[item] = the bits of its part of x, all together, `repeats` times. No operations."""
    for item in range(begin, end):
        source = pointer_at(data(x), item * (count + GAP))
        total = x.dtype.type(0)
        for again in range(repeats):
            part = x.dtype.type(again)
            for i in range(count):
                part ^= get(source, i)
            total += part
        put(data(out), item, total)


@kernel(items=lambda x, count, repeats: x.size // (count + GAP))
def update_again(begin, end, x: updates(flat), count: INDEX, repeats: INDEX):
    """x = x + 1, `repeats` times. One operation an element."""
    for item in range(begin, end):
        target = pointer_at(data(x), item * (count + GAP))
        for again in range(repeats):
            for i in range(count):
                put(target, i, get(target, i) + again)


@intrinsic
def multiply_add_chains(typingctx, factor, count):
    """The sum of `CHAINS` vectors that become v · factor + factor, `count` times each."""
    if not isinstance(factor, types.Float):
        return None

    def codegen(context, builder, signature, args):
        element = context.get_data_type(factor)
        lanes = 8 * VECTOR_BYTES // factor.bitwidth
        vector = ir.VectorType(element, lanes)
        spread = ir.Constant(vector, ir.Undefined)
        for lane in range(lanes):
            spread = builder.insert_element(spread, args[0], ir.Constant(ir.IntType(32), lane))
        slots = []
        for chain in range(CHAINS):
            slot = cgutils.alloca_once(builder, vector)
            builder.store(ir.Constant(vector, [chain + 1.0] * lanes), slot)
            slots.append(slot)
        kind = ir.FunctionType(vector, [vector] * 3)
        name = f"llvm.fma.v{lanes}{element.intrinsic_name}"
        fma = cgutils.get_or_insert_function(builder.module, kind, name)
        with cgutils.for_range(builder, args[1], intp=ir.IntType(64)):
            for slot in slots:
                value = builder.load(slot)
                if FUSED:
                    value = builder.call(fma, [value, spread, spread])
                else:
                    value = builder.fadd(builder.fmul(value, spread), spread)
                builder.store(value, slot)
        total = builder.load(slots[0])
        for slot in slots[1:]:
            total = builder.fadd(total, builder.load(slot))
        result = builder.extract_element(total, ir.Constant(ir.IntType(32), 0))
        for lane in range(1, lanes):
            place = ir.Constant(ir.IntType(32), lane)
            result = builder.fadd(result, builder.extract_element(total, place))
        return result

    return factor(factor, types.int64), codegen


@kernel(items=lambda out, factor, count: out.size)
def multiply_adds(begin, end, out: writes(flat), factor: scalar, count: INDEX):
    """out[item] = the result of `count` rounds of multiply-adds in registers."""
    for item in range(begin, end):
        out[item] = multiply_add_chains(out.dtype.type(factor), count)
