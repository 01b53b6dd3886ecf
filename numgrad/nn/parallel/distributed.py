"""`DistributedDataParallel`: one model, a copy in every process, trained on all their batches."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from ...autograd import tape
from ...device import cpu
from ...distributed import _collectives as collectives
from ...distributed._objects import all_gather_object
from ...distributed._state import default_group, resolve
from ...tensor import Tensor
from ..module import Module
from .joining import Joining
from .reducer import Reducer

__all__ = ["DistributedDataParallel"]


class DistributedDataParallel(Module):
    """A module whose gradients are averaged over the processes of a group during `backward()`.

    Every process wraps its copy of the model and gives it its own batches. At first all get the
    parameters and buffers of rank 0, and then the same gradients in every step, so that the copies
    stay equal. Averages are of the ranks' gradients: with batches of equal size and a loss that is
    a mean, they are those of one process on all batches together.

    Gradients go out in buckets of `bucket_cap_mb` MiB (the first one smaller) while the backward
    pass still runs. Buffers are those of rank 0 in every forward pass, unless `broadcast_buffers` is
    False. With `find_unused_parameters`, parameters that a forward pass did not use are left out; else
    all have to get a gradient in every backward pass. `static_graph` is accepted and does the same.
    With `gradient_as_bucket_view`, `.grad` shows the memory of the buckets, which saves a copy.

    The module is in `.module`; names in `state_dict()` begin with `module.`. Around a compiled module
    it works as around any other, and `numgrad.compile(ddp)` compiles the module inside.

    RuntimeError where parameters differ in number, shape or dtype between ranks, or where none requires
    a gradient.

    >>> numgrad.distributed.init_process_group("gloo", rank=0, world_size=1)
    >>> model = numgrad.nn.parallel.DistributedDataParallel(numgrad.nn.Linear(2, 1))
    >>> model(numgrad.ones(3, 2)).sum().backward()
    >>> model.module.weight.grad
    tensor([[3., 3.]])
    >>> numgrad.distributed.destroy_process_group()
    """

    def __init__(
        self,
        module: Module,
        device_ids: list[Any] | None = None,
        output_device: Any = None,
        dim: int = 0,
        broadcast_buffers: bool = True,
        init_sync: bool = True,
        process_group: Any = None,
        bucket_cap_mb: float | None = None,
        find_unused_parameters: bool = False,
        check_reduction: bool = False,
        gradient_as_bucket_view: bool = False,
        static_graph: bool = False,
    ) -> None:
        super().__init__()
        group = resolve(process_group)
        if group is None:
            raise ValueError("DistributedDataParallel: this process is not in the process_group")
        trained = [(n, p) for n, p in module.named_parameters() if p.requires_grad]
        if not trained:
            raise RuntimeError(
                "DistributedDataParallel is not needed when a module doesn't have any parameters "
                "that require a gradient."
            )
        places = {str(parameter.device) for _, parameter in trained}
        on_cpu = all(parameter.is_cpu for _, parameter in trained)
        if (device_ids or output_device is not None) and (on_cpu or len(places) > 1):
            raise ValueError(
                "DistributedDataParallel device_ids and output_device arguments only work with "
                "single-device/multiple-device GPU modules or CPU modules, but got device_ids "
                f"{device_ids}, output_device {output_device}, and module parameters "
                f"{sorted(places)}."
            )
        if device_ids is not None and len(device_ids) > 1:
            raise ValueError("device_ids can only be None or contain a single element.")
        self.module = module
        self.dim = dim
        self.device = trained[0][1].device
        self.broadcast_buffers = broadcast_buffers
        self.find_unused_parameters = find_unused_parameters
        self.static_graph = static_graph
        self.gradient_as_bucket_view = gradient_as_bucket_view
        self.require_backward_grad_sync = True
        self.require_forward_param_sync = True
        self.bucket_bytes = int((25 if bucket_cap_mb is None else bucket_cap_mb) * 2**20)
        own = self.__dict__
        own["process_group"] = group
        own["_run"] = module
        own["_joining"] = None
        own["_ignored"] = set(getattr(module, "_ddp_params_and_buffers_to_ignore", ()))
        self._connect(init_sync)

    def _connect(self, init_sync: bool) -> None:
        named = [
            (name, parameter)
            for name, parameter in self.module.named_parameters()
            if parameter.requires_grad and name not in self._ignored
        ]
        if init_sync:
            self._check_shapes()
            self._send_state(0)
        self.__dict__["reducer"] = Reducer(
            [parameter for _, parameter in named],
            [name for name, _ in named],
            self.process_group,
            self.bucket_bytes,
            self.gradient_as_bucket_view,
            self.find_unused_parameters or self.static_graph,
        )

    def _check_shapes(self) -> None:
        """The same parameters in all ranks."""
        mine = [
            (name, str(p.dtype), tuple(p.shape), p.requires_grad)
            for name, p in self.module.named_parameters()
        ]
        every: list[Any] = [None] * self.process_group.size()
        all_gather_object(every, mine, self.process_group)
        ranks = self.process_group.ranks
        for rank, other in zip(ranks, every, strict=True):
            if other == every[0]:
                continue
            if len(other) != len(every[0]):
                raise RuntimeError(
                    f"DDP expects same model across all ranks, but Rank {ranks[0]} has "
                    f"{len(every[0])} params, while rank {rank} has inconsistent {len(other)} params."
                )
            here, there = next((a, b) for a, b in zip(every[0], other, strict=True) if a != b)
            raise RuntimeError(
                f"DDP expects same model across all ranks, but {_described(here)} in rank "
                f"{ranks[0]} is {_described(there)} in rank {rank}."
            )

    def _send_state(self, root: int) -> None:
        """All parameters and buffers become those of a rank of the group."""
        tensors = [p for n, p in self.module.named_parameters() if n not in self._ignored]
        tensors += self._buffers_to_send()
        self._send(tensors, root)

    def _send(self, tensors: list[Any], root: int) -> None:
        group = self.process_group
        works = [
            collectives.broadcast(t.detach(), group=group, group_src=root, async_op=True)
            for t in tensors
        ]
        for tensor, work in zip(tensors, works, strict=True):
            work.wait()  # type: ignore[union-attr]
            tape.bump(tensor)

    def _buffers_to_send(self) -> list[Any]:
        return [b for n, b in self.module.named_buffers() if n not in self._ignored]

    # ------------------------------------------------------------------------ a pass

    def forward(self, *inputs: Any, **kwargs: Any) -> Any:
        """The module's forward pass."""
        if cpu.recorder is not None:
            cpu.recorder.read("DistributedDataParallel")
        averages = tape.mode.enabled and self.require_backward_grad_sync
        if self._joining is not None and tape.mode.enabled:
            self._joining.announce(self.require_backward_grad_sync)
        if self.require_forward_param_sync and self.broadcast_buffers:
            self._sync_buffers()
        output = self._run(*inputs, **kwargs)
        if self.require_forward_param_sync != averages:  # seldom: compiled programs look at it
            self.require_forward_param_sync = averages
        if averages:
            unused = self.reducer.may_be_unused
            self.reducer.prepare(list(_tensors(output)) if unused else None)
        else:
            self.reducer.expecting = False
        return output

    def _sync_buffers(self) -> None:
        buffers = self._buffers_to_send()
        if buffers:
            root = 0 if self._joining is None else self._joining.active_rank()
            self._send(buffers, root)

    @contextlib.contextmanager
    def no_sync(self) -> Iterator[None]:
        """Inside, gradients are added up in this process alone; the first backward pass after it
        averages the sums. The forward pass has to be inside too."""
        before = self.require_backward_grad_sync
        self.require_backward_grad_sync = False
        try:
            yield
        finally:
            self.require_backward_grad_sync = before

    def join(
        self,
        divide_by_initial_world_size: bool = True,
        enable: bool = True,
        throw_on_early_termination: bool = False,
    ) -> Any:
        """`with model.join():` around a training loop lets ranks have different numbers of batches.

        A rank that has no more takes part in what the others do, with nothing to give. Gradients are
        divided by the size of the group, or, with `divide_by_initial_world_size=False`, by the
        number of ranks that still have batches. With `throw_on_early_termination` all ranks raise
        RuntimeError as soon as one has none.
        """
        return Joining(self, divide_by_initial_world_size, enable, throw_on_early_termination)

    def __compiled__(self, settings: dict[str, Any]) -> DistributedDataParallel:
        """What `numgrad.compile` makes of it: itself, with its module compiled."""
        from ...compiler import OptimizedModule

        self.__dict__["_run"] = OptimizedModule(self.module, settings)
        return self

    # --------------------------------------------------------------------- as a module

    def __getstate__(self) -> dict[str, Any]:
        state = dict(self.__dict__)
        for name in ("process_group", "reducer", "_run", "_joining"):
            state.pop(name, None)
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        own = self.__dict__
        own["process_group"], own["_run"], own["_joining"] = default_group(), self.module, None
        self._connect(init_sync=False)


def _described(row: tuple) -> str:
    name, dtype, shape, trained = row
    return f"{name} {dtype} {list(shape)}" + ("" if trained else " without gradient")


def _tensors(value: Any) -> Iterator[Tensor]:
    """The tensors in a result."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, dict):
        yield from _tensors(list(value.values()))
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from _tensors(item)
    elif hasattr(value, "__dataclass_fields__"):
        yield from _tensors([getattr(value, name) for name in value.__dataclass_fields__])
