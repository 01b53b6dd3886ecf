"""Watches launches: does every kernel read and write what its specs say?"""

import contextlib

import numpy as np

from numgrad.device import cpu
from numgrad.kernels._elementwise import Elementwise
from numgrad.ops import _core

#: The bytes that arrays to be written hold before: floats that are large, just below 0, NaN.
POISONS = (0x5A, 0xA5, 0xFF)


class Watch:
    """Stands in for `cpu.run` and `cpu.launch`: runs each launch for every poison, and then as it
    is, and compares.

    `launched` collects the kernels, `faults` one sentence for each way in which a kernel does
    something other than its specs say.
    """

    def __init__(self):
        self.launched = set()
        self.faults = {}

    def launch(self, kernel, dtype, n, arguments, work):
        self.launched.add(kernel)
        parts = _parts(kernel, arguments)
        written = [part for part in parts if part.effect != "reads"]
        for part in parts:
            others = [p for p in (written if part.effect == "reads" else parts) if p is not part]
            part.shared = any(np.may_share_memory(part.array, p.array) for p in others)
            if part.shared and part.effect == "writes":
                # An elementwise kernel may work in place: element by element, so that is safe.
                if not isinstance(kernel, Elementwise):
                    self._note(kernel, part, "is written and shares memory with another argument")
                part.effect = "updates"
        outcomes = []
        for poison in (*POISONS, None):  # the last as it was meant, so that all goes on from there
            for part in written:
                part.fill(poison)
            cpu_run(kernel, dtype, n, arguments, work)
            outcomes.append([part.array.tobytes() for part in written])
            for part in parts:
                if part.effect == "reads" and not part.shared and not part.untouched():
                    self._note(kernel, part, "is written, its spec says that it is only read")
        for part, *results in zip(written, *outcomes, strict=True):
            if len(set(results)) > 1:
                self._note(kernel, part, "depends on, or keeps, what it held before")

    def _note(self, kernel, part, what):
        shape = "x".join(map(str, part.array.shape))
        self.faults.setdefault((kernel, part.name, what), f"first at {part.array.dtype} {shape}")

    def report(self):
        return [f"{k.name}: {name} {what} ({at})" for (k, name, what), at in self.faults.items()]


class _Part:
    """An array among a launch's arguments, and what it held before."""

    def __init__(self, name, effect, array):
        self.name, self.effect, self.array = name, effect, array
        self.before, self.shared = array.copy(), False

    def untouched(self):
        return self.array.tobytes() == self.before.tobytes()

    def fill(self, poison):
        word = f"u{self.array.itemsize}"
        value = self.before.view(word)
        if self.effect == "writes" and poison is not None:
            value = np.frombuffer(bytes([poison]) * self.array.itemsize, word)[0]
        self.array.view(word)[...] = value


def _parts(kernel, arguments):
    if isinstance(kernel, Elementwise):
        names, effects = [*kernel.inputs, "out"], ["reads"] * len(kernel.inputs) + ["writes"]
    else:
        names, effects = kernel.parameters, [spec.effect for spec in kernel.specs]
    return [
        _Part(name, effect, array)
        for name, effect, value in zip(names, effects, arguments, strict=True)
        if type(value) is not float
        for array in (value if type(value) is tuple else (value,))
        if array.size
    ]


cpu_run = cpu.run


@contextlib.contextmanager
def watching():
    """Every launch of an operation inside goes through the `Watch`."""
    watch = Watch()
    cpu.run = cpu.launch = _core._launch = watch.launch
    try:
        yield watch
    finally:
        cpu.run = cpu.launch = _core._launch = cpu_run
