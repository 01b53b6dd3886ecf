"""`python -m numgrad bench compile`: equal work in every library, and tables that say what differs."""

import json

import pytest

from numgrad import bench
from numgrad.bench import compile as suite
from numgrad.bench.peer import PeerError
from numgrad.bench.work import Case, factors

SMALL = [
    Case("train", (4, 6, 5, 3), 8),
    Case("train", (4, 6, 5, 3), 8, "Adam", 1e-2),
    Case("forward", (4, 6, 3)),
    Case("chain", (1 << 10,)),
    Case("add", (1 << 10,)),
    Case("products", (4, 6, 5, 3), 8),
]
QUICK = ("compiled", "eager", "torch", "jax")


def run(monkeypatch, cases, libraries):
    """The table of times alone: names of cases have a comma, those of the other tables don't."""
    monkeypatch.setattr(suite, "CASES", dict.fromkeys(cases, {}))
    return suite.run(1, quick=True, only=", ", libraries=libraries)


def test_every_library_does_the_same(monkeypatch, capsys):
    libraries = [name for name in suite.installed() if name in QUICK]
    status, figures = run(monkeypatch, SMALL, libraries)
    printed = capsys.readouterr().out
    assert status == 0, printed
    for case, figure in zip(SMALL, figures, strict=True):
        assert figure["case"] == case.name and case.name in printed
        assert set(figure["seconds"]) == set(libraries), printed
        assert all(seconds > 0 for seconds in figure["seconds"].values())


@pytest.mark.long
def test_the_slower_compilers_too(monkeypatch, capsys):
    libraries = [
        name for name in suite.installed() if name in ("eager", "torch.compile", "tinygrad")
    ]
    status, figures = run(monkeypatch, SMALL, libraries)
    printed = capsys.readouterr().out
    assert status == 0 and len(figures) == len(SMALL), printed


def test_the_compiled_step_is_compiled():
    """Nothing is compared with itself: the column has a program, which is faster."""
    from numgrad.bench.worker import prepare

    for case in SMALL[:5]:
        work = prepare("compiled", list(case), 1)
        for _ in range(4):
            work.run()
        assert work.run.func.programs and work.run.func.reason is None, case


def test_the_large_step_has_eight_products():
    assert len(factors(suite.PRODUCTS)) == 8


def test_first_calls_and_memory(capsys):
    status, figures = suite.run(1, quick=True, only="first calls", libraries=["compiled"])
    assert status == 0 and figures[0]["cold"]["all"] > figures[0]["warm"]["all"] > 0
    status, figures = suite.run(1, quick=True, only="memory", libraries=["compiled", "eager"])
    printed = capsys.readouterr().out
    assert status == 0 and "nothing on disk" in printed and "compiled ≤ eager" in printed
    weights = 4 * (784 * 1024 + 1024 * 1024 + 1024 * 10)
    assert all(2 * weights < figure["peak"] < 20 * weights for figure in figures)


class Fake:
    """A worker that answers what it was given."""

    def __init__(self, library, value, error=None):
        self.library, self.value, self.error = library, value, error

    def ask(self, case, **request):
        if self.error is not None:
            raise PeerError(self.error)
        return {"value": self.value, "seconds": 1e-6}


def test_what_differs_or_fails_is_said_and_has_no_time():
    notes = []
    peers = [
        Fake("compiled", 1.0),
        Fake("eager", 1.00001),
        Fake("jax", 1.1),
        Fake("torch", float("nan")),
        Fake("tinygrad", 1.0, "FileNotFoundError: clang"),
    ]
    seconds = suite._seconds(suite.APPENDIX, peers, 1, 0.0, notes)
    assert set(seconds) == {"compiled", "eager"}
    assert len(notes) == 3 and notes[0] == "tinygrad: FileNotFoundError: clang"
    assert "jax" in notes[1] and "DIFFERS" in notes[1] and "DIFFERS" in notes[2]


def test_from_the_command_line(tmp_path, capsys):
    from numgrad.__main__ import main

    file = tmp_path / "figures.json"
    assert main(["bench", "compile", "--quick", "--case", "no such case", "--json", str(file)]) == 0
    assert json.loads(file.read_text()) == []
    assert main(["bench", "nothing"]) == 2
    assert "compile, distributed, all" in capsys.readouterr().err


def test_the_suites_beside_torch(monkeypatch, capsys):
    name = "a + b, 4 elements"
    assert bench.main("small", quick=True, only=name) == 0
    assert name in capsys.readouterr().out
