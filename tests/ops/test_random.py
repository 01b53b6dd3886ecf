"""Random tensors: PyTorch's numbers for a seed, whatever the layout; errors; dropout."""

import io
import pathlib
import pickle
import sys

import numpy as np
import pytest

import numgrad as ng

sys.path.insert(0, str(pathlib.Path(__file__).parent))
from expressions import check_error, evaluate, leaves, same, tensors

EXACT = """
t.rand(5, 7)
t.rand((2,), dtype=t.float64)
t.rand([])
t.rand(2, 3, out=t.empty(2, 3))
t.empty(5, 7).uniform_(-1, 3)
t.empty(5, 7).uniform_(to=2)
t.empty(5, 7).t().uniform_()
t.empty(5, 8)[:, ::2].uniform_(-1, 3)
t.empty(2, 3, 4).permute(2, 0, 1).random_(100)
t.randint(3, 9, (20,))
t.randint(9, (3, 2))
t.randint(high=9, size=(3,))
t.randint(0, 10, (5,), dtype=t.float32)
t.randint(-2, 2, (5,), dtype=t.int8)
t.randint(0, 2**40, (5,))
t.empty(6, 5, dtype=t.int64).random_()
t.empty(6, 5, dtype=t.uint8).random_()
t.empty(6, 5).random_(3, 9)
t.empty(6).random_(9)
t.randperm(10)
t.randperm(0)
t.randperm(5, dtype=t.float32)
t.rand_like(x.detach())
t.rand_like(y.detach().permute(2, 0, 1))
t.rand_like(y.detach()[:, ::2], dtype=t.float32)
t.randint_like(x.detach(), 9)
t.randint_like(x.detach(), 3, 9)
t.multinomial(L([1., 2., 3.]), 9, True)
t.multinomial(L([[1., 2., 3.], [0., 0., 1.]]), 4, replacement=True)
t.empty(9).geometric_(0.3)
t.rand(3, generator=t.Generator().manual_seed(5))
t.empty(3).uniform_(generator=t.Generator().manual_seed(5))
t.rand(2, requires_grad=True)
""".split("\n")[1:-1]

ROUNDED = """
t.randn(3)
t.randn(5, 7)
t.randn(40, dtype=t.float64)
t.empty(5, 8).t().normal_()
t.empty(4, 6)[:, ::2].normal_(1, 2)
t.empty(40).normal_(-3, 0.5)
t.randn_like(x.detach())
t.normal(1., 2., (3,))
t.normal(t.arange(20.), t.arange(20.))
t.normal(t.arange(20.), 2.)
t.normal(1., t.arange(20.))
t.empty(9).cauchy_(1, 2)
t.empty(9).log_normal_(0, 1)
""".split("\n")[1:-1]


def drawn(lib, expression):
    lib.manual_seed(3)
    (result,) = tensors(evaluate(lib, expression, leaves(lib)))
    return result


@pytest.mark.parametrize("expression", EXACT)
def test_the_same_numbers(torch, expression):
    ours, theirs = drawn(ng, expression), drawn(torch, expression)
    same(ours, theirs, expression, rtol=0)
    assert ours.requires_grad == theirs.requires_grad
    assert ng.rand(1).item() == torch.rand(1).item()  # as many draws


@pytest.mark.parametrize("expression", ROUNDED)
def test_the_same_numbers_but_for_rounding(torch, expression):
    ours, theirs = drawn(ng, expression), drawn(torch, expression)
    assert ours.shape == theirs.shape and str(ours.dtype) == str(theirs.dtype)
    np.testing.assert_allclose(ours.numpy(), theirs.numpy(), 2e-5, 2e-6)
    assert ng.rand(1).item() == torch.rand(1).item()


@pytest.mark.parametrize(
    "expression",
    """
t.rand(2, -1)
t.rand(2, dtype=t.int64)
t.randint(5, 5, (2,))
t.randint(0, 300, (2,), dtype=t.uint8)
t.randperm(-1)
t.randperm(300, dtype=t.uint8)
t.normal(0, -1., (2,))
t.normal(v, -v)
t.normal(v, x)
t.empty(2).uniform_(2, 1)
t.empty(2, dtype=t.int64).uniform_()
t.empty(2).normal_(0, -1)
t.empty(2, dtype=t.int64).normal_()
t.empty(2).random_(3, 2)
t.empty(2, dtype=t.uint8).random_(0, 500)
t.empty(2).bernoulli_(1.5)
t.empty(2).bernoulli_(L([1.5]))
t.empty(2).exponential_(-1)
t.empty(2).geometric_(1.5)
t.empty(2).cauchy_(0, -1)
t.empty(2).log_normal_(0, -1)
t.bernoulli(L([2.]))
t.bernoulli(L([1]))
t.multinomial(L([1., 2.]), 3)
t.multinomial(L([1., -2.]), 1)
t.multinomial(L([nan, 1.]), 1)
t.multinomial(L([0., 0.]), 1)
t.multinomial(L([1, 2]), 1)
t.multinomial(y, 1)
t.multinomial(v, 0)
x.uniform_()
F.dropout(x, 1.5)
t.manual_seed(2**64)
t.Generator().set_state(t.zeros(3, dtype=t.uint8))
t.Generator().set_state(1)
t.set_rng_state(t.zeros(3))
""".split("\n")[1:-1],
)
def test_errors(torch, expression):
    check_error(torch, expression)


@pytest.mark.parametrize(
    "expression",
    [
        "t.randint(2, 5, 2)",
        "t.randint(5)",
        "t.normal(0., 1.)",
        "t.rand(2, generator=3)",
        "t.rand()",
    ],
)
def test_wrong_arguments(torch, expression):
    check_error(torch, expression, TypeError)


def test_generator(torch):
    ours, theirs = ng.Generator(), torch.Generator()
    assert ours.manual_seed(-1) is ours and theirs.manual_seed(-1) is theirs
    assert ours.initial_seed() == theirs.initial_seed() == 2**64 - 1
    assert str(ours.device) == str(theirs.device) == "cpu"
    ng.randn(3, generator=ours), torch.randn(3, generator=theirs)
    # The state is PyTorch's own: the stream can change libraries.
    theirs.set_state(torch.from_numpy(ours.get_state().numpy()))
    assert ng.rand(4, generator=ours).tolist() == torch.rand(4, generator=theirs).tolist()
    other = ours.clone_state()
    assert ng.rand(4, generator=ours).tolist() == ng.rand(4, generator=other).tolist()
    assert isinstance(ours.seed(), int) and ours.initial_seed() != 2**64 - 1


def test_the_default_generator():
    assert ng.manual_seed(7) is ng.default_generator
    assert ng.initial_seed() == 7
    state = ng.get_rng_state()
    first = ng.rand(3).tolist()
    with ng.random.fork_rng():
        ng.manual_seed(0)
    assert ng.initial_seed() == 7
    assert ng.rand(3).tolist() != first
    ng.set_rng_state(state)
    assert ng.rand(3).tolist() == first
    copied = pickle.load(io.BytesIO(pickle.dumps(ng.default_generator)))
    assert ng.rand(3, generator=copied).tolist() == ng.rand(3).tolist()
    assert ng.seed() == ng.initial_seed()


def test_probabilities():
    ng.manual_seed(0)
    assert ng.bernoulli(ng.tensor([0.0, 1.0])).tolist() == [0, 1]
    assert ng.bernoulli(ng.zeros(3, dtype=ng.int64), 1.0).tolist() == [1, 1, 1]
    assert abs(ng.full((10_000,), 0.3).bernoulli().mean().item() - 0.3) < 0.02
    assert abs(ng.empty(10_000).bernoulli_(0.3).mean().item() - 0.3) < 0.02
    each = ng.tensor([[0.0, 1.0, 0.5]] * 1000)
    means = ng.empty(3, 1000).t().bernoulli_(each).mean(0)
    assert means[:2].tolist() == [0, 1] and abs(means[2].item() - 0.5) < 0.1
    assert abs(ng.empty(10_000).exponential_(2).mean().item() - 0.5) < 0.03
    x = ng.full((2,), 0.5, requires_grad=True)
    ng.bernoulli(x).sum().backward()
    assert x.grad.tolist() == [0, 0]


def test_multinomial_without_replacement():
    ng.manual_seed(0)
    weights = ng.tensor([1.0, 0.0, 3.0, 4.0])
    rows = ng.multinomial(weights.expand(4000, 4), 3)
    assert all(sorted(row) == [0, 2, 3] for row in rows.tolist())
    shares = ng.bincount(rows[:, 0], minlength=4) / 4000
    np.testing.assert_allclose(shares.numpy(), [0.125, 0, 0.375, 0.5], atol=0.03)
    assert ng.multinomial(ng.tensor([0.0, 1.0]), 2).tolist() == [1, 0]


def test_what_was_there_before_a_draw_gets_no_gradient():
    x = ng.ones(3, requires_grad=True)
    y = x * 2
    y.uniform_()
    y.sum().backward()
    assert x.grad.tolist() == [0, 0, 0]


def test_dropout():
    ng.manual_seed(0)
    x = ng.ones(4000, requires_grad=True)
    y = ng.dropout(x, 0.25, True)
    assert set(y.tolist()) == {0, ng.tensor(4 / 3).item()}
    assert abs((y == 0).float().mean().item() - 0.25) < 0.03
    y.sum().backward()
    assert ng.equal(x.grad, y.detach())
    assert ng.dropout(x, 0.25, False) is x and ng.dropout(x, 0.0, True) is x
    assert ng.dropout(x, 1.0, True).abs().sum().item() == 0
    assert ng.dropout(ng.tensor([np.inf]), 1.0, True).isnan().all()
    with pytest.raises(RuntimeError, match="can't be cast"):
        ng.dropout(ng.ones(2, dtype=ng.int64), 0.5, True)


def test_dropout_draws_the_same_mask_for_the_same_seed():
    masks = []
    for _ in range(2):
        ng.manual_seed(1)
        masks.append(ng.nn.functional.dropout(ng.ones(50), 0.5).tolist())
    assert masks[0] == masks[1]
