"""What all operations share: in-place forms, `out`, refusals, gradients of gradients."""

import numpy as np
import pytest

import numgrad as ng
import numgrad.nn.functional as NF
from numgrad.ops import _core

# ------------------------------------------------------------------- in place, directly

IN_PLACE = {
    "add_": lambda x, y: x.add_(y),
    "add_ number": lambda x, y: x.add_(1.5),
    "add_ alpha": lambda x, y: x.add_(y, alpha=0.5),
    "add_ 0-d": lambda x, y: x.add_(y.flatten()[0]),
    "add_ row": lambda x, y: x.add_(y[0]),
    "sub_": lambda x, y: x.sub_(y),
    "sub_ alpha": lambda x, y: x.sub_(y, alpha=-2),
    "mul_ itself": lambda x, y: x.mul_(x),
    "div_": lambda x, y: x.div_(y),
    "neg_": lambda x, y: x.neg_(),
    "exp_": lambda x, y: x.exp_(),
    "square_": lambda x, y: x.square_(),
    "relu_": lambda x, y: x.relu_(),
    "clamp_": lambda x, y: x.clamp_(-0.5, 0.5),
    "clamp_ min": lambda x, y: x.clamp_(min=0.1),
    "clamp_ max": lambda x, y: x.clamp_(max=0.1),
    "clamp_ tensors": lambda x, y: x.clamp_(y, y + 1),
    "clamp_min_": lambda x, y: x.clamp_min_(0.1),
    "lerp_": lambda x, y: x.lerp_(y, 0.3),
    "lerp_ tensor": lambda x, y: x.lerp_(y, y),
    "addcmul_": lambda x, y: x.addcmul_(y, y, value=0.5),
    "addcdiv_": lambda x, y: x.addcdiv_(y, y, value=2),
    "copysign_": lambda x, y: x.copysign_(y),
    "eq_": lambda x, y: x.eq_(y),
    "itself, seen again": lambda x, y: x.add_(x.view(-1).view(4, 6)),
    "reversed": lambda x, y: x.mul_(x.flip(0)),
    "column": lambda x, y: x[:, 2].mul_(3.0),
}


def pair(lib, shape=(4, 6)):
    generator = np.random.default_rng(0)
    x, y = (generator.standard_normal(shape).astype(np.float32) for _ in range(2))
    return lib.tensor(x), lib.tensor(y)


@pytest.mark.parametrize("name", IN_PLACE)
@pytest.mark.parametrize("layout", ["dense", "transposed", "strided"])
def test_in_place_forms_do_what_pytorchs_do(torch, name, layout):
    results = []
    for lib in (torch, ng):
        x, y = pair(lib, {"dense": (4, 6), "transposed": (6, 4), "strided": (4, 12)}[layout])
        if layout == "transposed":
            x, y = x.T, y.T
        elif layout == "strided":
            x, y = x[:, ::2], y[:, ::2]
        if "view" in IN_PLACE[name].__code__.co_names and layout != "dense":
            pytest.skip("no view of this layout")
        version = x._version
        result = IN_PLACE[name](x, y)
        assert x._version > version and result.dtype == x.dtype
        results.append(x.contiguous().numpy())
    np.testing.assert_allclose(*results[::-1], rtol=1e-6, atol=1e-7)


OVERLAPPING = {
    "own transpose": lambda x: (x[:4, :4], x[:4, :4].T),
    "own row": lambda x: (x, x[1]),
    "shifted forth": lambda x: (x.view(-1)[1:], x.view(-1)[:-1]),
    "shifted back": lambda x: (x.view(-1)[:-1], x.view(-1)[1:]),
    "every other": lambda x: (x[:, ::2], x[:, 1::2]),
}


@pytest.mark.parametrize("name", OVERLAPPING)
def test_an_operand_is_read_as_it_was_before(name):
    target, other = OVERLAPPING[name](pair(ng)[0])  # PyTorch refuses most of these
    expected = (target + other.clone()).numpy()
    np.testing.assert_array_equal(target.add_(other).numpy(), expected)


@pytest.mark.parametrize("size", [5, _core._DIRECT, _core._DIRECT + 1])
def test_in_place_forms_of_any_size(size):
    x = ng.arange(float(size))
    memory = x.data_ptr()
    x.add_(1).mul_(x)
    np.testing.assert_array_equal(x.numpy(), (np.arange(size, dtype=np.float32) + 1) ** 2)
    assert x.data_ptr() == memory


def test_in_place_forms_see_the_graph():
    leaf = ng.ones(3, requires_grad=True)
    with pytest.raises(RuntimeError, match="a leaf Variable that requires grad"):
        leaf.add_(1)
    with pytest.raises(RuntimeError, match="a view of a leaf Variable"):
        leaf[0].mul_(2)
    x = ng.ones(3)
    x.mul_(leaf)
    assert x.requires_grad
    view = (leaf * 1)[1:]
    view.add_(1)
    view.sum().backward()
    assert leaf.grad.tolist() == [0, 1, 1]
    with ng.no_grad():
        leaf.add_(1)
    kept = ng.exp(leaf)
    loss = (kept * kept).sum()
    kept.detach().add_(1)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()


def test_in_place_forms_refuse_what_does_not_fit():
    x = ng.zeros(2, 3)
    with pytest.raises(RuntimeError, match="doesn't match the broadcast shape"):
        x[0].add_(x)
    with pytest.raises(RuntimeError, match="must match the size"):
        x.add_(ng.zeros(4))
    with pytest.raises(RuntimeError, match="can't be cast"):
        ng.zeros(2, dtype=ng.int64).add_(1.5)
    with pytest.raises(RuntimeError, match="single memory location"):
        ng.zeros(1).expand(3).add_(1)
    with pytest.raises(RuntimeError, match="bool tensor"):
        ng.tensor([True]).sub_(ng.tensor([True]))
    with pytest.raises(NotImplementedError, match="lerp"):
        ng.tensor([1]).lerp_(ng.tensor([2]), 1)
    with pytest.raises(TypeError):
        x.atan2_(1.0)
    for call in (x.add_, x.exp_):
        with pytest.raises(TypeError):
            call(*[x] * 2) if call == x.exp_ else call()
    assert x.eq(0).all()


def test_integers_in_place():
    x = ng.tensor([1, 2, 3])
    x.add_(1).mul_(x).sub_(ng.tensor([1, 1, 1])).clamp_(5, 10)
    assert x.tolist() == [5, 8, 10]
    x = ng.tensor([250], dtype=ng.uint8)
    assert x.add_(10).tolist() == [4] and x.dtype == ng.uint8


# --------------------------------------------------------------------------- refusals

SAME = ["neg", "abs", "sign", "floor", "ceil", "round", "trunc", "frac"]


@pytest.mark.parametrize("name", SAME)
def test_out_of_another_dtype_is_refused(torch, name):
    messages = []
    for lib in (torch, ng):
        with pytest.raises(RuntimeError) as error:
            getattr(lib, name)(lib.tensor([1.5]), out=lib.empty(1, dtype=lib.float64))
        messages.append(str(error.value))
    assert messages[0] == messages[1]
    out = ng.empty(1)
    assert getattr(ng, name)(ng.tensor([1.5]), out=out) is out


@pytest.mark.parametrize("name", ["abs", "neg", "relu", "floor", "frac"])
def test_bools_are_refused(torch, name):
    errors = []
    for lib in (torch, ng):
        with pytest.raises((RuntimeError, NotImplementedError)) as error:
            getattr(lib, name)(lib.tensor([True]))
        errors.append((error.type, str(error.value)))
    assert errors[0] == errors[1]


@pytest.mark.parametrize("name", ["eq", "ne", "lt", "le", "fmod", "copysign", "maximum", "rsub"])
def test_a_number_comes_second(torch, name):
    for lib in (torch, ng):
        with pytest.raises(TypeError):
            getattr(lib, name)(2, lib.tensor([1.0]))


@pytest.mark.parametrize("name", ["add", "sub", "mul", "div", "pow", "remainder", "xlogy"])
def test_a_number_may_come_first(torch, name):
    expected = getattr(torch, name)(2, torch.tensor([1.5, 3.0])).numpy()
    np.testing.assert_allclose(getattr(ng, name)(2, ng.tensor([1.5, 3.0])).numpy(), expected)


# ------------------------------------------------------------- gradients of gradients

PIECEWISE = {
    "relu": lambda lib, F, x, y: lib.relu(x),
    "abs": lambda lib, F, x, y: lib.abs(x),
    "sign": lambda lib, F, x, y: lib.sign(x),
    "floor": lambda lib, F, x, y: lib.floor(x),
    "clamp": lambda lib, F, x, y: lib.clamp(x, -1, 1),
    "maximum": lambda lib, F, x, y: lib.maximum(x, y),
    "where": lambda lib, F, x, y: lib.where(x > 0, x, y),
    "copysign": lambda lib, F, x, y: lib.copysign(x, y),
    "hardtanh": lambda lib, F, x, y: F.hardtanh(x),
    "relu6": lambda lib, F, x, y: F.relu6(x),
    "leaky_relu": lambda lib, F, x, y: F.leaky_relu(x),
    "hardshrink": lambda lib, F, x, y: F.hardshrink(x),
    "softshrink": lambda lib, F, x, y: F.softshrink(x),
    "threshold": lambda lib, F, x, y: F.threshold(x, 0, 1.0),
    "tanh": lambda lib, F, x, y: lib.tanh(x),
    "mul": lambda lib, F, x, y: x * y,
    "l1_loss": lambda lib, F, x, y: F.l1_loss(x, y),
    "mse_loss": lambda lib, F, x, y: F.mse_loss(x, y),
    "nll_loss": lambda lib, F, x, y: F.nll_loss(x, lib.tensor([0, 1])),
    "nll_loss sum": lambda lib, F, x, y: F.nll_loss(x, lib.tensor([0, 1]), reduction="sum"),
}


def _derivatives(lib, F, function, of_grad):
    """The gradient for x, whether it is differentiable, and its gradients for grad_output, x, y."""
    x = lib.tensor([[0.5, -1.5, 2.5], [3.0, 0.2, -0.7]], requires_grad=True)
    y = lib.tensor([[1.0, 2.0, -3.0], [0.5, -0.6, 0.7]], requires_grad=True)
    result = function(lib, F, x, y)
    given = lib.ones_like(result).requires_grad_(of_grad)
    (slope,) = lib.autograd.grad(result, x, given, create_graph=True)
    found = [slope, slope.requires_grad]
    if slope.requires_grad:
        wanted = (given, x, y) if of_grad else (x, y)
        found += lib.autograd.grad((slope * 2).sum(), wanted, allow_unused=True)
    return [t.detach().numpy(force=True) if hasattr(t, "detach") else t for t in found]


@pytest.mark.parametrize("of_grad", [True, False])
@pytest.mark.parametrize("name", PIECEWISE)
def test_second_gradients_are_zeros_where_pytorchs_are(torch, name, of_grad):
    expected = _derivatives(torch, torch.nn.functional, PIECEWISE[name], of_grad)
    found = _derivatives(ng, NF, PIECEWISE[name], of_grad)
    assert len(found) == len(expected)
    for mine, theirs in zip(found, expected, strict=True):
        if isinstance(theirs, np.ndarray):
            np.testing.assert_allclose(mine, theirs, rtol=1e-5)
        else:
            assert mine is theirs
