"""Without a GPU: what only asks works, and what wants one says what is missing."""

import subprocess
import sys

import pytest

import numgrad as ng
from numgrad.device import cuda

REASONS = {
    "libcuda.so.1": "found no NVIDIA driver on your system",
    "numba_cuda": 'the package numba_cuda is missing: pip install "numgrad\\[cuda\\]"',
}


@pytest.fixture(autouse=True, params=REASONS)
def missing(request, monkeypatch):
    """A machine without a driver, and one with a driver and without the packages."""
    monkeypatch.delenv("NUMBA_ENABLE_CUDASIM", raising=False)
    monkeypatch.setattr(cuda, "_driver", None)

    def load(name):
        if request.param == name:
            raise OSError(name)

    monkeypatch.setattr(cuda.ctypes, "CDLL", load)
    monkeypatch.setattr(cuda.importlib.util, "find_spec", lambda name: None)
    cuda._missing.cache_clear()
    yield REASONS[request.param]
    cuda._missing.cache_clear()


def test_asking():
    assert not ng.cuda.is_available() and ng.cuda.device_count() == 0
    assert not ng.cuda.is_initialized() and ng.cuda.memory_allocated() == 0
    assert ng.cuda.max_memory_allocated() == ng.cuda.memory_reserved() == 0
    assert ng.cuda.memory_stats() == {} and str(ng.device("cuda:1")) == "cuda:1"
    ng.cuda.empty_cache()
    ng.cuda.manual_seed_all(0)
    x = ng.ones(2)
    assert x.pin_memory() is x and not x.is_pinned()
    assert ng.device("cuda" if ng.cuda.is_available() else "cpu").type == "cpu"


@pytest.mark.parametrize(
    "ask",
    [
        lambda: ng.ones(2, device="cuda"),
        lambda: ng.ones(2).cuda(),
        lambda: ng.ones(2).to(0),
        lambda: ng.nn.Linear(1, 1).to("cuda"),
        lambda: ng.cuda.current_device(),
        lambda: ng.cuda.synchronize(),
        lambda: ng.cuda.Stream(),
    ],
)
def test_wanting(ask, missing):
    with pytest.raises(RuntimeError, match=missing) as error:
        ask()
    assert 'pip install "numgrad[cuda]"' in str(error.value)
    assert "numgrad.cuda.is_available()" in str(error.value)


def test_nothing_of_cuda_is_imported():
    program = (
        "import sys, numgrad; numgrad.cuda.is_available(); numgrad.ones(2).sum()\n"
        "print([m for m in sys.modules if m.startswith(('cuda', 'numba_cuda', 'nvmath'))])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout.strip() == "[]", done.stderr
