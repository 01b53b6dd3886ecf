"""`spawn` and its join rules: the first failure ends all."""

import os
import signal
import subprocess
import sys
import time

import children
import pytest
import world

import numgrad as ng
import numgrad.multiprocessing as mp


def test_it_runs_the_function_in_every_process(tmp_path):
    assert mp.spawn(children.note, args=(str(tmp_path),), nprocs=2) is None
    found = {path.name: path.read_text() for path in tmp_path.iterdir()}
    assert set(found) == {"0", "1"} and len(set(found.values())) == 2
    assert str(os.getpid()) not in found.values()


def test_an_exception_is_shown_with_its_traceback_and_ends_the_others():
    with pytest.raises(mp.ProcessRaisedException) as raised:
        mp.start_processes(children.fail, args=("raise",), nprocs=2, start_method="fork")
    assert raised.value.error_index == 1
    text = str(raised.value)
    assert "-- Process 1 terminated with the following error:" in text
    assert "in fail" in text and "ValueError: the reason" in text


@pytest.mark.parametrize(
    "how, code, name, text",
    [
        ("exit", 3, None, "process 1 terminated with exit code 3"),
        ("kill", -9, "SIGKILL", "process 1 terminated with signal SIGKILL"),
        ("long", 1, None, "…"),
    ],
)
def test_how_a_process_ended(how, code, name, text):
    with pytest.raises(mp.ProcessException) as raised:
        mp.start_processes(children.fail, args=(how,), nprocs=2, start_method="fork")
    assert text in str(raised.value) and raised.value.pid > 0
    if how != "long":
        assert (raised.value.exit_code, raised.value.signal_name) == (code, name)


def test_processes_that_will_not_end_are_killed(monkeypatch):
    from numgrad.multiprocessing import spawning

    monkeypatch.setattr(spawning, "TERMINATION", 0.2)
    started = mp.start_processes(
        children.fail, args=("stubborn",), nprocs=2, start_method="fork", join=False
    )
    with pytest.raises(mp.ProcessExitedException):
        while not started.join():
            pass
    assert all(process.exitcode is not None for process in started.processes)


def test_joining_by_oneself():
    started = mp.start_processes(
        children.sleep, args=(0.3,), nprocs=2, start_method="fork", join=False
    )
    assert len(started.pids()) == 2 and not started.join(timeout=0)
    while not started.join():
        pass
    assert started.join()


def test_children_end_with_their_parent():
    program = (
        "import numgrad.multiprocessing as mp, children, sys\n"
        "started = mp.start_processes(children.sleep, (60,), 2, join=False, start_method='fork')\n"
        "print(*started.pids(), flush=True)\n"
        "started.join()\n"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", program],
        stdout=subprocess.PIPE,
        text=True,
        env=world.environment(PYTHONPATH=f"{world.ROOT}:{world.FOLDER}"),
    )
    pids = [int(word) for word in parent.stdout.readline().split()]
    parent.send_signal(signal.SIGKILL)
    parent.communicate()
    until = time.monotonic() + 10
    while any(world.is_alive(pid) for pid in pids) and time.monotonic() < until:
        time.sleep(0.02)
    assert not any(world.is_alive(pid) for pid in pids)


def test_what_cannot_be_pickled_is_an_error_here():
    with pytest.raises((AttributeError, TypeError)):
        mp.spawn(lambda rank: None, nprocs=1)


def test_tensors_go_through_queues():
    queue = mp.get_context("fork").Queue()
    queue.put(ng.arange(3.0))
    assert queue.get(timeout=10).tolist() == [0, 1, 2]
    queue.close()
    assert mp.get_sharing_strategy() in mp.get_all_sharing_strategies()


def test_ranks_of_mpiexec_are_not_the_childrens(tmp_path, monkeypatch):
    monkeypatch.setenv("PMI_RANK", "0")
    mp.start_processes(children.note, args=(str(tmp_path), "PMI_RANK"), start_method="fork")
    assert (tmp_path / "0").read_text().endswith("None")
