"""Every CUDA twin compiled and linked, for an A100 and an H100: no GPU is needed for that.

Types, registers and instructions show here; in the simulator they don't.
"""

import pathlib
import re
import sys

import numpy as np
import pytest

from numgrad.kernels import elementwise, losses
from numgrad.kernels._elementwise import Elementwise

pytest.importorskip("numba_cuda", reason='pip install "numgrad[cuda]" compiles for GPUs')
pytest.importorskip("cuda.core", reason='pip install "numgrad[cuda]" compiles for GPUs')
sys.path.insert(0, str(pathlib.Path(__file__).parent.parent / "kernels"))
from test_effects import every_kernel

from numgrad.kernels.cuda import compile as cuda_compile

CAPABILITIES = [(8, 0), (9, 0)]
#: A thread may have more, but fewer threads then fit.
REGISTERS = {"float32": 64, "float64": 128, "int64": 64}
#: What keeps several elements of several numbers, or of 8 bytes each, at once.
MORE = {
    ("cummax", "float32"): 80,
    ("cummin", "float32"): 80,
    ("layer_norm_backward", "float32"): 80,
    ("layer_norm_backward", "float64"): 128,
    ("linear_scan", "float32"): 80,
    ("linear_scan", "float64"): 112,
    ("order", "float32"): 80,  # places, keys and positions
    ("order", "float64"): 80,
    ("philox_multinomial", "float32"): 96,  # words of the generator and a search at once
}
#: float64 instructions, conversions and moves excepted: a float32 kernel has none, unless named.
FLOAT64 = re.compile(r"^\s*(?:@\S+ )?((?!cvt|mov|ld|st|selp)\w[\w.]*\.f64)\b", re.MULTILINE)
#: What an optimizer's kernel computes of its numbers once for thousands of elements: 1 - beta.
ONCE = {"sub.f64": re.compile("adam|rmsprop|sgd_momentum")}
IN_FLOAT64 = re.compile("(sin|cos|tan)_|.*_float64$")  # libdevice reduces large angles so


def check(build, capability):
    compiled = cuda_compile.compiled(build, capability)
    label = f"{build.name}({build.dtype}), {capability}"
    assert "0 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads" in compiled.log, label
    registers = int(re.search(r"Used (\d+) registers", compiled.log)[1])
    most = max(REGISTERS[build.dtype.name], MORE.get((build.name, build.dtype.name), 0))
    assert registers <= most, f"{label}: {registers} registers"
    if build.dtype == np.float32 and not IN_FLOAT64.match(build.name):
        found = [
            name
            for name in FLOAT64.findall(cuda_compile.ptx(build, capability))
            if name not in ONCE or not ONCE[name].match(build.name)
        ]
        assert not found, f"{label}: {found}"


@pytest.mark.parametrize("capability", CAPABILITIES, ids=lambda c: f"sm_{c[0]}{c[1]}")
@pytest.mark.parametrize(
    "kernel",
    sorted((k for k in every_kernel() if k.twin), key=lambda k: k.name),
    ids=lambda k: k.name,
)
def test_structured(kernel, capability):
    types = [s.dtype for s in kernel.specs if s.kind != "scalar"]
    # float64 for one of the two: a compilation takes seconds.
    both = None in types and capability == CAPABILITIES[-1]
    for dtype in (np.float32, np.float64) if both else (np.float32,):
        check(kernel.twin.build(np.dtype(dtype)), capability)


def table():
    for module in (elementwise, losses):
        for value in vars(module).values():
            if isinstance(value, Elementwise):
                yield value
                yield from value.derivatives.values()


INTEGER = re.compile(r"int_|bitwise|shift")


@pytest.mark.parametrize("kernel", sorted(set(table()), key=lambda k: k.name), ids=lambda k: k.name)
def test_elementwise(kernel):
    dtype = np.dtype(np.int64 if INTEGER.search(kernel.name) else np.float32)
    pointers = "p" * (len(kernel.inputs) + 1)
    # Dense arrays; a number among them; two dimensions with strides.
    keys = [(dtype, pointers, 16 // dtype.itemsize), (dtype, pointers, 2, True)]
    if len(pointers) > 2:
        keys.append((dtype, pointers[:-2] + "np", 4))
    for key in keys:
        check(kernel.twin._build(key), (9, 0))


def test_a_conversion_of_every_pair_of_dtypes():
    for kernel in elementwise.copy.values():
        for dtype in elementwise.copy:
            build = kernel.twin._build((dtype, "pp", 1))
            assert "0 bytes spill stores" in cuda_compile.compiled(build, (9, 0)).log


def test_dense_arrays_are_read_16_bytes_at_a_time():
    build = elementwise.add.twin._build((np.dtype(np.float32), "ppp", 4))
    text = cuda_compile.ptx(build, (9, 0))
    assert "ld.global.v4.f32" in text and "st.global.v4.f32" in text


def test_an_own_architecture_gets_its_own_code(tmp_path, monkeypatch):
    monkeypatch.setenv("NUMGRAD_CACHE_DIR", str(tmp_path))
    build = elementwise.add.twin._build((np.dtype(np.float32), "ppp", 4))
    first = [cuda_compile.compiled(build, c) for c in CAPABILITIES]
    again = [cuda_compile.compiled(build, c) for c in CAPABILITIES]
    assert first == again and first[0].cubin != first[1].cubin
    assert len(list(tmp_path.iterdir())) == 2
