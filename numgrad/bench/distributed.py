"""The distributed suite: two ranks on this machine, beside PyTorch's with gloo.

Collectives as a caller sees them, from the call to its return; a training step with gradients
averaged; and the time from `spawn` to the end of the first step.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import socket
import statistics
import subprocess
import sys
from typing import Any

from .peer import environment, time_text

#: Bytes of float32 that are reduced, and PyTorch's time over ours that is to be reached.
ALL_REDUCE = {4: 10.0, 1 << 16: 4.0, 1 << 22: 2.0, 1 << 26: 1.0}
STEP, STEP_TARGET = "DDP step, 784-512-256-10, batch 64 a rank", 1.3
SPAWN, SPAWN_TARGET = "spawn to the end of the first step", 2.0
RANKS = 2


def cases() -> dict[str, float]:
    """The names of the cases, and their targets."""
    sizes = {f"all_reduce, {_amount(n)}": target for n, target in ALL_REDUCE.items()}
    return {**sizes, STEP: STEP_TARGET, SPAWN: SPAWN_TARGET}


def _amount(size: int) -> str:
    for unit, name in ((1 << 20, "MB"), (1 << 10, "KB")):
        if size >= unit:
            return f"{size // unit} {name}"
    return f"{size} B"


class Ranks:
    """The processes of one library, connected; they wait for requests on their inputs."""

    def __init__(self, library: str) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        world = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": str(RANKS)}
        self.processes = [
            subprocess.Popen(
                [sys.executable, "-m", "numgrad.bench.rank", library],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                env=environment(1, **world, RANK=str(rank)),
            )
            for rank in range(RANKS)
        ]

    def ask(self, case: str, budget: float) -> float:
        """The median seconds of a call, as rank 0 sees it."""
        for process in self.processes:
            assert process.stdin is not None
            process.stdin.write(json.dumps([case, budget]) + "\n")
            process.stdin.flush()
        assert self.processes[0].stdout is not None
        answer = self.processes[0].stdout.readline()
        if not answer:
            raise RuntimeError(f"the ranks have ended while they measured {case}")
        return json.loads(answer)

    def close(self) -> None:
        """End the processes."""
        for process in self.processes:
            with contextlib.suppress(BrokenPipeError):
                process.stdin.close()  # type: ignore[union-attr]
        for process in self.processes:
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            process.stdout.close()  # type: ignore[union-attr]


def spawned(library: str) -> float:
    """Seconds from `spawn` to the end of the first step, in a process of its own."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    done = subprocess.run(
        [sys.executable, "-m", "numgrad.bench.rank", library, "spawn"],
        stdout=subprocess.PIPE,
        text=True,
        env=environment(1, MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port)),
    )
    if not done.stdout:  # how the processes end afterwards is another matter
        raise RuntimeError(f"spawned ranks of {library} have failed")
    return float(done.stdout)


def run(quick: bool = False, only: str = "") -> tuple[int, list[dict[str, Any]]]:
    """Print the table; the exit status and the figures."""
    if importlib.util.find_spec("mpi4py") is None:
        print('distributed: needs mpi4py: pip install "numgrad[distributed]"')
        return 0, []
    libraries = ["numgrad"]
    if importlib.util.find_spec("torch") is not None:
        libraries.append("torch")
    else:
        print("torch is not installed: numgrad alone, no ratios")
    chosen = {name: target for name, target in cases().items() if only in name}
    if not chosen:
        return 0, []
    rounds, budget = (3, 0.1) if quick else (7, 0.4)
    print(f"{RANKS} ranks of one thread each, median of {rounds} interleaved rounds")
    print(f"{'case':<44} {'numgrad':>11} {'torch gloo':>11} {'ratio':>7}  target")
    figures = []
    with contextlib.ExitStack() as stack:
        ranks = {}
        if set(chosen) - {SPAWN}:
            for library in libraries:
                ranks[library] = Ranks(library)
                stack.callback(ranks[library].close)
        for name, target in chosen.items():
            seconds: dict[str, list[float]] = {library: [] for library in libraries}
            for _ in range(rounds):
                for library in libraries:
                    one = spawned(library) if name == SPAWN else ranks[library].ask(name, budget)
                    seconds[library].append(one)
            figures.append(_line(name, target, seconds))
    return 0, figures


def _line(name: str, target: float, seconds: dict[str, list[float]]) -> dict[str, Any]:
    own = statistics.median(seconds["numgrad"])
    figure: dict[str, Any] = {"case": name, "numgrad": own}
    line = f"{name:<44} {time_text(own)}"
    if "torch" in seconds:
        other = statistics.median(seconds["torch"])
        ratio = other / own
        line += f" {time_text(other)} {ratio:6.2f}×  ≥ {target:g} {'✓' if ratio >= target else '✗'}"
        figure.update(torch=other, ratio=ratio, target=target)
    print(line, flush=True)
    return figure
