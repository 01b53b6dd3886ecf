"""Memory stays flat over training: no bytes and no objects are left behind by a step."""

import json
import pathlib
import subprocess
import sys

import pytest

PROGRAM = pathlib.Path(__file__).parent / "memory_program.py"
MIB = 1 << 20


@pytest.mark.parametrize(
    ("kind", "steps"),
    [
        ("appendix", 20_000),
        ("everything", 2_000),
        pytest.param("appendix", 1_000_000, marks=pytest.mark.long),
    ],
)
def test_training_leaves_nothing_behind(kind, steps):
    done = subprocess.run(
        [sys.executable, PROGRAM, kind, str(steps)], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    measured = json.loads(done.stdout)
    # The collector is off: one cycle a step would be an object a step. 48 bytes a step, the
    # smallest thing there is to leak, would be a megabyte in the shortest run of the appendix.
    assert measured["objects"] < 50
    assert max(measured["growth"]) < MIB / 2, measured["growth"]
