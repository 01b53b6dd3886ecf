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
from ..ops.generator import default_generator

CONSTANTS = (bool, int, float, complex, str, bytes, type(None), type(Ellipsis), np.dtype)


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
        self._classes: set[tuple[type, bool]] = set()
        self._visit(default_generator, None)
        self._visit_callable(function)

    def snapshots(self) -> list[tuple]:
        """The state of all modules and optimizers, and the tensors' hooks, to be compared with a later one."""
        hooks = [(t._hooks, t.__dict__.get("_post_accumulate_hooks")) for t in self.tensors]
        found = [tuple([tuple(h.values()) for h in both if h]) for both in hooks]
        return [*[holder.__reached__().snapshot for holder in self.holders], *found]

    def options(self) -> list[dict]:
        """The option dicts of all optimizers."""
        return [d for holder in self.holders for d in holder.__reached__().options]

    def add(self, value: Any) -> None:
        """Visit an object whose place needs no guard: an argument, or held by a holder."""
        self._visit(value, None)

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
            self._visit_class(type(value), ("forward", "__call__"))
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
            if hasattr(value, "__dict__"):
                self._visit(vars(value), None if access is None else f"{access}.__dict__")
            if hasattr(value, "__wrapped__"):
                self._visit_callable(value.__wrapped__)
            self._visit_class(type(value))
        elif callable(getattr(value, "_function", None)):  # compiled itself
            self._visit_callable(value._function)

    def _visit_class(self, cls: type, start: Collection[str] | None = None) -> None:
        """Visit methods: those that `start` names and those that they name, or all."""
        for owner in cls.__mro__:
            if owner is object or _is_own(owner) or (owner, start is None) in self._classes:
                continue
            self._classes.add((owner, start is None))
            names = set(vars(owner)) - {"__init__", "__new__"} if start is None else set(start)
            seen: set[str] = set()
            while names - seen:
                name = (names - seen).pop()
                seen.add(name)
                if name not in vars(owner):
                    continue
                member = vars(owner)[name]
                member = getattr(member, "__func__", getattr(member, "fget", member))
                if isinstance(member, types.FunctionType):
                    self._visit_callable(member)
                    names |= _names(member.__code__)
                elif isinstance(member, (*CONSTANTS, Variable)) and not name.startswith("__"):
                    self._visit(member, f"{self._name(owner)}.{name}")

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


def _names(code: types.CodeType) -> set[str]:
    """The names that a function's code, and the functions inside it, look up."""
    names = set(code.co_names)
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            names |= _names(constant)
    return names


def _is_own(value: Any) -> bool:
    """Whether a function or class is numgrad's: what it refers to does not change."""
    return str(getattr(value, "__module__", "")).split(".")[0] == "numgrad"
