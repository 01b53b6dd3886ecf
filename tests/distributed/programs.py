"""What ranks run: `python programs.py LIBRARY FUNCTION ARGUMENTS…`, with numgrad or torch."""

import datetime
import importlib
import itertools
import os
import sys

import numpy as np

torch = importlib.import_module(sys.argv[1])
dist = importlib.import_module(f"{sys.argv[1]}.distributed")


def join(**options):
    dist.init_process_group("gloo", **options)
    return dist.get_rank(), dist.get_world_size()


def everything():
    """Every collective, beside what NumPy makes of the same numbers."""
    rank, size = join()
    assert dist.is_initialized() and dist.get_backend() == "gloo"
    rng = np.random.default_rng(0)
    reductions = {
        "SUM": np.add, "PRODUCT": np.multiply, "MIN": np.minimum, "MAX": np.maximum,
        "BAND": np.bitwise_and, "BOR": np.bitwise_or, "BXOR": np.bitwise_xor,
    }  # fmt: skip
    dtypes = ["float32", "float64", "int8", "int16", "int32", "int64", "uint8"]
    for (name, function), dtype in itertools.product(reductions.items(), dtypes):
        if name.startswith("B") and dtype.startswith("f"):
            continue
        inputs = rng.integers(0, 5, (size, 3, 2)).astype(dtype)
        x = torch.from_numpy(inputs[rank].copy())
        dist.all_reduce(x, getattr(dist.ReduceOp, name))
        assert np.array_equal(x.numpy(), function.reduce(inputs, 0, dtype=dtype)), (name, dtype)
        x = torch.from_numpy(inputs[rank].copy())
        dist.reduce(x, size - 1, getattr(dist.ReduceOp, name))
        expected = function.reduce(inputs, 0, dtype=dtype) if rank == size - 1 else inputs[rank]
        assert np.array_equal(x.numpy(), expected), (name, dtype)
    flags = torch.tensor([rank == 0, True, False])
    dist.all_reduce(flags, dist.ReduceOp.MAX)
    assert flags.tolist() == [True, True, False]
    x = torch.full((2,), float(rank))
    dist.all_reduce(x, dist.ReduceOp.AVG)
    assert x.tolist() == [(size - 1) / 2] * 2

    for dtype in (*dtypes, "bool"):
        inputs = rng.integers(0, 2, (size, 4)).astype(dtype)
        mine = torch.from_numpy(inputs[rank].copy())
        x = mine.clone()
        dist.broadcast(x, size - 1)
        assert np.array_equal(x.numpy(), inputs[-1])
        out = [torch.zeros_like(mine) for _ in range(size)]
        dist.all_gather(out, mine)
        assert np.array_equal(np.stack([t.numpy() for t in out]), inputs)
        whole = torch.zeros((4 * size,), dtype=mine.dtype)
        dist.all_gather_into_tensor(whole, mine)
        assert np.array_equal(whole.numpy(), inputs.reshape(-1))
        out = [torch.zeros_like(mine) for _ in range(size)]
        dist.gather(mine, out if rank == 0 else None, 0)
        if rank == 0:
            assert np.array_equal(np.stack([t.numpy() for t in out]), inputs)
        x = torch.zeros_like(mine)
        parts = [torch.from_numpy(row.copy()) for row in inputs]
        dist.scatter(x, parts if rank == 1 else None, 1)
        assert np.array_equal(x.numpy(), inputs[rank])

    inputs = rng.integers(0, 9, (size, size, 3)).astype("float32")
    x = torch.zeros(3)
    dist.reduce_scatter(x, [torch.from_numpy(row.copy()) for row in inputs[rank]])
    assert np.array_equal(x.numpy(), inputs[:, rank].sum(0))
    x = torch.zeros(3)
    dist.reduce_scatter_tensor(x, torch.from_numpy(inputs[rank].copy()))
    assert np.array_equal(x.numpy(), inputs[:, rank].sum(0))
    out = [torch.zeros(3) for _ in range(size)]
    dist.all_to_all(out, [torch.from_numpy(row.copy()) for row in inputs[rank]])
    assert np.array_equal(np.stack([t.numpy() for t in out]), inputs[:, rank])
    out = [torch.zeros(r + 1) for r in range(size)]
    dist.all_to_all(out, [torch.full((rank + 1,), float(rank)) for _ in range(size)])
    assert [t.tolist() for t in out] == [[float(r)] * (r + 1) for r in range(size)]
    x = torch.zeros(size, 3)
    dist.all_to_all_single(x, torch.from_numpy(inputs[rank].copy()))
    assert np.array_equal(x.numpy(), inputs[:, rank])
    sent = [1] + [0] * (size - 1)  # everybody sends one row to rank 0
    x = torch.zeros(size if rank == 0 else 0, 2)
    dist.all_to_all_single(
        x, torch.full((1, 2), float(rank)), [1] * size if rank == 0 else [0] * size, sent
    )
    assert rank or x.tolist() == [[float(r)] * 2 for r in range(size)]

    # What is not contiguous, has no dimensions, no elements.
    x = torch.arange(6.0).reshape(2, 3).T
    dist.all_reduce(x)
    assert x.tolist() == (torch.arange(6.0).reshape(2, 3).T * size).tolist()
    x, y = torch.tensor(float(rank)), torch.zeros(0)
    dist.all_reduce(x)
    dist.all_reduce(y)
    assert x.item() == size * (size - 1) / 2
    before = x._version
    dist.broadcast(x, 0)
    assert rank == 0 or x._version > before

    # Messages.
    right, left = (rank + 1) % size, (rank - 1) % size
    x = torch.zeros(3)
    works = [dist.irecv(x, left), dist.isend(torch.full((3,), float(rank)), right)]
    for work in works:
        work.wait()
    assert x.tolist() == [float(left)] * 3
    if rank == 0:
        senders = {dist.recv(torch.zeros(1)) for _ in range(size - 1)}
        assert senders == set(range(1, size))
    else:
        dist.send(torch.ones(1), 0)
    work = [
        dist.P2POp(dist.isend, torch.full((1,), float(rank)), right, tag=3),
        dist.P2POp(dist.irecv, x[:1], left, tag=3),
    ]
    for each in dist.batch_isend_irecv(work):
        each.wait()
    assert x[0].item() == left

    # Several under way at once, waited for in another order.
    tensors = [torch.full((n,), float(rank + 1)) for n in (3, 70000, 1)]
    works = [dist.all_reduce(t, async_op=True) for t in tensors]
    works.append(dist.barrier(async_op=True))
    for work in reversed(works):
        assert work.wait() and work.is_completed()
    assert all(t[0].item() == size * (size + 1) / 2 for t in tensors)

    # Objects.
    found = [None] * size
    dist.all_gather_object(
        found, {"rank": rank, "x": torch.ones(2) * rank, "long": "x" * rank * 50}
    )
    assert [f["rank"] for f in found] == list(range(size)) and found[1]["x"].tolist() == [1, 1]
    values = [rank, "a"] if rank else ["first", {1: 2}]
    dist.broadcast_object_list(values, 0)
    assert values == ["first", {1: 2}]
    place = [None]
    dist.scatter_object_list(place, [f"for {r}" for r in range(size)] if rank == 0 else None, 0)
    assert place == [f"for {rank}"]
    found = [None] * size if rank == 1 else None
    dist.gather_object(rank * 2, found, 1)
    assert rank != 1 or found == [2 * r for r in range(size)]

    # Groups.
    pair = dist.new_group([0, size - 1])
    if rank in (0, size - 1):
        x = torch.ones(2) * (rank + 1)
        dist.all_reduce(x, group=pair)
        assert x.tolist() == [size + 1.0] * 2
        assert dist.get_world_size(pair) == 2 and dist.get_rank(pair) == (0 if rank == 0 else 1)
        assert dist.get_process_group_ranks(pair) == [0, size - 1]
        x = torch.full((1,), float(rank))
        dist.broadcast(x, src=size - 1, group=pair)
        assert x.item() == size - 1
    else:
        assert pair == dist.GroupMember.NON_GROUP_MEMBER and dist.get_rank(pair) == -1
        dist.all_reduce(torch.ones(1), group=pair)
    alone = [dist.new_group([r]) for r in range(size)][rank]
    x = torch.ones(2)
    dist.all_reduce(x, group=alone)
    dist.all_gather([y := torch.zeros(2)], x, group=alone)
    assert x.tolist() == y.tolist() == [1, 1]

    # Wrong arguments are errors of this rank, and nothing is sent.
    for call, kind in [
        (lambda: dist.all_gather([x], x), ValueError),
        (lambda: dist.broadcast(x, size), ValueError),
        (lambda: dist.all_reduce([1]), TypeError),
        (lambda: dist.all_reduce(torch.ones(1), dist.ReduceOp.BAND), RuntimeError),
        (lambda: dist.send(x, rank), ValueError),
        (lambda: dist.new_group([0, 0]), ValueError),
        (lambda: dist.init_process_group("gloo"), ValueError),
    ]:
        try:
            call()
        except kind:
            pass
        else:
            raise AssertionError("no error")
    dist.barrier()
    dist.destroy_process_group()
    assert not dist.is_initialized()

    # Again, with another timeout.
    join(timeout=datetime.timedelta(seconds=20))
    x = torch.ones(1)
    dist.all_reduce(x)
    assert x.item() == size
    dist.destroy_process_group()
    print("done")


if __name__ == "__main__":
    globals()[sys.argv[2]](*sys.argv[3:])
    sys.stdout.flush()
    _ = os
