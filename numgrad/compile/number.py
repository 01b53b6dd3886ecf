"""Numbers that may change from call to call: a learning rate, the weight of a loss.

A `Number` is the float it stands for, and remembers how it came from the program's inputs, so that
a compiled program can compute it anew. A comparison is remembered with its outcome: when the
outcome would be another, so would the program.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any


class Number(float):
    """A float with its origin: a function of the list of input numbers."""

    __slots__ = ("origin", "watch")

    origin: Callable[[list], Any]
    watch: list[tuple[Callable[[list], Any], Any]]

    def __new__(cls, value: float, origin: Callable[[list], Any], watch: list) -> Number:
        number = float.__new__(cls, value)
        number.origin = origin
        number.watch = watch
        return number

    def pinned(self) -> float:
        """The plain value; from here on, another value is another program."""
        value = float.__float__(self)
        self.watch.append((self.origin, value))
        return value

    def __reduce__(self) -> Any:
        return (float, (float.__float__(self),))

    def __hash__(self) -> int:
        return hash(self.pinned())

    def __bool__(self) -> bool:
        result = float.__bool__(self)
        origin = self.origin
        self.watch.append((lambda numbers: bool(origin(numbers)), result))
        return result

    def __int__(self) -> int:
        return int(self.pinned())

    def __repr__(self) -> str:
        return repr(self.pinned())

    def __format__(self, spec: str) -> str:
        return format(self.pinned(), spec)


def _origin(value: Any) -> Callable[[list], Any]:
    return value.origin if isinstance(value, Number) else lambda numbers: value


def _arithmetic(function: Callable, reflected: bool) -> Callable:
    def method(self: Number, *others: Any) -> Any:
        if not all(isinstance(other, (int, float)) for other in others):
            return NotImplemented
        operands = (*others, self) if reflected else (self, *others)
        value = function(*[_plain(operand) for operand in operands])
        origins = [_origin(operand) for operand in operands]
        return Number(
            float(value), lambda numbers: function(*[o(numbers) for o in origins]), self.watch
        )

    return method


def _comparison(function: Callable) -> Callable:
    def method(self: Number, other: Any) -> Any:
        if not isinstance(other, (int, float)):
            return NotImplemented
        result = function(_plain(self), _plain(other))
        mine, its = self.origin, _origin(other)
        self.watch.append((lambda numbers: function(mine(numbers), its(numbers)), result))
        return result

    return method


def _plain(value: Any) -> Any:
    return float.__float__(value) if isinstance(value, Number) else value


for _name in ("add", "sub", "mul", "truediv", "floordiv", "mod", "pow"):
    setattr(Number, f"__{_name}__", _arithmetic(getattr(operator, _name), False))
    setattr(Number, f"__r{_name}__", _arithmetic(getattr(operator, _name), True))
for _name in ("neg", "pos", "abs"):
    setattr(Number, f"__{_name}__", _arithmetic(getattr(operator, _name), False))
for _name in ("eq", "ne", "lt", "le", "gt", "ge"):
    setattr(Number, f"__{_name}__", _comparison(getattr(operator, _name)))
