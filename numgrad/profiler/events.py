"""Events and their averages: nesting, times of their own, and the table.

An event's own time is what no event inside it takes. So the own times of a thread's events and
the time outside all of them add up to the time that the profiler was on.
"""

from __future__ import annotations

import bisect
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .listen import Listener

#: Kinds whose own time is not Python's.
NATIVE = {"kernel": "kernels", "compile": "compiling"}
#: What `table(sort_by=…)` takes, PyTorch's older names among them: the attribute of a row.
SORTS = {
    "count": "count",
    "cpu_time": "cpu_time",
    "cpu_time_total": "cpu_time_total",
    "self_cpu_time_total": "self_cpu_time_total",
    "cpu_memory_usage": "cpu_memory_usage",
    "self_cpu_memory_usage": "self_cpu_memory_usage",
    "device_time": "device_time",
    "device_time_total": "device_time_total",
    "self_device_time_total": "self_device_time_total",
    "cuda_time": "device_time",
    "cuda_time_total": "device_time_total",
    "self_cuda_time_total": "self_device_time_total",
}


class FunctionEvent:
    """One event: `name`, `kind`, `start` and `end` in nanoseconds of `time.perf_counter_ns`.

    `kind` is "kernel" (a launch on the CPU), "launch" (of a kernel on a GPU; when it ran there is
    in `device`), "compile", "program" (a call of a compiled function), "backward", "module" or
    "range" (`record_function`). `operation` is what a launch is part of.
    """

    __slots__ = (
        "kind", "name", "start", "end", "thread", "operation", "dtype", "work", "input_shapes",
        "line", "device", "gpu", "details", "parent", "inside", "memory", "own_memory",
    )  # fmt: skip

    def __init__(
        self, kind: str, name: str, start: int, end: int, thread: int, details: dict | None
    ) -> None:
        details = details or {}
        self.kind, self.name, self.start, self.end, self.thread = kind, name, start, end, thread
        self.details = details
        self.operation: str = details.get("operation", "")
        self.dtype: str = details.get("dtype", "")
        self.work: int = details.get("work", 0)
        self.input_shapes: list = details.get("shapes", [])
        self.line: str = details.get("line", "")
        self.device: tuple[int, int] | None = details.get("device")
        self.gpu: int = details.get("gpu", 0)
        self.parent: FunctionEvent | None = None
        self.inside = 0  # nanoseconds that events right inside it take
        self.memory = self.own_memory = 0  # bytes allocated in it, and outside the events inside it

    @property
    def cpu_time_total(self) -> float:
        """Microseconds from its start to its end."""
        return (self.end - self.start) / 1e3

    @property
    def self_cpu_time_total(self) -> float:
        """Microseconds outside the events inside it."""
        return (self.end - self.start - self.inside) / 1e3

    @property
    def device_time_total(self) -> float:
        """Microseconds on the GPU."""
        return 0.0 if self.device is None else (self.device[1] - self.device[0]) / 1e3

    def __repr__(self) -> str:
        return f"<{self.kind} {self.name}, {_time(self.cpu_time_total)}>"


def nested(
    events: list[FunctionEvent], allocations: Iterable[tuple[int, int, int, int]]
) -> list[FunctionEvent]:
    """The events in order, each told its parent and what lies inside it."""
    events.sort(key=lambda event: (event.start, -event.end))
    open_on: dict[int, list[FunctionEvent]] = {}
    by_thread: dict[int, list[FunctionEvent]] = {}
    for event in events:
        stack = open_on.setdefault(event.thread, [])
        by_thread.setdefault(event.thread, []).append(event)
        while stack and stack[-1].end < event.end:
            stack.pop()
        if stack:
            event.parent = stack[-1]
            event.parent.inside += event.end - event.start
        stack.append(event)
    starts = {thread: [event.start for event in found] for thread, found in by_thread.items()}
    for moment, size, _, thread in allocations:
        if size < 0 or thread not in by_thread:
            continue
        here = by_thread[thread]
        position = bisect.bisect_right(starts[thread], moment)
        # What an operation allocates is for the launch that follows.
        while position < len(here) and here[position].kind == "compile":
            position += 1
        found: FunctionEvent | None = None
        if position < len(here) and here[position].kind in ("kernel", "launch"):
            found = here[position]
        elif position:
            found = here[position - 1]
            while found is not None and found.end < moment:
                found = found.parent
        if found is not None:
            found.own_memory += size
        while found is not None:
            found.memory += size
            found = found.parent
    return events


class FunctionEventAvg:
    """The events under one key together; times in microseconds, memory in bytes."""

    __slots__ = (
        "key", "kind", "count", "cpu_time_total", "self_cpu_time_total", "device_time_total",
        "cpu_memory_usage", "self_cpu_memory_usage", "input_shapes", "line",
    )  # fmt: skip

    def __init__(self, key: str, first: FunctionEvent, shapes: bool, line: bool) -> None:
        self.key, self.kind = key, first.kind
        self.count = 0
        self.cpu_time_total = self.self_cpu_time_total = self.device_time_total = 0.0
        self.cpu_memory_usage = self.self_cpu_memory_usage = 0
        self.input_shapes = first.input_shapes if shapes else []
        self.line = first.line if line else ""

    def add(self, event: FunctionEvent) -> None:
        self.count += 1
        self.cpu_time_total += event.cpu_time_total
        self.self_cpu_time_total += event.self_cpu_time_total
        self.device_time_total += event.device_time_total
        self.cpu_memory_usage += event.memory
        self.self_cpu_memory_usage += event.own_memory

    @property
    def cpu_time(self) -> float:
        """Of one event, on average."""
        return self.cpu_time_total / max(self.count, 1)

    @property
    def device_time(self) -> float:
        """Of one event on the GPU, on average."""
        return self.device_time_total / max(self.count, 1)

    @property
    def self_device_time_total(self) -> float:
        """The same as `device_time_total`: nothing nests on a GPU."""
        return self.device_time_total

    def __repr__(self) -> str:
        return f"<{self.kind} {self.key}: {self.count} × {_time(self.cpu_time)}>"


def average(
    events: Iterable[FunctionEvent], shapes: bool, lines: bool, operations: bool
) -> list[FunctionEventAvg]:
    """A row for each name (and shapes, line), those with the most time of their own first."""
    rows: dict[tuple, FunctionEventAvg] = {}
    for event in events:
        launched = event.kind in ("kernel", "launch")
        name = (event.operation or event.name) if operations and launched else event.name
        key = (event.kind, name, str(event.input_shapes) if shapes else "", lines and event.line)
        row = rows.get(key)
        if row is None:
            row = rows[key] = FunctionEventAvg(name, event, shapes, lines)
        row.add(event)
    return sorted(rows.values(), key=lambda row: -row.self_cpu_time_total)


class EventList(list):
    """Events, or averages of them, that can be shown as a table."""

    def __init__(self, items: Iterable[Any], listener: Listener) -> None:
        super().__init__(items)
        self.listener = listener

    def total(self) -> dict[str, float]:
        """See `profile.total`."""
        listener = self.listener
        sums = {"wall": (listener.ended - listener.started) / 1e3, "kernels": 0.0, "compiling": 0.0}
        gpu = 0.0
        for event in nested([FunctionEvent(*raw) for raw in listener.events], ()):
            if event.kind in NATIVE and event.thread == listener.thread:
                sums[NATIVE[event.kind]] += event.self_cpu_time_total
            gpu += event.device_time_total
        sums["python"] = sums["wall"] - sums["kernels"] - sums["compiling"]
        sums["gpu"] = gpu
        return sums

    def table(
        self,
        sort_by: str | None = None,
        row_limit: int = 100,
        max_name_column_width: int = 55,
        header: str | None = None,
    ) -> str:
        """The rows as text, by default those with the most time of their own first.

        `sort_by`: one of `cpu_time`, `cpu_time_total`, `self_cpu_time_total`, `count`,
        `cpu_memory_usage`, `device_time_total` …; AttributeError for what is none.
        """
        rows = list(self)
        if sort_by is not None:
            if sort_by not in SORTS:
                raise AttributeError(f"table: {sort_by=} is not one of {', '.join(SORTS)}")
            rows.sort(key=lambda row: -getattr(row, SORTS[sort_by]))
        total = self.total()
        columns = _columns(rows, self.listener, total["wall"], max_name_column_width)
        shown = rows if row_limit < 0 else rows[:row_limit]
        cells = [[text(row) for _, text in columns] for row in shown]
        titles = [title for title, _ in columns]
        widths = [max(map(len, column)) for column in zip(titles, *cells, strict=True)]
        rule = "  ".join("-" * width for width in widths)
        lines = [header] if header else []
        lines += [rule, _line(titles, widths), rule]
        lines += [_line(cell, widths) for cell in cells]
        if len(shown) < len(rows):
            lines.append(f"… and {len(rows) - len(shown)} rows more")
        lines += [rule, *_footer(total, self.listener)]
        return "\n".join(lines)

    def __str__(self) -> str:
        return self.table()


def _columns(rows: list, listener: Listener, wall: float, width: int) -> list[tuple[str, Any]]:
    """(title, text of a row) for each column that has something to say."""
    columns: list[tuple[str, Any]] = [
        ("Name", lambda row: _cut(row.name if isinstance(row, FunctionEvent) else row.key, width)),
        ("Kind", lambda row: row.kind),
        ("Self CPU %", lambda row: f"{row.self_cpu_time_total / max(wall, 1e-9):.1%}"),
        ("Self CPU", lambda row: _time(row.self_cpu_time_total)),
        ("CPU total", lambda row: _time(row.cpu_time_total)),
    ]
    averaged = not any(isinstance(row, FunctionEvent) for row in rows)
    if averaged:
        columns.append(("CPU time avg", lambda row: _time(row.cpu_time)))
    if any(row.device_time_total for row in rows):
        columns.append(("GPU total", lambda row: _time(row.device_time_total)))
        if averaged:
            columns.append(("GPU time avg", lambda row: _time(row.device_time)))
    if averaged:
        if listener.memory:
            columns.append(("Memory", lambda row: _bytes(row.cpu_memory_usage)))
        columns.append(("# of Calls", lambda row: str(row.count)))
    if any(row.input_shapes for row in rows):
        columns.append(("Shapes", lambda row: str(row.input_shapes)))
    if any(row.line for row in rows):
        columns.append(("Line", lambda row: row.line))
    return columns


def _line(cells: Iterable[str], widths: list[int]) -> str:
    """Text to the left in the columns of names, numbers to the right."""
    padded = []
    for position, (cell, width) in enumerate(zip(cells, widths, strict=True)):
        left = position < 2 or cell[:1] in "[/<" or cell in ("Shapes", "Line")
        padded.append(cell.ljust(width) if left else cell.rjust(width))
    return "  ".join(padded).rstrip()


def _footer(total: dict[str, float], listener: Listener) -> list[str]:
    wall = max(total["wall"], 1e-9)
    parts = [
        f"{name} {_time(total[key])} ({total[key] / wall:.1%})"
        for name, key in (("kernels", "kernels"), ("Python", "python"), ("compiling", "compiling"))
    ]
    lines = [f"Wall time {_time(wall)}: {', '.join(parts)}"]
    if total["gpu"]:
        lines.append(f"Kernels on GPUs: {_time(total['gpu'])}")
    if listener.memory:
        made = sum(size for _, size, _, _ in listener.allocations if size > 0)
        lines.append(f"Memory: {_bytes(made)} allocated, at most {_bytes(listener.peak)} at once")
        for gpu in sorted({index for _, index, _ in listener.gpu_memory}):
            most = max(size for _, index, size in listener.gpu_memory if index == gpu)
            lines.append(f"Memory of GPU {gpu}: at most {_bytes(most)} in tensors")
    return lines


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else text[: width - 1] + "…"


def _time(microseconds: float) -> str:
    """As PyTorch writes it: `12.000us`, `3.100ms`, `1.200s`."""
    if microseconds >= 1e6:
        return f"{microseconds / 1e6:.3f}s"
    if microseconds >= 1e3:
        return f"{microseconds / 1e3:.3f}ms"
    return f"{microseconds:.3f}us"


def _bytes(size: float) -> str:
    for unit, name in ((1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")):
        if abs(size) >= unit:
            return f"{size / unit:.2f} {name}"
    return f"{size:.0f} B"
