"""From a CUDA twin to machine code, by numba-cuda and NVIDIA's linker: no GPU is needed.

Pointers and 8-byte numbers are all that a kernel takes, so that a launch through `cuda.core` costs
little; numba-cuda's own launches take seven words for every array. `compile_all` gives LTO-IR,
which is linked for the architecture itself: no driver has to know how to read PTX.
"""

from __future__ import annotations

import functools
import importlib.metadata
import pickle
import re
import threading
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numba import types
from numba.np.numpy_support import from_dtype

from .. import _cache, _contract
from .._scalar import floating_dtype
from . import Build, Intrinsic, Target
from .maths import Function

#: The packages whose versions the machine code depends on.
PACKAGES = ("numba-cuda", "nvidia-nvvm", "nvidia-nvjitlink")
_lock = threading.RLock()


class Compiled(NamedTuple):
    """A kernel's name in its cubin, the cubin, and what the linker said: registers, spills."""

    symbol: str
    cubin: bytes
    log: str


@functools.cache
def _versions() -> tuple[str, ...]:
    return tuple(importlib.metadata.version(name) for name in PACKAGES)


def compiled(build: Build, capability: tuple[int, int]) -> Compiled:
    """The machine code of a twin for a compute capability such as (9, 0), from the disk cache
    where it has it."""
    with _lock:
        started = time.perf_counter()
        parts = (build.name, build.dtype.str, str(build.kinds), capability, _versions())
        key = _cache.key(_cache.fingerprint(build.function, _own_sources()), parts)
        stored = _cache.read(key)
        label = (build.name, f"{build.dtype.name}, sm_{capability[0]}{capability[1]}")
        if stored is not None:
            result = Compiled(*pickle.loads(stored))
        else:
            for listener in _contract.listeners:
                listener(*label)
            try:
                result = _link(_ltoir(build, capability), capability)
            finally:
                for listener in _contract.listeners:
                    listener(None, None)
            _cache.write(key, pickle.dumps(tuple(result)), f"{label[0]}({label[1]})")
        seconds = time.perf_counter() - started
        _contract.compiled.append(_contract.Compiled(*label, seconds, stored is not None))
        return result


@functools.cache
def _own_sources() -> bytes:
    """What the fingerprint of a twin does not reach: how its names are bound and lowered."""
    import pathlib

    return b"".join(
        path.read_bytes() for path in sorted(pathlib.Path(__file__).parent.glob("*.py"))
    )


def ptx(build: Build, capability: tuple[int, int]) -> str:
    """The PTX of a twin after all its functions are linked into it, for checks."""
    with _lock:
        codes = _ltoir(build, capability)
        linker = _linker(codes, capability, ptx=True)
        return bytes(linker.link("ptx").code).decode()


@functools.lru_cache(maxsize=4)
def _ltoir(build: Build, capability: tuple[int, int]) -> list:
    from cuda.core import ObjectCode
    from numba import cuda

    target = _target(build.dtype, capability)
    signature = types.void(*[_type(kind, dtype) for kind, dtype in build.kinds])
    codes, _ = cuda.compile_all(
        target.bind(build.function),
        signature,
        device=False,
        abi="numba",
        output="ltoir",
        cc=capability,
    )
    return [ObjectCode.from_ltoir(c) if isinstance(c, bytes) else c for c in codes]


def _type(kind: str, dtype: np.dtype) -> types.Type:
    if kind == "integer":
        return types.int64
    if kind == "number":
        return types.float64
    # A bool in memory is a byte, and Numba's pointers to bools do not load as one.
    pointer = types.CPointer(types.uint8 if dtype.kind == "b" else from_dtype(dtype))
    return pointer if kind == "pointer" else types.CPointer(pointer)


def _linker(codes: list, capability: tuple[int, int], **options: Any) -> Any:
    from cuda.core import Linker, LinkerOptions

    arch = "sm_{}{}".format(*capability)
    options = LinkerOptions(arch=arch, link_time_optimization=True, verbose=True, **options)
    return Linker(*codes, options=options)


#: Registers a thread with which 4 and 3 blocks of 256 threads fit a multiprocessor.
LIMITS = (64, 80)


def _link(codes: list, capability: tuple[int, int]) -> Compiled:
    cubin, log = _linked(codes, capability)
    if _registers(log) > LIMITS[0]:
        # Often the assembler takes more than it needs.
        for limit in LIMITS:
            tried = _linked(codes, capability, max_register_count=limit)
            if " 0 bytes spill stores, 0 bytes spill loads" in tried[1]:
                cubin, log = tried
                break
    # The kernel's parameters have a section of their own: the name behind it is the kernel's.
    (symbol,) = set(re.findall(rb"\.nv\.constant0\.([\w$]+)", cubin))
    return Compiled(symbol.decode(), cubin, log)


def _linked(codes: list, capability: tuple[int, int], **options: Any) -> tuple[bytes, str]:
    linker = _linker(codes, capability, **options)
    return bytes(linker.link("cubin").code), linker.get_info_log()


def _registers(log: str) -> int:
    return max((int(n) for n in re.findall(r"Used (\d+) registers", log)), default=0)


# ------------------------------------------------------------------ names in device code


@functools.cache
def _target(dtype: np.dtype, capability: tuple[int, int]) -> Target:
    from numba import cuda
    from numba.cuda.compiler import compile_cuda
    from numba.cuda.dispatcher import CUDADispatcher

    from . import intrinsics

    class Device(CUDADispatcher):
        """A device function, compiled for this target whatever device is current, if any."""

        def __init__(self, implement: Callable) -> None:
            super().__init__(_placeholder, targetoptions={"device": True, "opt": True})
            self.implement = implement

        def fold_argument_types(self, args: tuple, kws: dict) -> tuple:
            assert not kws, "device functions take positional arguments"
            return None, args

        def get_call_template(self, args: tuple, kws: dict) -> tuple:
            from numba.cuda import typing

            args = tuple(types.unliteral(arg) for arg in args)
            self.compile_device(args)
            # Of the one signature, lest another that was compiled earlier is taken for it.
            signature = self.overloads[args].signature
            template = typing.make_concrete_template(
                "device function", key="device function", signatures=[signature]
            )
            return template, None, args, kws

        def compile_device(self, args: tuple, return_type: Any = None) -> Any:
            if args not in self.overloads:
                implementation = self.implement(*args)
                if implementation is None:
                    raise TypeError(f"no implementation for {args}")
                result = compile_cuda(
                    target.bind(implementation),
                    return_type,
                    args,
                    forceinline=True,
                    nvvm_options={"opt": 3},
                    cc=capability,
                )
                # Two callers bring the function with its shared arrays twice.
                for variable in result.library._module.global_values:
                    if variable.name.startswith("_cudapy_smem"):
                        variable.linkage = "linkonce_odr"
                self.overloads[args] = result
                result.target_context.insert_user_function(
                    result.entry_point, result.fndesc, [result.library]
                )
            return self.overloads[args]

    class Machine(Target):
        def dispatched(self, implement: Callable) -> Any:
            return Device(implement)

        def intrinsic(self, intrinsic: Intrinsic) -> Any:
            return getattr(intrinsics, intrinsic.__name__)

        def maths(self, own: Function) -> Any:
            return Device(functools.partial(_libdevice, own))

    target = Machine(dtype)
    target.cuda = cuda
    return target


def _placeholder(*args: Any) -> None:
    """What a `Device` shows of itself: its code depends on the types it is called with."""


def _libdevice(own: Function, *args: types.Type) -> Callable:
    from numba.cuda import libdevice

    floating = floating_dtype(*args) or np.float64
    function = getattr(libdevice, own.single if floating is np.float32 else own.double)
    if len(args) == 1:
        return lambda x: function(floating(x))
    if len(args) == 2:
        return lambda x, y: function(floating(x), floating(y))
    return lambda x, y, z: function(floating(x), floating(y), floating(z))
