"""The loops that compile generates for GPUs: like the CPU's, compiled without spills."""

import re

import numpy as np
import pytest

from numgrad.compile.passes import _fused_kernel, _reducing_kernel
from numgrad.device import cuda
from numgrad.kernels import elementwise as table
from numgrad.kernels import reduction
from numgrad.kernels._elementwise import Step
from numgrad.kernels.cuda import Slot

F32, I64, BOOL = np.dtype(np.float32), np.dtype(np.int64), np.dtype(np.bool_)
#: (x0 · x1 + x0, that > x1, e to the first)
STEPS = (
    Step(table.mul.function, (0, 1), F32),
    Step(table.add.function, (-1, 0), F32),
    Step(table.gt.function, (-2, 1), BOOL),
    Step(table.exp_.function, (-2,), F32),
)
FUSED = _fused_kernel((F32, F32), STEPS, (3, 2))
REDUCING = {
    name: _reducing_kernel((F32, F32), STEPS[:2], results, getattr(reduction, f"{name}_rows"), F32)
    for name, results in (("sum", (1,)), ("prod", ()), ("norm2", ()), ("norm1", (0,)))
}


def inputs(shape, layout):
    rng = np.random.default_rng(0)
    x, y = (rng.standard_normal(shape).astype(np.float32) for _ in range(2))
    if layout == "transposed":
        x = np.ascontiguousarray(x.T).T
    if layout == "broadcast":
        y = y[:1]
    if layout == "number":
        y = np.array(0.75, np.float32)
    return x, y


def on_cuda(array):
    if array.flags.c_contiguous:
        return array if array.ndim == 0 else cuda.from_host(array)
    return cuda.from_host(array.T).T


LAYOUTS = ["dense", "transposed", "broadcast", "number"]


@pytest.mark.parametrize("shape", [(3, 4), (5, 7), (0, 3)], ids=str)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_several_outputs(simulator, layout, shape):
    given = inputs(shape, layout)
    outs = [np.empty(shape, dtype) for dtype in (F32, BOOL)]
    FUSED(*given, *outs)
    own = [cuda.empty(shape, dtype) for dtype in (F32, BOOL)]
    cuda.run(FUSED, F32, outs[0].size, (*map(on_cuda, given), *own), 0)
    for found, expected in zip(own, outs, strict=True):
        np.testing.assert_allclose(cuda.to_host(found), expected, rtol=2e-6)


@pytest.mark.parametrize("name", REDUCING)
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("chunk", [150, 64])
def test_a_reduction(simulator, name, layout, chunk):
    kernel, shape = REDUCING[name], (2, 150)
    given = inputs(shape, layout)
    chunks = -(-shape[1] // chunk)
    count = len(kernel.results)
    parameter = 4.0 if name == "sum" else 0.0
    numbers = (float(shape[1]), float(chunk), parameter)
    like = np.lib.stride_tricks.as_strided(np.zeros(1, F32), shape, (0, 0))
    outs = [*[np.empty(shape, F32) for _ in range(count)], np.empty((2, chunks), F32)]
    address = kernel.compile(F32)
    assert address
    from numgrad.kernels._launch import launcher

    launcher.serial(address, 2 * chunks, (*given, *outs, like, *numbers))
    own = [cuda.empty(out.shape, F32) for out in outs]
    arguments = (*map(on_cuda, given), *own, like, *numbers)
    cuda.run(kernel, F32, 2 * chunks, arguments, 0)
    for found, expected in zip(own, outs, strict=True):
        np.testing.assert_allclose(cuda.to_host(found), expected, rtol=2e-5, atol=1e-6)


def test_numbers_in_memory(simulator):
    x = cuda.from_host(np.arange(8, dtype=np.float32))
    out = cuda.empty((8,), np.float32)
    numbers = cuda.from_host(np.array([0.0, 2.5]))
    build, items, _, values = table.mul.twin.plan(
        F32, 8, (x, Slot(numbers.ptr + 8, np.dtype(np.float64)), out), cuda.tables
    )
    places = tuple([k for k, v in enumerate(values) if type(v) is Slot])
    assert places and build.from_memory(places) is build.from_memory(places)
    passed = [v.address if type(v) is Slot else v for v in values]
    cuda.start(table.mul.twin, build.from_memory(places), items, False, passed, 0)
    np.testing.assert_array_equal(cuda.to_host(out), 2.5 * np.arange(8))


# ------------------------------------------------------------------------ for real GPUs


def compiled(build):
    cuda_compile = pytest.importorskip("numgrad.kernels.cuda.compile")
    pytest.importorskip("numba_cuda", reason='pip install "numgrad[cuda]" compiles for GPUs')
    result = cuda_compile.compiled(build, (9, 0))
    assert "0 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads" in result.log
    assert int(re.search(r"Used (\d+) registers", result.log)[1]) <= 64
    return cuda_compile.ptx(build, (9, 0))


def test_loops_compile():
    text = compiled(FUSED.twin._build((F32, "pppp", 4)))
    assert "ld.global.v4.f32" in text and "st.global.v4.f32" in text and ".f64" not in text
    build = FUSED.twin._build((F32, "pnpp", 2, True))
    compiled(build)
    compiled(build.from_memory((2,)))


@pytest.mark.parametrize("name", REDUCING)
def test_reductions_compile(name):
    pointers = "p" * (2 + len(REDUCING[name].results))
    for rank in (0, 2):
        text = compiled(REDUCING[name].twin._build((F32, pointers, rank)))
        assert "shfl.sync" in text and not re.search(r"(add|mul|fma|sqrt)\S*\.f64", text)


def test_a_twin_that_reads_its_numbers_from_memory_compiles():
    build = reduction.sum_rows.twin and reduction.sum_rows.twin.build(F32)
    if not build:
        pytest.skip("no CUDA form yet")
    number = [k for k, (kind, _) in enumerate(build.kinds) if kind == "number"]
    compiled(build.from_memory(tuple(number)))
