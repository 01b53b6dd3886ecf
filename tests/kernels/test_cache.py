"""The disk cache: what a key covers, and code from several processes in one."""

import os
import subprocess
import sys

import numpy as np
import pytest
from numba import njit

from numgrad.kernels import _cache

_MAKER = """
import sys
import numpy as np
import pytest
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


_COUNTING = (
    _MAKER.replace(
        "\nx, out",
        """
from numgrad.kernels import _contract
made = []
_contract.listeners.append(lambda name, *rest: name and made.append(name))
x, out""",
    )
    + "\nprint(len(made))"
)


def test_of_several_processes_one_compiles_and_the_others_load(tmp_path):
    environment = dict(os.environ, NUMGRAD_CACHE_DIR=str(tmp_path))
    command = [sys.executable, "-c", _COUNTING, "1.0", "2.0", "3.0"]
    running = [
        subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)
        for _ in range(4)
    ]
    made = [int(process.communicate()[0]) for process in running]
    assert sum(made) == 3, made


def test_a_process_that_was_killed_while_it_compiles_holds_nobody_up(tmp_path):
    killed = _MAKER.replace(
        "make(step)(x, out)",
        "_contract._build = lambda *a: os.kill(os.getpid(), 9); make(step)(x, out)",
    )
    killed = "import os\nfrom numgrad.kernels import _contract\n" + killed
    environment = dict(os.environ, NUMGRAD_CACHE_DIR=str(tmp_path))
    done = subprocess.run([sys.executable, "-c", killed, "1.0"], env=environment)
    assert done.returncode == -9
    _run(tmp_path, 1.0)


def test_waiting_for_another_process_has_an_end(tmp_path, monkeypatch):
    monkeypatch.setenv("NUMGRAD_CACHE_DIR", str(tmp_path))
    monkeypatch.setattr(_cache, "_PATIENCE", 0.05)
    name = "a" * 64
    holds = (
        "import fcntl, os, sys, time\n"
        f"file = os.open({str(tmp_path / _cache._LOCKS)!r}, os.O_RDWR | os.O_CREAT)\n"
        f"fcntl.lockf(file, fcntl.LOCK_EX, 1, {_cache._place(name)})\n"
        "print('held', flush=True)\n"
        "sys.stdin.read()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", holds], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as holder:
        assert holder.stdout.readline() == b"held\n"
        with _cache.made_once(name) as stored:
            assert stored is None
        holder.stdin.close()
    with _cache.made_once(name) as stored:
        assert stored is None
        _cache.write(name, b"content", "label")
    with _cache.made_once(name) as stored:
        assert stored == b"content"


def test_key_covers_constants_types_and_options():
    def make(a, b, **options):
        inner = njit(**options)(lambda x: x + a)
        return lambda x: inner(x) * b

    base = _cache.fingerprint(make(1, 2))
    assert base == _cache.fingerprint(make(1, 2))
    f, i = np.float32, np.int64
    others = [make(1, 3), make(2, 2), make(1, 2, fastmath=True), make(f, i), make(i, i), make(f, f)]
    assert len({base, *map(_cache.fingerprint, others)}) == 7


def _keep(folder, monkeypatch, limit, sizes):
    """Files of these sizes, each used later than the one before, then one write under the limit."""
    monkeypatch.setenv("NUMGRAD_CACHE_DIR", str(folder))
    monkeypatch.setenv("NUMGRAD_CACHE_SIZE", "1G")
    for k, size in enumerate(sizes):
        _cache.write(f"old{k}", bytes(size), f"old {k}")
        os.utime(folder / f"old{k}.kernel", (1e9 + k, 1e9 + k))
    monkeypatch.setenv("NUMGRAD_CACHE_SIZE", limit)


def _names(folder):
    return sorted(file.stem for file in folder.glob("*.kernel"))


def test_the_least_recently_used_go_first(tmp_path, monkeypatch):
    _keep(tmp_path, monkeypatch, "3500", [1000] * 4)
    assert _cache.read("old0") == bytes(1000)  # and so it is the most recently used
    _cache.write("new", bytes(1000), "new")
    assert _names(tmp_path) == ["new", "old0", "old3"]
    assert _cache.read("new") == bytes(1000) and _cache.read("old1") is None
    assert [file.label for file in _cache.files()] == ["old 3", "old 0", "new"]


def test_a_limit_below_one_file_keeps_none(tmp_path, monkeypatch):
    _keep(tmp_path, monkeypatch, "0", [10])
    _cache.write("new", b"x", "new")
    assert _names(tmp_path) == [] and _cache.read("new") is None


def test_what_a_killed_process_left_goes(tmp_path, monkeypatch):
    _keep(tmp_path, monkeypatch, "1G", [])
    left, being_written = tmp_path / ".writing-left", tmp_path / ".writing-now"
    left.write_bytes(b"x")
    being_written.write_bytes(b"x")
    os.utime(left, (1e9, 1e9))
    _cache.write("new", b"x", "new")
    assert being_written.exists() and not left.exists()


@pytest.mark.parametrize(
    "text, size",
    [("123", 123), ("2K", 2048), ("1.5m", 3 << 19), ("2G", 2 << 30), (" 1 GiB ", 1 << 30), ("1TB", 1 << 40)],
)  # fmt: skip
def test_size_limit(monkeypatch, text, size):
    monkeypatch.setenv("NUMGRAD_CACHE_SIZE", text)
    assert _cache.size_limit() == size


@pytest.mark.parametrize("text", ["", "many", "-1", "1X"])
def test_size_limit_that_is_none(monkeypatch, text):
    monkeypatch.setenv("NUMGRAD_CACHE_SIZE", text)
    with pytest.raises(ValueError, match=f"got {text!r}"):
        _cache.size_limit()


_CROWD = """
import os, sys
from numgrad.kernels import _cache
own = int(sys.argv[1])
for round in range(60):
    for name in range(own, own + 20):
        content = _cache.read(f"k{name % 25}")
        assert content in (None, bytes([name % 25]) * 1000), (name, content and content[:5])
        if content is None:
            _cache.write(f"k{name % 25}", bytes([name % 25]) * 1000, f"kernel {name % 25}")
"""


def test_many_processes_within_the_limit(tmp_path):
    environment = dict(os.environ, NUMGRAD_CACHE_DIR=str(tmp_path), NUMGRAD_CACHE_SIZE="8K")
    running = [
        subprocess.Popen([sys.executable, "-c", _CROWD, str(k)], env=environment) for k in range(6)
    ]
    assert [process.wait() for process in running] == [0] * 6
    assert 0 < sum(file.stat().st_size for file in tmp_path.iterdir()) <= 8 << 10
    assert not list(tmp_path.glob(".writing-*"))


def test_fused_loops_are_listed(tmp_path):
    program = """
import numgrad as torch
from numgrad import _info

step = torch.compile(lambda x: torch.exp(x) * x + 1)
x = torch.ones(1 << 16)
for _ in range(3):
    step(x)
(call,) = step.graph.calls
assert f"{call.kernel.name}(float32)" in _info.cache_report(), _info.cache_report()
"""
    done = subprocess.run(
        [sys.executable, "-c", program],
        env=dict(os.environ, NUMGRAD_CACHE_DIR=str(tmp_path)),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
