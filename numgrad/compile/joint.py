"""Results with a graph: the backward pass of a compiled function as a program of its own.

Where the function returns tensors that require grad, its backward is recorded right after it, from
gradients of the results to those of the arguments and parameters. The forward program then keeps
what the backward reads, and its results hang on one node, whose rule runs the backward program.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import numpy as np

from ..autograd import engine, tape
from ..autograd.tape import Node, Output, Variable, mode, wrap
from ..device import cpu
from .graph import Graph, Storage, Value
from .passes import optimize
from .program import Program
from .recorder import CompileError, Recorder


def live_tensors(result: Any) -> list[Variable]:
    """The tensors in a result whose graph has not been gone through."""
    if isinstance(result, Variable):
        if not result._requires_grad or result._node is None or _is_freed(result._node):
            return []
        return [result]
    if isinstance(result, dict):
        result = list(result.values())
    if isinstance(result, (tuple, list)):
        found = [tensor for item in result for tensor in live_tensors(item)]
        return list({id(tensor): tensor for tensor in found}.values())
    return []


def _nodes(root: Any) -> Iterator[Node]:
    seen: set[int] = set()
    stack = [root]
    while stack:
        node = stack.pop()
        if isinstance(node, Node) and id(node) not in seen:
            seen.add(id(node))
            yield node
            stack += node.edges


def _is_freed(root: Node) -> bool:
    return any(node.saved is None for node in _nodes(root))


@contextlib.contextmanager
def cut_off(tensors: list) -> Iterator[list[tuple[Any, Any]]]:
    """Make arguments leaves for a while, so that a recorded backward ends at them."""
    heads = [(t, t._node) for t in tensors if t._requires_grad and t._node is not None]
    for tensor, _ in heads:
        tensor._node = None
    try:
        yield heads
    finally:
        for tensor, node in heads:
            tensor._node = node


class Backward:
    """The backward of some results: recorded at once, built when the forward program is."""

    def __init__(self, results: list[Any], before: Any, recorder: Recorder) -> None:
        self.results = results
        self.forward_calls = len(recorder.calls)
        self.leaves = [t for t in before.tensors.values() if t._requires_grad]
        seeds = [np.ones(t._data.shape, t._data.dtype) for t in results]
        self.seeds = [recorder._input(seed) for seed in seeds]
        hooks = [(leaf, leaf._hooks) for leaf in self.leaves]
        for leaf in self.leaves:
            leaf._hooks = None
        try:
            grads = engine.run(
                results, [wrap(seed) for seed in seeds], self.leaves, True, False, True
            )
        finally:
            for leaf, own in hooks:
                leaf._hooks = own
        self.used = [
            leaf for leaf, grad in zip(self.leaves, grads, strict=True) if grad is not None
        ]
        self.grads = [recorder.value(grad._data) for grad in grads if grad is not None]
        self.kept = [grad for grad in grads if grad is not None]
        self.calls = recorder.calls[self.forward_calls :]
        del recorder.calls[self.forward_calls :]
        if any(call.checks for call in self.calls):
            raise CompileError("the backward of a result makes a check")
        made = {id(v.storage) for call in recorder.calls for v in call.writes}
        own = {id(v.storage) for call in self.calls for v in call.writes}
        self.saved: list[Value] = []  # what the forward keeps
        self.read: list[Variable] = []  # tensors from before that the backward reads
        owners = {id(_root(t._data)): t for t in before.tensors.values()}
        arguments = {id(s): t for (_, _, _, s), t in zip(recorder.extents, before.arguments)}  # noqa: B905
        for value in (*[v for call in self.calls for v in call.reads], *self.grads):
            storage = value.storage
            if storage.kind == "temporary" and id(storage) in made and id(storage) not in own:
                if all(value.key != known.key for known in self.saved):
                    self.saved.append(value)
            elif storage.kind == "temporary" and id(storage) in made:
                raise CompileError("the backward of a result writes to what the forward made")
            tensor = owners.get(id(storage.root)) if storage.kind == "lasting" else None
            tensor = arguments.get(id(storage), tensor)
            if tensor is not None and all(tensor is not t for t in self.read):
                self.read.append(tensor)
        for call in self.calls:
            for value in call.writes:
                if value.storage.kind != "temporary" and id(value.storage.root) in recorder.lasting:
                    raise CompileError("the backward of a result writes to a tensor from before")
        self.arguments = before.arguments
        self.argument_values = recorder.inputs[: len(before.arguments)]

    def reconnect(self, heads: list[tuple[Any, Any]]) -> None:
        """Give the recorded run's own graph its way on beyond the arguments."""
        nodes = {id(tensor): node for tensor, node in heads}
        if not nodes:
            return
        for result in self.results:
            for node in _nodes(result._node):
                node.edges = tuple([nodes.get(id(edge), edge) for edge in node.edges])

    def position(self, tensor: Any) -> int | None:
        """Which of the differentiable results this is."""
        for k, result in enumerate(self.results):
            if result is tensor:
                return k
        return None

    def build(self, forward: Any, settings: dict[str, Any]) -> None:
        """Make the program, once it is known what the forward allocates."""
        given = [value.storage for value in self.saved]
        inputs = [*self.seeds, *self.argument_values]
        self.recorded = Graph(inputs, self.calls, self.grads, given)
        self.recorded.verify()
        self.graph = optimize(self.recorded, settings)
        saved = list({id(storage): storage for storage in given}.values())
        self.regions = [forward.storages.index(storage) for storage in saved]
        fresh: list[Storage] = []
        for value in self.grads:
            if value.storage.kind == "temporary" and value.storage not in (*saved, *fresh):
                fresh.append(value.storage)
        self.fresh = fresh
        self.program = Program(self.graph, [*saved, *fresh])
        self.saved_count = len(saved)
        inputs_of = {id(t): k for k, t in enumerate(self.arguments)}
        self.edges = [inputs_of.get(id(leaf), leaf) for leaf in self.used]
        self.tensors = [inputs_of.get(id(tensor), tensor) for tensor in self.read]
        self.results_shapes = [(t._data.shape, t._data.dtype) for t in self.results]
        self.makers = [self._maker(value, saved) for value in self.grads]
        del self.results, self.kept, self.leaves, self.used, self.read, self.arguments

    def _maker(self, value: Value, saved: list[Storage]) -> Any:
        """How to make a gradient from the arrays of a run."""
        shape, strides, dtype, offset = value.shape, value.strides, value.dtype, value.offset
        order = [*saved, *self.fresh]
        if value.storage not in order:
            if value.storage.kind == "input":
                region = next(
                    k for k, v in enumerate(self.graph.inputs) if v.storage is value.storage
                )
                return lambda inputs, arrays: np.lib.stride_tricks.as_strided(
                    inputs[region], shape, strides
                )
            raise CompileError("a gradient is memory from before")
        region = order.index(value.storage)
        return lambda inputs, arrays: np.ndarray(
            shape, dtype, arrays[region].reshape(-1).view(np.uint8).data, offset, strides
        )

    # ------------------------------------------------------------------ in a run

    def node(self, inputs: list, fresh: list) -> Node:
        """The node of one run's results, after the forward program has filled `fresh`."""
        targets = [inputs[t] if type(t) is int else t for t in self.edges]
        node = Node("CompiledFunctionBackward", self._rule, tuple([tape.edge(t) for t in targets]))
        node.outputs = len(self.results_shapes)
        arrays = [fresh[k] for k in self.regions]
        node.context = ([tensor._data for tensor in inputs], arrays)
        tape.save(node, tuple([inputs[t] if type(t) is int else t for t in self.tensors]))
        if not node.saved:
            node.saved, node.versions = (None,), (0,)  # so that freeing forgets the context
        return node

    def output(self, node: Node, position: int) -> Node:
        return node if node.outputs == 1 else Output(node, position)

    def _rule(self, node: Node, grads: Any) -> tuple:
        if mode.enabled:
            raise RuntimeError(
                "the backward of a compiled function can't be differentiated: leave out "
                "create_graph=True, or call the function without compile"
            )
        tape.unpack(node)  # raises where a tensor has been overwritten since
        listed = grads if type(grads) is list else [grads]
        seeds = []
        for grad, (shape, dtype) in zip(listed, self.results_shapes, strict=True):
            if grad is None:
                seeds.append(np.zeros(shape, dtype))
            else:
                seeds.append(cpu.dense(grad._data))
        arguments, saved = node.context
        fresh = [cpu.empty(storage.nbytes, np.dtype(np.uint8)) for storage in self.fresh]
        inputs = [*seeds, *arguments]
        status = self.program.run(self.program.address, (*inputs, *saved, *fresh))
        if status:
            raise RuntimeError("the gradients of a compiled function have other shapes or dtypes")
        return tuple([wrap(make(inputs, [*saved, *fresh])) for make in self.makers])


def _root(array: np.ndarray) -> np.ndarray:
    from .recorder import owner

    return owner(array)
