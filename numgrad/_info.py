"""`python -m numgrad info` and `cache`: what this installation runs on."""

from __future__ import annotations

import datetime
import platform

import llvmlite
import llvmlite.binding as llvm
import numba
import numpy as np

from ._version import __version__
from .device.cpu import get_num_threads
from .kernels import _cache

MIB = 2**20


def report() -> str:
    """Versions, processor, threads, BLAS and the kernel cache, a line each."""
    from .kernels.matmul import product_info

    files = _cache.files()
    lines = [
        ("numgrad", __version__),
        ("python", platform.python_version()),
        ("numba", f"{numba.__version__} (llvmlite {llvmlite.__version__})"),
        ("numpy", np.__version__),
        ("processor", f"{llvm.get_host_cpu_name()}, {platform.machine()}"),
        ("threads", str(get_num_threads())),
        *((f"products: {name}", str(value)) for name, value in product_info().items()),
        ("kernel cache", str(_cache.directory() or "off")),
        ("", _total(files)),
    ]
    return "\n".join(f"{name:<30} {value}" for name, value in lines)


def cache_report() -> str:
    """The compiled kernels that are kept, the least recently used first, and their size together."""
    files = _cache.files()
    lines = []
    for file in files:
        used = datetime.datetime.fromtimestamp(file.used).isoformat(" ", "minutes")
        lines.append(f"{used} {file.size / 1024:8.1f} KiB  {file.label}")
    return "\n".join([*lines, f"{_cache.directory() or 'off'}: {_total(files)}"])


def _total(files: list[_cache.Kept]) -> str:
    size = sum(file.size for file in files) / MIB
    return f"{len(files)} kernels, {size:.1f} MiB of at most {_cache.size_limit() / MIB:g}"


def cache_clear() -> str:
    """Delete the cached kernels."""
    files = _cache.files()
    for file in files:
        file.path.unlink(missing_ok=True)
    return f"{len(files)} kernels deleted from {_cache.directory()}"
