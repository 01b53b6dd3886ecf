"""`bench.explain`: a loop without vectors, a call that is left, a spill are found and named."""

import inspect
import math

import pytest
from numba import njit

from numgrad import bench
from numgrad.__main__ import main
from numgrad.bench import loops_of, machine_code
from numgrad.kernels._contract import flat, kernel, writes
from numgrad.kernels._native import get, put
from numgrad.kernels.blocks import data
from numgrad.kernels.cuda import cuda


def line_of(function, text):
    lines, first = inspect.getsourcelines(function)
    return first + next(k for k, line in enumerate(lines) if text in line)


@kernel
def planted(begin, end, x: flat, out: writes(flat)):
    """One operation an element."""
    for i in range(begin, end):
        put(data(out), i, get(data(x), i) * get(data(x), i))
    for j in range(begin + 1, end):
        out[j] = out[j - 1] * x[j]


@pytest.fixture(scope="module")
def found():
    return bench.explain(planted)


def test_the_place_in_the_source(found):
    assert found.place.endswith(
        f"tests/bench/test_explain.py:{line_of(planted.py_func, '@kernel')}"
    )
    assert found.formula == "One operation an element." and found.dtype == "float32"


def test_a_planted_loop_without_vectors_is_named(found):
    line = line_of(planted.py_func, "for j in")
    (loop,) = found.scalar
    assert loop.line == line and loop.text.startswith("for j in range(begin + 1, end):")
    assert loop.why == "a step may read what another has written into out"
    assert f"✗ line {line}: for j in" in str(found) and "not vectorised" in str(found)


def test_the_loop_beside_it_is_vectorised(found):
    line = line_of(planted.py_func, "for i in")
    (loop,) = [loop for loop in found.loops if loop.line == line]
    own = loop.main
    assert loop.vectorised and own.bits >= 128 and own.lanes * 32 == own.bits
    assert (own.each(own.loads), own.each(own.stores), own.each(own.operations)) == (1, 1, 1)
    assert f"✓ line {line}" in str(found)
    assert "color:#c62828" in found._repr_mimebundle_()["text/html"]


def test_elements_that_are_gathered_are_named():
    @bench.kernel
    def indexed(begin, end, x: flat, out: writes(flat)):
        for i in range(begin, end):  # i may be negative, and then counts from the end
            out[i] = x[i] + x[i]

    (loop,) = indexed.explain().loops
    if loop.main.scattered:  # where the processor has instructions for it
        assert "one by one" in str(indexed.explain())
    else:
        assert not loop.vectorised


@njit(inline="never", no_cpython_wrapper=True)
def helper(value):
    return value if value < 3 else math.lgamma(value)


def test_calls_that_are_left_are_named():
    @bench.kernel
    def calling(x, out):
        for i in range(x.size):
            out[i] = helper(x[i]) + math.erf(x[i])

    (loop,) = calling.explain().scalar
    assert "erf" in " ".join(loop.main.calls) and "not inlined in this loop" in str(
        calling.explain()
    )


def test_operations_that_no_docstring_tells_are_counted():
    @bench.kernel
    def cubic(x, out):
        for i in range(x.size):
            out[i] = (x[i] * 2 + 1) * x[i] + 3

    # In float64, four operations, or fewer where LLVM joins two.
    assert 3 <= cubic.subject(64, "float64").cost.operations / 64 <= 4


def test_kernels_of_the_library(capsys):
    # Elementwise: the scalar function's place, and the loop that is made of it.
    assert main(["bench", "--explain", "exp"]) == 0
    printed = capsys.readouterr().out
    assert "kernels/elementwise.py:" in printed and "✓" in printed and "function(" in printed
    found = bench.explain("softmax_rows", "float64")
    vectorised = [loop.text for loop in found.loops if loop.vectorised]
    assert "shift = largest(values, n)" in vectorised  # a loop of a function that was inlined
    assert not found.scalar
    assert bench.explain("take_rows").dtype == "int32"
    with pytest.raises(TypeError, match="arguments"):
        bench.explain(lambda x: x)


LLVM = """
define i32 @kernel(ptr %x, i64 %n) {
entry:
  br label %outer

outer:                                            ; preds = %latch, %entry
  %i = phi i64 [ 0, %entry ], [ %i.next, %latch ]
  br label %vector.body

vector.body:
  %index = phi i64 [ 0, %outer ], [ %index.next, %vector.body ]
  %p = getelementptr float, ptr %x, i64 %index
  %v = load <8 x float>, ptr %p, align 4, !dbg !7
  %w = fmul contract <8 x float> %v, %v, !dbg !7
  %f = call <8 x float> @llvm.fma.v8f32(<8 x float> %w, <8 x float> %v, <8 x float> %v), !dbg !7
  store <8 x float> %f, ptr %p, align 4, !dbg !7
  %index.next = add nuw i64 %index, 16
  %done = icmp eq i64 %index.next, %n
  br i1 %done, label %latch, label %vector.body

latch:
  call void @_ZN4some6modulE4workE1x(ptr %x), !dbg !8
  switch i64 %i, label %outer [
    i64 1, label %exit
  ], !dbg !8

exit:
  ret i32 0
}
!7 = !DILocation(line: 12, column: 1, scope: !4)
!8 = !DILocation(line: 15, column: 1, scope: !4)
"""


def test_reading_llvm():
    code = loops_of.read(LLVM, "kernel", 4)
    (loop,) = code.loops
    assert (loop.bits, loop.lanes, loop.step) == (256, 8, 16) and loop.lines.most_common(1)[0][
        0
    ] == 12
    assert (loop.loads, loop.stores, loop.operations) == (8, 8, 24)
    assert code.calls == [(15, loops_of.demangled("_ZN4some6modulE4workE1x"))]


# ------------------------------------------------------------------------------------ CUDA

LOG = """info    : 0 bytes gmem
info    : Function properties for 'spilling':
info    : 264 bytes stack frame, 340 bytes spill stores, 412 bytes spill loads
info    : Used 255 registers, used 0 barriers, 376 bytes cmem[0]
"""
PTX = """
	ld.global.nc.v4.f32 	{%f1, %f2, %f3, %f4}, [%rd1];
	ld.global.f32 	%f5, [%rd2];
	@%p1 ld.global.f32 	%f6, [%rd2];
	st.global.v4.f32 	[%rd3], {%f1, %f2, %f3, %f4};
	add.f64 	%fd1, %fd2, %fd3;
	cvt.f64.f32 	%fd1, %f2;
	call.uni (retval0), helper, (param0);
"""


def test_reading_what_the_linker_says():
    own = machine_code.read_cuda("spilling", LOG, PTX, (9, 0), "file.py:1")
    assert (own.registers, own.stack, own.spill_stores, own.spill_loads) == (255, 264, 340, 412)
    assert (own.loads, own.stores, own.float64) == ({16: 1, 4: 2}, {16: 1}, 1)
    assert own.calls == ["helper"] and own.spills
    shown = machine_code.Explanation("spilling", "float32", "", "", [], [], [own], [])
    assert "✗ spills: 340 bytes stored, 412 bytes loaded" in str(shown)


def test_a_planted_spill_is_named():
    pytest.importorskip("numba_cuda", reason='pip install "numgrad[cuda]" compiles for GPUs')

    @kernel
    def spilling(begin, end, x: flat, out: writes(flat)):
        for i in range(begin, end):
            put(data(out), i, get(data(x), i))

    # Three hundred numbers that are all needed at the end: more than a thread has registers.
    names = [f"a{k}" for k in range(300)]
    lines = ["def twin(items, x, out):", "    i = cuda.grid(1)"]
    lines += [f"    {name} = x[i + {k} * items]" for k, name in enumerate(names)]
    lines += ["    cuda.syncthreads()"]
    lines += [
        f"    out[i + {k} * items] = {a} * {b}"
        for k, (a, b) in enumerate(zip(names, reversed(names), strict=True))
    ]
    scope = {"cuda": cuda}
    exec("\n".join(lines), scope)
    spilling.on_cuda()(scope["twin"])
    (own,) = bench.explain(spilling).cuda
    assert own.spills and own.registers > 200
    assert "✗ spills:" in str(bench.explain(spilling))

    (own,) = bench.explain("add").cuda
    assert not own.spills and own.loads[16] == 2 * own.stores[16] > 0
