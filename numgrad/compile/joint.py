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
from ..device import cpu, cuda, empty_at, of, part, place_of
from .graph import Graph, Storage, Value
from .passes import optimize
from .program import program
from .recorder import CompileError, Recorder


def live_tensors(result: Any, known: list[Variable]) -> list[Variable]:
    """The tensors in a result whose graph, up to the known ones, has not been gone through."""
    ends = {id(tensor._node) for tensor in known}
    found: dict[int, Variable] = {}

    def visit(value: Any) -> None:
        if isinstance(value, Variable):
            if value._requires_grad and value._node is not None and not _is_freed(value, ends):
                found[id(value)] = value
        elif isinstance(value, (dict, tuple, list)):
            for item in value.values() if isinstance(value, dict) else value:
                visit(item)

    visit(result)
    return list(found.values())


def _is_freed(tensor: Variable, ends: set[int]) -> bool:
    seen = set(ends)
    stack: list[Any] = [tensor._node]
    while stack:
        node = stack.pop()
        if isinstance(node, Node) and id(node) not in seen:
            if node.saved is None:
                return True
            seen.add(id(node))
            stack += node.edges
    return False


@contextlib.contextmanager
def watched(tensors: list, recorder: Recorder) -> Iterator[None]:
    """Watch the history of what was there before: what a backward does there is in no program."""

    def notice(grad: Any) -> None:
        recorder.fail("the function differentiates through the history of a tensor from before")

    nodes = [t._node for t in tensors if t._requires_grad and t._node is not None]
    hooks = [node.pre_hooks for node in nodes]
    for node, own in zip(nodes, hooks, strict=True):
        node.pre_hooks = {**(own or {}), object(): notice}
    try:
        yield
    finally:
        for node, own in zip(nodes, hooks, strict=True):
            node.pre_hooks = own


@contextlib.contextmanager
def leaves_of(results: list[Any], tensors: list[Any]) -> Iterator[None]:
    """Have the graph of `results` end at `tensors`, as if they had no history."""
    heads = {id(t._node): t for t in tensors if t._requires_grad and t._node is not None}
    history = [(t, t._node) for t in heads.values()]
    kept: list[tuple[Node, tuple]] = []
    seen: set[int] = set(heads)
    stack = [result._node for result in results]
    while stack:
        node = stack.pop()
        if not isinstance(node, Node) or id(node) in seen:
            continue
        seen.add(id(node))
        stack += node.edges
        if any(id(edge) in heads for edge in node.edges):
            kept.append((node, node.edges))
            node.edges = tuple([heads.get(id(edge), edge) for edge in node.edges])
    for tensor, _ in history:
        tensor._node = None
    try:
        yield
    finally:
        for tensor, own in history:
            tensor._node = own
        for node, edges in kept:
            node.edges = edges


class Backward:
    """The backward of some results: recorded at once, built when the forward program is."""

    def __init__(self, results: list[Any], before: Any, recorder: Recorder) -> None:
        self.results = results
        self.forward_calls = len(recorder.calls)
        self.leaves = [t for t in before.tensors.values() if t._requires_grad]
        seeds = [_ones_beside(t._data) for t in results]
        self.seeds = [recorder._input(seed) for seed in seeds]
        hooks = [(leaf, leaf._hooks) for leaf in self.leaves]
        for leaf in self.leaves:
            leaf._hooks = None
        try:
            with leaves_of(results, self.leaves):
                grads = engine.run(
                    results, [wrap(seed) for seed in seeds], self.leaves, True, False, True
                )
        except Exception as error:  # it is raised where the backward is asked for
            raise CompileError(f"the backward of a result fails: {error}") from error
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
        made = {id(v.storage) for call in recorder.calls for v in call.writes}
        own = {id(v.storage) for call in self.calls for v in call.writes}
        self.saved: list[Value] = []  # what the forward keeps
        self.read: list[Variable] = []  # tensors from before that the backward reads
        owners = {id(_root(t._data)): t for t in before.tensors.values()}
        arguments = {id(s): t for (_, _, _, s), t in zip(recorder.extents, before.arguments)}  # noqa: B905
        read = [v for call in self.calls for v in call.reads]
        read += [v for call in self.calls for check in call.checks for v in check.values]
        for value in (*read, *self.grads):
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
        copied = {id(there.storage) for _, there in recorder.uploads}
        if any(id(value.storage) in copied for value in read):
            raise CompileError(
                "the backward of a result reads what the function has copied to a GPU: copy it "
                "there before the call"
            )
        self.arguments = before.arguments
        self.argument_values = recorder.inputs[: len(before.arguments)]

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
        self.program = program(self.graph, [*saved, *fresh])
        self.program.ready()
        inputs_of = {id(t): k for k, t in enumerate(self.arguments)}
        self.edges = [inputs_of.get(id(leaf), leaf) for leaf in self.used]
        self.tensors = [inputs_of.get(id(tensor), tensor) for tensor in self.read]
        self.results_shapes = [
            (t._data.shape, t._data.dtype, place_of(t._data)) for t in self.results
        ]
        self.makers = [self._maker(value, saved) for value in self.grads]
        del self.results, self.kept, self.leaves, self.used, self.read, self.arguments

    def _maker(self, value: Value, saved: list[Storage]) -> Any:
        """How to make a gradient from the arrays of a run."""
        shape, strides, dtype, offset = value.shape, value.strides, value.dtype, value.offset
        order = [*saved, *self.fresh]
        if value.storage not in order:
            for region, given in enumerate(self.graph.inputs):
                if value.key == given.key:
                    return lambda inputs, arrays: inputs[region]
                if value.storage is given.storage and given.is_dense():
                    return lambda inputs, arrays: part(
                        inputs[region], shape, dtype, offset, strides
                    )
            raise CompileError("a gradient is memory from before")
        region = order.index(value.storage)
        return lambda inputs, arrays: part(arrays[region], shape, dtype, offset, strides)

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
        if cpu.recorder is not None:
            cpu.recorder.read("the backward of a function compiled by itself")
        tape.unpack(node)  # raises where a tensor has been overwritten since
        listed = grads if type(grads) is list else [grads]
        seeds = []
        for grad, (shape, dtype, where) in zip(listed, self.results_shapes, strict=True):
            if grad is None:
                zeros = np.zeros(shape, dtype)
                seeds.append(zeros if where is None else cuda.upload(zeros, index=where))
            else:
                seeds.append(of(grad._data).dense(grad._data))
        arguments, saved = node.context
        fresh = [empty_at(s.nbytes, np.dtype(np.uint8), s.device) for s in self.fresh]
        inputs = [*seeds, *arguments]
        status = self.program.run(self.program.address, (*inputs, *saved, *fresh))
        if status > 0:
            self.program.raise_check(status - 1)
        if status:
            raise RuntimeError("the gradients of a compiled function have other shapes or dtypes")
        return tuple([wrap(make(inputs, [*saved, *fresh])) for make in self.makers])


def _ones_beside(data: Any) -> Any:
    ones = np.ones(data.shape, data.dtype)
    return ones if type(data) is np.ndarray else cuda.upload(ones, data)


def _root(array: Any) -> Any:
    from .recorder import owner

    return owner(array)
