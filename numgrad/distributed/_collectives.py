"""torch's collectives on tensors: checks, memory, and what the engine of the group then does.

Results are written into the tensors that are given, as in torch; autograd does not follow. Roots and
peers are ranks of the world, also in groups.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from .. import device as devices
from ..autograd import tape
from ..device import cpu
from ..device._array import DeviceArray
from ..dtypes import FROM_NUMPY
from ..tensor import Tensor
from ._errors import DistBackendError
from ._group import Message, ProcessGroup, Work
from ._reduce_op import ReduceOp
from ._state import get_group_rank, resolve

_INTEGERS_ONLY = (ReduceOp.BAND, ReduceOp.BOR, ReduceOp.BXOR)


class Buffer:
    """A tensor's elements as a C-contiguous array where the engine can reach them."""

    def __init__(self, tensor: Any, group: ProcessGroup, what: str, read: bool = True) -> None:
        if not isinstance(tensor, Tensor):
            raise TypeError(
                f"Invalid function argument. Expected parameter `{what}` of type torch.Tensor "
                f"but got {type(tensor)} instead."
            )
        self.tensor = tensor
        data = tensor._data
        self.engine = group.engine(data)
        self.data = data
        if type(data) is np.ndarray:
            self.array: Any = data if data.flags.c_contiguous else cpu.dense(data)
        elif self.engine.on_device:
            self.array = devices.of(data).dense(data)
        else:
            self.array = devices.cuda.to_host(data)
        self.own = self.array is data
        self.signature = (FROM_NUMPY[data.dtype].name, data.shape)

    def write(self) -> None:
        """The tensor has what is in the array now."""
        tape.bump(self.tensor)
        if self.own:
            return
        if type(self.data) is np.ndarray:
            self.data[...] = self.array
        else:
            _copy_to_device(self.array, self.data)

    def fill(self, array: Any) -> None:
        """The tensor has these elements now."""
        tape.bump(self.tensor)
        if type(self.data) is np.ndarray:
            self.data[...] = array.reshape(self.data.shape)
        else:
            _copy_to_device(array, self.data)

    def empty(self, count: int) -> Any:
        """New memory for so many of such arrays in a row."""
        shape = (count, *self.array.shape)
        if type(self.array) is np.ndarray:
            return cpu.empty(shape, self.array.dtype)
        return devices.cuda.empty(shape, self.array.dtype, self.array)


def _copy_to_device(array: Any, target: DeviceArray) -> None:
    from ..kernels.elementwise import copy

    source = devices.place(array, target.memory.index).reshape(target.shape)
    devices.cuda.launch(
        copy[target.dtype], target.dtype, target.size, (source, target), target.size
    )


def _reduction(op: Any, array: Any) -> ReduceOp:
    if not isinstance(op, ReduceOp):
        raise TypeError(f"expected a ReduceOp, got {op!r}")
    if op in _INTEGERS_ONLY and array.dtype.kind == "f":
        raise RuntimeError(f"Cannot use ReduceOp.{op.name} with {array.dtype}")
    if op is ReduceOp.AVG and array.dtype.kind != "f":
        raise RuntimeError(f"Cannot use ReduceOp.AVG with {array.dtype}: take SUM and divide")
    return op


def _average(buffer: Buffer, op: ReduceOp, group: ProcessGroup) -> None:
    if op is ReduceOp.AVG and not buffer.engine.on_device:
        buffer.array /= group.size()


def _root(group: ProcessGroup, rank: int | None, group_rank: int | None) -> int:
    if group_rank is not None:
        if rank is not None:
            raise ValueError("Can't specify both a rank of the world and group rank")
        return group_rank
    if rank is None:
        raise ValueError("Must specify a rank of the world or of the group")
    return get_group_rank(group, rank)


# ------------------------------------------------------------------------ one tensor


def all_reduce(
    tensor: Tensor, op: ReduceOp = ReduceOp.SUM, group: Any = None, async_op: bool = False
) -> Work | None:
    """Every rank's `tensor` becomes the sum (or another reduction) of all.

    >>> numgrad.distributed.init_process_group("gloo", rank=0, world_size=1)
    >>> x = numgrad.ones(2)
    >>> numgrad.distributed.all_reduce(x); x
    tensor([1., 1.])
    >>> numgrad.distributed.destroy_process_group()
    """
    own = resolve(group)
    if own is None:
        return None
    buffer = Buffer(tensor, own, "tensor")
    array, engine = buffer.array, buffer.engine
    op = _reduction(op, array)

    def finish() -> None:
        _average(buffer, op, own)
        buffer.write()

    call = ("all_reduce", *buffer.signature, op.name)
    return own.start(call, lambda: engine.all_reduce(array, op), finish, async_op, array.nbytes)


def broadcast(
    tensor: Tensor,
    src: int | None = None,
    group: Any = None,
    async_op: bool = False,
    group_src: int | None = None,
) -> Work | None:
    """Every rank's `tensor` becomes that of rank `src`."""
    own = resolve(group)
    if own is None:
        return None
    root = _root(own, src, group_src)
    buffer = Buffer(tensor, own, "tensor")
    array, engine = buffer.array, buffer.engine
    return own.start(
        ("broadcast", *buffer.signature, f"src={own.ranks[root]}"),
        lambda: engine.broadcast(array, root),
        buffer.write if own.index != root else None,
        async_op,
        array.nbytes,
    )


def reduce(
    tensor: Tensor,
    dst: int | None = None,
    op: ReduceOp = ReduceOp.SUM,
    group: Any = None,
    async_op: bool = False,
    group_dst: int | None = None,
) -> Work | None:
    """The `tensor` of rank `dst` becomes the sum (or another reduction) of all; the others stay."""
    own = resolve(group)
    if own is None:
        return None
    root = _root(own, dst, group_dst)
    buffer = Buffer(tensor, own, "tensor")
    array, engine = buffer.array, buffer.engine
    op = _reduction(op, array)
    out = buffer.empty(1) if own.index == root else None

    def finish() -> None:
        if out is not None:
            if op is ReduceOp.AVG and not engine.on_device:
                out[...] /= own.size()
            buffer.fill(out)

    return own.start(
        ("reduce", *buffer.signature, op.name, f"dst={own.ranks[root]}"),
        lambda: engine.reduce(out, array, root, op),
        finish,
        async_op,
        array.nbytes,
    )


def barrier(group: Any = None, async_op: bool = False, device_ids: Any = None) -> Work | None:
    """Return when all ranks have come to it."""
    own = resolve(group)
    if own is None:
        return None
    return own.start(("barrier",), list, None, async_op)


def monitored_barrier(group: Any = None, timeout: Any = None, wait_all_ranks: bool = False) -> None:
    """A barrier with a timeout of its own; its error says where the other ranks are."""
    own = resolve(group)
    if own is not None:
        work = own.start(("monitored_barrier",), list, None, True)
        assert work is not None
        work.wait(timeout)


# --------------------------------------------------------------- lists and long tensors


def _list(tensors: Any, group: ProcessGroup, like: Buffer, what: str) -> list[Buffer]:
    if not isinstance(tensors, (list, tuple)) or len(tensors) != group.size():
        found = len(tensors) if isinstance(tensors, (list, tuple)) else type(tensors).__name__
        raise ValueError(
            f"{what} is to have a tensor for each of {group.size()} ranks, got {found}"
        )
    buffers = [Buffer(t, group, what) for t in tensors]
    for buffer in buffers:
        if buffer.signature != like.signature:
            raise ValueError(
                f"{what} has a tensor {_described(buffer)}, where {_described(like)} is expected"
            )
    return buffers


def _described(buffer: Buffer) -> str:
    return f"{buffer.signature[0]} {list(buffer.signature[1])}"


def _long(tensor: Any, group: ProcessGroup, part: Buffer, what: str) -> Buffer:
    """A tensor that holds a part for every rank."""
    buffer = Buffer(tensor, group, what)
    if buffer.data.dtype != part.data.dtype:
        raise TypeError(f"{what} is {buffer.data.dtype}, and the other tensor {part.data.dtype}")
    if buffer.data.size != part.data.size * group.size():
        raise ValueError(
            f"{what} must have {group.size()} times the elements of the other tensor, got "
            f"{list(buffer.data.shape)} and {list(part.data.shape)}"
        )
    return buffer


def all_gather(
    tensor_list: Sequence[Tensor], tensor: Tensor, group: Any = None, async_op: bool = False
) -> Work | None:
    """Tensor r of every rank's `tensor_list` becomes the `tensor` of rank r."""
    own = resolve(group)
    if own is None:
        return None
    buffer = Buffer(tensor, own, "tensor")
    targets = _list(tensor_list, own, buffer, "tensor_list")
    array, engine = buffer.array, buffer.engine
    out = buffer.empty(own.size())

    def finish() -> None:
        for k, target in enumerate(targets):
            target.fill(out[k])

    return own.start(
        ("all_gather", *buffer.signature),
        lambda: engine.all_gather(out, array),
        finish,
        async_op,
        out.nbytes,
    )


def all_gather_into_tensor(
    output_tensor: Tensor, input_tensor: Tensor, group: Any = None, async_op: bool = False
) -> Work | None:
    """`output_tensor` becomes the `input_tensor` of all ranks in a row."""
    own = resolve(group)
    if own is None:
        return None
    buffer = Buffer(input_tensor, own, "input_tensor")
    target = _long(output_tensor, own, buffer, "output_tensor")
    out, array, engine = target.array, buffer.array, buffer.engine
    return own.start(
        ("all_gather_into_tensor", *buffer.signature),
        lambda: engine.all_gather(out, array),
        target.write,
        async_op,
        out.nbytes,
    )


def gather(
    tensor: Tensor,
    gather_list: Sequence[Tensor] | None = None,
    dst: int | None = None,
    group: Any = None,
    async_op: bool = False,
    group_dst: int | None = None,
) -> Work | None:
    """Tensor r of the `gather_list` of rank `dst` becomes the `tensor` of rank r."""
    own = resolve(group)
    if own is None:
        return None
    root = _root(own, 0 if dst is None and group_dst is None else dst, group_dst)
    buffer = Buffer(tensor, own, "tensor")
    array, engine = buffer.array, buffer.engine
    out, targets = None, []
    if own.index == root:
        if gather_list is None:
            raise ValueError("Argument ``gather_list`` must be specified on destination rank.")
        targets = _list(gather_list, own, buffer, "gather_list")
        out = buffer.empty(own.size())
    elif gather_list:
        raise ValueError("Argument ``gather_list`` must NOT be specified on non-destination ranks.")

    def finish() -> None:
        for k, target in enumerate(targets):
            target.fill(out[k])  # type: ignore[index]

    return own.start(
        ("gather", *buffer.signature, f"dst={own.ranks[root]}"),
        lambda: engine.gather(out, array, root),
        finish,
        async_op,
        array.nbytes * own.size(),
    )


def scatter(
    tensor: Tensor,
    scatter_list: Sequence[Tensor] | None = None,
    src: int | None = None,
    group: Any = None,
    async_op: bool = False,
    group_src: int | None = None,
) -> Work | None:
    """The `tensor` of rank r becomes tensor r of the `scatter_list` of rank `src`."""
    own = resolve(group)
    if own is None:
        return None
    root = _root(own, 0 if src is None and group_src is None else src, group_src)
    buffer = Buffer(tensor, own, "tensor")
    engine, array = buffer.engine, None
    if own.index == root:
        if scatter_list is None:
            raise ValueError("Argument ``scatter_list`` must be specified on source rank.")
        parts = _list(scatter_list, own, buffer, "scatter_list")
        array = _row(parts, buffer)
    elif scatter_list:
        raise ValueError("Argument ``scatter_list`` must NOT be specified on non-source ranks.")
    return own.start(
        ("scatter", *buffer.signature, f"src={own.ranks[root]}"),
        lambda: engine.scatter(buffer.array, array, root),
        buffer.write,
        async_op,
        buffer.array.nbytes * own.size(),
    )


def _row(parts: list[Buffer], like: Buffer) -> Any:
    """New memory with the parts in a row."""
    array = like.empty(len(parts))
    for k, part in enumerate(parts):
        if type(array) is np.ndarray:
            array[k] = part.array
        else:
            _copy_to_device(part.array, array[k])
    return array


def reduce_scatter(
    output: Tensor,
    input_list: Sequence[Tensor],
    op: ReduceOp = ReduceOp.SUM,
    group: Any = None,
    async_op: bool = False,
) -> Work | None:
    """The `output` of rank r becomes the reduction of all ranks' tensors r of `input_list`."""
    own = resolve(group)
    if own is None:
        return None
    buffer = Buffer(output, own, "output")
    array = _row(_list(input_list, own, buffer, "input_list"), buffer)
    return _reduce_scatter("reduce_scatter", own, buffer, array, op, async_op)


def reduce_scatter_tensor(
    output: Tensor,
    input: Tensor,
    op: ReduceOp = ReduceOp.SUM,
    group: Any = None,
    async_op: bool = False,
) -> Work | None:
    """The `output` of rank r becomes the reduction of part r of all ranks' `input`."""
    own = resolve(group)
    if own is None:
        return None
    buffer = Buffer(output, own, "output")
    array = _long(input, own, buffer, "input").array
    return _reduce_scatter("reduce_scatter_tensor", own, buffer, array, op, async_op)


def _reduce_scatter(
    name: str, group: ProcessGroup, buffer: Buffer, array: Any, op: ReduceOp, asynchronous: bool
) -> Work | None:
    op = _reduction(op, array)

    def finish() -> None:
        _average(buffer, op, group)
        buffer.write()

    return group.start(
        (name, *buffer.signature, op.name),
        lambda: buffer.engine.reduce_scatter(buffer.array, array, op),
        finish,
        asynchronous,
        array.nbytes,
    )


def all_to_all(
    output_tensor_list: Sequence[Tensor],
    input_tensor_list: Sequence[Tensor],
    group: Any = None,
    async_op: bool = False,
) -> Work | None:
    """Tensor r of the inputs goes to rank r, where it is tensor s of the outputs, s this rank.

    Shapes may differ between pairs of ranks; sender and receiver have to agree.
    """
    own = resolve(group)
    if own is None:
        return None
    sources = [Buffer(t, own, "input_tensor_list") for t in input_tensor_list]
    targets = [Buffer(t, own, "output_tensor_list") for t in output_tensor_list]
    if len(sources) != own.size() or len(targets) != own.size():
        raise ValueError(
            f"all_to_all takes a tensor for each of {own.size()} ranks, got {len(sources)} inputs "
            f"and {len(targets)} outputs"
        )
    sent = [b.data.size for b in sources]
    received = [b.data.size for b in targets]
    _agree_on_sizes(own, sent, received, "all_to_all")
    engine, dtype = sources[0].engine, sources[0].data.dtype
    array = _flat(sources, sum(sent), dtype)
    out = _flat(targets, sum(received), dtype, filled=False)
    starts = [sum(received[:k]) for k in range(len(received))]

    def finish() -> None:
        for target, start, count in zip(targets, starts, received, strict=True):
            target.fill(out[start : start + count])

    return own.start(
        ("all_to_all", sources[0].signature[0]),
        lambda: engine.all_to_all(out, received, array, sent),
        finish,
        async_op,
        out.nbytes + array.nbytes,
    )


def _flat(buffers: list[Buffer], count: int, dtype: Any, filled: bool = True) -> Any:
    first = buffers[0].array
    if type(first) is np.ndarray:
        array: Any = cpu.empty((count,), dtype)
        if filled and buffers:
            np.concatenate([b.array.reshape(-1) for b in buffers], out=array)
        return array
    array = devices.cuda.empty((count,), dtype, first)
    start = 0
    for buffer in buffers if filled else []:
        stop = start + buffer.array.size
        _copy_to_device(buffer.array.reshape((stop - start,)), array[start:stop])
        start = stop
    return array


def all_to_all_single(
    output: Tensor,
    input: Tensor,
    output_split_sizes: list[int] | None = None,
    input_split_sizes: list[int] | None = None,
    group: Any = None,
    async_op: bool = False,
) -> Work | None:
    """Part r of `input` (rows along dim 0) goes to rank r; `output` has the parts that come.

    Without split sizes all parts are equal.
    """
    own = resolve(group)
    if own is None:
        return None
    source, target = Buffer(input, own, "input"), Buffer(output, own, "output")
    sent = _parts(source, input_split_sizes, own.size(), "input")
    received = _parts(target, output_split_sizes, own.size(), "output")
    _agree_on_sizes(own, sent, received, "all_to_all_single")
    return own.start(
        ("all_to_all_single", source.signature[0]),
        lambda: source.engine.all_to_all(target.array, received, source.array, sent),
        target.write,
        async_op,
        source.array.nbytes + target.array.nbytes,
    )


def _parts(buffer: Buffer, sizes: list[int] | None, count: int, what: str) -> list[int]:
    shape = buffer.data.shape
    rows, width = shape[0] if shape else 1, math.prod(shape[1:])
    if not sizes:
        if rows % count:
            raise RuntimeError(f"dim 0 of {what} (= {rows}) is not divisible by {count} ranks")
        return [rows // count * width] * count
    if len(sizes) != count or sum(sizes) != rows:
        raise RuntimeError(
            f"Split sizes {sizes} of {what} doesn't match total dim 0 size {rows} and {count} ranks"
        )
    return [n * width for n in sizes]


def _agree_on_sizes(group: ProcessGroup, sent: list[int], received: list[int], what: str) -> None:
    """What others send has to be what is expected: it is asked for before, and costs microseconds."""
    mine, come = np.array(sent, np.int64), np.empty(group.size(), np.int64)
    ones = [1] * group.size()
    group.start((what, "sizes"), lambda: group.host_engine.all_to_all(come, ones, mine, ones))
    for k, (found, expected) in enumerate(zip(come.tolist(), received, strict=True)):
        if found != expected:
            raise DistBackendError(
                f"{what}: rank {group.ranks[k]} sends {found} elements, {expected} are expected"
            )


# ------------------------------------------------------------------- between two ranks


def isend(
    tensor: Tensor,
    dst: int | None = None,
    group: Any = None,
    tag: int = 0,
    group_dst: int | None = None,
) -> Message | None:
    """Send a tensor to rank `dst`; `wait()` returns when the tensor may be changed again."""
    own = resolve(group)
    if own is None:
        return None
    peer = _root(own, dst, group_dst)
    if peer == own.index:
        raise ValueError(
            "Invalid destination rank: destination rank should not be the same as the rank of the current process."
        )
    buffer = Buffer(tensor, own, "tensor")
    array, engine = _message_array(buffer, own)
    what = f"send({_described(buffer)} to rank {own.ranks[peer]})"
    message = own.message(what, peer, lambda: engine.send(array, peer, tag))
    message.kept = array  # type: ignore[attr-defined]
    return message


def irecv(
    tensor: Tensor,
    src: int | None = None,
    group: Any = None,
    tag: int = 0,
    group_src: int | None = None,
) -> Message | None:
    """Receive a tensor from rank `src` (None: from any); it is there after `wait()`."""
    own = resolve(group)
    if own is None:
        return None
    peer = None if src is None and group_src is None else _root(own, src, group_src)
    if peer == own.index:
        raise ValueError(
            "Invalid source rank: source rank should not be the same as the rank of the current process."
        )
    buffer = Buffer(tensor, own, "tensor")
    array, engine = _message_array(buffer, own)
    source = "any rank" if peer is None else f"rank {own.ranks[peer]}"
    what = f"recv({_described(buffer)} from {source})"
    message = own.message(what, peer, lambda: engine.receive(array, peer, tag))

    def finish() -> None:
        if not engine.on_device:
            count = message.status.Get_count(own.world.mpi.BYTE)
            if count != array.nbytes:
                raise DistBackendError(f"{what}: {count} bytes came, not {array.nbytes}")
        if array is buffer.array:
            buffer.write()
        else:
            buffer.fill(array)

    message.finish = finish
    return message


def _message_array(buffer: Buffer, group: ProcessGroup) -> tuple[Any, Any]:
    if buffer.engine.on_device:
        return buffer.array, buffer.engine
    return buffer.array, group.message_engine


def send(
    tensor: Tensor,
    dst: int | None = None,
    group: Any = None,
    tag: int = 0,
    group_dst: int | None = None,
) -> None:
    """Send a tensor to rank `dst`, which receives it."""
    message = isend(tensor, dst, group, tag, group_dst)
    if message is not None:
        message.wait()


def recv(
    tensor: Tensor,
    src: int | None = None,
    group: Any = None,
    tag: int = 0,
    group_src: int | None = None,
) -> int:
    """Receive a tensor from rank `src` (None: from any); returns who sent it."""
    message = irecv(tensor, src, group, tag, group_src)
    if message is None:
        return -1
    message.wait()
    if src is None and group_src is None:
        return message.source_rank()
    return message.peers[0]


class P2POp:
    """An `isend` or `irecv` for `batch_isend_irecv`."""

    def __init__(
        self,
        op: Callable,
        tensor: Tensor,
        peer: int | None = None,
        group: Any = None,
        tag: int = 0,
        group_peer: int | None = None,
    ) -> None:
        if op not in (isend, irecv):
            raise ValueError("Invalid ``op``. Expected ``op`` to be isend or irecv.")
        self.op, self.tensor, self.peer = op, tensor, peer
        self.group, self.tag, self.group_peer = group, tag, group_peer


def batch_isend_irecv(p2p_op_list: list[P2POp]) -> list[Message]:
    """Begin all of them; each has its own `wait()`."""
    if not p2p_op_list:
        raise ValueError("batch_isend_irecv takes at least one P2POp")
    return [o.op(o.tensor, o.peer, o.group, o.tag, o.group_peer) for o in p2p_op_list]
