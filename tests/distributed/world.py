"""Starts the ranks of a world as processes, and looks at what they leave behind.

Ranks are forked from a server that has imported numgrad, which saves a second for each; those of
PyTorch, and of whole programs, are started anew.
"""

import glob
import multiprocessing
import os
import pathlib
import signal
import socket
import subprocess
import sys
import tempfile
import time

FOLDER = pathlib.Path(__file__).parent
ROOT = FOLDER.parent.parent

context = multiprocessing.get_context("forkserver")
context.set_forkserver_preload(
    ["numgrad", "numgrad.distributed", "numgrad.nn.parallel", "numgrad.compiler", "programs"]
)


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def environment(**more):
    variables = {
        k: v for k, v in os.environ.items() if not k.startswith(("PMI", "OMP_", "PYTHONUNB"))
    }
    variables |= {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "PYTHONFAULTHANDLER": "1"}
    return variables | {k: str(v) for k, v in more.items()}


class Rank:
    """A process, and files with what it prints."""

    def __init__(self, environment, library, program, arguments):
        self.files = [tempfile.TemporaryFile("w+") for _ in range(2)]
        words = [str(FOLDER / "programs.py"), library, program, *map(str, arguments)]
        if library == "numgrad":
            self.process = context.Process(
                target=_rank, args=(words, environment, *[_Descriptor(f) for f in self.files])
            )
            self.process.start()
        else:
            out, errors = self.files
            command = [sys.executable, *words]
            self.process = subprocess.Popen(command, env=environment, stdout=out, stderr=errors)
        self.pid = self.process.pid

    def send(self, number):
        os.kill(self.pid, number)

    def ended(self):
        if isinstance(self.process, subprocess.Popen):
            return self.process.poll()
        self.process.join(0)
        return self.process.exitcode

    def printed(self):
        return [os.pread(file.fileno(), 1 << 22, 0).decode() for file in self.files]


class _Descriptor:
    """An open file on its way to another process."""

    def __init__(self, file):
        self.file = file

    def __reduce__(self):
        from multiprocessing.reduction import DupFd

        return _detach, (DupFd(self.file.fileno()),)


def _detach(descriptor):
    return descriptor.detach()


def _rank(words, environment, out, errors):
    """What runs in a forked rank."""
    os.dup2(out, 1)
    os.dup2(errors, 2)
    os.environ.clear()
    os.environ.update(environment)
    import programs

    import numgrad

    numgrad.set_num_threads(1)
    getattr(programs, words[2])(*words[3:])


def start(program, size, *arguments, library="numgrad", **more):
    """One process for each rank, which runs a function of `programs.py`; and the port."""
    port = free_port()
    names = {"WORLD_SIZE": size, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    shared = environment(**(names | more))
    ranks = [
        Rank(shared | {"RANK": str(r), "LOCAL_RANK": str(r)}, library, program, arguments)
        for r in range(size)
    ]
    return ranks, port


def ready(ranks, timeout=60):
    """Wait until all have printed a line."""
    until = time.monotonic() + timeout
    while not all("\n" in rank.printed()[0] for rank in ranks):
        assert time.monotonic() < until and all(rank.ended() is None for rank in ranks), [
            rank.printed() for rank in ranks
        ]
        time.sleep(0.01)


def finish(ranks, timeout=60):
    """(exit status, output, errors) of each. All have to end within the time."""
    until = time.monotonic() + timeout
    late = True
    try:
        while (late := any(rank.ended() is None for rank in ranks)) and time.monotonic() < until:
            time.sleep(0.01)
        return [(rank.ended(), *rank.printed()) for rank in ranks]
    finally:
        for rank in ranks:
            if rank.ended() is None:
                rank.send(signal.SIGKILL)
                rank.process.wait() if library_process(rank) else rank.process.join()
        found = [rank.printed() for rank in ranks]
        for rank in ranks:
            for file in rank.files:
                file.close()
        assert not late, found


def library_process(rank):
    return isinstance(rank.process, subprocess.Popen)


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


def is_alive(pid):
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False
