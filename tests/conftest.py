import importlib.util

import pytest


def pytest_report_header(config):
    found = importlib.util.find_spec("torch") is not None
    return f"parity with PyTorch: {'torch is installed' if found else 'SKIPPED, no torch here'}"


@pytest.fixture(scope="session")
def torch():
    """PyTorch, the peer of the parity tests; they are skipped where it is missing."""
    return pytest.importorskip("torch", reason="PyTorch is not installed")
