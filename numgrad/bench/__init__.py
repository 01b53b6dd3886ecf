"""`python -m numgrad bench`: numgrad beside torch, interleaved, in one run on one machine."""

from __future__ import annotations

import importlib.util
import json
import os
import statistics
import subprocess
import sys
from typing import Any

from .cases import CASES

SUITES = ("training", "small", "kernels", "sizes")


class Peer:
    """A worker process with one library."""

    def __init__(self, library: str, threads: int) -> None:
        environment = dict(os.environ, OMP_NUM_THREADS=str(threads))
        self.library = library
        self.process = subprocess.Popen(
            [sys.executable, "-m", "numgrad.bench.worker", library, str(threads)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
        )

    def ask(self, case: str, budget: float) -> float:
        """Seconds of a call."""
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.write(json.dumps({"case": case, "budget": budget}) + "\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline()
        if not answer:
            raise RuntimeError(f"the {self.library} worker stopped while running {case!r}")
        return json.loads(answer)["seconds"]

    def close(self) -> None:
        """End the process."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait()


def _time(seconds: float) -> str:
    for unit, size in (("s", 1.0), ("ms", 1e-3), ("µs", 1e-6)):
        if seconds >= size:
            return f"{seconds / size:8.2f} {unit}"
    return f"{seconds * 1e9:8.0f} ns"


def main(suite: str = "all", output: str | None = None, quick: bool = False) -> int:
    """Run a suite (training, small, kernels, sizes, all) and print a line a case."""
    if suite not in ("all", *SUITES):
        print(f"there is no suite {suite!r}: {', '.join(SUITES)}, all", file=sys.stderr)
        return 2
    names = [n for n, (own, _, _) in CASES.items() if suite in ("all", own)]
    threads = min(2, os.cpu_count() or 1)
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
                    seconds[peer.library].append(peer.ask(name, budget))
            own = statistics.median(seconds["numgrad"])
            line = f"{name:<36} {_time(own)}"
            figure: dict[str, Any] = {"case": name, "numgrad": own}
            if "torch" in seconds:
                other = statistics.median(seconds["torch"])
                target = CASES[name][1]
                ratio = other / own
                mark = "" if target is None else f"≥ {target:g} {'✓' if ratio >= target else '✗'}"
                line += f" {_time(other)} {ratio:6.2f}×  {mark}"
                figure.update(torch=other, ratio=ratio, target=target)
            print(line, flush=True)
            figures.append(figure)
    finally:
        for peer in peers:
            peer.close()
    if output:
        with open(output, "w") as file:
            json.dump(figures, file, indent=1)
    return 0
