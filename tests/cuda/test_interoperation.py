"""Tensors on a GPU and other libraries; saving and loading; page-locked batches."""

import io

import numpy as np
import pytest

import numgrad as ng
from numgrad import safetensors
from numgrad.device import _dlpack, cuda
from numgrad.utils.data import DataLoader, TensorDataset


class Interface:
    """Another library's array with `__cuda_array_interface__` alone."""

    def __init__(self, tensor, **changes):
        self.tensor = tensor
        self.__cuda_array_interface__ = {**tensor.__cuda_array_interface__, **changes}


@pytest.mark.parametrize("dtype", ["float32", "int64", "bool"])
def test_dlpack(simulator, dtype):
    x = ng.arange(6).reshape(2, 3).to(getattr(ng, dtype)).cuda()
    for producer in (x, x.T, x[:, 1], x[:0]):
        assert producer.__dlpack_device__() == (2, 0)
        found = ng.from_dlpack(producer)
        assert found.is_cuda and found.tolist() == producer.tolist()
        assert found.dtype == producer.dtype
    assert ng.from_dlpack(x.T).data_ptr() == x.data_ptr()
    assert ng.from_dlpack(x, copy=True).data_ptr() != x.data_ptr()
    assert ng.from_dlpack(x, device="cpu").is_cpu
    with pytest.raises(ValueError, match="without copying"):
        ng.from_dlpack(x, device="cpu", copy=False)
    assert np.from_dlpack(_ToCpu(x)).tolist() == x.tolist()


class _ToCpu:
    """A tensor whose consumer asks for a copy on the CPU."""

    def __init__(self, tensor):
        self.tensor = tensor

    def __dlpack__(self, **options):
        return self.tensor.__dlpack__(dl_device=(1, 0))

    def __dlpack_device__(self):
        return 1, 0


def test_the_other_device(simulator):
    x = ng.ones(2, device="cuda:1")
    assert x.__dlpack_device__() == (2, 1)
    assert ng.from_dlpack(x).device == ng.device("cuda:1")
    assert ng.as_tensor(Interface(x)).device == ng.device("cuda:1")


def test_shared_memory_is_counted_once_and_given_back(simulator):
    x = ng.zeros(100, device="cuda")
    before = ng.cuda.memory_allocated()
    y = ng.from_dlpack(x)
    y.add_(1)
    assert x[0].item() == 1 and ng.cuda.memory_allocated() == before
    del x
    assert y[99].item() == 1 and ng.cuda.memory_allocated() == before
    del y
    assert ng.cuda.memory_allocated() == before - 400


def test_cuda_array_interface(simulator):
    x = ng.arange(6.0).reshape(2, 3).cuda()
    found = x.T.__cuda_array_interface__
    assert found == {
        "shape": (3, 2),
        "typestr": "<f4",
        "data": (x.data_ptr(), False),
        "strides": (4, 12),
        "version": 3,
        "stream": 1,
    }
    assert x.__cuda_array_interface__["strides"] is None
    assert x[:0].__cuda_array_interface__["data"] == (0, False)
    shared = ng.as_tensor(Interface(x.T))
    assert shared.tolist() == x.T.tolist() and shared.data_ptr() == x.data_ptr()
    copied = ng.tensor(Interface(x), dtype=ng.float64)
    assert copied.data_ptr() != x.data_ptr() and copied.dtype == ng.float64 and copied.is_cuda
    assert ng.as_tensor(Interface(x[:0])).shape == (0, 3)
    with pytest.raises(TypeError, match="mask"):
        ng.as_tensor(Interface(x, mask=x))
    with pytest.raises(RuntimeError, match="requires grad"):
        x.requires_grad_().__cuda_array_interface__  # noqa: B018


def test_streams_wait_for_each_other(machine):
    x = ng.ones(2, device="cuda")
    side = ng.cuda.Stream()
    with ng.cuda.stream(side):
        y = x + 1
        exported = y.__dlpack__(stream=1)  # the consumer works on the legacy default stream
    found = ng.from_dlpack(exported) * 2
    assert found.tolist() == [4, 4]
    with ng.cuda.stream(side):
        z = x + 2
        source = Interface(z)  # names the side stream
    assert (ng.as_tensor(source) * 2).tolist() == [6, 6]
    with ng.cuda.stream(side):
        w = x + 3
    # The producer is asked to make our stream wait; it knows the stream it worked on.
    assert ng.cuda.current_stream().cuda_stream == 1 and w.__dlpack__(stream=-1) is not None


def test_other_devices_are_refused(simulator):
    x = ng.ones(2, device="cuda")
    capsule = _dlpack.export(x._data, x.data_ptr(), 99, 0)
    with pytest.raises(BufferError, match="on a device of type 99"):
        ng.from_dlpack(capsule)


def test_numba_takes_tensors(simulator):
    # What numba.cuda.as_cuda_array reads; the kernel launch itself takes a GPU.
    interface = ng.ones(2, 3, device="cuda").__cuda_array_interface__
    assert set(interface) == {"shape", "typestr", "data", "strides", "version", "stream"}


# ----------------------------------------------------------------------- saving and loading


def saved(value):
    file = io.BytesIO()
    ng.save(value, file)
    file.seek(0)
    return file


def test_tensors_are_loaded_where_they_were(simulator):
    x = ng.arange(6.0).reshape(2, 3)
    state = {"a": x.cuda(), "b": x, "c": x.to("cuda:1").T}
    found = ng.load(saved(state))
    for name, tensor in state.items():
        assert found[name].device == tensor.device and found[name].tolist() == tensor.tolist()


def test_map_location(simulator):
    file = saved({"a": ng.ones(3, device="cuda"), "b": ng.zeros(2)})

    def load(place):
        file.seek(0)
        return [str(t.device) for t in ng.load(file, map_location=place).values()]

    assert load(None) == ["cuda:0", "cpu"]
    assert load("cpu") == ["cpu", "cpu"]
    assert load("cuda:1") == load(ng.device("cuda", 1)) == ["cuda:1", "cuda:1"]
    assert load({"cuda:0": "cpu"}) == ["cpu", "cpu"]
    assert load({"cuda:0": "cuda:1"}) == ["cuda:1", "cpu"]
    assert load(lambda storage, place: storage.cuda(1)) == ["cuda:1", "cuda:1"]
    assert load(lambda storage, place: storage) == ["cpu", "cpu"]
    assert load(lambda storage, place: None) == ["cuda:0", "cpu"]
    with pytest.raises(RuntimeError, match="device 5 but torch.cuda.device_count\\(\\) is 2"):
        load("cuda:5")


def test_views_share_their_memory_on_the_gpu(simulator):
    x = ng.arange(6.0).cuda()
    a, b = ng.load(saved([x, x[2:].reshape(2, 2).T]))
    b.fill_(-1)
    assert a.tolist() == [0, 1, -1, -1, -1, -1]


def test_a_module_goes_there_and_back(simulator):
    model = ng.nn.Linear(3, 2).cuda()
    assert all(p.is_cuda for p in model.parameters())
    state = ng.load(saved(model.state_dict()), map_location="cpu")
    other = ng.nn.Linear(3, 2)
    other.load_state_dict(state)
    assert other.weight.is_cpu and other.weight.tolist() == model.weight.tolist()
    other.cuda().load_state_dict(state)
    assert other.weight.is_cuda and model.cpu().weight.is_cpu


def test_safetensors(simulator, tmp_path):
    path = str(tmp_path / "model.safetensors")
    x = ng.arange(4.0).cuda()
    safetensors.save_file({"x": x}, path)
    assert safetensors.load_file(path)["x"].is_cpu
    found = safetensors.load_file(path, device="cuda:1")["x"]
    assert str(found.device) == "cuda:1" and found.tolist() == x.tolist()
    assert ng.load(path, map_location="cuda")["x"].is_cuda


# ------------------------------------------------------------------------------ page-locked


@pytest.mark.parametrize("workers", [0, 1])
def test_batches_in_page_locked_memory(simulator, workers):
    data = TensorDataset(ng.arange(6.0).reshape(3, 2), ng.arange(3))
    loader = DataLoader(data, batch_size=2, pin_memory=True, num_workers=workers)
    for x, y in loader:
        assert x.is_pinned() and y.is_pinned()
        assert x.cuda(non_blocking=True).tolist() == x.tolist()
    assert not cuda.is_pinned(data.tensors[0]._data)


def test_page_locked_batches_of_other_kinds(simulator):
    rows = [{"x": ng.ones(2), "name": "a", "pair": (ng.zeros(1), 3)} for _ in range(2)]
    (batch,) = DataLoader(rows, batch_size=2, pin_memory=True)
    assert batch["x"].is_pinned() and batch["pair"][0].is_pinned() and batch["name"] == ["a", "a"]
