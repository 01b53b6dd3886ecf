"""`DataLoader` with worker processes: batches, random streams, failures, what is left behind."""

import gc
import itertools
import multiprocessing
import multiprocessing.resource_tracker
import os
import random
import signal
import subprocess
import sys
import textwrap
import threading
import time

import numpy as np
import pytest

import numgrad
from numgrad.utils.data import (
    DataLoader,
    Dataset,
    IterableDataset,
    TensorDataset,
    get_worker_info,
)

pytestmark = pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")


class Squares(Dataset):
    def __init__(self, size):
        self.size = size

    def __getitem__(self, index):
        return numgrad.full((3,), float(index)), index * index

    def __len__(self):
        return self.size


class Who(Squares):
    """Samples that tell which process made them."""

    def __getitem__(self, index):
        info = get_worker_info()
        return [index, info.id, os.getpid()]


class Broken(Squares):
    """Fails at sample 2 in the way it is told to."""

    def __init__(self, failure):
        super().__init__(8)
        self.failure = failure

    def __getitem__(self, index):
        if index == 2:
            return self.failure()
        return index


class Stream(IterableDataset):
    """Worker i of n gives i, i + n, …; with `short`, worker 0 gives only one."""

    def __init__(self, size, short=False):
        self.size = size
        self.short = short

    def __iter__(self):
        info = get_worker_info()
        first, step = (0, 1) if info is None else (info.id, info.num_workers)
        values = range(first, self.size, step)
        return iter(values[:1] if self.short and first == 0 else values)


def identity(batch):
    return batch


def assert_no_children():
    deadline = time.monotonic() + 10
    while multiprocessing.active_children() and time.monotonic() < deadline:
        time.sleep(0.01)
    assert multiprocessing.active_children() == []


@pytest.fixture(autouse=True)
def nothing_left_behind():
    assert_no_children()
    multiprocessing.resource_tracker.ensure_running()  # the first spawn would, and it stays
    descriptors = len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else None
    yield
    gc.collect()
    assert_no_children()
    if descriptors is not None:
        assert len(os.listdir("/proc/self/fd")) <= descriptors


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_the_batches_are_those_of_one_process(method):
    dataset = TensorDataset(numgrad.arange(22.0).reshape(11, 2), numgrad.arange(11))

    def epochs(**options):
        numgrad.manual_seed(4)
        loader = DataLoader(dataset, batch_size=3, shuffle=True, **options)
        count = 1 if method == "spawn" else 2
        return [[[c.tolist() for c in batch] for batch in loader] for _ in range(count)]

    assert epochs(num_workers=2, multiprocessing_context=method) == epochs()


def test_workers_take_turns():
    loader = DataLoader(Who(9), batch_size=2, num_workers=2, collate_fn=identity)
    batches = list(loader)
    assert [[index for index, _, _ in batch] for batch in batches] == [
        [0, 1], [2, 3], [4, 5], [6, 7], [8]
    ]  # fmt: skip
    assert [batch[0][1] for batch in batches] == [0, 1, 0, 1, 0]
    pids = {pid for batch in batches for _, _, pid in batch}
    assert len(pids) == 2 and os.getpid() not in pids


def test_workers_of_a_loader_in_another_thread():
    batches = []
    thread = threading.Thread(
        target=lambda: batches.extend(DataLoader(Who(4), num_workers=2, collate_fn=identity))
    )
    thread.start()
    thread.join(60)
    assert [index for ((index, _, _),) in batches] == [0, 1, 2, 3]


def test_more_workers_than_batches():
    assert len(list(DataLoader(Squares(1), num_workers=2))) == 1


def test_the_first_batch_is_made_before_it_is_asked_for():
    iterator = iter(DataLoader(Squares(8), num_workers=1, prefetch_factor=3))
    assert len(iterator) == 8
    assert len(list(iterator)) == 8


def test_large_and_small_batches_arrive_whole():
    rows = np.random.default_rng(0).random((6, 400_000), np.float32)
    sizes = [400_000, 1_000, 0, 17]

    class Rows(Squares):
        def __getitem__(self, index):
            return {n: numgrad.from_numpy(rows[index, :n].copy()) for n in sizes}

    kept = list(DataLoader(Rows(6), batch_size=2, num_workers=2))
    for k, batch in enumerate(kept):
        for n in sizes:
            assert np.array_equal(batch[n].numpy(), rows[2 * k : 2 * k + 2, :n])
            if n:
                batch[n].add_(1)  # the memory is this process's own and may be written to
            assert np.array_equal(batch[n].numpy(), rows[2 * k : 2 * k + 2, :n] + 1)


def test_views_dtypes_and_gradients_travel():
    base = numgrad.arange(24).reshape(4, 6)

    class Kinds(Squares):
        def __getitem__(self, index):
            return [
                base.T[1:3],
                numgrad.tensor(index),
                numgrad.tensor([True, False]),
                numgrad.ones(2, requires_grad=True),
                None,
                np.arange(3),
            ]

    view, scalar, flags, leaf, nothing, array = next(
        iter(DataLoader(Kinds(1), batch_size=None, num_workers=1, collate_fn=identity))
    )
    assert view.tolist() == base.T[1:3].tolist() and view.dtype is numgrad.int64
    assert tuple(scalar.shape) == () and flags.dtype is numgrad.bool
    assert leaf.requires_grad and leaf.is_leaf and nothing is None
    assert type(array) is np.ndarray and array.tolist() == [0, 1, 2]


def test_a_result_of_autograd_does_not_travel():
    class Recorded(Squares):
        def __getitem__(self, index):
            return numgrad.ones(2, requires_grad=True) * 2

    with pytest.raises(RuntimeError, match="Cowardly refusing to serialize non-leaf tensor"):
        next(iter(DataLoader(Recorded(1), batch_size=None, num_workers=1)))


# Streams


def test_a_stream_is_shared_out():
    loader = DataLoader(Stream(7), batch_size=2, num_workers=2)
    assert [batch.tolist() for batch in loader] == [[0, 2], [1, 3], [4, 6], [5]]


@pytest.mark.parametrize("persistent_workers", [False, True])
def test_a_stream_that_ends_early_in_one_worker(persistent_workers):
    loader = DataLoader(
        Stream(9, short=True),
        batch_size=1,
        num_workers=2,
        persistent_workers=persistent_workers,
    )
    for _ in range(2):
        assert [batch.item() for batch in loader] == [0, 1, 3, 5, 7]


def test_an_empty_stream():
    assert list(DataLoader(Stream(0), num_workers=2)) == []


def test_batches_as_they_come():
    later = multiprocessing.get_context("fork").Event()

    class Slow(Squares):
        def __getitem__(self, index):
            if index == 0:
                assert later.wait(60)
            if index == 3:  # the other worker's second sample: its first has been sent
                later.set()
            return index

    loader = DataLoader(Slow(6), num_workers=2, in_order=False, multiprocessing_context="fork")
    order = [batch.item() for batch in loader]
    assert sorted(order) == list(range(6)) and order[0] == 1


# Persistent workers


def test_persistent_workers_keep_their_processes():
    loader = DataLoader(
        Who(4), num_workers=2, shuffle=True, collate_fn=identity, persistent_workers=True
    )
    epochs = [list(loader) for _ in range(3)]
    assert len({sample[2] for epoch in epochs for (sample,) in epoch}) == 2
    assert all(sorted(sample[0] for (sample,) in epoch) == list(range(4)) for epoch in epochs)


def test_persistent_workers_after_an_epoch_that_was_broken_off():
    loader = DataLoader(Squares(9), batch_size=2, num_workers=2, persistent_workers=True)
    for _ in range(3):
        next(iter(loader))
        assert [batch[1].tolist() for batch in loader] == [
            [0, 1], [4, 9], [16, 25], [36, 49], [64]
        ]  # fmt: skip


# Seeds


class Draws(Dataset):
    """Samples drawn from all random streams of a worker, by the given library."""

    def __init__(self, library):
        self.library = library

    def __getitem__(self, index):
        return random.random(), np.random.rand(), self.library.rand(1).item()

    def __len__(self):
        return 6


@pytest.mark.parametrize("persistent_workers", [False, True])
@pytest.mark.parametrize("own_generator", [False, True])
def test_random_streams_are_torchs(own_generator, persistent_workers):
    torch = pytest.importorskip("torch")

    def run(library):
        library.manual_seed(8)
        generator = library.Generator().manual_seed(2) if own_generator else None
        loader = library.utils.data.DataLoader(
            Draws(library),
            num_workers=2,
            shuffle=True,
            generator=generator,
            collate_fn=identity,
            persistent_workers=persistent_workers,
        )
        drawn = [list(loader) for _ in range(2)]
        return drawn, library.rand(2).tolist(), library.rand(2, generator=generator).tolist()

    assert run(numgrad) == run(torch)


def test_shuffled_batches_are_torchs_with_workers():
    torch = pytest.importorskip("torch")

    def run(library):
        library.manual_seed(77)
        dataset = library.utils.data.TensorDataset(library.arange(20))
        loader = library.utils.data.DataLoader(dataset, batch_size=3, shuffle=True, num_workers=2)
        return [[batch[0].tolist() for batch in loader] for _ in range(2)]

    assert run(numgrad) == run(torch)


def test_worker_info_and_init_function(tmp_path):
    class Info(Squares):
        def __getitem__(self, index):
            info = get_worker_info()
            return info.id, info.num_workers, info.seed, info.dataset is self, self.set_by_init

    def init(worker_id):
        get_worker_info().dataset.set_by_init = worker_id * 10

    loader = DataLoader(Info(4), num_workers=2, collate_fn=identity, worker_init_fn=init)
    (one,), (two,) = itertools.islice(loader, 2)
    assert (one[0], one[1], one[3], one[4]) == (0, 2, True, 0)
    assert (two[0], two[1], two[3], two[4]) == (1, 2, True, 10)
    assert two[2] == one[2] + 1
    assert get_worker_info() is None


def test_a_worker_computes_on_one_thread():
    class Threads(Squares):
        def __getitem__(self, index):
            return numgrad.get_num_threads()

    numgrad.ones(1 << 20).exp()  # starts the pool here, which a forked child must not enter
    (batch,) = DataLoader(Threads(1), num_workers=1)
    assert batch.item() == 1


def test_a_worker_computes_after_this_process_did():
    class Work(Squares):
        def __getitem__(self, index):
            return (numgrad.ones(1 << 20) * index).sum()

    (numgrad.ones(1 << 20) * 2).sum()
    batches = list(DataLoader(Work(3), num_workers=2))
    assert [batch.item() for batch in batches] == [0, 1 << 20, 2 << 20]


# Failures


class PickyError(Exception):
    def __init__(self, first, second):
        super().__init__(first, second)


def _raise(error):
    raise error


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (ValueError("sample two"), ValueError),
        (KeyError("sample two"), KeyError),
        (PickyError("sample", "two"), RuntimeError),
        (type("LocalError", (Exception,), {})("sample two"), RuntimeError),
    ],
)
def test_an_error_comes_with_the_workers_traceback(error, kind):
    loader = DataLoader(Broken(lambda: _raise(error)), num_workers=2)
    iterator = iter(loader)
    assert [next(iterator).item(), next(iterator).item()] == [0, 1]
    with pytest.raises(kind) as caught:
        next(iterator)
    text = str(caught.value)
    assert text.startswith(f"Caught {type(error).__name__} in DataLoader worker process 0.\n")
    assert "Original Traceback (most recent call last):" in text
    assert "in __getitem__" in text and "two" in text
    # The iteration goes on with the next batch.
    assert next(iterator).item() == 3


def test_an_error_in_the_init_function():
    def init(worker_id):
        raise ValueError("no licence")

    loader = DataLoader(Squares(4), num_workers=2, worker_init_fn=init)
    with pytest.raises(ValueError, match="(?s)Caught ValueError in DataLoader worker.*no licence"):
        list(loader)


def test_a_batch_that_cannot_be_pickled():
    loader = DataLoader(Broken(lambda: (x for x in ())), num_workers=1, collate_fn=identity)
    with pytest.raises(TypeError, match="(?s)in DataLoader worker process 0.*pickle.*generator"):
        list(loader)


def test_a_dataset_that_cannot_be_pickled():
    class Local(Squares):
        pass

    loader = DataLoader(Local(3), num_workers=2, multiprocessing_context="spawn")
    with pytest.raises(AttributeError) as caught:
        iter(loader)
    assert "started by 'spawn'" in caught.value.__notes__[0]


def _kill_this_process():
    os.kill(os.getpid(), signal.SIGKILL)


def test_a_killed_worker_is_named_with_its_signal():
    iterator = iter(DataLoader(Broken(_kill_this_process), num_workers=2))
    pids = [process.pid for process in multiprocessing.active_children()]
    with pytest.raises(RuntimeError, match=r"is killed by signal: Killed \(SIGKILL\)") as caught:
        list(iterator)
    assert any(f"DataLoader worker (pid {pid})" in str(caught.value) for pid in pids)
    with pytest.raises(RuntimeError, match="is killed by signal"):
        next(iterator)
    assert_no_children()


def test_a_worker_that_exits():
    loader = DataLoader(Broken(lambda: os._exit(3)), num_workers=2)
    with pytest.raises(RuntimeError, match="exited unexpectedly with exit code 3"):
        list(loader)


def test_timeout():
    iterator = iter(DataLoader(Broken(lambda: time.sleep(60)), num_workers=1, timeout=0.3))
    with pytest.raises(RuntimeError, match="DataLoader timed out after 0.3 seconds"):
        list(iterator)
    for process in multiprocessing.active_children():
        process.kill()  # else its end is waited for


def test_prefetch_factor_zero():
    with pytest.raises(AssertionError, match="prefetch_factor must be greater than 0"):
        iter(DataLoader(Squares(2), num_workers=1, prefetch_factor=0))


# What is left behind


def test_break_ends_the_workers():
    for _ in DataLoader(Squares(1000), num_workers=2):
        break
    gc.collect()
    assert_no_children()


def test_dropping_the_loader_ends_persistent_workers():
    loader = DataLoader(Squares(10), num_workers=2, persistent_workers=True)
    next(iter(loader))
    assert len(multiprocessing.active_children()) == 2
    del loader
    gc.collect()
    assert_no_children()


def test_two_loaders_at_once():
    loaders = [DataLoader(Squares(6), num_workers=1) for _ in range(2)]
    assert [(a[1].item(), b[1].item()) for a, b in zip(*loaders, strict=True)] == [
        (i * i, i * i) for i in range(6)
    ]
    # The one that started first can end while the other, whose workers were forked later, runs.
    first, second = iter(loaders[0]), iter(loaders[1])
    next(first), next(second)
    del first
    gc.collect()
    assert len(multiprocessing.active_children()) == 1
    assert len(list(second)) == 5


def _run_script(body, *arguments):
    """Start a program in a process group of its own; the caller reads what it prints."""
    script = textwrap.dedent(body)
    return subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", script, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


_ENDLESS = """
    import sys, time
    import multiprocessing
    from numgrad.utils.data import DataLoader
    persistent = sys.argv[1] == "persistent"
    loader = DataLoader(range(10**9), num_workers=2, persistent_workers=persistent)
    for batch in loader:
        if batch.item() == 3:
            print(*[child.pid for child in multiprocessing.active_children()], flush=True)
        time.sleep(float(sys.argv[2]))
        if sys.argv[3:] and batch.item() > 5:
            sys.exit(0)
"""


def _exists(pid):
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def _wait_until_gone(pids, seconds):
    deadline = time.monotonic() + seconds
    while any(map(_exists, pids)) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert [pid for pid in pids if _exists(pid)] == []


needs_proc = pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="looks into /proc")


@needs_proc
@pytest.mark.parametrize("pause", ["0", "0.05"])
def test_ctrl_c_ends_everything_without_noise_from_the_workers(pause):
    program = _run_script(_ENDLESS, "no", pause)
    pids = list(map(int, program.stdout.readline().split()))
    assert len(pids) == 2
    os.killpg(program.pid, signal.SIGINT)
    _, errors = program.communicate(timeout=30)
    assert program.returncode == -signal.SIGINT
    assert errors.count("Traceback (most recent call last)") == 1
    _wait_until_gone(pids, 5)


@needs_proc
@pytest.mark.parametrize("persistent", ["persistent", "no"])
def test_leaving_the_interpreter_in_the_middle(persistent):
    program = _run_script(_ENDLESS, persistent, "0", "leave")
    pids = list(map(int, program.stdout.readline().split()))
    _, errors = program.communicate(timeout=30)
    assert program.returncode == 0 and errors == ""
    _wait_until_gone(pids, 5)


@needs_proc
def test_workers_end_when_the_loaders_process_is_killed():
    program = _run_script(_ENDLESS, "no", "0.05")
    pids = list(map(int, program.stdout.readline().split()))
    program.kill()
    program.communicate(timeout=30)
    _wait_until_gone(pids, 15)


def test_a_forked_child_leaves_the_workers_alone():
    iterator = iter(DataLoader(Squares(10), num_workers=1))
    next(iterator)
    child = multiprocessing.get_context("fork").Process(target=iterator._workers.close)
    child.start()
    child.join()
    assert child.exitcode == 0
    assert len(list(iterator)) == 9
