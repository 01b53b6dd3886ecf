"""cross_entropy and nll_loss in all their forms."""

import pathlib
import sys

import numpy as np
import pytest

import numgrad as ng
from numgrad import ops

sys.path.insert(0, str(pathlib.Path(__file__).parent))
from cases import case, check_error, check_gradients, check_parity, noise

X = noise(6, 5)
LABELS = np.array([0, 4, -100, 2, 2, 1])
P = np.random.default_rng(0).dirichlet(np.ones(5), 6)
W = np.array([0.5, 1.0, 2.0, 0.1, 3.0])
LABEL = np.array(2)
SPATIAL, SPATIAL_LABELS = noise(2, 5, 3), np.array([[0, 4, -100], [1, 2, 2]])
SPATIAL_P = np.moveaxis(P.reshape(2, 3, 5), -1, 1).copy()
IMAGES, IMAGE_LABELS = noise(2, 5, 3, 2), np.arange(12).reshape(2, 3, 2) % 5


@pytest.mark.parametrize("reduction", ["none", "mean", "sum"])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_cross_entropy(torch, reduction, weighted, smoothing):
    kwargs = {"reduction": reduction, "label_smoothing": smoothing}
    if weighted:
        kwargs["weight"] = W
    check_parity(torch, case("cross_entropy", X, LABELS, **kwargs))
    check_parity(torch, case("cross_entropy", X[0], LABEL, **kwargs))
    for x, target in ((SPATIAL, SPATIAL_LABELS), (X, P), (SPATIAL, SPATIAL_P)):
        check_parity(torch, case("cross_entropy", x, target, **kwargs), names=False)


@pytest.mark.parametrize("reduction", ["none", "mean", "sum"])
def test_nll_loss(torch, reduction):
    check_parity(torch, case("nll_loss", X, LABELS, weight=W, reduction=reduction))
    check_parity(torch, case("nll_loss", X[0], LABEL, reduction=reduction))
    for x, target in ((SPATIAL, SPATIAL_LABELS), (IMAGES, IMAGE_LABELS)):
        # One "none" loss of (N, C, d) is a view of another in PyTorch; the name differs.
        names = reduction != "none"
        check_parity(torch, case("nll_loss", x, target, weight=W, reduction=reduction), names)


@pytest.mark.parametrize("reduction", ["none", "mean", "sum"])
@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_gradients_of_both_orders(reduction, smoothing):
    kwargs = {"reduction": reduction, "label_smoothing": smoothing, "weight": W[:3]}
    x, labels = noise(3, 3), np.array([2, -100, 0])
    check_gradients(case("cross_entropy", x, labels, **kwargs))
    check_gradients(case("cross_entropy", x, P[:3, :3].copy(), **kwargs))
    nll = case("nll_loss", x, labels, weight=W[:3], reduction=reduction)
    check_gradients(nll, second=False)


def test_second_order_of_plain_and_spatial():
    check_gradients(case("cross_entropy", noise(2, 3), np.array([2, 0])))
    check_gradients(case("cross_entropy", noise(2, 3, 2), np.array([[2, 0], [1, 1]])))
    check_gradients(
        case("cross_entropy", noise(2, 3, 2), np.array([[2, 0], [1, 1]]), label_smoothing=0.1)
    )


@pytest.mark.parametrize("reduction", ["none", "mean", "sum"])
def test_nothing_to_learn_from(torch, reduction):
    empty = case("cross_entropy", np.zeros((0, 3)), np.zeros(0, np.int64), reduction=reduction)
    check_parity(torch, empty)
    ignored = case("cross_entropy", X, np.full(6, -100), reduction=reduction)
    check_parity(torch, ignored)
    other = case("cross_entropy", X, np.abs(LABELS) % 5, ignore_index=2, reduction=reduction)
    check_parity(torch, other)


FLOATS, BAD = LABELS.astype(float), np.array([0, 1, 5, 2, 0, 0])


@pytest.mark.parametrize("name", ["cross_entropy", "nll_loss"])
def test_errors(torch, name):
    for target in (FLOATS, BAD, -(BAD == 5).astype(int), LABELS[:2], LABELS.astype(np.int32)):
        check_error(torch, case(name, X, target))
    check_error(torch, case(name, X, LABELS[:, None]))
    check_error(torch, case(name, X, LABEL))
    check_error(torch, case(name, X[0], LABELS[:2]))
    check_error(torch, case(name, X, LABELS, W.copy()))
    for weight in (W[:3], W.astype(np.float32)):
        check_error(torch, case(name, X, LABELS, weight=weight))
    check_error(torch, case(name, X, LABELS, reduction="foo"))
    for target in (SPATIAL_LABELS.T.copy(), SPATIAL_LABELS[:, :2].copy()):
        check_error(torch, case(name, SPATIAL, target))
    for target in (SPATIAL_LABELS, IMAGE_LABELS[:, :2].copy()):
        check_error(torch, case(name, IMAGES, target))


def test_more_errors(torch):
    check_error(torch, case("cross_entropy", X, LABELS, label_smoothing=2.0))
    check_error(torch, case("cross_entropy", np.arange(30).reshape(6, 5), LABELS))
    check_error(torch, case("cross_entropy", np.array(1.0), np.array(0)))


def test_the_gradient_is_two_launches_and_right_in_float32(torch):
    x, target = noise(700, 60).astype(np.float32), np.arange(700) % 60
    ours = ng.from_numpy(x.copy()).requires_grad_()
    ops.cross_entropy(ours, ng.from_numpy(target)).backward()
    theirs = torch.from_numpy(x.copy()).requires_grad_()
    torch.nn.functional.cross_entropy(theirs, torch.from_numpy(target)).backward()
    np.testing.assert_allclose(ours.grad.numpy(), theirs.grad.numpy(), rtol=1e-5, atol=1e-9)
