"""Runs the CUDA twin of every kernel that is launched beside the kernel, and compares."""

import contextlib
import ctypes

import numpy as np

from numgrad.device import cpu, cuda
from numgrad.device._array import BASE, EVERYWHERE, DeviceArray
from numgrad.device._simulator import Simulator
from numgrad.ops import _core

#: A launch with more elements than this is not simulated.
LARGEST = 7000
#: Launches of one kernel, for one T and one kind of layout, that are simulated.
TIMES = 4
#: Arguments that are working memory: what is left there is the form's own affair.
WORKING = {"order": (2, 3, 4)}
RTOL = {"float64": 1e-10, "float32": 2e-5}


class Comparison:
    """Stands in for `cpu.run` and `cpu.launch`. `compared` counts, for each kernel, the launches
    whose twin was run, `faults` has one sentence for the first that went wrong."""

    def __init__(self):
        self.simulator = Simulator(memory=1 << 28)
        self.compared = {}
        self.launched = set()
        self.faults = {}
        self._seen = {}

    def launch(self, kernel, dtype, n, arguments, work):
        self.launched.add(kernel)
        if kernel.twin is None or not self._wanted(kernel, dtype, arguments):
            cpu_run(kernel, dtype, n, arguments, work)
            return
        old = cuda.use(self.simulator)
        try:
            copies = _on_device(arguments)
            cpu_run(kernel, dtype, n, arguments, work)
            try:
                cuda.launch(kernel, dtype, n, copies, work)
            except Exception as error:
                self._note(kernel, f"{type(error).__name__}: {error}", arguments)
            else:
                self._compare(kernel, dtype, arguments, copies)
        finally:
            cuda.use(old)
        self.compared[kernel] = self.compared.get(kernel, 0) + 1

    def _wanted(self, kernel, dtype, arguments):
        arrays = list(_arrays(arguments))
        if sum(a.size for a in arrays) > LARGEST or kernel in self.faults:
            return False
        layout = tuple((a.flags.c_contiguous, a.ndim == 0, a.size % 4 == 0) for a in arrays)
        seen = self._seen.setdefault((kernel, dtype, layout), set())
        shapes = tuple(a.shape for a in arrays), tuple(a for a in arguments if type(a) is float)
        if len(seen) == TIMES or shapes in seen:
            return False
        seen.add(shapes)
        return True

    def _compare(self, kernel, dtype, arguments, copies):
        # A GPU computes with T: float64 arrays beside it hold what T has.
        narrow = RTOL["float32"] if dtype == np.float32 else 0
        for k, (own, copy) in enumerate(zip(_arrays(arguments), _arrays(copies), strict=True)):
            if type(copy) is not DeviceArray:
                continue  # a number
            if k in WORKING.get(kernel.name, ()):
                continue
            found = cuda.to_host(copy)
            if own.dtype.kind == "f":
                rtol = max(RTOL[own.dtype.name], narrow)
                finite = np.abs(own[np.isfinite(own)])
                atol = rtol / 10 * (finite.max() if finite.size else 0)
                agree = np.allclose(found, own, rtol, atol, equal_nan=True)
            else:
                agree = np.array_equal(found, own)
            if not agree:
                self._note(kernel, f"array {k} is\n{found}\n, the CPU's\n{own}", arguments)

    def _note(self, kernel, what, arguments):
        shapes = ", ".join(
            str(a) if type(a) is float else f"{a.dtype}{list(a.shape)}"
            for a in [*_arrays(arguments), *[a for a in arguments if type(a) is float]]
        )
        self.faults.setdefault(kernel, f"{kernel.name}({shapes}): {what}")


def _arrays(arguments):
    for value in arguments:
        if type(value) is tuple:
            yield from value
        elif type(value) is not float:
            yield value


def _on_device(arguments):
    """The arguments with copies of the arrays, laid out and overlapping as they do."""
    spans: list[list[int]] = []
    for array in _arrays(arguments):
        low, high = np.lib.array_utils.byte_bounds(array)
        low -= low % 16  # so that the copy is aligned as the array is
        for span in [s for s in spans if s[0] < high and low < s[1]]:
            spans.remove(span)
            low, high = min(low, span[0]), max(high, span[1])
        spans.append([low, high])
    blocks = []
    for low, high in spans:
        data = np.frombuffer((ctypes.c_char * (high - low)).from_address(low), np.uint8)
        blocks.append((low, high, cuda.from_host(data)))

    def copy(array):
        low, _ = np.lib.array_utils.byte_bounds(array)
        start, _, block = next(b for b in blocks if b[0] <= low <= b[1])
        address = array.__array_interface__["data"][0]
        ptr = block.ptr + address - start
        shadow = np.ndarray(array.shape, array.dtype, EVERYWHERE, ptr - BASE, array.strides)
        return DeviceArray(block.memory, shadow, ptr, block)

    return tuple(
        a if type(a) is float else tuple(map(copy, a)) if type(a) is tuple else copy(a)
        for a in arguments
    )


cpu_run = cpu.run


@contextlib.contextmanager
def comparing():
    """Every launch of an operation inside goes through the `Comparison`."""
    comparison = Comparison()
    cpu.run = cpu.launch = _core._launch = comparison.launch
    try:
        yield comparison
    finally:
        cpu.run = cpu.launch = _core._launch = cpu_run
