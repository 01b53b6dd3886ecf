"""Every operation, layer and optimizer of the tables: compiled as eager, forward and gradients."""

import pathlib
import sys
import warnings

import numpy as np
import pytest

import numgrad as ng

sys.path.insert(0, str(pathlib.Path(__file__).parent))
from comparing import EAGER, assert_same, check, module, rolled, rows, tensors

elementwise = module("ops/test_elementwise")
cases = module("ops/cases")
written = module("ops/expressions")

EXPRESSIONS = [
    *module("ops/test_parity").NAMED,
    *module("ops/test_parity").PLAIN,
    *rows(
        [f"ops/test_{name}" for name in (
            "arranging", "counting", "creation", "embedding", "extremum", "gathering", "indexing",
            "joining", "masking", "norm", "reduction", "sorting", "views",
        )],
        "expression",
    ),
]  # fmt: skip
CASES = rows(
    [f"ops/test_{name}" for name in (
        "cross_entropy", "extremum", "loss", "norm", "normalization", "reduction", "scan",
        "softmax", "variance",
    )],
    "item",
)  # fmt: skip


def differentiated(function):
    """Results and, in the same program, the gradients of the leaves among the arguments."""

    def both(*arguments):
        results = tensors(function(*arguments))
        leaves = [t for t in tensors(list(arguments)) if t.requires_grad]
        roots = [r for r in results if r.requires_grad]
        if not roots or not leaves:
            return [r.detach() for r in results]
        seeds = [ng.linspace(0.5, 1.5, r.numel()).reshape(r.shape).to(r.dtype) for r in roots]
        grads = ng.autograd.grad(roots, leaves, seeds, allow_unused=True)
        return [r.detach() for r in results], list(grads)

    return both


def outside(function, calls):
    """Compiled forward, backward by the engine: the gradients beside the eager ones."""
    compiled = ng.compile(function)
    for make in calls:
        found = []
        for call in (compiled, function):
            ng.manual_seed(3)
            arguments = make()
            try:
                results = tensors(call(*arguments))
            except Exception as error:
                found.append(repr(error))
                continue
            roots = [r for r in results if r.requires_grad]
            leaves = [t for t in tensors(list(arguments)) if t.requires_grad]
            if not roots:
                return
            seeds = [ng.linspace(0.5, 1.5, r.numel()).reshape(r.shape).to(r.dtype) for r in roots]
            grads = ng.autograd.grad(roots, leaves, seeds, allow_unused=True)
            found.append([None if g is None else g.numpy().copy() for g in grads])
        if isinstance(found[0], str):
            assert found[0] == found[1]
            continue
        for a, b in zip(*found, strict=True):
            if a is None or b is None:  # a gradient of zeros may be left out
                assert all(g is None or not g.any() for g in (a, b))
            else:
                np.testing.assert_allclose(a, b, 1e-15 if a.dtype == float else 1e-6, 1e-15)


def both_ways(function, calls):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        check(differentiated(function), calls)
        outside(function, calls)


@pytest.mark.parametrize("row", elementwise.ROWS, ids=lambda r: r.id)
def test_elementwise(row):
    def make(k):
        arrays = elementwise.draw(row, (4, 6), seed=k)
        if len(arrays) > 1:
            arrays[1] = arrays[1][0]
        return [ng.from_numpy(a).requires_grad_(row.differentiable) for a in arrays]

    def function(*given):
        return getattr(elementwise.ops, row.name)(*given, *row.extra, **row.kwargs)

    both_ways(function, [lambda k=k: make(k) for k in range(3)])


@pytest.mark.parametrize("item", CASES, ids=str)
def test_case(item):
    function = cases.ours_of(item.name)

    def make(k):
        found = []
        for value in item.arguments:
            if isinstance(value, np.ndarray):
                value = ng.from_numpy(rolled(value, k))
                value.requires_grad_(value.is_floating_point())
            found.append(value)
        return found

    kwargs = {
        k: ng.from_numpy(v) if isinstance(v, np.ndarray) else v for k, v in item.kwargs.items()
    }
    both_ways(
        lambda *arguments: function(*arguments, **kwargs), [lambda k=k: make(k) for k in range(3)]
    )


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_expression(expression):
    def make(k):
        with ng.no_grad():
            return [
                ng.from_numpy(rolled(t.numpy(), k)).requires_grad_()
                for t in (t.detach() for t in written.leaves(ng).values())
            ]

    code = compile(expression, "<expression>", "eval")

    def function(*values):
        return written.evaluate(ng, code, dict(zip(written.LEAVES, values, strict=True)))

    both_ways(function, [lambda k=k: make(k) for k in range(3)])


@pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])
@pytest.mark.parametrize("row", module("nn/test_layer_zoo").ROWS, ids=lambda row: row.name)
def test_layer(row, training):
    """A step inside one program, and a compiled layer with everything around it eager."""
    zoo = module("nn/test_layer_zoo")
    found = {}
    for kind in ("eager", "module", "step"):
        layer, inputs = zoo.made(ng, row)
        layer.train(training)
        called = ng.compile(layer) if kind == "module" else layer
        parameters = list(layer.parameters())

        def step(*given):
            output = called(*given)
            if not output.requires_grad:
                return output, []
            weights = ng.linspace(0.5, 1.5, output.numel()).reshape(output.shape)
            leaves = [t for t in (*given, *parameters) if t.requires_grad]
            grads = ng.autograd.grad((output * weights).sum(), leaves, allow_unused=True)
            return output.detach(), list(grads)

        step = ng.compile(step) if kind == "step" else step
        results = found[kind] = []
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            for k in range(4):
                ng.manual_seed(k)
                given = [ng.from_numpy(rolled(t.detach().numpy(), k)) for t in inputs]
                given = [
                    a.requires_grad_(b.requires_grad) for a, b in zip(given, inputs, strict=True)
                ]
                state = {n: v.clone() for n, v in layer.state_dict().items()}
                results.append((*step(*given), state, ng.get_rng_state()))
        compiled = {"module": called, "step": step}.get(kind)
        if compiled is not None:
            assert compiled.reason is None or any(t in compiled.reason for t in EAGER)
            assert compiled.reason is not None or compiled.programs >= 1
    assert_same(found["step"], found["eager"], what="step")
    assert_same(found["module"], found["eager"], what="module")


@pytest.mark.parametrize("set_to_none", [True, False])
@pytest.mark.parametrize(
    ("name", "options"),
    module("optim/test_optimizers").CASES,
    ids=module("optim/test_optimizers").IDS,
)
def test_optimizer(name, options, set_to_none):
    """Forward, zero_grad, backward and step in one program: parameters, state and versions."""
    found = {}
    for kind in ("eager", "compiled"):
        ng.manual_seed(0)
        model = ng.nn.Sequential(ng.nn.Linear(3, 4), ng.nn.Tanh(), ng.nn.Linear(4, 2))
        optimizer = getattr(ng.optim, name)(model.parameters(), **options)

        def step(x, y):
            loss = ((model(x) - y) ** 2).mean()
            optimizer.zero_grad(set_to_none=set_to_none)
            loss.backward()
            optimizer.step()
            return loss

        called = ng.compile(step) if kind == "compiled" else step
        results = found[kind] = []
        for k in range(7):
            ng.manual_seed(k)
            loss = called(ng.randn(5, 3), ng.randn(5, 2))
            parameters = list(model.parameters())
            results.append((
                loss.detach(),
                [p.detach().clone() for p in parameters],
                [p.grad.clone() for p in parameters],
                [{k: v.clone() for k, v in optimizer.state[p].items() if v is not None}
                 for p in parameters],
                [p._version for p in parameters],
            ))  # fmt: skip
        if kind == "compiled":
            assert called.reason is None and called.programs <= 2  # grad None, then present
    assert_same(found["compiled"], found["eager"], what="training")
