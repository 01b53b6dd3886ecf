"""Random programs: compiled, and as the Python that `source` shows, they do what eager mode does."""

import pathlib
import sys

import numpy as np
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

import numgrad as ng
from numgrad.compile import emit
from numgrad.compile.passes import optimize
from numgrad.kernels import elementwise as table
from numgrad.kernels._elementwise import Fused, FusedReduction

sys.path.insert(0, str(pathlib.Path(__file__).parent))
from comparing import EAGER, assert_same, tensors

MOST = 2000  # elements of a tensor


def fit(x, y):
    """`y`, or its sum where it does not broadcast to the shape of `x`."""
    try:
        shape = np.broadcast_shapes(x.shape, y.shape)
    except ValueError:
        shape = None
    return y if shape == tuple(x.shape) else y.sum()


def writable(x):
    return 0 not in x.stride() or x.numel() == 0


def write(function):
    """An in-place operation, on what may be written to."""

    def step(x, y, n):
        if writable(x) and not (x.requires_grad and x.is_leaf):
            function(x, y if n % 3 == 0 else y.detach(), n)

    return step


def assign(x, y, n):
    if x.dim() and x.shape[0]:
        x[n % x.shape[0]] = y.sum()


def expanded(x, y, n):
    return x[:1].expand(n % 3 + 1, *x.shape[1:]) if x.dim() and x.shape[0] else x


def product(x, y, n):
    x = x.reshape(-1, x.shape[-1]) if x.dim() else x.reshape(1, 1)
    return x @ x.t() if x.shape[0] < 30 else x


STEPS = {
    "add": lambda x, y, n: x + fit(x, y),
    "mul": lambda x, y, n: x * fit(x, y),
    "sub": lambda x, y, n: fit(x, y) - x,
    "scale": lambda x, y, n: x * (n / 4),
    "maximum": lambda x, y, n: ng.maximum(x, fit(x, y)),
    "tanh": lambda x, y, n: x.tanh(),
    "sigmoid": lambda x, y, n: x.sigmoid(),
    "sin": lambda x, y, n: x.sin(),
    "abs": lambda x, y, n: -x.abs(),
    "where": lambda x, y, n: ng.where(x > 0, x, fit(x, y)),
    "double": lambda x, y, n: (x.double() * 1.5).float(),
    "product": product,
    "sum": lambda x, y, n: x.sum(n % x.dim(), keepdim=n > 4) if x.dim() else x,
    "mean": lambda x, y, n: x.mean(-1) if x.dim() and x.numel() else x,
    "largest": lambda x, y, n: x.amax(-1, keepdim=True) if x.dim() and x.numel() else x,
    "softmax": lambda x, y, n: x.softmax(-1) if x.dim() else x,
    "transpose": lambda x, y, n: x.transpose(n % x.dim(), -1) if x.dim() else x,
    "slice": lambda x, y, n: x[n % 3 :] if x.dim() else x,
    "every other": lambda x, y, n: x[..., n % 2 :: 2] if x.dim() else x,
    "pick": lambda x, y, n: x[n % x.shape[0]] if x.dim() and x.shape[0] else x,
    "flat": lambda x, y, n: x.reshape(-1),
    "unsqueeze": lambda x, y, n: x.unsqueeze(n % (x.dim() + 1)) if x.dim() < 4 else x,
    "expand": expanded,
    "cat": lambda x, y, n: ng.cat([x, x]) if x.dim() else x,
    "clone": lambda x, y, n: x.clone(),
    "detach": lambda x, y, n: x.detach(),
    "add_": write(lambda x, y, n: x.add_(fit(x, y))),
    "mul_": write(lambda x, y, n: x.mul_(n / 4)),
    "tanh_": write(lambda x, y, n: x.tanh_()),
    "copy_": write(lambda x, y, n: x.copy_(fit(x, y))),
    "fill": write(lambda x, y, n: x.fill_(n)),
    "assign": write(assign),
}
NAMES = sorted(STEPS)

steps = st.lists(
    st.tuples(st.sampled_from(NAMES), st.integers(0, 99), st.integers(0, 99), st.integers(0, 7)),
    min_size=5,
    max_size=50,
)
shapes = st.sampled_from([(4, 6), (3, 1, 2), (2, 520), (5,), (0, 3)])


def program(listed, kept):
    """The steps as a function: each takes two of the tensors so far; some of all are returned."""

    def function(a, b, leaf):
        known = [a, b, leaf * 1]
        for name, i, j, n in listed:
            x = known[-1 - i % min(len(known), 6)]
            made = STEPS[name](x, known[j % len(known)], n)
            if made is not None and made.numel() <= MOST:
                known.append(made)
        results = [known[k % len(known)] for k in kept]
        loss = sum(r.sum() for r in results if r.requires_grad)
        results = [r.detach().clone() for r in results]
        if isinstance(loss, int):
            return results, None
        return results, ng.autograd.grad(loss, leaf)[0]

    return function


def arguments(shape, seed):
    ng.manual_seed(seed)
    b = ng.randn(*shape[::-1]).permute(*reversed(range(len(shape))))
    return [ng.randn(*shape), b, ng.randn(*shape[-1:]).requires_grad_()]


def attempt(function, given):
    try:
        return function(*given)
    except (RuntimeError, IndexError, ValueError) as error:
        return repr(error)


def one_by_one(kernel, known):
    """What a fused kernel does, one of the `known` kernels after another: nothing to compile."""

    def run(*arrays):
        count = len(kernel.inputs)
        reduces = isinstance(kernel, FusedReduction)
        shape = arrays[len(kernel.dtypes)].shape if reduces else arrays[count].shape
        values = []
        for step in kernel.steps:
            given = [arrays[k] if k >= 0 else values[-1 - k] for k in step.operands]
            out = np.empty(shape, step.dtype)
            if step.function is table.identity:
                out[...] = given[0]
            else:
                known[id(step.function)](*given, out)
            values.append(out)
        for place, step in enumerate(kernel.results, count):
            assert arrays[place].flags.c_contiguous
            arrays[place][...] = values[step]
        if reduces:
            kernel.reduction(values[-1], arrays[len(kernel.dtypes) - 1], *arrays[-3:])

    return run


def as_python(graph, arrays, recorded):
    known = {
        id(c.kernel.function): c.kernel for c in recorded.calls if hasattr(c.kernel, "function")
    }
    scope = emit.namespace(graph)
    scope = {k: one_by_one(v, known) if isinstance(v, Fused) else v for k, v in scope.items()}
    exec(emit.source(graph), scope)
    return scope["program"](*arrays)


@settings(
    max_examples=100,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    phases=[Phase.generate],
)
@given(steps, st.lists(st.integers(0, 99), min_size=1, max_size=4), shapes)
def test_random_programs(listed, kept, shape):
    function = program(listed, kept)
    compiled = ng.compile(function)
    for k in range(3):
        expected_given, found_given = arguments(shape, k), arguments(shape, k)
        expected = attempt(function, expected_given)
        assert_same(attempt(compiled, found_given), expected, what=f"result {k}")
        assert_same(found_given, expected_given, what=f"argument {k}")
    if isinstance(expected, str):
        return
    if compiled.reason is not None:
        # An argument that has been written to may require gradients afterwards.
        allowed = (*EAGER, "sets the gradient of an argument")
        assert any(text in compiled.reason for text in allowed), compiled.reason
        return
    assert compiled.programs == 1
    recorded = compiled.recorded_graph
    for passes in ((), ("remove_dead", "share", "fuse"), None):
        chosen = {"fuse_from": 1} if passes is None else {"fuse_from": 1, "passes": passes}
        graph = optimize(recorded, chosen)
        given = arguments(shape, 2)
        results = as_python(graph, [t.detach().numpy() for t in given], recorded)
        wanted = [t.detach().numpy() for t in tensors(list(expected))]
        for array, value in zip(results, wanted, strict=True):
            largest = np.abs(value[np.isfinite(value)]).max(initial=1.0)
            np.testing.assert_allclose(array, value, 1e-6, 1e-6 * largest)
        for own, other in zip(given, expected_given, strict=True):
            np.testing.assert_allclose(own.detach().numpy(), other.detach().numpy(), 1e-6)
