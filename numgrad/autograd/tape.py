"""The tape: what a tensor is to autograd, nodes, grad modes, in-place updates and views.

Nothing here knows an operation, a kernel or a device. An operation computes its result, wraps it,
and calls `record`, which links a `Node` to the nodes of its inputs. `engine.py` walks them back.
"""

from __future__ import annotations

import itertools
import threading
import traceback
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple, NoReturn

from .._changes import changes as changes


class Variable:
    """What every tensor is made of; `numgrad.Tensor` adds the methods.

    `_data` is the device's array (NumPy's on the CPU): shape, strides, offset and memory.
    """

    __slots__ = (
        "_data",
        "_requires_grad",
        "_node",  # the Node that made it, None for a leaf
        "_grad",
        "_counter",  # version counter shared by all views of one memory, None until needed
        "_view",  # a View, None for a tensor that is not one
        "_hooks",
        "__dict__",
        "__weakref__",
    )

    _data: Any
    _requires_grad: bool
    _node: Node | None
    _grad: Any
    _counter: Counter | None
    _view: View | None
    _hooks: dict[int, Callable] | None


class Counter:
    """How often some memory has been written to in place, and how often its history changed."""

    __slots__ = ("version", "generation")

    def __init__(self) -> None:
        self.version = self.generation = 0


class View:
    """How a view came out of its base: `function(parent, *arguments)`, parents down to the base."""

    __slots__ = ("base", "parent", "function", "arguments", "generation")

    def __init__(
        self,
        base: Variable,
        parent: Variable,
        function: Callable,
        arguments: tuple,
        generation: int,
    ) -> None:
        self.base = base
        self.parent = parent
        self.function = function
        self.arguments = arguments
        self.generation = generation

    def replay(self, base: Any) -> Any:
        """The same view of another tensor of the base's shape."""
        parent = self.parent
        if parent is not self.base and parent._view is not None:
            base = parent._view.replay(base)
        return self.function(base, *self.arguments)


class Holding(NamedTuple):
    """What an object answers to `__reached__()`: what programs that use it depend on."""

    #: Tensors, and objects that answer in turn.
    objects: Iterable[Any] = ()
    #: Anything else that its behaviour depends on, to be compared with a later answer.
    snapshot: tuple = ()
    #: Dicts with numbers that a program takes as they are at each call (an optimizer's options).
    options: tuple[dict, ...] = ()
    #: An array that kernels write to and that is no tensor's, and what to call before a run.
    memory: Any = None
    prepare: Callable[[], Any] | None = None


class Mode(threading.local):
    """Grad mode and inference mode of this thread."""

    enabled = True
    inference = False
    anomaly = False
    check_nan = True


mode = Mode()
_order = itertools.count().__next__
_tensor_class: type = Variable
_new = object.__new__


def set_tensor_class(cls: type) -> None:
    """Tell the tape the class of the tensors it makes."""
    global _tensor_class
    _tensor_class = cls


def wrap(data: Any) -> Any:
    """A new tensor on `data`, without history."""
    tensor: Any = _new(_tensor_class)
    tensor._data = data
    tensor._requires_grad = False
    tensor._node = tensor._grad = tensor._counter = tensor._view = tensor._hooks = None
    return tensor


class Node:
    """One recorded operation: what its backward needs, and the edges to where gradients go.

    `rule(node, grad_output)` returns one gradient for each edge (a tuple; None where there is
    none to give). An edge is a Node, a leaf tensor, or None where no gradient is wanted. A node
    with several outputs has an `Output` node for each of them, and its rule receives a list.
    """

    __slots__ = (
        "name",
        "rule",
        "edges",
        "saved",
        "versions",
        "context",
        "order",
        "__dict__",
        "__weakref__",
    )

    name: str
    rule: Callable
    edges: tuple
    saved: tuple | None
    versions: tuple
    context: Any
    order: int

    # Seldom set on a node itself, so that making one stays cheap.
    outputs: int = 0
    hooks: dict[int, Callable] | None = None
    pre_hooks: dict[int, Callable] | None = None
    trace: list[str] | None = None
    retained_by: Any = None  # a weak reference to the tensor whose gradient is to be kept

    def __init__(self, name: str, rule: Callable, edges: tuple, context: Any = None) -> None:
        self.name = name
        self.rule = rule
        self.edges = edges
        self.saved = self.versions = ()
        self.context = context
        self.order = _order()
        if mode.anomaly:
            self.trace = traceback.format_stack()


class Output(Node):
    """Output number `index` of a node with several."""

    __slots__ = ("index",)

    def __init__(self, parent: Node, index: int) -> None:
        super().__init__(parent.name, _pass_on, (parent,))
        self.index = index


def _pass_on(node: Node, grad: Any) -> tuple:
    return (grad,)


class SavedOutput:
    """An operation's own result, kept for its backward without a cycle through the tensor."""

    __slots__ = ("data", "counter")

    def __init__(self, tensor: Variable) -> None:
        self.data = tensor._data
        if tensor._counter is None:
            tensor._counter = Counter()
        self.counter = tensor._counter


def version(tensor: Variable) -> int:
    """How often the tensor's memory has been written to in place."""
    counter = tensor._counter
    return 0 if counter is None else counter.version


def edge(tensor: Variable) -> Any:
    """Where a gradient for this tensor goes: its node, itself if it is a leaf, or None."""
    if tensor._view is not None:
        refresh(tensor)
    if not tensor._requires_grad:
        return None
    return tensor._node or tensor


def needs_grad(*tensors: Variable) -> bool:
    """Whether an operation on these tensors has to be recorded."""
    if not mode.enabled:
        return False
    for tensor in tensors:
        if tensor._view is not None:
            refresh(tensor)
        if tensor._requires_grad:
            return True
    return False


def record(
    result: Variable,
    name: str,
    rule: Callable,
    inputs: tuple,
    saved: tuple = (),
    context: Any = None,
) -> Any:
    """Make `result` the output of a new node; `inputs` are tensors (or None), in the rule's order.

    `saved` holds tensors (or None, or `result` itself) that the rule takes back with `unpack`.
    """
    edges: list[Any] = []
    for tensor in inputs:
        if tensor is None:
            edges.append(None)
            continue
        if tensor._view is not None:
            refresh(tensor)
        edges.append((tensor._node or tensor) if tensor._requires_grad else None)
    node = Node(name, rule, tuple(edges), context)
    result._node = node
    result._requires_grad = True
    if saved:
        save(node, saved, result)
    return result


def record_many(
    results: tuple,
    name: str,
    rule: Callable,
    inputs: tuple,
    saved: tuple = (),
    context: Any = None,
    differentiable: tuple | None = None,
) -> Any:
    """As `record`, for an operation with several results; its rule receives a list of gradients."""
    node = Node(name, rule, tuple([None if t is None else edge(t) for t in inputs]), context)
    node.outputs = len(results)
    for index, result in enumerate(results):
        if differentiable is None or differentiable[index]:
            result._node = Output(node, index)
            result._requires_grad = True
    if saved:
        save(node, saved)
    return results


def last_order() -> int:
    """A number that orders nodes: greater than those of all nodes made until now."""
    return _order()


def reaches(result: Variable, tensor: Variable, since: int) -> bool:
    """Whether gradients of `result` arrive at `tensor` through nodes made after `since`."""
    target, pending = edge(tensor), [edge(result)]
    while pending:
        found = pending.pop()
        if found is target:
            return True
        if isinstance(found, Node) and found.order > since:
            pending.extend(found.edges)
    return False


def save(node: Node, saved: tuple, result: Any = None) -> None:
    """Keep tensors for the backward, with their versions."""
    kept: list[Any] = []
    versions: list[int] = []
    for tensor in saved:
        if tensor is None:
            kept.append(None)
            versions.append(0)
        elif tensor is result:
            own = SavedOutput(result)
            kept.append(own)
            versions.append(own.counter.version)
        else:
            kept.append(tensor)
            counter = tensor._counter
            versions.append(0 if counter is None else counter.version)
    node.saved = tuple(kept)
    node.versions = tuple(versions)


def free(node: Node) -> None:
    """Forget what an operation saved; one that saved nothing can be gone through again."""
    if node.saved:
        node.saved = node.context = None


def raise_freed() -> NoReturn:
    """Raise PyTorch's error for a graph that has been freed."""
    raise RuntimeError(
        "Trying to backward through the graph a second time (or directly access saved "
        "tensors after they have already been freed). Saved intermediate values of the "
        "graph are freed when you call .backward() or autograd.grad(). Specify "
        "retain_graph=True if you need to backward through the graph a second time or if "
        "you need to access saved tensors after calling backward."
    )


def unpack(node: Node) -> list:
    """The tensors that `save` kept; raises if one was overwritten or has been freed."""
    saved = node.saved
    if saved is None:
        raise_freed()
    tensors: list[Any] = []
    for position, tensor in enumerate(saved):
        if type(tensor) is SavedOutput:
            counter = tensor.counter
            restored = wrap(tensor.data)
            restored._counter = counter
            restored._node = node
            restored._requires_grad = True
            tensor = restored
        elif tensor is None:
            tensors.append(None)
            continue
        else:
            counter = tensor._counter
        if counter is not None and counter.version != node.versions[position]:
            _raise_overwritten(tensor, counter.version, node.versions[position], node)
        tensors.append(tensor)
    return tensors


def _raise_overwritten(tensor: Variable, found: int, expected: int, node: Node) -> None:
    from ..dtypes import FROM_NUMPY

    kind = {"float32": "FloatTensor", "float64": "DoubleTensor", "int64": "LongTensor"}
    data = tensor._data
    name = FROM_NUMPY[data.dtype].name if data.dtype in FROM_NUMPY else str(data.dtype)
    origin = ""
    if tensor._node is not None:
        origin = f", which is output 0 of {tensor._node.name},"
    raise RuntimeError(
        "one of the variables needed for gradient computation has been modified by an inplace "
        f"operation: [torch.{kind.get(name, name)} {list(data.shape)}]{origin} is at version "
        f"{found}; expected version {expected} instead. Hint: "
        + (
            "the backtrace further above shows the operation that failed to compute its gradient."
            if node.trace
            else "enable anomaly detection to find the operation that failed to compute its "
            "gradient, with torch.autograd.set_detect_anomaly(True)."
        )
    )


# Views and in-place updates


def record_view(view: Any, parent: Variable, function: Callable, arguments: tuple) -> Any:
    """Note that `view` shows memory of `parent` and came from `function(parent, *arguments)`."""
    counter = parent._counter
    if counter is None:
        counter = parent._counter = Counter()
    view._counter = counter
    above = parent._view
    base = parent if above is None else above.base
    view._view = View(base, parent, function, arguments, counter.generation)
    return view


def refresh(tensor: Variable) -> None:
    """Give a view the history that it gets from writes to its base since it was made."""
    view: Any = tensor._view
    generation = tensor._counter.generation  # type: ignore[union-attr]
    if view.generation != generation and mode.enabled:
        view.generation = generation
        if view.base._requires_grad:
            anew = view.replay(view.base)
            tensor._node = anew._node
            tensor._requires_grad = anew._requires_grad


def check_inplace(tensor: Variable) -> None:
    """Raise where the tensor may not be written to in place."""
    if tensor._view is not None:
        refresh(tensor)
    if mode.enabled and tensor._requires_grad:
        if tensor._node is None:
            raise RuntimeError(
                "a leaf Variable that requires grad is being used in an in-place operation."
            )
        view = tensor._view
        if view is not None and view.base._requires_grad and view.base._node is None:
            raise RuntimeError(
                "a view of a leaf Variable that requires grad is being used in an in-place "
                "operation."
            )
        if isinstance(tensor._node, Output) and view is not None:
            raise RuntimeError(
                f"Output {tensor._node.index} of {tensor._node.name.removesuffix('Backward0')} is a "
                "view and is being modified inplace. This view is the output of a function that returns multiple "
                "views. Such functions do not allow the output views to be modified inplace. "
                "You should replace the inplace operation by an out-of-place one."
            )
    elif mode.enabled and tensor._view is not None:
        base = tensor._view.base
        if base._requires_grad and base._node is None:
            raise RuntimeError(
                "a view of a leaf Variable that requires grad is being used in an in-place "
                "operation."
            )


def bump(tensor: Variable) -> None:
    """Note a write to the tensor's memory."""
    counter = tensor._counter
    if counter is None:
        counter = tensor._counter = Counter()
    counter.version += 1


def alias(tensor: Variable) -> Any:
    """The same memory and history under another tensor: what an in-place operation reads."""
    other = wrap(tensor._data)
    if tensor._counter is None:
        tensor._counter = Counter()
    other._counter = tensor._counter
    if tensor._view is not None:
        refresh(tensor)
    other._requires_grad = tensor._requires_grad
    other._node = tensor._node
    return other


def adopt(tensor: Variable, result: Variable) -> None:
    """Give `tensor`, just overwritten with `result`, the result's history; its base too."""
    node = result._node if result._requires_grad else None
    if not (tensor._requires_grad or node is not None):
        return
    if not mode.enabled:
        return
    view = tensor._view
    if view is None:
        tensor._node = node
        tensor._requires_grad = node is not None
        tensor._counter.generation += 1  # type: ignore[union-attr]
        return
    base = view.base
    if not base._requires_grad and node is None:
        return
    pasted = Node("CopySlices", _copy_slices_backward, (edge(base), node), view)
    base._node = pasted
    base._requires_grad = True
    tensor._counter.generation += 1  # type: ignore[union-attr]


def _copy_slices_backward(node: Node, grad: Any) -> tuple:
    view: View = node.context
    to_view = view.replay(grad) if node.edges[1] is not None else None
    to_base = None
    if node.edges[0] is not None:
        with set_grad(mode.enabled):
            to_base = grad.clone()
            view.replay(to_base).zero_()
    return to_base, to_view.clone() if to_view is not None else None


class set_grad:
    """Set grad mode inside a `with` block."""

    __slots__ = ("value", "previous")

    def __init__(self, value: bool) -> None:
        self.value = value

    def __enter__(self) -> None:
        self.previous = mode.enabled
        mode.enabled = self.value

    def __exit__(self, *_: object) -> None:
        mode.enabled = self.previous
