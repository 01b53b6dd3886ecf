"""`numgrad info` and `numgrad cache`: what this installation runs on, and what is missing."""

from __future__ import annotations

import datetime
import importlib.metadata
import os
import pathlib
import platform
import re

import llvmlite
import llvmlite.binding as llvm
import numba
import numpy as np

from . import cuda
from ._version import __version__
from .device import cuda as cuda_device
from .device.cpu import get_num_threads
from .kernels import _cache
from .kernels._launch import launcher

MIB = 2**20
#: What the optional packages are for, by the name of their extra in pyproject.toml.
EXTRAS = {
    "demo": "numgrad demo",
    "notebook": "Jupyter, and pictures in the notebooks",
    "bench": "numgrad bench",
    "cuda": "NVIDIA GPUs",
    "distributed": "training in several processes",
}
#: Features of processors with vectors, the widest first.
_VECTORS = (("avx512f", "AVX-512"), ("avx2", "AVX2"), ("avx", "AVX"), ("sse4.2", "SSE4.2"),
            ("sve", "SVE"), ("neon", "NEON"))  # fmt: skip


def report() -> str:
    """Versions, processor, threads, GPUs and the kernel cache, a line each; then what is missing."""
    lines = [
        ("numgrad", f"{__version__}, in {pathlib.Path(__file__).parent}"),
        ("python", f"{platform.python_version()}, {platform.system()} {platform.machine()}"),
        ("numba", f"{numba.__version__} (llvmlite {llvmlite.__version__})"),
        ("numpy", np.__version__),
        ("processor", f"{llvm.get_host_cpu_name()}, {os.cpu_count()} cores"),
        ("vectors", _vectors()),
        ("threads", f"{get_num_threads()}, threading layer {_threading_layer()}"),
        ("matrix products", _products()),
        *[("cuda", line) for line in _cuda()],
        ("kernel cache", str(_cache.directory() or "off (NUMGRAD_CACHE_DIR=0)")),
        ("", _total(_cache.files())),
    ]
    text = [f"{name:<16} {value}" for name, value in lines]
    return "\n".join([*text, "", *_packages()])


def _vectors() -> str:
    from .kernels.matmul_tile import FUSED, VECTOR_BYTES

    features = llvm.get_host_cpu_features()
    name = next((name for feature, name in _VECTORS if features.get(feature)), "none known")
    fused = "with" if FUSED else "without"
    return f"{name}, {8 * VECTOR_BYTES} bits, {fused} fused multiply-add"


def _threading_layer() -> str:
    launcher.pool()  # Numba chooses when the pool starts
    return str(numba.threading_layer())


def _products() -> str:
    from .kernels.matmul import product_info

    found = product_info()
    return f"{found['library']}'s own kernels, tile {found['tile']}"


def _cuda() -> list[str]:
    """A line for each device, or why there is none."""
    reason = cuda_device.unavailable()
    if reason is not None:
        return [f"none: {reason}"]
    lines = []
    for index in range(cuda.device_count()):
        found = cuda_device.driver().properties(index)
        lines.append(
            f"{index}: {found.name}, compute capability {found.major}.{found.minor}, "
            f"{found.total_memory / 2**30:.0f} GiB"
        )
    return lines


def _packages() -> list[str]:
    """The optional packages by extra: their versions, and how to install those that are missing."""
    try:
        required = importlib.metadata.requires("numgrad") or []
    except importlib.metadata.PackageNotFoundError:
        return ["numgrad is not installed (it runs from its folder): pip install -e ."]
    lines = []
    for extra, purpose in EXTRAS.items():
        marker = re.compile(rf"""extra\s*==\s*["']{extra}["']""")
        names = [
            re.split(r"[\s<>=!~;\[(]", line, maxsplit=1)[0]
            for line in required
            if marker.search(line)
        ]
        if not names:
            continue
        found = {name: _version(name) for name in names}
        missing = [name for name, version in found.items() if version is None]
        present = ", ".join(f"{name} {version}" for name, version in found.items() if version)
        if present:
            lines.append(f"{extra:<16} {present}")
        if missing:
            lines.append(f"{'' if present else extra:<16} missing: {', '.join(missing)}")
            lines.append(f'{"":<16} for {purpose}: pip install "numgrad[{extra}]"')
    return lines


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


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
