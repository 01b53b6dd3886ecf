"""Large blocks of memory: handed out again when free, never while something still uses them."""

import gc
import threading

import numpy as np
import pytest

import numgrad as torch
from numgrad.device import cpu

SHAPE = (cpu.LARGE // 4 + 1000,)


@pytest.fixture(autouse=True)
def fresh_pool():
    gc.collect()
    cpu.empty_cache()
    yield
    cpu.empty_cache()


def address(array):
    return array.ctypes.data


def test_small_arrays_are_numpys_own():
    assert cpu.empty((10,), np.float32).flags.owndata


def test_freed_block_is_handed_out_again():
    array = cpu.empty(SHAPE, np.float32)
    place = address(array)
    assert array.flags.writeable and array.flags.c_contiguous and array.flags.aligned
    del array
    again = cpu.empty(SHAPE, np.float32)
    assert address(again) == place
    other = cpu.empty(SHAPE, np.float32)
    assert address(other) != place


@pytest.mark.parametrize(
    "keep", [lambda a: a[5:], lambda a: a.reshape(1, -1).T, memoryview, lambda a: a.base[3:]]
)
def test_block_in_use_stays(keep):
    array = cpu.empty(SHAPE, np.float32)
    place = address(array)
    array[:] = 7
    kept = keep(array)
    del array
    fresh = [cpu.empty(SHAPE, np.float32) for _ in range(3)]
    assert all(address(a) != place for a in fresh)
    for a in fresh:
        a[:] = 0
    assert np.asarray(kept).reshape(-1)[0] != 0
    del kept
    assert address(cpu.empty(SHAPE, np.float32)) == place


def test_tensors_share_nothing():
    x = torch.randn(SHAPE[0])
    expected = x.numpy().copy()
    for _ in range(3):
        y = x + 1
        z = y * 2
        assert np.array_equal(x.numpy(), expected)
        assert np.array_equal(z.numpy(), (expected + np.float32(1)) * np.float32(2))
        del y


def test_no_more_is_kept_than_the_limit(monkeypatch):
    monkeypatch.setattr(cpu, "KEPT", 3 * cpu.LARGE)
    arrays = [cpu.empty((cpu.LARGE * k // 4,), np.float32) for k in (1, 2, 1, 2, 3)]
    arrays.clear()
    assert 0 <= cpu._pool.kept <= 3 * cpu.LARGE
    assert cpu._pool.kept == sum(size * len(b) for size, b in cpu._pool.free.items())
    cpu.empty_cache()
    assert cpu._pool.kept == 0 and not cpu._pool.free


def test_many_threads():
    failures = []

    def work(number):
        for _ in range(200):
            array = cpu.empty(SHAPE, np.float32)
            array[:] = number
            if not (array == number).all():
                failures.append(number)

    threads = [threading.Thread(target=work, args=(k,)) for k in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
