"""Collectives between processes, and in a world of one."""

import sys

import numpy as np
import pytest
import world

import numgrad as ng
import numgrad.distributed as dist


@pytest.mark.parametrize("size", [2, 3])
def test_everything(size):
    assert world.run("everything", size) == ["done\n"] * size


@pytest.fixture
def alone():
    dist.init_process_group("gloo", rank=0, world_size=1)
    yield
    dist.destroy_process_group()


def test_a_world_of_one(alone):
    x = ng.arange(3.0)
    dist.all_reduce(x, dist.ReduceOp.AVG)
    dist.broadcast(x, 0)
    dist.reduce(x, 0)
    out = ng.zeros(3)
    dist.all_gather([out], x)
    assert out.tolist() == x.tolist() == [0, 1, 2]
    for collective in (
        lambda y: dist.all_gather_into_tensor(y, x),
        lambda y: dist.gather(x, [y]),
        lambda y: dist.scatter(y, [x]),
        lambda y: dist.reduce_scatter(y, [x]),
        lambda y: dist.reduce_scatter_tensor(y, x),
        lambda y: dist.all_to_all([y], [x]),
        lambda y: dist.all_to_all_single(y, x),
    ):
        y = ng.zeros(3)
        collective(y)
        assert y.tolist() == [0, 1, 2]
    found = [None]
    dist.all_gather_object(found, "x")
    group = dist.new_group()
    work = dist.barrier(group, async_op=True)
    assert found == ["x"] and work.wait() and work.is_success() and group.size() == 1
    dist.monitored_barrier()
    assert "mpi4py.MPI" not in sys.modules  # a process alone needs no MPI


def test_what_is_not_initialised_says_so():
    for call in (dist.get_rank, dist.barrier, lambda: dist.all_reduce(ng.ones(1))):
        with pytest.raises(ValueError, match="make sure to call init_process_group"):
            call()
    with pytest.raises(AssertionError):
        dist.destroy_process_group()


@pytest.mark.parametrize(
    "arguments, error, text",
    [
        (dict(backend="smoke"), ValueError, "Invalid backend"),
        (dict(backend="gloo"), ValueError, "RANK expected, but not set"),
        (dict(backend="gloo", rank=0), ValueError, "WORLD_SIZE expected, but not set"),
        (dict(backend="gloo", rank=2, world_size=2), ValueError, "not one of a world of 2"),
        (dict(backend="gloo", rank=0, world_size=2), ValueError, "MASTER_PORT expected"),
        (dict(init_method="file:///x", rank=0, world_size=2), ValueError, "is not known"),
        (dict(init_method="tcp://x", rank=0, world_size=2), ValueError, "no port"),
        (dict(rank=0, world_size=1, timeout=0), ValueError, "must be positive"),
        (
            dict(init_method="tcp://no.such.host.invalid:1", rank=1, world_size=2, timeout=5),
            dist.DistNetworkError,
            "is not known",
        ),
        (
            dict(init_method="tcp://localhost:1", rank=1, world_size=2, timeout=0.2),
            dist.DistStoreError,
            "found nobody",
        ),
        (
            dict(init_method="tcp://192.0.2.1:2000", rank=0, world_size=2, timeout=1),
            dist.DistNetworkError,
            "cannot listen",
        ),
    ],
)
def test_initialising_with_wrong_arguments(arguments, error, text, monkeypatch):
    for name in ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(error, match=text):
        dist.init_process_group(**arguments)
    assert not dist.is_initialized()


def test_a_rank_that_does_not_come_is_missed_in_time():
    port = world.free_port()
    with pytest.raises(dist.DistStoreError, match="not all came in time"):
        dist.init_process_group(
            "gloo", init_method=f"tcp://127.0.0.1:{port}", rank=0, world_size=2, timeout=0.3
        )
    assert world.leftovers(port) == []


def test_nccl_needs_a_gpu():
    if dist.is_nccl_available():
        pytest.skip("there is a GPU")
    with pytest.raises(ValueError, match="only supported with GPUs"):
        dist.init_process_group("nccl", rank=0, world_size=1)


def test_collectives_run_eagerly_in_compiled_functions(alone, caplog):
    @ng.compile
    def step(x):
        y = x * 2
        dist.all_reduce(y)
        return y + 1

    for value in (1.0, 5.0):
        assert step(ng.full((2,), value)).tolist() == [2 * value + 1] * 2
    assert "all_reduce" in step.reason


def test_names():
    assert dist.Backend("NCCL") == "nccl" and dist.Backend("cpu:gloo,cuda:nccl") == "nccl"
    assert np.all([hasattr(dist, n) for n in ("ReduceOp", "P2POp", "Work", "ProcessGroup")])
    assert not dist.is_torchelastic_launched()
