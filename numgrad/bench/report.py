"""The results of a run: as a table, as JSON, with pictures; beside those of another run."""

from __future__ import annotations

import dataclasses
import datetime
import html
import importlib.metadata
import importlib.util
import json
import os
import pathlib
import platform
import subprocess
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import llvmlite.binding as llvm

from .._version import __version__
from . import ceilings
from .measure import LIBRARIES, Row

if TYPE_CHECKING:
    from .pictures import Picture

FOLDER = "numgrad-bench"
_FORMAT = 1
#: From which part of the ceiling on a figure is good, and from which on middling.
GOOD, MIDDLING = 0.7, 0.4
#: A change beyond the noise is more than this, and more than so many times the rounds' quartiles
#: are apart.
CHANGE, QUARTILES = 0.05, 2.0


def time_text(seconds: float) -> str:
    """`3.95 µs`."""
    for unit, size in (("s", 1.0), ("ms", 1e-3), ("µs", 1e-6)):
        if seconds >= size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds * 1e9:.0f} ns"


def count_text(count: int) -> str:
    """`2^20`, or the number itself where it is no power of two."""
    return f"2^{count.bit_length() - 1}" if count & (count - 1) == 0 else f"{count:,}"


def rate_text(rate: float | None) -> str:
    """Billions a second."""
    if not rate:
        return "–"
    return f"{rate / 1e9:.0f}" if rate >= 99.5e9 else f"{rate / 1e9:.3g}"


@dataclasses.dataclass
class Report:
    """What was measured where: a row a kernel and size. Shows itself in a notebook; `print` it
    elsewhere.

    `ceilings` are the machine's by the number of threads, `notes` what else was noticed.
    """

    rows: list[Row]
    ceilings: dict[int, ceilings.Ceilings]
    machine: dict[str, Any]
    versions: dict[str, str]
    commit: str | None
    when: str
    notes: list[str] = dataclasses.field(default_factory=list)
    device: str = "cpu"

    # ------------------------------------------------------------------------------ text

    @property
    def libraries(self) -> list[str]:
        """The libraries compared with, in the order of the table's columns."""
        found = {name for row in self.rows for name in row.peers}
        return [name for name in LIBRARIES if name in found] + sorted(found - {*LIBRARIES})

    def headings(self) -> list[str]:
        listed = [
            "kernel",
            "dtype",
            "elements",
            "time",
            "±",
            "GB/s",
            "GFLOP/s",
            "roofline",
            "bound",
        ]
        return [*listed, *self.libraries]

    def cells(self, row: Row) -> list[str]:
        """The texts of a row of the table."""
        floating = row.dtype.startswith("float")
        listed = [
            row.kernel,
            row.dtype,
            count_text(row.elements),
            time_text(row.seconds),
            f"{row.spread:.0%}",
            rate_text(row.bytes_per_second),
            rate_text(row.operations_per_second if floating else None),
            f"{row.roofline:.0%}",
            row.bound,
        ]
        ratios = [row.ratio(name) for name in self.libraries]
        return [*listed, *["–" if r is None else f"{r:.2f}×" for r in ratios]]

    def ceiling_lines(self) -> list[str]:
        """The machine's ceilings in words, a line for each number of threads."""
        lines = []
        for threads, own in sorted(self.ceilings.items()):
            levels = ", ".join(
                f"{v.name} {rate_text(v.copy)} (read {rate_text(v.read)})" for v in own.levels
            )
            peaks = ", ".join(f"{rate_text(v)} in {name}" for name, v in own.operations.items())
            plural = "s" if threads > 1 else ""
            unit = f"{threads} thread{plural}" if own.device == "cpu" else own.device
            lines.append(f"{unit}: copies {levels} GB/s; multiply-adds {peaks} GFLOP/s")
            lines[-1] += f"; a launch {time_text(own.launch)}"
        return lines

    def heading(self) -> str:
        machine = self.machine
        commit = f", {self.commit[:9]}" if self.commit else ""
        return (
            f"numgrad {self.versions['numgrad']}{commit} on {machine['processor']}, "
            f"{machine['cores']} cores, {self.when}"
        )

    def __str__(self) -> str:
        """The table as plain text."""
        body = [self.headings()]
        last = None
        for row in self.rows:
            cells = self.cells(row)
            if (row.kernel, row.dtype) == last:
                cells[0] = cells[1] = ""
            last = (row.kernel, row.dtype)
            body.append(cells)
        widths = [max(map(len, column)) for column in zip(*body, strict=True)]
        lines = [
            "  ".join(
                text.ljust(w) if k in (0, 1, 8) else text.rjust(w)
                for k, (text, w) in enumerate(zip(cells, widths, strict=True))
            ).rstrip()
            for cells in body
        ]
        return "\n".join([self.heading(), *self.ceiling_lines(), "", *lines, *self.notes])

    def show(self) -> None:
        """Print the table: in colours where `rich` is installed."""
        if importlib.util.find_spec("rich") is None:
            print(self)
            return
        from rich.console import Console

        console = Console()
        # A table that is not for a terminal's width is for a file: as wide as it needs.
        if not console.is_terminal:
            console = Console(width=200)
        console.print(f"[bold]{self.heading()}[/]", highlight=False)
        for line in self.ceiling_lines():
            console.print(line, highlight=False, style="dim")
        console.print(self.table())
        for note in self.notes:
            console.print(note, highlight=False, style="dim")

    def table(self) -> Any:
        """The table as `rich` has it."""
        from rich import box
        from rich.table import Table

        table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
        for name in self.headings():
            left = name in ("kernel", "dtype", "bound")
            table.add_column(name, justify="left" if left else "right", no_wrap=True)
        for place, row in enumerate(self.rows):
            cells = self.cells(row)
            before = self.rows[place - 1] if place else None
            if before is not None and before.key[:2] == row.key[:2]:
                cells[0] = cells[1] = ""
            else:
                cells[0] = f"[bold]{cells[0]}[/]"
            cells[7] = f"[{_grade(row.roofline)}]{cells[7]}[/]"
            for k, name in enumerate(self.libraries, 9):
                ratio = row.ratio(name)
                if ratio is not None:
                    cells[k] = f"[{'green' if ratio >= 1 else 'red'}]{cells[k]}[/]"
            after = self.rows[place + 1] if place + 1 < len(self.rows) else None
            last = after is not None and after.key[:2] != row.key[:2] and len(self.rows) > 12
            table.add_row(*cells, end_section=last)
        return table

    def _repr_mimebundle_(self, **_: Any) -> dict[str, str]:
        return {"text/plain": str(self), "text/html": self.html()}

    def html(self, pictures: bool = True) -> str:
        """The table, and where matplotlib is installed the overview, as HTML."""
        colours = {"green": "#2e7d32", "yellow": "#b26a00", "red": "#c62828"}

        def cell(text: str, style: str = "") -> str:
            return f'<td style="text-align:right;{style}">{html.escape(text)}</td>'

        lines = [
            f"<b>{html.escape(self.heading())}</b>",
            *[
                f'<br><span style="opacity:.7">{html.escape(x)}</span>'
                for x in self.ceiling_lines()
            ],
            "<table><thead><tr>",
            *[f'<th style="text-align:right">{name}</th>' for name in self.headings()],
            "</tr></thead><tbody>",
        ]
        for row in self.rows:
            cells = self.cells(row)
            grade = colours[_grade(row.roofline)]
            filled = min(100.0, 100 * row.roofline)
            bar = f"background:linear-gradient(90deg,{grade}55 {filled:.0f}%,transparent 0)"
            lines.append("<tr>")
            for k, text in enumerate(cells):
                style = bar if k == 7 else ""
                if k >= 9 and text != "–":
                    ratio = row.ratio(self.libraries[k - 9])
                    better = ratio is not None and ratio >= 1
                    style = f"color:{colours['green' if better else 'red']}"
                lines.append(cell(text, style))
            lines.append("</tr>")
        lines.append("</tbody></table>")
        lines += [f'<div style="opacity:.7">{html.escape(note)}</div>' for note in self.notes]
        if pictures and importlib.util.find_spec("matplotlib") is not None:
            lines.append(self.overview().html())
        return "".join(lines)

    # ------------------------------------------------------------------------------ files

    def as_dict(self) -> dict[str, Any]:
        rows = []
        for row in self.rows:
            own = dataclasses.asdict(row)
            own["bytes_per_second"] = row.bytes_per_second
            own["operations_per_second"] = row.operations_per_second
            own["roofline"] = row.roofline
            rows.append(own)
        return {
            "format": _FORMAT,
            "when": self.when,
            "commit": self.commit,
            "device": self.device,
            "machine": self.machine,
            "versions": self.versions,
            "ceilings": {str(k): v.as_dict() for k, v in self.ceilings.items()},
            "notes": self.notes,
            "results": rows,
        }

    def save(self, folder: str | os.PathLike[str] = FOLDER) -> list[pathlib.Path]:
        """Write `<time>.json`, and where matplotlib is installed the pictures; what was written."""
        target = pathlib.Path(folder)
        target.mkdir(parents=True, exist_ok=True)
        stem = self.when.replace(":", "").replace("-", "").replace(" ", "-")
        written = [target / f"{stem}.json"]
        written[0].write_text(json.dumps(self.as_dict(), indent=1))
        if importlib.util.find_spec("matplotlib") is not None:
            for name in ("roofline", "sizes", "comparison"):
                picture: Picture | None = getattr(self, name)()
                if picture is not None:
                    written.append(target / f"{stem}-{name}.png")
                    written[-1].write_bytes(picture.png)
        return written

    # --------------------------------------------------------------------------- pictures

    def roofline(self) -> Picture:
        """Every kernel under the machine's roof: operations a second over operations a byte."""
        from . import pictures

        return pictures.roofline(self)

    def sizes(self) -> Picture:
        """A panel a kernel: bytes a second over the size, the other libraries', the ceiling."""
        from . import pictures

        return pictures.sizes(self)

    def comparison(self) -> Picture | None:
        """Bars: how many times as long other libraries take, at the largest size."""
        from . import pictures

        return pictures.comparison(self)

    def overview(self) -> Picture:
        """All three for one kernel, the roofline and the bars for several."""
        from . import pictures

        return pictures.overview(self)


def _grade(part: float) -> str:
    return "green" if part >= GOOD else "yellow" if part >= MIDDLING else "red"


def gather(
    rows: list[Row], own: Iterable[ceilings.Ceilings], notes: list[str], device: str = "cpu"
) -> Report:
    """A report of the rows, with what is to be known of this machine."""
    versions = {"numgrad": __version__, "python": platform.python_version()}
    for name in ("numba", "llvmlite", *LIBRARIES, "numba-cuda"):
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    features = llvm.get_host_cpu_features()
    machine = {
        "processor": llvm.get_host_cpu_name(),
        "architecture": platform.machine(),
        "system": platform.platform(),
        "cores": len(os.sched_getaffinity(0))
        if hasattr(os, "sched_getaffinity")
        else os.cpu_count(),
        "caches": ceilings.caches(),
        "features": sorted(name for name, present in features.items() if present),
    }
    when = datetime.datetime.now().isoformat(" ", "seconds")
    by_threads = {c.threads: c for c in own}
    return Report(rows, by_threads, machine, versions, commit(), when, notes, device)


def missing() -> list[str]:
    """What a table or a picture lacks because a package is not installed."""
    lacking = []
    for module, what in (("rich", "colours"), ("matplotlib", "pictures")):
        if importlib.util.find_spec(module) is None:
            lacking.append(f'no {what} without {module}: pip install "numgrad[bench]"')
    return lacking


def commit() -> str | None:
    """The commit of the checkout that this package is in, with `+` where files have changed."""
    root = pathlib.Path(__file__).resolve().parents[2]
    if not (root / ".git").exists():
        return None
    try:
        done = subprocess.run(
            ["git", "describe", "--always", "--abbrev=40", "--match=", "--dirty=+"],
            cwd=root, capture_output=True, text=True, timeout=10,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() or None if done.returncode == 0 else None


def load(file: str | os.PathLike[str]) -> Report:
    """A report from its JSON file."""
    value = json.loads(pathlib.Path(file).read_text())
    if not isinstance(value, dict) or value.get("format") != _FORMAT:
        raise ValueError(f"{file} is no report of `numgrad bench` (format {_FORMAT})")
    names = {field.name for field in dataclasses.fields(Row)}
    rows = []
    for row in value["results"]:
        own = {name: row[name] for name in names}
        own["shape"] = tuple(own["shape"])
        own["peers"] = {name: tuple(span) for name, span in own["peers"].items()}
        rows.append(Row(**own))
    own_ceilings = {int(k): ceilings.from_dict(v) for k, v in value["ceilings"].items()}
    keep = ("machine", "versions", "commit", "when", "notes", "device")
    return Report(rows, own_ceilings, **{name: value[name] for name in keep})
