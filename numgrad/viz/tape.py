"""The graph that autograd has recorded, as boxes."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from typing import Any

from .._seam import Replaced, launches
from ..autograd import engine
from ..autograd.tape import Node, Output, Variable, edge, set_grad
from ..nn import Module
from .boxes import Box, Graph, Group
from .modules import Place, find_model, find_places
from .watch import notes

#: The kind of an operation by the module that its backward rule is in.
_KINDS = {
    "_core": "elementwise",
    "elementwise": "elementwise",
    "views": "view",
    "slices": "view",
    "arranging": "view",
    "joining": "view",
    "addmm": "matrix product",
    "linear": "matrix product",
    "matmul": "matrix product",
    "_products": "matrix product",
    "einsum": "matrix product",
    "cross_entropy": "reduction, loss",
    "extremum": "reduction, loss",
    "loss": "reduction, loss",
    "norm": "reduction, loss",
    "normalization": "reduction, loss",
    "reduction": "reduction, loss",
    "scan": "reduction, loss",
    "softmax": "reduction, loss",
    "variance": "reduction, loss",
}


class Walked:
    """What a walk back through the graph shows of a node."""

    def __init__(self) -> None:
        self.shapes: list[str] = []
        self.norm: float | None = None
        self.kernels: list[str] = []


def walk(outputs: list[Variable], norms: bool) -> tuple[list[Node], dict[Any, Walked], str]:
    """All nodes in the order in which they ran; what a backward shows of them and of leaves; why
    it ended early, if it did.

    Gradients go nowhere: no `.grad` changes, no hook is called, and the graph stays.
    """
    nodes = engine._reachable([target for t in outputs if (target := edge(t)) is not None])
    nodes.sort(key=lambda node: node.order)
    found: dict[Any, Walked] = {}
    pending: dict[Any, Any] = {}
    launched: list[str] = []
    replaced = Replaced()

    def named(run: Callable) -> Callable:
        def launch(kernel: Any, *arguments: Any) -> None:
            launched.append(kernel.name)
            run(kernel, *arguments)

        return launch

    for holder, name, function in launches(named, named):
        replaced.change(holder, name, function)
    reason = ""
    try:
        with set_grad(False):
            for tensor in outputs:
                pending[edge(tensor)] = engine.ones_like(tensor)
            for node in reversed(nodes):
                grad = pending.pop(node, None)
                if grad is None:
                    continue
                seen = found[node] = Walked()
                _look(seen, grad, norms)
                if type(node) is Output:
                    pending.setdefault(node.edges[0], [None] * node.edges[0].outputs)
                    pending[node.edges[0]][node.index] = grad
                    continue
                if node.saved is None:
                    reason = "shapes are unknown where backward() has freed the graph"
                    continue
                launched.clear()
                results = node.rule(node, grad)
                seen.kernels = list(dict.fromkeys(launched))
                if type(results) is not tuple:
                    results = (results,)
                for target, result in zip(node.edges, results, strict=True):
                    if target is not None and result is not None:
                        held = pending.get(target)
                        pending[target] = result if held is None else held + result
            for leaf, grad in pending.items():
                seen = found[leaf] = Walked()
                _look(seen, grad, norms)
    except Exception as error:  # the picture is worth more than the error of a rule
        reason = f"shapes are incomplete: {type(error).__name__}: {error}"[:120]
    finally:
        replaced.restore()
    return nodes, found, reason


def _look(seen: Walked, grad: Any, norms: bool) -> None:
    listed = [g for g in (grad if type(grad) is list else [grad]) if g is not None]
    seen.shapes = [shape_of(g._data) for g in listed]
    if norms:
        seen.norm = sum(float((g * g).sum().item()) for g in listed) ** 0.5


def shape_of(data: Any) -> str:
    """`[2, 30] float32`."""
    return f"{list(data.shape)} {data.dtype.name}"


def tape_graph(
    outputs: list[Variable], model: Module | None, gradients: bool
) -> tuple[Graph, str, str]:
    """Boxes for the operations behind some tensors, in groups by module; what the whole is, and
    what there is to say about it."""
    nodes, seen, reason = walk(outputs, gradients)
    nodes = [node for node in nodes if type(node) is not Output]
    leaves = {
        id(t): t for node in nodes for t in node.edges if t is not None and not isinstance(t, Node)
    }
    if model is None:
        model = find_model(list(leaves.values()))
    names: dict[int, str] = {}
    if model is not None:
        for name, parameter in model.named_parameters():
            names[id(parameter)] = name
    paths = _paths(nodes, model)
    graph = Graph()
    groups: dict[Place, Group] = {}
    single = _only_root(paths)
    boxes: dict[Any, Box] = {}
    for order, (node, path) in enumerate(zip(nodes, paths, strict=True)):
        box = boxes[node] = _box(node, seen.get(node), order, gradients)
        _group(graph, groups, path[1:] if single else path).add(box)
        for target in node.edges:
            if target is None:
                continue
            if type(target) is Output:
                target = target.edges[0]
            if not isinstance(target, Node) and target not in boxes:
                leaf = boxes[target] = _leaf(
                    target, names, seen.get(target), order - 0.5, gradients
                )
                group = box.group
                assert group is not None
                group.add(leaf)
                for around in group.chain:
                    around.parameters += target.numel()
            graph.edge(boxes[target], box)
    for tensor in outputs:
        target = edge(tensor)
        if target is not None:
            boxes[target.edges[0] if type(target) is Output else target].marked = True
    what = type(model).__name__ if single and model is not None else ""
    return graph, what, reason


def _paths(nodes: list[Node], model: Module | None) -> list[list[Place]]:
    """The modules around each node: noted down while it ran, else found from the parameters."""
    if any(node in notes for node in nodes):
        found = []
        for node in nodes:
            note = notes.get(node)
            found.append(note.place.path if note is not None and note.place is not None else [])
        return found
    if model is None:
        return [[] for _ in nodes]
    keys = {name: id(p) for name, p in model.named_parameters(remove_duplicate=False)}
    known = set(keys.values())
    # Views of a parameter stand for it: the transposed weight in a product without a bias.
    stands: dict[Any, list[int]] = {}
    uses = []
    for node in nodes:
        used: list[int] = []
        targets = [t for t in node.edges if t is not None]
        for target in targets:
            used += stands.get(target, []) if isinstance(target, Node) else [id(target)]
        own = [key for key in used if key in known]
        if own and len(node.edges) == 1 and kind_of(node) == "view":
            stands[node] = own
        uses.append(own)
    return find_places(model, uses, [node.name for node in nodes], keys)


def _only_root(paths: list[list[Place]]) -> bool:
    """Whether all is in, or beside, one call of one module, which needs no frame."""
    return len({id(path[0]) for path in paths if path}) == 1


def _group(graph: Graph, groups: dict[Place, Group], path: list[Place]) -> Group:
    group = graph.root
    for place in path:
        found = groups.get(place)
        if found is None:
            found = groups[place] = Group(place.label, place.title, group)
            found.is_layer = place.is_layer
        group = found
    return group


def _box(node: Node, seen: Walked | None, order: int, gradients: bool) -> Box:
    note = notes.get(node)
    title = note.name if note is not None and note.name else title_of(node)
    box = Box(title, kind_of(node), order=order)
    if seen is not None:
        box.lines = list(dict.fromkeys(seen.shapes))[:2]
        if node.outputs > 1:
            box.lines = [f"{node.outputs} results", *box.lines]
    if note is not None and note.kernels:
        box.small.append(f"kernel: {', '.join(note.kernels)}")
    elif note is None and (place := _kernels_of(node)):
        box.small.append(place)
    if gradients and seen is not None:
        if seen.norm is not None:
            box.small.append(f"‖gradient‖ {seen.norm:.3g}")
        if seen.kernels:
            box.small.append(f"backward: {', '.join(seen.kernels)}")
    return box


def _kernels_of(node: Node) -> str:
    """The kernel of an operation that nobody watched, or the file with those it may have run."""
    kernel = getattr(node.rule, "kernel", None)
    if kernel is not None:  # an elementwise operation has one for all sizes
        return f"kernel: {kernel.name}"
    if kind_of(node) == "matrix product":
        return "kernels/matmul.py"
    scope = vars(sys.modules.get(getattr(node.rule, "__module__", ""), object))
    found = getattr(scope.get("kernels"), "__name__", "")
    return f"kernels/{found.rpartition('.')[2]}.py" if found.startswith("numgrad.kernels.") else ""


def _leaf(
    leaf: Any, names: dict[int, str], seen: Walked | None, order: float, gradients: bool
) -> Box:
    name = names.get(id(leaf), "leaf")
    name = name.rpartition(".")[2]
    box = Box(name, "input", [shape_of(leaf._data)], order=order)
    if gradients and seen is not None and seen.norm is not None:
        box.small.append(f"‖gradient of {name}‖ {seen.norm:.3g}")
    return box


def kind_of(node: Node) -> str:
    """The kind of an operation, for its colour."""
    return _KINDS.get(_module_of(node), "other")


def _module_of(node: Node) -> str:
    return getattr(node.rule, "__module__", "").rpartition(".")[2]


def title_of(node: Node) -> str:
    """`nll_loss` for NllLossBackward0; the name itself for a function of the user's."""
    found = re.fullmatch(r"(\w+?)Backward\d", node.name)
    if found is None:
        return node.name.removesuffix("Backward")
    if found[1] in ("View", "UnsafeView") and kind_of(node) == "matrix product":
        # A product's node has the name of what gives its result the shape.
        return "linear" if _module_of(node) == "linear" else "matmul"
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", found[1]).lower()
