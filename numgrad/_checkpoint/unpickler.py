"""Reading the pickle of a `.pth` file that nobody vouches for.

Python's own unpickler imports and calls whatever the file names. `WeightsUnpickler` is a separate,
small interpreter of the same instructions (those that `torch.save` writes, no others): it imports
nothing, and calls only what it is given.
"""

from __future__ import annotations

import _compat_pickle
import pickle
import struct
import warnings
from collections import Counter, OrderedDict
from collections.abc import Callable
from pickle import UnpicklingError
from typing import Any

__all__ = ["WeightsUnpickler", "full_name", "globals_in", "hashable"]

BLOCKED_MODULES = frozenset({"sys", "os", "posix", "nt"})
"""Never admitted, not even if the user adds one of their functions to the allow-list."""

DEEPEST = 1000
"""Nesting that a pickle may have. Python's recursion limit keeps a pickler from writing more."""

LARGEST_KEY = 1000
"""Elements, all levels counted, of a tuple used as dictionary key."""


def full_name(module: str, name: str) -> str:
    """`module.name`, Python 2's names (which pickle protocol 2 writes) replaced by Python 3's.

    >>> from numgrad._checkpoint.unpickler import full_name
    >>> full_name("__builtin__", "set")
    'builtins.set'
    """
    if (module, name) in _compat_pickle.NAME_MAPPING:
        module, name = _compat_pickle.NAME_MAPPING[module, name]
    else:
        module = _compat_pickle.IMPORT_MAPPING.get(module, module)
    return f"{module}.{name}"


def hashable(key: Any) -> Any:
    """`key`, after a look at how much work hashing it is.

    Python hashes a tuple by hashing its elements, recursively, in C: a deep one overflows the
    stack, and sixty of the form (t, t) inside one another take as long as 2**60 elements.
    """
    pending, count = [key], 0
    while pending:
        value = pending.pop()
        if isinstance(value, tuple):
            count += len(value) + 1
            if count > LARGEST_KEY:
                raise UnpicklingError(f"a dictionary key of more than {LARGEST_KEY} elements")
            pending.extend(value)
    return key


class WeightsUnpickler:
    """Interprets a pickle of plain data and tensors, and refuses everything else.

    `find_global`: full name → the object for it. `constructor_of`: what REDUCE calls when told to
    call that object, None if it may not. `may_build`: whether a class may be made an instance of
    (NEWOBJ) and its instances given a state (BUILD). `persistent_load`: given the tuple that stands
    for a storage.

    Raises pickle.UnpicklingError for whatever is not admitted or not well-formed. There is no
    recursion in it, so that a deeply nested pickle cannot overflow the stack.
    """

    def __init__(
        self,
        data: bytes,
        *,
        find_global: Callable[[str], Any],
        constructor_of: Callable[[Any], Callable[..., Any] | None],
        may_build: Callable[[type], bool],
        persistent_load: Callable[[tuple], Any],
    ) -> None:
        self._data = data
        self._position = 0
        self._stack: list[Any] = []
        self._marked: list[list[Any]] = []
        self._memo: dict[int, Any] = {}
        self._outside = False  # in code of the user: its exceptions are not about the pickle
        self._find_global = find_global
        self._constructor_of = constructor_of
        self._may_build = may_build
        self._persistent_load = persistent_load

    def load(self) -> Any:
        """The object that the pickle describes."""
        stop = pickle.STOP[0]
        try:
            while (opcode := self._take(1)[0]) != stop:
                instruction = INSTRUCTIONS.get(opcode)
                if instruction is None:
                    raise UnpicklingError(f"Unsupported operand {opcode} ({_name_of(opcode)})")
                instruction(self)
            result = self._stack.pop()
        except (LookupError, ArithmeticError, TypeError, ValueError, AttributeError) as error:
            # An instruction without its operands, an unhashable key …
            if self._outside:
                raise
            raise UnpicklingError(
                f"malformed pickle: {type(error).__name__}: {error} (byte {self._position})"
            ) from error
        if self._position > DEEPEST:  # each level takes at least one byte
            _check_depth(result)
        return result

    def _take(self, count: int) -> bytes:
        start = self._position
        self._position = start + count
        if self._position > len(self._data):
            raise UnpicklingError("pickle data was truncated")
        return self._data[start : self._position]

    def _line(self) -> str:
        end = self._data.find(b"\n", self._position)
        if end < 0:
            raise UnpicklingError("pickle data was truncated")
        line = self._data[self._position : end]
        self._position = end + 1
        return line.decode()

    def _unpack(self, format: str) -> Any:
        return struct.unpack(format, self._take(struct.calcsize(format)))[0]

    def _since_mark(self) -> list[Any]:
        items = self._stack
        self._stack = self._marked.pop()
        return items

    def _proto(self) -> None:
        self._take(1)

    def _mark(self) -> None:
        self._marked.append(self._stack)
        self._stack = []

    def _none(self) -> None:
        self._stack.append(None)

    def _true(self) -> None:
        self._stack.append(True)

    def _false(self) -> None:
        self._stack.append(False)

    def _binint(self) -> None:
        self._stack.append(self._unpack("<i"))

    def _binint1(self) -> None:
        self._stack.append(self._take(1)[0])

    def _binint2(self) -> None:
        self._stack.append(self._unpack("<H"))

    def _long1(self) -> None:
        size = self._take(1)[0]
        self._stack.append(int.from_bytes(self._take(size), "little", signed=True))

    def _binfloat(self) -> None:
        self._stack.append(self._unpack(">d"))

    def _binunicode(self) -> None:
        size = self._unpack("<I")
        self._stack.append(str(self._take(size), "utf-8", "surrogatepass"))

    def _short_binstring(self) -> None:
        size = self._take(1)[0]
        self._stack.append(self._take(size).decode())

    def _empty_list(self) -> None:
        self._stack.append([])

    def _empty_dict(self) -> None:
        self._stack.append({})

    def _empty_tuple(self) -> None:
        self._stack.append(())

    def _tuple(self) -> None:
        items = tuple(self._since_mark())
        self._stack.append(items)

    def _tuple_of(self, count: int) -> None:
        items = tuple(self._stack[-count:])
        if len(items) != count:
            raise IndexError("stack underflow")
        self._stack[-count:] = [items]

    def _tuple1(self) -> None:
        self._tuple_of(1)

    def _tuple2(self) -> None:
        self._tuple_of(2)

    def _tuple3(self) -> None:
        self._tuple_of(3)

    def _extend(self, items: list[Any]) -> None:
        target = self._stack[-1]
        if type(target) is not list:
            raise UnpicklingError(f"Can only append to lists, but got {type(target)}")
        target.extend(items)

    def _append(self) -> None:
        item = self._stack.pop()
        self._extend([item])

    def _appends(self) -> None:
        items = self._since_mark()
        self._extend(items)

    def _set_items(self, items: list[Any]) -> None:
        target = self._stack[-1]
        if type(target) not in (dict, OrderedDict, Counter):
            raise UnpicklingError(
                "Can only set items of dict, collections.OrderedDict, collections.Counter, but got "
                f"{type(target)}"
            )
        for key, value in zip(items[::2], items[1::2], strict=True):
            target[hashable(key)] = value

    def _setitem(self) -> None:
        value, key = self._stack.pop(), self._stack.pop()
        self._set_items([key, value])

    def _setitems(self) -> None:
        items = self._since_mark()
        self._set_items(items)

    def _put(self, index: int) -> None:
        self._memo[index] = self._stack[-1]

    def _binput(self) -> None:
        self._put(self._take(1)[0])

    def _long_binput(self) -> None:
        self._put(self._unpack("<I"))

    def _binget(self) -> None:
        self._stack.append(self._memo[self._take(1)[0]])

    def _long_binget(self) -> None:
        self._stack.append(self._memo[self._unpack("<I")])

    def _global(self) -> None:
        module, name = self._line(), self._line()
        path = full_name(module, name)
        root = path.partition(".")[0]
        if root in BLOCKED_MODULES:
            raise UnpicklingError(
                f"Trying to load unsupported GLOBAL {path} whose module {root} is blocked."
            )
        self._stack.append(self._find_global(path))

    def _binpersid(self) -> None:
        pid = self._stack.pop()
        if type(pid) is not tuple or len(pid) != 5 or pid[0] != "storage":
            raise UnpicklingError("Only persistent_load of storage is allowed")
        self._outside = True
        storage = self._persistent_load(pid)
        self._outside = False
        self._stack.append(storage)

    def _reduce(self) -> None:
        arguments, function = self._stack.pop(), self._stack.pop()
        constructor = self._constructor_of(function)
        if constructor is None:
            raise UnpicklingError(
                f"Trying to call reduce for unrecognized function {_short(function)}"
            )
        if type(arguments) is not tuple:
            raise UnpicklingError(f"REDUCE with {type(arguments)} in place of a tuple of arguments")
        self._stack.append(constructor(*arguments))

    def _newobj(self) -> None:
        arguments, cls = self._stack.pop(), self._stack.pop()
        if not isinstance(cls, type) or not self._may_build(cls):
            raise UnpicklingError(
                "Can only create new object for classes allowlisted via `add_safe_globals` but got "
                + _short(cls)
            )
        self._stack.append(cls.__new__(cls, *arguments))

    def _build(self) -> None:
        state = self._stack.pop()
        target = self._stack[-1]
        if type(target) is OrderedDict:
            # `_metadata` of a state_dict. Any other name must at least not hide a method.
            if type(state) is not dict or any(hasattr(OrderedDict, name) for name in state):
                raise UnpicklingError("BUILD would replace a method of an OrderedDict")
            target.__dict__.update(state)
        elif not self._may_build(type(target)):
            raise UnpicklingError(
                "Can only build OrderedDict or types allowlisted via `add_safe_globals`, but got "
                f"{type(target)}"
            )
        elif hasattr(target, "__setstate__"):
            target.__setstate__(state)
        else:
            attributes, slots = state if type(state) is tuple and len(state) == 2 else (state, None)
            if attributes:
                target.__dict__.update(attributes)
            for name, value in (slots or {}).items():
                setattr(target, name, value)


INSTRUCTIONS: dict[int, Callable[[WeightsUnpickler], None]] = {
    getattr(pickle, name.upper())[0]: getattr(WeightsUnpickler, "_" + name)
    for name in (
        "proto mark none binint binint1 binint2 long1 binfloat binunicode short_binstring "
        "empty_list empty_dict empty_tuple tuple tuple1 tuple2 tuple3 append appends setitem "
        "setitems binput long_binput binget long_binget global binpersid reduce newobj build"
    ).split()
} | {
    pickle.NEWTRUE[0]: WeightsUnpickler._true,
    pickle.NEWFALSE[0]: WeightsUnpickler._false,
}


def globals_in(data: bytes) -> set[str]:
    """Full names of everything that a pickle refers to, found by reading it, not by running it."""
    import pickletools

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # of odd escapes in damaged names
            instructions = list(pickletools.genops(data))
    except ValueError as error:
        raise UnpicklingError(f"malformed pickle: {error}") from error
    found = set()
    for opcode, argument, _ in instructions:
        if opcode.name in ("GLOBAL", "INST"):
            module, _, name = str(argument).partition(" ")
            found.add(full_name(module, name))
        elif opcode.code.encode("latin1")[0] not in INSTRUCTIONS and opcode.name != "STOP":
            raise UnpicklingError(f"Unsupported operand {ord(opcode.code)} ({opcode.name})")
    return found


def _name_of(opcode: int) -> str:
    import pickletools

    names = {known.code: known.name for known in pickletools.opcodes}
    return names.get(chr(opcode), "no such opcode")


def _short(value: Any) -> str:
    """Name of a function or class, else the type: the text of a hostile value may have no end."""
    return getattr(value, "__qualname__", None) or str(type(value))


def _check_depth(result: Any) -> None:
    """Refuse a result nested more than DEEPEST levels: printing or comparing it would fail."""
    level, seen = [result], set()
    for _ in range(DEEPEST):
        below: list[Any] = []
        for value in level:
            if isinstance(value, dict | list | tuple) and id(value) not in seen:
                seen.add(id(value))
                below.extend(value.values() if isinstance(value, dict) else value)
        if not below:
            return
        level = below
    raise UnpicklingError(f"nested more than {DEEPEST} levels deep")
