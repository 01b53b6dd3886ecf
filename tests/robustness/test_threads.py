"""Several Python threads, forked children, and any number of threads in the pool: one result."""

import importlib
import json
import os
import pathlib
import subprocess
import sys

import pytest

HERE = pathlib.Path(__file__).parent
POOLS = {"omp": "omppool", "tbb": "tbbpool", "workqueue": "workqueue"}


def installed(layer):
    try:
        importlib.import_module(f"numba.np.ufunc.{POOLS[layer]}")
    except ImportError:
        return False
    return True


def run(program, **environment):
    done = subprocess.run(
        [sys.executable, HERE / program],
        env=dict(os.environ, **environment),
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, f"exit status {done.returncode}\n{done.stderr}"
    return done.stdout.strip()


@pytest.mark.parametrize("layer", POOLS)
def test_four_threads_train_at_once_and_a_forked_child(layer):
    if not installed(layer):
        pytest.skip(f"Numba's threading layer {layer} is not installed")
    used = run("thread_program.py", NUMBA_THREADING_LAYER=layer, NUMBA_NUM_THREADS="2")
    assert used.splitlines()[-1] == layer


@pytest.fixture(scope="module")
def digests():
    return json.loads(run("count_program.py", NUMBA_NUM_THREADS="5"))


def operations():
    sys.path.insert(0, str(HERE))
    try:
        return list(importlib.import_module("count_program").OPERATIONS)
    finally:
        sys.path.remove(str(HERE))


@pytest.mark.parametrize("operation", operations())
def test_the_number_of_threads_leaves_the_bits_alone(operation, digests):
    assert len(set(digests[operation].values())) == 1, digests[operation]
