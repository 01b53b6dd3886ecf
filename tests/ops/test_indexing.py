"""x[...] and x[...] = value beside PyTorch: views, copies, gradients, errors, random indices."""

import pathlib
import sys

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import numgrad as ng

sys.path.insert(0, str(pathlib.Path(__file__).parent))
from expressions import check_error, check_gradients, check_like_torch, evaluate, leaves

BASIC = """
y[0]
y[-1]
y[1, 2]
y[1, -1, 3]
y[:]
y[1:]
y[::2]
y[:, 1:3, ::3]
y[5:2]
y[None]
y[:, None, 0]
y[...]
y[..., 1]
y[0, ..., None, 1:]
y[()]
y[..., ...]
s[...]
s[None]
s[()]
y[np.int64(1)]
y[L(1)]
y[L(1):, L(0)]
y[L(1, dtype=t.int8)]
x[0][1:]
x.T[1]
""".split("\n")[1:-1]

ADVANCED = """
y[L([0, 1, 1])]
y[L([[0, 1], [1, -1]])]
y[:, L([2, 0])]
y[:, :, L([0, 3, 3])]
y[L([0, 1]), L([2, 0])]
y[L([0, 1]), :, L([2, 0])]
y[L([0, 1]), 1, L([2, 0])]
y[0, :, L([2, 0])]
y[L([[0], [1]]), L([2, 0, 1])]
y[:, L([0, 2]), L([1, 3])]
y[..., L([0, -1])]
y[None, L([1])]
y[:, None, L([1, 2])]
y[L([1]), None]
y[L([0, 1]), ..., L([1, 2])]
y[1:, L([0, 2]), ::2]
y[[0, 1]]
y[[1, 0], 1]
y[0, [2, 1]]
y[(0, [2, 1])]
y[range(2)]
y[np.array([1, 0])]
y[[]]
y[:, []]
y[L([], dtype=t.int64)]
y[L([1, 0], dtype=t.int32)]
y[[L(1), L(0)]]
y[[[0, 1], [1, 0]]]
v[L([0, 0, 4, 0])]
v[L([[0, 0], [4, 0]])]
x.T[L([2, 0, 2])]
y[:, ::2][L([0, 1]), :, L([3, 1])]
y[True]
y[False]
y[L(True)]
s[True]
s[L(False)]
y[None, True, 0]
y[True, L([1, 0])]
x[x > 0.5]
y[y > 2]
y[L([True, False])]
y[:, L([True, False, True])]
y[L([[True, False, True], [False, True, True]])]
y[L([[True, False, True], [False, True, True]]), 1]
y[L([[True, False, True], [False, True, True]]), 1:3]
y[L([True, False]), :, 1]
y[L([True, True]), L([2, 0])]
y[L([True, True]), :, L([2, 0])]
y[:, L([True, False, True]), L([1, 3])]
y[np.array([True, False])]
y[[True, False]]
y[L([1, 0], dtype=t.uint8)]
y[t.zeros(2, 3, 4, dtype=t.bool)]
t.zeros(0, 3)[:, L([0, 2])]
t.zeros(0, 3)[t.zeros(0, dtype=t.bool)]
t.zeros(0, 3)[L([], dtype=t.int64)]
""".split("\n")[1:-1]

WRITTEN = """
put(x.clone(), 0, 7.)
put(x.clone(), S[1, 1:], 7)
put(x.clone(), S[:, 1], v[:2])
put(x.clone(), S[...], s)
put(x.clone(), S[()], 3)
put(x.clone(), S[:], v[:3])
put(x.clone(), S[:1], x[1:])
put(x.clone(), S[0], x[None, None, 1])
put(x.clone(), S[0], True)
put(x.clone(), S[0, 0], v[:1])
put(x.clone(), S[:, 0], L([1, 2]))
put(x.clone(), L([1]), v[:3])
put(x.clone(), S[L([1, 0]), L([2, 0])], v[:2])
put(y.clone(), S[L([1, 0]), :, L([2, 0])], x)
put(y.clone(), S[:, L([2, 0])], v[:4])
put(y.clone(), S[:, L([2, 0])], 5)
put(y.clone(), S[0, L([2, 0]), 1:], v[:3])
put(y.clone(), S[..., L([3, 0])], s)
put(y.clone(), S[L([1]), L([1])], v[None, None, :4])
put(x.clone(), x.detach() > 1, 0.)
put(x.clone(), x.detach() > 1, s)
put(x.clone(), x.detach() > 1, v[:2])
put(x.clone(), x.detach() > 10, v[:0])
put(y.clone(), L([True, False]), -1)
put(y.clone(), S[:, L([True, False, True])], v[:4])
put(y.clone(), S[:, L([True, False, True])], 7)
put(y.clone(), S[L([True, False]), :, 1], v[:3])
put(x.clone(), True, 3)
put(x.clone(), False, 3)
put(x.clone(), np.array([1]), 3)
put(x.clone(), [0, 1], 3)
put(x.clone().t(), L([2, 0]), v[:2])
put((2 * y)[:, 1:], S[1, L([0, 1])], v[:4])
put((2 * y)[:, 1:], S[1, 0], v[:4])
put(t.zeros(2, 3, dtype=t.float64), S[0, 1:], v[:2])
put(t.zeros(2, 3, dtype=t.float64), L([1]), v[:3])
put(t.zeros(3, dtype=t.float64), S[:2], v[:2], lambda z: z * z)
t.index_put(x, (L([1, 0]), L([2, 2])), v[:2])
t.index_put(x, (L([1, 1]), L([2, 2])), v[:2], True)
t.index_put(x, (L([1, 1]),), v[:3], accumulate=True)
t.index_put(x, (x.detach() > 1,), v[:1], True)
x.clone().index_put_((L([0, 0]),), x, accumulate=True)
""".split("\n")[1:-1]


@pytest.mark.parametrize("expression", BASIC + ADVANCED + WRITTEN)
def test_like_torch(torch, expression):
    check_like_torch(torch, expression)


@pytest.mark.parametrize(
    "expression",
    [
        "y[1, :, ::2]",
        "y[:, None, 0]",
        "y[L([0, 1, 1]), 1:]",
        "y[L([0, 1]), :, L([2, 0])]",
        "y[:, L([0, 0])]",
        "y[L([[True, False, True], [False, True, True]])]",
        "y[:, L([True, False, True])]",
        "put(x * x, S[0, 1:], v[:2] * v[:2])",
        "put(x * x, L([1]), v[:3] * v[:3])",
        "put(y * y, S[L([1, 0]), :, L([2, 0])], x * x)",
        "put(x * x, L([[True, False, True], [False, True, True]]), s * s)",
        "t.index_put(x * x, (L([1, 1]),), v[:3] * v[:3], accumulate=True)",
        "put((y * y)[:, 1:], S[1, L([0, 1])], v[:4])",
    ],
)
def test_gradients(expression):
    check_gradients(expression)


@pytest.mark.parametrize(
    "expression",
    """
x[5]
x[-3]
x[0, 5]
x[0, 0, 0]
x[..., 0, 0, 0]
x[L([0]), L([0]), L([0])]
s[0]
s[:]
s[L([0])]
x[::-1]
x[:, ::0]
x['a':]
x[1.0:]
x[0.5]
x['a']
x[np.bool_(True)]
x[L([0., 1.])]
x[L(1.)]
x[L([1, 0], dtype=t.int8)]
x[L([2])]
x[L([-3])]
t.zeros(0, 3)[L([0])]
x[L([0, 1]), L([0, 1, 2])]
x[L([True, False, True])]
x[:, L([True, False])]
x[L([[True, False], [True, True]])]
t.zeros(2, 2)[L([True, False, True])]
x[t.zeros(2, 3, 4, dtype=t.bool)]
put(x.clone(), 5, 1)
put(x.clone(), L([5]), 1)
put(x.clone(), S[0], 'a')
put(x.clone(), S[0], [1, 2, 3])
put(x.clone(), S[0], v[:2])
put(x.clone(), L([0, 1]), v[:2])
put(x.clone(), x > 1, v[:3])
put(x.clone(), L([0]), L([1, 2, 3]))
put(x, 0, 1)
put(x, L([0]), 1)
put(t.zeros(1).expand(3), S[:], 1)
""".split("\n")[1:-1],
)
def test_errors(torch, expression):
    check_error(torch, expression)


def test_out_of_bounds_names_the_dimension():
    """PyTorch counts the indexed dimensions alone here, which names the wrong one."""
    with pytest.raises(IndexError, match="index 7 is out of bounds for dimension 2 with size 4"):
        ng.zeros(2, 3, 4)[0, :, ng.tensor([1, 7])]


def test_arrays_can_be_written():
    """PyTorch wants a tensor here."""
    x = ng.zeros(2, 2)
    x[0], x[:, 1] = np.array([1.0, 2.0]), np.array([5, 6])
    assert x.tolist() == [[1, 5], [0, 6]]


def test_none_in_index_put_stands_for_a_whole_dimension():
    x = ng.zeros(2, 3).index_put((None, ng.tensor([0, 0])), ng.ones(2), accumulate=True)
    assert x.tolist() == [[2, 0, 0], [2, 0, 0]]


def test_a_failed_write_leaves_the_tensor_alone():
    x = ng.zeros(3)
    with pytest.raises(IndexError):
        x[ng.tensor([0, 3])] = 1
    assert x.tolist() == [0, 0, 0] and x._version == 0


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    "expression", [e for e in BASIC + ADVANCED if "zeros" not in e and e not in ("y[()]", "s[()]")]
)
def test_views_share_memory_and_copies_do_not(torch, expression):
    shared = []
    for lib in (ng, torch):
        names = {k: v.detach().clone() for k, v in leaves(lib).items()}
        part = evaluate(lib, expression, names)
        before = [v.clone() for v in names.values()]
        part.fill_(99)
        shared.append([bool((v != b).any()) for v, b in zip(names.values(), before, strict=True)])
    assert shared[0] == shared[1]


@pytest.mark.parametrize(
    "expression",
    ["x[0]", "x[1:]", "x[:]", "x[None]", "x[0, 1:]", "x[:, 0]", "x[L([0])]", "x[x > 1]"],
)
def test_names_of_nodes(torch, expression):
    ours, theirs = (evaluate(lib, expression, leaves(lib)).grad_fn for lib in (ng, torch))
    assert ours.name() == theirs.name()


def test_writing_through_a_view_gives_its_base_the_gradient():
    x = ng.ones(2, 3, requires_grad=True)
    z = x * 2
    row = z[1]
    row[ng.tensor([0, 2])] = 5.0
    (z * z).sum().backward()
    assert x.grad.tolist() == [[8, 8, 8], [0, 8, 0]]


def test_an_index_that_changes_before_the_backward_is_noticed():
    x, index = ng.ones(3, requires_grad=True), ng.tensor([0, 1])
    y = x[index]
    index[0] = 2
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        y.sum().backward()


@pytest.mark.parametrize("dtype", [ng.float32, ng.int32, ng.uint8, ng.int16, ng.bool])
def test_every_size_of_element_moves(dtype):
    values = np.arange(12).reshape(4, 3) % 2 if dtype is ng.bool else np.arange(12).reshape(4, 3)
    x = ng.tensor(values, dtype=dtype)
    assert x[ng.tensor([3, 0])].tolist() == x.numpy()[[3, 0]].tolist()
    x[ng.tensor([1, 2]), ng.tensor([0, 2])] = 1
    expected = values.astype(x.numpy().dtype)
    expected[[1, 2], [0, 2]] = 1
    assert x.tolist() == expected.tolist()


def test_repeated_indices_add_up_in_order_whatever_the_threads():
    generator = np.random.default_rng(0)
    index = ng.tensor(generator.integers(0, 50, 4000))
    values = ng.tensor(generator.standard_normal((4000, 70)).astype(np.float32))
    sums = []
    threads = ng.get_num_threads()
    for count in (1, 2):
        ng.set_num_threads(count)
        out = ng.zeros(50, 70)
        out.index_put_((index,), values, accumulate=True)
        sums.append(out.numpy())
    ng.set_num_threads(threads)
    expected = np.zeros((50, 70), np.float32)
    np.add.at(expected, index.numpy(), values.numpy())
    assert (sums[0] == expected).all() and (sums[1] == expected).all()


# Any mixture of indices, read and written


@st.composite
def shapes_and_indices(draw):
    """A shape and an index of it, most of them valid, as a list of plain descriptions."""
    shape = draw(st.lists(st.integers(0, 4), min_size=0, max_size=4))
    parts, axis, dots = [], 0, False
    common = draw(st.lists(st.integers(1, 3), max_size=2))
    while len(parts) < 6:
        rest = shape[axis:]
        kinds = ["none", "bool", "end"] + ["dots"] * (not dots)
        if rest:
            kinds += ["slice", "slice", "mask"] + ["int", "tensor", "tensor"] * (rest[0] > 0)
            kinds += ["masks"] * (len(rest) > 1)
        kind = draw(st.sampled_from(kinds))
        if kind == "end":
            break
        if kind == "none":
            parts.append(("none",))
        elif kind == "bool":
            parts.append(("bool", draw(st.booleans())))
        elif kind == "dots":
            dots = True
            parts.append(("dots",))
            axis += draw(st.integers(0, len(rest)))
        elif kind == "int":
            parts.append(("int", draw(st.integers(-rest[0], rest[0] - 1))))
        elif kind == "slice":
            bound = st.one_of(st.none(), st.integers(-5, 5))
            step = draw(st.one_of(st.none(), st.integers(1, 3)))
            parts.append(("slice", draw(bound), draw(bound), step))
        elif kind == "tensor":
            kept = draw(st.integers(0, len(common)))
            own = [n if draw(st.booleans()) else 1 for n in common[kept:]]
            size = int(np.prod(own, dtype=int))
            values = st.integers(-rest[0], rest[0] - 1)
            listed = draw(st.lists(values, min_size=size, max_size=size))
            parts.append(("tensor", np.reshape(np.array(listed, np.int64), own)))
        else:
            width = 2 if kind == "masks" else 1
            size = int(np.prod(rest[:width], dtype=int))
            bits = draw(st.lists(st.booleans(), min_size=size, max_size=size))
            parts.append(("tensor", np.reshape(np.array(bits, bool), rest[:width])))
            axis += width - 1
        if kind not in ("none", "bool", "dots"):
            axis += 1
    return shape, parts


def as_index(lib, parts):
    made = {
        "none": lambda: None,
        "bool": lambda value: value,
        "dots": lambda: Ellipsis,
        "int": lambda value: value,
        "slice": slice,
        "tensor": lambda values: lib.tensor(values),
    }
    return tuple([made[kind](*rest) for kind, *rest in parts])


@settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
@given(shapes_and_indices(), st.booleans())
def test_any_index(torch, described, as_row):
    shape, parts = described
    outcomes = []
    for lib in (ng, torch):
        x = lib.tensor(np.arange(np.prod(shape, dtype=int)).reshape(shape), dtype=lib.float64)
        x.requires_grad_(True)
        index = as_index(lib, parts)
        try:
            part = x[index]
        except Exception as error:
            outcomes.append(type(error).__name__)
            continue
        weights = lib.tensor(np.arange(1.0, 1 + part.numel()).reshape(tuple(part.shape)))
        (grad,) = lib.autograd.grad((part * weights).sum(), x)
        written, value = x * 1, lib.tensor(-1.0, dtype=lib.float64)
        if as_row and part.dim():
            value = lib.tensor(np.arange(float(part.shape[-1])))
        try:
            written[index] = value
            final = written.detach().tolist()
        except Exception as error:
            final = type(error).__name__
        outcomes.append((part.detach().tolist(), tuple(part.shape), grad.tolist(), final))
    # With repeated places only the last write is ours to promise; PyTorch promises none.
    assert outcomes[0] == outcomes[1] or same_but_for_repeats(outcomes, parts)


def same_but_for_repeats(outcomes, parts):
    repeated = any(k == "tensor" and rest[0].dtype != bool and rest[0].size > 1
                   for k, *rest in parts)  # fmt: skip
    return repeated and len(outcomes[0]) == 4 and outcomes[0][:3] == outcomes[1][:3]
