"""The core operations beside PyTorch: names of nodes, keywords, dtypes, errors, in-place forms."""

import pathlib
import sys

import numpy as np
import pytest

import numgrad as ng

sys.path.insert(0, str(pathlib.Path(__file__).parent))
from expressions import check_error, check_like_torch, evaluate, leaves, tensors

#: Every differentiable operation of the core list; the names of the nodes are compared too.
NAMED = """
x.to(t.float32)
t.add(x, x)
t.add(x, 2, alpha=3)
t.sub(x, x, alpha=2)
t.sub(x, 1, alpha=2)
t.rsub(x, x)
2 - x
t.mul(x, 2)
t.div(x, x)
2 / x
t.div(x, 0.3, rounding_mode="floor")
t.div(x, x, rounding_mode="trunc")
t.remainder(x, 0.4)
t.remainder(x, x)
t.fmod(x, 0.4)
t.fmod(x, x)
t.pow(x, 2)
t.pow(x, 1)
t.pow(x, 2.5)
t.pow(x, x)
t.pow(2, x)
t.neg(x)
t.abs(x)
t.sign(x)
t.exp(x)
t.exp2(x)
t.expm1(x)
t.log(x)
t.log2(x)
t.log10(x)
t.log1p(x)
t.sqrt(x)
t.rsqrt(x)
t.square(x)
t.reciprocal(x)
t.sin(x)
t.cos(x)
t.tan(x)
t.atan(x)
t.tanh(x)
t.sigmoid(x)
t.erf(x)
t.floor(x)
t.ceil(x)
t.round(x)
t.round(x, decimals=1)
t.trunc(x)
t.clamp(x, 0.5, 1)
t.clamp(x, min=0.5)
t.clamp(x, max=x)
t.clamp_min(x, 0.5)
t.clamp_min(x, x)
t.clamp_max(x, 0.5)
t.maximum(x, x * 2)
t.minimum(x, x * 2)
t.where(x > 0.5, x, 0.0)
x.where(x > 0.5, x * 2)
x.where(x > 0.5, 0)
t.lerp(x, x * 2, 0.3)
t.lerp(x, x * 2, x)
t.xlogy(x, x)
t.xlogy(x, 2.0)
t.xlogy(2.0, x)
t.copysign(x, -1.0)
t.copysign(x, x)
t.sum(x)
t.sum(x, 0)
t.mean(x)
t.mean(x, (0, 1))
t.prod(x)
t.prod(x, 0)
t.amax(x, 0)
t.amin(x)
t.max(x)
t.max(x, 0)
t.min(x, x)
t.median(x)
t.median(x, 0)
t.median(x, 0, True)
t.var(x)
t.std(x, 0)
t.norm(x)
t.norm(x, 1, 0)
t.logsumexp(x, 0)
t.cumsum(x, 0)
t.cumprod(x, 0)
x.view(3, 2)
x.view(size=(3, 2))
x.reshape(3, 2)
t.reshape(x, shape=(3, 2))
x.T.reshape(6)
t.flatten(x)
t.permute(x, dims=(1, 0))
x.permute(1, 0)
t.transpose(x, 0, 1)
x.t()
x.T
x.mT
y.T.mT
s.mT * 1
t.movedim(y, 0, 2)
t.squeeze(x[None])
t.squeeze(x[None], 0)
t.squeeze(x[None], (0, 1))
t.unsqueeze(x, 0)
v.expand(2, 5)
v.expand(size=(2, 5))
t.broadcast_to(v, (2, 5))
x.repeat(2, 1)
x.repeat(repeats=(2, 1))
t.tile(x, dims=(2,))
t.cat((x, x))
t.stack((x, x))
t.split(v, 2)
t.split(v, [2, 3])
t.chunk(v, 2)
t.unbind(x)
t.flip(x, dims=(0,))
x.flip(0, 1)
t.roll(x, 1)
t.roll(x, 1, 0)
t.tril(x)
t.triu(x)
t.diag(v)
t.diag(x)
t.diag_embed(x)
t.diagonal(x)
t.trace(x)
x.trace()
x.T.contiguous()
x.clone()
t.index_select(x, 1, L([2, 0]))
t.index_select(s, 0, L([0]))
t.gather(x, 1, L([[0], [2]]))
t.scatter(x, 1, L([[0], [2]]), x[:, :1])
t.scatter(x, 1, L([[0], [2]]), 2.0)
t.scatter_add(x, 1, L([[0], [2]]), x[:, :1])
t.index_add(x, 1, L([0]), x[:, :1])
t.masked_fill(x, x > 0.5, 1.0)
t.masked_fill(x, x > 0.5, s)
t.masked_select(x, x > 0.5)
t.take_along_dim(x, L([[0], [2]]), 1)
t.take_along_dim(x, L([0, 5]))
t.sort(x)
t.topk(v, 2)
t.matmul(x, x.T)
t.matmul(x, x[0])
t.mm(x, x.T)
t.bmm(y, y.mT)
t.mv(x, x[0])
t.dot(v, v)
t.outer(v, v)
t.addmm(x[:, :2], x, x.T)
t.addmm(v[:2], x, x.T, beta=0.5, alpha=2)
t.baddbmm(y[:, :, :3], y, y.mT)
t.addr(x, v[:2], v[:3])
t.einsum("ij,kj->ik", x, x)
t.einsum("ij->", x)
t.einsum("ij,ij->ij", x, x)
F.relu(x)
F.gelu(x)
F.gelu(x, approximate="tanh")
F.silu(x)
F.elu(x)
F.celu(x)
F.leaky_relu(x)
F.softplus(x)
F.softsign(x)
F.hardtanh(x)
F.relu6(x)
F.logsigmoid(x)
F.softmax(x, 0)
F.log_softmax(x, 0)
F.layer_norm(x, (3,))
F.batch_norm(x, None, None, training=True)
F.dropout(x, 0.0)
F.embedding(L([0, 1]), x)
F.linear(x, x, v[:2])
F.linear(x, x)
F.pad(x, (1, 1))
F.normalize(x)
F.cross_entropy(x, L([0, 2]))
F.cross_entropy(x, x.detach())
F.nll_loss(x, L([0, 2]))
F.binary_cross_entropy(v[:3], v[:3].detach())
F.binary_cross_entropy_with_logits(x, x.detach())
F.mse_loss(x, x * 2)
F.l1_loss(x, x * 2)
F.smooth_l1_loss(x, x * 2)
F.huber_loss(x, x * 2)
F.kl_div(x, x, reduction="sum")
F.elu(x * 1, inplace=True)
F.leaky_relu(x * 1, inplace=True)
(x * 1).add_(2, alpha=3)
(x * 1).clamp_(0.5, 1)
(x * 1).relu_()
(x * 1).atan2_(x)
(x * 1).copysign_(-1)
(x * 1).cumsum_(0)
(x * 1).cumprod_(0)
""".split("\n")[1:-1]

#: What takes no gradient: dtypes, keywords, special cases.
PLAIN = """
t.sum(x, axis=1, keepdims=True)
x.mean(axis=0)
x.prod(axis=0)
x.amax(axis=1)
x.max(axis=1)
x.min(axis=1, keepdims=True)
x.argmax(axis=1)
x.std(axis=0)
x.all(axis=0)
t.sum(L([1.5, 2.5]), 0, out=L(0))
t.prod(L([1.5, 2.5]), 0, out=L(0))
t.argmax(L([1.5, 2.5]), 0, out=L(0))
t.sum(L([1, 2]), dtype=t.int32)
t.sum(L([1.7, 2.2]), 0, dtype=t.int64)
t.sum(L([200, 100]), dtype=t.uint8)
t.sum(L([0.5, 0.0]), dtype=t.bool)
t.prod(L([2, 3]), dtype=t.int8)
t.prod(L([[2, 3]]), 0, dtype=t.bool)
t.nansum(L([1.5, nan]), dtype=t.int64)
t.cumsum(L([1.5, 2.5]), 0, dtype=t.int8)
t.all(L([[1., 0.]]), dim=())
t.any(L([[1., 0.]]), dim=())
t.all(t.empty(0), dim=())
t.add(L([True]), L([True]), alpha=2)
t.add(L([1]), 2, alpha=3)
t.add(L([1]), 1.5, alpha=1.5)
t.square(L([True, False]))
t.pow(L([True, False]), 2)
t.pow(L([2, 3]), 2.0)
t.pow(L([2, 3]), 1.0)
t.sign(L([True, False]))
t.bitwise_left_shift(L([1, 1, -1, 3]), L([-1, 64, 70, 2]))
t.bitwise_right_shift(L([8, 8, -8, 8]), L([-1, 64, 70, 1]))
L([200], dtype=t.uint8) >> L([9], dtype=t.uint8)
L([1, 2]).bitwise_left_shift_(2)
L([1, 2]).greater_(1)
L([1., 2.]).frac_()
L([1., 2.]).xlogy_(2)
F.hardtanh(L([-3, 0, 2]))
F.relu6(L([-3, 0, 9], dtype=t.int8))
F.softsign(L([-3, 0, 2]))
L([1., 2.]).view(dtype=t.int32)
t.trace(L([[1, 2], [3, 4]]))
t.zeros(size=(2, 3))
t.ones(size=(2,), dtype=t.int64)
t.ones(2, layout=t.strided)
t.empty(2, 0, memory_format=t.contiguous_format)
t.ones_like(L([1]), memory_format=t.preserve_format)
t.arange(end=5)
L([-1], dtype=t.uint8)
F.cross_entropy(L([[1., 1., 1.], [1., 1., 1.]]), L([-100, -100]))
""".split("\n")[1:-1]

#: Calls that both refuse, with the same exception and sentence.
ERRORS = """
t.add(L([1]), L([2]), alpha=1.5)
True - L([1.5])
True - L([True])
t.maximum(x, 2)
t.minimum(2, x)
t.logical_and(L([True]), True)
t.atan2(x, 1.0)
t.logaddexp(L([1]), L([2]))
t.floor_divide(x, x).sum().backward()
L([1.]) & L([2.])
L([1., 2.], dtype=t.float64).bitwise_xor(1)
L([True]) << L([True])
t.floor_divide(L([True]), L([True]))
t.remainder(L([True]), L([True]))
t.fmod(L([True]), L([True]))
t.pow(L([True]), L([True]))
t.floor(L([True]))
t.round(L([123]), decimals=-1)
t.frac(L([1]))
t.lerp(L([1, 2]), L([3, 4]), 0.5)
t.lerp(x, x, x.float())
t.isclose(L([1.]), L([1.1]), rtol=-1)
t.isclose(L([1.]), 1.)
t.isclose(L([1., 2.]), L([1., 2., 3.]))
t.isclose(L([1.]), L([1.], dtype=t.float64))
t.equal(L([1]), 1)
t.positive(L([True]))
F.gelu(L([1]))
F.silu(L([True]))
F.elu(L([1]))
F.leaky_relu(L([1]))
F.softplus(L([1]))
F.hardtanh(L([True]))
F.hardtanh(L([1], dtype=t.uint8))
F.mse_loss(L([1]), L([2]))
F.binary_cross_entropy(v[:3], L([0, 1, 0]))
t.cumsum(x, 0, dtype=t.bool)
t.autograd.grad(x.sum(), v)
(x * 1).unbind()[0].add_(1)
t.nanmean(x, dtype=t.int64)
t.norm(L([1, 2]), dtype=t.float64)
t.unbind(s)
x.expand(3)
x.reshape(-2, 3)
t.trace(v)
t.zeros()
t.full(2, 3)
t.eye(2, -3)
t.arange(3, dtype=t.bool)
t.zeros_like([1])
L([300], dtype=t.uint8)
L([2**40], dtype=t.int32)
float(x)
int(v)
[1, 2][L([0, 1])]
""".split("\n")[1:-1]


@pytest.mark.parametrize("expression", NAMED)
def test_values_gradients_and_names(torch, expression):
    check_like_torch(torch, expression)
    ours, theirs = (
        [r.grad_fn for r in tensors(evaluate(lib, expression, leaves(lib)))] for lib in (ng, torch)
    )
    assert [type(f).__name__ for f in ours] == [type(f).__name__ for f in theirs]


@pytest.mark.parametrize("expression", PLAIN)
def test_dtypes_and_keywords(torch, expression):
    check_like_torch(torch, expression)


@pytest.mark.parametrize("expression", ERRORS)
def test_errors(torch, expression):
    check_error(torch, expression)


def test_what_pytorch_refuses_without_a_sentence_of_its_own(torch):
    for expression in (
        "t.clamp(x, 0, x)",
        "t.addcdiv(L([1]), L([1]), L([1]))",
        "L([True]).logical_or_(True)",
        "t.eq('a', x)",
    ):
        check_error(torch, expression, kind="any")


#: In-place forms, on a tensor of positive floats `z` (3,).
INPLACE = """
abs_() acos_() add_(1) addcdiv_(z,z) addcmul_(z,z) arccos_() arcsin_() arctan_() asin_() atan2_(z)
atan_() ceil_() clamp_(0.2) clamp_max_(1) clamp_min_(1) copysign_(1) cos_() cosh_() cumprod_(0)
cumsum_(0) div_(2) divide_(2) eq_(1) erf_() exp2_() exp_() expm1_() fill_(2) fix_() floor_()
floor_divide_(2) fmod_(2) frac_() ge_(1) greater_(1) greater_equal_(1) gt_(1) le_(1) lerp_(z,0.5)
less_(1) less_equal_(1) log10_() log1p_() log2_() log_() logical_and_(z) logical_not_() lt_(1)
masked_fill_(z>0,1) mul_(2) multiply_(2) ne_(1) neg_() negative_() normal_() not_equal_(1) pow_(2)
reciprocal_() relu_() remainder_(2) round_() rsqrt_() sigmoid_() sign_() sin_() sinh_() sqrt_()
square_() sub_(1) subtract_(1) tan_() tanh_() true_divide_(2) trunc_() uniform_() xlogy_(z) zero_()
index_add_(0,L([0]),z[:1]) index_fill_(0,L([0]),1) scatter_(0,L([0]),1.0)
scatter_add_(0,L([0]),z[:1]) copy_(z) bernoulli_(0.5) exponential_()
""".split()


def call_of(lib, form):
    """The in-place form as a function of the tensor to write to."""
    scope = {"L": lib.tensor, "z": lib.tensor([0.25, 0.5, 0.75])}
    return lambda target: eval(f"target.{form}", {**scope, "target": target})


def message(call, target):
    with pytest.raises(RuntimeError) as caught:
        call(target)
    return str(caught.value).split("\n")[0]


@pytest.mark.parametrize("form", INPLACE)
def test_in_place_forms(torch, form):
    values, messages = [], []
    for lib in (ng, torch):
        call = call_of(lib, form)
        target = lib.tensor([0.1, 0.5, 0.9])
        before = target._version
        lib.manual_seed(0)
        assert call(target) is target
        assert target._version > before
        values.append(target.numpy())
        if not form.startswith("logical"):  # PyTorch lets those write to a leaf
            leaf = lib.tensor([0.1, 0.5, 0.9], requires_grad=True)
            messages.append(message(call, leaf))
            assert leaf.tolist() == lib.tensor([0.1, 0.5, 0.9]).tolist()
    np.testing.assert_allclose(*values, rtol=1e-6, atol=1e-7)
    assert messages[:1] == messages[1:]


@pytest.mark.parametrize(
    "form", ["add_(1)", "mul_(2)", "relu_()", "exp_()", "clamp_(0.2)", "sub_(1)"]
)
def test_in_place_on_an_expanded_tensor(torch, form):
    found = [message(call_of(lib, form), lib.tensor([0.5]).expand(3)) for lib in (ng, torch)]
    assert found[0] == found[1]


@pytest.mark.parametrize("form", ["add_(1)", "mul_(2)", "relu_()", "zero_()", "exp_()", "sqrt_()"])
def test_in_place_on_a_saved_tensor(torch, form):
    """The gradient of a product whose factor was overwritten raises, as in PyTorch."""
    for lib in (ng, torch):
        factor = lib.tensor([0.5, 0.25, 1.0])
        weight = lib.ones(3, requires_grad=True)
        product = weight * factor
        call_of(lib, form)(factor)
        with pytest.raises(RuntimeError, match="modified by an inplace operation"):
            product.sum().backward()
