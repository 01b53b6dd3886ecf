"""Replacing a file as a whole: whoever opens it, or crashes, meets the old content or the new."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import IO

__all__ = ["atomic_write"]


@contextmanager
def atomic_write(path: str | os.PathLike[str]) -> Iterator[IO[bytes]]:
    """A file to write; at the end of the `with` block it takes the place of `path`.

    The content goes to a new file in the same directory, `.<name>.<random>.tmp`, and to the disk
    (fsync) before that file is renamed. On an exception it is removed and `path` stays as it was; a
    process that is killed leaves it behind. Permissions and owner of an existing file are kept, a
    symbolic link is followed. What is not a regular file (a device, a pipe) is written directly.

    Raises RuntimeError if the directory does not exist or `path` cannot be written.
    """
    name = os.fspath(path)
    parent = os.path.dirname(name)
    if parent and not os.path.isdir(parent):
        raise RuntimeError(f"Parent directory {parent} does not exist.")
    target = os.path.realpath(name)
    try:
        existing = os.stat(target)
    except OSError:
        existing = None
    if existing is not None and not stat.S_ISREG(existing.st_mode):
        with _open(name, "wb") as file:
            yield file
        return
    if existing is not None and not os.access(target, os.W_OK):
        raise RuntimeError(f"{name}: open file failed with strerror: Permission denied")
    directory, base = os.path.split(target)
    # 40 characters are at most 160 bytes: the name stays below the file system's limit of 255.
    temporary = os.path.join(directory, f".{base[:40]}.{os.urandom(6).hex()}.tmp")
    try:
        with _open(temporary, "xb") as file:
            yield file
            file.flush()
            if existing is not None:
                _copy_owner_and_mode(existing, temporary)
            os.fsync(file.fileno())
        os.replace(temporary, target)
    except BaseException:
        with suppress(OSError):
            os.unlink(temporary)
        raise
    _sync_directory(directory)


def _open(path: str, mode: str) -> IO[bytes]:
    try:
        return open(path, mode)
    except OSError as error:
        raise RuntimeError(f"{path}: open file failed with strerror: {error.strerror}") from error


def _copy_owner_and_mode(existing: os.stat_result, path: str) -> None:
    if hasattr(os, "chown"):
        with suppress(OSError):  # only the superuser may give a file away
            os.chown(path, existing.st_uid, existing.st_gid)
    os.chmod(path, stat.S_IMODE(existing.st_mode))


def _sync_directory(directory: str) -> None:
    """Make the renaming itself durable, where a directory can be opened (not on Windows)."""
    with suppress(OSError):
        descriptor = os.open(directory, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
