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
