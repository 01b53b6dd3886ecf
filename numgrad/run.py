"""`python -m numgrad.run`: starts a script in several processes, as torchrun does.

    python -m numgrad.run --nproc-per-node 4 script.py --its-arguments

On several hosts, either the command runs on each of them:

    python -m numgrad.run --nnodes 2 --node-rank 0 --master-addr host0 --nproc-per-node 4 script.py
    python -m numgrad.run --nnodes 2 --node-rank 1 --master-addr host0 --nproc-per-node 4 script.py

or once, and MPI's `mpiexec` starts the processes, by ssh if nothing else is set up:

    python -m numgrad.run --hosts host0,host1 --nproc-per-node 4 script.py

Every process has RANK, LOCAL_RANK, WORLD_SIZE, LOCAL_WORLD_SIZE, GROUP_RANK, MASTER_ADDR and MASTER_PORT
in its environment. When one fails, the others are ended, and the status is 1.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import os
import pathlib
import runpy
import shutil
import signal
import socket
import subprocess
import sys
import sysconfig
import time
import uuid
from typing import Any, NoReturn

#: Seconds that processes have to end when they are asked to, before they are killed.
TERMINATION = 5.0


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """The options; with dashes or, as torchrun's older ones, underscores."""
    parser = argparse.ArgumentParser(
        prog="python -m numgrad.run", description="Start a script in several processes."
    )

    def option(name: str, **settings: Any) -> None:
        parser.add_argument(f"--{name}", f"--{name.replace('-', '_')}", **settings)

    option("nproc-per-node", default="1", help="processes on each host: a number, cpu, gpu, auto")
    option("nnodes", default="1", help="number of hosts")
    option("node-rank", type=int, default=0, help="which of them this is, from 0")
    option("master-addr", default=None, help="the host of rank 0")
    option("master-port", type=int, default=None, help="a free port of it")
    parser.add_argument("--standalone", action="store_true", help="one host (the default)")
    parser.add_argument("--hosts", default=None, help="host0,host1: start through mpiexec")
    parser.add_argument("--launcher", default=None, help="mpiexec's: ssh, slurm, …")
    option("launcher-exec", default=None, help="the program that mpiexec starts others with")
    option("max-restarts", type=int, default=0, help="only 0: a world is not restarted")
    option("rdzv-backend", default="static", help="accepted; ranks meet at the master address")
    option("rdzv-endpoint", default="", help="host:port, as --master-addr and --master-port")
    option("rdzv-id", default="none", help="accepted")
    option("log-dir", default=None, help="write each process's output to a file there")
    option("as-rank", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("-m", "--module", action="store_true", help="the script is a module")
    option("no-python", action="store_true", help="the script is a program")
    parser.add_argument("script")
    parser.add_argument("arguments", nargs=argparse.REMAINDER)
    chosen = parser.parse_args(arguments)
    if chosen.max_restarts:
        parser.error("--max-restarts: a world is not restarted")
    if not chosen.nnodes.isdigit() or int(chosen.nnodes) < 1:
        parser.error(f"--nnodes is a number of hosts, got {chosen.nnodes!r}")
    if chosen.rdzv_endpoint:
        host, _, port = chosen.rdzv_endpoint.rpartition(":")
        chosen.master_addr = chosen.master_addr or host or chosen.rdzv_endpoint
        chosen.master_port = chosen.master_port or (int(port) if host else None)
    if int(chosen.nnodes) > 1 and chosen.master_addr is None:
        parser.error("--nnodes needs --master-addr, the host of rank 0")
    if not 0 <= chosen.node_rank < int(chosen.nnodes):
        parser.error(f"--node-rank {chosen.node_rank} is not one of {chosen.nnodes} hosts")
    return chosen


def processes_per_node(text: str) -> int:
    """How many processes `--nproc-per-node` asks for."""
    if text.isdigit() and int(text) > 0:
        return int(text)
    from .cuda import device_count

    gpus = device_count() if text in ("gpu", "auto") else 0
    if gpus:
        return gpus
    if text in ("cpu", "auto"):
        return len(os.sched_getaffinity(0))
    raise SystemExit(f"--nproc-per-node {text}: a number, cpu, gpu (there is none) or auto")


def command(chosen: argparse.Namespace) -> list[str]:
    """What one process runs."""
    if chosen.no_python:
        return [chosen.script, *chosen.arguments]
    program = [sys.executable, "-u", *(["-m"] if chosen.module else [])]
    return [*program, chosen.script, *chosen.arguments]


def free_port() -> int:
    """A port of this host that nobody listens at."""
    with socket.socket() as probe:
        probe.bind(("", 0))
        return probe.getsockname()[1]


# ---------------------------------------------------------------------------- this host


class Node:
    """The processes of this host."""

    def __init__(self, chosen: argparse.Namespace) -> None:
        from .distributed._world import without_managers

        self.count = processes_per_node(chosen.nproc_per_node)
        self.first = chosen.node_rank * self.count
        port = chosen.master_port or (free_port() if chosen.nnodes == "1" else 29500)
        shared = without_managers(os.environ) | {
            "WORLD_SIZE": str(self.count * int(chosen.nnodes)),
            "LOCAL_WORLD_SIZE": str(self.count),
            "GROUP_RANK": str(chosen.node_rank),
            "MASTER_ADDR": chosen.master_addr or "127.0.0.1",
            "MASTER_PORT": str(port),
            "TORCHELASTIC_RUN_ID": chosen.rdzv_id
            if chosen.rdzv_id != "none"
            else str(uuid.uuid4()),
        }
        self.processes: list[subprocess.Popen] = []
        self.files: list[Any] = []
        try:
            for local in range(self.count):
                output = self._output(chosen.log_dir, self.first + local)
                self.processes.append(
                    subprocess.Popen(
                        command(chosen),
                        env=shared | {"RANK": str(self.first + local), "LOCAL_RANK": str(local)},
                        stdout=output,
                        stderr=output and subprocess.STDOUT,
                        preexec_fn=_end_with(os.getpid()),
                    )
                )
        except BaseException:
            self.end()
            raise

    def _output(self, folder: str | None, rank: int) -> Any:
        if folder is None:
            return None
        pathlib.Path(folder).mkdir(parents=True, exist_ok=True)
        file = open(pathlib.Path(folder) / f"rank{rank}.log", "w")
        self.files.append(file)
        return file

    def wait(self) -> int:
        """Until all have ended, or one has failed and the others have been ended: the exit status."""
        alive = dict(enumerate(self.processes))
        while alive:
            for local, process in list(alive.items()):
                if process.poll() is not None:
                    del alive[local]
            failed = [k for k, p in enumerate(self.processes) if p.poll() not in (None, 0)]
            if failed:
                # Of several, one that was killed: the others may only say that they have lost it.
                worst = min(failed, key=lambda k: (self.processes[k].returncode > 0, k))
                print(f"numgrad.run: {self.description(worst)}", file=sys.stderr, flush=True)
                self.end()
                return 1
            time.sleep(0.02)
        return 0

    def description(self, local: int) -> str:
        """How a process has ended."""
        process = self.processes[local]
        who = f"rank {self.first + local} (local rank {local}, pid {process.pid})"
        if process.returncode >= 0:
            return f"{who} failed with exit code {process.returncode}"
        with contextlib.suppress(ValueError):
            return f"{who} was ended by {signal.Signals(-process.returncode).name}"
        return f"{who} was ended by signal {-process.returncode}"

    def end(self) -> None:
        """End all, by force where they take too long."""
        for process in self.processes:
            if process.poll() is None:
                process.terminate()
        until = time.monotonic() + TERMINATION
        for process in self.processes:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(max(0.0, until - time.monotonic()))
        for process in self.processes:
            if process.poll() is None:
                process.kill()
            process.wait()
        for file in self.files:
            file.close()


def _end_with(parent: int) -> Any:
    """What a child does first: it is to end with the process that started it."""
    library = ctypes.CDLL(None)

    def prepare() -> None:
        if hasattr(library, "prctl"):
            library.prctl(1, signal.SIGTERM)  # PR_SET_PDEATHSIG
            if os.getppid() != parent:
                os._exit(1)

    return prepare


# ------------------------------------------------------------------------ several hosts


def through_mpiexec(chosen: argparse.Namespace) -> int:
    """Have `mpiexec` start the processes on all hosts; each finds its rank with MPI."""
    count = processes_per_node(chosen.nproc_per_node)
    hosts = chosen.hosts.split(",")
    program = find_mpiexec()
    words = [program, "-hosts", ",".join(f"{host}:{count}" for host in hosts)]
    words += ["-n", str(count * len(hosts)), "-ppn", str(count)]
    if chosen.launcher is not None:
        words += ["-launcher", chosen.launcher]
    if chosen.launcher_exec is not None:
        words += ["-launcher-exec", chosen.launcher_exec]
    rank = [sys.executable, "-m", "numgrad.run", "--as-rank"]
    rank += ["-m"] * chosen.module + ["--no-python"] * chosen.no_python
    return subprocess.run([*words, *rank, chosen.script, *chosen.arguments]).returncode and 1


def find_mpiexec() -> str:
    """MPI's starter: beside this Python, else on the path."""
    beside = pathlib.Path(sysconfig.get_path("scripts")) / "mpiexec"
    found = str(beside) if beside.exists() else shutil.which("mpiexec")
    if found is None:
        raise SystemExit('there is no mpiexec: pip install "numgrad[distributed]"')
    return found


def run_as_rank(chosen: argparse.Namespace) -> NoReturn:
    """In a process that `mpiexec` has started: torch's names for its rank, and then the script."""
    known = os.environ
    names = {
        "RANK": ("PMI_RANK", "PMIX_RANK", "OMPI_COMM_WORLD_RANK"),
        "WORLD_SIZE": ("PMI_SIZE", "OMPI_COMM_WORLD_SIZE"),
        "LOCAL_RANK": ("MPI_LOCALRANKID", "OMPI_COMM_WORLD_LOCAL_RANK"),
        "LOCAL_WORLD_SIZE": ("MPI_LOCALNRANKS", "OMPI_COMM_WORLD_LOCAL_SIZE"),
    }
    for name, sources in names.items():
        for source in sources:
            if source in known:
                os.environ[name] = known[source]
                break
    os.environ.setdefault("TORCHELASTIC_RUN_ID", "mpiexec")
    if chosen.no_python:
        os.execvp(chosen.script, [chosen.script, *chosen.arguments])
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    sys.argv = [chosen.script, *chosen.arguments]
    if chosen.module:
        sys.path.insert(0, os.getcwd())
        runpy.run_module(chosen.script, run_name="__main__", alter_sys=True)
    else:
        sys.path.insert(0, str(pathlib.Path(chosen.script).resolve().parent))
        runpy.run_path(chosen.script, run_name="__main__")
    raise SystemExit(0)


def main(arguments: list[str] | None = None) -> int:
    """Start the processes; the result is the exit status."""
    chosen = parse(arguments)
    if chosen.as_rank:
        run_as_rank(chosen)
    if chosen.hosts is not None:
        return through_mpiexec(chosen)
    interrupted: list[int] = []

    def interrupt(number: int, frame: Any) -> None:
        interrupted.append(number)
        raise KeyboardInterrupt

    before = {n: signal.signal(n, interrupt) for n in (signal.SIGINT, signal.SIGTERM)}
    node = None
    try:
        node = Node(chosen)
        return node.wait()
    except KeyboardInterrupt:
        return 128 + (interrupted[0] if interrupted else signal.SIGINT)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        if node is not None:
            node.end()


if __name__ == "__main__":
    sys.exit(main())
