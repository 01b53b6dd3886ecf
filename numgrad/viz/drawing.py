"""A graph of boxes as a picture."""

from __future__ import annotations

from . import layout
from .boxes import COLORS, Box, Graph, Group
from .layout import Level
from .picture import Picture, number, path, rectangle, text, text_width

MARGIN = 14.0
LINE_COLOR = "#6b7683"
FRAMES = ("#f7f9fc", "#eef3f9", "#e5edf6")  # by depth


def draw(graph: Graph, title: str, what: str) -> Picture:
    """Lay the graph out and draw it, with a title above and a legend below."""
    levels = layout.lay_out(graph)
    root = graph.root
    head = 30.0 if title else 0.0
    kinds = [kind for kind in COLORS if any(box.kind == kind for box in root.boxes())]
    rows = _legend_rows(kinds, max(root.width, 260.0))
    width = max(root.width, text_width(title, 13, bold=True) if title else 0.0, _legend_width(rows))
    left = MARGIN + (width - root.width) / 2
    parts: list[str] = []
    if title:
        parts.append(text(MARGIN + width / 2, MARGIN + 13, title, 13, bold=True))
    _frames(root, left, MARGIN + head, parts)
    _lines(root, levels, left, MARGIN + head, parts)
    _boxes(root, left, MARGIN + head, parts)
    y = MARGIN + head + root.height + 22
    for row in rows:
        _legend(row, MARGIN + width / 2, y, parts)
        y += 18
    return Picture(width + 2 * MARGIN, y, parts, what)


def _frames(group: Group, x: float, y: float, parts: list[str]) -> None:
    for item in group.items:
        if isinstance(item, Group):
            left, top = x + item.x, y + item.y
            size = item.width, item.height
            parts.append(rectangle(left, top, *size, _fill(item), "#9fb4cc", 8))
            _frames(item, left, top, parts)


def _fill(group: Group) -> str:
    return FRAMES[(len(group.chain) - 2) % len(FRAMES)]


def _lines(group: Group, levels: dict[Group, Level], x: float, y: float, parts: list[str]) -> None:
    for points, arrow in levels[group].lines:
        placed = [(x + px, y + py) for px, py in points]
        parts.append(path(_curve(placed), LINE_COLOR, 1.1))
        if arrow:
            px, py = placed[-1]
            tip = f"M{number(px)},{number(py)} l-3.5,-6 l7,0 z"
            parts.append(path(tip, "none", 0, fill=LINE_COLOR))
    for item in group.items:
        if isinstance(item, Group):
            _lines(item, levels, x + item.x, y + item.y, parts)


def _curve(points: list[tuple[float, float]]) -> str:
    """Straight where two points are above each other, bent in between where they are not."""
    (x, y), *rest = points
    data = [f"M{number(x)},{number(y)}"]
    for nx, ny in rest:
        if abs(nx - x) < 0.5:
            data.append(f"L{number(nx)},{number(ny)}")
        else:
            middle = (y + ny) / 2
            data.append(
                f"C{number(x)},{number(middle)} {number(nx)},{number(middle)} "
                f"{number(nx)},{number(ny)}"
            )
        x, y = nx, ny
    return " ".join(data)


def _boxes(group: Group, x: float, y: float, parts: list[str]) -> None:
    for item in group.items:
        if isinstance(item, Group):
            heading = f"{item.label}: {item.title}"
            left, top = x + item.x, y + item.y
            fill, size = _fill(item), text_width(heading, 10.5, True)
            parts.append(rectangle(left + 8, top + 4, size + 4, 14, fill, "none", 0, 0))
            parts.append(text(left + 10, top + 15, heading, 10.5, True, "#4a627d", "start"))
            _boxes(item, left, top, parts)
        else:
            _box(item, x + item.x, y + item.y, parts)


def _box(box: Box, x: float, y: float, parts: list[str]) -> None:
    fill = COLORS[box.kind]
    radius = 12.0 if box.kind == "input" else 5.0
    if box.stacked:
        for shift in (8, 4):
            parts.append(
                rectangle(x + shift, y + shift, box.width, box.height, fill, "#8a8a8a", radius)
            )
    stroke, width = ("#222222", 1.6) if box.marked else ("#8a8a8a", 0.8)
    parts.append(rectangle(x, y, box.width, box.height, fill, stroke, radius, width))
    middle = x + box.width / 2
    at = y + layout.PAD_Y + 11
    parts.append(text(middle, at, box.title, layout.TITLE, bold=True))
    for line in box.lines:
        at += layout.LINE_HEIGHT
        parts.append(text(middle, at, line, layout.LINE))
    for line in box.small:
        at += layout.SMALL_HEIGHT
        parts.append(text(middle, at, line, layout.SMALL, fill="#666666"))


def _legend_rows(kinds: list[str], width: float) -> list[list[str]]:
    rows: list[list[str]] = [[]]
    for kind in kinds:
        if rows[-1] and _legend_width([[*rows[-1], kind]]) > width:
            rows.append([])
        rows[-1].append(kind)
    return rows if kinds else []


def _legend_width(rows: list[list[str]]) -> float:
    return max((sum(text_width(k, 10) + 34 for k in row) for row in rows), default=0.0)


def _legend(kinds: list[str], middle: float, y: float, parts: list[str]) -> None:
    x = middle - _legend_width([kinds]) / 2
    for kind in kinds:
        parts.append(rectangle(x, y - 9, 14, 10, COLORS[kind], radius=2))
        parts.append(text(x + 19, y, kind, 10, anchor="start", fill="#444444"))
        x += text_width(kind, 10) + 34
