"""From a recorded run to an `Entry`: the program, when it may run, and what it does besides.

Beside the launches, a run does things in Python: it returns tensors, sets gradients, counts
versions up. These are found by comparing what was there before with what is there afterwards.
"""

from __future__ import annotations

import ctypes
import functools
import gc
import re
import sys
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..autograd import tape
from ..autograd.tape import Variable, wrap
from ..device import cpu, empty_at, part
from ..dtypes import get_default_dtype
from ..kernels._program import OTHER_STATE
from ..ops._core import assign, copy_array
from .function import MISS, Arguments, CompiledFunction, leaves, miss
from .graph import Storage, Value
from .joint import Backward, live_tensors, watched
from .number import Number, Options
from .passes import optimize
from .program import program, slot_offset, version_of, version_offset
from .reach import CONSTANTS, Reach
from .recorder import CompileError, Recorder, listening, owner

_DATA, _GRAD, _REQUIRES = "_data", "_grad", "_requires_grad"


def record(compiled: CompiledFunction, call: Arguments) -> tuple[Any, Entry | None]:
    """Run the function eagerly and note down what it does: its result, and a program if possible."""
    reach = Reach(compiled._function, compiled._tracked)
    for value in call.objects:
        reach.add(value)
    before = Before(reach, call)
    options = Options(reach.options(), list(reach.numbers), call.numbers)
    options.track()
    args, kwargs = call.args, call.kwargs
    if call.numbers:
        args, kwargs = call.replaced(options.arguments)
    arrays = [t._data for t in call.tensors] + [t._grad._data for t in before.graded]
    recorder = Recorder(arrays, before.lasting, compiled._options["fullgraph"])
    try:
        with listening(recorder), watched([*before.tensors.values()], recorder):
            result = compiled._function(*args, **kwargs)
            backward = None
            if recorder.reason is None:
                live = live_tensors(result, [*before.tensors.values()])
                if live:
                    try:
                        backward = Backward(live, before, recorder)
                    except CompileError as error:
                        recorder.fail(str(error))
    finally:
        unchanged = options.untrack()
    if recorder.reason is not None:
        compiled.give_up(recorder.reason)
        return result, None
    if reach.snapshots() != before.snapshots or not unchanged:
        # Optimizer state that the first step makes, say: the next call will be another one.
        return result, None
    try:
        entry = Entry(call, reach, before, options, recorder, result, backward, compiled._options)
    except (CompileError, ValueError) as error:  # ValueError: from the graph's verifier
        if compiled._options["fullgraph"]:
            raise
        compiled.give_up(str(error))
        return result, None
    cpu.empty_cache()  # what the run needed, its program does not
    return result, entry


class Before:
    """What the function can see, as it was before a run."""

    def __init__(self, reach: Reach, call: Arguments) -> None:
        self.snapshots = reach.snapshots()
        self.changes = tape.changes.count
        self.arguments = call.tensors
        self.tensors = {id(t): t for t in (*reach.tensors, *call.tensors)}
        self.state = {
            key: (t._data, t._grad, t._requires_grad, tape.version(t))
            for key, t in self.tensors.items()
        }
        arrays = [t._data for t in reach.tensors]
        arrays += [grad._data for _, grad, _, _ in self.state.values() if grad is not None]
        for holder in reach.holders:
            holding = holder.__reached__()
            if holding.memory is None and holding.prepare is not None:
                holding.prepare()  # a generator's state on a GPU is made with the first numbers
        held = [holder.__reached__() for holder in reach.holders]
        arrays += [holding.memory for holding in held if holding.memory is not None]
        self.prepare = {id(h.memory): h.prepare for h in held if h.prepare is not None}
        #: Ids of the arrays that own memory known to live on.
        self.lasting = {id(owner(array)) for array in arrays}
        #: Tensors whose gradients a program takes as further arguments: those on other memory than
        #: everything else. They can be new ones in every call.
        self.graded: list[Variable] = []
        owners = [id(owner(array)) for array in (*arrays, *[t._data for t in call.tensors])]
        given = {id(tensor) for tensor in call.tensors}
        for key, (_, grad, _, _) in self.state.items():
            if grad is not None and key not in given and grad._node is None:
                if owners.count(id(owner(grad._data))) == 1:
                    self.graded.append(self.tensors[key])
        self.lasting -= {id(owner(t._grad._data)) for t in self.graded}


class Entry:
    """A program, everything that has to hold for it to run, and what it does in Python."""

    def __init__(
        self,
        call: Arguments,
        reach: Reach,
        before: Before,
        options: Options,
        recorder: Recorder,
        result: Any,
        backward: Backward | None,
        settings: dict[str, Any],
    ) -> None:
        self.key = call.key
        self.reach = reach
        self.objects = call.objects  # so that the ids in the key stay theirs
        self.snapshots = before.snapshots
        self.changes = before.changes
        self.settings = get_default_dtype()
        self.options = options
        #: For each option dict the word that tells that it is as it was; not known yet.
        self.versions = [-1] * (0 if version_offset() is None else len(options.dicts))
        self.call_key, self.floats = call.loose_key, call.floats
        #: The floats of the function's own that are passed on, whether that was seen to be right,
        #: and the values that raised the question.
        self.tracked: set[Any] = {k for k in range(len(call.floats)) if k in call.tracked}
        self.tracked |= {place.id for place in reach.numbers}
        self.verified = not self.tracked
        self.doubted: list | None = None
        self.state_holds = _function(f"lambda: {' and '.join(reach.guards) or 'True'}", reach.scope)
        #: Address, object whose address has to be there, or, with False, has not.
        self.guards: list[tuple[int, Any, bool]] = []
        self.bumped: list[tuple[Any, int]] = []  # version counters, and by how much
        self.bumped_inputs: list[tuple[int, int]] = []
        self.cleared: list[Variable] = []
        self.grads: list[Gradient] = []
        self.backward = backward
        #: Tensors whose gradients are further arguments.
        self.graded: list[Variable] = []
        self._drop_unused(before, recorder)
        self.results = Results(result, call.tensors, before.tensors, recorder, backward)
        self._compare(before, call, recorder)
        if backward is None:
            self._find_strays(recorder)
        else:
            self.results.save(backward.saved)
        values = [*self.results.values, *[grad.value for grad in self.grads]]
        self.recorded = recorder.graph(values)
        self.recorded.verify()
        self.graph = optimize(self.recorded, settings)
        kept = [grad.value.storage for grad in self.grads]
        self.program = program(self.graph, self.results.storages, kept)
        if backward is not None:
            backward.build(self.results, settings)
        for grad in self.grads:
            if grad.value.storage in self.results.storages:
                raise CompileError("a gradient made inside is also returned")
            grad.adopt(self.program)
        self.program.ready()
        roots = {id(storage.root) for storage in self.graph.storages}
        self.prepare = [f for root, f in before.prepare.items() if root in roots]
        for storage in self.recorded.storages:
            if storage.kind == "temporary":
                storage.root = None  # the recorded run's own memory is not needed any more
        self._set_guards()
        self.fast: Callable = self._fast_path(call)
        self._forget()

    # ------------------------------------------------------------------ after recording

    def _drop_unused(self, before: Before, recorder: Recorder) -> None:
        """Leave out the gradients that the recorded run did not look at."""
        count = len(before.arguments)
        used = {id(value.storage) for call in recorder.calls for value in call.values}
        rest = list(zip(before.graded, recorder.inputs[count:], strict=True))
        del recorder.inputs[count:]
        for tensor, value in rest:
            if id(value.storage) in used:
                self.graded.append(tensor)
                recorder.inputs.append(value)
        if self.graded and self.backward is not None:
            raise CompileError(
                "the function reads gradients and returns what can be differentiated"
            )

    def _compare(self, before: Before, call: Arguments, recorder: Recorder) -> None:
        """Find what the run did to the tensors that were there before."""
        positions = {id(tensor): k for k, tensor in enumerate(call.tensors)}
        used = {id(value.storage.root) for c in recorder.calls for value in c.values}
        for key, tensor in before.tensors.items():
            data, grad, requires_grad, version = before.state[key]
            if tensor._view is not None:
                tape.refresh(tensor)
            if tensor._data is not data:
                raise CompileError("the function gives a tensor other memory (.data or out=)")
            delta = tape.version(tensor) - version
            read = grad is not None and id(owner(grad._data)) in used
            if key in positions:
                if read:
                    raise CompileError("the function reads the gradient of an argument")
                if delta:
                    self.bumped_inputs.append((positions[key], delta))
                if tensor._grad is not grad or tensor._requires_grad is not requires_grad:
                    raise CompileError("the function sets the gradient of an argument")
                continue
            if tensor._requires_grad is not requires_grad:
                raise CompileError("the function changes requires_grad of a tensor")
            self._guard(tensor, _DATA, data)
            self._guard(tensor, _REQUIRES, requires_grad)
            if delta:
                self.bumped.append((tensor._counter, delta))
            new = tensor._grad
            if new is grad or new is None:
                if any(tensor is graded for graded in self.graded):
                    pass  # whatever it is by then
                elif read:
                    self._guard(tensor, _GRAD, grad)
                    self._guard(grad, _DATA, grad._data)
                else:
                    self._guard(tensor, _GRAD, None, grad is None)
                if new is not grad:
                    self.cleared.append(tensor)
            elif read:
                raise CompileError("the function reads a gradient and puts another in its place")
            elif new._requires_grad:
                raise CompileError("a gradient made inside has a graph of its own")
            else:
                self.grads.append(Gradient(tensor, grad is None, recorder.value(new._data)))

    def _forget(self) -> None:
        """Let go of the arguments and the intermediate memory of the recorded run."""
        self.results.tensors.clear()
        graphs = [self.recorded, self.graph]
        if self.backward is not None:
            graphs += [self.backward.recorded, self.backward.graph]
        for graph in graphs:
            for storage in graph.storages:
                if storage.kind in ("input", "temporary"):
                    storage.root = None

    def _guard(self, tensor: Any, name: str, value: Any, same: bool = True) -> None:
        self.guards.append((id(tensor) + slot_offset(name), value, same))

    def _find_strays(self, recorder: Recorder) -> None:
        """Raise where memory made on the way is still in use at a place that is not known."""
        expected: dict[int, int] = {}
        seen: set[int] = set()
        tensors = [*self.results.tensors, *[grad.tensor._grad for grad in self.grads]]
        while tensors:
            tensor = tensors.pop()
            if id(tensor) in seen:
                continue
            seen.add(id(tensor))
            if tensor._view is not None:  # what it is a view of stays with it
                tensors += [tensor._view.base, tensor._view.parent]
            root = id(owner(tensor._data))
            expected[root] = expected.get(root, 0) + 1
        for collected in (False, True):
            stray = None
            for storage in recorder.storages.values():
                known = storage.nbytes and (
                    storage.kind == "temporary" or id(storage.root) in recorder.before
                )
                # Beside the known ones: the storage's own, and getrefcount's.
                if known and sys.getrefcount(storage.root) > 2 + expected.get(id(storage.root), 0):
                    stray = storage
            if stray is None:
                break
            if not collected:
                gc.collect()
        else:
            raise CompileError(
                "a tensor made inside outlives the call at a place that compile does not know, or "
                "the function writes to one there: return it, or make it a module's buffer"
            )

    def park(self) -> None:
        """Let go of the gradients' memory until the next run: another program leaves them now."""
        if self.grads:
            for grad in self.grads:
                grad.own = None
            # What holds no gradient tensor at all: `run` has to come first.
            self._set_guards([(id(self.grads[0].tensor) + slot_offset(_GRAD), 0, True)])

    def _set_guards(self, state: list[tuple[int, int, bool]] | None = None) -> None:
        """The words in memory that the program depends on: the option dicts', then the state's."""
        if state is None:
            state = [(address, id(value), same) for address, value, same in self.guards]
            for grad in self.grads:
                state += grad.guards()
        versions = zip(self.options.dicts, self.versions, strict=False)
        self.program.set_guards([*[(version_of(d), v, True) for d, v in versions], *state])

    # ------------------------------------------------------------------ a call

    def fits(self, call: Arguments) -> bool:
        """Whether what the function refers to is as the program takes it."""
        if self.changes != tape.changes.count:
            settings = get_default_dtype()
            if settings is not self.settings or self.reach.snapshots() != self.snapshots:
                return False
            self.changes = tape.changes.count
        return self.state_holds() and self.renew(call.numbers)

    def renew(self, arguments: Sequence[float]) -> bool:
        """Take over the numbers as they are now; False where they ask for another program."""
        options = self.options
        dicts = options.dicts[: len(self.versions)]
        versions = [ctypes.c_int64.from_address(version_of(d)).value for d in dicts]
        values = options.read(arguments)
        if values == options.values:
            self._note(versions)
            return True
        if not options.allow(values):
            return False
        if not self.verified and values[-2:] != options.values[-2:]:
            # A number may have gone where it leaves no trace (into math.sqrt, say). The next
            # recording shows whether it did.
            self.doubted = values
            return False
        self.program.set_numbers(options.numbers(values))
        options.values = values
        self._note(versions)
        return True

    def _note(self, versions: list[int]) -> None:
        self.versions = versions
        self.program.update_guards(versions)

    def agrees(self, other: Entry) -> bool:
        """Whether this program, given the other's numbers, is the other one."""
        numbers = self.options.numbers(other.options.values)
        mine, its = self.recorded.calls, other.recorded.calls
        return len(mine) == len(its) and all(
            a.kernel is b.kernel and a.n == b.n and _alike(a.arguments, b.arguments, numbers)
            for a, b in zip(mine, its, strict=True)
        )

    def changed_places(self) -> set[tuple]:
        """The floats in closures and globals that are not any more what they were."""
        found = set()
        for place, value in self.reach.floats.items():
            now = place.read()
            if type(now) is float and now != value:
                found.add(place.id)
        return found

    def run(self, call: Arguments) -> Any:
        """Run the program on these arguments, or MISS."""
        for grad in self.grads:
            if not grad.prepare(self.program):
                return MISS
        self._set_guards()
        for prepare in self.prepare:
            prepare()
        tensors = call.tensors
        grads = [tensor._grad for tensor in self.graded]
        if any(grad is None for grad in grads):
            return MISS
        fresh = self.results.allocate()
        arrays = (*[t._data for t in tensors], *[grad._data for grad in grads], *fresh)
        status = self.program.run(self.program.address, arrays)
        if status:
            return self.stopped(status)
        self.finish(tensors)
        return self.results.make(tensors, fresh)

    def stopped(self, status: int) -> Any:
        """The program did not run, or a check in it failed."""
        if status < 0:
            return MISS
        for grad in self.grads:  # their memory may have served for other things by now
            grad.tensor._grad = None
        self.program.raise_check(status - 1)
        raise AssertionError("a failed check has to raise")

    def finish(self, tensors: list) -> None:
        """What the function does in Python."""
        for counter, by in self.bumped:
            counter.version += by
        for position, by in self.bumped_inputs:
            for _ in range(by):
                tape.bump(tensors[position])
        for grad in self.grads:
            grad.tensor._grad = grad.own
        for tensor in self.cleared:
            tensor._grad = None

    def _is_passed(self, call: Arguments, position: int) -> bool:
        """Whether the positional argument is a number that programs take as it is."""
        if type(call.args[position]) is not float:
            return False
        return sum(type(a) is float for a in call.args[:position]) in call.tracked

    def _fast_path(self, call: Arguments) -> Callable:
        """The whole of a call as one function, for calls with plain positional arguments.

        It checks everything that may differ from call to call and returns MISS where something
        does; then `fits` and `run` find out what.
        """
        scope: dict[str, Any] = {
            **self.reach.scope, "MISS": MISS, "entry": self, "changes": tape.changes,
            "mode": tape.mode, "run": self.program.run, "address": self.program.address,
            "stopped": self.stopped, "wrap": wrap, "make": self.results.make,
            "options": self.options, "OTHER_STATE": OTHER_STATE,
        }  # fmt: skip

        def name(value: Any) -> str:
            scope[f"n{len(scope)}"] = value
            return f"n{len(scope) - 1}"

        if call.kwargs or any(isinstance(a, (tuple, list, dict)) for a in call.args):
            return miss
        count = len(call.args)
        conditions = [f"changes.count == entry.changes and mode.enabled is {tape.mode.enabled}"]
        tensors = []
        for k, argument in enumerate(call.args):
            if isinstance(argument, Variable):
                earlier = next((j for j in range(k) if call.args[j] is argument), None)
                if earlier is not None:
                    conditions.append(f"a{k} is a{earlier}")
                    continue
                tensors.append(k)
                conditions.append(
                    f"a{k}.__class__ is {name(type(argument))} and "
                    f"a{k}._requires_grad is {argument._requires_grad} and "
                    f"(a{k}._view is None) is {argument._view is None}"
                )
                if argument._view is not None:  # its history may have changed with its base's
                    conditions.append(f"a{k}._view.generation == a{k}._counter.generation")
            elif self._is_passed(call, k):
                conditions.append(f"a{k}.__class__ is float")
            elif argument is None or isinstance(argument, bool):
                conditions.append(f"a{k} is {argument}")
            elif isinstance(argument, (int, str)):
                conditions.append(
                    f"a{k}.__class__ is {name(type(argument))} and a{k} == {name(argument)}"
                )
            else:
                conditions.append(f"a{k} is {name(argument)}")
        conditions += [f"a{k} is not a{j}" for at, k in enumerate(tensors) for j in tensors[:at]]
        conditions += self.reach.guards
        numbers = [
            f"{name(get)}({name(d)}) == values[{k}]"
            for k, (get, d) in enumerate(zip(self.options.getters, self.options.dicts, strict=True))
            if k >= len(self.versions)  # the program looks at the others
        ]
        passed = [f"a{k}" for k, a in enumerate(call.args) if self._is_passed(call, k)]
        if self.options.places:
            expressions = ", ".join(self.reach.numbers.values())
            numbers.append(f"({expressions},) == values[-2]")
        if passed:
            numbers.append(f"({', '.join(passed)},) == values[-1]")
        renew = f"entry.renew(({''.join(f'{a}, ' for a in passed)}))"
        arguments = ", ".join(f"a{k}" for k in range(count))
        lines = ["def fast(args):", f"    if len(args) != {count}: return MISS"]
        if count:
            lines.append(f"    {arguments}, = args")
        lines.append(f"    if not ({' and '.join(conditions)}): return MISS")
        if numbers:
            lines.append("    values = options.values")
            lines.append(f"    if not ({' and '.join(numbers)}) and not {renew}: return MISS")
        lines += [f"    {name(prepare)}()" for prepare in self.prepare]
        allocators = self.results._allocators
        lines += [f"    f{k} = {name(make)}()" for k, make in enumerate(allocators)]
        arrays = [f"a{k}._data" for k in tensors]
        if self.graded:
            grads = "".join(f"{name(tensor)}._grad._data, " for tensor in self.graded)
            lines += [f"    try: grads = ({grads})", "    except AttributeError: return MISS"]
            arrays.append("*grads")
        arrays += [f"f{k}" for k in range(len(allocators))]
        run = f"run(address, ({''.join(f'{a}, ' for a in arrays)}))"
        lines.append(f"    status = {run}")
        if self.versions:
            lines.append(f"    if status == OTHER_STATE and {renew}: status = {run}")
        lines.append("    if status: return stopped(status)")
        for counter, by in self.bumped:
            lines.append(f"    {name(counter)}.version += {by}")
        for position, by in self.bumped_inputs:
            lines += [f"    {name(tape.bump)}(a{tensors[position]})"] * by
        for grad in self.grads:
            if grad.from_none:
                lines.append(f"    {name(grad.tensor)}._grad = {name(grad)}.own")
        lines += [f"    {name(tensor)}._grad = None" for tensor in self.cleared]
        alone = self.results.alone
        if alone is not None:  # the most common result: one tensor
            region, requires_grad, node = alone
            lines.append(f"    result = wrap(f{region})")
            if requires_grad:
                lines.append(f"    result._requires_grad, result._node = True, {name(node)}")
            lines.append("    return result")
        inputs = ", ".join(f"a{k}" for k in tensors)
        fresh = ", ".join(f"f{k}" for k in range(len(allocators)))
        lines.append(f"    return make([{inputs}], [{fresh}])")
        exec("\n".join(lines), scope)  # noqa: S102 - the text is ours
        return scope["fast"]

    def difference(self, call: Arguments) -> str:
        """What keeps the program from running on these arguments."""
        for was, now in zip(leaves(self.key), leaves(call.key), strict=False):
            if was != now:
                return f"an argument or grad mode was {was}, is {now}"
        for guard in self.reach.guards:
            if not _function(f"lambda: {guard}", self.reach.scope)():
                return (
                    f"it refers to something that has changed; no longer: {self._readable(guard)}"
                )
        if self.reach.snapshots() != self.snapshots:
            return "a module or an optimizer has changed"
        return "the shape, dtype or strides of an argument, or a parameter's gradient, is another"

    def _readable(self, guard: str) -> str:
        """A guard with what its names stand for."""

        def shown(match: re.Match) -> str:
            value = self.reach.scope[match.group()]
            if isinstance(value, (*CONSTANTS, tuple, frozenset)):
                return repr(value)[:60]
            name = getattr(value, "__name__", None)
            if isinstance(value, dict):
                name = value.get("__name__", "globals") if "__name__" in value else "dict"
            return name if isinstance(name, str) else f"<{type(value).__name__}>"

        return re.sub(r"\bo\d+\b", shown, guard.split(" and type(")[0])


class Gradient:
    """A gradient that the program leaves with a tensor.

    The tensor that holds it is reused from run to run as long as nobody else keeps it.
    """

    def __init__(self, tensor: Variable, from_none: bool, value: Value) -> None:
        self.tensor = tensor
        self.from_none = from_none  # whether there was none before
        self.value = value
        self.own: Any = None

    def renew(self, program: Any) -> None:
        """Another tensor, on other memory, for the program to fill."""
        value = self.value
        array = empty_at(value.shape, value.dtype, value.storage.device)
        program.move(value.storage, array, value)
        self.own = wrap(array)

    def adopt(self, program: Any) -> None:
        """Put a tensor for the program to fill in the place of the gradient that is there."""
        self.renew(program)
        assign(self.own._data, self.tensor._grad._data)
        self.tensor._grad = self.own

    def guards(self) -> list[tuple[int, int, bool]]:
        """Words in memory: the gradient is in its place and has no other holder."""
        slot = id(self.tensor) + slot_offset(_GRAD)
        if self.from_none:
            return [(slot, id(None), True), (id(self.own), 1, True), (id(self.own._data), 1, True)]
        return [(slot, id(self.own), True), (id(self.own), 2, True), (id(self.own._data), 1, True)]

    def prepare(self, program: Any) -> bool:
        """Bring the gradient into its place before a run; False where the program doesn't fit."""
        tensor = self.tensor
        if (tensor._grad is None) != self.from_none:
            return False
        if self.own is None:
            self.renew(program)
        # getrefcount's own argument beside those above.
        held = sys.getrefcount(self.own) - (1 if tensor._grad is not self.own else 2)
        if held > 1 or sys.getrefcount(self.own._data) > 2:
            self.renew(program)
        if not self.from_none:
            tensor._grad = self.own
        return True


class Results:
    """How to make what the function returns, from the arrays that a run has filled."""

    def __init__(
        self,
        result: Any,
        inputs: list,
        known: dict[int, Any],
        recorder: Recorder,
        backward: Backward | None,
    ) -> None:
        self.backward = backward
        #: Where the result is one tensor on memory of its own: (region, requires_grad, node).
        self.alone: tuple[int, bool, Any] | None = None
        self.tensors: list[Any] = []
        self.values: list[Value] = []
        self.storages: list[Storage] = []  # allocated for each run
        self._inputs = {id(tensor): k for k, tensor in enumerate(inputs)}
        self._known = known
        self._recorder = recorder
        self._is_alone = isinstance(result, Variable)
        self._seen: dict[int, Any] = {}  # places of tensors that come again, by id
        self._build = self._builder(result)
        self._allocators = [self._allocator(storage) for storage in self.storages]
        del self._known, self._recorder

    def allocate(self) -> list[Any]:
        """The memory for one run's results."""
        return [make() for make in self._allocators]

    def make(self, inputs: list, fresh: list[Any]) -> Any:
        """What the function returns."""
        node = None if self.backward is None else self.backward.node(inputs, fresh)
        return self._build(inputs, fresh, node)

    def save(self, values: list[Value]) -> None:
        """Have further memory allocated for each run: what the backward reads."""
        for value in values:
            self.values.append(value)
            if value.storage not in self.storages:
                self.storages.append(value.storage)
                self._allocators.append(self._allocator(value.storage))

    def _builder(self, result: Any) -> Callable[[list, list, Any], Any]:
        if isinstance(result, Variable):
            return self._once(result)
        if isinstance(result, Number):
            number = result.pinned()
            return lambda *run: number
        if isinstance(result, dict):
            parts = {key: self._builder(value) for key, value in result.items()}
            ordered = OrderedDict if isinstance(result, OrderedDict) else dict
            return lambda *run: ordered({k: part(*run) for k, part in parts.items()})
        if isinstance(result, (tuple, list)):
            kind, items = type(result), [self._builder(item) for item in result]
            if hasattr(kind, "_fields"):
                return lambda *run: kind(*[item(*run) for item in items])
            return lambda *run: kind([item(*run) for item in items])
        return lambda *run: result

    def _once(self, tensor: Any) -> Callable[[list, list, Any], Any]:
        """Makes the tensor once for each run, however often it is in the result."""
        if id(tensor) in self._seen:
            place = self._seen[id(tensor)]
            return lambda inputs, fresh, node: fresh[len(self._allocators) + place]
        self._seen[id(tensor)] = len(self._seen)
        make = self._tensor(tensor)

        def first(inputs: list, fresh: list, node: Any) -> Any:
            made = make(inputs, fresh, node)
            fresh.append(made)
            return made

        return make if self._is_alone else first

    def _tensor(self, tensor: Any) -> Callable[[list, list, Any], Any]:
        if id(tensor) in self._inputs:
            position = self._inputs[id(tensor)]
            return lambda inputs, fresh, node: inputs[position]
        if id(tensor) in self._known:
            known = tensor
            return lambda *run: known
        array, requires_grad, freed = tensor._data, tensor._requires_grad, tensor._node
        output = None if self.backward is None else self.backward.position(tensor)
        if freed is not None:  # one like it, without the tensors that the recorded run saved
            freed = tape.Node(freed.name, freed.rule, ())
            freed.saved = None
        value = self._recorder.value(array)
        storage = value.storage
        self.tensors.append(tensor)
        self.values.append(value)
        kind = type(tensor)
        if storage.kind == "input":
            raise CompileError("the function returns a view of an argument, or an old gradient")
        if storage.kind != "temporary":
            shared = id(storage.root) in self._recorder.lasting
            kept = array if shared else _copy(array)

            def get(fresh: list) -> Any:
                return kept if shared else _copy(kept)
        else:
            if storage not in self.storages:
                self.storages.append(storage)
            region = self.storages.index(storage)
            whole = value.is_dense() and value.size * value.dtype.itemsize == storage.nbytes
            if whole and self._is_alone and self.backward is None:
                self.alone = (region, requires_grad, freed)
            shape, dtype = value.shape, value.dtype
            offset, strides = value.offset, value.strides

            def get(fresh: list) -> Any:
                block = fresh[region]
                if whole and block.shape == shape and block.dtype == dtype:
                    return block
                return part(block, shape, dtype, offset, strides)

        backward: Any = self.backward

        def make(inputs: list, fresh: list, node: Any) -> Any:
            result = wrap(get(fresh))
            if requires_grad:
                result._requires_grad = True
                result._node = freed if output is None else backward.output(node, output)
            return result

        del tensor
        assert kind is not None
        return make

    def _allocator(self, storage: Storage) -> Callable[[], Any]:
        place = storage.device
        for value in self.values:
            if value.storage is storage and value.is_dense():
                if value.size * value.dtype.itemsize == storage.nbytes:
                    if place is None:
                        make = np.empty if storage.nbytes < cpu.LARGE else cpu.empty
                        return functools.partial(make, value.shape, value.dtype)
                    return functools.partial(empty_at, value.shape, value.dtype, place)
        return functools.partial(empty_at, storage.nbytes, np.dtype(np.uint8), place)


def _copy(array: Any) -> Any:
    return array.copy() if type(array) is np.ndarray else copy_array(array, array.dtype)


def _alike(a: Any, b: Any, numbers: list) -> bool:
    """Whether two arguments of recorded calls are the same, given the numbers for the first."""
    if isinstance(a, tuple):
        return (
            isinstance(b, tuple) and len(a) == len(b)
            and all(_alike(x, y, numbers) for x, y in zip(a, b, strict=True))
        )  # fmt: skip
    if not isinstance(a, Value):
        value = a.origin(numbers) if isinstance(a, Number) else a
        return isinstance(b, float) and float(value) == float(b)
    if not isinstance(b, Value) or a.shape != b.shape or a.strides != b.strides:
        return False
    mine, its = a.storage, b.storage
    if mine.kind == "number" and its.kind == "number":
        return float(mine.number.origin(numbers)) == float(its.number)
    if mine.kind == its.kind == "lasting" and mine.root is not its.root:
        return mine.root.dtype == its.root.dtype and np.array_equal(
            mine.root, its.root, equal_nan=mine.root.dtype.kind == "f"
        )
    return mine.kind == its.kind and a.offset == b.offset and a.dtype == b.dtype


def _function(text: str, scope: dict[str, Any]) -> Callable[[], Any]:
    return eval(text, scope)  # noqa: S307 - the text is ours
