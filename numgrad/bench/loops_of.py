"""The innermost loops of a function in LLVM's text: what one turn of each loads, stores, computes.

The text is that of Numba's optimised module. It says the same on every processor: vectors have
types (`<16 x float>`), and a call that is still a call was not inlined.
"""

from __future__ import annotations

import collections
import dataclasses
import re
from collections.abc import Iterable

_LABEL = re.compile(r'^("?[-\w.$ ]+"?):')
_TARGET = re.compile(r'label %("[^"]+"|[-\w.$]+)')
_VECTOR = re.compile(r"<(\d+) x (float|double|half|i\d+)>")
_SCALAR = re.compile(r"\b(float|double|half|i\d+)\b")
_CALLED = re.compile(r'\bcall\b[^@]*@("[^"]+"|[-\w.$]+)\(')
_DEBUG = re.compile(r"!dbg !(\d+)")
_LOCATION = re.compile(r"^!(\d+) = (?:distinct )?!DILocation\(line: (\d+)", re.MULTILINE)
_STEP = re.compile(
    r"(%[-\w.$\"]+) = (?:add (?:nuw )?(?:nsw )?i\d+|getelementptr (?:\w+ )*(i8), ptr) "
    r"(%[-\w.$\"]+), (?:i64 )?(-?\d+)"
)
_PHI = re.compile(r"\s*(%\S+) = phi (?:i\d+|ptr) (.*)")
_ARITHMETIC = re.compile(r"= (fadd|fsub|fmul|fdiv|frem|fcmp|fneg)\b")
#: LLVM's own functions that become calls of the C library.
_LIBRARY = {"exp", "exp2", "exp10", "log", "log2", "log10", "sin", "cos", "tan", "pow", "powi", "sinh",
            "cosh", "tanh", "asin", "acos", "atan", "atan2", "memcpy", "memmove", "memset"}  # fmt: skip
#: Those of them that fill and copy memory.
MEMORY = {"memcpy", "memmove", "memset"}
#: Of Numba's: reference counts, which no hot loop has.
_IGNORED = ("NRT_", "llvm.")
_BITS = {"half": 16, "float": 32, "double": 64}


@dataclasses.dataclass
class Loop:
    """An innermost loop. `step` is the elements of a turn (None: not to be seen), `lanes` and
    `bits` those of its widest vectors (1 and 0: none); loads, stores and operations are of a turn,
    in elements."""

    lines: collections.Counter[int]
    step: int | None
    lanes: int
    bits: int
    loads: int
    stores: int
    scattered: int
    operations: int
    calls: list[str]
    branches: int
    carried: bool

    @property
    def vectorised(self) -> bool:
        return self.lanes > 1

    @property
    def moves(self) -> bool:
        """Whether all that it does is let the C library fill or copy memory."""
        return bool(self.calls) and {*self.calls} <= MEMORY and not self.loads

    def each(self, count: int) -> float:
        """A count by element."""
        return count / (self.step or self.lanes)


@dataclasses.dataclass
class Code:
    """A function: its innermost loops, the calls outside them by line, and the loops of the
    functions that it calls, those that are in the same module, by name."""

    loops: list[Loop]
    calls: list[tuple[int, str]]
    called: dict[str, list[Loop]]


def read(text: str, symbol: str, itemsize: int) -> Code:
    """The loops of the function `symbol` in the text of a module."""
    lines_of = {int(k): int(line) for k, line in _LOCATION.findall(text)}
    defined = set(re.findall(r'^define [^@\n]*@("[^"]+"|[-\w.$]+)\(', text, re.MULTILINE))
    own = _read(text, symbol, itemsize, lines_of)
    todo, seen = list(own.called), {symbol}
    found: dict[str, list[Loop]] = {}
    while todo:
        name = todo.pop()
        if name in seen or name not in {d.strip('"') for d in defined}:
            continue
        seen.add(name)
        code = _read(text, name, itemsize, {})
        todo += code.called
        found.setdefault(demangled(name), []).extend(code.loops)
    return Code(own.loops, own.calls, found)


def _read(text: str, symbol: str, itemsize: int, lines_of: dict[int, int]) -> Code:
    blocks = _blocks(text, symbol)
    bodies = _innermost(blocks)
    inside = {label for body in bodies for label in body}
    loops = [_loop(body, blocks, lines_of, itemsize) for body in bodies]
    outside = [
        (_line(instruction, lines_of), name)
        for label, instructions in blocks.items()
        if label not in inside
        for instruction in instructions
        for name in _calls(instruction)
    ]
    symbols: dict[str, list[Loop]] = {
        s: [] for own in blocks.values() for i in own if (s := _symbol(i))
    }
    return Code(loops, outside, symbols)


def _blocks(text: str, symbol: str) -> dict[str, list[str]]:
    """The instructions of each block, the first block first."""
    start = re.search(rf'^define [^\n]*@"?{re.escape(symbol)}"?\(', text, re.MULTILINE)
    if start is None:
        raise ValueError(f"no function {symbol} in the module")
    body = text[text.index("\n", start.start()) + 1 : text.index("\n}", start.start())]
    blocks: dict[str, list[str]] = {}
    current = blocks["entry"] = []
    for line in body.splitlines():
        label = _LABEL.match(line)
        if label is not None:
            if not current and len(blocks) == 1:
                blocks.clear()
            current = blocks.setdefault(label[1].strip('"'), [])
        elif line.strip().startswith("#dbg"):
            continue
        elif current and current[-1].lstrip().startswith("switch") and "\n]" not in current[-1]:
            # Its targets have a line each, and then it is closed.
            current[-1] += "\n" + line.strip()
        elif line.strip():
            current.append(line)
    return blocks


def _successors(instructions: list[str]) -> list[str]:
    return [name.strip('"') for name in _TARGET.findall(instructions[-1])] if instructions else []


def _innermost(blocks: dict[str, list[str]]) -> list[list[str]]:
    """The blocks of each natural loop that has no loop in it."""
    labels = list(blocks)
    after = {label: [s for s in _successors(blocks[label]) if s in blocks] for label in labels}
    before: dict[str, list[str]] = {label: [] for label in labels}
    for label, targets in after.items():
        for target in targets:
            before[target].append(label)
    order = _reverse_postorder(labels[0], after)
    # Which blocks are on every way to a block, by Cooper, Harvey and Kennedy's iteration.
    place = {label: k for k, label in enumerate(order)}
    parent: dict[str, str] = {order[0]: order[0]}
    changed = True
    while changed:
        changed = False
        for label in order[1:]:
            known = [p for p in before[label] if p in parent]
            nearest = known[0]
            for other in known[1:]:
                a, b = nearest, other
                while a != b:
                    if place[a] > place[b]:
                        a = parent[a]
                    else:
                        b = parent[b]
                nearest = a
            if parent.get(label) != nearest:
                parent[label] = nearest
                changed = True
    loops: dict[str, set[str]] = {}
    for label in order:
        for head in after[label]:
            if _dominates(head, label, parent):
                loops.setdefault(head, {head}).update(_reaching(label, head, before))
    return [
        [label for label in order if label in body]
        for head, body in loops.items()
        if not any(other in body for other in loops if other != head)
    ]


def _reverse_postorder(first: str, after: dict[str, list[str]]) -> list[str]:
    seen, order = {first}, []
    stack = [(first, iter(after[first]))]
    while stack:
        label, rest = stack[-1]
        target = next((t for t in rest if t not in seen), None)
        if target is None:
            order.append(label)
            stack.pop()
        else:
            seen.add(target)
            stack.append((target, iter(after[target])))
    return order[::-1]


def _dominates(head: str, label: str, parent: dict[str, str]) -> bool:
    while label != head:
        if parent[label] == label:
            return False
        label = parent[label]
    return True


def _reaching(label: str, head: str, before: dict[str, list[str]]) -> set[str]:
    found, todo = {head}, [label]
    while todo:
        own = todo.pop()
        if own not in found:
            found.add(own)
            todo += before[own]
    return found


def _loop(
    body: list[str], blocks: dict[str, list[str]], lines_of: dict[int, int], itemsize: int
) -> Loop:
    instructions = [instruction for label in body for instruction in blocks[label]]
    lines: collections.Counter[int] = collections.Counter()
    loads = stores = scattered = operations = 0
    lanes, bits = 1, 0
    calls: list[str] = []
    for instruction in instructions:
        width, size = _width(instruction)
        if width > 1 and ("load" in instruction or "store" in instruction or "= f" in instruction or "@llvm." in instruction):  # fmt: skip
            lanes, bits = max((lanes, bits), (width, width * size), key=lambda pair: pair[1])
        line = _line(instruction, lines_of)
        own = _operations(instruction) * width
        operations += own
        if "= load " in instruction or "@llvm.masked.load" in instruction:
            loads += width
        elif instruction.lstrip().startswith("store ") or "@llvm.masked.store" in instruction:
            stores += width
        elif "@llvm.masked.gather" in instruction:
            loads += width
            scattered += width
        elif "@llvm.masked.scatter" in instruction:
            stores += width
            scattered += width
        calls += _calls(instruction)
        if line:
            lines[line] += 1
    step = _step(blocks[body[0]], instructions, lanes, itemsize)
    return Loop(
        lines, step, lanes, bits, loads, stores, scattered, operations, calls, len(body) - 1,
        _carried(blocks[body[0]]),
    )  # fmt: skip


def _line(instruction: str, lines_of: dict[int, int]) -> int:
    found = _DEBUG.search(instruction)
    return lines_of.get(int(found[1]), 0) if found else 0


def _width(instruction: str) -> tuple[int, int]:
    """Lanes and bits of a lane of what an instruction works on."""
    found = _VECTOR.search(instruction)
    if found is None:
        scalar = _SCALAR.search(instruction)
        return 1, 0 if scalar is None else _bits(scalar[1])
    return int(found[1]), _bits(found[2])


def _bits(name: str) -> int:
    return _BITS.get(name) or int(name[1:])


def _operations(instruction: str) -> int:
    if _ARITHMETIC.search(instruction):
        return 1
    found = re.search(r"@llvm\.(\w+)\.(?:v\d+)?f\d+", instruction)
    if found is None or "call" not in instruction:
        return 0
    return {"fma": 2, "fmuladd": 2, "sqrt": 1, "maxnum": 1, "minnum": 1, "maximum": 1, "minimum": 1}.get(found[1], 0)  # fmt: skip


def _symbol(instruction: str) -> str:
    """What an instruction calls, "" for nothing."""
    found = _CALLED.search(instruction)
    return found[1].strip('"') if found else ""


def _calls(instruction: str) -> list[str]:
    name = _symbol(instruction)
    if not name:
        return []
    if name.startswith("llvm."):
        base = name.split(".")[1]
        return [base] if base in _LIBRARY else []
    return [] if name.startswith(_IGNORED) else [demangled(name)]


def demangled(name: str) -> str:
    """The Python name in one of Numba's symbols."""
    if not name.startswith("_ZN"):
        return name
    parts, rest = [], name[3:]
    while found := re.match(r"\d+", rest):
        length = int(found[0])
        parts.append(rest[found.end() :][:length])
        rest = rest[found.end() + length :]
    return parts[-1] if parts else name


def _step(head: list[str], instructions: Iterable[str], lanes: int, itemsize: int) -> int | None:
    """The elements of a turn: by how much the loop's counters and addresses go on."""
    counters = {m[1]: m[2] for line in head if (m := _PHI.match(line))}
    steps = set()
    for instruction in instructions:
        found = _STEP.search(instruction)
        if found is None or not int(found[4]):
            continue
        result, of_bytes, name, amount = found.groups()
        if f"[ {result}, " in counters.get(name, ""):
            steps.add(abs(int(amount)) // itemsize or 1 if of_bytes else abs(int(amount)))
    return min((s for s in steps if s % lanes == 0), default=None)


def _carried(head: list[str]) -> bool:
    """Whether a number of one turn is needed in the next, counters aside."""
    return any(re.match(r"\s*%\S+ = phi (?:float|double|half) ", line) for line in head)
