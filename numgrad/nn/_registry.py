"""The dictionaries in which a module keeps its parameters, buffers and submodules."""

from __future__ import annotations

import weakref
from collections.abc import Iterable, Mapping
from typing import Any

from ..autograd.tape import changes

_MISSING = object()


class Registry(dict[str, Any]):
    """A dictionary that shows its entries as attributes of the module it belongs to.

    Each entry is also in the module's `__dict__`. So `self.weight` in a `forward` is an ordinary
    attribute look-up, many times cheaper than a `__getattr__` that searches the dictionaries.
    The module is held weakly: a module and its registries must not keep each other alive.
    """

    __slots__ = ("_module",)

    def __init__(self, module: Any = None, entries: Mapping[str, Any] | None = None) -> None:
        super().__init__()
        self._module = None if module is None else weakref.ref(module)
        if entries:
            self.update(entries)

    def _attributes(self) -> dict[str, Any]:
        module = None if self._module is None else self._module()
        return {} if module is None else module.__dict__

    def __setitem__(self, name: str, value: Any) -> None:
        super().__setitem__(name, value)
        changes.count += 1
        self._attributes()[name] = value

    def __delitem__(self, name: str) -> None:
        super().__delitem__(name)
        changes.count += 1
        self._attributes().pop(name, None)

    def pop(self, name: str, default: Any = _MISSING) -> Any:
        if name not in self and default is not _MISSING:
            return default
        value = self[name]
        del self[name]
        return value

    def popitem(self) -> tuple[str, Any]:
        name, value = super().popitem()
        self._attributes().pop(name, None)
        return name, value

    def clear(self) -> None:
        for name in list(self):
            del self[name]

    def setdefault(self, name: str, default: Any = None) -> Any:
        if name not in self:
            self[name] = default
        return self[name]

    def update(self, *others: Mapping[str, Any] | Iterable, **more: Any) -> None:  # type: ignore[override]
        for name, value in dict(*others, **more).items():
            self[name] = value

    def __ior__(self, other: Any) -> Registry:  # type: ignore[override,misc]
        self.update(other)
        return self

    def copy(self) -> dict[str, Any]:
        return dict(self)

    def __reduce__(self) -> tuple:
        # Without the module: its own `__setstate__` makes the registries that show in it.
        return Registry, (), None, None, iter(self.items())
