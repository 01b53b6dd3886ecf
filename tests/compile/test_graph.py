"""The graph: what it shows, what its verifier finds, the memory plan."""

import numpy as np
import pytest

import numgrad as ng
from numgrad.compile.graph import Call, Graph, Storage, Value
from numgrad.compile.program import Program
from numgrad.kernels import elementwise as table

F32 = np.dtype(np.float32)


def value(storage, shape=(4,), offset=0, strides=None):
    if strides is None:
        strides = tuple(4 * int(np.prod(shape[k + 1 :])) for k in range(len(shape)))
    return Value(storage, offset, shape, strides, F32)


def storages(count, kind="temporary", nbytes=16):
    return [Storage(kind, nbytes, k) for k in range(count)]


def call(kernel, *values):
    return Call(kernel, F32, values[-1].size, values, values[-1].size)


def graph(calls, inputs, results):
    return Graph([value(s) for s in inputs], calls, [value(s) for s in results])


def test_text():
    w = ng.ones(3)

    def function(x):
        y = x[:, 1:] * w[1:]
        x[0] = y.sum()
        return y.t()

    compiled = ng.compile(function)
    for _ in range(2):
        compiled(ng.ones(2, 3))
    assert str(compiled.graph) == str(compiled.recorded_graph)
    assert str(compiled.graph).splitlines() == [
        "inputs  x0 float32[2, 3]",
        "mul(x0+4, l1+4, t0)    # x0+4 float32[2, 2] strides (12, 4); l1+4 float32[2]; t0 float32[2, 2]",
        "sum_rows(t0, t2, 4, 4, 1)    # t2 float32[]",
        "_copy(t2, x0+0)    # x0+0 float32[3]",
        "results t0 float32[2, 2] strides (4, 8)",
    ]
    checked = ng.compile(lambda x: w[x])
    for _ in range(2):
        checked(ng.tensor([0, 2]))
    assert "check" in str(checked.graph) and "== 0" in str(checked.graph)
    assert repr(checked) == "<compiled <lambda>: 1 program>"


def test_verify_finds_what_is_not_written():
    (x,) = storages(1, "input")
    a, b = storages(2)
    neg = table.neg
    graph([call(neg, value(x), value(a)), call(neg, value(a), value(b))], [x], [b]).verify()
    graph([call(neg, value(x), value(x))], [x], []).verify()
    with pytest.raises(ValueError, match=r"call 0, neg\(t0, t1\): nothing has written t0"):
        graph([call(neg, value(a), value(b))], [x], [b]).verify()
    with pytest.raises(ValueError, match=r"result t1 is never written"):
        graph([call(neg, value(x), value(a))], [x], [b]).verify()
    with pytest.raises(ValueError, match=r"t0.* leaves its storage"):
        graph([call(neg, value(x), value(a, offset=8))], [x], [a]).verify()
    with pytest.raises(ValueError, match=r"leaves its storage"):
        graph([call(neg, value(x), value(a, strides=(-4,)))], [x], [a]).verify()
    with pytest.raises(ValueError, match="nothing has written"):
        half = value(a, (2,))
        graph(
            [call(neg, value(x, (2,)), half), call(neg, value(a, (2,), 8), value(b, (2,)))],
            [x],
            [b],
        ).verify()


def test_values():
    a, b = storages(2, nbytes=96)
    whole, rows = value(a, (4, 6)), value(a, (2, 6), 48)
    assert whole.overlaps(rows) and whole.covers(rows) and not rows.covers(whole)
    assert not value(a, (2, 6)).overlaps(rows) and not whole.overlaps(value(b, (4, 6)))
    assert value(a, (6, 4), strides=(4, 24)).extent == (0, 96)
    assert not value(a, (6, 4), strides=(4, 24)).is_dense() and rows.is_dense()
    assert value(a, (0, 4)).extent == (0, 0) and not value(a, (0, 4)).overlaps(whole)
    x, y = storages(2, "input")
    (w,) = storages(1, "lasting")
    assert value(x).overlaps(value(y)) and value(x).overlaps(value(w))
    assert not value(x).overlaps(value(a))


def test_memory_plan_shares_what_is_never_alive_at_once():
    (x,) = storages(1, "input")
    made = storages(6)
    chain = [x, *made]
    calls = [call(table.neg, value(a), value(b)) for a, b in zip(chain, chain[1:], strict=False)]
    program = Program(graph(calls, [x], [made[-1]]), [made[-1]])
    assert program.temporary_bytes == 64  # every loop writes over its input
    out = np.empty(4, np.float32)
    given = np.arange(4, dtype=np.float32)
    assert program.run(program.address, (given, out)) == 0
    np.testing.assert_array_equal(out, given)
    for other in (given.astype(np.float64), given[None], np.arange(8, dtype=np.float32)[::2]):
        assert program.run(program.address, (other, out)) < 0
    keep = [
        call(table.add, value(a), value(x), value(b)) for a, b in zip(chain, made, strict=False)
    ]
    total = call(table.add, value(made[0]), value(made[4]), value(made[5]))
    assert Program(graph([*keep[:5], total], [x], [made[5]]), [made[5]]).temporary_bytes == 128


def test_memory_plan_writes_over_no_input_that_is_read_in_another_order():
    def function(x):
        y = x * 2
        return ((y + y.T) * (y + 1)).sum(0)

    compiled = ng.compile(function, options={"passes": ("remove_dead",)})
    x = ng.randn(5, 5)
    for _ in range(3):
        assert ng.equal(compiled(x), function(x))
    assert compiled.programs == 1


def test_memory_plan_lays_temporaries_into_gradients_not_written_yet():
    def build():
        ng.manual_seed(0)
        model = ng.nn.Sequential(
            ng.nn.Linear(300, 300), ng.nn.ReLU(), ng.nn.Linear(300, 300), ng.nn.Tanh(),
            ng.nn.Linear(300, 4),
        )  # fmt: skip
        optimizer = ng.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)

        def step(x, y):
            optimizer.zero_grad()
            loss = ng.nn.functional.cross_entropy(model(x), y)
            loss.backward()
            optimizer.step()
            return loss

        return model, step

    x, y = ng.randn(64, 300), ng.randint(0, 4, (64,))
    (one, eager), (other, step) = build(), build()
    compiled = ng.compile(step, options={"passes": ("remove_dead",)})
    for k in range(6):
        assert ng.equal(compiled(x, y), eager(x, y)), k
        for p, q in zip(one.parameters(), other.parameters(), strict=True):
            assert ng.equal(p, q) and ng.equal(p.grad, q.grad), k
    program = compiled._entries[0].program
    assert program._inside and program.temporary_bytes < 2 * 64 * 300 * 4
    # An error in the middle leaves no gradients: their memory has been used for other things.
    wrong = y.clone()
    wrong[3] = 7
    with pytest.raises(IndexError, match="out of bounds"):
        compiled(x, wrong)
    assert all(p.grad is None for p in other.parameters())
    assert ng.equal(compiled(x, y), eager(x, y))
    for p, q in zip(one.parameters(), other.parameters(), strict=True):
        assert ng.equal(p, q) and ng.equal(p.grad, q.grad)


def test_source_runs():
    w = ng.linspace(0, 1, 3)

    def function(x, y):
        x[:, 0] = y.sum()
        return (x.t() * ng.inf).clamp(-1, 1), x + w, x.t()[1:] + 1

    compiled = ng.compile(function)
    for _ in range(2):
        compiled(ng.ones(2, 4)[:, :3], ng.ones(2))
    from numgrad.compile import emit

    scope = emit.namespace(compiled.graph)
    exec(emit.source(compiled.graph), scope)
    x, y = ng.randn(2, 4), ng.randn(2)
    mine = x.clone()
    results = scope["program"](mine.numpy()[:, :3], y.numpy())
    for a, b in zip(results, function(x[:, :3], y), strict=True):
        np.testing.assert_array_equal(a, b.numpy())
    np.testing.assert_array_equal(mine.numpy(), x.numpy())
    assert compiled.source.startswith("def function(x0, x1):")
