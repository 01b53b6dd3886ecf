"""sort, topk, median, quantile and their kin beside PyTorch."""

import pathlib
import sys

import numpy as np
import pytest

import numgrad as ng

sys.path.insert(0, str(pathlib.Path(__file__).parent))
from expressions import check_error, check_gradients, check_like_torch

NAN = "L([[3., nan, 1.], [2., 2., nan]])"


@pytest.mark.parametrize(
    "expression",
    f"""
t.sort(y)
t.sort(y, 0, descending=True)
y.sort(dim=1, stable=True)
t.sort({NAN})
t.sort({NAN}, descending=True)
t.sort(L([1, 0, 1, 0, 1]), descending=True)
t.sort(L([True, False, True]))
t.sort(s)
t.sort(t.zeros(0))
t.sort(t.zeros(2, 0))
t.argsort(y, 1)
t.argsort(x, descending=True)
t.argsort(s)
t.msort(y.flip(0))
t.topk(y, 2)
t.topk(y, 2, 1, largest=False)
t.topk(y.transpose(0, 2), 3, 0)
t.topk(x, 0)
t.topk({NAN}, 2)
t.topk({NAN}, 2, largest=False)
t.topk(L([3, 1, 2], dtype=t.int32), 3)
t.topk(s, 1)
t.kthvalue(y, 2)
t.kthvalue(y, 1, 0, True)
t.kthvalue({NAN}, 3)
t.kthvalue(s, 1)
t.median(y)
t.median(v)
t.median(y, 1)
t.median(y, 0, True)
t.median({NAN})
t.median({NAN}, 1)
t.median(s)
t.median(s, 0)
t.median(L([4, 2, 3, 1]))
t.median(L([4, 2, 3, 1]), 0)
t.median(t.zeros(0))
t.nanmedian({NAN})
t.nanmedian({NAN}, 1)
t.nanmedian(L([nan, nan]), 0)
t.nanmedian(x)
t.mode(y)
t.mode(L([1, 2, 2, 1, 3]))
t.mode(L([[1, 2], [2, 2]]), 0)
t.mode(L([3, 3, 1, 1]), 0, True)
t.mode(s)
t.mode({NAN})
t.quantile(y, 0.3)
t.quantile(y, L([0.25, 0.5, 1], dtype=t.float64), dim=1)
t.quantile(y, 0.3, dim=1, keepdim=True)
t.quantile(y, L([0.25, 0.5], dtype=t.float64), keepdim=True)
t.quantile(y, L([0.25, 0.5], dtype=t.float64), 0, True)
t.quantile(y, 0.3, 2, interpolation="lower")
t.quantile(y, 0.3, 2, interpolation="higher")
t.quantile(y, 0.4, 2, interpolation="nearest")
t.quantile(y, 0.3, 2, interpolation="midpoint")
t.quantile({NAN}, 0.5, dim=1)
t.quantile(s, 0.3)
t.nanquantile({NAN}, 0.5, dim=1)
t.nanquantile({NAN}, L([0.1, 0.9]))
""".split("\n")[1:-1],
)
def test_like_torch(torch, expression):
    check_like_torch(torch, expression)


@pytest.mark.parametrize(
    "expression",
    [
        "t.sort(x * x, 0)",
        "t.topk(y * y, 2, 1)",
        "t.kthvalue(x * x, 2)",
        "t.median(x * x, 1)",
        "t.median(x * x)",
        "t.mode(x * x)",
        "t.quantile(x * x, L([0.3, 0.6], dtype=t.float64), 1)",
        "t.quantile(x * x, 0.3)",
    ],
)
def test_gradients(expression):
    check_gradients(expression)


@pytest.mark.parametrize(
    "expression",
    """
t.sort(x, 2)
t.topk(x, 4)
t.topk(x, -1)
t.kthvalue(x, 0)
t.kthvalue(x, 4)
t.kthvalue(t.zeros(2, 0), 1)
t.median(L([True]))
t.median(t.zeros(2, 0), 1)
t.mode(t.zeros(0))
t.quantile(x, 0.3, interpolation="foo")
t.quantile(x, 1.3)
t.quantile(x, L(1.3, dtype=t.float64))
t.quantile(x.long(), 0.5)
t.quantile(t.zeros(0), 0.5)
t.quantile(x, L([[0.5]], dtype=t.float64))
t.quantile(x, L(0.5))
""".split("\n")[1:-1],
)
def test_errors(torch, expression):
    check_error(torch, expression)


def test_many_candidates():
    """topk beside a full sort, above and below the number that is found by insertion."""
    x = np.random.default_rng(0).integers(0, 400, (5, 3000)).astype(np.float32)
    x[2, 7] = np.nan
    for k in (1, 32, 33, 3000):
        for largest in (True, False):
            values, indices = ng.topk(ng.tensor(x), k, largest=largest)
            expected = ng.sort(ng.tensor(x), descending=largest)
            assert np.array_equal(values.numpy(), expected.values.numpy()[:, :k], equal_nan=True)
            assert np.array_equal(indices.numpy(), expected.indices.numpy()[:, :k])


def test_results_print_as_named_tuples(torch):
    for name in ("sort", "mode", "median"):
        ours, theirs = (getattr(lib, name)(lib.tensor([2, 1, 2]), 0) for lib in (ng, torch))
        assert repr(ours) == repr(theirs)
        assert ours.values is ours[0] and ours.indices is ours[1]


def test_out():
    values, indices = ng.zeros(3), ng.zeros(3, dtype=ng.int64)
    ng.sort(ng.tensor([3.0, 1.0, 2.0]), out=(values, indices))
    assert values.tolist() == [1, 2, 3] and indices.tolist() == [1, 2, 0]
