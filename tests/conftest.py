import importlib.util

import pytest


def pytest_addoption(parser):
    parser.addoption("--run-long", action="store_true", help="also run the tests of minutes")


def pytest_collection_modifyitems(config, items):
    if config.getoption("--run-long"):
        return
    for item in items:
        if "long" in item.keywords:
            item.add_marker(pytest.mark.skip(reason="takes minutes: pytest --run-long"))


def pytest_report_header(config):
    found = importlib.util.find_spec("torch") is not None
    return f"parity with PyTorch: {'torch is installed' if found else 'SKIPPED, no torch here'}"


@pytest.fixture(scope="session")
def torch():
    """PyTorch, the peer of the parity tests; they are skipped where it is missing."""
    return pytest.importorskip("torch", reason="PyTorch is not installed")
