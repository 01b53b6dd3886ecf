"""Products of tensors: values, gradients of both orders, layouts and errors, beside PyTorch."""

import importlib
import warnings

import numpy as np
import pytest

import numgrad as ng
from numgrad.autograd import gradcheck, gradgradcheck

# The modules, where `numgrad.ops` has the functions of the same names.
addmm, einsum, linear, matmul = [
    importlib.import_module(f"numgrad.ops.{name}")
    for name in ("addmm", "einsum", "linear", "matmul")
]
FUNCTIONS = {
    name: getattr(module, name)
    for module, names in {
        matmul: "matmul mm bmm mv dot vdot outer ger",
        addmm: "addmm addmv addr baddbmm addbmm",
        einsum: "einsum tensordot inner kron multi_dot",
        linear: "linear",
    }.items()
    for name in names.split()
}


def peer(torch, name):
    if name == "linear":
        return torch.nn.functional.linear
    return getattr(torch.linalg if name == "multi_dot" else torch, name)


def case(name, *shapes, before=(), listed=False, **kwargs):
    """Call `name(*before, *tensors of these shapes, **kwargs)`."""
    label = "-".join([name, *map(str, before), *("x".join(map(str, s)) or "0d" for s in shapes)])
    label = "-".join([label, *(f"{k}={v}" for k, v in kwargs.items())])
    return pytest.param(name, before, shapes, listed, kwargs, id=label.replace(" ", ""))


CASES = [
    case("matmul", (3,), (3,)),
    case("matmul", (2, 3), (3,)),
    case("matmul", (3,), (3, 2)),
    case("matmul", (2, 3), (3, 4)),
    case("matmul", (2, 5, 3), (3, 4)),
    case("matmul", (2, 5, 3), (3,)),
    case("matmul", (3,), (2, 3, 4)),
    case("matmul", (5, 3), (2, 3, 4)),
    case("matmul", (2, 5, 3), (2, 3, 4)),
    case("matmul", (2, 1, 5, 3), (4, 3, 2)),
    case("matmul", (1, 5, 3), (2, 3, 4)),
    case("matmul", (2, 0, 3), (2, 3, 4)),
    case("matmul", (2, 3, 0), (2, 0, 4)),
    case("mm", (2, 3), (3, 4)),
    case("mm", (0, 3), (3, 4)),
    case("mm", (2, 0), (0, 4)),
    case("bmm", (2, 5, 3), (2, 3, 4)),
    case("bmm", (0, 5, 3), (0, 3, 4)),
    case("mv", (2, 3), (3,)),
    case("mv", (2, 0), (0,)),
    case("dot", (3,), (3,)),
    case("dot", (0,), (0,)),
    case("vdot", (3,), (3,)),
    case("outer", (2,), (3,)),
    case("addmm", (4,), (2, 3), (3, 4)),
    case("addmm", (2, 4), (2, 3), (3, 4), beta=0.5, alpha=-2),
    case("addmm", (2, 1), (2, 3), (3, 4), beta=2),
    case("addmm", (), (2, 3), (3, 4), beta=0),
    case("addmv", (2,), (2, 3), (3,), beta=3, alpha=2),
    case("addmv", (1,), (2, 3), (3,)),
    case("addr", (2, 3), (2,), (3,), beta=3, alpha=2),
    case("baddbmm", (2, 5, 4), (2, 5, 3), (2, 3, 4), beta=0.5, alpha=2),
    case("baddbmm", (4,), (2, 5, 3), (2, 3, 4)),
    case("addbmm", (5, 4), (2, 5, 3), (2, 3, 4), beta=0.5, alpha=2),
    case("linear", (2, 3), (4, 3)),
    case("linear", (2, 3), (4, 3), (4,)),
    case("linear", (3,), (4, 3)),
    case("linear", (3,), (4, 3), (4,)),
    case("linear", (2, 5, 3), (4, 3)),
    case("linear", (2, 5, 3), (4, 3), (4,)),
    case("linear", (2, 5, 3), (4, 3), (1,)),
    case("linear", (2, 3), (4, 3), (2, 4)),
    case("linear", (2, 3), (3,)),
    case("linear", (0, 3), (4, 3), (4,)),
    case("linear", (2, 0), (4, 0), (4,)),
    case("einsum", (2, 3), (3, 4), before=("ij,jk->ik",)),
    case("einsum", (2, 3), (3, 4), before=("ij,jk",)),
    case("einsum", (2, 3), (3, 4), before=("ij,jk->ki",)),
    case("einsum", (2, 3), before=("bA",)),
    case("einsum", (2, 3), before=("ij->",)),
    case("einsum", (3, 3), before=("ii",)),
    case("einsum", (3, 3), before=("ii->i",)),
    case("einsum", (2, 3, 2, 3), before=("ijij->ij",)),
    case("einsum", (2,), (3,), before=("i,j",)),
    case("einsum", (2,), (3,), before=("i,j->",)),
    case("einsum", (2, 3), (2, 3), before=("ij,ij->i",)),
    case("einsum", (2, 3), (2, 3), before=("ij,ij->ij",)),
    case("einsum", (2, 3, 4, 5), (2, 3, 6, 5), before=("bhid,bhjd->bhij",)),
    case("einsum", (2, 3, 4), (2, 4, 5), (5,), before=("ijk,ikl,l->ij",)),
    case("einsum", (4, 1, 2, 3), (5, 3, 2), before=("...ij,...jk",)),
    case("einsum", (4, 2, 3), (3, 2), before=("...ij,jk->ik",)),
    case("einsum", (2, 3, 4, 5), (3, 6), before=("ij...,jk->ik...",)),
    case("einsum", (2, 1), (3, 2), before=("ij,jk->ik",)),
    case("einsum", (), (2, 3), before=(",ij",)),
    case("einsum", (0, 3), (3, 2), before=(" i j , j k -> i k ",)),
    case("tensordot", (2, 3, 4), (3, 4, 5)),
    case("tensordot", (2,), (3,), dims=0),
    case("tensordot", (2, 3), (3, 2), dims=([0, 1], [1, 0])),
    case("tensordot", (2, 1), (3, 2), dims=([1], [0])),
    case("inner", (2, 3), (4, 3)),
    case("inner", (), (4, 2)),
    case("kron", (2, 2), (2, 3)),
    case("kron", (2,), (2, 3)),
    case("multi_dot", (2, 3), (3, 4), (4, 2), listed=True),
    case("multi_dot", (3,), (3, 4), (4,), listed=True),
]
products = pytest.mark.parametrize(("name", "before", "shapes", "listed", "kwargs"), CASES)


def draw(shapes, dtype=np.float32):
    rng = np.random.default_rng(0)
    if np.dtype(dtype).kind != "f":
        return [rng.integers(-5, 5, shape).astype(dtype) for shape in shapes]
    return [rng.standard_normal(shape).astype(dtype) for shape in shapes]


def caller(function, before, listed, kwargs):
    if listed:
        return lambda *tensors: function(list(tensors), **kwargs)
    return lambda *tensors: function(*before, *tensors, **kwargs)


def both(torch, name, before, listed, kwargs):
    ours, theirs = FUNCTIONS[name], peer(torch, name)
    return caller(ours, before, listed, kwargs), caller(theirs, before, listed, kwargs)


def assert_same(found, expected):
    assert found.shape == tuple(expected.shape)
    np.testing.assert_allclose(found.detach().numpy(), expected.detach().numpy(), 2e-5, 2e-6)


@products
def test_values_and_gradients_beside_torch(torch, name, before, shapes, listed, kwargs):
    ours, theirs = both(torch, name, before, listed, kwargs)
    arrays = draw(shapes)
    own = [ng.from_numpy(a.copy()).requires_grad_() for a in arrays]
    others = [torch.from_numpy(a).requires_grad_() for a in arrays]
    result, expected = ours(*own), theirs(*others)
    assert_same(result, expected)
    weights = draw([result.shape])[0]
    (result * ng.from_numpy(weights)).sum().backward()
    (expected * torch.from_numpy(weights)).sum().backward()
    for tensor, other in zip(own, others, strict=True):
        if other.grad is None:
            assert tensor.grad is None
        else:
            assert_same(tensor.grad, other.grad)


@products
def test_gradients_of_both_orders_by_numbers(name, before, shapes, listed, kwargs):
    if max(map(len, shapes)) > 3 or 0 in sum(shapes, ()):
        return  # the values beside PyTorch cover these
    function = caller(FUNCTIONS[name], before, listed, kwargs)
    tensors = [ng.from_numpy(a).requires_grad_() for a in draw(shapes, np.float64)]
    assert gradcheck(function, tensors)
    assert gradgradcheck(function, tensors)


@pytest.mark.parametrize("name", ["matmul", "mm", "bmm", "mv", "dot", "addmm", "linear"])
def test_strided_and_transposed_operands(torch, name):
    shapes = {
        "matmul": [(2, 6, 8), (2, 8, 4)],
        "bmm": [(2, 6, 8), (2, 8, 4)],
        "mv": [(6, 8), (8,)],
        "dot": [(8,), (8,)],
        "addmm": [(4,), (6, 8), (8, 4)],
        "linear": [(6, 8), (4, 8), (4,)],
    }.get(name, [(6, 8), (8, 4)])
    layouts = [
        lambda a: np.ascontiguousarray(a.swapaxes(-1, -2)).swapaxes(-1, -2) if a.ndim > 1 else a,
        lambda a: np.repeat(a, 2, -1)[..., ::2],
        lambda a: np.repeat(a, 3, 0)[::3],
        lambda a: np.broadcast_to(a[:1], a.shape),
    ]
    arrays = draw(shapes)
    for layout in layouts:
        for position in range(len(arrays)):
            shown = [layout(a) if k == position else a for k, a in enumerate(arrays)]
            own = [ng.from_numpy(a.copy()).requires_grad_() for a in arrays]
            views = [ng.as_tensor(0)] * len(arrays)
            for k, tensor in enumerate(own):
                views[k] = tensor
            views[position] = _lay(own[position], layout)
            expected = peer(torch, name)(*[torch.from_numpy(np.array(a)) for a in shown])
            result = FUNCTIONS[name](*views)
            assert_same(result, expected)
            result.sum().backward()  # an expanded gradient
            assert own[position].grad.shape == arrays[position].shape


def _lay(tensor, layout):
    """The tensor's elements, shown by the layout's strides."""
    data = layout(tensor.detach().numpy())
    viewed = tensor.clone()
    viewed._data = data
    return viewed


@pytest.mark.parametrize("dtype", [np.int64, np.int32, np.uint8], ids=lambda d: d.__name__)
def test_integers(torch, dtype):
    a, b, c = draw([(5, 7), (7, 3), (3,)], dtype)
    tensors, others = map(ng.from_numpy, (a, b)), map(torch.from_numpy, (a, b))
    assert FUNCTIONS["mm"](*tensors).tolist() == torch.mm(*others).tolist()
    ours = FUNCTIONS["addmm"](*map(ng.from_numpy, (c, a, b)), beta=2, alpha=2.5)
    assert (
        ours.tolist() == torch.addmm(*map(torch.from_numpy, (c, a, b)), beta=2, alpha=2.5).tolist()
    )


def test_beta_and_alpha_zero_do_not_read():
    nan, ones = ng.full((2, 2), float("nan")), ng.ones(2, 2)
    assert FUNCTIONS["addmm"](nan, ones, ones, beta=0).tolist() == [[2, 2], [2, 2]]
    assert FUNCTIONS["addmm"](ones, nan, ones, alpha=0).tolist() == [[1, 1], [1, 1]]
    assert np.isnan(FUNCTIONS["mm"](nan, ones).numpy()).all()


def test_only_the_gradients_that_are_needed():
    x, w, b = ng.ones(2, 3), ng.ones(4, 3, requires_grad=True), ng.ones(4, requires_grad=True)
    result = FUNCTIONS["linear"](x, w, b)
    assert [edge is None for edge in result._node.edges] == [True, False, False]
    x.add_(1)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        result.sum().backward()
    result = FUNCTIONS["linear"](x, w.detach(), b)
    x.add_(1)  # not needed
    result.sum().backward()
    assert b.grad.tolist() == [2, 2, 2, 2]
    assert w.grad is None


def test_in_place_additions():
    a = ng.zeros(2, 2)
    alias = a
    assert addmm.addmm_(a, ng.ones(2, 3), ng.ones(3, 2), alpha=2) is alias
    assert a.tolist() == [[6, 6], [6, 6]]
    leaf = ng.ones(2, requires_grad=True)
    total = leaf * 1
    addmm.addmv_(total, ng.ones(2, 2), leaf, beta=3)
    total.sum().backward()
    assert leaf.grad.tolist() == [5, 5]


def test_large_batches_in_parallel(torch):
    for shapes in [
        [(40, 30, 65), (40, 65, 50)],
        [(6, 200, 70), (70, 300)],
        [(300, 70), (6, 70, 90)],
    ]:
        a, b = draw(shapes)
        expected = torch.matmul(torch.from_numpy(a), torch.from_numpy(b)).numpy()
        result = FUNCTIONS["matmul"](ng.from_numpy(a), ng.from_numpy(b)).numpy()
        np.testing.assert_allclose(result, expected, 1e-4, 1e-4)


# Each is evaluated with numgrad and with torch: the exception's type and first line must agree.
ERRORS = """
matmul(ones(2, 3), ones(2, 3))
matmul(ones(2, 3), double(3, 2))
matmul(ones(2, 3), double(3))
matmul(ones(3), double(3))
matmul(boolean(2, 3), boolean(3, 2))
matmul(boolean(3), boolean(3))
matmul(boolean(2, 3), boolean(3))
matmul(boolean(2, 2, 3), boolean(2, 3, 2))
matmul(ones(3), ones(2))
matmul(ones(2, 3), ones(2))
matmul(ones(3), ones(2, 3))
matmul(ones(), ones(2, 3))
matmul(ones(2, 3, 4), ones(3, 4, 5))
matmul(ones(2, 3, 4), ones(2, 3, 5))
matmul(ones(2, 3, 4), ones(5, 5))
matmul(ones(2, 3, 4), ones(5))
matmul(ones(5), ones(2, 3, 4))
matmul(ones(2, 3, 4), double(2, 4, 5))
matmul(ones(2, 3), 3)
matmul(3, ones(2, 3))
mm(ones(2, 3), ones(2, 3))
mm(ones(2), ones(2, 3))
mm(ones(2, 3), ones(3))
mm(ones(2, 3), ones(3, 2), out=double(2, 2))
mm(grad(2, 3), ones(3, 2), out=ones(2, 2))
bmm(ones(2, 3, 4), ones(3, 4, 5))
bmm(ones(3, 4), ones(2, 3, 5))
bmm(ones(2, 3, 4), ones(3, 5))
mv(ones(2, 3), ones(2))
mv(ones(2, 3), ones(3, 1))
mv(ones(2, 3), double(3))
dot(ones(2), ones(3))
dot(ones(2, 2), ones(2))
dot(ones(2), double(2))
dot(ones(3), 3)
outer(ones(2, 2), ones(3))
addmm(ones(3), ones(2, 3), ones(3, 2))
addmm(ones(2, 2), ones(2, 3), ones(2, 2))
addmm(double(2, 2), ones(2, 3), ones(3, 2))
addmm(ones(2, 2), ones(3), ones(3, 2))
addmm(2, ones(2, 3), ones(3, 2))
addmv(ones(3), ones(2, 3), ones(3))
addmv(double(2), ones(2, 3), ones(3))
addbmm(ones(3, 5), ones(2, 3, 4), ones(3, 4, 5))
addbmm(ones(3, 5), ones(2, 3, 4), ones(2, 3, 5))
baddbmm(ones(2, 3, 4), ones(2, 3, 4), ones(2, 4, 5))
baddbmm(double(2, 3, 5), ones(2, 3, 4), ones(2, 4, 5))
linear(ones(2, 3), ones(4, 5))
linear(ones(2, 3), ones(4, 5), ones(4))
linear(ones(2, 3), ones(4, 3), ones(5))
linear(ones(2, 3), ones(3), ones(1))
linear(ones(2, 3), double(4, 3), double(4))
linear(ones(2, 3), double(4, 3))
linear(ones(2, 3), ones(4, 3), double(4))
linear(ones(2, 2, 3), ones(4, 5), ones(4))
linear(ones(), ones(2, 3))
linear(3, ones(2, 3))
linear(ones(2, 3), 3)
linear(boolean(2, 3), boolean(4, 3))
inner(ones(2, 3), ones(4, 2))
inner(ones(2, 3), double(4, 3))
tensordot(ones(2, 3), ones(2, 3), dims=([1], [0]))
tensordot(ones(2, 3), ones(2, 3), dims=([1], [0, 1]))
tensordot(ones(2, 3), ones(3, 2), dims=-1)
tensordot(ones(2, 3), ones(3, 2), dims=3)
tensordot(ones(2, 3), ones(3, 2), dims=([5], [0]))
tensordot(ones(2, 3), ones(3, 2), dims=([1, 1], [0, 0]))
einsum('ij,jk->ik', ones(2, 3), ones(2, 2))
einsum('ij,jk->il', ones(2, 3), ones(3, 2))
einsum('ij,jk->iik', ones(2, 3), ones(3, 2))
einsum('ii->i', ones(2, 3))
einsum('ij', ones(2, 3, 4))
einsum('...ijk', ones(2, 3))
einsum('i.j', ones(2, 3))
einsum('......i', ones(2, 3))
einsum('i$j', ones(2, 3))
einsum('ij->i.', ones(2, 3))
einsum('ij->i......', ones(2, 3))
einsum('ij,jk->ik', ones(2, 3))
einsum('ij', ones(2, 3), ones(2, 3))
einsum('...i,...i', ones(2, 3), ones(4, 3))
einsum('ij,jk->ik', ones(2, 3), double(3, 2))
einsum('ij,jk->ik', boolean(2, 3), boolean(3, 2))
einsum('ij', 3)
einsum('')
einsum(ones(2, 3), [0, 60])
multi_dot([ones(2, 3)])
multi_dot([ones(2, 3), ones(4, 4)])
multi_dot([ones(2, 3), ones(3, 4, 2)])
multi_dot([ones(2, 3), ones(3, 4, 2), ones(2, 3)])
multi_dot([ones(2, 3), double(3, 4)])
""".strip().splitlines()


def evaluate(expression, library, functions):
    scope = dict(functions)
    scope["ones"] = library.ones
    scope["double"] = lambda *shape: library.ones(*shape, dtype=library.float64)
    scope["boolean"] = lambda *shape: library.ones(*shape, dtype=library.bool)
    scope["grad"] = lambda *shape: library.ones(*shape, requires_grad=True)
    try:
        return eval(expression.replace("ones()", "ones(())"), scope)
    except Exception as error:
        return type(error).__name__, str(error).splitlines()[0]


@pytest.mark.parametrize("expression", ERRORS)
def test_errors_are_torchs(torch, expression):
    expected = evaluate(expression, torch, {name: peer(torch, name) for name in FUNCTIONS})
    assert isinstance(expected, tuple)
    assert evaluate(expression, ng, FUNCTIONS) == expected


# The graph's names, which PyTorch prints as grad_fn=<…>.
NAMES = """
matmul(grad(3), grad(3))
matmul(grad(2, 3), grad(3))
matmul(grad(3), grad(3, 2))
matmul(grad(2, 3), grad(3, 2))
matmul(grad(2, 2, 3), grad(3, 2))
matmul(grad(2, 2, 3), grad(3))
matmul(grad(2, 2, 3), grad(2, 3, 2))
matmul(ones(2, 2, 3), grad(2, 3, 2))
bmm(grad(2, 2, 3), grad(2, 3, 2))
outer(grad(2), grad(3))
vdot(grad(3), grad(3))
addmm(grad(2), grad(2, 3), grad(3, 2))
addmv(grad(2), grad(2, 3), grad(3))
baddbmm(grad(2, 3, 5), grad(2, 3, 4), grad(2, 4, 5))
addbmm(grad(3, 5), grad(2, 3, 4), grad(2, 4, 5))
linear(grad(2, 3), grad(4, 3), grad(4))
linear(grad(2, 3), grad(4, 3))
linear(grad(3), grad(4, 3), grad(4))
linear(grad(3), grad(4, 3))
linear(grad(2, 2, 3), grad(4, 3), grad(4))
linear(grad(2, 2, 3), grad(4, 3))
einsum('ij,jk->ik', grad(2, 3), grad(3, 2))
einsum('ij->ji', grad(2, 3))
tensordot(grad(2, 3), grad(3, 2), 1)
inner(grad(2, 3), grad(4, 3))
multi_dot([grad(2, 3), grad(3, 4), grad(4, 2)])
""".strip().splitlines()


@pytest.mark.parametrize("expression", NAMES)
def test_graph_names_are_torchs(torch, expression):
    expected = evaluate(expression, torch, {name: peer(torch, name) for name in FUNCTIONS})
    found = evaluate(expression, ng, FUNCTIONS)
    assert found.grad_fn.name() == expected.grad_fn.name()


def test_out():
    out = ng.empty(2, 2)
    assert FUNCTIONS["mm"](ng.ones(2, 3), ng.ones(3, 2), out=out) is out
    assert out.tolist() == [[3, 3], [3, 3]]
    with pytest.warns(UserWarning, match="was resized"):
        FUNCTIONS["mm"](ng.ones(2, 3), ng.ones(3, 2), out=ng.empty(1))


def test_einsum_by_lists_of_numbers(torch):
    a, b = draw([(2, 3), (3, 4)])
    own, other = map(ng.from_numpy, (a, b)), map(torch.from_numpy, (a, b))
    (a, b), (c, d) = own, other
    assert_same(FUNCTIONS["einsum"](a, [0, 1], b, [1, 2]), torch.einsum(c, [0, 1], d, [1, 2]))
    ours = FUNCTIONS["einsum"](a, [..., 1], b, [1, 2], [2, ...])
    assert_same(ours, torch.einsum(c, [..., 1], d, [1, 2], [2, ...]))


def test_chain_matmul_warns_and_multiplies():
    matrices = [ng.ones(2, 3), ng.ones(3, 4), ng.ones(4, 2)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert einsum.chain_matmul(*matrices).tolist() == [[12, 12], [12, 12]]
    with pytest.warns(UserWarning, match="multi_dot"):
        einsum.chain_matmul(*matrices)
