"""Indices that name one element several times, and long rows, on a simulated GPU: as on the CPU."""

import numpy as np
import pytest

import numgrad as ng
from numgrad.ops import sorting

N = 70  # indices: more than a GPU goes along one by one


@pytest.fixture(autouse=True)
def device(simulator):
    yield


def draw(*shape):
    return np.random.default_rng(0).standard_normal(shape).astype(np.float32)


INDEX = np.random.default_rng(1).integers(0, 5, N)
ALONG = np.random.default_rng(2).integers(0, 5, (N, 2))


def put(x, i):
    x[i] = x.new_tensor(draw(N, 3))
    return x


def accumulate(x, i):
    return x.index_put_((i - 5,), x.new_tensor(draw(N, 3)), accumulate=True)


def reduce(how):
    def scatter(x, i):
        along = ng.tensor(ALONG).to(x.device)
        return x[:, :2].scatter_reduce(0, along, x.new_tensor(draw(N, 2)), how)

    return scatter


CASES = {
    "put": put,
    "accumulate": accumulate,
    "index_add": lambda x, i: x.index_add(0, i, x.new_tensor(draw(N, 3)), alpha=2),
    "index_fill": lambda x, i: x.index_fill(0, i[:40], 7.0),
    "one column": lambda x, i: x[:, 0].scatter_add(0, i, x.new_tensor(draw(N))),
    "scatter": lambda x, i: x.scatter(1, (i % 3).expand(5, N), x.new_tensor(draw(5, N))),
    **{how: reduce(how) for how in ("sum", "prod", "mean", "amax", "amin")},
    "bool": lambda x, i: (x > 0).index_put((i % 2 + 1,), (x[:1] > 0).expand(N, 3), accumulate=True),
    "bincount": lambda x, i: ng.bincount(i, x.new_tensor(draw(N))),
}


@pytest.mark.parametrize("name", CASES)
def test_writes_come_in_the_order_of_the_indices(name):
    found = []
    for place in ("cpu", "cuda"):
        x, i = ng.tensor(draw(5, 3)).to(place), ng.tensor(INDEX).to(place)
        found.append(CASES[name](x, i).cpu().numpy())
    np.testing.assert_allclose(*found, rtol=1e-5)


def test_an_embeddings_gradient():
    grads = []
    for place in ("cpu", "cuda"):
        weight = ng.tensor(draw(5, 3)).to(place).requires_grad_()
        rows = ng.nn.functional.embedding(ng.tensor(INDEX).to(place), weight, padding_idx=2)
        (rows * ng.tensor(draw(N, 3)).to(place)).sum().backward()
        grads.append(weight.grad.cpu().numpy())
    np.testing.assert_allclose(*grads, rtol=1e-5)
    assert not grads[1][2].any()


@pytest.mark.parametrize("dtype", [np.int8, np.float32])
def test_long_rows_are_sorted_in_steps(monkeypatch, dtype):
    monkeypatch.setattr(sorting, "_LONG", 100)
    x = (draw(2, 130) * 40).astype(dtype)
    x[0, 3] = x[1, 7]
    if dtype is np.float32:
        x[0, 5], x[1, 6], x[1, 8] = np.nan, -np.inf, -0.0
    for descending in (False, True):
        ours = ng.sort(ng.tensor(x).cuda(), 1, descending)
        expected = ng.sort(ng.tensor(x), 1, descending)
        for own, other in zip(ours, expected, strict=True):
            np.testing.assert_array_equal(own.cpu().numpy(), other.numpy())


def test_a_sort_across_tiles(monkeypatch):
    x = np.random.default_rng(0).integers(0, 256, 4100).astype(np.uint8)
    found = ng.argsort(ng.tensor(x).cuda()).cpu().numpy()
    np.testing.assert_array_equal(found, np.argsort(x, kind="stable"))


def test_masks_of_several_blocks():
    x = np.arange(17000) % 11
    found = ng.tensor(x).cuda() == 3
    np.testing.assert_array_equal(ng.nonzero(found).cpu().numpy()[:, 0], np.flatnonzero(x == 3))


def test_medians_with_nan():
    x = draw(3, 7)
    x[1, 4] = x[2, 2] = x[2, 6] = np.nan
    for function in (ng.median, ng.nanmedian):
        ours, expected = function(ng.tensor(x).cuda(), 1), function(ng.tensor(x), 1)
        for own, other in zip(ours, expected, strict=True):
            np.testing.assert_array_equal(own.cpu().numpy(), other.numpy())


def test_an_index_out_of_range():
    x = ng.zeros(3, device="cuda")
    with pytest.raises(IndexError, match="index 7 is out of bounds for dimension 0 with size 3"):
        x[ng.tensor([0, 7]).cuda()].cpu()
