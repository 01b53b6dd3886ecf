"""The disk cache: what a key covers, and code from several processes in one."""

import os
import subprocess
import sys

import numpy as np
from numba import njit

from numgrad.kernels import _cache

_MAKER = """
import sys
import numpy as np
from numgrad.kernels._contract import kernel, flat

def make(step):
    @kernel
    def shifted(begin, end, x: flat, out: flat):
        for i in range(begin, end):
            out[i] = x[i] + step
    return shifted

x, out = np.zeros(3, np.float32), np.zeros(3, np.float32)
for step in map(float, sys.argv[1:]):
    make(step)(x, out)
    assert (out == step).all(), (step, out)
"""


def _run(folder, *steps, **variables):
    environment = dict(os.environ, NUMGRAD_CACHE_DIR=str(folder), **variables)
    done = subprocess.run(
        [sys.executable, "-c", _MAKER, *map(str, steps)],
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr


def test_kernels_of_one_name_from_two_processes(tmp_path):
    _run(tmp_path, 1.0)
    _run(tmp_path, 2.0)  # Numba gives it the same symbols as the other process gave the first
    _run(tmp_path, 1.0, 2.0)


def test_another_process_compiles_nothing(tmp_path):
    _run(tmp_path, 1.0)
    written = sorted(tmp_path.glob("*.kernel"))
    assert written
    for seed in ("1", "2"):
        _run(tmp_path, 1.0, PYTHONHASHSEED=seed)
    assert sorted(tmp_path.glob("*.kernel")) == written


def test_damaged_file_is_compiled_again(tmp_path):
    _run(tmp_path, 1.0)
    for file in tmp_path.glob("*.kernel"):
        file.write_bytes(file.read_bytes()[:-7])
    _run(tmp_path, 1.0)


def test_eight_processes_on_an_empty_cache(tmp_path):
    environment = dict(os.environ, NUMGRAD_CACHE_DIR=str(tmp_path))
    running = [
        subprocess.Popen([sys.executable, "-c", _MAKER, "1.0", "2.0"], env=environment)
        for _ in range(8)
    ]
    assert [process.wait() for process in running] == [0] * 8


def test_key_covers_constants_types_and_options():
    def make(a, b, **options):
        inner = njit(**options)(lambda x: x + a)
        return lambda x: inner(x) * b

    base = _cache.fingerprint(make(1, 2))
    assert base == _cache.fingerprint(make(1, 2))
    f, i = np.float32, np.int64
    others = [make(1, 3), make(2, 2), make(1, 2, fastmath=True), make(f, i), make(i, i), make(f, f)]
    assert len({base, *map(_cache.fingerprint, others)}) == 7
