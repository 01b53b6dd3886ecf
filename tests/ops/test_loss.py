"""Losses beside PyTorch's: values, names, gradients of both orders, broadcasting, errors."""

import pathlib
import sys

import numpy as np
import pytest

import numgrad as ng
from numgrad import ops

sys.path.insert(0, str(pathlib.Path(__file__).parent))
from cases import case, check_error, check_gradients, check_parity, noise

X, Y, Z = noise(4, 3), noise(4, 3, seed=1), noise(4, 3, seed=2)
P, Q = (np.random.default_rng(k).uniform(0.05, 0.95, (4, 3)) for k in (0, 1))
W = np.array([0.5, 1.0, 2.0])
SIGNS = np.where(Y > 0, 1.0, -1.0)

#: name, arguments, keywords: each is taken with every reduction.
LOSSES = [
    ("mse_loss", (X, Y), {}),
    ("mse_loss", (X, Y[0]), {}),
    ("mse_loss", (X, Y), {"weight": P}),
    ("l1_loss", (X, Y), {}),
    ("smooth_l1_loss", (X, Y), {}),
    ("smooth_l1_loss", (X, Y), {"beta": 0.3}),
    ("huber_loss", (X, Y), {"delta": 0.7}),
    ("binary_cross_entropy", (P, Q), {}),
    ("binary_cross_entropy", (P, Q), {"weight": W}),
    ("binary_cross_entropy_with_logits", (X, Q), {}),
    ("binary_cross_entropy_with_logits", (X, Q), {"weight": W, "pos_weight": 2 * W}),
    ("kl_div", (X, P), {}),
    ("kl_div", (X, Y), {"log_target": True}),
    ("poisson_nll_loss", (X, P), {}),
    ("poisson_nll_loss", (P, 5 * Q), {"log_input": False, "full": True}),
    ("gaussian_nll_loss", (X, Y, P), {"full": True}),
    ("hinge_embedding_loss", (X, SIGNS), {}),
    ("margin_ranking_loss", (X, Y, SIGNS), {"margin": 0.1}),
    ("cosine_embedding_loss", (X, Y, np.array([1.0, -1.0, 1.0, -1.0])), {"margin": 0.2}),
    ("triplet_margin_loss", (X, Y, Z), {"swap": True}),
]
RENAMED = ("margin_ranking_loss", "triplet_margin_loss")


@pytest.mark.parametrize("reduction", ["none", "mean", "sum"])
@pytest.mark.parametrize("loss", LOSSES, ids=lambda x: "-".join([x[0], *x[2]]))
def test_parity(torch, loss, reduction):
    name, arguments, kwargs = loss
    check_parity(torch, case(name, *arguments, reduction=reduction, **kwargs), name not in RENAMED)


@pytest.mark.parametrize("loss", LOSSES, ids=lambda x: "-".join([x[0], *x[2]]))
def test_gradients_of_both_orders(loss):
    name, arguments, kwargs = loss
    if name == "cosine_embedding_loss":
        check_gradients(case(name, X[:2], Y[:2], np.array([1, -1]), **kwargs))
        return
    small = [a if a.ndim == 1 else a[:2] for a in arguments]
    if arguments[-1] is SIGNS:
        small[-1] = small[-1].astype(np.int64)
    kwargs = {
        k: v[:2] if isinstance(v, np.ndarray) and v.ndim == 2 else v for k, v in kwargs.items()
    }
    check_gradients(case(name, *small, **kwargs))


@pytest.mark.parametrize(
    "item",
    [
        case("kl_div", X, P, reduction="batchmean"),
        case("mse_loss", np.zeros((0, 3)), np.zeros((0, 3))),
        case("mse_loss", np.zeros((0, 3)), np.zeros((0, 3)), reduction="sum"),
        case("smooth_l1_loss", X, Y, beta=0.0),
        case("mse_loss", np.array(1.0), np.array(3.0)),
        case("mse_loss", X.astype(np.float32), Y),
        case("binary_cross_entropy", np.array([0.0, 1.0, 0.0]), np.array([0.0, 1.0, 1.0])),
        case("binary_cross_entropy_with_logits", 1e4 * X, Q),
        case("mse_loss", X, Y, size_average=False),
    ],
    ids=str,
)
def test_edges(torch, item):
    check_parity(torch, item)


@pytest.mark.parametrize(
    "item",
    [
        case("mse_loss", X, Y, reduction="foo"),
        case("kl_div", X, Y, reduction="foo"),
        case("smooth_l1_loss", X, Y, beta=-1.0),
        case("huber_loss", X, Y, delta=0.0),
        case("binary_cross_entropy", X, P),
        case("binary_cross_entropy", P, P[0]),
        case("binary_cross_entropy_with_logits", P, P[0]),
    ],
    ids=str,
)
def test_errors(torch, item):
    check_error(torch, item)


def test_different_sizes_warn():
    with pytest.warns(UserWarning, match="different to the input size"):
        ops.mse_loss(ng.zeros(2, 3), ng.zeros(3))


def test_large_in_float32():
    x, y = (noise(300, 200, seed=k).astype(np.float32) for k in (0, 1))
    tensor = ng.from_numpy(x).requires_grad_()
    loss = ops.mse_loss(tensor, ng.from_numpy(y))
    loss.backward()
    difference = x.astype(np.float64) - y
    np.testing.assert_allclose(loss.item(), (difference**2).mean(), rtol=1e-6)
    np.testing.assert_allclose(tensor.grad.numpy(), 2 * difference / x.size, rtol=1e-5, atol=1e-12)
