"""Pictures of a report: the roofline, a sweep over sizes, bars beside other libraries.

Drawn by matplotlib's `Figure` itself, so that no backend is chosen and no window opens.
"""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from .measure import Row
from .report import Report, count_text, time_text

OWN = "#d1495b"
COLOURS = {"numpy": "#4d77a5", "torch": "#e08d3c", "jax": "#5b9a68"}
MORE = ("#8a6fb0", "#8c6d4f", "#6f8790", "#b0a13c")
ROOF = "#555555"
#: Panels of the sweep in a row.
ACROSS = 5


class Picture:
    """A figure that shows itself in a notebook; `png` are its bytes."""

    def __init__(self, figure: Figure) -> None:
        self.figure = figure

    @property
    def png(self) -> bytes:
        buffer = io.BytesIO()
        self.figure.savefig(buffer, format="png", dpi=110, facecolor="white")
        return buffer.getvalue()

    def _repr_png_(self) -> bytes:
        return self.png

    def html(self) -> str:
        data = base64.b64encode(self.png).decode()
        return f'<img style="max-width:100%" src="data:image/png;base64,{data}">'


def roofline(report: Report) -> Picture:
    """All kernels at all sizes, the largest size named."""
    figure = Figure(figsize=(10, 6.2), layout="constrained")
    draw_roofline(figure.subplots(), report)
    return Picture(figure)


def sizes(report: Report) -> Picture:
    """A panel for each kernel and dtype."""
    groups = grouped(report.rows)
    across = min(ACROSS, len(groups))
    down = -(-len(groups) // across)
    figure = Figure(figsize=(max(2.9 * across, 4.5), 2.3 * down + 0.7), layout="constrained")
    axes = figure.subplots(down, across, squeeze=False)
    for place, rows in enumerate(groups):
        draw_sizes(axes.flat[place], report, rows)
    for spare in axes.flat[len(groups) :]:
        spare.axis("off")
    handles: dict[str, Any] = {}
    for ax in axes.flat:
        handles |= dict(zip(*reversed(ax.get_legend_handles_labels()), strict=True))
    figure.legend(
        handles.values(), handles.keys(), loc="outside lower center", ncols=6, frameon=False
    )
    for ax in axes[:, 0]:
        ax.set_ylabel("GB/s", fontsize=9)
    for ax in axes.flat[max(0, len(groups) - across) : len(groups)]:
        ax.set_xlabel("elements", fontsize=9)
    return Picture(figure)


def comparison(report: Report) -> Picture | None:
    """Bars of the largest size of each kernel; None where there is nothing to compare with."""
    rows = [row for row in largest(report.rows) if row.peers]
    if not rows:
        return None
    height = 0.9 + (0.22 * len(report.libraries) + 0.14) * len(rows)
    figure = Figure(figsize=(8.5, height + 0.3), layout="constrained")
    draw_comparison(figure.subplots(), report, rows)
    return Picture(figure)


def overview(report: Report) -> Picture:
    """One kernel: roofline, sweep and bars side by side. Several: roofline and bars."""
    groups = grouped(report.rows)
    compared = [row for row in largest(report.rows) if row.peers]
    if len(groups) == 1:
        count = 3 if compared else 2
        figure = Figure(figsize=(4.6 * count, 3.8), layout="constrained")
        axes = figure.subplots(1, count)
        draw_roofline(axes[0], report)
        draw_sizes(axes[1], report, groups[0])
        axes[1].set(xlabel="elements", ylabel="GB/s")
        axes[1].legend(frameon=False, fontsize=8)
        if compared:
            draw_comparison(axes[2], report, compared)
        return Picture(figure)
    height = max(5.0, 0.9 + (0.2 * len(report.libraries) + 0.14) * len(compared))
    figure = Figure(figsize=(15 if compared else 9, min(height, 12)), layout="constrained")
    axes = figure.subplots(1, 2 if compared else 1, squeeze=False)[0]
    draw_roofline(axes[0], report)
    if compared:
        draw_comparison(axes[1], report, compared)
    return Picture(figure)


def grouped(rows: Sequence[Row]) -> list[list[Row]]:
    """The rows of each kernel and dtype, by size."""
    found: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        found.setdefault((row.kernel, row.dtype), []).append(row)
    return [sorted(group, key=lambda row: row.elements) for group in found.values()]


def largest(rows: Sequence[Row]) -> list[Row]:
    """The largest size of each kernel and dtype."""
    return [group[-1] for group in grouped(rows)]


def label_of(report: Report, row: Row) -> str:
    """The kernel's name, with the dtype where the report has it in several."""
    several = any(r.kernel == row.kernel and r.dtype != row.dtype for r in report.rows)
    return f"{row.kernel} {row.dtype}" if several else row.kernel


def colour_of(report: Report, library: str) -> str:
    others = [name for name in report.libraries if name not in COLOURS]
    return COLOURS.get(library) or MORE[others.index(library) % len(MORE)]


# ------------------------------------------------------------------------------ the roofline


def draw_roofline(ax: Any, report: Report) -> None:
    """The roof of the run's threads with a slope for each level, and the kernels below it."""
    rows = [row for row in report.rows if row.intensity and row.operations_per_second]
    own = report.ceilings[max(report.ceilings)]
    peak = own.operations[max(own.operations, key=lambda name: own.operations[name])]
    intensities = [row.intensity or 1.0 for row in rows]
    ridge = peak / own.levels[-1].copy
    left = 2.0 ** math.floor(math.log2(min([*intensities, 1 / 8]) / 1.6))
    right = 2.0 ** math.ceil(math.log2(max([*intensities, 2 * ridge]) * 1.6))
    reached = [row.operations_per_second or 0.0 for row in rows]
    bottom = min([*reached, left * own.levels[-1].copy]) / 2
    top = 2.2 * peak
    ax.set(xscale="log", yscale="log", xlim=(left, right), ylim=(bottom, top))
    for level in own.levels:
        x = np.array([left, peak / level.copy])
        ax.plot(x, x * level.copy, color=ROOF, linewidth=1.1, zorder=1)
    ax.plot([peak / max(v.copy for v in own.levels), right], [peak, peak], color=ROOF, linewidth=1.1, zorder=1)  # fmt: skip
    named = "thread" if own.threads == 1 else "threads"
    unit = f"{own.threads} {named}" if own.device == "cpu" else own.device
    ax.annotate(
        f"multiply-adds, {unit}: {peak / 1e9:.0f} GFLOP/s", (right, peak), (-4, 4),
        textcoords="offset points", ha="right", fontsize=8, color=ROOF,
    )  # fmt: skip
    ax.set(xlabel="operations a byte", ylabel="GFLOP/s")
    _plain(ax.xaxis, [2.0**k for k in range(-12, 16, 2)], left, right, lambda v: _power(v))
    _plain(ax.yaxis, [m * 10.0**k for k in range(5, 16) for m in (1, 3)], bottom, top, lambda v: f"{v / 1e9:g}")  # fmt: skip
    labels = _Labels(ax)  # lays the picture out: from here on it is known what lies where
    size = ax.bbox.size
    wide, high = math.log(right / left), math.log(top / bottom)
    angle = math.degrees(math.atan2(size[1] / high, size[0] / wide))
    for above, level in zip((None, *own.levels), own.levels, strict=False):
        # Where the slope enters the picture, from the left or from below.
        start = max(left, bottom / level.copy)
        text = f"{level.name} {level.copy / 1e9:.0f} GB/s"
        close = above is not None and above.copy < 1.5 * level.copy
        ax.annotate(
            text, (start * 1.06, start * 1.06 * level.copy), (3, -3) if close else (0, 2),
            textcoords="offset points", rotation=angle, rotation_mode="anchor", fontsize=8,
            color=ROOF, va="top" if close else "baseline",
        )  # fmt: skip
        labels.keep_clear_of_slope(start, level.copy, len(text) * 5.0, angle)
    sizes = sorted({row.elements for row in rows})
    single = len(grouped(report.rows)) == 1
    for group in grouped(rows):
        points = [(row.intensity or 1.0, row.operations_per_second or 1.0) for row in group]
        if len(points) > 1:
            ax.plot(*zip(*points, strict=True), color=OWN, alpha=0.25, linewidth=1, zorder=2)
        for row, point in zip(group, points, strict=True):
            last = row is group[-1]
            depth = 0.25 + 0.75 * (sizes.index(row.elements) + 1) / len(sizes)
            ax.plot(
                *point, "o", color=OWN, alpha=depth, markersize=6.5 if last else 4.5,
                markeredgewidth=0, zorder=3,
            )  # fmt: skip
            labels.points.append(point)
    for group in sorted(grouped(rows), key=lambda g: -(g[-1].operations_per_second or 0)):
        for row in group if single else group[-1:]:
            name = count_text(row.elements) if single else label_of(report, row)
            labels.place(name, row.intensity or 1.0, row.operations_per_second or 1.0)
    title = report.rows[0].kernel if single else "Roofline"
    sized = ", ".join(count_text(n) for n in sizes) if 1 < len(sizes) <= 6 and not single else ""
    ax.set_title(f"{title}{f': paler points are smaller, {sized}' if sized else ''}", fontsize=10)
    ax.spines[["top", "right"]].set_visible(False)


class _Labels:
    """Names beside points, none over another."""

    def __init__(self, ax: Any) -> None:
        self.ax = ax
        self.points: list[tuple[float, float]] = []
        self.boxes: list[tuple[float, float, float, float]] = []
        figure = ax.figure
        figure.draw_without_rendering()
        self.scale = 72 / figure.dpi  # points of type for a pixel

    def _at(self, x: float, y: float) -> tuple[float, float]:
        px, py = self.ax.transData.transform((x, y))
        return px * self.scale, py * self.scale

    def keep_clear_of_slope(self, x: float, rate: float, length: float, angle: float) -> None:
        """Where the text along a slope is."""
        px, py = self._at(x, x * rate)
        slope = math.radians(angle)
        for step in range(0, int(length), 8):
            cx, cy = px + step * math.cos(slope), py + step * math.sin(slope)
            self.boxes.append((cx, cy - 2, cx + 8, cy + 12))

    def place(self, text: str, x: float, y: float) -> None:
        """Write at the nearest free place around a point."""
        px, py = self._at(x, y)
        width, height = 4.6 * len(text) + 2, 9.5
        dots = [self._at(*point) for point in self.points]
        best: tuple[float, float, float, str] | None = None
        for distance in (7.0, 14, 22, 32, 44, 58, 74, 92):
            for turn in range(0, 360, 15):
                dx, dy = (
                    distance * math.cos(math.radians(turn)),
                    distance * math.sin(math.radians(turn)),
                )
                side = "left" if dx > 1 else "right" if dx < -1 else "center"
                left = px + dx - {"left": 0, "right": width, "center": width / 2}[side]
                box = (left, py + dy - height / 2, left + width, py + dy + height / 2)
                taken = any(_overlap(box, other) for other in self.boxes)
                on_dot = any(
                    box[0] - 2 < dot[0] < box[2] + 2 and box[1] - 2 < dot[1] < box[3] + 2
                    for dot in dots
                )
                inside = self._inside(box)
                if not taken and not on_dot and inside:
                    best = (dx, dy, distance, side)
                    self.boxes.append(box)
                    break
            if best:
                break
        if best is None:
            return
        dx, dy, distance, side = best
        line = {"arrowstyle": "-", "color": "#999999", "linewidth": 0.6, "shrinkB": 3, "shrinkA": 0}
        self.ax.annotate(
            text, (x, y), (dx, dy), textcoords="offset points", ha=side, va="center", fontsize=8,
            arrowprops=line if distance > 10 else None, zorder=4,
        )  # fmt: skip

    def _inside(self, box: tuple[float, float, float, float]) -> bool:
        x0, y0, x1, y1 = (v * self.scale for v in self.ax.bbox.extents)
        return x0 <= box[0] and box[2] <= x1 + 10 and y0 <= box[1] and box[3] <= y1


def _overlap(a: tuple[float, ...], b: tuple[float, ...]) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


def _power(value: float) -> str:
    return f"{value:g}" if value >= 1 else f"1/{1 / value:g}"


def _plain(axis: Any, places: Sequence[float], low: float, high: float, text: Any) -> None:
    axis.set_major_locator(FixedLocator([v for v in places if low <= v <= high]))
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(FuncFormatter(lambda value, _: text(value)))


# --------------------------------------------------------------------- the sweep and the bars


def draw_sizes(ax: Any, report: Report, rows: list[Row]) -> None:
    """GB/s of one kernel over its sizes, the ceiling above."""
    elements = [row.elements for row in rows]
    moved = np.array([row.bytes for row in rows])
    roof = moved / np.array([row.least for row in rows]) / 1e9
    marker = "o" if len(rows) < 9 else ""
    ax.plot(elements, roof, color=ROOF, linewidth=1, linestyle=(0, (4, 2)), label="ceiling")
    ax.fill_between(elements, roof, color=ROOF, alpha=0.06, linewidth=0)
    for name in report.libraries:
        pairs = [
            (n, size / row.peers[name][0] / 1e9)
            for n, size, row in zip(elements, moved, rows, strict=True)
            if name in row.peers
        ]
        if pairs:
            ax.plot(*zip(*pairs, strict=True), color=colour_of(report, name), marker=marker, markersize=3, linewidth=1.2, label=name)  # fmt: skip
    own = moved / np.array([row.seconds for row in rows]) / 1e9
    ax.plot(elements, own, color=OWN, marker=marker, markersize=4, linewidth=2, label="numgrad")
    ax.set(xscale="log", ylim=(0, None))
    ax.set_title(label_of(report, rows[0]), fontsize=9)
    places = [n for k, n in enumerate(elements) if len(elements) <= 5 or k % 2 == 0]
    ax.xaxis.set_major_locator(FixedLocator(places))
    ax.xaxis.set_minor_locator(NullLocator())
    ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: count_text(round(value))))
    ax.tick_params(labelsize=8)
    ax.spines[["top", "right"]].set_visible(False)


def draw_comparison(ax: Any, report: Report, rows: list[Row]) -> None:
    """How many times as long the other libraries take."""
    libraries = report.libraries
    thickness = 0.8 / len(libraries)
    high = max(row.ratio(name) or 1.0 for row in rows for name in libraries)
    low = min(row.ratio(name) or 1.0 for row in rows for name in libraries)
    left, right = min(0.8, low / 1.15), high * 2.2
    ax.set(xscale="log", xlim=(left, right))
    for k, name in enumerate(libraries):
        places, ratios = [], []
        for place, row in enumerate(rows):
            ratio = row.ratio(name)
            if ratio is not None:
                places.append(place + (k - (len(libraries) - 1) / 2) * thickness)
                ratios.append(ratio)
        widths = [ratio - 1 for ratio in ratios]
        ax.barh(
            places, widths, left=1, height=0.9 * thickness, color=colour_of(report, name),
            label=name, zorder=2,
        )  # fmt: skip
        for at, ratio in zip(places, ratios, strict=True):
            ax.annotate(
                f"{ratio:.2f}×" if ratio < 9.95 else f"{ratio:.0f}×", (max(ratio, 1.0), at), (4, 0),
                textcoords="offset points", va="center", fontsize=7.5,
            )  # fmt: skip
    ax.axvline(1, color=OWN, linewidth=1.5, zorder=3)
    names = [
        f"{label_of(report, row)}\n{count_text(row.elements)}, {time_text(row.seconds)}"
        for row in rows
    ]
    ax.set_yticks(range(len(rows)), names, fontsize=8)
    ax.set_ylim(len(rows) - 0.5, -0.5)
    _plain(ax.xaxis, [0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1000], left, right, lambda v: f"{v:g}×")  # fmt: skip
    ax.grid(axis="x", color="#dddddd", linewidth=0.6, zorder=0)
    ax.set_title("time of the others over numgrad's (right of the line: numgrad is faster)", fontsize=9)  # fmt: skip
    ax.legend(frameon=False, fontsize=8, loc="lower right")
    ax.spines[["top", "right"]].set_visible(False)
