"""Passes: what is merged, what may not be, and that the machine code does the same."""

import numpy as np
import pytest

import numgrad as ng
from numgrad.compile.passes import optimize

EVERYTHING = {"fuse_from": 1}


def graphs(function, *arguments, **options):
    """The function compiled with everything fused, after a check beside eager mode."""
    compiled = ng.compile(function, options={**EVERYTHING, **options})
    for k in range(3):
        given = [a.clone() + k for a in arguments]
        expected = [a.clone() for a in given]
        results, wanted = compiled(*given), function(*expected)
        pairs = (
            [(results, wanted)]
            if isinstance(results, ng.Tensor)
            else zip(results, wanted, strict=True)
        )
        for own, other in (*pairs, *zip(given, expected, strict=True)):
            np.testing.assert_allclose(own.detach().numpy(), other.detach().numpy(), 2e-6, 1e-6)
    assert compiled.reason is None and compiled.programs == 1
    return compiled.graph


def names(graph):
    return [call.kernel.name for call in graph.calls]


def test_a_chain_is_one_loop():
    def chain(x, y):
        for _ in range(3):
            x = (x * y + 1).tanh().sigmoid()
        return x

    for shape in ((3, 5), (40, 33), (2,)):
        graph = graphs(chain, ng.randn(*shape), ng.randn(*shape))
        assert len(graph.calls) == 1 and "_and_" in graph.calls[0].kernel.name
    assert (
        len(graphs(lambda x, y: (x.t() * y).exp() - y[0], ng.randn(3, 4), ng.randn(4, 3)).calls)
        == 1
    )


def test_several_results_and_dtypes_of_one_loop():
    def function(x):
        y = x * 2
        positive = y > 0
        return y, positive, ng.where(positive, y, x).double() + 1

    graph = graphs(function, ng.randn(4, 5))
    assert len(graph.calls) == 1 and len(graph.calls[0].writes) == 3


def test_a_row_reduction_joins_its_loop_and_what_else_is_read_is_written():
    x = ng.randn(3, 600)
    assert len(graphs(lambda x: (x * 2).exp().sum(1), x).calls) == 1
    for also in (
        lambda y: y, lambda y: y.t(), lambda y: y[:, ::2] + 1, lambda y: y @ y.t(),
        lambda y: y.sum(0), lambda y: y.amax(1), lambda y: y.view(600, 3)[5:].clone(),
    ):  # fmt: skip
        graphs(lambda x, also=also: ((y := (x * 2).sigmoid()).sum(1), also(y)), x)


def in_between(write):
    """Two elementwise calls with a write to memory that one of them reads."""

    def function(x, y):
        a = x * 2
        write(x, y)
        return a + x, x + y * 2

    return function


@pytest.mark.parametrize(
    "write",
    [
        lambda x, y: x.add_(1), lambda x, y: x[0].mul_(3), lambda x, y: x.copy_(y),
        lambda x, y: y.copy_(x), lambda x, y: x.t().zero_(), lambda x, y: y[:, 1:].add_(x[:, :1]),
    ],
)  # fmt: skip
def test_no_loop_passes_a_write(write):
    function = in_between(write)
    graphs(function, ng.randn(3, 4), ng.randn(3, 4))

    def on_temporaries(x, y):
        return function(x + 1, y.clone())

    graphs(on_temporaries, ng.randn(3, 4), ng.randn(3, 4))


def test_no_loop_passes_a_write_to_memory_that_may_be_the_same():
    """Recorded on arguments apart, called with one inside the other's memory."""

    def function(x, y):
        a = x * 2
        y.add_(1)
        return a + x

    compiled = ng.compile(function, options=EVERYTHING)
    for _ in range(2):
        compiled(ng.ones(4), ng.ones(4))
    memory, other = ng.ones(4), ng.ones(4)
    found = compiled(memory[:], memory[:])
    np.testing.assert_array_equal(found.numpy(), function(other[:], other[:]).numpy())


def test_views_of_a_loop_s_results():
    def function(x):
        y = x.exp()
        z = y.t() + 1
        return y[1:] * 2, z, (z.t() * y).sum()

    graphs(function, ng.randn(4, 4))


def test_more_than_one_loop_takes():
    def many_inputs(*xs):
        total = xs[0]
        for x in xs[1:]:
            total = total * x
        return total

    graphs(many_inputs, *[ng.rand(2, 3) for _ in range(20)])

    def many_steps(x):
        for k in range(80):
            x = x * 0.5 + k
        return x

    assert len(graphs(many_steps, ng.rand(3)).calls) > 1


def test_dead_calls_go_and_equal_calls_are_made_once():
    def function(x):
        (x * 3).exp().sum()
        a, b = (x + 1).tanh(), (x + 1).tanh()
        x.mul_(2)
        return a, b, (x + 1).tanh()

    compiled = ng.compile(function, options={"passes": ("remove_dead", "share")})
    for _ in range(2):
        x = ng.randn(3)
        own = x.clone()
        for found, wanted in zip(compiled(own), function(x), strict=True):
            np.testing.assert_array_equal(found.numpy(), wanted.numpy())
    assert names(compiled.recorded_graph).count("tanh_") == 3
    assert names(compiled.graph).count("add") == 2 and "exp_" not in names(compiled.graph)


def test_options_and_sizes():
    """Small arrays are not fused unless that is asked for, and each pass can be left out."""

    def function(x):
        return (x * 2 + 1).tanh()

    for options, count in (
        ({}, 3),
        (EVERYTHING, 1),
        ({**EVERYTHING, "passes": ("remove_dead",)}, 3),
    ):
        compiled = ng.compile(function, options=options)
        for _ in range(2):
            compiled(ng.ones(5))
        assert len(compiled.graph.calls) == count
    assert len(optimize(compiled.recorded_graph, EVERYTHING).calls) == 1


def test_large_arrays_in_parallel():
    x = ng.randn(300, 1100)
    graph = graphs(lambda x: ((x * 2).tanh() + x.t().contiguous().t()[:, :1]) * x[0], x)
    assert len(graph.calls) <= 2
    graphs(lambda x: (x * x).sum(1), x)
    graphs(lambda x: (x * x).mean(), x)
    graphs(lambda x: ng.relu(x + 1), ng.empty(0, 3))


def test_a_step_with_everything_fused():
    losses = []
    for compile_ in (lambda f: f, lambda f: ng.compile(f, options=EVERYTHING)):
        ng.manual_seed(0)
        model = ng.nn.Sequential(
            ng.nn.Linear(6, 8),
            ng.nn.GELU(),
            ng.nn.LayerNorm(8),
            ng.nn.Dropout(0.2),
            ng.nn.Linear(8, 3),
        )
        optimizer = ng.optim.Adam(model.parameters(), lr=0.01)

        @compile_
        def step(x, y):
            loss = ng.nn.functional.cross_entropy(model(x), y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            return loss

        losses.append([])
        for _ in range(8):
            losses[-1].append(step(ng.randn(10, 6), ng.randint(0, 3, (10,))).item())
    np.testing.assert_allclose(*losses, rtol=2e-5)
