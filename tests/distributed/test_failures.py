"""Ranks that are lost, hang or disagree: the others end in time with an error that says so."""

import signal

import pytest
import world


def failed(program, size, *arguments, timeout=30, **more):
    """What all ranks say who run a program that fails."""
    processes, port = world.start(program, size, *arguments, **more)
    found = world.finish(processes, timeout)
    assert world.leftovers(port) == []
    return processes, found


@pytest.mark.parametrize(
    "where, victim", [("forward", 0), ("backward", 1), ("collective", 2), ("collective", 0)]
)
def test_a_killed_rank_is_named_by_all_others(where, victim):
    processes, found = failed("lose", 3, where, victim)
    assert found[victim][0] == -signal.SIGKILL
    name = f"rank {victim} (pid {processes[victim].pid}"
    for rank, (status, _, errors) in enumerate(found):
        if rank != victim:
            assert status == 1 and name in errors and "was lost" in errors, errors


def test_a_rank_that_is_killed_ends_the_others_within_ten_seconds():
    processes, port = world.start("lose", 2, "never", 0)
    world.ready(processes)
    processes[1].send(signal.SIGKILL)
    (status, _, errors), _ = world.finish(processes, timeout=10)
    assert status == 1 and "rank 1" in errors and "was lost" in errors
    assert world.leftovers(port) == []


def test_a_rank_that_is_killed_while_the_world_forms():
    """MPI's initialisation does not come back from that: the process ends all the same."""
    processes, port = world.start("lost_on_the_way", 3)
    found = world.finish(processes, timeout=30)
    assert [status for status, _, _ in found] == [1, -signal.SIGKILL, 1]
    for rank in (0, 2):
        assert "rank 1 (pid" in found[rank][2] and "was lost" in found[rank][2], found[rank][2]
    assert world.leftovers(port) == []


def test_a_hung_rank_is_an_error_at_the_timeout():
    processes, port = world.start("hang", 2, 1.5)
    ((status, _, errors),) = world.finish(processes[:1])
    assert status == 1 and "all_reduce(float32, (3,), SUM) timed out after 1.5 s" in errors
    # The other one sleeps in Python: it says where.
    assert "has done number" in errors and "barrier()" in errors, errors
    processes[1].send(signal.SIGKILL)
    world.finish(processes[1:])
    assert world.leftovers(port) == []


def test_a_stopped_rank_is_an_error_at_the_timeout():
    processes, port = world.start("hang", 2, 2)
    world.ready(processes[1:])
    processes[1].send(signal.SIGSTOP)
    ((_, _, errors),) = world.finish(processes[:1])
    processes[1].send(signal.SIGKILL)
    world.finish(processes[1:])
    assert "timed out after 2 s" in errors and "does not answer" in errors, errors
    assert world.leftovers(port) == []


@pytest.mark.parametrize(
    "kind, texts",
    [
        ("shapes", ["rank 0: all_reduce(float32, (3,), SUM)", "rank 1: all_reduce(float32, (4,)"]),
        ("collectives", ["rank 0: all_reduce", "rank 1: barrier()"]),
        (
            "passes",
            ["DistributedDataParallel(backward pass 2, bucket 1 of 1", "rank 1: all_reduce"],
        ),
        ("parts", ["rank 1 sends 3 elements, 2 are expected"]),
    ],
)
def test_ranks_that_disagree_are_told(kind, texts):
    _, found = failed("disagree", 2, kind)
    assert all(status == 1 for status, _, _ in found)
    errors = "".join(e for _, _, e in found)
    assert all(text in errors for text in texts), errors


@pytest.mark.long
@pytest.mark.parametrize("kind", ["dtypes", "roots", "large"])
def test_ranks_that_disagree_otherwise(kind):
    _, found = failed("disagree", 2, kind)
    for status, _, errors in found:
        assert status == 1 and "the ranks call different things" in errors, errors


def test_a_message_of_another_size():
    _, found = failed("disagree", 2, "message")
    assert found[0][0] == 1 and "recv(float32 [2] from rank 1)" in found[0][2], found[0][2]


def test_a_rank_that_raises_is_named_with_its_error():
    _, found = failed("raises", 2)
    assert found[0][0] == 1 and "has failed: ValueError: the reason" in found[0][2], found[0][2]


def test_a_rank_may_leave_when_it_is_done():
    assert world.run("leaves", 2)[0] == "[0.0, 1.0, 2.0, 3.0, 4.0]\n"


def test_after_an_error():
    _, found = failed("ignores_and_goes_on", 2)
    assert found[0][:2] == (0, "went on\n"), found[0][2]


def test_two_worlds_at_one_port():
    first, port = world.start("hang", 2, 30)
    world.ready(first)
    # The port is free again: everybody has come.
    second, _ = world.start("leaves", 2, MASTER_PORT=port)
    found = world.finish(second, 30)
    assert found[0][:2] == (0, "[0.0, 1.0, 2.0, 3.0, 4.0]\n"), found[0][2]
    for process in first:
        process.send(signal.SIGKILL)
    world.finish(first)
    assert world.leftovers(port) == []
