"""Functional forms that are made here, beside PyTorch's; the others are tested as operations."""

import numpy as np
import pytest

import numgrad
from numgrad.nn import functional as F


def compare(torch, program, rtol=2e-5, atol=2e-6):
    """The values of a program's results, and the gradients of its leaf `x`, in both libraries."""
    found = []
    for library in (numgrad, torch):
        library.manual_seed(3)
        values = np.random.default_rng(0).normal(size=(3, 4)).astype(np.float32)
        x = library.from_numpy(values).requires_grad_()
        result = program(library, library.nn.functional, x)
        result.sum().backward()
        found.append((result.detach().numpy(), x.grad.numpy()))
    for ours, theirs in zip(*found, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=rtol, atol=atol)


PROGRAMS = {
    "relu_": lambda t, F, x: F.relu_(x * 2),
    "relu inplace": lambda t, F, x: F.relu(x * 2, inplace=True) * x,
    "silu inplace": lambda t, F, x: F.silu(x * 2, inplace=True) * x,
    "mish inplace": lambda t, F, x: F.mish(x * 2, inplace=True) * x,
    "selu_": lambda t, F, x: F.selu_(x * 2) * x,
    "elu_": lambda t, F, x: F.elu_(x * 2, 0.5) * x,
    "celu_": lambda t, F, x: F.celu_(x * 2, 0.5) * x,
    "leaky_relu_": lambda t, F, x: F.leaky_relu_(x * 2, 0.5) * x,
    "hardtanh_": lambda t, F, x: F.hardtanh_(x * 2, -0.5, 0.5) * x,
    "threshold_": lambda t, F, x: F.threshold_(x * 2, 0.1, 7.0) * x,
    "threshold": lambda t, F, x: F.threshold(x, 0.1, 7.0, inplace=False),
    "rrelu": lambda t, F, x: F.rrelu(x, training=True),
    "rrelu_": lambda t, F, x: F.rrelu_(x * 2, 0.1, 0.2, training=True) * x,
    "rrelu eval": lambda t, F, x: F.rrelu(x),
    "rrelu_ eval": lambda t, F, x: F.rrelu_(x * 2) * x,
    "prelu": lambda t, F, x: F.prelu(x, t.tensor([0.1, 0.2, 0.3, 0.4])),
    "prelu scalar": lambda t, F, x: F.prelu(x, t.tensor(0.3)),
    "glu": lambda t, F, x: F.glu(x, 1),
    "softmax dtype": lambda t, F, x: F.softmax(x, 1, dtype=t.float64) ** 2,
    "log_softmax": lambda t, F, x: F.log_softmax(x, dim=0) * x,
    "softmin": lambda t, F, x: F.softmin(x, dim=0) * x,
    "gumbel": lambda t, F, x: F.gumbel_softmax(x, tau=0.7) * x,
    "gumbel hard": lambda t, F, x: F.gumbel_softmax(x, hard=True, dim=0) * x,
    "normalize": lambda t, F, x: F.normalize(x, p=3.0, dim=0) * x,
    "cosine": lambda t, F, x: F.cosine_similarity(x, x.detach() + 1),
    "distance": lambda t, F, x: F.pairwise_distance(x, x.detach() + 1, p=1.0, keepdim=True),
    "bilinear": lambda t, F, x: F.bilinear(x, x, t.arange(32.0).view(2, 4, 4), t.ones(2)),
    "dropout": lambda t, F, x: F.dropout(x, 0.4) * x,
    "dropout inplace": lambda t, F, x: F.dropout(x * 2, 0.4, inplace=True),
    "dropout eval": lambda t, F, x: F.dropout(x, 0.4, training=False),
    "dropout1d": lambda t, F, x: F.dropout1d(x, 0.4),
    "dropout1d inplace": lambda t, F, x: F.dropout1d(x * 2, 0.4, inplace=True),
    "dropout2d": lambda t, F, x: F.dropout2d(x.view(3, 2, 2, 1), 0.4),
    "dropout3d": lambda t, F, x: F.dropout3d(x.view(3, 2, 2, 1), 0.4),
    "alpha": lambda t, F, x: F.alpha_dropout(x, 0.4, training=True),
    "alpha inplace": lambda t, F, x: F.alpha_dropout(x * 2, 0.4, True, True),
    "feature alpha": lambda t, F, x: F.feature_alpha_dropout(x, 0.4, training=True),
    "all dropped": lambda t, F, x: F.alpha_dropout(x, 1.0, training=True),
    "channels dropped": lambda t, F, x: F.dropout1d(x, 1.0),
    "soft margin": lambda t, F, x: F.soft_margin_loss(x, x.detach().sign()),
    "multi margin": lambda t, F, x: F.multi_margin_loss(x, t.tensor([0, 3, 1])),
    "multi margin single": lambda t, F, x: F.multi_margin_loss(x[0], t.tensor(2), p=2),
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_values_and_gradients_are_pytorchs(torch, name):
    compare(torch, PROGRAMS[name])


ATTENTION = {
    "plain": lambda t: {},
    "causal": lambda t: {"is_causal": True},
    "scale": lambda t: {"scale": 0.3},
    "float mask": lambda t: {"attn_mask": t.arange(20.0).view(4, 5) / 7},
    "bool mask": lambda t: {"attn_mask": t.arange(20).view(4, 5) % 3 > 0},
    "nothing allowed": lambda t: {"attn_mask": t.arange(20).view(4, 5) < 12},
}


@pytest.mark.parametrize("case", ATTENTION)
def test_attention(torch, case):
    found = []
    for library in (numgrad, torch):
        draw = np.random.default_rng(1)
        q, k, v = (
            library.from_numpy(draw.normal(size=shape).astype(np.float32)).requires_grad_()
            for shape in ((2, 3, 4, 6), (2, 3, 5, 6), (2, 3, 5, 2))
        )
        attention = library.nn.functional.scaled_dot_product_attention
        result = attention(q, k, v, **ATTENTION[case](library))
        (result * result).sum().backward()
        found.append([value.detach().numpy() for value in (result, q.grad, k.grad, v.grad)])
    for ours, theirs in zip(*found, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-5)


def test_attention_of_grouped_heads(torch):
    found = []
    for library in (numgrad, torch):
        q = library.arange(48.0).view(1, 4, 3, 4) / 48
        k = library.arange(24.0).view(1, 2, 3, 4) / 24
        attention = library.nn.functional.scaled_dot_product_attention
        found.append(attention(q, k, k, enable_gqa=True).numpy())
    np.testing.assert_allclose(*found, rtol=1e-5)


def test_attention_with_dropout():
    numgrad.manual_seed(0)
    q = numgrad.ones(1, 2, 4)
    dropped = F.scaled_dot_product_attention(q, q, q, dropout_p=0.5)
    assert dropped.shape == (1, 2, 4)
    with pytest.raises(RuntimeError, match="is_causal"):
        F.scaled_dot_product_attention(q, q, q, numgrad.ones(2, 2), is_causal=True)


@pytest.mark.parametrize("shape", [(4,), (2, 3), (2, 3, 2)])
@pytest.mark.parametrize("name", ["softmax", "log_softmax", "softmin"])
def test_softmax_without_a_dimension_warns(torch, name, shape):
    found = []
    for library in (numgrad, torch):
        x = library.arange(float(np.prod(shape))).view(shape)
        with pytest.warns(UserWarning, match="Implicit dimension choice for"):
            found.append(getattr(library.nn.functional, name)(x).numpy())
        with pytest.warns(UserWarning, match="Implicit dimension choice for"):
            getattr(library.nn, {"softmax": "Softmax"}.get(name, "Softmin"))()(x)
    np.testing.assert_allclose(*found, rtol=1e-6)


def test_errors(same):
    same(lambda t: t.nn.functional.hardtanh(t.ones(1), 2, 1))
    same(lambda t: t.nn.functional.prelu(t.ones(2, 2), t.ones(1, 2)))
    same(lambda t: t.nn.functional.prelu(t.ones(2, 3), t.ones(2)))
    same(lambda t: t.nn.functional.glu(t.ones(3), 0))
    same(lambda t: t.nn.functional.dropout1d(t.ones(3), 0.5))
    same(lambda t: t.nn.functional.dropout2d(t.ones(3, 2), 2.0))
    same(lambda t: t.nn.functional.multi_margin_loss(t.ones(1, 2), t.tensor([1]), p=3))


def test_deprecated_ranks_of_dropout_warn(same):
    def program(library, name, *shape):
        library.manual_seed(0)
        return getattr(library.nn.functional, name)(library.ones(shape), 0.5)

    same(lambda t: program(t, "dropout2d", 2, 2, 2))
    same(lambda t: program(t, "dropout2d", 2, 2))
    same(lambda t: program(t, "dropout3d", 2, 2, 2))
