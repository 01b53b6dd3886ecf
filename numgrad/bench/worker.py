"""A process that runs cases with one library: `python -m numgrad.bench.worker numgrad`.

It reads a case's name and a time budget from a line, and answers with the median seconds of a call.
Each library has a process of its own, because two thread pools in one disturb each other.
"""

from __future__ import annotations

import importlib
import json
import statistics
import sys
import time
from typing import Any


def measure(function: Any, budget: float) -> float:
    """The median time of a call in seconds, from as many repeats as the budget has room for."""
    started = time.perf_counter()
    function()
    single = time.perf_counter() - started
    inner = max(1, int(2e-4 / max(single, 1e-9)))
    times: list[float] = []
    finish = time.perf_counter() + budget
    while len(times) < 5 or time.perf_counter() < finish:
        begin = time.perf_counter()
        for _ in range(inner):
            function()
        times.append((time.perf_counter() - begin) / inner)
    return statistics.median(times)


def main(library: str, threads: int) -> None:
    """Answer requests until the input ends."""
    from .cases import CASES

    t = importlib.import_module(library)
    if library == "torch":
        importlib.import_module("torch.utils.data")
    t.set_num_threads(threads)
    held: dict[str, Any] = {}
    for line in sys.stdin:
        request = json.loads(line)
        name = request["case"]
        if name not in held:
            held.clear()
            held[name] = CASES[name][2](t)
            for _ in range(3):
                held[name]()
        print(json.dumps({"seconds": measure(held[name], request["budget"])}), flush=True)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
