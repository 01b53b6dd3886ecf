"""A program as Python: the calls of its kernels, one a line, with what is in them.

`source` gives text that runs: a function of the input arrays that calls the kernels by themselves
on NumPy arrays, and returns the results. It does what the native program does, step by step.
"""

from __future__ import annotations

from typing import Any

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
        import numpy as np

        self.scope: dict[str, Any] = {"np": np, "as_strided": np.lib.stride_tricks.as_strided}
        self.names: dict[tuple, str] = {}
        self.kernels: dict[int, str] = {}
        self.head: list[str] = []
        self.lines: list[str] = []
        for k, value in enumerate(graph.inputs):
            self.names.setdefault(value.key, f"x{k}")
        arguments = ", ".join(f"x{k}" for k in range(len(graph.inputs)))
        self.head.append(f"def {name}({arguments}):")
        for k, value in enumerate(graph.inputs):
            self.head.append(f"    # x{k}: {value.dtype.name}{list(value.shape)}")
        self.made: set[int] = set()
        for call in graph.calls:
            given = ", ".join(self._argument(a) for a in call.arguments)
            self.lines.append(f"    {self._kernel(call.kernel)}({given})")
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
        self.text = "\n".join([*text, *self.head, *self.lines]) + "\n"

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
        base = repr(storage)
        whole = value.offset == 0 and value.size * value.dtype.itemsize == storage.nbytes
        kind = f'"{value.dtype.name}"'
        if storage.kind == "input":
            owner = next(n for n in self.names.values() if n == base)
            return self._view(owner, value)
        if storage.kind in ("lasting", "number"):
            self.scope[base] = storage.root
            return base if _same(storage.root, value) else self._view(base, value)
        if whole and value.is_dense() and id(storage) not in self.made:
            self.made.add(id(storage))
            self.lines.append(f"    {base} = np.empty({list(value.shape)}, {kind})")
            return base
        if id(storage) not in self.made:
            self.made.add(id(storage))
            self.lines.append(f'    {base} = np.empty({storage.nbytes}, "uint8")')
        return self._view(base, value)

    def _view(self, base: str, value: Value) -> str:
        name = f"{base}_{sum(n.startswith(base + '_') for n in self.names.values()) + 1}"
        self.lines.append(
            f'    {name} = np.ndarray({list(value.shape)}, "{value.dtype.name}", {base}.data, '
            f"{value.offset}, {list(value.strides)})"
        )
        return name


def _same(array: Any, value: Value) -> bool:
    return (
        value.offset == 0
        and array.shape == value.shape
        and array.strides == value.strides
        and array.dtype == value.dtype
    )
