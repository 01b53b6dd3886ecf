"""Starts the ranks of a world as processes, and looks at what they leave behind."""

import glob
import os
import pathlib
import socket
import subprocess
import sys
import time

FOLDER = pathlib.Path(__file__).parent
ROOT = FOLDER.parent.parent


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def environment(**more):
    variables = {k: v for k, v in os.environ.items() if not k.startswith(("PMI", "OMP_"))}
    variables |= {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "PYTHONFAULTHANDLER": "1"}
    return variables | {k: str(v) for k, v in more.items()}


def start(program, size, *arguments, library="numgrad", **more):
    """One process for each rank, which runs a function of `programs.py`; and the port."""
    port = free_port()
    shared = environment(WORLD_SIZE=size, MASTER_ADDR="127.0.0.1", MASTER_PORT=port, **more)
    command = [sys.executable, str(FOLDER / "programs.py"), library, program, *map(str, arguments)]
    processes = [
        subprocess.Popen(
            command,
            env=shared | {"RANK": str(rank), "LOCAL_RANK": str(rank)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(size)
    ]
    return processes, port


def finish(processes, timeout=60):
    """(exit status, output, errors) of each."""
    until = time.monotonic() + timeout
    try:
        found = []
        for process in processes:
            output, errors = process.communicate(timeout=max(0.1, until - time.monotonic()))
            found.append((process.returncode, output, errors))
        return found
    finally:
        for process in processes:
            if process.poll() is None:
                process.kill()
                process.communicate()


def run(program, size, *arguments, timeout=60, **more):
    """What all ranks print, after all have come to a good end and nothing is left."""
    processes, port = start(program, size, *arguments, **more)
    found = finish(processes, timeout)
    assert all(status == 0 for status, _, _ in found), "\n".join(e for _, _, e in found)
    assert leftovers(port) == []
    return [output for _, output, _ in found]


def leftovers(port, seconds=3.0):
    """What a world has left: listening ports, the process that listened, files in shared memory.
    What goes away within seconds is on its way out."""
    until = time.monotonic() + seconds
    while (found := _left(port)) and time.monotonic() < until:
        time.sleep(0.05)
    return found


def _left(port):
    found = []
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        for line in pathlib.Path(table).read_text().splitlines()[1:]:
            fields = line.split()
            if int(fields[1].rsplit(":", 1)[1], 16) == port and fields[3] == "0A":
                found.append(f"something listens at port {port}")
    for path in glob.glob("/proc/[0-9]*/cmdline"):
        try:
            words = pathlib.Path(path).read_bytes().split(b"\0")
        except OSError:
            continue
        if any(word.endswith(b"_endpoint.py") for word in words):
            names = [w.decode() for w in words if w.startswith(b"numgrad-")]
            environ = pathlib.Path(path).with_name("environ")
            try:
                if f"MASTER_PORT={port}".encode() in environ.read_bytes().split(b"\0"):
                    found.append(f"an endpoint runs: {names}")
            except OSError:
                pass
    own = {os.getpid(), os.getppid()}
    for path in glob.glob("/dev/shm/mpich_shm_*") + glob.glob("/dev/shm/ucx_shm_*"):
        if not any(str(pid) in path for pid in own) and not _is_open(path):
            found.append(path)
    return found


def _is_open(path):
    """Whether some process has a file in memory: then it is another test's."""
    for maps in glob.glob("/proc/[0-9]*/maps"):
        try:
            if path in pathlib.Path(maps).read_text():
                return True
        except OSError:
            continue
    return False
