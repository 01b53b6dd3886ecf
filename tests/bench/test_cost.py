"""What kernels say they cost: every one says it, and the figures follow from it."""

import numpy as np
import pytest

from numgrad.bench import calls
from numgrad.bench.cost import Cost, cost, declared, operations
from numgrad.kernels import elementwise, maths
from numgrad.kernels._contract import Kernel

FLOAT32 = np.dtype(np.float32)
STRUCTURED = sorted(name for name, k in calls.kernels().items() if isinstance(k, Kernel))


@pytest.mark.parametrize("name", STRUCTURED)
def test_every_structured_kernel_declares_its_operations(name):
    call = calls.library_call(name, 256, np.float32)
    assert cost(call.kernel, list(call.arguments.values())).operations is not None


def test_formulas_are_counted():
    assert operations(elementwise.add.function, FLOAT32) == 1
    assert operations(elementwise.mul.derivatives["x"].function, FLOAT32) == 1
    # A comparison; the choice itself counts as nothing.
    assert operations(elementwise.relu.function, FLOAT32) == 1
    # A polynomial of degree four, and what reduces the argument and scales the result.
    exp = operations(maths.exp, FLOAT32)
    assert 15 < exp < 30 < operations(maths.exp, np.dtype(np.float64)) < 60
    # x · σ(x): one more than a sigmoid.
    silu = operations(elementwise.silu.function, FLOAT32)
    assert silu == operations(maths.sigmoid, FLOAT32) + 1


def test_an_elementwise_kernel_moves_its_arrays_once():
    x = np.ones(10, np.float32)
    condition = x > 0
    assert cost(elementwise.where_, (condition, x, x, x)) == Cost(90, 40, 0, 0)


ARRAYS = {"x": np.zeros(8), "index": np.zeros(2, np.int64), "out": np.zeros(4)}
EFFECTS = ["reads", "reads", "updates"]


@pytest.mark.parametrize(
    ("doc", "expected"),
    [
        ("Reads x, writes out; four operations an element.", Cost(64 + 16, 32, 0, 32)),
        ("Two comparisons an element of out.", Cost(64 + 16, 0, 64, 8)),
        ("Reads one element of x for each of\n  out; no operations.", Cost(32 + 16, 0, 64, 0)),
        ("Nothing is said.", Cost(64 + 16, 0, 64, None)),
    ],
)
def test_sentences(doc, expected):
    assert declared(doc, ARRAYS, EFFECTS) == expected


def test_a_maths_function_in_a_sentence_counts_as_its_formula():
    x = {"x": np.zeros(8, np.float32)}
    said = declared("An exponential and four operations an element.", x, ["reads"])
    assert said.operations == 8 * (4 + operations(maths.exp, FLOAT32))


def test_a_product():
    call = calls.library_call("matmul_packed", 1 << 12, np.float32)
    assert cost(call.kernel, list(call.arguments.values())).operations == 2 * 64**3
