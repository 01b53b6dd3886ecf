"""Where boxes and groups go: layers from top to bottom, groups laid out by themselves.

The method is Sugiyama's: ranks by the longest path, order within a rank by the mean place of the
neighbours, then x coordinates by least squares under the distances that have to be kept. A group
is laid out first and is then one item of the level around it; a line that goes into it enters by a
port at its upper edge, and one that goes out leaves by a port at its lower edge.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from .boxes import Box, Graph, Group
from .picture import text_width

TITLE, LINE, SMALL = 12.0, 10.5, 9.0
#: Heights of a line of each.
TITLE_HEIGHT, LINE_HEIGHT, SMALL_HEIGHT = 17.0, 14.0, 12.0
PAD_X, PAD_Y, GAP_X, GAP_Y = 10.0, 6.0, 16.0, 26.0
FRAME, HEAD = 12.0, 22.0  # inside a group's frame, and its heading
LANE = 8.0  # width of a line that passes between boxes


class Vertex:
    """What has a place in a rank: an item, a port of the group, or a line that passes."""

    def __init__(self, item: Box | Group | None, width: float, height: float, order: float) -> None:
        self.item = item
        self.width, self.height, self.order = width, height, order
        self.rank = 0
        self.x = 0.0  # of its centre
        self.above: list[tuple[Vertex, Box]] = []
        self.below: list[tuple[Vertex, Box]] = []

    def attach(self, value: Box, top: bool) -> float:
        """Where a line of a value meets it."""
        if isinstance(self.item, Group):
            ports = _levels[self.item].ports
            return self.x - self.width / 2 + ports["in" if top else "out", value].x
        return self.x


#: Laid-out levels while `lay_out` runs.
_levels: dict[Group, Level] = {}


class Level:
    """A group's inside."""

    def __init__(self, group: Group) -> None:
        self.group = group
        self.vertices: dict[object, Vertex] = {}
        self.ports: dict[tuple[str, Box], Vertex] = {}
        self.segments: dict[tuple[Vertex, Vertex, Box], None] = {}
        #: Lines to draw: points from bottom of the source to top of the target.
        self.lines: list[tuple[list[tuple[float, float]], bool]] = []

    def vertex(self, key: Box | Group | tuple) -> Vertex:
        found = self.vertices.get(key)
        if found is None:
            if isinstance(key, tuple):
                found = Vertex(None, LANE, 0.0, key[1].order)
                self.ports[key] = found
            else:
                found = Vertex(key, key.width, key.height, key.order)
            self.vertices[key] = found
        return found


def measure(box: Box) -> None:
    """Give a box the size that its text needs."""
    widths = [text_width(box.title, TITLE, bold=True)]
    widths += [text_width(line, LINE) for line in box.lines]
    widths += [text_width(line, SMALL) for line in box.small]
    box.width = max(max(widths) + 2 * PAD_X, 44.0)
    box.height = (
        2 * PAD_Y + TITLE_HEIGHT + LINE_HEIGHT * len(box.lines) + SMALL_HEIGHT * len(box.small) - 3
    )


def lay_out(graph: Graph) -> dict[Group, Level]:
    """Place all boxes and groups, relative to the group around them; the levels with their lines."""
    for box in graph.root.boxes():
        measure(box)
    groups = [*graph.root.groups(), graph.root]
    levels = {group: Level(group) for group in groups}
    wanted: dict[Group, dict[tuple, None]] = {group: {} for group in groups}
    for source, target in graph.edges:
        for group, segment in _route(source, target):
            wanted[group][segment] = None
    _levels.clear()
    _levels.update(levels)
    for group in sorted(groups, key=lambda g: -len(g.chain)):
        level = levels[group]
        for item in sorted(group.items, key=lambda item: item.order):
            level.vertex(item)
        for first, second, value in wanted[group]:
            level.segments[level.vertex(first), level.vertex(second), value] = None
        _place(level)
    _levels.clear()
    return levels


def _route(source: Box, target: Box) -> list[tuple[Group, tuple]]:
    """The parts of an edge, by the group whose inside each is drawn in."""
    assert source.group is not None and target.group is not None
    up, down = source.group.chain, target.group.chain
    common = 0
    while common < min(len(up), len(down)) and up[common] is down[common]:
        common += 1
    parts: list[tuple[Group, tuple]] = []
    inner: list[Box | Group] = [*up[common:], source]
    for depth, group in enumerate(up[common:]):
        parts.append((group, (inner[depth + 1], ("out", source), source)))
    outer: list[Box | Group] = [*down[common:], target]
    for depth, group in enumerate(down[common:]):
        parts.append((group, (("in", source), outer[depth + 1], source)))
    parts.append((up[common - 1], (inner[0], outer[0], source)))
    return parts


def _place(level: Level) -> None:
    """Ranks, orders, coordinates and lines of a level whose groups have their sizes."""
    for vertex in level.vertices.values():
        if vertex.item is not None:
            vertex.width, vertex.height = vertex.item.width, vertex.item.height
    forward, back = _ranked(level)
    ranks, paths = _with_lanes(level, forward)
    _order(ranks)
    _set_x(ranks)
    group = level.group
    inside = group.parent is not None
    y = HEAD if inside else 0.0
    left = min((v.x - v.width / 2 for rank in ranks for v in rank), default=0.0) - FRAME
    right = max((v.x + v.width / 2 for rank in ranks for v in rank), default=0.0) + FRAME
    right = max(right, left + 2 * FRAME + text_width(f"{group.label}: {group.title}", LINE, True))
    tops, bottoms = [], []
    for rank in ranks:
        height = max((v.height for v in rank), default=0.0)
        if inside and rank and rank is ranks[0] and all(v.item is None for v in rank):
            tops.append(0.0)  # ports: lines come in through the frame
            bottoms.append(HEAD - 4)
            y += GAP_Y / 2
            continue
        tops.append(y)
        bottoms.append(y + height)
        y += height + GAP_Y
    group.width = right - left
    leaving = bool(inside and ranks and all(v.item is None for v in ranks[-1]))
    group.height = (bottoms[-2 if leaving else -1] if ranks else y) + (FRAME if inside else 0.0)
    if leaving:
        tops[-1] = group.height - 6
        bottoms[-1] = group.height
    for rank in ranks:
        for vertex in rank:
            vertex.x -= left
            item = vertex.item
            if item is not None:
                middle = (tops[vertex.rank] + bottoms[vertex.rank]) / 2
                item.x, item.y = vertex.x - item.width / 2, middle - item.height / 2
    for (first, second, value), lanes in paths.items():
        points = [(first.attach(value, False), _bottom(first, bottoms))]
        if first.item is None:
            points.insert(0, (points[0][0], tops[first.rank]))
        if points[-1][1] != bottoms[first.rank]:
            points.append((points[0][0], bottoms[first.rank]))
        for lane in lanes:
            points += [(lane.x, tops[lane.rank]), (lane.x, bottoms[lane.rank])]
        end = second.attach(value, True)
        points.append((end, tops[second.rank]))
        if second.item is None:
            points.append((end, bottoms[second.rank]))
        elif second.item.y != tops[second.rank]:
            points.append((end, second.item.y))
        level.lines.append((points, isinstance(second.item, Box)))
    for first, second, value in back:
        start, end = first.attach(value, False), second.attach(value, True)
        points = [(start, _bottom(first, bottoms)), (end, _top(second, tops))]
        level.lines.append((points, isinstance(second.item, Box)))


def _bottom(vertex: Vertex, bottoms: list[float]) -> float:
    item = vertex.item
    return bottoms[vertex.rank] if item is None else item.y + item.height


def _top(vertex: Vertex, tops: list[float]) -> float:
    item = vertex.item
    return tops[vertex.rank] if item is None else item.y


def _ranked(level: Level) -> tuple[list[tuple], list[tuple]]:
    """Give every vertex its rank; the segments that go down, and those that go back up."""
    entering = {v for (side, _), v in level.ports.items() if side == "in"}
    leaving = {v for (side, _), v in level.ports.items() if side == "out"}
    order = {v: v.order for v in level.vertices.values()}
    order.update((v, -1) for v in entering)
    order.update((v, 1 << 60) for v in leaving)
    forward = [s for s in level.segments if order[s[0]] <= order[s[1]]]
    back = [s for s in level.segments if order[s[0]] > order[s[1]]]
    needs: dict[Vertex, list[Vertex]] = {v: [] for v in order}
    readers: dict[Vertex, list[Vertex]] = {v: [] for v in order}
    for first, second, _ in forward:
        needs[second].append(first)
        readers[first].append(second)
    lowest = 1 if entering else 0
    inner = sorted((v for v in order if v not in entering and v not in leaving), key=order.get)  # type: ignore[arg-type]
    for vertex in inner:
        vertex.rank = max([lowest, *[v.rank + 1 for v in needs[vertex]]])
    for vertex in reversed(inner):  # what needs nothing stands right above its reader
        below = [v.rank for v in readers[vertex] if v not in leaving]
        if not needs[vertex] and below:
            vertex.rank = max(min(below) - 1, lowest)
    last = max((v.rank for v in inner), default=0)
    for vertex in leaving:
        vertex.rank = last + 1
    return forward, back


def _with_lanes(
    level: Level, forward: Sequence[tuple]
) -> tuple[list[list[Vertex]], dict[tuple, list[Vertex]]]:
    """The vertices by rank, with lanes for lines that pass ranks; lines of one value share them."""
    count = 1 + max((v.rank for v in level.vertices.values()), default=-1)
    ranks: list[list[Vertex]] = [[] for _ in range(count)]
    for vertex in level.vertices.values():
        ranks[vertex.rank].append(vertex)
    lanes: dict[tuple[Vertex, Box, int], Vertex] = {}
    paths: dict[tuple, list[Vertex]] = {}
    for first, second, value in forward:
        before, passed = first, []
        for rank in range(first.rank + 1, second.rank):
            lane = lanes.get((first, value, rank))
            if lane is None:
                lane = lanes[first, value, rank] = Vertex(None, LANE, 0.0, first.order)
                lane.rank = rank
                ranks[rank].append(lane)
                before.below.append((lane, value))
                lane.above.append((before, value))
            passed.append(lane)
            before = lane
        before.below.append((second, value))
        second.above.append((before, value))
        paths[first, second, value] = passed
    return ranks, paths


def _order(ranks: list[list[Vertex]]) -> None:
    """Order the vertices of each rank so that few lines cross."""
    for rank in ranks:
        rank.sort(key=lambda v: v.order)
        _spread(rank)
    for sweep in range(12):
        down = sweep % 2 == 0
        for rank in ranks if down else reversed(ranks):
            rank.sort(key=_mean_of(down))
            _spread(rank)


def _spread(rank: list[Vertex]) -> None:
    x = 0.0
    for vertex in rank:
        vertex.x = x + vertex.width / 2
        x += vertex.width + GAP_X
    for vertex in rank:
        vertex.x -= x / 2


def _mean_of(down: bool) -> Callable[[Vertex], float]:
    def mean(vertex: Vertex) -> float:
        found = [v.attach(value, not down) for v, value in (vertex.above if down else vertex.below)]
        return sum(found) / len(found) if found else vertex.x

    return mean


def _set_x(ranks: list[list[Vertex]]) -> None:
    """Move each rank's vertices to where their neighbours are, keeping order and distances."""
    for sweep in range(24):
        down = sweep % 2 == 0
        both = sweep >= 16
        for rank in ranks if down else reversed(ranks):
            wishes, weights = [], []
            for vertex in rank:
                near = [(v, value, False) for v, value in vertex.above if down or both]
                near += [(v, value, True) for v, value in vertex.below if not down or both]
                lanes = [entry for entry in near if entry[0].item is None]
                straight = vertex.item is None and bool(lanes)
                offsets = [
                    v.attach(value, top) - (vertex.attach(value, not top) - vertex.x)
                    for v, value, top in (lanes if straight else near)
                ]
                wishes.append(sum(offsets) / len(offsets) if offsets else vertex.x)
                weights.append((8.0 if straight else 2.0) if offsets else 0.05)
            for vertex, x in zip(rank, _apart(rank, wishes, weights), strict=True):
                vertex.x = x


def _apart(rank: list[Vertex], wishes: list[float], weights: list[float]) -> list[float]:
    """The places nearest to the wishes that keep order and distances: isotonic regression."""
    steps, at = [], 0.0
    for k, vertex in enumerate(rank):
        if k:
            before = rank[k - 1]
            gap = GAP_X if vertex.item is not None or before.item is not None else LANE / 2
            at += (before.width + vertex.width) / 2 + gap
        steps.append(at)
    blocks: list[list[float]] = []  # mean, weight, count
    for wish, step, weight in zip(wishes, steps, weights, strict=True):
        blocks.append([wish - step, weight, 1])
        while len(blocks) > 1 and blocks[-2][0] > blocks[-1][0]:
            mean, heavy, count = blocks.pop()
            last = blocks[-1]
            last[0] = (last[0] * last[1] + mean * heavy) / (last[1] + heavy)
            last[1] += heavy
            last[2] += count
    places = [mean for mean, _, count in blocks for _ in range(int(count))]
    return [place + step for place, step in zip(places, steps, strict=True)]
