"""DLPack with NumPy and PyTorch: one memory, both ways, freed when nobody needs it."""

import gc
import sys
import weakref

import numpy as np
import pytest

import numgrad as ng
from numgrad.device import _dlpack

DTYPES = ["float32", "float64", "int8", "int16", "int32", "int64", "uint8", "bool"]


class Exported:
    """A producer that gives the capsules of our own exporter."""

    def __init__(self, array):
        self.array = array

    def __dlpack__(self, **options):
        return _dlpack.export(self.array, self.array.ctypes.data, _dlpack.CPU, 0)

    def __dlpack_device__(self):
        return _dlpack.CPU, 0


@pytest.mark.parametrize("dtype", DTYPES)
def test_numpy_and_back(dtype):
    array = np.arange(6).reshape(2, 3).astype(dtype)
    tensor = ng.from_dlpack(array)
    assert tensor.tolist() == array.tolist() and str(tensor.dtype) == f"torch.{dtype}"
    assert tensor.data_ptr() == array.ctypes.data
    back = np.from_dlpack(tensor)
    assert back.ctypes.data == array.ctypes.data and back.dtype == array.dtype


@pytest.mark.parametrize("dtype", DTYPES)
def test_the_capsules_of_our_own(dtype, torch):
    array = np.arange(12).reshape(3, 4).astype(dtype)[:, ::2]
    for taken in (np.from_dlpack(Exported(array)), torch.from_dlpack(Exported(array)).numpy()):
        np.testing.assert_array_equal(taken, array)
        assert taken.ctypes.data == array.ctypes.data and taken.strides == array.strides
    own = ng.from_dlpack(Exported(array)).numpy()
    assert own.ctypes.data == array.ctypes.data and own.strides == array.strides


def test_torch_both_ways(torch):
    theirs = torch.arange(6.0).reshape(2, 3).T
    ours = ng.from_dlpack(theirs)
    assert ours.stride() == theirs.stride() and ours.tolist() == theirs.tolist()
    ours.mul_(2)
    assert theirs.tolist() == ours.tolist()
    again = torch.from_dlpack(ours)
    assert again.data_ptr() == theirs.data_ptr()
    capsule = ng.utils.dlpack.to_dlpack(ours)
    assert torch.utils.dlpack.from_dlpack(capsule).data_ptr() == theirs.data_ptr()


def test_memory_goes_with_the_last_that_needs_it():
    class Array(np.ndarray):
        pass

    array = np.zeros(3).view(Array)
    gone = weakref.ref(array)
    taken = np.from_dlpack(Exported(array))
    unused = Exported(array).__dlpack__()
    del array
    gc.collect()
    assert gone() is not None and taken.tolist() == [0, 0, 0]
    del taken, unused
    gc.collect()
    assert gone() is None and not _dlpack._given


def test_a_producer_is_kept_and_let_go():
    class Kept(np.ndarray):
        pass

    array = np.ones(3).view(Kept)
    gone = weakref.ref(array)
    tensor = ng.from_dlpack(Exported(array))
    view = tensor[1:]
    del array, tensor
    gc.collect()
    assert view.tolist() == [1, 1] and gone() is not None
    del view
    gc.collect()
    assert gone() is None


def test_a_capsule_is_taken_once():
    capsule = ng.to_dlpack(ng.ones(2))
    assert ng.from_dlpack(capsule).tolist() == [1, 1]
    for wrong in (capsule, object(), None):
        with pytest.raises(RuntimeError, match="from_dlpack received an invalid capsule"):
            ng.from_dlpack(wrong)


def test_copies():
    array = np.zeros(2, np.float32)
    assert ng.from_dlpack(array, copy=True).data_ptr() != array.ctypes.data
    assert ng.from_dlpack(array, copy=False, device="cpu").data_ptr() == array.ctypes.data
    x = ng.zeros(2)
    assert np.from_dlpack(x, copy=True).ctypes.data != x.data_ptr()


def test_empty_and_scalar_arrays():
    for array in (np.zeros((0, 3)), np.array(2.5), np.zeros((2, 0))):
        for producer in (array, Exported(array)):
            found = ng.from_dlpack(producer)
            assert found.shape == array.shape and found.tolist() == array.tolist()


@pytest.mark.parametrize("dtype", ["complex64", "float16", "uint32"])
def test_dtypes_that_numgrad_has_not(dtype):
    with pytest.raises((BufferError, TypeError)):
        ng.from_dlpack(np.zeros(2, dtype))


def test_tensors_that_require_gradients():
    with pytest.raises(BufferError, match="use tensor.detach"):
        np.from_dlpack(ng.ones(2, requires_grad=True))
    with pytest.raises(AttributeError, match="on non-CUDA tensor type: torch.FloatTensor"):
        ng.ones(2).__cuda_array_interface__  # noqa: B018
    assert not hasattr(ng.ones(2), "__cuda_array_interface__")


def test_read_only_memory_stays_so():
    array = np.zeros(2)
    array.flags.writeable = False
    assert not ng.from_dlpack(array).numpy().flags.writeable


def test_no_reference_is_lost():
    x = ng.ones(1000)
    before = sys.getrefcount(x._data)
    for _ in range(50):
        ng.from_dlpack(ng.to_dlpack(x))
        ng.to_dlpack(x)
    gc.collect()
    after = sys.getrefcount(x._data)
    assert after == before
