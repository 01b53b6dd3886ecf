"""A process that does one thing and ends: `python -m numgrad.bench.once first|memory LIBRARY …`.

`first` gives the seconds that the first calls of a step take in a new process, `memory` the bytes
that steps take at most. The answer is a line of JSON.
"""

from __future__ import annotations

import json
import os
import pathlib
import sys
import time

#: Calls until a step is in its steady state: it is run, recorded, and run from the program.
WARM_UP = 4


def first(library: str, case: list, threads: int) -> dict[str, float]:
    """Seconds: importing and building, the first call, all calls to the first steady one."""
    started = time.perf_counter()
    from .worker import prepare

    work = prepare(library, case, threads)
    built = time.perf_counter()
    work.run()
    once = time.perf_counter()
    for _ in range(WARM_UP - 1):
        work.run()
    done = time.perf_counter()
    return {"build": built - started, "first": once - built, "all": done - built}


def memory(library: str, case: list, threads: int) -> dict[str, float]:
    """Bytes: what is resident at most during steps beyond what was before the network was built.

    A small step first has all code loaded. What recording and compiling need does not count.
    """
    from ..device.cpu import empty_cache
    from .worker import prepare

    small = prepare(library, [case[0], [8, 8, 8, 8], 4, *case[3:]], threads)
    for _ in range(WARM_UP):
        small.run()
    del small
    before = _resident("VmRSS")
    work = prepare(library, case, threads)
    for _ in range(WARM_UP):
        work.run()
    empty_cache()
    pathlib.Path("/proc/self/clear_refs").write_text("5")  # the peak is counted from here on
    for _ in range(WARM_UP):
        work.run()
    return {"peak": _resident("VmHWM") - before, "steady": _resident("VmRSS") - before}


def _resident(name: str) -> float:
    for line in pathlib.Path("/proc/self/status").read_text().splitlines():
        if line.startswith(name + ":"):
            return 1024.0 * int(line.split()[1])
    raise OSError(f"/proc/self/status has no {name}")


def main(what: str, library: str, case: str, threads: str) -> None:
    """Print the answer."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    try:
        function = {"first": first, "memory": memory}[what]
        answer: dict = dict(function(library, json.loads(case), int(threads)))
    except Exception as error:
        answer = {"error": f"{type(error).__name__}: {error}".splitlines()[0]}
    print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
