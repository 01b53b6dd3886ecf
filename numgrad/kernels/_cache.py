"""The disk cache of compiled kernels: sound keys, atomic writes.

Numba's own cache keys a function by the date of its file, which misses changes in functions that
it calls from other files, and numbers its data files, which lets two processes that fill an empty
cache mix them up. Here a key is the SHA-256 of everything the machine code depends on: the
bytecode and constants of the kernel and of every function it reaches, the signature, the versions
of Python, NumPy, Numba, llvmlite and numgrad, and the processor with its features. A file is
written under a temporary name and renamed, so that readers and concurrent writers only ever see
whole files; its own digest is checked when it is read. Where the files together are larger than
`NUMGRAD_CACHE_SIZE`, those not used for longest go.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import os
import pathlib
import platform
import re
import sys
import tempfile
import time
import types as python_types
from collections.abc import Iterator
from typing import Any, NamedTuple

try:
    import fcntl
except ImportError:  # not a POSIX system: every process compiles for itself
    fcntl = None  # type: ignore[assignment]

import llvmlite
import llvmlite.binding as llvm
import numba
import numpy as np
from numba.core.dispatcher import Dispatcher
from numba.extending import _Intrinsic as Intrinsic

#: A file: the digest of all that follows, the length of a label, the label, the content.
_FORMAT, _DIGEST, _LENGTH = 2, 32, 2
_SUFFIX, _WRITING = ".kernel", ".writing-"
#: Seconds after which a file that is still being written is what a killed process has left.
_ABANDONED = 3600.0
#: The file of locks, and how long to wait for a process that compiles the same and may hang.
_LOCKS, _PATIENCE = ".locks", 60.0
_lock_files: dict[pathlib.Path, int] = {}


def directory() -> pathlib.Path | None:
    """Where compiled kernels are kept: `NUMGRAD_CACHE_DIR`, else the user's cache folder.

    `NUMGRAD_CACHE_DIR=0` (or an unwritable folder) turns the disk cache off: the answer is None.
    """
    setting = os.environ.get("NUMGRAD_CACHE_DIR")
    if setting in ("0", "off"):
        return None
    if setting:
        return pathlib.Path(setting).expanduser()
    base = os.environ.get("XDG_CACHE_HOME")
    try:
        root = pathlib.Path(base) if base else pathlib.Path.home() / ".cache"
    except RuntimeError:  # no home directory is known
        return None
    return root / "numgrad"


def size_limit() -> int:
    """The most bytes that are kept: `NUMGRAD_CACHE_SIZE` (`500M`, `2G`, or bytes), else 1 GiB.

    >>> from numgrad.kernels import _cache
    >>> _cache.size_limit() == 2**30 or "NUMGRAD_CACHE_SIZE" in _cache.os.environ
    True
    """
    setting = os.environ.get("NUMGRAD_CACHE_SIZE", "1G")
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([KMGT]?)(?:i?B)?\s*", setting, re.IGNORECASE)
    if found is None:
        raise ValueError(
            f"NUMGRAD_CACHE_SIZE is a number of bytes such as 500M or 2G, got {setting!r}"
        )
    return int(float(found[1]) * 1024 ** " KMGT".index(found[2].upper() or " "))


@functools.cache
def machine() -> str:
    """What machine code depends on besides its source: versions, processor, compiler settings."""
    from .._version import __version__

    features = llvm.get_host_cpu_features()
    settings = sorted(
        (name, value)
        for name, value in os.environ.items()
        if name in ("NUMBA_CPU_NAME", "NUMBA_CPU_FEATURES", "NUMBA_OPT", "NUMBA_DISABLE_INTEL_SVML")
    )
    parts = (
        __version__,
        numba.__version__,
        llvmlite.__version__,
        np.__version__,
        sys.version,
        platform.machine(),
        llvm.get_host_cpu_name(),
        features.flatten(),
        settings,
    )
    return repr(parts)


def _code_parts(code: python_types.CodeType) -> Iterator[object]:
    yield code.co_code
    yield code.co_names
    yield code.co_varnames
    yield code.co_flags
    for constant in code.co_consts[1 if _has_docstring(code) else 0 :]:
        if isinstance(constant, python_types.CodeType):
            yield from _code_parts(constant)
        else:
            yield repr(constant)


def _has_docstring(code: python_types.CodeType) -> bool:
    constants = code.co_consts
    return bool(constants) and isinstance(constants[0], str)


def _names(code: python_types.CodeType) -> set[str]:
    names = set(code.co_names)
    for constant in code.co_consts:
        if isinstance(constant, python_types.CodeType):
            names |= _names(constant)
    return names


@functools.cache
def _module_source(path: str) -> bytes:
    return pathlib.Path(path).read_bytes()


def compiler_option(option: object) -> object:
    """A compiler option in words that are the same in every process: sets have no order."""
    flags = getattr(option, "flags", option)
    if isinstance(flags, (set, frozenset)):
        return sorted(flags)
    plain = isinstance(option, (bool, int, float, str, type(None)))
    return option if plain else type(option).__name__


def fingerprint(*functions: object) -> str:
    """The SHA-256 of the given functions and of everything they reach through names and closures."""
    digest = hashlib.sha256()
    seen: dict[int, tuple[int, object]] = {}  # the objects stay alive, so that ids stay theirs

    def add(value: object) -> None:
        digest.update(b"\0")
        digest.update(value if isinstance(value, bytes) else repr(value).encode())

    def visit(value: Any) -> None:
        if isinstance(value, (bool, int, float, str, bytes, type(None))):
            add(value)
            return
        if isinstance(value, np.ndarray):
            add((value.dtype.str, value.shape))
            add(value.tobytes())
            return
        if isinstance(value, (np.generic, np.dtype)):
            add((str(getattr(value, "dtype", "")), value))
            return
        if id(value) in seen:
            add(("seen", seen[id(value)][0]))
            return
        seen[id(value)] = (len(seen), value)
        if isinstance(value, (tuple, list)):
            add(len(value))
            for item in value:
                visit(item)
        elif isinstance(value, Intrinsic):
            visit(value._defn)
        elif isinstance(value, python_types.FunctionType):
            add(value.__qualname__)
            for part in _code_parts(value.__code__):
                add(part)
            for default in value.__defaults__ or ():
                visit(default)
            for cell in value.__closure__ or ():
                visit(cell.cell_contents)
            scope = value.__globals__
            for name in sorted(_names(value.__code__)):
                if name in scope:
                    add(name)
                    visit(scope[name])
        elif isinstance(value, Dispatcher):
            add(
                [
                    (name, compiler_option(value.targetoptions[name]))
                    for name in sorted(value.targetoptions)
                ]
            )
            visit(value.py_func)
        elif isinstance(value, python_types.ModuleType):
            add(value.__name__)
            if value.__name__.startswith("numgrad") and value.__file__:
                add(_module_source(value.__file__))
        elif hasattr(value, "_implement"):  # a ScalarFunction
            visit(value.py_func)
            visit(value._implement)
        elif hasattr(value, "__fingerprint__"):  # our own objects say what they depend on
            for part in value.__fingerprint__():
                visit(part)
        else:
            add(
                (type(value).__qualname__, getattr(value, "__qualname__", None) or str(value)[:200])
            )

    for function in functions:
        visit(function)
    return digest.hexdigest()


def key(source: str, signature: object) -> str:
    """The file name of a kernel with this fingerprint, compiled for this signature."""
    parts = (_FORMAT, source, str(signature), machine())
    return hashlib.sha256(repr(parts).encode()).hexdigest()


def read(name: str) -> bytes | None:
    """The content kept under `name`, or None where there is none that is whole."""
    folder = directory()
    if folder is None:
        return None
    path = folder / (name + _SUFFIX)
    try:
        content = path.read_bytes()
    except OSError:
        return None
    with contextlib.suppress(OSError):  # deleted just now, or a folder that others have filled
        os.utime(path)  # file systems do not note that it was used, or only once a day
    rest = content[_DIGEST:]
    if hashlib.sha256(rest).digest() != content[:_DIGEST]:
        return None
    return rest[_LENGTH + int.from_bytes(rest[:_LENGTH], "little") :]


@contextlib.contextmanager
def made_once(name: str) -> Iterator[bytes | None]:
    """As `read`; where there is nothing, the block makes it and calls `write`, and other processes
    wait for that: of several that begin together, one compiles and the others load."""
    stored = read(name)
    if stored is not None:
        yield stored
        return
    held = _lock(name)
    try:
        yield read(name) if held is not None else None
    finally:
        if held is not None:
            fcntl.lockf(held, fcntl.LOCK_UN, 1, _place(name))


def _lock(name: str) -> int | None:
    """The descriptor through which this process holds the lock of a name, None where it can't.

    A lock is a byte of one file, far behind its end. The system gives it back when the process ends,
    but also when it closes the file anywhere, so it never does.
    """
    folder = directory()
    if folder is None or fcntl is None:
        return None
    try:
        if folder not in _lock_files:
            folder.mkdir(parents=True, exist_ok=True)
            _lock_files[folder] = os.open(folder / _LOCKS, os.O_RDWR | os.O_CREAT, 0o666)
        until = time.monotonic() + _PATIENCE
        while True:
            try:
                fcntl.lockf(_lock_files[folder], fcntl.LOCK_EX | fcntl.LOCK_NB, 1, _place(name))
                return _lock_files[folder]
            except (BlockingIOError, PermissionError):
                if time.monotonic() > until:
                    return None
                time.sleep(0.005)
    except OSError:  # a folder that can't be written, a file system without locks
        return None


def _place(name: str) -> int:
    return int(name[:15], 16)


def write(name: str, payload: bytes, label: str) -> None:
    """Keep `payload` under `name`; a folder that can't be written is no error, only no cache."""
    folder = directory()
    if folder is None:
        return
    text = label.encode()[:1000]
    rest = len(text).to_bytes(_LENGTH, "little") + text + payload
    try:
        folder.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=folder, prefix=_WRITING)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(hashlib.sha256(rest).digest())
                file.write(rest)
            os.replace(temporary, folder / (name + _SUFFIX))
        except BaseException:
            os.unlink(temporary)
            raise
        trim(folder, size_limit())
    except OSError:
        return


class Kept(NamedTuple):
    """A file of the cache: when it was used last, its bytes."""

    used: float
    size: int
    path: pathlib.Path

    @property
    def label(self) -> str:
        """What it is the machine code of."""
        try:
            with open(self.path, "rb") as file:
                file.seek(_DIGEST)
                length = int.from_bytes(file.read(_LENGTH), "little")
                return file.read(length).decode() or "unknown"
        except (OSError, UnicodeDecodeError):
            return "unknown"


def files(folder: pathlib.Path | None = None) -> list[Kept]:
    """What is kept, the least recently used first."""
    folder = folder or directory()
    if folder is None:
        return []
    found = []
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.name.endswith(_SUFFIX) or entry.name.startswith(_WRITING):
                    try:
                        state = entry.stat()
                    except FileNotFoundError:  # another process was faster
                        continue
                    found.append(Kept(state.st_mtime, state.st_size, pathlib.Path(entry.path)))
    except OSError:
        return []
    return sorted(found)


def trim(folder: pathlib.Path, limit: int) -> None:
    """Delete the files not used for longest, until `limit` bytes are left.

    Any number of processes may do it at once, and read and write besides: a file that is being read
    stays until it is closed, and one that is gone is compiled again by whoever needs it.
    """
    kept = files(folder)
    total = sum(file.size for file in kept)
    for file in kept:
        if file.path.name.startswith(_WRITING):
            if file.used > time.time() - _ABANDONED:
                continue
        elif total <= limit:
            continue
        file.path.unlink(missing_ok=True)
        total -= file.size
