import pathlib
import sys

import pytest

from numgrad.device import cuda


@pytest.fixture
def simulator():
    """A simulated CUDA device in the place of the machine's."""
    pytest.importorskip("greenlet", reason="the CUDA simulator needs greenlet")
    from numgrad.device._simulator import Simulator

    old = cuda.use(Simulator(count=2))
    yield cuda.driver()
    cuda.use(old)


@pytest.fixture
def machine():
    """The real driver's code on a stand-in for cuda.core."""
    pytest.importorskip("greenlet", reason="the CUDA simulator needs greenlet")
    sys.path.insert(0, str(pathlib.Path(__file__).parent))
    from standin import Machine

    machine = Machine()
    with machine.installed() as machine.driver:
        yield machine
