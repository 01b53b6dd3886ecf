"""Waiting for what other ranks have a part in, never for ever."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import Any, NoReturn

from ._errors import DistBackendError
from ._world import World

#: Tests without a look at the clock, for what is done in microseconds.
QUICK = 64
#: Seconds of asking without a pause: then the processor is left to others in between. Large arrays
#: have the time that their bytes take on top, because data only moves when MPI is asked.
BUSY, BUSY_PER_BYTE, PAUSE = 0.05, 4e-9, 5e-5
#: Seconds in which what a rank that is gone had sent before may still arrive.
GRACE = 0.5

_yield = getattr(os, "sched_yield", lambda: None)


def wait(
    test: Callable[[], bool],
    world: World,
    ranks: list[int],
    what: Callable[[], str],
    timeout: float,
    nbytes: int = 0,
) -> None:
    """Return when `test()` is true; DistBackendError when one of `ranks` is gone, or time is up."""
    for _ in range(QUICK):
        if test():
            return
    begin = time.monotonic()
    noticed = None
    busy = BUSY + nbytes * BUSY_PER_BYTE
    while not test():
        elapsed = time.monotonic() - begin
        if world.gone:
            lost = next((world.gone[rank] for rank in ranks if rank in world.gone), None)
            if lost is not None:
                noticed = elapsed if noticed is None else noticed
                if elapsed > noticed + GRACE:
                    fail(world, f"{what()} cannot complete: {lost}")
        if elapsed > timeout:
            fail(world, f"{what()} timed out after {timeout:g} s. {_others(world, ranks)}")
        if elapsed > busy:
            time.sleep(PAUSE)
        else:
            _yield()


def failed(world: World, ranks: list[int], what: str, error: Exception) -> NoReturn:
    """MPI or NCCL has raised: because a rank is gone, of which we may hear in a moment."""
    until = time.monotonic() + GRACE
    while world.control is not None and time.monotonic() < until:
        lost = next((world.gone[rank] for rank in ranks if rank in world.gone), None)
        if lost is not None:
            fail(world, f"{what} cannot complete: {lost}")
        time.sleep(0.01)
    fail(world, f"{what} failed: {error}")


def fail(world: World, text: str) -> NoReturn:
    """Raise; nothing is possible in this world any more."""
    world.lose(text)
    raise DistBackendError(text)


def _others(world: World, ranks: list[int]) -> str:
    """What the ranks that are waited for say that they are at."""
    if world.control is None:
        return "Another rank has not come to it."
    others = [rank for rank in ranks if rank != world.rank]
    answers: dict[int, Any] = world.control.ask(others)
    parts = []
    for rank in others:
        parts.append(f"{world.control.ranks[rank]} {answers.get(rank, 'does not answer')}")
    return "; ".join(parts) + "."
