"""What ranks run: `python programs.py LIBRARY FUNCTION ARGUMENTS…`, with numgrad or torch."""

import copy
import datetime
import importlib
import itertools
import json
import os
import pickle
import signal
import sys
import time

import numpy as np

LIBRARY = "torch" if sys.argv[1:2] == ["torch"] else "numgrad"
torch = importlib.import_module(LIBRARY)
dist = importlib.import_module(f"{LIBRARY}.distributed")


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


# ------------------------------------------------------------------ DistributedDataParallel


def network(inputs=2, outputs=2):
    torch.manual_seed(123)
    nn = torch.nn
    return nn.Sequential(
        nn.Linear(inputs, 30), nn.ReLU(), nn.Linear(30, 20), nn.ReLU(), nn.Linear(20, outputs)
    )


def batch(step, rank, size, count=4):
    """The part of a rank of a batch of `count` samples for each of `size` ranks."""
    rng = np.random.default_rng(step)
    x = rng.standard_normal((count * 4, 2)).astype("float32")[: count * size]
    y = (x.sum(1) > 0).astype("int64")
    return torch.from_numpy(x[rank::size].copy()), torch.from_numpy(y[rank::size].copy())


def flat(model):
    return torch.cat([p.detach().reshape(-1) for p in model.parameters()])


def train_alone(size, steps=6):
    """Losses and parameters of one process on the batches of all."""
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
    losses = []
    for step in range(steps):
        x, y = batch(step, 0, 1, 4 * size)
        loss = torch.nn.functional.cross_entropy(model(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses, flat(model).numpy()


def train(steps=6):
    rank, size = join()
    ddp = importlib.import_module(f"{torch.__name__}.nn.parallel").DistributedDataParallel
    model = network()
    if rank:
        for p in model.parameters():
            p.data.zero_()  # they come from rank 0
    model = ddp(model)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
    losses = []
    for step in range(int(steps)):
        x, y = batch(step, rank, size)
        loss = torch.nn.functional.cross_entropy(model(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        total = loss.detach() / size
        dist.all_reduce(total)
        losses.append(total.item())
        every = [torch.zeros_like(flat(model)) for _ in range(size)]
        dist.all_gather(every, flat(model))
        assert all(np.array_equal(every[0].numpy(), other.numpy()) for other in every)
    print(json.dumps([losses, flat(model).tolist()]))
    dist.destroy_process_group()


class Heads(torch.nn.Module):
    """Two heads, one of which is used, one that never is, and a buffer."""

    def __init__(self):
        super().__init__()
        self.body = torch.nn.Linear(2, 3)
        self.heads = torch.nn.ModuleList([torch.nn.Linear(3, 1) for _ in range(3)])
        self.register_buffer("seen", torch.zeros(1))

    def forward(self, x, head):
        return {"out": [self.heads[head](self.body(x))]}


def expect(kind, text, call):
    try:
        call()
    except kind as error:
        assert text in str(error), error
    else:
        raise AssertionError(f"no error {text!r}")


def ddp_features():
    from numgrad.nn.parallel import DistributedDataParallel as DDP

    rank, size = join()
    nn, F = torch.nn, torch.nn.functional

    def gradients(model, passes):
        """The average over the ranks of the sums of gradients, by hand."""
        for p in model.parameters():
            p.grad = None
        for x, y in passes:
            F.cross_entropy(model(x), y).backward()
        found = [p.grad.clone() for p in model.parameters()]
        for g in found:
            dist.all_reduce(g, dist.ReduceOp.AVG)
        return found

    def same(model, expected, exact=True):
        for p, g in zip(model.parameters(), expected, strict=True):
            close = np.array_equal if exact else np.allclose
            assert close(p.grad.numpy(), g.numpy()), (p.grad, g)

    data = [batch(step, rank, size) for step in range(3)]

    # Options that change nothing in the numbers; many buckets; later passes.
    for options in (
        {},
        {"bucket_cap_mb": 1e-6},
        {"gradient_as_bucket_view": True},
        {"gradient_as_bucket_view": True, "bucket_cap_mb": 2e-4},
        {"static_graph": True},
        {"find_unused_parameters": True},
        {"broadcast_buffers": False, "init_sync": True},
    ):
        model = DDP(network(), **options)
        assert len(model.reducer.buckets) == (
            6 if options.get("bucket_cap_mb") == 1e-6 else len(model.reducer.buckets)
        )
        for x, y in data:
            expected = gradients(network(), [(x, y)])
            for p in model.parameters():
                p.grad = None
            F.cross_entropy(model(x), y).backward()
            same(model, expected)
        # Gradients that are there are added to: the sums are averaged.
        F.cross_entropy(model(x), y).backward()
        same(model, [g * 2 for g in expected], exact=False)

    # Every bucket but the last has begun before the backward pass ends.
    model = DDP(network(), bucket_cap_mb=1e-6)
    begun = []
    launch = model.reducer._launch
    model.reducer._launch = lambda k: (
        begun.append((k, sum(p.grad is not None for p in model.parameters()))),
        launch(k),
    )
    F.cross_entropy(model(data[0][0]), data[0][1]).backward()
    assert [k for k, _ in begun] == list(range(6)) and begun[0][1] < 6 and begun[-1][1] == 6, begun

    # A parameter that comes last in the module and first in the pass; a shared one; a frozen one.
    class Order(nn.Module):
        def __init__(self):
            super().__init__()
            torch.manual_seed(1)
            self.last, self.first = nn.Linear(4, 2), nn.Linear(2, 4)
            self.frozen = nn.Parameter(torch.ones(2), requires_grad=False)

        def forward(self, x):
            return self.last(self.first(self.last(self.first(x)))) * self.frozen

    model = DDP(Order(), bucket_cap_mb=1e-5)
    x, y = data[0]
    F.cross_entropy(model(x), y).backward()
    own = Order()
    F.cross_entropy(own(x), y).backward()
    for (name, p), (_, q) in zip(
        model.module.named_parameters(), own.named_parameters(), strict=True
    ):
        if name != "frozen":
            dist.all_reduce(q.grad, dist.ReduceOp.AVG)
            assert np.array_equal(p.grad.numpy(), q.grad.numpy()), name

    # no_sync.
    model = DDP(network())
    expected = gradients(network(), data)
    with model.no_sync():
        for x, y in data[:2]:
            F.cross_entropy(model(x), y).backward()
        mine = [p.grad.clone() for p in model.parameters()]
    F.cross_entropy(model(data[2][0]), data[2][1]).backward()
    same(model, expected, exact=False)
    assert not np.array_equal(mine[0].numpy(), expected[0].numpy())

    # Parameters that are not used: in this rank, in all.
    torch.manual_seed(5)
    model = DDP(Heads(), find_unused_parameters=True)
    for _ in range(2):
        model.zero_grad()
        model(torch.ones(1, 2), rank)["out"][0].sum().backward()
        for head in range(3):
            grad = model.module.heads[head].bias.grad
            assert (grad is None) if head == 2 else (grad.item() == 1 / size), (head, grad)
    model = DDP(Heads())
    model(torch.ones(1, 2), 0)["out"][0].sum().backward()
    expect(RuntimeError, "heads.1.weight", lambda: model(torch.ones(1, 2), 0))

    # Used twice after one forward pass, and a second pass after one forward pass.
    model = DDP(nn.Linear(2, 1, bias=False))
    out = model(torch.ones(1, 2))
    out.sum().backward(retain_graph=True)
    before = model.module.weight.grad.clone()
    out.sum().backward()  # is added in this process alone, as in torch
    assert np.array_equal(model.module.weight.grad.numpy(), 2 * before.numpy())

    # Buffers are rank 0's; statistics stay equal.
    model = Heads()
    model.seen += rank
    model = DDP(model)
    assert model.module.seen.item() == 0
    model.module.seen += rank + 1
    with torch.no_grad():
        model(torch.ones(1, 2), 0)
    assert model.module.seen.item() == 1
    model = DDP(nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3)))
    for x, _ in data:
        model(x).sum().backward()
    statistics = [None] * size
    with torch.no_grad():
        model(data[0][0])
    dist.barrier()
    model.eval()
    model(data[0][0])
    dist.all_gather_object(statistics, model.module[1].num_batches_tracked.item())
    assert len(set(statistics)) == 1

    # As a module.
    model = DDP(network())
    assert list(model.state_dict())[0] == "module.0.weight"
    fresh = network()
    fresh.load_state_dict({k.removeprefix("module."): v for k, v in model.state_dict().items()})
    copied = pickle.loads(pickle.dumps(model))
    pickle.loads(pickle.dumps(model.module))
    x, y = data[0]
    F.cross_entropy(copied(x), y).backward()
    same(copied, gradients(network(), [(x, y)]))
    DDP(copy.deepcopy(model.module))

    # Compiled, inside and outside.
    for model in (DDP(torch.compile(network())), torch.compile(DDP(network()))):
        for x, y in data * 2:
            expected = gradients(network(), [(x, y)])
            model.zero_grad()
            F.cross_entropy(model(x), y).backward()
            same(model, expected, exact=False)
        assert model._run.programs > 0 and model._run.reason is None
    step = torch.compile(lambda x, y: F.cross_entropy(model(x), y).backward())
    for x, y in data:
        expected = gradients(network(), [(x, y)])
        model.zero_grad()
        step(x, y)
        same(model, expected, exact=False)
    assert "DistributedDataParallel" in step.reason

    # Ranks with different numbers of batches.
    for by_size in (True, False):
        for options in ({}, {"find_unused_parameters": True, "bucket_cap_mb": 1e-6}):
            model = DDP(nn.Sequential(nn.Linear(2, 1, bias=False), nn.BatchNorm1d(1)), **options)
            weight = model.module[0].weight
            found = []
            with model.join(divide_by_initial_world_size=by_size):
                for k in range(1 + rank):
                    model.zero_grad()
                    model(torch.tensor([[1.0 + rank, 2.0], [0.0, 1.0 + k]])).pow(2).sum().backward()
                    found.append(weight.grad.clone())
                    with torch.no_grad():
                        weight -= 0.1 * weight.grad
            every = [torch.zeros(1, 2) for _ in range(size)]
            dist.all_gather(every, weight.detach())
            assert np.array_equal(every[0].numpy(), every[-1].numpy())
            assert len(found) == 1 + rank
            if rank == size - 1 and size == 2:
                own = nn.Sequential(nn.Linear(2, 1, bias=False), nn.BatchNorm1d(1))
    model = DDP(nn.Linear(2, 1))

    def throwing():
        with model.join(throw_on_early_termination=True):
            for _ in range(1 + rank):
                model(torch.ones(1, 2)).sum().backward()

    expect(RuntimeError, "hausted", throwing)

    # What cannot be.
    expect(ValueError, "device_ids", lambda: DDP(network(), device_ids=[rank]))
    expect(RuntimeError, "any parameters", lambda: DDP(nn.ReLU()))
    expect(RuntimeError, "in rank 1", lambda: DDP(nn.Linear(2, 2 + rank)))
    expect(RuntimeError, "inconsistent", lambda: DDP(nn.Linear(2, 2, bias=rank == 0)))
    dist.barrier()
    dist.destroy_process_group()
    print("done")


# ------------------------------------------------------------------------------ failures


def lose(where, victim):
    """Rank `victim` is killed in its third step; the others go on until they cannot."""
    from numgrad.nn.parallel import DistributedDataParallel as DDP

    rank, size = join(timeout=60)
    model = DDP(network())

    def dies(here):
        if rank == int(victim) and here == where and step == 2:
            os.kill(os.getpid(), signal.SIGKILL)

    for p in model.parameters():
        p.register_hook(lambda grad: dies("backward"))
    print("ready", flush=True)
    for step in range(10**6):
        x, y = batch(step % 10, rank, size)
        dies("forward")
        loss = torch.nn.functional.cross_entropy(model(x), y)
        loss.backward()
        work = dist.all_reduce(torch.ones(1 << 16), async_op=True)
        dies("collective")
        work.wait()


def lost_on_the_way():
    """Rank 1 is killed when all have met, before MPI is initialised."""
    from numgrad.distributed import _world

    if os.environ["RANK"] == "1":
        _world.World.start_mpi = lambda self, timeout: os.kill(os.getpid(), signal.SIGKILL)
    join(timeout=60)


def hang(seconds):
    """Rank 1 does not come to the second collective."""
    rank, _ = join(timeout=float(seconds))
    dist.barrier()
    print("ready", flush=True)
    if rank == 1:
        time.sleep(3600)
    dist.all_reduce(torch.ones(3))


def disagree(kind):
    """The ranks call different things, and are told."""
    from numgrad.nn.parallel import DistributedDataParallel as DDP

    rank, _ = join(timeout=30)
    if kind == "shapes":
        dist.all_reduce(torch.ones(3 + rank))
    elif kind == "dtypes":
        dist.broadcast(torch.ones(3, dtype=[torch.float32, torch.int64][rank]), 0)
    elif kind == "collectives":
        dist.barrier() if rank else dist.all_reduce(torch.ones(3))
    elif kind == "roots":
        dist.broadcast(torch.ones(3), rank)
    elif kind == "large":
        dist.all_reduce(torch.ones(1 << (22 if rank else 2)))
    elif kind == "passes":
        model = DDP(network())
        for step in range(2 - rank):
            x, y = batch(step, rank, 2)
            torch.nn.functional.cross_entropy(model(x), y).backward()
        dist.all_reduce(torch.ones(3))
    elif kind == "message":
        if rank:
            dist.send(torch.ones(3), 0)
        else:
            dist.recv(torch.ones(2), 1)
    elif kind == "parts":
        dist.all_to_all([torch.ones(2), torch.ones(2)], [torch.ones(2 + rank)] * 2)


def raises():
    """Rank 1 raises; rank 0 waits for it."""
    rank, _ = join(timeout=30)
    if rank == 1:
        raise ValueError("the reason")
    dist.barrier()


def leaves():
    """Rank 1 has nothing more to do and goes; what it has sent arrives."""
    rank, _ = join(timeout=30)
    if rank == 1:
        dist.send(torch.arange(5.0), 0)
        dist.destroy_process_group()
        return
    time.sleep(0.3)
    x = torch.zeros(5)
    dist.recv(x, 1)
    print(x.tolist())


def ignores_and_goes_on():
    """After an error nothing more is possible in this world, and the process can end well."""
    rank, _ = join(timeout=1)
    if rank == 1:
        time.sleep(3)
        os._exit(0)
    for text in ("timed out", "after an earlier error"):
        expect(dist.DistBackendError, text, lambda: dist.all_reduce(torch.ones(1)))
    dist.destroy_process_group()
    expect(dist.DistError, "has come to an end", join)
    print("went on")


if __name__ == "__main__":
    globals()[sys.argv[2]](*sys.argv[3:])
    sys.stdout.flush()
    if LIBRARY == "torch":
        os._exit(0)  # its threads may abort while the interpreter ends
