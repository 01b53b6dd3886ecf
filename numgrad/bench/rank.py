"""A rank of the distributed suite: `python -m numgrad.bench.rank numgrad` (or torch).

It reads a case and a budget in seconds from each line of its input; rank 0 answers with the median
time of a call. With `spawn` behind, the process spawns ranks of its own, which do one step, and prints
the seconds that this took.
"""

from __future__ import annotations

import importlib
import json
import os
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

from .distributed import ALL_REDUCE, RANKS, STEP, _amount


def step_of(library: Any, parallel: Any) -> Callable[[], Any]:
    """One training step of the suite's model, gradients averaged."""
    nn, functional = library.nn, library.nn.functional
    library.manual_seed(1)
    sizes = (784, 512, 256, 10)
    layers: list[Any] = []
    for k, (here, there) in enumerate(zip(sizes, sizes[1:], strict=False)):
        layers += [nn.ReLU()] * (k > 0) + [nn.Linear(here, there)]
    model = parallel.DistributedDataParallel(nn.Sequential(*layers))
    optimizer = library.optim.SGD(model.parameters(), lr=0.01)
    x, y = library.randn(64, 784), library.randint(0, 10, (64,))

    def step() -> None:
        loss = functional.cross_entropy(model(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    return step


def imported(name: str) -> tuple[Any, Any, Any]:
    """A library, its `distributed` and its `nn.parallel`."""
    library = importlib.import_module(name)
    library.set_num_threads(1)
    parallel = importlib.import_module(f"{name}.nn.parallel")
    return library, importlib.import_module(f"{name}.distributed"), parallel


def measure(function: Callable[[], Any], distributed: Any, budget: float) -> float:
    """The median time of a call. All ranks make as many calls as rank 0 has time for."""
    for _ in range(5):
        function()
    begin = time.perf_counter()
    for _ in range(5):
        function()
    one = (time.perf_counter() - begin) / 5
    count = [max(10, min(int(budget / one), 5000))]
    distributed.broadcast_object_list(count, 0)
    times = []
    for _ in range(count[0]):
        begin = time.perf_counter()
        function()
        times.append(time.perf_counter() - begin)
    return statistics.median(times)


def answer_requests(name: str) -> None:
    """Measure what is asked for, until the input ends."""
    library, distributed, parallel = imported(name)
    distributed.init_process_group("gloo")
    work: dict[str, Callable[[], Any]] = {STEP: step_of(library, parallel)}
    for size in ALL_REDUCE:
        tensor = library.zeros(size // 4)
        work[f"all_reduce, {_amount(size)}"] = lambda t=tensor: distributed.all_reduce(t)  # type: ignore[misc]
    for line in sys.stdin:
        case, budget = json.loads(line)
        seconds = measure(work[case], distributed, budget)
        if distributed.get_rank() == 0:
            print(json.dumps(seconds), flush=True)
    distributed.destroy_process_group()


def first_step(rank: int, name: str, begin: float) -> None:
    """A spawned rank: join, one step, and the time since `spawn` was called."""
    library, distributed, parallel = imported(name)
    distributed.init_process_group("gloo", rank=rank, world_size=RANKS)
    step_of(library, parallel)()
    if rank == 0:
        print(time.time() - begin, flush=True)
    distributed.barrier()
    distributed.destroy_process_group()


def main() -> None:
    """See the module's docstring."""
    name = sys.argv[1]
    if sys.argv[2:] == ["spawn"]:
        multiprocessing = importlib.import_module(f"{name}.multiprocessing")
        multiprocessing.spawn(first_step, args=(name, time.time()), nprocs=RANKS)
    else:
        answer_requests(name)


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    main()
