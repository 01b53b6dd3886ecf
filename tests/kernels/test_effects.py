"""Every kernel reads and writes what its specs say, whatever operation launches it.

The operations run are those that the other tests compare with PyTorch, and some large enough for
the kernels that join what others left in parts.
"""

import contextlib
import importlib.util
import math
import pathlib
import pkgutil
import sys
import warnings

import numpy as np
import pytest

import numgrad as ng
from numgrad import kernels
from numgrad.kernels import indexing, philox, radix, sorting
from numgrad.kernels._contract import Kernel, flat, kernel, updates, writes
from numgrad.nn import functional as F

sys.path.insert(0, str(pathlib.Path(__file__).parent))
sys.path.insert(0, str(pathlib.Path(__file__).parent.parent / "ops"))
from cases import Case, case, noise, ours_of, run
from effects import watching
from expressions import evaluate, leaves, tensors

TESTS = pathlib.Path(__file__).parent.parent


def module_at(*parts):
    """A test file as a module of its own."""
    path = TESTS.joinpath(*parts).with_suffix(".py")
    spec = importlib.util.spec_from_file_location(f"{path.stem}_driven", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def every_kernel():
    modules = [importlib.import_module(f"{kernels.__name__}.{m.name}") for m in _modules()]
    return {k for m in modules for n, k in vars(m).items() if type(k) is Kernel and n == k.name}


def _modules():
    return pkgutil.iter_modules(kernels.__path__)


# ------------------------------------------------------------------- what is run


def differentiate(results, inputs):
    """First and second gradients of all results."""
    results = [r for r in results if r.requires_grad]
    if not results:
        return
    loss = sum((r * r).sum() for r in results)
    ng.autograd.grad(loss, inputs, retain_graph=True, allow_unused=True)
    grads = ng.autograd.grad(loss, inputs, create_graph=True, allow_unused=True)
    again = [(g * g).sum() for g in grads if g is not None and g.requires_grad]
    if again:
        ng.autograd.grad(sum(again), inputs, allow_unused=True)


def run_case(item, differentiable=True):
    results, inputs = run(ours_of(item.name), ng.from_numpy, item)
    if differentiable:
        differentiate(results, inputs)


def run_expression(expression):
    names = leaves(ng)
    differentiate(tensors(evaluate(ng, expression, names)), list(names.values()))


#: Tests whose expressions and cases raise nothing; in others some are meant to.
WORK = ("test_like_torch", "test_parity", "test_gradients", "test_the_same_numbers")


def run_tests_of_operations():
    """The expressions and cases that the tests of the operations are parametrised with."""
    for path in sorted((TESTS / "ops").glob("test_*.py")):
        module = module_at("ops", path.stem)
        for test in vars(module).values():
            for mark in getattr(test, "pytestmark", []):
                names, values = mark.args if mark.name == "parametrize" else ("", ())
                works = test.__name__.startswith(WORK)
                for value in values:
                    with contextlib.nullcontext() if works else contextlib.suppress(Exception):
                        if names == "expression":
                            run_expression(value)
                        elif isinstance(value, Case):
                            run_case(value)


def run_elementwise():
    tests = module_at("ops", "test_elementwise")
    for row in tests.ROWS:
        arrays = tests.draw(row, (6, 5))
        tests.call(row, [a[::2].T for a in arrays])
        for given in (arrays, tests.draw(row, (700,))):
            item = Case(row.name, (*given, *row.extra), row.kwargs)
            run_case(item, row.differentiable)
        if row.integers:
            tests.call(row, tests.draw(row, (5, 7), np.int64))


def run_products():
    tests = module_at("ops", "test_matmul")
    for parameters in tests.CASES:
        name, before, shapes, listed, kwargs = parameters.values
        inputs = [ng.from_numpy(a).requires_grad_() for a in tests.draw(shapes)]
        function = tests.caller(tests.FUNCTIONS[name], before, listed, kwargs)
        differentiate([function(*inputs)], inputs)
    whole = ng.arange(6).reshape(2, 3)
    whole @ whole.T
    # Small, thin either way, and packed ones: a block, several, more than one piece of the sum.
    for m, n, k in [
        (7, 5, 6),
        (3, 200, 9),
        (200, 2, 9),
        (30, 50, 20),
        (9, 70, 600),
        (300, 140, 33),
    ]:
        for batch in [(), (2,)]:
            a, b, start = tests.draw([(*batch, m, k), (*batch, k, n), (*batch, m, n)])
            for x in (a, np.swapaxes(np.swapaxes(a, -1, -2).copy(), -1, -2)):
                for y in (b, np.swapaxes(np.swapaxes(b, -1, -2).copy(), -1, -2)):
                    name = "baddbmm" if batch else "addmm"
                    run_case(case("matmul", x, y))
                    for beta, alpha in [(1, 1), (0, 1), (0.5, 2), (2, 0)]:
                        arrays = [ng.from_numpy(z) for z in (start, x, y)]
                        getattr(ng, name)(*arrays, beta=beta, alpha=alpha)
        run_case(case("linear", *tests.draw([(m, k), (n, k), (n,)])))


def run_long():
    """Reductions that are cut into chunks, and as many columns as rows."""
    names = "sum nansum prod amax amin all any count_nonzero max min argmax argmin var std"
    others = "logsumexp softmax log_softmax cumsum cumprod logcumsumexp cummax cummin"
    for shape, dim in [((2, 40000), 1), ((40000, 2), 0), ((2, 300, 260), 1), ((5, 3, 7), 1)]:
        x = noise(*shape).astype(np.float32)
        for name in (*names.split(), *others.split()):
            run_case(case(name, x, dim))
        for name in ("sum", "prod", "any", "cumsum", "cumprod"):
            run_case(case(name, x > 1, dim))
        for order in (1, 2, 3, math.inf, -math.inf):
            run_case(case("vector_norm", x, order, dim))


def run_losses():
    tests = module_at("ops", "test_loss")
    generator = np.random.default_rng(0)
    for reduction in ("none", "mean", "sum"):
        for name, arguments, kwargs in tests.LOSSES:
            run_case(case(name, *arguments, reduction=reduction, **kwargs))
        # All rows in one block, and in several.
        for rows, classes in [(6, 5), (3000, 7)]:
            x, weight = noise(rows, classes), generator.random(classes)
            labels = generator.integers(0, classes, rows)
            labels[::3] = -100
            images = noise(2, classes, rows // 2), labels[: rows // 2 * 2].reshape(2, -1)
            for logits, target in ((x, labels), images, (x, np.abs(x))):
                for smoothing in (0.0, 0.2):
                    for given in ({}, {"weight": weight}):
                        options = {"reduction": reduction, "label_smoothing": smoothing, **given}
                        run_case(case("cross_entropy", logits, target, **options))
            run_case(case("nll_loss", x, labels, reduction=reduction, weight=weight))
            run_case(case("nll_loss", *images, reduction=reduction))
        run_case(case("nll_loss", noise(9000, 2), np.arange(9000) % 2, reduction=reduction))


def run_layers():
    tests = module_at("nn", "test_layer_zoo")
    for row in tests.ROWS:
        for training in (True, False):
            tests.results(ng, row, training)
    for shape in [(150, 7), (70, 3, 5)]:
        x, weight, bias = noise(*shape), noise(shape[-1]), noise(shape[-1])
        run_case(case("layer_norm", x, shape[-1:], weight, bias))
        for training in (True, False):
            for inputs in ([x], [x, noise(shape[1]), noise(shape[1])]):
                given = [ng.from_numpy(a).requires_grad_() for a in inputs]
                running = ng.zeros(shape[1]).double(), ng.ones(shape[1]).double()
                result = F.batch_norm(given[0], *running, *given[1:], training=training)
                differentiate([result], given)


def run_optimizers():
    tests = module_at("optim", "test_optimizers")
    for name, options in tests.CASES:
        tests.train(ng, name, options, "float32", steps=3)


EXPRESSIONS = """
t.empty(700).exponential_(2)
t.empty(9, dtype=t.float64).exponential_()
t.bernoulli(t.full((700,), 0.3))
t.bernoulli(t.full((700,), 0.3, dtype=t.float64))
t.empty(700).bernoulli_(0.3)
t.empty(700, dtype=t.int64).random_()
t.randperm(700)
t.randn(703)
t.randn(703, dtype=t.float64)
t.rand(703, dtype=t.float64)
F.dropout(y, 0.4)
t.nonzero(t.arange(40000) % 3)
(t.arange(40000) % 3)[t.arange(40000) % 7 == 0]
t.bincount(t.arange(50) % 7, t.arange(50.))
t.unique(t.arange(50) % 7, return_inverse=True, return_counts=True)
t.topk(t.randn(9, 300), 5)
t.cat([t.randn(3, 50), t.randn(3, 7)], 1)
t.tril(t.randn(2, 30, 40))
t.triu(t.randn(2, 30, 40), 2)
F.embedding(t.arange(50) % 7, t.randn(9, 70, requires_grad=True), scale_grad_by_freq=True)
F.embedding(t.arange(50) % 7, t.randn(9, 70), max_norm=0.1)
""".strip().split("\n")


def run_everything():
    ng.manual_seed(0)
    run_tests_of_operations()
    run_elementwise()
    run_products()
    run_long()
    run_losses()
    run_layers()
    run_optimizers()
    for expression in EXPRESSIONS:
        run_expression(expression)


def run_what_no_operation_launches(launch):
    x, rows = np.arange(6.0).reshape(3, 2), np.array([2, 0])
    sizes = (3.0, 2.0, 2.0, 1.0, -1.0)  # n, m, inner, step, skip
    launch(indexing.multiply_rows, x.dtype, 1, (x[:2].copy(), rows, x, *sizes), 4)
    draw_by_counting(launch)
    sort_in_steps(launch)
    write_in_order(launch)
    for n in (1, 48, 331):
        mask, counts = np.arange(n).astype(np.uint8) % 3, np.zeros(1, np.int64)
        launch(sorting.count_true, np.dtype(np.uint8), 1, (mask, counts), n)


def write_in_order(launch):
    """The kernels that write at indices which were sorted, on a GPU."""
    whole = np.dtype(np.int64)
    index, targets = np.array([2, -1, 0, 2, 2, 1]), np.zeros(12, np.int64)
    launch(indexing.row_targets, whole, 12, (index, targets, 3.0, 6.0, 1.0, 6.0), 12)
    order = np.argsort(targets, kind="stable")
    for name in ("put", "add", "multiply", "largest", "smallest"):
        writer = getattr(indexing, f"{name}_sorted")
        for step in (0.0, 1.0):
            out, values = noise(6, 5), noise(12, 5)
            arguments = (values, targets[order], order, out, 5.0, step, 6.0)
            launch(writer, out.dtype, 12, arguments, values.size)
    index = index.reshape(1, 3, 2) % 3
    launch(indexing.along_targets, whole, 6, (index, targets[:6], 3.0, 3.0, 2.0), 6)


def sort_in_steps(launch):
    """The kernels that sort long rows on a GPU."""
    for x in (noise(2, 300), noise(1, 4100).astype(np.float32), np.arange(90).reshape(2, 45) % 7):
        x[0, 5] = x.max() + 1 if x.dtype.kind == "i" else np.nan
        shape, n = x.shape, x.shape[1]
        keys, positions, other_keys, other = (np.zeros(shape, np.int64) for _ in range(4))
        across = radix.tiles(n)
        counts = np.zeros((shape[0], radix.DIGITS * across), np.int64)
        arguments = (x, keys, positions, float(n), float(n % 2))
        launch(radix.sort_keys, x.dtype, x.size, arguments, x.size)
        for byte in range(2):
            shift, items = 8.0 * byte, shape[0] * across
            launch(radix.count_digits, keys.dtype, items, (keys, counts, shift), x.size)
            launch(radix.digit_starts, keys.dtype, shape[0], (counts,), counts.size)
            arguments = (keys, positions, counts, other_keys, other, shift)
            launch(radix.move_by_digit, keys.dtype, shape[0], arguments, x.size)
            keys, positions, other_keys, other = other_keys, other, keys, positions


#: What each distribution's kernel is launched with, and the dtypes of its numbers.
FLOATS, ANY = (np.float32, np.float64), (np.float32, np.float64, np.int64, np.uint8)
COUNTED = [
    (philox.philox_uniform, FLOATS, (-1.0, 3.0)),
    (philox.philox_normal, FLOATS, (1.0, 2.0)),
    (philox.philox_log_normal, FLOATS, (0.5, 0.25)),
    (philox.philox_bernoulli, ANY, (0.3, 2.0)),
    (philox.philox_exponential, FLOATS, (2.0, 0.0)),
    (philox.philox_cauchy, FLOATS, (1.0, 2.0)),
    (philox.philox_geometric, ANY, (math.log(0.7), 0.0)),
    (philox.philox_integers, ANY, (0.0, 100.0, 0.0, 7.0)),
    (philox.philox_wide_integers, (np.int64,), (7.0, 1.0, 2.0**32 - 1, 0.0)),
    (philox.philox_wide_integers, (np.int64,), (0.0, 0.0, 0.0, 0.0)),
]


def draw_by_counting(launch):
    """The kernels that draw for tensors on a GPU."""
    state = np.array([-3, (1 << 40) + 4, 0])
    for drawing, dtypes, options in COUNTED:
        for dtype in dtypes:
            for n in (1, 32, 259):
                launch(drawing, np.dtype(dtype), 1, (state, np.ones(n, dtype), *options), n)
    probabilities = np.linspace(0, 1, 259)
    for name, dtype in (("float32", np.float32), ("float64", np.float64)):
        drawing = getattr(philox, f"philox_bernoulli_{name}")
        arguments = (state, np.ones(259, bool), probabilities.astype(dtype))
        launch(drawing, np.dtype(bool), 1, arguments, 259)
        weights = probabilities.reshape(7, 37).astype(dtype)
        drawn = np.empty((7, 90), np.int64)
        arguments = (state, drawn, weights, np.empty_like(weights))
        launch(philox.philox_multinomial, weights.dtype, 1, arguments, 630)


def test_every_kernel_does_what_its_specs_say():
    with watching() as watch, warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        run_everything()
        run_what_no_operation_launches(watch.launch)
    assert watch.report() == []
    assert sorted(k.name for k in every_kernel() - watch.launched) == []


# ------------------------------------------------------------------- the watch itself


@kernel
def honest(begin, end, x: flat, total: updates(flat), out: writes(flat)):
    """out = x, total[0] += 1."""
    for i in range(begin, end):
        out[i] = x[i]
    total[0] += 1


@kernel
def reads_its_output(begin, end, x: flat, total: updates(flat), out: writes(flat)):
    """out = x or what it was, whichever is larger."""
    for i in range(begin, end):
        out[i] = max(x[i], out[i])


@kernel
def leaves_an_element(begin, end, x: flat, total: updates(flat), out: writes(flat)):
    """out[i] = x[i] but for the first."""
    for i in range(max(begin, 1), end):
        out[i] = x[i]


@kernel
def writes_its_input(begin, end, x: flat, total: updates(flat), out: writes(flat)):
    """out = x, x = 0."""
    for i in range(begin, end):
        out[i] = x[i]
        x[i] = 0


@pytest.mark.parametrize(
    ("function", "found"),
    [
        (honest, []),
        (reads_its_output, ["out depends on, or keeps, what it held before"]),
        (leaves_an_element, ["out depends on, or keeps, what it held before"]),
        (writes_its_input, ["x is written, its spec says that it is only read"]),
    ],
    ids=lambda value: getattr(value, "name", ""),
)
@pytest.mark.parametrize("dtype", [np.float32, np.int64])
def test_the_watch_notices(function, found, dtype):
    x, total, out = np.arange(1, 4, dtype=dtype), np.zeros(1, dtype), np.ones(3, dtype)
    with watching() as watch:
        watch.launch(function, np.dtype(dtype), 3, (x, total, out), 3)
    names = "x" if found and found[0].startswith("x ") else "out"
    shown = f"(first at {np.dtype(dtype)} 3)"
    expected = [f"{function.name}: {what} {shown}" for what in found]
    assert [f for f in watch.report() if f.split(": ")[1].startswith(names)] == expected
    if not found:
        assert total[0] == 1
        assert out.tolist() == [1, 2, 3]
