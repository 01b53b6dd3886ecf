"""Elementwise loops on NumPy arrays: in place, and what they refuse."""

import numpy as np
import pytest

from numgrad.kernels import elementwise as table
from numgrad.kernels._elementwise import Elementwise

KERNELS = {name: k for name, k in vars(table).items() if type(k) is Elementwise}
SAME_DTYPE = {name: k for name, k in KERNELS.items() if k.dtypes == [None] * len(k.dtypes)}


@pytest.mark.parametrize("name", SAME_DTYPE)
def test_in_place_gives_what_it_gives_elsewhere(name):
    kernel = SAME_DTYPE[name]
    rng = np.random.default_rng(0)
    kind = np.float32
    if name.startswith("bitwise") or name in ("int_pow", "left_shift", "right_shift"):
        kind = np.int64
    for shape in ((1000,), (37, 33)):
        inputs = [(rng.random(shape) * 4 + 0.5).astype(kind) for _ in kernel.inputs]
        for transposed in (False, True):
            given = [x.T if transposed else x for x in inputs]
            expected = np.empty(given[0].shape, kind)
            kernel(*given, expected)
            for position in range(len(given)):
                arrays = [x.copy(order="K") for x in given]
                kernel(*arrays, arrays[position])
                np.testing.assert_array_equal(arrays[position], expected)


def test_arrays_that_overlap_otherwise_are_refused():
    x = np.arange(10, dtype=np.float32)
    with pytest.raises(ValueError, match="exp_: x and out overlap without being the same array"):
        table.exp_(x[1:], x[:-1])
    with pytest.raises(ValueError, match="overlap"):
        table.add(x[::-1], x, x)
    square = np.arange(9, dtype=np.float32).reshape(3, 3)
    with pytest.raises(ValueError, match="overlap"):
        table.add(square, square.T, square)
    table.exp_(x[::2], x[1::2])  # interleaved, but apart
    assert x[1] == 1.0
