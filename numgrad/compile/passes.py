"""Passes over the graph: each takes a graph and returns one that does the same.

`remove_dead` drops calls whose results nobody reads, `share` calls that were made before. `fuse` merges elementwise calls that share
values into one loop each, so that what lies between them never goes to memory; `fuse_reductions`
lets such a loop reduce what it computes.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable
from typing import Any

import numpy as np

from ..kernels import elementwise as table
from ..kernels._elementwise import Elementwise, Fused, FusedReduction, Step
from ..kernels.reduction import BLOCK as REDUCTION_BLOCK
from ..kernels.reduction import SHORT
from .graph import Call, Check, Graph, Storage, Value

#: The most inputs and functions of one fused loop.
ARRAYS, STEPS = 16, 64
#: Elements from which on a loop of its own, which has to be compiled, is worth its compilation.
FUSE_FROM = 4096


def optimize(graph: Graph, settings: dict[str, Any]) -> Graph:
    """All passes, in order; `settings["passes"]` names those to run."""
    # On a GPU a launch costs as much as thousands of elements.
    smallest = settings.get("fuse_from", FUSE_FROM if graph.devices <= {None} else 1)
    for name in settings.get("passes", tuple(PASSES)):
        graph = PASSES[name](graph, smallest)
        graph.verify()
    return graph


# ---------------------------------------------------------------------- dead code


def remove_dead(graph: Graph, smallest: int) -> Graph:
    """Without the calls that only write what is never read."""
    live = {id(value.storage) for value in graph.results}
    kept: list[Call] = []
    for call in reversed(graph.calls):
        lasting = any(v.storage.kind != "temporary" or id(v.storage) in live for v in call.writes)
        if lasting or call.checks:
            kept.append(call)
            live.update(id(value.storage) for value in call.reads)
            live.update(id(value.storage) for check in call.checks for value in check.values)
    return graph.replaced(kept[::-1])


# ---------------------------------------------------------------------- equal calls


def share(graph: Graph, smallest: int) -> Graph:
    """With one call in place of several that compute the same from the same."""
    results = {id(value.storage) for value in graph.results}
    results |= {id(check.flag.storage) for call in graph.calls for check in call.checks}
    writers: dict[int, int] = {}
    for call in graph.calls:
        for value in call.writes:
            writers[id(value.storage)] = writers.get(id(value.storage), 0) + 1
    known: dict[tuple, Value] = {}
    reads_of: dict[tuple, list[Value]] = {}
    same: dict[int, Storage] = {}
    calls: list[Call] = []
    for original in graph.calls:
        call = _renamed(original, same)
        out = call.writes[0] if len(call.writes) == 1 else None
        pure = (
            out is not None and not call.updates and not call.checks
            and out.storage.kind == "temporary" and writers[id(out.storage)] == 1
            and out.is_dense() and out.size * out.dtype.itemsize == out.storage.nbytes
        )  # fmt: skip
        if pure:
            assert out is not None
            inputs = tuple([_key(a) for a in call.arguments if a is not out])
            key = (id(call.kernel), call.dtype, call.n, out.shape, out.strides, inputs)
            if key in known and id(out.storage) not in results:
                same[id(out.storage)] = known[key].storage
                continue
        for value in call.writes:
            for stale in [
                k for k, read in reads_of.items() if any(value.overlaps(r) for r in read)
            ]:
                del known[stale], reads_of[stale]
        if pure:
            assert out is not None
            known[key], reads_of[key] = out, call.reads
        calls.append(call)
    return graph.replaced(calls)


def _key(argument: Any) -> Any:
    if isinstance(argument, Value):
        return argument.key
    if isinstance(argument, tuple):
        return tuple(map(_key, argument))
    return id(argument) if type(argument) is not float else argument.hex()  # -0.0 is not 0.0


def _renamed(call: Call, same: dict[int, Storage]) -> Call:
    """The call on the memory that stands for that of dropped calls."""
    if not any(id(value.storage) in same for value in call.values):
        return call

    def rename(argument: Any) -> Any:
        if isinstance(argument, tuple):
            return tuple(map(rename, argument))
        if isinstance(argument, Value) and id(argument.storage) in same:
            home = same[id(argument.storage)]
            return Value(home, argument.offset, argument.shape, argument.strides, argument.dtype)
        return argument

    renamed = Call(call.kernel, call.dtype, call.n, rename(call.arguments), call.work)
    renamed.checks = [
        Check(rename(c.flag), c.index, c.function, rename(c.arguments)) for c in call.checks
    ]
    return renamed


# ---------------------------------------------------------------------- fusion


class _Group:
    """Elementwise calls that become one loop, at the place of the first."""

    def __init__(self, call: Call) -> None:
        self.calls = [call]
        self.shape = call.writes[0].shape

    @property
    def reads(self) -> list[Value]:
        """What the loop reads that it does not compute."""
        made: set[tuple] = set()
        found: dict[tuple, Value] = {}
        for call in self.calls:
            for value in call.reads:
                if value.key not in made:
                    found.setdefault(value.key, value)
            made.update(value.key for value in call.writes)
        return list(found.values())

    @property
    def writes(self) -> list[Value]:
        return [value for call in self.calls for value in call.writes]

    def takes(self, call: Call) -> bool:
        """Whether the call can be part of the same loop."""
        if call.writes[0].shape != self.shape or len(self.calls) >= STEPS:
            return False
        known = {v.key for c in self.calls for v in c.values}
        if not any(v.key in known and v.size > 1 for v in call.values):
            return False  # nothing in common
        for mine in self.writes:
            for value in call.values:
                if mine.overlaps(value) and mine.key != value.key:
                    return False
            if mine.key == call.writes[0].key:
                return False  # written twice
        # No output may overlap what the loop reads.
        outputs = [*self.writes, *call.writes]
        reads = [*self.reads, *call.reads]
        made = {v.key for v in self.writes}
        if any(o.overlaps(r) for o in outputs for r in reads if r.key not in made):
            return False
        return len({r.key for r in reads} - made) <= ARRAYS


def fuse(graph: Graph, smallest: int) -> Graph:
    """With elementwise calls on at least `smallest` elements merged into loops."""
    items: list[Call | _Group] = []
    for call in graph.calls:
        if not _fusable(call, smallest):
            items.append(call)
            continue
        home = None
        # Up past the calls in between, to the nearest group that it can join.
        for position in range(len(items) - 1, -1, -1):
            item = items[position]
            if isinstance(item, _Group) and item.takes(call):
                home = position
                break
            if _conflict(item, call):
                # Or the group comes down to it.
                home = _sink(items, position, call)
                break
        if home is None:
            items.append(_Group(call))
        else:
            group = items[home]
            assert isinstance(group, _Group)
            group.calls.append(call)
    used = [v for item in items if isinstance(item, Call) for v in item.values]
    used += [v for item in items if isinstance(item, Call) for c in item.checks for v in c.values]
    used += [*graph.results, *[v for item in items if isinstance(item, _Group) for v in item.reads]]
    storages = {id(value.storage) for value in used}
    return graph.replaced(
        [item if isinstance(item, Call) else _fused_call(item, storages) for item in items]
    )


def _sink(items: list, last: int, call: Call) -> int | None:
    """Move the nearest group above `last` that takes the call down to the end, if it may pass."""
    for position in range(last - 1, -1, -1):
        item = items[position]
        if isinstance(item, _Group) and item.takes(call):
            between = items[position + 1 :]
            if any(_conflict(other, inner) for other in between for inner in item.calls):
                return None
            if any(_conflict(other, call) for other in between if not _feeds(other, call)):
                return None
            items.append(items.pop(position))
            return len(items) - 1
    return None


def _feeds(item: Call | _Group, call: Call) -> bool:
    """Whether the only conflict is that the call reads what `item` writes."""
    return not any(w.overlaps(v) for w in call.writes for v in (*item.reads, *item.writes))


def _conflict(item: Call | _Group, call: Call) -> bool:
    """Whether the two may not change places."""
    checks = item.checks if isinstance(item, Call) else ()
    if any(w.overlaps(v) for w in call.writes for check in checks for v in check.values):
        return True
    for written in item.writes:
        if any(written.overlaps(value) for value in call.values):
            return True
    return any(w.overlaps(r) for w in call.writes for r in item.reads)


def _fusable(call: Call, smallest: int) -> bool:
    if not isinstance(call.kernel, Elementwise) or isinstance(call.kernel, Fused) or call.checks:
        return False
    out = call.writes[0]
    if out.storage.kind != "temporary" or not out.is_dense() or out.size < max(1, smallest):
        return False
    return not any(out.overlaps(value) for value in call.reads)


def _fused_call(group: _Group, used: set[int]) -> Call:
    if len(group.calls) == 1:
        return group.calls[0]
    inputs: dict[tuple, int] = {}
    made: dict[tuple, int] = {}
    values: list[Value] = []
    steps: list[Step] = []
    outputs: list[tuple[int, Value]] = []
    for call in group.calls:
        operands = []
        for value in call.reads:
            if value.key in made:
                operands.append(-1 - made[value.key])
                continue
            if value.key not in inputs:
                inputs[value.key] = len(values)
                values.append(value)
            operands.append(inputs[value.key])
        out = call.writes[0]
        made[out.key] = len(steps)
        steps.append(Step(call.kernel.function, tuple(operands), out.dtype))
        if id(out.storage) in used:
            outputs.append((len(steps) - 1, out))
    if not outputs:
        outputs.append((len(steps) - 1, group.calls[-1].writes[0]))
    dtypes = tuple([value.dtype for value in values])
    kernel = _fused_kernel(dtypes, tuple(steps), tuple([k for k, _ in outputs]))
    arguments = (*values, *[out for _, out in outputs])
    size = outputs[0][1].size
    work = size * max(1, len(steps) // 4)
    return Call(kernel, group.calls[0].dtype, size, arguments, work)


@functools.lru_cache(maxsize=1024)
def _fused_kernel(
    dtypes: tuple[np.dtype, ...], steps: tuple[Step, ...], results: tuple[int, ...]
) -> Fused:
    """One kernel for every structure: graphs of other shapes share it."""
    return Fused(dtypes, steps, results)


# ---------------------------------------------------------------------- reductions


def fuse_reductions(graph: Graph, smallest: int) -> Graph:
    """With row reductions of what an elementwise call computes made part of its loop."""
    calls = list(graph.calls)
    count = itertools.count(1 + max([s.index for s in graph.storages], default=0))
    position = 0
    while position < len(calls):
        call = calls[position]
        made = _maker_of(call, calls[:position], smallest)
        if made is not None:
            producer = calls[made]
            source = call.arguments[0]
            others = [c for k, c in enumerate(calls) if k != position]
            used = [v for c in others for v in c.values if c is not producer]
            used += [v for c in calls for check in c.checks for v in check.values]
            keep = any(v.storage is source.storage for v in (*used, *graph.results))
            calls[made] = _reducing(producer, call, keep, next(count))
            del calls[position]
        else:
            position += 1
    return graph.replaced(calls)


def _maker_of(call: Call, before: list[Call], smallest: int) -> int | None:
    """The position of the elementwise call that can take over this reduction."""
    parts = getattr(call.kernel, "parts", None)
    if parts is None or call.checks:
        return None
    source, out, n = call.arguments[:3]
    if n < SHORT or source.size < smallest or not source.is_dense() or not out.is_dense():
        return None
    for position in range(len(before) - 1, -1, -1):
        maker = before[position]
        if any(v.overlaps(source) for v in maker.writes):
            exact = [v.key[:3:2] for v in maker.writes if v.storage is source.storage]
            fits = (
                isinstance(maker.kernel, Elementwise)
                and type(maker.kernel) in (Elementwise, Fused)
                and maker.writes[-1].storage is source.storage
                and len(exact) == 1
                and maker.writes[-1].size == source.size
                and maker.writes[-1].is_dense()
                and maker.writes[-1].offset == source.offset
                and maker.writes[-1].storage.kind == "temporary"
            )
            if not fits or any(out.overlaps(v) for v in maker.values):
                return None
            between = before[position + 1 :]
            if any(v.overlaps(out) for c in between for v in c.values):
                return None
            return position
    return None


def _reducing(maker: Call, reduction: Call, keep: bool, index: int) -> Call:
    """One call for both; with `keep`, what is reduced is written too."""
    target = maker.writes[-1]
    if isinstance(maker.kernel, Fused):
        inputs = list(maker.arguments[: len(maker.kernel.inputs)])
        outputs = list(maker.arguments[len(inputs) :])
        steps, results = list(maker.kernel.steps), list(maker.kernel.results)
    else:
        inputs, outputs = list(maker.arguments[:-1]), [target]
        operands = tuple(range(len(inputs)))
        steps, results = [Step(maker.kernel.function, operands, target.dtype)], [0]
    reduced = results[-1]
    if reduced != len(steps) - 1:
        # The reduction takes the last step's result.
        steps.append(Step(table.identity, (-1 - reduced,), target.dtype))
    if not keep:
        outputs.pop()
        results.pop()
    _, out, n, chunk, parameter = reduction.arguments
    cell = np.zeros(1, target.dtype)
    storage = Storage("lasting", cell.nbytes, index, cell)
    like = Value(storage, 0, target.shape, (0,) * len(target.shape), target.dtype)
    dtypes = tuple([value.dtype for value in inputs])
    kernel = _reducing_kernel(dtypes, tuple(steps), tuple(results), reduction.kernel, out.dtype)
    arguments = (*inputs, *outputs, out, like, n, chunk, parameter)
    work = max(maker.work, reduction.work)
    return Call(kernel, reduction.dtype, reduction.n, arguments, work)


@functools.lru_cache(maxsize=1024)
def _reducing_kernel(
    dtypes: tuple[np.dtype, ...],
    steps: tuple[Step, ...],
    results: tuple[int, ...],
    reduction: Any,
    dtype: np.dtype,
) -> FusedReduction:
    return FusedReduction(dtypes, steps, results, reduction, dtype, REDUCTION_BLOCK)


PASSES: dict[str, Callable[[Graph, int], Graph]] = {
    "remove_dead": remove_dead,
    "share": share,
    "fuse": fuse,
    "fuse_reductions": fuse_reductions,
}
