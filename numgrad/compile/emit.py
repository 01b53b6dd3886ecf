"""A program as Python: the calls of its kernels, one a line, with what is in them.

`source` gives text that runs: a function of the input arrays that calls the kernels by themselves
on NumPy arrays, and returns the results. It does what the native program does, step by step.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..kernels._elementwise import Fused
from .graph import Graph, Value


def source(graph: Graph, name: str = "program") -> str:
    """The text; `namespace` has what it refers to."""
    return _Writer(graph, name).text


def namespace(graph: Graph) -> dict[str, Any]:
    """Kernels and lasting memory under the names that `source` gives them."""
    return _Writer(graph, "program").scope


class _Writer:
    def __init__(self, graph: Graph, name: str) -> None:
        self.scope: dict[str, Any] = {"np": np, "inf": math.inf, "nan": math.nan, "part": part}
        self.names: dict[tuple, str] = {}
        self.bases: dict[int, str] = {}  # of storages
        self.kernels: dict[int, str] = {}
        self.lines: list[str] = []
        given = list(dict.fromkeys(graph.given))
        arguments = [*[f"x{k}" for k in range(len(graph.inputs))], *map(repr, given)]
        head = [f"def {name}({', '.join(arguments)}):"]
        for k, value in enumerate(graph.inputs):
            self.names.setdefault(value.key, f"x{k}")
            self.bases.setdefault(id(value.storage), f"x{k}")
            head.append(f"    # x{k}: {value.dtype.name}{list(value.shape)}")
        self.bases.update({id(storage): repr(storage) for storage in given})
        for call in graph.calls:
            passed = ", ".join(self._argument(a) for a in call.arguments)
            self.lines.append(f"    {self._kernel(call.kernel)}({passed})")
            for check in call.checks:
                flag = self._argument(check.flag)
                self.lines.append(f"    assert not {flag}.flat[{check.index}]")
        results = ", ".join(self._argument(value) for value in graph.results)
        self.lines.append(f"    return ({results}{',' if len(graph.results) == 1 else ''})")
        text = []
        for kernel in {id(c.kernel): c.kernel for c in graph.calls}.values():
            if isinstance(kernel, Fused):
                text.append(f"# {self._kernel(kernel)}, one loop:")
                text += [f"#     {line}" for line in kernel.formulas]
        self.text = "\n".join([*text, *head, *self.lines]) + "\n"

    def _kernel(self, kernel: Any) -> str:
        if id(kernel) not in self.kernels:
            name = base = kernel.name
            count = 1
            while name in self.scope:
                count += 1
                name = f"{base}_{count}"
            self.kernels[id(kernel)] = name
            self.scope[name] = kernel
        return self.kernels[id(kernel)]

    def _argument(self, value: Any) -> str:
        if isinstance(value, tuple):
            items = ", ".join(self._argument(item) for item in value)
            return f"({items}{',' if len(value) == 1 else ''})"
        if not isinstance(value, Value):
            return repr(float(value))
        name = self.names.get(value.key)
        if name is None:
            name = self.names[value.key] = self._name(value)
        return name

    def _name(self, value: Value) -> str:
        storage = value.storage
        whole = value.offset == 0 and value.size * value.dtype.itemsize == storage.nbytes
        base = self.bases.get(id(storage))
        if base is None:
            base = self.bases[id(storage)] = repr(storage)
            if storage.kind in ("lasting", "number"):
                self.scope[base] = storage.root
                if _same(storage.root, value):
                    return base
            elif whole and value.is_dense():
                self.lines.append(f'    {base} = np.empty({list(value.shape)}, "{value.dtype}")')
                return base
            else:
                self.lines.append(f'    {base} = np.empty({storage.nbytes}, "uint8")')
        name = f"{base}_{sum(n.startswith(f'{base}_') for n in self.names.values()) + 1}"
        self.lines.append(
            f'    {name} = part({base}, {list(value.shape)}, "{value.dtype}", '
            f"{value.offset}, {list(value.strides)})"
        )
        return name


def part(array: np.ndarray, shape: list, dtype: str, offset: int, strides: list) -> np.ndarray:
    """The array that lies `offset` bytes behind the start of another."""
    # From an address, since there is no buffer of an array with gaps.
    address = array.ctypes.data + offset
    interface = {
        "data": (address, False), "shape": tuple(shape), "typestr": np.dtype(dtype).str,
        "strides": tuple(strides), "version": 3,
    }  # fmt: skip
    return np.asarray(_Memory(array, interface))


class _Memory:
    """Memory of an array, seen otherwise."""

    def __init__(self, array: np.ndarray, interface: dict) -> None:
        self.array = array
        self.__array_interface__ = interface


def _same(array: Any, value: Value) -> bool:
    return (
        value.offset == 0
        and array.shape == value.shape
        and array.strides == value.strides
        and array.dtype == value.dtype
    )
