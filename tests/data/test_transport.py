"""Messages between processes, sent here from a thread."""

import multiprocessing
import os
import threading

import numpy as np
import pytest

import numgrad
from numgrad.data import transport


def roundtrip(message):
    here, there = multiprocessing.Pipe()
    sender = threading.Thread(target=transport.send, args=(there, message))
    sender.start()
    try:
        return transport.receive(here)
    finally:
        sender.join()
        here.close()
        there.close()


@pytest.mark.parametrize("size", [0, 1, 100, 5_000, 200_000, 3_000_000])
def test_arrays_of_every_size(size):
    array = np.arange(size, dtype=np.uint8)
    received, same, text = roundtrip([array, array, "text"])
    assert np.array_equal(received, array) and same is received and text == "text"
    received[:1] = 7  # writable
    assert received.base is not None, "the array's memory is the message's, not another copy"


def test_arrays_stay_aligned():
    arrays = roundtrip([np.ones(n) for n in (1, 3, 100_000, 5)])
    assert len({array.ctypes.data % 64 for array in arrays}) == 1


def test_tensors():
    wide = numgrad.arange(12, dtype=numgrad.float64).reshape(3, 4)
    leaf = numgrad.ones(2, requires_grad=True)
    view, again, scalar = roundtrip((wide[:, 1], leaf, numgrad.tensor(3)))
    assert view.tolist() == [1, 5, 9] and view.dtype is numgrad.float64
    assert again.requires_grad and scalar.item() == 3 and scalar.ndim == 0


def test_nothing_is_sent_of_what_cannot_be_pickled():
    here, there = multiprocessing.Pipe()
    with pytest.raises(TypeError):
        transport.send(there, (x for x in ()))
    assert not here.poll()
    here.close()
    there.close()


def test_without_memory_files(monkeypatch):
    monkeypatch.setattr(transport, "_HAS_MEMORY_FILES", False)
    array = np.arange(500_000)
    assert np.array_equal(roundtrip(array), array)


def test_mappings_are_limited_and_freed(monkeypatch):
    monkeypatch.setattr(transport, "_MAX_MAPPED", 2)
    before = len(transport._mapped)
    messages = [roundtrip(np.full(2_000_000, k, np.uint8)) for k in range(4)]
    assert len(transport._mapped) <= before + 2
    assert [int(m.max()) for m in messages] == [0, 1, 2, 3]
    del messages
    assert len(transport._mapped) == before


def test_the_other_side_is_gone():
    here, there = multiprocessing.Pipe()
    there.close()
    with pytest.raises((EOFError, ConnectionResetError)):
        transport.receive(here)
    with pytest.raises((BrokenPipeError, ConnectionResetError)):
        transport.send(here, np.zeros(100_000))
    here.close()


@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="looks into /proc")
def test_no_descriptor_is_left_open():
    roundtrip(1)
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(5):
        roundtrip(np.zeros(100_000, np.uint8))
        roundtrip(np.zeros(2_000_000, np.uint8))
    assert len(os.listdir("/proc/self/fd")) == before
