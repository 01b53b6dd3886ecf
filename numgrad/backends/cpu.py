"""The CPU."""

import llvmlite.binding as _llvm


def get_cpu_capability() -> str:
    """The widest vector instructions of the processor, in PyTorch's words.

    >>> numgrad.backends.cpu.get_cpu_capability() in ("AVX512", "AVX2", "DEFAULT")
    True
    """
    features = _llvm.get_host_cpu_features()
    if features.get("avx512f"):
        return "AVX512"
    return "AVX2" if features.get("avx2") else "DEFAULT"
