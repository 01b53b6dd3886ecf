"""The driver's code against a stand-in for cuda.core: the order of things, and what is passed."""

import gc
import inspect
import pathlib
import sys

import numpy as np
import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parent))
from standin import Machine

import numgrad as ng
from numgrad.device import cuda


def test_a_computation(machine):
    x = ng.tensor([1.0, 2.0, 3.0], device="cuda")
    y = (x * 2 + 1).exp()
    assert not machine.asked("wait for")  # the host has gone ahead
    np.testing.assert_allclose(y.cpu().numpy(), np.exp([3.0, 5.0, 7.0]), rtol=1e-6)
    assert [name for name, *_ in machine.asked("launch")] == [
        "mul_dense",
        "add_dense",
        "exp__dense",
    ]


def test_the_pool_keeps_its_memory(machine):
    ng.ones(3, device="cuda")
    assert machine.asked("release threshold") == [["pool", 0, (1 << 64) - 1]]


def test_nothing_is_compiled_or_loaded_for_another_shape(machine):
    def work(*shape):
        x = ng.ones(*shape, device="cuda")
        return ng.softmax(x * 2 + 1, dim=-1), x.T + 1

    work(2, 8)
    compiled, loaded = len(machine.asked("compile")), len(machine.asked("load"))
    assert compiled == loaded > 0
    for shape in ((4, 8), (3, 16), (64, 4)):
        work(*shape)
    assert len(machine.asked("compile")) == compiled and len(machine.asked("load")) == loaded


def test_numbers_by_value_are_eight_bytes(machine):
    x = ng.tensor([True, False], device="cuda")
    assert (x | True).tolist() == [True, True]
    assert (x ^ ng.tensor(True)).tolist() == [False, True]
    assert (ng.arange(3, device="cuda") + 2).tolist() == [2, 3, 4]


def test_a_launch_makes_its_device_current(machine):
    a, b = ng.ones(2, device="cuda:0"), ng.ones(2, device="cuda:1")
    machine.log.clear()
    a + 1, b + 1, b + 1  # noqa: B018
    assert [w for w, *_ in machine.log if w in ("device", "launch")] == [
        "device", "launch", "device", "launch", "launch",
    ]  # fmt: skip
    assert (b + 1).device == ng.device("cuda:1")


def test_statistics(machine):
    before = ng.cuda.memory_allocated()
    x = ng.zeros(1000, device="cuda")
    assert ng.cuda.memory_allocated() == before + 4000
    assert ng.cuda.memory_reserved() >= 4000
    del x
    assert ng.cuda.memory_allocated() == before and ng.cuda.max_memory_allocated() >= 4000
    assert ng.cuda.max_memory_reserved() >= ng.cuda.memory_reserved() >= 4000
    ng.cuda.synchronize()
    ng.cuda.empty_cache()
    assert machine.asked("trim") and ng.cuda.memory_reserved() == before
    ng.cuda.reset_peak_memory_stats()
    assert ng.cuda.max_memory_allocated() == ng.cuda.memory_allocated()
    assert ng.cuda.max_memory_reserved() == ng.cuda.memory_reserved()
    stats = ng.cuda.memory_stats()
    assert stats["allocated_bytes.all.current"] == ng.cuda.memory_allocated()
    assert stats["num_ooms"] == 0
    text = ng.cuda.memory_summary()
    assert "Stand-in 0" in text and "in tensors" in text


def test_out_of_memory(machine):
    kept = ng.empty(1 << 20, device="cuda")
    with pytest.raises(ng.cuda.OutOfMemoryError) as error:
        ng.empty(1 << 22, device="cuda")
    text = str(error.value)
    assert text.startswith("CUDA out of memory. Tried to allocate 16.00 MiB. GPU 0 has a total")
    assert "capacity of 16.00 MiB" in text and "4.00 MiB is in tensors" in text
    assert machine.asked("trim"), "what the pool keeps was given back before giving up"
    assert ng.cuda.memory_stats()["num_ooms"] == 1
    assert kept.sum is not None and isinstance(error.value, RuntimeError)


def test_memory_in_reference_cycles_is_found(machine):
    holder = [ng.empty(3 << 20, device="cuda")]
    holder.append(holder)
    del holder
    gc.disable()
    try:
        ng.empty(3 << 20, device="cuda")  # 12 of 16 MiB each
    finally:
        gc.enable()
    assert ng.cuda.memory_stats()["num_alloc_retries"] == 1


def test_page_locked_memory_is_read_when_the_copy_happens(machine):
    host = ng.tensor([1.0, 2.0]).pin_memory()
    assert host.is_pinned() and not ng.ones(2).is_pinned() and host.pin_memory() is host
    own = host.to("cuda", non_blocking=True)
    assert not machine.asked("wait for")
    host[0] = 5.0  # before the device has come to the copy: as in PyTorch, the user's fault
    assert own.tolist() == [5.0, 2.0]
    own = host.to("cuda")
    host[0] = 6.0
    assert own.tolist() == [5.0, 2.0]


def test_page_locked_memory_stays_until_it_was_copied(machine):
    own = ng.tensor([1.0, 2.0]).pin_memory().cuda(non_blocking=True)
    other = ng.tensor([7.0, 8.0]).pin_memory()  # not the same memory again
    assert own.tolist() == [1.0, 2.0] and other.tolist() == [7.0, 8.0]
    again = ng.zeros(2).pin_memory().cuda(non_blocking=True)  # looks through what was under way
    assert len(cuda._in_flight) == 1 and again.tolist() == [0.0, 0.0]


def test_page_locked_memory_is_kept_for_the_next(machine):
    first = ng.ones(100).pin_memory()
    address = first.data_ptr()
    del first
    assert ng.zeros(100).pin_memory().data_ptr() == address


def test_a_copy_to_the_host_that_nobody_waits_for(machine):
    x = ng.tensor([1.0, 2.0], device="cuda") * 2
    host = x.to("cpu", non_blocking=True)
    assert host.is_pinned()
    ng.cuda.synchronize()
    assert host.tolist() == [2.0, 4.0]


def test_streams_and_events(machine):
    x = ng.ones(2, device="cuda")
    side = ng.cuda.Stream()
    side.wait_stream(ng.cuda.current_stream())
    with ng.cuda.stream(side):
        assert ng.cuda.current_stream() == side != ng.cuda.default_stream()
        y = x + 1
        done = side.record_event()
    assert machine.asked("launch")[-1][2] == side.cuda_stream
    assert not side.query() and not done.query()
    ng.cuda.current_stream().wait_event(done)
    z = y * 10
    y.record_stream(ng.cuda.current_stream())
    del x, y
    assert z.tolist() == [20.0, 20.0] and done.query()
    side.synchronize()
    assert side.query()


def test_memory_goes_back_after_those_who_use_it(machine):
    side = ng.cuda.Stream()
    x = ng.ones(2, device="cuda")
    side.wait_stream(ng.cuda.current_stream())
    with ng.cuda.stream(side):
        y = x + 1
    x.record_stream(side)
    del x
    ng.cuda.current_stream().synchronize()  # frees x, after the side's work
    assert side.query() and y.tolist() == [2.0, 2.0]


def test_time_between_events(machine):
    start, end = (ng.cuda.Event(enable_timing=True) for _ in range(2))
    start.record()
    ng.ones(2, device="cuda") + 1  # noqa: B018
    end.record()
    end.synchronize()
    assert start.elapsed_time(end) == 1.0
    with pytest.raises(ValueError, match="enable_timing=True"):
        start.elapsed_time(ng.cuda.Event())


def test_several_devices(machine):
    assert ng.cuda.device_count() == 2 and ng.cuda.can_device_access_peer(0, 1)
    with ng.cuda.device(1):
        x = ng.ones(3, device="cuda")
        assert x.device == ng.device("cuda", 1) and ng.cuda.current_device() == 1
    assert ng.cuda.current_device() == 0
    y = (x * 2).to("cuda:0")
    assert y.device.index == 0 and y.tolist() == [2.0, 2.0, 2.0]
    ng.cuda.set_device(1)
    try:
        assert ng.zeros(1, device="cuda").get_device() == 1
    finally:
        ng.cuda.set_device(0)
    with pytest.raises(RuntimeError, match="invalid device ordinal 2: there are 2 devices"):
        ng.ones(1, device="cuda:2")
    with pytest.raises(RuntimeError, match="at least two devices, cuda:1 and cuda:0!"):
        x + y  # noqa: B018


def test_a_graph_is_captured_and_replayed(machine):
    x = ng.tensor([1.0, 2.0], device="cuda")
    out = cuda.empty((2,), np.float32)
    kernel = ng.kernels.elementwise.square

    def body():
        cuda.run(kernel, np.dtype(np.float32), 2, (x._data, out), 2)
        cuda.run(kernel, np.dtype(np.float32), 2, (out, out), 2)

    graph = cuda.capture(0, body)
    assert machine.asked("captured") == [[2]]
    for _ in range(2):
        cuda.replay(graph, 0)
    assert cuda.to_host(out).tolist() == [1.0, 16.0]


def test_a_failed_capture_is_closed(machine):
    with pytest.raises(RuntimeError, match="it allocates memory, which cannot be part of a CUDA g"):
        cuda.capture(0, lambda: cuda.empty((2,), np.float32))
    assert ng.ones(2, device="cuda").tolist() == [1.0, 1.0]


def test_a_child_process_cannot_go_on_with_it(machine, monkeypatch):
    monkeypatch.setattr(cuda, "_forked", True)
    with pytest.raises(RuntimeError, match="Cannot re-initialize CUDA in forked subprocess"):
        ng.cuda.current_device()


def test_what_is_filled_is_filled_on_the_device(machine):
    x = ng.zeros(2, 3, device="cuda")
    for made in (ng.ones(2, device="cuda:0"), ng.full((2,), 3.5, device="cuda"), ng.zeros_like(x)):
        assert made.is_cuda
    assert ng.empty(2, device="cuda").is_cuda and ng.ones_like(x, device="cpu").is_cpu
    assert not machine.asked("copy in") and len(machine.asked("launch")) == 4


def flagged(value):
    flag = cuda.empty((2,), np.int64)
    cuda.driver().copy_in(flag.ptr, np.array([0, value]), cuda.stream(0), 0)
    return flag


def wrong(what, data):
    raise IndexError(f"{what} {data.tolist()}")


def test_checks_are_read_when_somebody_waits(machine):
    seen = cuda.from_host(np.array([7]))
    for value in (0, 1):
        cuda.check(flagged(value), 1, wrong, "out of range:", seen)
    assert not machine.asked("wait for")
    with pytest.raises(IndexError, match=r"out of range: \[7\]"):
        ng.ones(2, device="cuda").cpu()
    assert ng.ones(2, device="cuda").tolist() == [1.0, 1.0]  # told once


@pytest.mark.parametrize(
    "wait",
    [
        lambda: ng.cuda.synchronize(),
        lambda: ng.cuda.current_stream().synchronize(),
        lambda: [cuda.check(flagged(0), 1, wrong) for _ in range(70)],
    ],
)
def test_other_ways_to_wait(machine, wait):
    cuda.check(flagged(1), 1, wrong, "out of range:", np.array(1))
    with pytest.raises(IndexError, match="out of range: 1"):
        wait()


def test_checks_on_another_stream_are_read_too(machine):
    with ng.cuda.stream(ng.cuda.Stream()):
        cuda.check(flagged(1), 1, wrong, "there:", np.array(1))
    with pytest.raises(IndexError, match="there: 1"):
        ng.ones(2, device="cuda").cpu()


def test_a_check_whose_reason_is_gone(machine):
    cuda.check(flagged(1), 1, lambda: None)
    with pytest.raises(RuntimeError, match="CUDA_LAUNCH_BLOCKING=1 tells of it at once"):
        ng.cuda.synchronize()


def test_checks_at_once(machine, monkeypatch):
    monkeypatch.setattr(cuda, "_blocking", True)
    with pytest.raises(IndexError):
        cuda.check(flagged(1), 1, wrong, "now:", np.array(1))


# ------------------------------------------------------- the stand-in beside the real thing


@pytest.mark.parametrize(
    ("cls", "names"),
    [
        ("Device", ["get_all_devices", "set_current", "can_access_peer", "create_stream",
                    "create_event", "create_graph_builder", "sync"]),
        ("Stream", ["from_handle", "sync", "record", "wait"]),
        ("Event", ["sync"]),
        ("DeviceMemoryResource", ["allocate"]),
        ("ObjectCode", ["from_cubin", "get_kernel"]),
        ("GraphBuilder", ["begin_building", "end_building", "complete", "close"]),
        ("Graph", ["launch"]),
    ],
)  # fmt: skip
def test_signatures(cls, names):
    real = pytest.importorskip("cuda.core", reason='pip install "numgrad[cuda]"')
    own, other = getattr(Machine().core, cls), getattr(real, cls, None) or getattr(real.graph, cls)
    for name in names:
        expected = list(inspect.signature(getattr(other, name)).parameters)
        found = list(inspect.signature(getattr(own, name)).parameters)
        assert found == expected, f"{cls}.{name}"


def test_attributes():
    real = pytest.importorskip("cuda.core", reason='pip install "numgrad[cuda]"')
    for cls, names in {
        "Device": ["name", "compute_capability", "properties", "default_stream"],
        "Stream": ["handle", "device"],
        "Event": ["is_done", "handle", "__sub__"],
        "DeviceMemoryResource": ["handle", "attributes", "peer_accessible_by"],
        "Buffer": ["handle"],
        "LaunchConfig": ["grid", "block"],
    }.items():
        assert all(hasattr(getattr(real, cls), name) for name in names), cls
    assert hasattr(real.graph.GraphBuilder, "stream")
    config = real.LaunchConfig(grid=3, block=64)
    assert tuple(config.grid) == (3, 1, 1)
    assert real.EventOptions(timing_enabled=True) and real.StreamOptions(priority=-1)


def test_the_driver_has_what_is_called():
    api = pytest.importorskip("cuda.bindings.driver", reason='pip install "numgrad[cuda]"')
    own = Machine().api
    for name in vars(own):
        if not name.startswith("__"):
            assert hasattr(api, name), name
    for name in (
        "cuMemPoolSetAttribute",
        "cuMemcpyHtoDAsync",
        "cuMemcpyDtoHAsync",
        "cuMemcpyAsync",
    ):
        assert api.__dict__[name].__doc__ and callable(api.__dict__[name])
