"""The helpers of these tests are modules beside them."""

import pathlib
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parent))
pytest.importorskip("mpi4py", reason='pip install "numgrad[distributed]"')
