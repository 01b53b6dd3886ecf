"""Variance and standard deviation."""

import pathlib
import sys

import numpy as np
import pytest

import numgrad as ng

sys.path.insert(0, str(pathlib.Path(__file__).parent))
from cases import case, check_error, check_gradients, check_parity, noise

X = noise(3, 4, 5)
NAMES = ("var", "std", "var_mean", "std_mean")

CASES = [
    *[case(f, X) for f in NAMES],
    *[case(f, X, 1) for f in NAMES],
    *[case(f, X, (0, 2), correction=0, keepdim=True) for f in NAMES],
    *[case(f, X, unbiased=False) for f in ("var", "std_mean")],
    *[case("var", X, 1, False), case("var", X, False), case("var", X, dim=2, correction=2)],
    *[case(f, np.zeros((0, 3)), d) for f in ("var", "std_mean") for d in (0, 1)],
    case("var", np.ones(1)),
]


@pytest.mark.parametrize("item", CASES, ids=str)
def test_parity(torch, item):
    check_parity(torch, item)


@pytest.mark.parametrize("name", NAMES)
def test_gradients_of_both_orders(name):
    check_gradients(case(name, noise(2, 3)))
    check_gradients(case(name, noise(2, 3), 1, correction=0))


def test_errors(torch):
    check_error(torch, case("var", np.arange(3)))
    check_error(torch, case("std", X, 3))


def test_too_few_elements_warn():
    with pytest.warns(UserWarning, match="degrees of freedom is <= 0"):
        assert ng.from_numpy(np.ones(1)).var().isnan()


def test_constant_input_has_no_gradient_but_no_nan():
    x = ng.ones(4, requires_grad=True)
    x.std().backward()
    assert x.grad.tolist() == [0, 0, 0, 0]


def test_far_from_zero_in_float32():
    x = (1e4 + noise(100_000)).astype(np.float32)
    found = ng.from_numpy(x).var().item()
    np.testing.assert_allclose(found, x.astype(np.float64).var(ddof=1), rtol=1e-5)
