"""The compile suite: a compiled step beside the eager one and other libraries' compiled ones.

Whole training steps, from the call in Python to its return with all results there; a forward pass;
a chain of elementwise operations. Every library begins from the same weights, and what its steps
lead to is compared before anything is timed. Then what compiling costs, and memory.
"""

from __future__ import annotations

import importlib.util
import statistics
import sys
import tempfile
from typing import Any

from .peer import Peer, PeerError, once, time_text
from .work import LIBRARIES, Case

APPENDIX = Case("train", (2, 30, 20, 2), 2)
LARGE = Case("train", (784, 1024, 1024, 10), 256)
PRODUCTS = LARGE._replace(kind="products")
FORWARD = Case("forward", (2, 30, 20, 2))
CHAIN, ADD = Case("chain", (1 << 24,)), Case("add", (1 << 24,))

#: case -> what another library's time over the compiled one's has to reach.
CASES: dict[Case, dict[str, float]] = {
    APPENDIX: {"torch": 40, "torch.compile": 50, "jax": 8},
    APPENDIX._replace(optimizer="Adam", lr=1e-3): {"torch": 40},
    Case("train", (64, 64, 64, 4), 32, "Adam", 1e-3): {"torch": 10, "jax": 2},
    Case("train", (784, 512, 256, 10), 64): {"torch": 1.8, "jax": 1.05},
    LARGE: {"torch": 2.1, "jax": 1.0},
    PRODUCTS: {},
    FORWARD: {},
    CHAIN: {},
    ADD: {},
}
#: The compiled time of a case over that of another, at most.
AT_MOST = ((LARGE, PRODUCTS, 1.15), (CHAIN, ADD, 1.2))
#: The compiled time in seconds, at most: of a call, and of the first calls in a new process.
FORWARD_SECONDS = 2e-6
COLD_SECONDS, WARM_SECONDS = 3.0, 0.4
#: Calls that are compared, and how close their results have to be: float32, summed in another order.
CALLS, CLOSE = 10, 1e-3


def installed() -> list[str]:
    """The libraries of the tables that are installed."""
    return [
        name
        for name, (_, module) in LIBRARIES.items()
        if importlib.util.find_spec(module) is not None
    ]


def run(
    threads: int, quick: bool = False, only: str = "", libraries: list[str] | None = None
) -> tuple[int, list[dict[str, Any]]]:
    """Print the tables; 1 where results differ or the compiled work fails, and the figures."""
    chosen = installed() if libraries is None else libraries
    cases = [case for case in CASES if only in case.name]
    notes: list[str] = []
    figures: list[dict[str, Any]] = []
    if cases:
        figures += _steps(cases, chosen, threads, quick, notes)
    if only in "first calls":
        figures += _first_calls(chosen, threads, notes)
    if only in "memory":
        figures += _memory(chosen, threads, notes)
    for note in dict.fromkeys(notes):
        print(note)
    failed = any("DIFFERS" in note or note.startswith("compiled: ") for note in notes)
    return int(failed), figures


# ------------------------------------------------------------------------- steady state


def _steps(
    cases: list[Case], libraries: list[str], threads: int, quick: bool, notes: list[str]
) -> list[dict[str, Any]]:
    rounds, budget = (3, 0.05) if quick else (7, 0.25)
    print(f"{threads} threads each, median of {rounds} interleaved rounds")
    print(
        "beside a time: how many times the compiled one it is, and whether that reaches its target"
    )
    print(f"{'case':<38}" + "".join(f"{name:>{_width(name)}}" for name in libraries))
    peers = [Peer(library, threads) for library in libraries]
    figures: list[dict[str, Any]] = []
    times: dict[Case, float] = {}
    try:
        for case in cases:
            seconds = _seconds(case, peers, rounds, budget, notes)
            if "compiled" in seconds:
                times[case] = seconds["compiled"]
            print(f"{case.name:<38}{_line(case, seconds, libraries)}", flush=True)
            figures.append({"case": case.name, "seconds": seconds, "targets": CASES[case]})
    finally:
        for peer in peers:
            peer.close()
    for case, other, limit in AT_MOST:
        if case in times and other in times:
            ratio = times[case] / times[other]
            print(f"{case.name} / {other.name}: {ratio:.2f} (≤ {limit:g} {_mark(ratio <= limit)})")
            figures.append({"case": f"{case.name} / {other.name}", "ratio": ratio, "limit": limit})
    if FORWARD in times:
        good = _mark(times[FORWARD] <= FORWARD_SECONDS)
        print(f"{FORWARD.name}: ≤ {time_text(FORWARD_SECONDS).strip()} {good}")
    return figures


def _seconds(
    case: Case, peers: list[Peer], rounds: int, budget: float, notes: list[str]
) -> dict[str, float]:
    """The median time of a call in each library that does the case, and does it right."""
    values: dict[str, float] = {}
    for peer in peers:
        try:
            values[peer.library] = peer.ask(case, calls=CALLS)["value"]
        except PeerError as error:
            notes.append(f"{peer.library}: {error}")
    expected = values.get("eager", next(iter(values.values()), 0.0))
    for library, value in list(values.items()):
        if not abs(value - expected) <= CLOSE * abs(expected):
            notes.append(f"{library}: {case.name} DIFFERS, {value} instead of {expected}")
            del values[library]
    taken: dict[str, list[float]] = {}
    for _ in range(rounds):
        for peer in peers:
            if peer.library in values:
                answer = peer.ask(case, budget=budget)
                taken.setdefault(peer.library, []).append(answer["seconds"])
    return {library: statistics.median(found) for library, found in taken.items()}


def _width(library: str) -> int:
    return 13 if library == "compiled" else 23


def _line(case: Case, seconds: dict[str, float], libraries: list[str]) -> str:
    own = seconds.get("compiled")
    text = ""
    for library in libraries:
        cell = time_text(seconds[library]) if library in seconds else "–"
        if own is not None and library in seconds and library != "compiled":
            ratio, target = seconds[library] / own, CASES[case].get(library)
            cell += f" {ratio:7.2f}× {' ' if target is None else _mark(ratio >= target)}"
        elif library != "compiled":
            cell += " " * 11
        text += f"{cell:>{_width(library)}}"
    return text.rstrip()


def _mark(good: bool) -> str:
    return "✓" if good else "✗"


# ------------------------------------------------------------------------- what it costs


def _first_calls(libraries: list[str], threads: int, notes: list[str]) -> list[dict[str, Any]]:
    """The first calls of the appendix's step in a new process: all caches empty, then filled."""
    print(f"first calls, {APPENDIX.name}: seconds until a call is as fast as all later ones")
    print(f"{'':<16}{'nothing on disk':>16}{'second process':>16}")
    figures: list[dict[str, Any]] = []
    for library in libraries:
        with tempfile.TemporaryDirectory() as folder:
            caches = {
                "NUMGRAD_CACHE_DIR": folder,
                "TORCHINDUCTOR_CACHE_DIR": folder,
                "JAX_COMPILATION_CACHE_DIR": folder,
                "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
                "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
                "CACHEDB": f"{folder}/tinygrad.db",
            }
            try:
                cold = once("first", library, APPENDIX, threads, **caches)
                warm = once("first", library, APPENDIX, threads, **caches)
            except PeerError as error:
                notes.append(f"{library}: {error}")
                continue
        line = f"{library:<16}{cold['all']:14.2f} s{warm['all']:14.2f} s"
        if library == "compiled":
            line += f"   ≤ {COLD_SECONDS:g} s {_mark(cold['all'] <= COLD_SECONDS)}"
            line += f"   ≤ {WARM_SECONDS:g} s {_mark(warm['all'] <= WARM_SECONDS)}"
        print(line, flush=True)
        figures.append({"case": "first calls", "library": library, "cold": cold, "warm": warm})
    return figures


def _memory(libraries: list[str], threads: int, notes: list[str]) -> list[dict[str, Any]]:
    """What the largest step needs at most, parameters and the batch included."""
    if not sys.platform.startswith("linux"):
        return []
    print(f"memory, {LARGE.name}: the most that is resident in steps, beyond the libraries' code")
    figures: list[dict[str, Any]] = []
    for library in ("compiled", "eager", "torch"):
        if library not in libraries:
            continue
        try:
            answer = once("memory", library, LARGE, threads)
        except PeerError as error:
            notes.append(f"{library}: {error}")
            continue
        line = f"{library:<16}{answer['peak'] / 2**20:12.1f} MiB"
        if library == "eager" and figures:
            line += f"   compiled ≤ eager {_mark(figures[0]['peak'] <= answer['peak'])}"
        print(line, flush=True)
        figures.append({"case": "memory", "library": library, **answer})
    return figures
