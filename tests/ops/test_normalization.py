"""Layer, batch, group, instance and RMS normalisation."""

import pathlib
import sys

import numpy as np
import pytest

import numgrad as ng
from numgrad import ops
from numgrad.autograd import gradcheck, gradgradcheck
from numgrad.ops.normalization import instance_norm

sys.path.insert(0, str(pathlib.Path(__file__).parent))
from cases import case, check_error, check_gradients, check_parity, noise

X = noise(3, 4, 5)
BATCHES = (noise(6, 4), X, noise(2, 4, 3, 2))
WEIGHT, BIAS = noise(4, seed=1), noise(4, seed=2)

CASES = [
    *[case("layer_norm", X, s) for s in ((5,), (4, 5))],
    *[case("layer_norm", X, s, noise(*s), noise(*s, seed=1)) for s in ((5,), (4, 5))],
    case("layer_norm", X, (5,), noise(5)),
    case("layer_norm", np.zeros((0, 5)), (5,), noise(5), noise(5)),
    *[case("group_norm", b, 2, WEIGHT, BIAS) for b in BATCHES],
    case("group_norm", X, 4),
    case("rms_norm", X, (5,), noise(5)),
    case("rms_norm", X, (4, 5), None, 1e-3),
]


@pytest.mark.parametrize("item", CASES, ids=str)
def test_parity(torch, item):
    check_parity(torch, item)


@pytest.mark.parametrize(
    "item",
    [
        case("layer_norm", noise(2, 3), (3,), noise(3), noise(3, seed=1)),
        case("layer_norm", noise(2, 2, 2), (2, 2)),
        case("group_norm", noise(2, 4), 2, noise(4), noise(4, seed=1)),
        case("rms_norm", noise(2, 3), (3,), noise(3)),
    ],
    ids=str,
)
def test_gradients_of_both_orders(item):
    check_gradients(item)


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("affine", [False, True])
@pytest.mark.parametrize("x", BATCHES, ids=lambda x: "x".join(map(str, x.shape)))
def test_batch_norm(torch, x, affine, training):
    seed = noise(*x.shape, seed=9)
    results = []
    for t in (ng, torch):
        mean, var = t.from_numpy(noise(4, seed=3)), t.from_numpy(noise(4, seed=4) ** 2 + 0.5)
        leaves = [t.from_numpy(x.copy()).requires_grad_()]
        if affine:
            leaves += [t.from_numpy(a.copy()).requires_grad_() for a in (WEIGHT, BIAS)]
        function = ops.batch_norm if t is ng else torch.nn.functional.batch_norm
        out = function(leaves[0], mean, var, *(leaves[1:] or (None, None)), training, 0.3)
        assert out.grad_fn.name() == "NativeBatchNormBackward0"
        grads = t.autograd.grad(out, leaves, t.from_numpy(seed))
        results.append(
            [out.detach().numpy(), mean.numpy(), var.numpy(), *[g.numpy() for g in grads]]
        )
    for own, other in zip(*results, strict=True):
        np.testing.assert_allclose(own, other, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("training", [False, True])
def test_gradients_of_both_orders_of_batch_norm(training):
    mean, var = ng.from_numpy(noise(2)), ng.from_numpy(noise(2, seed=1) ** 2 + 0.5)
    leaves = [
        ng.from_numpy(a).requires_grad_()
        for a in (noise(3, 2, 2), noise(2, seed=2), noise(2, seed=3))
    ]

    def function(x, weight, bias):
        return ops.batch_norm(x, mean, var, weight, bias, training, 0.0)

    assert gradcheck(function, leaves)
    assert gradgradcheck(function, leaves)


def test_instance_norm(torch):
    results = []
    for t in (ng, torch):
        function = instance_norm if t is ng else torch.nn.functional.instance_norm
        mean, var = t.from_numpy(noise(4, seed=3)), t.from_numpy(noise(4, seed=4) ** 2 + 0.5)
        tensors = [t.from_numpy(a.copy()) for a in (WEIGHT, BIAS)]
        x = t.from_numpy(X.copy()).requires_grad_()
        out = function(x, mean, var, *tensors)
        (grad,) = t.autograd.grad(out, x, t.from_numpy(noise(*X.shape, seed=9)))
        results.append([out.detach().numpy(), grad.numpy(), mean.numpy(), var.numpy()])
    for own, other in zip(*results, strict=True):
        np.testing.assert_allclose(own, other, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize(
    "item",
    [
        case("layer_norm", X, (3,)),
        case("layer_norm", X, (5,), noise(4)),
        case("batch_norm", X, None, None),
        case("batch_norm", X, noise(3), noise(3)),
        case("batch_norm", noise(1, 4), None, None, training=True),
        case("group_norm", X, 3),
    ],
    ids=str,
)
def test_errors(torch, item):
    check_error(torch, item)


def test_large_in_float32_and_running_statistics():
    x = (3 + noise(2000, 40)).astype(np.float32)
    mean, var = ng.zeros(40), ng.ones(40)
    before = mean._version
    tensor = ng.from_numpy(x).requires_grad_()
    weight = ng.ones(40, requires_grad=True)
    out = ops.batch_norm(tensor, mean, var, weight, None, True)
    assert mean._version == before + 1
    exact = x.astype(np.float64)
    np.testing.assert_allclose(mean.numpy(), 0.1 * exact.mean(0), rtol=1e-6)
    np.testing.assert_allclose(var.numpy(), 0.9 + 0.1 * exact.var(0, ddof=1), rtol=1e-6)
    normal = (exact - exact.mean(0)) / np.sqrt(exact.var(0) + 1e-5)
    np.testing.assert_allclose(out.detach().numpy(), normal, rtol=1e-4, atol=1e-5)
    out.square().sum().backward()
    np.testing.assert_allclose(weight.grad.numpy(), 2 * (normal**2).sum(0), rtol=1e-5)
    rows = ng.from_numpy(x).requires_grad_()
    ops.layer_norm(rows, (40,), weight).sum().backward()
    assert abs(rows.grad.numpy()).max() < 1e-4
