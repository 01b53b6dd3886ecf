"""Two runs side by side: what became faster or slower, beyond the noise of both."""

from __future__ import annotations

import dataclasses
import html
import os
import statistics
from typing import Any

from .measure import Row
from .report import CHANGE, QUARTILES, Report, count_text, load, time_text


@dataclasses.dataclass
class Change:
    """One kernel at one size in both runs. `ratio` is the time before over the time after: above 1
    it is faster now. `noise` is the ratio up to which a change says nothing."""

    before: Row
    after: Row

    @property
    def ratio(self) -> float:
        return self.before.seconds / self.after.seconds

    @property
    def noise(self) -> float:
        return 1 + CHANGE + QUARTILES * max(self.before.spread, self.after.spread)

    @property
    def mark(self) -> str:
        """ "faster", "slower", or nothing where the difference may be noise."""
        if self.ratio > self.noise:
            return "faster"
        return "slower" if self.ratio < 1 / self.noise else ""


@dataclasses.dataclass
class Changes:
    """What `compare` found; shows itself in a notebook, `print` it elsewhere."""

    before: Report
    after: Report
    changes: list[Change]

    @property
    def marked(self) -> list[Change]:
        return [change for change in self.changes if change.mark]

    def _notes(self) -> list[str]:
        notes = []
        for what in ("processor", "cores"):
            a, b = self.before.machine.get(what), self.after.machine.get(what)
            if a != b:
                notes.append(f"not the same machine: {what} {a} and {b}")
        a_peak, b_peak = (
            max(r.ceilings[max(r.ceilings)].operations.values()) for r in (self.before, self.after)
        )
        if not 0.9 < a_peak / b_peak < 1.1:
            notes.append(
                f"the machine itself ran at another speed: its multiply-adds {a_peak / b_peak:.2f}×"
            )
        keys = {c.after.key for c in self.changes}
        only = (
            [r for r in self.before.rows if r.key not in keys],
            [r for r in self.after.rows if r.key not in keys],
        )
        for rows, which in zip(only, ("before", "after"), strict=True):
            if rows:
                notes.append(f"only {which}: " + ", ".join(sorted({r.kernel for r in rows})))
        count = {mark: sum(c.mark == mark for c in self.changes) for mark in ("faster", "slower")}
        typical = statistics.median([c.ratio for c in self.changes]) if self.changes else 1.0
        notes.append(
            f"of {len(self.changes)} figures {count['faster']} are faster and {count['slower']} "
            f"slower beyond the noise; the median ratio is {typical:.2f}"
        )
        return notes

    def _table(self) -> list[list[str]]:
        lines = [["kernel", "dtype", "elements", "before", "after", "before / after", "noise", ""]]
        for c in self.changes:
            lines.append([
                c.after.kernel, c.after.dtype, count_text(c.after.elements),
                time_text(c.before.seconds), time_text(c.after.seconds), f"{c.ratio:.2f}×",
                f"±{c.noise - 1:.0%}", c.mark,
            ])  # fmt: skip
        return lines

    def __str__(self) -> str:
        body = self._table()
        widths = [max(map(len, column)) for column in zip(*body, strict=True)]
        lines = [
            "  ".join(
                text.ljust(w) if k in (0, 1, 7) else text.rjust(w)
                for k, (text, w) in enumerate(zip(cells, widths, strict=True))
            ).rstrip()
            for cells in body
        ]
        heads = [f"before: {self.before.heading()}", f"after:  {self.after.heading()}"]
        return "\n".join([*heads, "", *lines, "", *self._notes()])

    def _repr_mimebundle_(self, **_: Any) -> dict[str, str]:
        colours = {"faster": "color:#2e7d32", "slower": "color:#c62828", "": ""}
        head, *body = self._table()
        rows = ["<tr>" + "".join(f"<th>{html.escape(text)}</th>" for text in head) + "</tr>"]
        for cells in body:
            style = colours[cells[-1]]
            rows.append(
                f'<tr style="{style}">'
                + "".join(f"<td>{html.escape(t)}</td>" for t in cells)
                + "</tr>"
            )
        notes = "".join(f"<div>{html.escape(note)}</div>" for note in self._notes())
        return {"text/plain": str(self), "text/html": f"<table>{''.join(rows)}</table>{notes}"}


def compare(
    before: Report | str | os.PathLike[str], after: Report | str | os.PathLike[str]
) -> Changes:
    """Two reports, or their files, kernel by kernel.

    A change is marked where it is larger than 5 % and twice the quartiles of either run's rounds.
    """
    a, b = (x if isinstance(x, Report) else load(x) for x in (before, after))
    known = {row.key: row for row in a.rows}
    return Changes(a, b, [Change(known[row.key], row) for row in b.rows if row.key in known])
