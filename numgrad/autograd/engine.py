"""The backward walk: from the outputs' gradients to the leaves, newest node first.

A node is always younger than the nodes it reads from, so processing them by falling order number
is a topological order, and each node runs once, with the sum of the gradients that reach it.
"""

from __future__ import annotations

import warnings
import weakref
from collections.abc import Callable, Sequence
from operator import attrgetter
from typing import Any

from .tape import Node, Output, Variable, edge, free, mode, raise_freed, refresh

_by_order = attrgetter("order")

#: Set by the operations layer: `accumulate(a, b)`, `ones_like(t)`, `fit(grad, tensor, name)`,
#: `own(grad)` (a gradient that a leaf may keep) and `has_nan(t)`.
accumulate: Callable[[Any, Any], Any]
ones_like: Callable[[Any], Any]
fit: Callable[[Any, Any, str], Any]
own: Callable[[Any], Any]
has_nan: Callable[[Any], bool]

#: Leaves that get their gradients as soon as nothing more can come for them; all others do after
#: the walk. What sends gradients to other processes puts them here by their ids, to begin early.
prompt: weakref.WeakValueDictionary[int, Any] = weakref.WeakValueDictionary()


def use(operations: dict[str, Callable]) -> None:
    """Take over the functions above from the operations layer."""
    globals().update(operations)


def run(
    outputs: Sequence[Variable],
    grad_outputs: Sequence[Any],
    inputs: Sequence[Variable] | None,
    retain_graph: bool,
    create_graph: bool,
    capture: bool,
) -> list[Any]:
    """Walk back from `outputs`. Gradients go to the leaves' `.grad`, or, with `capture`, only to
    the returned list (one entry for each of `inputs`, None where nothing reached it)."""
    pending: dict[Any, Any] = {}
    roots: list[Any] = []
    for tensor, grad in zip(outputs, grad_outputs, strict=True):
        target = edge(tensor)
        if target is None:
            raise RuntimeError(
                "element 0 of tensors does not require grad and does not have a grad_fn"
            )
        roots.append(target)
        if grad is None:
            if tensor._data.size != 1:
                raise RuntimeError("grad can be implicitly created only for scalar outputs")
            grad = ones_like(tensor)
        else:
            grad = fit(grad, tensor, "grad_outputs")
        _add(pending, target, grad)

    wanted: dict[Any, list[int]] = {}
    if inputs is not None:
        for position, tensor in enumerate(inputs):
            if tensor._view is not None:
                refresh(tensor)
            wanted.setdefault(tensor._node or tensor, []).append(position)
    captured: list[Any] = [None] * (len(inputs) if inputs is not None else 0)

    nodes = _reachable(roots)
    if inputs is not None:
        nodes = _leading_to(nodes, wanted)
    nodes.sort(key=_by_order, reverse=True)
    complete = _completions(nodes) if prompt and inputs is None else {}

    previous = mode.enabled
    mode.enabled = create_graph
    try:
        for node in nodes:
            grad = pending.pop(node, None)
            if grad is None:
                continue
            if node.pre_hooks is not None and type(grad) is not list:
                for hook in tuple(node.pre_hooks.values()):
                    changed = hook(grad)
                    if changed is not None:
                        grad = changed
            if node.retained_by is not None:
                _retain(node.retained_by(), grad)
            if node in wanted:
                for position in wanted[node]:
                    if capture:
                        captured[position] = grad
                    else:
                        _keep(inputs[position], grad)  # type: ignore[index]
            _step(node, grad, pending, retain_graph)
            if node in complete:
                for leaf in complete[node]:
                    if leaf in pending:
                        # As below: `own` counts the references.
                        for _, grad in ((leaf, pending[leaf]),):
                            _to_leaf(leaf, grad, create_graph)
                        del pending[leaf]
    except BaseException:
        if not retain_graph:
            for node in nodes:
                free(node)
        raise
    finally:
        mode.enabled = previous

    for target, grad in pending.items():
        if isinstance(target, Node):
            continue
        if inputs is None:
            _to_leaf(target, grad, create_graph)
        elif target in wanted:
            for position in wanted[target]:
                if capture:
                    captured[position] = _hooked(target, grad)
                else:
                    _to_leaf(target, grad, create_graph)
    return captured


def _reachable(roots: list[Any]) -> list[Node]:
    seen: set[int] = set()
    found: list[Node] = []
    stack = [root for root in roots if isinstance(root, Node)]
    while stack:
        node = stack.pop()
        if id(node) in seen:
            continue
        seen.add(id(node))
        found.append(node)
        for target in node.edges:
            if target is not None and isinstance(target, Node) and id(target) not in seen:
                stack.append(target)
    return found


def _leading_to(nodes: list[Node], wanted: dict[Any, list[int]]) -> list[Node]:
    """The nodes through which a gradient has to pass to reach one of the wanted inputs."""
    useful: set[Any] = set()
    for node in sorted(nodes, key=_by_order):
        if node in wanted or any(t in useful or t in wanted for t in node.edges if t is not None):
            useful.add(node)
    return [node for node in nodes if node in useful]


def _completions(nodes: list[Node]) -> dict[Node, list[Any]]:
    """The prompt leaves by the last of the nodes, in their order, that gives them a gradient."""
    last: dict[Any, Node] = {}
    for node in nodes:
        for target in node.edges:
            if id(target) in prompt:
                last[target] = node
    found: dict[Node, list[Any]] = {}
    for leaf, node in last.items():
        found.setdefault(node, []).append(leaf)
    return found


def _step(node: Node, grad: Any, pending: dict[Any, Any], retain_graph: bool) -> None:
    """Run one node's rule and hand its gradients on."""
    if type(node) is Output:
        parent = node.edges[0]
        grads = pending.get(parent)
        if grads is None:
            grads = pending[parent] = [None] * parent.outputs
        grads[node.index] = grad
        return
    if node.saved is None:
        raise_freed()
    if node.trace is None:
        results = node.rule(node, grad)
    else:
        results = _traced(node, grad)
    if not retain_graph:
        free(node)
    if node.hooks is not None:
        if type(results) is not tuple:
            results = (results,)
        for hook in tuple(node.hooks.values()):
            changed = hook(results, (grad,) if type(grad) is not list else tuple(grad))
            if changed is not None:
                results = changed if isinstance(changed, tuple) else (changed,)
    if type(results) is not tuple:
        results = (results,)
    for target, result in zip(node.edges, results, strict=True):
        if target is not None and result is not None:
            held = pending.get(target)
            pending[target] = result if held is None else accumulate(held, result)


def _add(pending: dict[Any, Any], target: Any, grad: Any) -> None:
    if isinstance(target, Output):
        held = pending.get(target)
        pending[target] = grad if held is None else accumulate(held, grad)
        return
    held = pending.get(target)
    pending[target] = grad if held is None else accumulate(held, grad)


def _traced(node: Node, grad: Any) -> Any:
    """Run a rule under anomaly detection: failures and NaN name the forward line."""
    message = (
        f"Error detected in {node.name}. Traceback of forward call that caused the error:\n"
        + "".join(node.trace or ())
    )
    try:
        results = node.rule(node, grad)
    except Exception:
        warnings.warn(message, stacklevel=2)
        raise
    if mode.check_nan:
        listed = results if type(results) is tuple else (results,)
        for position, result in enumerate(listed):
            if result is not None and has_nan(result):
                warnings.warn(message, stacklevel=2)
                raise RuntimeError(
                    f"Function '{node.name}' returned nan values in its {position}th output."
                )
    return results


def _hooked(leaf: Variable, grad: Any) -> Any:
    if leaf._hooks:
        for hook in tuple(leaf._hooks.values()):
            changed = hook(grad)
            if changed is not None:
                grad = changed
    return grad


def _to_leaf(leaf: Any, grad: Any, create_graph: bool) -> None:
    grad = _hooked(leaf, grad)
    held = leaf._grad
    if held is None:
        leaf._grad = grad if create_graph else own(grad)
    elif create_graph:
        leaf._grad = held + grad
    else:
        held.add_(grad)
    after = leaf.__dict__.get("_post_accumulate_hooks") if leaf.__dict__ else None
    if after:
        for hook in tuple(after.values()):
            hook(leaf)


def _keep(tensor: Any, grad: Any) -> None:
    held = tensor._grad
    tensor._grad = own(grad) if held is None else held + grad


def _retain(tensor: Any, grad: Any) -> None:
    """`retain_grad`: after all hooks, whatever the order in which they were registered."""
    if tensor is not None:
        held = tensor._grad
        tensor._grad = grad.detach() if held is None else held + grad
