"""Every CUDA twin against its CPU kernel, on tiny arrays in the simulator.

What is launched is what drives the kernels in `tests/kernels/test_effects.py`.
"""

import pathlib
import sys
import warnings

import numpy as np
import pytest

pytest.importorskip("greenlet", reason="the CUDA simulator needs greenlet")
sys.path.insert(0, str(pathlib.Path(__file__).parent))
sys.path.insert(0, str(pathlib.Path(__file__).parent.parent / "kernels"))
from pending import HOST, PENDING
from test_effects import every_kernel, run_everything, run_what_no_operation_launches
from twins import comparing

from numgrad.kernels import elementwise, losses
from numgrad.kernels._elementwise import Elementwise


@pytest.fixture(scope="module")
def comparison():
    with comparing() as found, warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        run_everything()
        run_what_no_operation_launches(found.launch)
    return found


STRUCTURED = sorted(every_kernel(), key=lambda k: k.name)


@pytest.mark.parametrize("kernel", STRUCTURED, ids=lambda k: k.name)
def test_structured(kernel, comparison):
    if kernel.twin is None:
        assert kernel.name in PENDING | HOST
        pytest.skip("no CUDA form yet")
    assert comparison.compared.get(kernel), "its twin was not run"
    assert kernel not in comparison.faults, comparison.faults[kernel]


def table():
    for module in (elementwise, losses):
        for value in vars(module).values():
            if isinstance(value, Elementwise):
                yield value
                yield from value.derivatives.values()
    yield from elementwise.copy.values()


@pytest.mark.parametrize("kernel", sorted(set(table()), key=lambda k: k.name), ids=lambda k: k.name)
def test_elementwise(kernel, comparison):
    assert kernel not in comparison.faults, comparison.faults[kernel]
    assert comparison.compared.get(kernel) or kernel not in comparison.launched


def test_what_is_pending_has_no_twin():
    assert {k.name for k in STRUCTURED if k.twin is None} == PENDING | HOST
