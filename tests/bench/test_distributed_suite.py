"""`python -m numgrad bench distributed`: the table and its figures."""

import pytest

from numgrad.bench import distributed as suite

pytest.importorskip("mpi4py")


def test_every_case_has_a_target():
    assert list(suite.cases())[:4] == [
        f"all_reduce, {n}" for n in ("4 B", "64 KB", "4 MB", "64 MB")
    ]
    assert all(target >= 1 for target in suite.cases().values())


def test_a_line_and_its_figures(monkeypatch, capsys):
    installed = suite.importlib.util.find_spec
    monkeypatch.setattr(
        suite.importlib.util, "find_spec", lambda name: None if name == "torch" else installed(name)
    )
    status, (figure,) = suite.run(quick=True, only="64 KB")
    printed = capsys.readouterr().out
    assert status == 0 and "all_reduce, 64 KB" in printed and "no ratios" in printed
    assert figure["numgrad"] > 0 and "torch" not in figure
    line = suite._line("x", 2.0, {"numgrad": [1.0, 3.0, 2.0], "torch": [5.0, 5.0, 5.0]})
    assert (line["ratio"], line["target"]) == (
        2.5,
        2.0,
    ) and "2.50×  ≥ 2 ✓" in capsys.readouterr().out


def test_nothing_to_do():
    assert suite.run(only="no such case") == (0, [])


def test_the_time_of_a_spawn():
    assert suite.spawned("numgrad") > 0
