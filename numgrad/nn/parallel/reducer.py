"""Averaging gradients over processes while the backward pass still runs.

Gradients are collected in buckets, in the order in which a backward pass makes them. A bucket whose
gradients are all there is summed over the ranks, asynchronously, while those of the layers before it
are still being computed.
"""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from typing import Any

import numpy as np

from ... import ops
from ...autograd import engine, tape
from ...autograd.grad_mode import no_grad
from ...distributed._collectives import Buffer, all_reduce
from ...distributed._group import ProcessGroup
from ...distributed._reduce_op import ReduceOp
from ...dtypes import int32
from ...tensor import Tensor

#: Bytes of the first bucket: small, so that the first reduction begins early.
FIRST = 1 << 20


class Bucket:
    """Some parameters of one dtype and device, and their gradients in a row."""

    def __init__(self, members: list[int], parameters: Sequence[Any]) -> None:
        self.members = members
        like = parameters[members[0]]
        count = sum(parameters[k].numel() for k in members)
        self.flat = ops.zeros(count, dtype=like.dtype, device=like.device)
        self.views: list[Tensor] = []
        start = 0
        for k in members:
            stop = start + parameters[k].numel()
            self.views.append(tape.wrap(self.flat._data[start:stop].reshape(parameters[k].shape)))
            start = stop
        self.missing = len(members)
        self.work: Any = None


def assign(parameters: Sequence[Any], first: int, most: int) -> list[list[int]]:
    """Positions of parameters, the last ones first, in groups that end when they reach their size."""
    groups: list[list[int]] = []
    filling: dict[tuple, tuple[list[int], int]] = {}
    for k in reversed(range(len(parameters))):
        own = parameters[k]
        kind = (own.dtype, own.device)
        members, size = filling.pop(kind, ([], 0))
        members.append(k)
        size += own.numel() * own.dtype.itemsize
        if size >= (most if groups else first):
            groups.append(members)
        else:
            filling[kind] = members, size
    return groups + [members for members, _ in filling.values()]


class Reducer:
    """What averages the gradients of some parameters, once for each `prepare`."""

    def __init__(
        self,
        parameters: Sequence[Any],
        names: Sequence[str],
        group: ProcessGroup,
        bucket_bytes: int,
        share_memory: bool,
        may_be_unused: bool,
    ) -> None:
        self.parameters = list(parameters)
        self.names = list(names)
        self.group = group
        self.share_memory = share_memory
        self.may_be_unused = may_be_unused
        self.divisor = group.size()
        self.round = 0
        self.expecting = False
        self.buckets = [
            Bucket(members, self.parameters)
            for members in assign(self.parameters, min(FIRST, bucket_bytes), bucket_bytes)
        ]
        self.places = {
            k: (bucket, bucket.views[j])
            for bucket in self.buckets
            for j, k in enumerate(bucket.members)
        }
        self.ready = [False] * len(self.parameters)
        self.unused: list[int] = []
        self.used = np.zeros(len(self.parameters), np.int32)
        self.launched = 0
        reducer = weakref.ref(self)
        for k, parameter in enumerate(self.parameters):
            engine.prompt[id(parameter)] = parameter
            handle = parameter.register_post_accumulate_grad_hook(_hook(reducer, k))
            weakref.finalize(self, handle.remove).atexit = False

    def prepare(self, outputs: list[Any] | None) -> None:
        """Average the gradients that the next backward pass makes.

        `outputs` are the tensors it will begin from, where some parameters may not be reached.
        """
        if self.expecting and self.launched < len(self.buckets) and any(self.ready):
            raise RuntimeError(self._unfinished())
        self.round += 1
        self.expecting, self.launched = True, 0
        self.ready = [False] * len(self.parameters)
        for bucket in self.buckets:
            bucket.missing, bucket.work = len(bucket.members), None
        self.used[...] = 0
        self.unused = []
        if outputs is not None:
            found = _leaves(outputs)
            self.unused = [k for k, p in enumerate(self.parameters) if id(p) not in found]

    def _unfinished(self) -> str:
        missing = [k for k, ready in enumerate(self.ready) if not ready]
        return (
            "Expected to have finished reduction in the prior iteration before starting a new one. "
            "This error indicates that your module has parameters that were not used in producing "
            "loss. You can enable unused parameter detection by passing the keyword argument "
            "`find_unused_parameters=True` to `torch.nn.parallel.DistributedDataParallel`, and by "
            "making sure all `forward` function outputs participate in calculating loss. "
            f"Parameters which did not receive grad for rank {self.group.world.rank}: "
            f"{', '.join(self.names[k] for k in missing)} (indices {missing})"
        )

    def arrived(self, k: int) -> None:
        """The gradient of parameter `k` is complete."""
        if not self.expecting:
            return  # several backward passes are being added up, or this one follows no forward
        if self.unused:
            unused, self.unused = self.unused, []
            for other in unused:
                self._collect(other)
        self.used[k] = 1
        self._collect(k)

    def _collect(self, k: int) -> None:
        if self.ready[k]:
            raise RuntimeError(
                "Expected to mark a variable ready only once. This error is caused by one of the "
                "following reasons: 1) Use of a module parameter outside the `forward` function. "
                "2) Reused parameters in multiple reentrant backward passes. Parameter at index "
                f"{k} with name {self.names[k]} has been marked as ready twice."
            )
        self.ready[k] = True
        bucket, view = self.places[k]
        grad = self.parameters[k]._grad
        with no_grad():
            if grad is None:
                view.zero_()
            elif type(view._data) is np.ndarray:
                np.multiply(grad._data, view._data.dtype.type(1 / self.divisor), out=view._data)
            else:
                view.copy_(grad * (1 / self.divisor))
        bucket.missing -= 1
        # In one order in all ranks, whatever the order in which gradients come.
        while self.launched < len(self.buckets) and not self.buckets[self.launched].missing:
            self._launch(self.launched)
        if self.launched == len(self.buckets):
            self._finish()
        else:
            self.group.advance()

    def _launch(self, position: int) -> None:
        bucket = self.buckets[position]
        self.launched += 1
        buffer = Buffer(bucket.flat, self.group, "bucket")
        array, carrier = buffer.array, buffer.engine
        bucket.work = self.group.start(
            (
                "DistributedDataParallel",
                f"backward pass {self.round}",
                f"bucket {position + 1} of {len(self.buckets)}",
                *buffer.signature,
            ),
            lambda: carrier.all_reduce(array, ReduceOp.SUM),
            buffer.write,
            True,
            array.nbytes,
        )

    def _finish(self) -> None:
        """Wait for all buckets and hand the averages over."""
        self.expecting = False
        used = self.used
        if self.may_be_unused:
            everywhere = ops.tensor(used)
            all_reduce(everywhere, ReduceOp.MAX, self.group)
            used = everywhere.numpy()
        else:
            used = np.ones_like(used)
        for bucket in self.buckets:
            bucket.work.wait()
            for k, view in zip(bucket.members, bucket.views, strict=True):
                if used[k]:
                    self._hand_over(self.parameters[k], view)

    def _hand_over(self, parameter: Any, view: Tensor) -> None:
        grad = parameter._grad
        if self.share_memory:
            if grad is None or grad._data is not view._data:
                parameter._grad = tape.wrap(view._data)
        elif grad is None:
            parameter._grad = view.clone()
        elif type(view._data) is np.ndarray:
            np.copyto(grad._data, view._data)
            tape.bump(grad)
        else:
            with no_grad():
                grad.copy_(view)

    def shadow(self) -> None:
        """Take part in one round with nothing to give."""
        self.round += 1
        for position, bucket in enumerate(self.buckets):
            bucket.flat.zero_()
            self._launch(position)
        self.launched = 0
        if self.may_be_unused:
            all_reduce(ops.zeros(len(self.parameters), dtype=int32), ReduceOp.MAX, self.group)
        for bucket in self.buckets:
            bucket.work.wait()


def _hook(reducer: Any, k: int) -> Any:
    def hook(parameter: Any) -> None:
        own = reducer()
        if own is not None:
            own.arrived(k)

    return hook


def _leaves(outputs: list[Any]) -> set[int]:
    """Ids of the leaves that a backward pass from these tensors reaches."""
    found: set[int] = set()
    seen: set[int] = set()
    pending = [tape.edge(tensor) for tensor in outputs]
    while pending:
        node = pending.pop()
        if isinstance(node, tape.Node):
            if id(node) not in seen:
                seen.add(id(node))
                pending.extend(node.edges)
        elif node is not None:
            found.add(id(node))
    return found
