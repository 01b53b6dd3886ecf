"""Optimizers of parameters on a simulated GPU: the CPU's steps, in one launch for a group."""

import pathlib
import sys

import numpy as np
import pytest

import numgrad as ng
from numgrad.device import cuda
from numgrad.kernels.cuda.updates import CHUNK

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent / "optim"))
from test_optimizers import CASES, IDS

SHAPES = [(3, 4), (5,), (), (0, 2), (13,)]


@pytest.fixture(autouse=True)
def device(simulator):
    yield


def draw(shapes, seed):
    rng = np.random.default_rng(seed)
    return [np.asarray(rng.standard_normal(shape), np.float32) for shape in shapes]


def train(name, options, place, steps=3):
    params = [ng.from_numpy(a).to(place).requires_grad_() for a in draw(SHAPES, 99)]
    optimizer = getattr(ng.optim, name)(params, **options)
    for step in range(steps):
        for number, (param, grad) in enumerate(zip(params, draw(SHAPES, step), strict=True)):
            param.grad = ng.from_numpy(grad).to(place) if number != 1 or step >= 1 else None
        optimizer.step()
    return params, optimizer


@pytest.mark.parametrize(("name", "options"), CASES, ids=IDS)
def test_the_cpus_steps(name, options):
    ours, optimizer = train(name, options, "cuda")
    for own, other in zip(ours, train(name, options, "cpu")[0], strict=True):
        np.testing.assert_allclose(own.detach().cpu(), other.detach(), rtol=2e-6, atol=1e-7)
    for state in optimizer.state.values():
        assert all(value.is_cuda for value in state.values() if isinstance(value, ng.Tensor))


def test_a_group_is_one_launch(monkeypatch):
    params, optimizer = train("SGD", {"lr": 0.1}, "cuda", steps=1)
    launched = []
    monkeypatch.setattr(cuda, "launch", lambda kernel, *rest: launched.append(kernel.name))
    optimizer.step()
    assert launched == ["sgd"]


def test_parameters_that_are_not_aligned_or_longer_than_a_chunk():
    found = []
    for place in ("cpu", "cuda"):
        long, odd = (ng.from_numpy(a).to(place) for a in draw([(CHUNK + 6,), (9,)], 1))
        params = [odd[1:].detach(), long.detach()]
        for param in params:
            param.grad = param * 2
        ng.optim.SGD(params, lr=0.25, momentum=0.5).step()
        found.append([t.cpu().numpy() for t in (odd, long)])
    for own, other in zip(*found, strict=True):
        np.testing.assert_array_equal(own, other)


def test_parameters_on_two_devices():
    params = [ng.ones(3, device=f"cuda:{k}", requires_grad=True) for k in (0, 1, 0)]
    for k, param in enumerate(params):
        param.grad = ng.full_like(param, float(k))
    optimizer = ng.optim.Adam(params, lr=0.5)
    optimizer.step()
    assert [param[0].item() for param in params] == [1.0, 0.5, 0.5]
    assert [str(optimizer.state[p]["step"].device) for p in params] == [
        "cuda:0",
        "cuda:1",
        "cuda:0",
    ]


def test_a_state_that_was_saved_on_the_cpu():
    saved = train("Adam", {}, "cpu", steps=2)[1].state_dict()
    params, optimizer = train("Adam", {}, "cuda", steps=1)
    optimizer.load_state_dict(saved)
    for param in params:
        assert optimizer.state[param]["step"].device == param.device
        assert optimizer.state[param]["exp_avg"].device == param.device
        param.grad = ng.ones_like(param)
    optimizer.step()
