"""A compiled program, as boxes: one for each launch, fused loops with what is in them."""

from __future__ import annotations

from typing import Any

from ..compile.graph import Call, Value
from ..compile.graph import Graph as Program
from ..compile.recorder import owner
from ..kernels._elementwise import Elementwise, Fused
from ..nn import Module
from .boxes import Box, Graph, Group
from .modules import Place, find_places

#: The most formulas of a fused loop that a box shows.
FORMULAS = 12


def program_graph(program: Program, model: Module | None) -> Graph:
    """Boxes for the launches of a program, in groups by module where these are known."""
    names: dict[int, str] = {}
    if model is not None:
        for name, parameter in model.named_parameters():
            names[id(owner(parameter._data))] = name
    keys = {name: key for key, name in names.items()}
    used = [
        [id(v.storage.root) for v in call.reads if id(v.storage.root) in names]
        if len(call.writes) < 4
        else []
        for call in program.calls
    ]
    paths: list[list[Place]] = [[] for _ in program.calls]
    if model is not None and keys:
        kinds = {kind_of(call) for call in program.calls}
        again = "backward" if "update" in kinds or program.results[1:] else "again"
        kernels = [call.kernel.name for call in program.calls]
        paths = find_places(model, used, kernels, keys, again)
    graph = Graph()
    groups: dict[Place, Group] = {}
    results = {value.storage for value in program.results}
    writers: dict[Any, Box] = {}
    for position, value in enumerate(program.inputs):
        if value.storage not in writers:
            box = Box(f"x{position}", "input", [_shape(value)], order=-1)
            graph.root.add(box)
            writers[value.storage] = box
    for order, (call, path) in enumerate(zip(program.calls, paths, strict=True)):
        box = _box(call, names, order)
        box.marked = any(value.storage in results for value in call.writes)
        _group(graph, groups, [p for p in path[1:] if not p.is_layer]).add(box)
        for value in call.reads:
            if value.storage in writers:
                graph.edge(writers[value.storage], box)
        for value in call.writes:
            writers[value.storage] = box
    for box in [b for b in graph.root.boxes() if b.kind == "input"]:
        if not any(box is source for source, _ in graph.edges):
            graph.root.items.remove(box)
    return graph


def _group(graph: Graph, groups: dict[Place, Group], path: list[Place]) -> Group:
    group = graph.root
    for place in path:
        found = groups.get(place)
        if found is None:
            found = groups[place] = Group(place.label, place.title, group)
        group = found
    return group


def _box(call: Call, names: dict[int, str], order: int) -> Box:
    kernel = call.kernel
    box = Box(_title(kernel), kind_of(call), order=order)
    written = [v for v in call.writes if v.storage.kind == "temporary"]
    if len(written) <= 3:
        box.lines = list(dict.fromkeys(_shape(v) for v in written))
    else:
        box.lines = [f"{len(written)} arrays"]
    outside = [names.get(id(v.storage.root)) for v in call.values if v.storage.kind == "lasting"]
    named = list(dict.fromkeys(name for name in outside if name is not None))
    if named:
        box.small.append(", ".join(named) if len(named) <= 2 else f"{len(named)} parameters")
    elif len(call.writes) > 3:
        box.small.append(f"{len(call.writes)} arrays")
    if isinstance(kernel, Fused):
        formulas = kernel.formulas
        box.small += formulas[:FORMULAS]
        if len(formulas) > FORMULAS:
            box.small.append(f"… {len(formulas) - FORMULAS} more")
    return box


def kind_of(call: Call) -> str:
    """The kind of a launch, for its colour."""
    if isinstance(call.kernel, Fused):
        return "fused loop"
    if isinstance(call.kernel, Elementwise):
        return "elementwise"
    if call.kernel.name.startswith("matmul"):
        return "matrix product"
    module = getattr(call.kernel, "__module__", "").rpartition(".")[2]
    if module == "optimizer":
        return "update"
    return "other" if module in ("indexing", "random", "checks") else "reduction, loss"


def _title(kernel: Any) -> str:
    if isinstance(kernel, Fused):
        return f"{len(kernel.steps)} functions in one loop"
    return kernel.name.strip("_")


def _shape(value: Value) -> str:
    return f"{list(value.shape)} {value.dtype.name}"
