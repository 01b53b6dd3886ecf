"""What a graph's picture is made of: boxes with text, in groups, and edges between boxes.

Before it is laid out, a large graph is made small: a group can be closed into one box, and a run
of groups that look alike is drawn once, with one box for the rest.
"""

from __future__ import annotations

from collections.abc import Iterator

#: Fill of a box by its kind, in the order of the legend.
COLORS = {
    "layer": "#dbe7f6",
    "matrix product": "#cfe2f3",
    "elementwise": "#fce5cd",
    "fused loop": "#f4b6a6",
    "reduction, loss": "#d9ead3",
    "view": "#ffffff",
    "update": "#e6d9f2",
    "other": "#eeeeee",
    "input": "#fff7c8",
    "more of the same": "#f3f3f3",
}


class Box:
    """A box: a title, lines of text below it, smaller lines below those."""

    def __init__(
        self,
        title: str,
        kind: str,
        lines: list[str] | None = None,
        small: list[str] | None = None,
        order: float = 0,
    ) -> None:
        self.title, self.kind, self.order = title, kind, order
        self.lines = lines or []
        self.small = small or []
        self.group: Group | None = None
        self.stacked = self.marked = False
        self.x = self.y = self.width = self.height = 0.0

    @property
    def look(self) -> tuple:
        """Equal for boxes with the same text, small lines (gradients' norms, say) aside."""
        return (self.title, self.kind, tuple(self.lines))

    def __repr__(self) -> str:
        return f"<box {self.title}>"


class Group:
    """A frame with boxes and groups in it; `label` is its name, `title` says what it is."""

    def __init__(self, label: str, title: str, parent: Group | None = None) -> None:
        self.label, self.title, self.parent = label, title, parent
        self.items: list[Box | Group] = []
        self.x = self.y = self.width = self.height = 0.0
        self.parameters = 0
        self.is_layer = False  # without modules inside: to be one box
        if parent is not None:
            parent.items.append(self)

    @property
    def order(self) -> float:
        return min((item.order for item in self.items), default=0)

    @property
    def chain(self) -> list[Group]:
        """The groups around it, outermost first, and itself."""
        return [*(self.parent.chain if self.parent else ()), self]

    def boxes(self) -> Iterator[Box]:
        """All boxes in it."""
        for item in self.items:
            if isinstance(item, Box):
                yield item
            else:
                yield from item.boxes()

    def groups(self) -> Iterator[Group]:
        """All groups in it, not itself."""
        for item in self.items:
            if isinstance(item, Group):
                yield item
                yield from item.groups()

    @property
    def look(self) -> tuple:
        """Equal for groups that look alike but for the name."""
        items = sorted(self.items, key=lambda item: item.order)
        return (self.title, tuple([item.look for item in items]))

    def add(self, box: Box) -> None:
        box.group = self
        self.items.append(box)

    def __repr__(self) -> str:
        return f"<group {self.label}>"


class Graph:
    """Boxes in a tree of groups, and edges between boxes."""

    def __init__(self) -> None:
        self.root = Group("", "")
        self.edges: dict[tuple[Box, Box], None] = {}

    def edge(self, source: Box, target: Box) -> None:
        if source is not target:
            self.edges[source, target] = None

    def replace(self, olds: list[Box], new: Box) -> None:
        """Put one box in the place of several."""
        gone = set(olds)
        edges = self.edges
        self.edges = {}
        for source, target in edges:
            self.edge(new if source in gone else source, new if target in gone else target)

    # ------------------------------------------------------------------ made smaller

    def close(self, group: Group, kind: str) -> None:
        """Make one box of a group."""
        boxes = sorted(group.boxes(), key=lambda box: box.order)
        box = Box(_heading(group), kind, order=group.order)
        shown = [b.title for b in boxes if b.kind not in ("view", "input")]
        if kind == "layer":
            box.lines = boxes[-1].lines[:1]
            names = ", ".join(dict.fromkeys(shown))
            box.small = ([names] if names else []) + _merged(boxes)
        else:
            box.lines = [f"{len(shown)} operations", *boxes[-1].lines[:1]]
        if group.parameters:
            box.lines.append(f"{group.parameters:,} parameters")
        box.marked = any(b.marked for b in boxes)
        parent = group.parent
        assert parent is not None
        self.replace(boxes, box)
        parent.items.remove(group)
        parent.add(box)

    def close_layers(self) -> None:
        """Make one box of every module that has no modules inside."""
        for group in list(self.root.groups()):
            if group.is_layer:
                self.close(group, "layer")

    def close_below(self, depth: int) -> None:
        """Make one box of every group deeper than `depth` (1: the outermost groups are frames)."""
        for group in [g for g in self.root.groups() if len(g.chain) - 1 == depth + 1]:
            self.close(group, "layer")

    def fold(self, least: int) -> None:
        """Of runs of at least `least` groups that look alike, keep the first and a box for the
        rest."""
        pending = [self.root]
        while pending:
            level = pending.pop()
            pending += [item for item in level.items if isinstance(item, Group)]
            here = sorted(level.items, key=lambda item: item.order)
            start = 0
            while start < len(here):
                end = start + 1
                first = here[start]
                while end < len(here) and _alike(here[end], first):
                    end += 1
                if end - start >= least:
                    self._stack(level, first, here[start + 1 : end])  # type: ignore[arg-type]
                    pending = [group for group in pending if group not in here[start + 1 : end]]
                start = end

    def _stack(self, level: Group, first: Group, rest: list[Group]) -> None:
        names = rest[0].label if len(rest) == 1 else f"{rest[0].label} … {rest[-1].label}"
        box = Box(names, "more of the same", order=rest[0].order)
        box.lines = [f"{len(rest)} more like {first.label}"]
        parameters = sum(group.parameters for group in rest)
        if parameters:
            box.lines.append(f"{parameters:,} parameters")
        box.stacked = True
        self.replace([b for group in rest for b in group.boxes()], box)
        for group in rest:
            level.items.remove(group)
        level.add(box)


def _alike(item: Box | Group, first: Box | Group) -> bool:
    return isinstance(item, Group) and isinstance(first, Group) and item.look == first.look


def _heading(group: Group) -> str:
    return f"{group.label}: {group.title}" if group.label else group.title


def _merged(boxes: list[Box]) -> list[str]:
    """The small lines of all boxes, equal ones once, those that begin alike joined."""
    found: dict[str, list[str]] = {}
    for box in boxes:
        for line in box.small:
            head, colon, rest = line.partition(": ")
            kept = found.setdefault(head if colon else "", [])
            if colon:
                kept += [part for part in rest.split(", ") if part not in kept]
            elif line not in kept:
                kept.append(line)
    merged: list[str] = []
    for head, parts in found.items():
        merged += [f"{head}: {', '.join(parts)}"] if head else parts
    return merged
