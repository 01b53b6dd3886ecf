"""The time of a call."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Any

#: Attempts where calls are uneven, as they are while the system moves threads between cores.
ATTEMPTS = 4


def sample(function: Callable[[], Any], budget: float) -> float:
    """The median time of a call in seconds, from as many repeats as the budget has room for.

    What the first tenth of the budget shows, while threads wake up, does not count. Where the median
    is more than twice the shortest time, the measurement is made again, and the least one counts.
    """
    started = time.perf_counter()
    function()
    single = time.perf_counter() - started
    if single > 3 * budget:
        return single
    while time.perf_counter() < started + budget / 10:
        function()
    found = []
    for _ in range(ATTEMPTS):
        times = _repeat(function, budget)
        found.append(statistics.median(times))
        if found[-1] < 2 * min(times):
            break
    return min(found)


def _repeat(function: Callable[[], Any], budget: float) -> list[float]:
    started = time.perf_counter()
    function()
    single = time.perf_counter() - started
    inner = max(1, int(1e-4 / max(single, 1e-9)))
    times: list[float] = []
    finish = time.perf_counter() + budget
    while len(times) < 3 or time.perf_counter() < finish:
        begin = time.perf_counter()
        for _ in range(inner):
            function()
        times.append((time.perf_counter() - begin) / inner)
    return times
