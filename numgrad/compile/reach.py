"""What a function can see: the tensors, modules, optimizers and constants it refers to.

A program holds for a state of all that. `Reach` walks from the function through its closure, the
globals its code names, and the objects they hold. Every finding gets one of three guards:

- an expression on the function's closure or globals, evaluated before every call;
- a snapshot of a module or optimizer, taken again when `tape.changes` says that some module,
  optimizer or setting has changed;
- the memory of a tensor, compared natively before every call (`program.py`).

An object says what it holds by `__reached__()`, a `tape.Holding`; modules and optimizers do.
"""

from __future__ import annotations

import builtins
import functools
import types
from collections.abc import Callable, Collection
from typing import Any

import numpy as np

from ..autograd.tape import Variable
from ..ops.generator import generators

CONSTANTS = (bool, int, float, complex, str, bytes, type(None), type(Ellipsis), np.dtype)

#: Where code uses one of these names, it may look at any attribute of an object.
_INDIRECT = {
    "__dict__", "__getattribute__", "asdict", "astuple", "attrgetter", "copy", "deepcopy", "dir",
    "eval", "exec", "getattr", "getmembers", "methodcaller", "replace", "vars",
}  # fmt: skip
#: Parts of numgrad that only use it, as a user's program does.
TOOLS = ("bench", "_demo")


class Reach:
    """Everything that a call of `function` may read besides its arguments."""

    def __init__(self, function: Callable, tracked: Collection[tuple] = ()) -> None:
        self.tensors: list[Variable] = []
        self.holders: list[Any] = []  # objects with `__reached__`
        self.guards: list[str] = []
        self.scope: dict[str, Any] = {}  # the names in the guards
        self.kept: list[Any] = []  # keeps the ids below unique
        #: Floats in closures, globals and attributes, by place: those that have to
        #: stay as they are, and those that programs take as they are at each call.
        self.floats: dict[Place, float] = {}
        self.numbers: dict[Place, str] = {}  # place: expression
        self._tracked = tracked
        self._seen: set[int] = set()
        #: Classes of what was visited: names looked at in any case, and those looked at so far.
        self._classes: dict[type, tuple[Collection[str], set[Any]]] = {}
        #: Objects whose attributes matter: how they are reached, the names looked at so far.
        self._objects: list[tuple[Any, str | None, set[str]]] = []
        self._named: set[str] = set()  # the names, and strings, in all code that was visited
        for generator in generators():
            self._visit(generator, None)
        self._visit_callable(function)
        self._visit_attributes()

    def snapshots(self) -> list[tuple]:
        """The state of all modules and optimizers, and the tensors' hooks, to be compared with a later one."""
        hooks = [(t._hooks, t.__dict__.get("_post_accumulate_hooks")) for t in self.tensors]
        found = [tuple([tuple(h.values()) for h in both if h]) for both in hooks]
        return [*[holder.__reached__().snapshot for holder in self.holders], *found]

    def options(self) -> list[dict]:
        """The option dicts of all optimizers."""
        return [d for holder in self.holders for d in holder.__reached__().options]

    def add(self, value: Any) -> None:
        """Visit an argument."""
        self._visit_held(value)
        self._visit_attributes()

    # ------------------------------------------------------------------ the walk

    def _name(self, value: Any) -> str:
        name = f"o{len(self.scope)}"
        self.scope[name] = value
        return name

    def _is(self, access: str | None, value: Any) -> None:
        if access is not None and self.scope.get(access, self) is not value:
            self.guards.append(f"{access} is {self._name(value)}")

    def _visit(self, value: Any, access: str | None, place: Place | None = None) -> None:
        if isinstance(value, CONSTANTS):
            if access is not None:
                if type(value) is float and place is not None:
                    if place.id in self._tracked:
                        self.numbers[place] = access
                        self.guards.append(f"type({access}) is float")
                        return
                    self.floats[place] = value
                if isinstance(value, (bool, type(None), type(Ellipsis))):
                    self._is(access, value)
                elif value != value:  # not a number, which equals nothing
                    self.guards.append(f"type({access}) is {type(value).__name__}")
                    self.guards.append(f"{access} != {access}")
                else:
                    name = self._name(value)
                    self.guards.append(f"{access} == {name} and type({access}) is type({name})")
            return
        if isinstance(value, (types.ModuleType, type)) or isinstance(
            value, types.BuiltinFunctionType
        ):
            return
        self._is(access, value)
        if id(value) in self._seen:
            return
        self._seen.add(id(value))
        self.kept.append(value)
        if isinstance(value, Variable):
            self.tensors.append(value)
        elif hasattr(type(value), "__reached__"):
            self.holders.append(value)
            for held in value.__reached__().objects:
                self._visit_held(held)
            self._classes.setdefault(type(value), (("forward",), set()))
        elif isinstance(value, (tuple, list)):
            if access is not None:
                self.guards.append(f"len({access}) == {len(value)}")
            for k, item in enumerate(value):
                self._visit(item, None if access is None else f"{access}[{k}]")
        elif isinstance(value, dict):
            if access is not None:
                self.guards.append(f"len({access}) == {len(value)}")
            for key, item in value.items():
                inner = None
                if access is not None:
                    name = self._name(key)
                    self.guards.append(f"{name} in {access}")
                    inner = f"{access}[{name}]"
                self._visit(item, inner, Place(value, key))
        elif isinstance(value, (set, frozenset)):
            if access is not None and value:
                self.guards.append(f"{access} == {self._name(frozenset(value))}")
        elif isinstance(value, (types.FunctionType, types.MethodType, functools.partial)):
            self._visit_callable(value)
        elif not _is_own(type(value)):
            if isinstance(getattr(value, "__dict__", None), dict):
                self._objects.append((value, access, set()))
            if hasattr(value, "__wrapped__"):
                self._visit_callable(value.__wrapped__)
            self._classes.setdefault(type(value), ((), set()))
        elif callable(getattr(value, "_function", None)):  # compiled itself
            self._visit_callable(value._function)

    def _visit_attributes(self) -> None:
        """Visit what objects hold under the names that the code uses, until none is left."""
        found = True
        while found:
            found = False
            for cls, (start, names) in list(self._classes.items()):
                found = self._visit_members(cls, start, names) or found
            for value, access, seen in list(self._objects):
                attributes = vars(value)
                every = not self._named.isdisjoint(_INDIRECT)
                for name in [*attributes] if every else sorted(self._named):
                    if name in seen:
                        continue
                    seen.add(name)
                    inner = None if access is None else f"{access}.__dict__"
                    if name in attributes:
                        found = True
                        if inner is not None:
                            self.guards.append(f"{name!r} in {inner}")
                            inner = f"{inner}[{name!r}]"
                        self._visit(attributes[name], inner, Place(attributes, name))
                    elif inner is not None and hasattr(type(value), name):
                        self.guards.append(f"{name!r} not in {inner}")

    def _visit_members(self, cls: type, start: Collection[str], seen: set[Any]) -> bool:
        """Visit what a class holds under the names that `start` or the code names; whether there
        was any."""
        found = False
        for owner in cls.__mro__:
            if owner is object or _is_own(owner):
                continue
            for name, member in list(vars(owner).items()):
                special = name.startswith("__") and name not in ("__init__", "__new__")
                key = (owner, name) if "super" in self._named else name
                if key in seen or not (name in self._named or name in start or special):
                    continue
                seen.add(key)
                function = getattr(member, "__func__", getattr(member, "fget", member))
                if isinstance(function, types.FunctionType):
                    found = True
                    known = self._name(vars(owner))
                    self.guards.append(f"{known}.get({name!r}) is {self._name(member)}")
                    self._visit_callable(function)
                elif isinstance(function, (*CONSTANTS, Variable)) and not special:
                    found = True
                    self._visit(function, f"{self._name(owner)}.{name}")
        return found

    def _visit_callable(self, function: Any) -> None:
        if isinstance(function, functools.partial):
            self._visit_callable(function.func)
            for value in (*function.args, *function.keywords.values()):
                self._visit_held(value)
            return
        if isinstance(function, types.MethodType):
            self._visit_held(function.__self__)
            function = function.__func__
        code = getattr(function, "__code__", None)
        if code is None:
            if not isinstance(function, type):
                self._visit_held(function)
            return
        if hasattr(function, "__wrapped__"):
            self._visit_callable(function.__wrapped__)
        if _is_own(function) or id(code) in self._seen:
            return
        self._seen.add(id(code))
        self.kept.append(code)
        self._named |= _names(code, strings=True)
        for cell in function.__closure__ or ():
            try:
                value = cell.cell_contents
            except ValueError:  # not bound yet
                continue
            self._visit(value, f"{self._name(cell)}.cell_contents", Place(cell))
        scope = function.__globals__
        own = None
        for name in sorted(_names(code)):
            if name in scope:
                if isinstance(scope[name], (types.ModuleType, type)):
                    continue
                own = own or self._name(scope)
                self._visit(scope[name], f"{own}[{name!r}]", Place(scope, name))
            elif not hasattr(builtins, name):
                continue
        for value in (*(function.__defaults__ or ()), *(function.__kwdefaults__ or {}).values()):
            self._visit_held(value)

    def _visit_held(self, value: Any) -> None:
        """Visit an object that stays in its place, but may change."""
        self._visit(value, None if isinstance(value, CONSTANTS) else self._name(value))


class Place:
    """Where a float is: a closure's cell, or a key of a dict (globals, an object's attributes)."""

    __slots__ = ("container", "key")

    def __init__(self, container: Any, key: Any = None) -> None:
        self.container = container
        self.key = key

    @property
    def id(self) -> tuple:
        """The same for the same place, without keeping it alive."""
        return (id(self.container), self.key)

    def read(self) -> Any:
        """What is there."""
        if isinstance(self.container, dict):
            return self.container.get(self.key)
        return self.container.cell_contents

    def write(self, value: Any) -> None:
        """Put something there."""
        if isinstance(self.container, dict):
            self.container[self.key] = value
        else:
            self.container.cell_contents = value


def _names(code: types.CodeType, strings: bool = False) -> set[str]:
    """The names that a function's code, and the functions inside it, look up; and its strings."""
    names = set(code.co_names)
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            names |= _names(constant, strings)
        elif strings and isinstance(constant, str):
            names.add(constant)
    return names


def _is_own(value: Any) -> bool:
    """Whether a function or class is the library's: what it refers to does not change. Nor does
    what a function compiled by Numba refers to: that is in its machine code."""
    module = str(getattr(value, "__module__", "")).split(".")
    if module[0] == "numba":
        return True
    return module[0] == "numgrad" and not (len(module) > 1 and module[1] in TOOLS)
