"""What the compiler made of a kernel: `bench.explain("softmax_rows")`.

The kernel is compiled once more, with line numbers, and what came out is read: which loops became
vector code, what they load and store, which calls are left; for CUDA what the linker says of
registers and spills.
"""

from __future__ import annotations

import ast
import dataclasses
import html
import importlib.util
import inspect
import linecache
import os
import pathlib
import re
import textwrap
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numba import njit, typeof, types
from numba.core.dispatcher import Dispatcher

from ..kernels._contract import FASTMATH, OPTIONS, RANGE, Kernel
from ..kernels._elementwise import Elementwise
from . import calls, loops_of
from .user import Benched

CAPABILITY = (9, 0)
_LOG = re.compile(
    r"Used (?P<registers>\d+) registers|(?P<stack>\d+) bytes stack frame, "
    r"(?P<stores>\d+) bytes spill stores, (?P<loads>\d+) bytes spill loads"
)
_ACCESS = re.compile(r"^\s*(?:@\S+ )?(ld|st)\.global(?:\.nc)?(?:\.v(\d))?\.\w(\d+)", re.MULTILINE)
_FLOAT64 = re.compile(r"^\s*(?:@\S+ )?(?!cvt|mov|ld|st|selp)\w[\w.]*\.f64\b", re.MULTILINE)
_PTX_CALL = re.compile(r"call(?:\.uni)?\s*(?:\([^)]*\),\s*)?\s*([\w$]+)")


@dataclasses.dataclass
class SourceLoop:
    """A loop of the source. `compiled` are the loops it became: the vectors' one, and what does the
    elements that are left over; none where it was unrolled or became a call. `outer` marks a line
    outside the innermost loops, where what an inlined function does is mixed with leftovers;
    `carried` is an array that is read at another place than it is written."""

    line: int
    text: str
    compiled: list[loops_of.Loop]
    outer: bool = False
    carried: str = ""

    @property
    def main(self) -> loops_of.Loop | None:
        return max(self.compiled, key=lambda v: (v.bits, v.operations, v.step or 1), default=None)

    @property
    def vectorised(self) -> bool:
        return self.main is not None and self.main.vectorised

    @property
    def left_scalar(self) -> bool:
        """Whether the loop works on one element at a time, though it might not have to."""
        main = self.main
        return not (main is None or main.vectorised or main.moves or self.outer)

    @property
    def why(self) -> str:
        """What probably kept a loop that works on numbers from becoming vector code."""
        main = self.main
        if main is None or main.vectorised:
            return ""
        if main.calls:
            return f"it calls {', '.join(sorted(set(main.calls)))}"
        if self.carried:
            return f"a step may read what another has written into {self.carried}"
        if main.carried:
            return "each step needs the result of the one before"
        if main.branches:
            return f"it branches: {main.branches + 1} blocks"
        return "its arrays may overlap, or its elements are not neighbours"


@dataclasses.dataclass
class Cuda:
    """What the linker and the code say of a CUDA form; accesses to memory by bytes and kind."""

    name: str
    capability: tuple[int, int]
    registers: int
    stack: int
    spill_stores: int
    spill_loads: int
    loads: dict[int, int]
    stores: dict[int, int]
    float64: int
    calls: list[str]
    place: str

    @property
    def spills(self) -> bool:
        return bool(self.spill_stores or self.spill_loads)


@dataclasses.dataclass
class Explanation:
    """Shows itself in a notebook; `print` it elsewhere."""

    name: str
    dtype: str
    place: str
    formula: str
    loops: list[SourceLoop]
    calls: list[tuple[int, str]]
    cuda: list[Cuda]
    notes: list[str]

    @property
    def scalar(self) -> list[SourceLoop]:
        """The loops that were left without vectors."""
        return [loop for loop in self.loops if loop.left_scalar]

    def lines(self) -> list[tuple[str, str]]:
        """The text, each line with what it is: "head", "good", "bad", "plain"."""
        found = [("head", f"{self.name}({self.dtype})  {self.place}")]
        if self.formula:
            found.append(("plain", f"  {self.formula}"))
        for loop in self.loops:
            found += _about(loop)
        if not self.loops:
            found.append(("plain", "no loop is left"))
        outside = sorted({name for _, name in self.calls})
        if outside:
            found.append(("plain", f"calls outside these loops: {', '.join(outside)}"))
        for own in self.cuda:
            found += _about_cuda(own)
        return found + [("plain", note) for note in self.notes]

    def __str__(self) -> str:
        marks = {"good": "✓ ", "bad": "✗ "}
        return "\n".join(marks.get(kind, "") + text for kind, text in self.lines())

    def _repr_mimebundle_(self, **_: Any) -> dict[str, str]:
        styles = {
            "head": "font-weight:bold",
            "good": "color:#2e7d32",
            "bad": "color:#c62828",
            "plain": "",
        }
        body = "\n".join(
            f'<span style="{styles[kind]}">{html.escape(text)}</span>'
            for kind, text in self.lines()
        )
        return {"text/plain": str(self), "text/html": f"<pre>{body}</pre>"}


def _about(loop: SourceLoop) -> list[tuple[str, str]]:
    main = loop.main
    head = f"line {loop.line}: {loop.text}" if loop.line else loop.text
    if main is None:
        return [("plain", f"{head}\n    no loop left of it: unrolled, or a call")]
    if main.moves:
        return [("good", f"{head}\n    the C library's {main.calls[0]}")]
    each = (
        f"{main.each(main.loads):.3g} loads, {main.each(main.stores):.3g} stores, "
        f"{main.each(main.operations):.3g} operations an element"
    )
    if main.vectorised:
        turn = (main.step or 0) // main.lanes
        several = f", {turn} vectors a turn" if turn > 1 else ""
        text = f"vectors of {main.bits} bits, {main.lanes} elements{several}; {each}"
        found = [("bad" if main.scattered else "good", f"{head}\n    {text}")]
        if main.scattered:
            one_by_one = f"{main.each(main.scattered):.3g} accesses an element one by one"
            found.append(("bad", f"    {one_by_one}: gathered and scattered, not neighbours"))
    elif loop.outer:
        found = [("plain", f"{head}\n    one element at a time; {each}")]
    else:
        found = [("bad", f"{head}\n    not vectorised: {loop.why}; {each}")]
    names = sorted(set(main.calls) - loops_of.MEMORY)
    if names:
        found.append(("bad", f"    not inlined in this loop: {', '.join(names)}"))
    return found


def _about_cuda(own: Cuda) -> list[tuple[str, str]]:
    def accesses(found: dict[int, int]) -> str:
        return (
            ", ".join(f"{count} of {size} bytes" for size, count in sorted(found.items())) or "none"
        )

    found = [
        ("head", f"CUDA, sm_{own.capability[0]}{own.capability[1]}: {own.name}  {own.place}"),
        ("good" if own.registers <= 64 else "plain", f"{own.registers} registers a thread"),
    ]
    if own.spills:
        stores, loads = own.spill_stores, own.spill_loads
        found.append(("bad", f"spills: {stores} bytes stored, {loads} bytes loaded, to memory"))
    else:
        found.append(("good", "no spills"))
    if own.stack:
        found.append(("bad", f"{own.stack} bytes of a thread's own memory (local arrays, spills)"))
    found.append(
        ("plain", f"loads in the code: {accesses(own.loads)}; stores: {accesses(own.stores)}")
    )
    if own.float64:
        found.append(("bad", f"{own.float64} float64 instructions"))
    if own.calls:
        found.append(("bad", f"not inlined: {', '.join(own.calls)}"))
    return found


# ------------------------------------------------------------------------------- looking


def explain(
    kernel: Any,
    dtype: Any = "float32",
    arguments: Sequence[Any] | None = None,
    capability: tuple[int, int] = CAPABILITY,
) -> Explanation:
    """What the compiler made of a kernel for a dtype.

    `kernel` is the name of one of the library's, a kernel, or a function of one's own; for a plain
    function without `@bench.kernel`, `arguments` are those of a call. CUDA is included where the
    kernel has a form for it and numba-cuda is installed, compiled for `capability`.

    >>> from numgrad import bench
    >>> (loop,) = [loop for loop in bench.explain("exp").loops if "function(" in loop.text]
    >>> loop.vectorised, loop.main.each(loop.main.loads), loop.main.each(loop.main.stores)
    (True, 1.0, 1.0)
    """
    wanted = np.dtype(dtype)
    if isinstance(kernel, str):
        name = calls.matching([kernel])[0]
        kernel, wanted = calls.kernels()[name], calls.dtype_of(name, wanted)
    if isinstance(kernel, Benched):
        if arguments is None and isinstance(kernel.kernel, Dispatcher):
            arguments = list(kernel.subject(1 << 10, wanted).arguments.values())
        kernel = kernel.kernel
    if isinstance(kernel, Elementwise):
        function: Callable = kernel.trampoline(wanted)
        source, first, formula = kernel.source, 1, kernel.function.py_func
        file = function.__code__.co_filename  # Numba asks there for the lines
        linecache.cache[file] = (len(source), None, source.splitlines(True), file)
        signature: Any = RANGE
    elif isinstance(kernel, Kernel):
        function = formula = kernel.py_func
        signature = types.void(
            types.int64, types.int64, *[s.numba_type(wanted) for s in kernel.specs]
        )
        source, first = _source(function)
    else:
        function = formula = kernel.py_func if isinstance(kernel, Dispatcher) else kernel
        if arguments is None:
            raise TypeError(f"explain({function.__name__}): give the arguments= of a call")
        signature = tuple(typeof(value) for value in arguments)
        source, first = _source(function)
    options = OPTIONS if isinstance(kernel, (Kernel, Elementwise)) else _options(kernel)
    text, symbol, notes = _compiled(function, signature, options)
    code = loops_of.read(text, symbol, wanted.itemsize)
    doc = (inspect.getdoc(kernel if not isinstance(kernel, Dispatcher) else function) or "").split(
        "\n\n"
    )
    return Explanation(
        getattr(kernel, "name", function.__name__).strip("_"),
        wanted.name,
        _place(formula),
        " ".join(doc[0].split()),
        source_loops(source, first, code),
        code.calls,
        _cuda(kernel, wanted, capability),
        notes,
    )


def counted_operations(kernel: Any, arguments: Sequence[Any]) -> float:
    """The operations an element of a function that does not say them: those of all its innermost
    loops, each taken to go over every element once."""
    first = next(value for value in arguments if isinstance(value, np.ndarray))
    found = explain(kernel, first.dtype, arguments)
    mains = [loop.main for loop in found.loops if loop.main is not None and not loop.outer]
    return sum(main.each(main.operations) for main in mains)


def _options(kernel: Any) -> dict[str, Any]:
    """Those a function was compiled with, the ones that say how it is called aside."""
    if not isinstance(kernel, Dispatcher):
        return {"fastmath": FASTMATH, "error_model": "numpy"}
    keep = ("fastmath", "error_model", "boundscheck", "parallel", "nogil")
    return {k: v for k, v in kernel.targetoptions.items() if k in keep}


def _compiled(function: Callable, signature: Any, options: dict) -> tuple[str, str, list[str]]:
    """LLVM's text with line numbers, the function's symbol, and whether they changed the code."""
    own = []
    for debug in (True, False):
        (result,) = njit(signature, **{**options, "debug": debug})(function).overloads.values()
        own.append((result.library.get_llvm_str(), result.fndesc.llvm_func_name))
    vectors = [len(re.findall(r"= \w*load <", text)) for text, _ in own]
    notes = []
    if vectors[0] != vectors[1]:
        notes.append(
            f"with line numbers LLVM made other code: {vectors[0]} vector loads, {vectors[1]} without"
        )
    return *own[0], notes


def _source(function: Callable) -> tuple[str, int]:
    try:
        lines, first = inspect.getsourcelines(function)
    except (OSError, TypeError):
        return "", 1
    return textwrap.dedent("".join(lines)), first


def _place(function: Callable) -> str:
    file = pathlib.Path(function.__code__.co_filename)
    root = pathlib.Path(__file__).resolve().parents[2]
    with_root = file.is_absolute() and file.is_relative_to(root)
    shown = file.relative_to(root) if with_root else file.name if "ipykernel" in str(file) else file
    return f"{os.fspath(shown)}:{function.__code__.co_firstlineno}"


def source_loops(source: str, first: int, code: loops_of.Code) -> list[SourceLoop]:
    """The innermost loops of a source text that begins at line `first`, with what they became.

    A compiled loop belongs to the innermost loop around most of its instructions' lines; where that
    has loops in it, to the line: there a call was inlined that has a loop.
    """
    lines = source.splitlines()
    spans = []
    carried: dict[int, str] = {}
    try:
        tree = ast.parse(source) if source else ast.Module([], [])
    except SyntaxError:  # a lambda in the middle of an expression
        tree = ast.Module([], [])
    for node in ast.walk(tree):
        if isinstance(node, (ast.For, ast.While, ast.comprehension)):
            place: Any = node.iter if isinstance(node, ast.comprehension) else node
            spans.append((place.lineno + first - 1, place.end_lineno + first - 1))
            carried[spans[-1][0]] = _carried(node)
    innermost = [
        s for s in spans if not any(o != s and s[0] <= o[0] and o[1] <= s[1] for o in spans)
    ]
    found: dict[int, list[loops_of.Loop]] = {start: [] for start, _ in innermost}
    outer: set[int] = set()
    for loop in code.loops:
        counted = loop.lines.most_common(1)
        line = counted[0][0] if counted else 0
        around = [s for s in spans if s[0] <= line <= s[1]]
        nearest = max(around, key=lambda s: s[0], default=None)
        if nearest is not None and nearest in innermost:
            line = nearest[0]
        else:
            outer.add(line)
        found.setdefault(line, []).append(loop)
    results = []
    for line, compiled in sorted(found.items()):
        at = line - first
        text = lines[at].strip() if 0 <= at < len(lines) else "a loop of a function that it calls"
        if text.startswith("for ") and at + 1 < len(lines) and compiled:
            text = f"{text} {lines[at + 1].strip()}"
        results.append(SourceLoop(line, text, compiled, line in outer, carried.get(line, "")))
    for name, loops in code.called.items():
        if loops:
            text = f"{name}, which is called: {len(loops)} loops in all, the widest:"
            results.append(SourceLoop(0, text, loops, True))
    return results


def _carried(loop: ast.AST) -> str:
    """An array that a loop reads at another place than it writes, "" for none."""
    written: dict[str, str] = {}
    read = []
    for node in ast.walk(loop):
        if isinstance(node, ast.Subscript) and isinstance(node.value, ast.Name):
            if isinstance(node.ctx, ast.Store):
                written[node.value.id] = ast.dump(node.slice)
            else:
                read.append((node.value.id, ast.dump(node.slice)))
    return next((name for name, place in read if written.get(name, place) != place), "")


# ---------------------------------------------------------------------------------- CUDA


def _cuda(kernel: Any, dtype: np.dtype, capability: tuple[int, int]) -> list[Cuda]:
    twin = getattr(kernel, "twin", None)
    if twin is None or importlib.util.find_spec("numba_cuda") is None:
        return []
    if isinstance(kernel, Elementwise):
        pointers = "p" * (len(kernel.inputs) + 1)
        build, place = (
            twin._build((dtype, pointers, 16 // dtype.itemsize)),
            _place(kernel.function.py_func),
        )
    else:
        build, place = twin.build(dtype), _place(twin.function)
    from ..kernels.cuda import compile as cuda_compile

    compiled = cuda_compile.compiled(build, capability)
    return [
        read_cuda(build.name, compiled.log, cuda_compile.ptx(build, capability), capability, place)
    ]


def read_cuda(name: str, log: str, ptx: str, capability: tuple[int, int], place: str) -> Cuda:
    """What the linker's log and the PTX of a kernel say."""
    said = {"registers": 0, "stack": 0, "stores": 0, "loads": 0}
    for found in _LOG.finditer(log):
        for key, value in found.groupdict().items():
            if value is not None:
                said[key] = max(said[key], int(value))
    accesses: dict[str, dict[int, int]] = {"ld": {}, "st": {}}
    for kind, count, bits in _ACCESS.findall(ptx):
        size = int(count or 1) * int(bits) // 8
        accesses[kind][size] = accesses[kind].get(size, 0) + 1
    called = sorted({name for name in _PTX_CALL.findall(ptx)})
    return Cuda(
        name, capability, said["registers"], said["stack"], said["stores"], said["loads"],
        accesses["ld"], accesses["st"], len(_FLOAT64.findall(ptx)), called, place,
    )  # fmt: skip
