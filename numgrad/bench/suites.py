"""`python -m numgrad bench SUITE`: numgrad beside torch, interleaved, in one run on one machine."""

from __future__ import annotations

import importlib.util
import json
import os
import statistics
import sys
from typing import Any

from . import compile as compile_suite
from . import distributed as distributed_suite
from .cases import CASES
from .peer import Peer, time_text

SUITES = ("training", "small", "kernels", "sizes")


def main(suite: str = "all", output: str | None = None, quick: bool = False, only: str = "") -> int:
    """Run a suite (training, small, kernels, sizes, compile, distributed, all): a line a case.

    `only` takes the cases whose names contain it.
    """
    if suite not in ("all", "compile", "distributed", *SUITES):
        known = ", ".join((*SUITES, "compile", "distributed", "all"))
        print(f"there is no suite {suite!r}: {known}", file=sys.stderr)
        return 2
    threads = min(2, os.cpu_count() or 1)
    status = 0
    figures: list[dict[str, Any]] = []
    names = [n for n, (own, _, _) in CASES.items() if suite in ("all", own) and only in n]
    if names:
        figures += _beside_torch(names, threads, quick)
    if suite in ("all", "compile"):
        status, more = compile_suite.run(threads, quick, only)
        figures += more
    if suite in ("all", "distributed"):
        worse, more = distributed_suite.run(quick, only)
        status, figures = max(status, worse), figures + more
    if output:
        with open(output, "w") as file:
            json.dump(figures, file, indent=1)
    return status


def _beside_torch(names: list[str], threads: int, quick: bool) -> list[dict[str, Any]]:
    libraries = ["numgrad"]
    if importlib.util.find_spec("torch") is not None:
        libraries.append("torch")
    else:
        print("torch is not installed: numgrad alone, no ratios")
    rounds, budget = (3, 0.1) if quick else (7, 0.25)
    peers = [Peer(library, threads) for library in libraries]
    print(f"{threads} threads each, median of {rounds} interleaved rounds")
    print(f"{'case':<36} {'numgrad':>11} {'torch':>11} {'ratio':>7}  target")
    figures: list[dict[str, Any]] = []
    try:
        for name in names:
            seconds: dict[str, list[float]] = {library: [] for library in libraries}
            for _ in range(rounds):
                for peer in peers:
                    seconds[peer.library].append(peer.ask(name, budget=budget)["seconds"])
            own = statistics.median(seconds["numgrad"])
            line = f"{name:<36} {time_text(own)}"
            figure: dict[str, Any] = {"case": name, "numgrad": own}
            if "torch" in seconds:
                other = statistics.median(seconds["torch"])
                target = CASES[name][1]
                ratio = other / own
                mark = "" if target is None else f"≥ {target:g} {'✓' if ratio >= target else '✗'}"
                line += f" {time_text(other)} {ratio:6.2f}×  {mark}"
                figure.update(torch=other, ratio=ratio, target=target)
            print(line, flush=True)
            figures.append(figure)
    finally:
        for peer in peers:
            peer.close()
    return figures
