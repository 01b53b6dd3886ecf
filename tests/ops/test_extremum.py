"""max, min and their positions, in all their forms."""

import pathlib
import sys

import numpy as np
import pytest

import numgrad as ng
from numgrad import ops

sys.path.insert(0, str(pathlib.Path(__file__).parent))
from cases import case, check_error, check_gradients, check_parity, noise

X = noise(3, 4, 5)
INTEGERS = np.random.default_rng(0).integers(-3, 4, (3, 4, 5))
NAN = np.array([1.0, np.nan, 2.0, np.nan])

CASES = [
    *[case(f, a, *d) for f in ("max", "min") for a in (X, INTEGERS) for d in ((), (0,), (-1,))],
    *[case(f, a, *d) for f in ("argmax", "argmin") for a in (X, INTEGERS) for d in ((), (1,))],
    *[case(f, NAN, *d) for f in ("max", "min", "argmax", "argmin") for d in ((), (0,))],
    *[case(f, np.array(3.0), *d) for f in ("max", "argmin") for d in ((), (0,))],
    *[case(f, X, dim=1, keepdim=True) for f in ("max", "min", "argmax", "aminmax")],
    *[case(f, np.zeros((0, 3)), 1) for f in ("max", "argmax")],
    case("max", np.round(X)),
    case("max", X, X[::-1].copy()),
    case("min", X, other=X[0]),
    case("max", INTEGERS > 0, 1),
    case("aminmax", X),
]


@pytest.mark.parametrize("item", CASES, ids=str)
def test_parity(torch, item):
    check_parity(torch, item)


@pytest.mark.parametrize(
    "item",
    [
        *[case(f, noise(2, 3), *d) for f in ("max", "min") for d in ((), (0,), (1,))],
        case("max", np.array([1.0, 4.0, 2.0])),
        case("aminmax", noise(2, 3)),
        case("aminmax", noise(2, 3), dim=1),
    ],
    ids=str,
)
def test_gradients_of_both_orders(item):
    check_gradients(item)


@pytest.mark.parametrize(
    "item",
    [
        *[case(f, np.zeros((0, 3)), *d) for f in ("max", "argmax") for d in ((), (0,))],
        case("max", X, 3),
        case("argmax", INTEGERS > 0),
    ],
    ids=str,
)
def test_errors(torch, item):
    check_error(torch, item)


def test_wrong_arguments():
    with pytest.raises(TypeError, match="invalid combination of arguments"):
        ops.max(ng.zeros(2, 2), (0, 1))


def test_named_results(torch):
    for t in (ng, torch):
        result = t.tensor([[1.0, 5.0], [7.0, 2.0]]).max(1)
        assert repr(result) == (
            "torch.return_types.max(\nvalues=tensor([5., 7.]),\nindices=tensor([1, 0]))"
        )
        values, indices = result
        assert values is result.values
        assert indices is result.indices
        out = t.empty(2), t.empty(2, dtype=t.int64)
        t.max(t.ones(3, 2), 0, out=out)
        assert out[1].tolist() == [0, 0]


def test_long_rows_in_chunks():
    x = noise(2, 70_001)
    tensor = ng.from_numpy(x)
    assert tensor.argmax(1).tolist() == x.argmax(1).tolist()
    assert tensor.argmax().item() == x.argmax()
    np.testing.assert_array_equal(tensor.T.max(0).values.numpy(), x.max(1))
