"""What child processes run."""

import os
import pathlib
import signal
import sys
import time


def note(rank, folder, variable=""):
    text = f"{os.getpid()} {os.environ.get(variable)}" if variable else str(os.getpid())
    pathlib.Path(folder, str(rank)).write_text(text)


def sleep(rank, seconds):
    time.sleep(seconds)


def fail(rank, how):
    if how == "stubborn":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if rank != 1:
        time.sleep(60)
    if how == "raise":
        raise ValueError("the reason")
    if how == "long":
        raise ValueError("x" * 100_000)
    if how == "exit":
        sys.exit(3)
    time.sleep(0.2)
    os.kill(os.getpid(), signal.SIGKILL)
