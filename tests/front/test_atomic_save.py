"""A save replaces a file as a whole, whatever happens in the middle of it."""

import os
import signal
import stat
import subprocess
import sys
import threading

import numpy as np
import pytest

import numgrad
from numgrad._checkpoint.archive import ArchiveWriter

STOPS_BEFORE_THE_END = """
import os, sys, time
import numpy as np
import numgrad

def wait(descriptor):
    print("written", flush=True)
    time.sleep(60)

os.fsync = wait
numgrad.save(numgrad.from_numpy(np.ones(100_000)), sys.argv[1])
"""

SAVES_FOR_EVER = """
import sys
import numpy as np
import numgrad

print("saving", flush=True)
for number in range(10**9):
    numgrad.save(numgrad.from_numpy(np.full(100_000, number)), sys.argv[1])
"""


def child(program, path):
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    process = subprocess.Popen(
        [sys.executable, "-c", program, str(path)], stdout=subprocess.PIPE, env=environment
    )
    assert process.stdout.readline().strip()
    return process


def kill(process):
    process.kill()
    assert process.wait() == -signal.SIGKILL
    process.stdout.close()


def test_a_process_killed_before_the_end_leaves_the_old_file(tmp_path):
    path = tmp_path / "model.pth"
    numgrad.save("old", path)
    kill(child(STOPS_BEFORE_THE_END, path))
    assert numgrad.load(path) == "old"
    assert len(list(tmp_path.iterdir())) == 2  # the file, and what was written of the new one


@pytest.mark.parametrize("after", [0.003, 0.02])
def test_a_process_killed_at_any_time_leaves_a_whole_file(tmp_path, after):
    path = tmp_path / "model.pth"
    numgrad.save(numgrad.from_numpy(np.full(100_000, -1)), path)
    process = child(SAVES_FOR_EVER, path)
    threading.Event().wait(after)
    kill(process)
    loaded = numgrad.load(path).numpy()
    assert loaded.shape == (100_000,) and (loaded == loaded[0]).all()


def test_an_error_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch):
    path = tmp_path / "model.pth"
    numgrad.save("old", path)

    def full(self):
        raise OSError("No space left on device")

    monkeypatch.setattr(ArchiveWriter, "close", full)
    with pytest.raises(OSError, match="No space left"):
        numgrad.save("new", path)
    assert numgrad.load(path) == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_permissions_are_kept(tmp_path):
    path = tmp_path / "model.pth"
    numgrad.save(1, path)
    mask = os.umask(0)
    os.umask(mask)
    assert stat.S_IMODE(path.stat().st_mode) == 0o666 & ~mask
    path.chmod(0o640)
    numgrad.save(2, path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert numgrad.load(path) == 2


def test_links_are_followed(tmp_path):
    (tmp_path / "store").mkdir()
    target, link = tmp_path / "store" / "target.pth", tmp_path / "link.pth"
    link.symlink_to(target)
    for value in (1, 2):
        numgrad.save(value, link)
        assert link.is_symlink()
        assert numgrad.load(target) == value


def test_devices_and_pipes_are_written_directly(tmp_path):
    numgrad.save(1, os.devnull)
    assert not os.path.isfile(os.devnull)
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    received = []
    reader = threading.Thread(target=lambda: received.append(pipe.read_bytes()))
    reader.start()
    numgrad.save("through a pipe", pipe)
    reader.join()
    (tmp_path / "copy.pth").write_bytes(received[0])
    assert numgrad.load(tmp_path / "copy.pth") == "through a pipe"


def test_what_cannot_be_written(tmp_path, monkeypatch):
    with pytest.raises(RuntimeError, match="Is a directory"):
        numgrad.save(1, tmp_path)
    with pytest.raises(RuntimeError, match="Parent directory .* does not exist."):
        numgrad.save(1, str(tmp_path / "a" / "b"))
    path = tmp_path / "model.pth"
    numgrad.save("old", path)
    # As for any other user than root, who may write everything.
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    with pytest.raises(RuntimeError, match="Permission denied"):
        numgrad.save("new", path)
    assert numgrad.load(path) == "old"


def test_names_at_the_limit_of_the_file_system(tmp_path):
    path = tmp_path / ("é" * 120 + ".pth")
    numgrad.save(1, path)
    assert numgrad.load(path) == 1
