"""bincount, histc, unique and searchsorted beside PyTorch."""

import pathlib
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import numgrad as ng

sys.path.insert(0, str(pathlib.Path(__file__).parent))
from expressions import check_error, check_like_torch


@pytest.mark.parametrize(
    "expression",
    """
t.bincount(L([0, 2, 2]))
t.bincount(L([0, 2, 2], dtype=t.uint8), minlength=5)
t.bincount(L([0, 2, 2]), L([1., 2., 3.]))
t.bincount(L([0, 2, 2]), L([1, 2, 3]))
t.bincount(t.zeros(0, dtype=t.int64), minlength=2)
t.histc(x.detach(), 3)
t.histc(x.detach(), 4, 0.5, 1)
t.histc(L([1., 1.]), 4)
t.histc(t.zeros(0), 4)
t.unique(L([3, 1, 3]))
t.unique(L([[3, 1], [3, 1]]), return_inverse=True, return_counts=True)
L([[3, 1], [3, 1]]).unique(dim=0)
t.unique(L([[3, 1], [3, 1]]), dim=1, return_inverse=True, return_counts=True)
t.unique(L([nan, 1., nan]))
t.unique(L(3), return_inverse=True)
t.unique(t.zeros(0), return_counts=True)
t.unique(t.zeros(0, 2), dim=0)
t.unique(L([True, False, True]), return_inverse=True)
t.unique_consecutive(L([1, 1, 2, 1]), True, True)
t.unique_consecutive(L([[1, 1], [1, 1], [2, 2]]), dim=0, return_counts=True, return_inverse=True)
t.unique_consecutive(L([[1, 1], [1, 2]]), return_inverse=True)
t.unique_consecutive(L(3))
t.unique_consecutive(t.zeros(0))
t.unique_consecutive(L([nan, nan]))
t.searchsorted(L([1, 3, 5]), L([3, 6]))
t.searchsorted(L([1, 3, 5]), L([[3], [6]]), side="right")
t.searchsorted(L([1, 3, 5]), 3)
t.searchsorted(L([1, 3, 5]), 3, right=True)
t.searchsorted(L([1, 3, 5]), L([2.5, 3.]))
t.searchsorted(L([[1., 2.], [3., 4.]]), L([[1.5], [4.]]))
t.searchsorted(L([5, 1, 3]), L([3, 6]), sorter=L([1, 2, 0]))
t.searchsorted(L([1., nan]), L([nan, 2.]))
t.searchsorted(L([1, 3]), L([1]), out_int32=True)
t.searchsorted(t.zeros(0), L([1.]))
t.searchsorted(L([1.]), t.zeros(0))
t.bucketize(L([[3, 6], [1, 0]]), L([1, 3]))
t.bucketize(3, L([1, 3]), right=True)
""".split("\n")[1:-1],
)
def test_like_torch(torch, expression):
    check_like_torch(torch, expression)


@pytest.mark.parametrize(
    "expression",
    """
t.bincount(L([-1]))
t.bincount(L([[1]]))
t.bincount(L([1.]))
t.bincount(L([1]), L([1., 2.]))
t.bincount(L([1]), minlength=-1)
t.histc(x, 0)
t.histc(x.long(), 3)
t.histc(x, 3, 5, 1)
t.unique(t.zeros(2, 0), dim=0)
t.unique(L(3), dim=0)
t.unique(x, dim=3)
t.searchsorted(x, v)
t.searchsorted(x, 1.)
t.searchsorted(L([1, 3]), L([1]), side="foo")
t.searchsorted(L([1, 3]), L([1]), side="left", right=True)
t.bucketize(L([3]), L([[1, 3]]))
""".split("\n")[1:-1],
)
def test_errors(torch, expression):
    check_error(torch, expression)


@settings(max_examples=50, deadline=None)
@given(
    st.lists(st.integers(-5, 5), max_size=20),
    st.lists(st.integers(-6, 6), max_size=8),
    st.booleans(),
)
def test_search_beside_numpy(boundaries, values, right):
    boundaries = np.sort(np.array(boundaries, np.int64))
    values = np.array(values, np.int64)
    found = ng.searchsorted(ng.tensor(boundaries), ng.tensor(values), right=right)
    expected = np.searchsorted(boundaries, values, "right" if right else "left")
    assert found.tolist() == expected.tolist()
