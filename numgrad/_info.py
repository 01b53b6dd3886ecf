"""`python -m numgrad info` and `cache`: what this installation runs on."""

from __future__ import annotations

import platform

import llvmlite
import llvmlite.binding as llvm
import numba
import numpy as np

from ._version import __version__
from .device.cpu import get_num_threads
from .kernels import _cache


def _files() -> list:
    folder = _cache.directory()
    return sorted(folder.glob("*.kernel")) if folder is not None and folder.is_dir() else []


def report() -> str:
    """Versions, processor, threads, BLAS and the kernel cache, a line each."""
    from .kernels.matmul import product_info

    files = _files()
    lines = [
        ("numgrad", __version__),
        ("python", platform.python_version()),
        ("numba", f"{numba.__version__} (llvmlite {llvmlite.__version__})"),
        ("numpy", np.__version__),
        ("processor", f"{llvm.get_host_cpu_name()}, {platform.machine()}"),
        ("threads", str(get_num_threads())),
        *((f"products: {name}", str(value)) for name, value in product_info().items()),
        ("kernel cache", str(_cache.directory() or "off")),
        ("", f"{len(files)} kernels, {sum(f.stat().st_size for f in files) / 2**20:.1f} MiB"),
    ]
    return "\n".join(f"{name:<30} {value}" for name, value in lines)


def cache_report() -> str:
    """Where the cache is and how large."""
    files = _files()
    size = sum(f.stat().st_size for f in files) / 2**20
    return f"{_cache.directory() or 'off'}: {len(files)} kernels, {size:.1f} MiB"


def cache_clear() -> str:
    """Delete the cached kernels."""
    files = _files()
    for file in files:
        file.unlink(missing_ok=True)
    return f"{len(files)} kernels deleted from {_cache.directory()}"
