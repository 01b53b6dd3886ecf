"""Numbers that may change from call to call: a learning rate, the weight of a loss.

A `Number` is the float it stands for, and remembers how it came from the program's inputs, so that
a compiled program can compute it anew. A comparison is remembered with its outcome: when the
outcome would be another, so would the program.
"""

from __future__ import annotations

import itertools
import operator
from collections.abc import Callable, Iterator, Sequence
from operator import itemgetter
from typing import Any

from .reach import Place


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


class Options:
    """The numbers that a program takes as they are at each call.

    They come from option dicts (an optimizer's learning rate …), from places that the function
    refers to (a closure's variable), and from arguments. `track` replaces the first two by `Number`s
    while a run is recorded; `refresh` compares all with what the program last ran with, and computes
    what depends on them anew.
    """

    def __init__(self, dicts: list[dict], places: Sequence[Place], arguments: Sequence[float]):
        self.dicts = dicts
        self.places = list(places)
        self.names = [[k for k, v in d.items() if _is_option(v)] for d in dicts]
        self.getters = [
            itemgetter(*names) if len(names) > 1 else lambda d, names=names: [d[n] for n in names]
            for names in self.names
        ]
        self.values = self.read(arguments)
        self.watch: list[tuple[Callable[[list], Any], Any]] = []
        self.replaced: list[tuple[dict, str, Any, Any]] = []
        self.placed: list[tuple[Place, Any, Any]] = []
        self.arguments: list[Number] = []

    def read(self, arguments: Sequence[float]) -> list:
        """All as they are now: each dict's, the places', the arguments'."""
        listed = [get(d) for get, d in zip(self.getters, self.dicts, strict=True)]
        return [*listed, tuple([place.read() for place in self.places]), tuple(arguments)]

    def track(self) -> None:
        position = itertools.count()

        def tracked(value: Any) -> Any:
            if type(value) is float:
                own = next(position)
                return Number(value, lambda numbers: numbers[own], self.watch)
            return tuple(map(tracked, value)) if type(value) is tuple else value

        for d, names in zip(self.dicts, self.names, strict=True):
            for name in names:
                value = d[name]
                if type(value) in (float, tuple):
                    d[name] = new = tracked(value)
                    self.replaced.append((d, name, value, new))
        for place, value in zip(self.places, self.values[-2], strict=True):
            new = tracked(value)
            place.write(new)
            self.placed.append((place, value, new))
        self.arguments = [tracked(value) for value in self.values[-1]]

    def untrack(self) -> bool:
        """Put the plain numbers back; False where the function has changed an option."""
        for d, name, value, new in self.replaced:
            if d.get(name) is new:
                d[name] = value
            elif isinstance(d.get(name), Number):
                d[name] = float.__float__(d[name])
        for place, value, new in self.placed:
            now = place.read()
            if now is new:
                place.write(value)
            elif isinstance(now, Number):
                place.write(float.__float__(now))
        return self.read(self.values[-1]) == self.values

    def numbers(self, values: list) -> list[float]:
        """All numbers in one list, as their origins take it."""
        return list(_floats(values))

    def allow(self, values: list) -> bool:
        """Whether the program serves these values: nothing but numbers differs, and every
        comparison of one comes out as it did."""
        if _rest(values) != _rest(self.values):
            return False
        numbers = self.numbers(values)
        return all(watched(numbers) == outcome for watched, outcome in self.watch)


def _floats(value: Any) -> Iterator[float]:
    if type(value) is float:
        yield value
    elif type(value) in (tuple, list):
        for item in value:
            yield from _floats(item)


def _rest(value: Any) -> Any:
    """What is not a number, and has to stay as it is."""
    if type(value) in (tuple, list):
        return tuple(map(_rest, value))
    return float if type(value) is float else (type(value), value)


def _is_option(value: Any) -> bool:
    if type(value) is tuple:
        return all(map(_is_option, value))
    return value is None or isinstance(value, (bool, int, float, str))
