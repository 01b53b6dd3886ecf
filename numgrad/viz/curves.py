"""Training curves: one panel for each measure, a line for each of its histories."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from .picture import Picture, number, path, text, text_width

COLORS = ("#2b6cb0", "#dd6b20", "#2f855a", "#9f3a8e", "#b7791f", "#4a5568")
#: A panel's plot, and the space around it for labels.
WIDTH, HEIGHT = 320.0, 170.0
LEFT, RIGHT, TOP, BOTTOM = 58.0, 20.0, 40.0, 40.0
#: Names of what counts the values, in the order in which they are looked for.
COUNTS = ("step", "epoch", "iteration")
#: From so many values on, a line is drawn faintly, with its moving average.
LONG = 200
#: Measures whose small values matter.
_FALLING = re.compile("loss|err|mse|mae|perplexity|residual", re.IGNORECASE)

History = Mapping[str, Iterable[Any]] | Iterable[Mapping[str, Any]]


def history(values: History, *, title: str | None = None, log: bool | None = None) -> Picture:
    """Curves of what was noted down during training.

    `values` is a dict of lists, `{"train loss": [...], "test loss": [...], "accuracy": [...]}`, or
    a list of dicts with such names, one for each epoch or step; numbers or 0-d tensors. Names
    that end alike share a panel. A list named "epoch" or "step" gives the numbers on the x axis.
    `log`: logarithmic y axes (by default for losses and errors that span a factor of 50).

    Raises ValueError where there is nothing to draw.

    >>> numgrad.viz.history({"train loss": [1.0, 0.5, 0.4], "test loss": [1.1, 0.7, 0.7]})
    <picture of the history of 1 measure, 398 × 250>
    """
    columns = _columns(values)
    count_name = next((name for name in COUNTS if name in columns and len(columns) > 1), None)
    counts = columns.pop(count_name) if count_name is not None else None
    panels: dict[str, dict[str, list[float]]] = {}
    for name, column in columns.items():
        measure = re.split(r"[\s_/.:-]+", name.strip())[-1]
        panels.setdefault(measure, {})[name] = column
    if not any(column for lines in panels.values() for column in lines.values()):
        raise ValueError("history(): there are no values to draw")
    across = min(len(panels), 3)
    down = -(-len(panels) // across)
    head = 26.0 if title else 0.0
    panel_width, panel_height = LEFT + WIDTH + RIGHT, TOP + HEIGHT + BOTTOM
    parts: list[str] = []
    if title:
        parts.append(text(across * panel_width / 2, 20, title, 13, bold=True))
    for k, (measure, lines) in enumerate(panels.items()):
        x, y = k % across * panel_width, head + k // across * panel_height
        _panel(parts, x + LEFT, y + TOP, measure, lines, counts, count_name or "step", log)
    plural = "measure" if len(panels) == 1 else "measures"
    what = f"the history of {len(panels)} {plural}"
    return Picture(across * panel_width, head + down * panel_height, parts, what)


def _columns(values: History) -> dict[str, list[float]]:
    if isinstance(values, Mapping):
        return {str(name): [float(v) for v in column] for name, column in values.items()}
    records = list(values)
    names = dict.fromkeys(name for record in records for name in record)
    return {str(name): [float(record.get(name, math.nan)) for record in records] for name in names}


def _panel(
    parts: list[str],
    x: float,
    y: float,
    measure: str,
    lines: dict[str, list[float]],
    counts: list[float] | None,
    count_name: str,
    log: bool | None,
) -> None:
    finite = [v for column in lines.values() for v in column if math.isfinite(v)]
    positive = bool(finite) and min(finite) > 0
    if log is None:
        log = bool(_FALLING.search(measure)) and positive and max(finite) / min(finite) > 50
    logarithmic = positive and log
    scale = math.log10 if logarithmic else float
    low, high = (scale(min(finite)), scale(max(finite))) if finite else (0.0, 1.0)
    margin = (high - low) * 0.05 or 0.5
    low, high = low - margin, high + margin
    longest = max(map(len, lines.values()))
    places = counts if counts is not None else [float(k) for k in range(1, longest + 1)]
    first, last = (min(places), max(places)) if places else (0.0, 1.0)
    if first == last:
        first, last = first - 0.5, last + 0.5

    def at_x(value: float) -> float:
        return x + (value - first) / (last - first) * WIDTH

    def at_y(value: float) -> float:
        return y + HEIGHT - (scale(value) - low) / (high - low) * HEIGHT

    ticks = _powers(low, high) if logarithmic else nice_ticks(low, high)
    for tick in ticks:
        height = at_y(tick)
        parts.append(path(f"M{number(x)},{number(height)} h{number(WIDTH)}", "#e6e6e6", 0.8))
        parts.append(text(x - 6, height + 3.5, f"{tick:g}", 10, fill="#555555", anchor="end"))
    for tick in nice_ticks(first, last):
        parts.append(text(at_x(tick), y + HEIGHT + 15, f"{tick:g}", 10, fill="#555555"))
    parts.append(
        path(f"M{number(x)},{number(y)} v{number(HEIGHT)} h{number(WIDTH)}", "#999999", 0.9)
    )
    parts.append(text(x + WIDTH / 2, y + HEIGHT + 31, count_name, 10.5, fill="#555555"))
    parts.append(text(x, y - 22, measure, 12, bold=True, anchor="start"))
    key = x
    for k, (name, column) in enumerate(lines.items()):
        color = COLORS[k % len(COLORS)]
        points = [(at_x(p), at_y(v) if _drawn(v, logarithmic) else None)
                  for p, v in zip(places, column, strict=False)]  # fmt: skip
        if len(column) >= LONG:
            parts.append(path(_polyline(points), color, 0.6).replace("/>", ' opacity="0.35"/>'))
            column_smooth = _averaged(column, len(column) // 40)
            points = [(at_x(p), at_y(v) if _drawn(v, logarithmic) else None)
                      for p, v in zip(places, column_smooth, strict=False)]  # fmt: skip
        parts.append(path(_polyline(points), color, 1.8))
        known = [v for v in column if math.isfinite(v)]
        label = f"{name} {known[-1]:.4g}" if known else name
        parts.append(path(f"M{number(key)},{number(y - 9)} h14", color, 2.4))
        parts.append(text(key + 18, y - 5.5, label, 10, fill="#444444", anchor="start"))
        key += text_width(label, 10) + 30


def _drawn(value: float, logarithmic: bool) -> bool:
    return math.isfinite(value) and (value > 0 or not logarithmic)


def _polyline(points: Sequence[tuple[float, float | None]]) -> str:
    """Lines between neighbours; a gap where there is no value, a dot for a value by itself."""
    data, pen = [], "M"
    for k, (x, y) in enumerate(points):
        if y is None:
            pen = "M"
            continue
        data.append(f"{pen}{number(x)},{number(y)}")
        alone = pen == "M" and (k + 1 == len(points) or points[k + 1][1] is None)
        if alone:
            data.append("h0.1")
        pen = "L"
    return " ".join(data) or "M0,0"


def _averaged(column: Sequence[float], half: int) -> list[float]:
    """The mean of the finite values up to `half` places away."""
    sums, counts = [0.0], [0]
    for value in column:
        finite = math.isfinite(value)
        sums.append(sums[-1] + (value if finite else 0.0))
        counts.append(counts[-1] + finite)
    result = []
    for k in range(len(column)):
        reach = min(half, k, len(column) - 1 - k)  # as far to both sides
        low, high = k - reach, k + reach + 1
        count = counts[high] - counts[low]
        result.append((sums[high] - sums[low]) / count if count else math.nan)
    return result


def nice_ticks(low: float, high: float, most: int = 6) -> list[float]:
    """At most `most` round numbers between two, evenly spaced.

    >>> from numgrad.viz.curves import nice_ticks
    >>> nice_ticks(0.03, 0.98)
    [0.2, 0.4, 0.6, 0.8]
    """
    rough = (high - low) / most
    size = 10 ** math.floor(math.log10(rough))
    step = next(size * factor for factor in (1, 2, 5, 10) if size * factor >= rough * 0.999)
    first = math.ceil(low / step - 1e-9)
    last = math.floor(high / step + 1e-9)
    return [float(f"{k * step:.10g}") for k in range(first, last + 1)]


def _powers(low: float, high: float) -> list[float]:
    """Powers of ten, with 2 and 5 between them where there are few."""
    factors = (1, 2, 5) if high - low < 2 else (1,)
    found = [f * 10.0**k for k in range(math.floor(low), math.ceil(high) + 1) for f in factors]
    kept = [value for value in found if low <= math.log10(value) <= high]
    return kept[:: -(-len(kept) // 7)] if kept else []
