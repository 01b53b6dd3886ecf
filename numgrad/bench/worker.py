"""A process that runs cases with one library: `python -m numgrad.bench.worker numgrad 2`.

It reads a request from each line of its input, and answers with the median seconds of a call; in the
compile suite first with the value that a few calls lead to. Each library has a process of its own,
because two thread pools in one disturb each other.
"""

from __future__ import annotations

import importlib
import json
import os
import statistics
import sys
import time
from typing import Any

from .cases import CASES
from .timing import sample
from .work import Case, Work, make

#: Calls after which a training step starts again from its initial weights: the numbers it meets stay
#: those of a training run.
RESET = 1000


def measure(work: Work, budget: float) -> float:
    """The median time of a call in seconds, from as many repeats as the budget has room for."""
    function = work.run
    started = time.perf_counter()
    function()
    single = time.perf_counter() - started
    inner = max(1, int(2e-4 / max(single, 1e-9)))
    times: list[float] = []
    done = 0
    finish = time.perf_counter() + budget
    while len(times) < 5 or time.perf_counter() < finish:
        if done >= RESET:
            work.reset()
            done = 0
        begin = time.perf_counter()
        for _ in range(inner):
            function()
        times.append((time.perf_counter() - begin) / inner)
        done += inner
    return statistics.median(times)


def value(work: Work, calls: int) -> float:
    """What the last of so many calls from the beginning gives."""
    work.reset()
    for _ in range(calls):
        result = work.run()
    return work.value(result)


def prepare(library: str, case: Any, threads: int) -> Work:
    """A case of the suites beside torch by its name, one of the compile suite by its fields, one
    of a single kernel by the expression that does its work."""
    if isinstance(case, dict):
        from .expression import work

        return work(library, case, threads)
    if not isinstance(case, str):
        kind, sizes, *rest = case
        return make(library, Case(kind, tuple(sizes), *rest), threads)
    t = importlib.import_module(library)
    if library == "torch":
        importlib.import_module("torch.utils.data")
    t.set_num_threads(threads)
    run = CASES[case][2](t)
    for _ in range(3):
        run()
    return Work(run, float)


def limit(threads: int) -> None:
    """As many processors as threads, for libraries that have no setting of their own."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:threads])


def main(library: str, threads: int) -> None:
    """Answer requests until the input ends."""
    limit(threads)
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what a library prints is not an answer
    held: dict[str, Work] = {}
    for line in sys.stdin:
        request = json.loads(line)
        key = str(request["case"])
        answer: dict[str, Any] = {}
        try:
            if key not in held:
                held.clear()
                held[key] = prepare(library, request["case"], threads)
            if request.get("calls"):
                answer["value"] = value(held[key], request["calls"])
            if request.get("budget"):
                timed = (
                    sample(held[key].run, request["budget"])
                    if isinstance(request["case"], dict)
                    else measure(held[key], request["budget"])
                )
                answer["seconds"] = timed
        except Exception as error:
            held.clear()
            answer["error"] = f"{type(error).__name__}: {error}".splitlines()[0]
        print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
