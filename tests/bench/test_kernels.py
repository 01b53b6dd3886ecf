"""`python -m numgrad bench`: every kernel can be called, measured, drawn, and compared."""

import doctest
import importlib
import json
import pkgutil
import re

import numpy as np
import pytest

from numgrad import bench
from numgrad.__main__ import main
from numgrad.bench import calls, ceilings, elsewhere, measure, report, runs
from numgrad.bench.cost import Cost
from numgrad.device import cpu
from numgrad.kernels._contract import flat, scalar, updates, writes
from numgrad.kernels.elementwise import silu


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """As short as it gets: what is measured does not matter here."""
    monkeypatch.setattr(runs, "QUICK", (2, 1e-4))
    monkeypatch.setattr(ceilings, "BUDGET", 1e-4)
    monkeypatch.setattr(ceilings, "TIMINGS", 1)
    monkeypatch.setattr(ceilings, "MEMORY", (1 << 21, 1 << 22))
    monkeypatch.setattr(ceilings, "caches", lambda: {"L1": 1 << 15, "L2": 1 << 18})
    ceilings.measure.cache_clear()
    yield
    ceilings.measure.cache_clear()


@pytest.mark.parametrize("name", sorted(set(runs.KERNELS)))
def test_the_kernels_that_run_by_default(name):
    call = calls.library_call(name, 1 << 12, np.float32)
    assert 1 << 11 <= call.elements <= 1 << 13
    cpu.run(call.kernel, call.dtype, call.items, tuple(call.arguments.values()), call.work)
    assert np.isfinite(call.written()[0]).all() and np.any(call.written()[0])


def test_every_kernel_has_arguments():
    for name in calls.kernels():
        call = calls.library_call(name, 64, np.float32)
        if hasattr(call.kernel, "_check"):
            call.kernel._check(tuple(call.arguments.values()))


def test_peers_compute_the_same():
    """NumPy's expressions, at a size where nothing is random: what differs is left out with a note."""
    names = [n for n in elsewhere.PEERS if n in calls.kernels() and "numpy" in elsewhere.PEERS[n]]
    names = [n for n in names if n in runs.KERNELS or n in ("where", "order", "search", "join")]
    with measure.Others(["numpy"], 1) as others:
        for name in names:
            subject = measure.library(name, 1 << 10, "float32")
            subject.run()
            with others.work(subject) as work:
                assert "numpy" in work, (name, others.notes)
    assert others.notes == []


def test_ceilings_say_what_is_shortest():
    own = ceilings.Ceilings(
        1,
        (
            ceilings.Level("L1", 1000, 10.0, 10.0, 10.0),
            ceilings.Level("memory", None, 2.0, 1.0, 1.0),
        ),
        {"float32": 5.0},
        0.0,
    )
    copy = Cost(50, 50, 0, 0)
    assert own.seconds(copy, 1000, "float32") == (pytest.approx(10.0), "L1")
    assert own.seconds(copy, 2000, "float32") == (pytest.approx(100.0), "memory")
    # Reading alone is faster than copying; between two levels the time is between theirs.
    assert own.seconds(Cost(100, 0, 0, 0), 9000, "float32") == (pytest.approx(50.0), "memory")
    assert 10.0 < own.seconds(copy, 1400, "float32")[0] < 100.0
    assert own.seconds(copy._replace(operations=1000), 10, "float32") == (200.0, "operations")
    assert own.seconds(copy._replace(operations=1000), 10, "int64")[1] == "L1"
    assert ceilings.from_dict(json.loads(json.dumps(own.as_dict()))) == own


def test_measured_ceilings():
    own = ceilings.measure(1)
    assert [level.name for level in own.levels] == ["L1", "L2", "memory"]
    assert all(min(level.read, level.copy) > 1e7 for level in own.levels)
    assert min(own.operations["float32"], own.operations["float64"]) > 1e7


def test_a_run_table_pictures_and_figures(tmp_path, capsys):
    pytest.importorskip("matplotlib")
    arguments = ["bench", "relu", "sum_rows", "--sizes", "2^8,1024", "--quick", "--threads", "1"]
    assert main([*arguments, "--beside", "numpy", "--output", str(tmp_path)]) == 0
    printed = capsys.readouterr().out
    assert re.search(r"relu .*float32 .*2\^8 .*%", printed) and "2^10" in printed
    names = sorted(path.name.split("-")[-1] for path in tmp_path.glob("*.png"))
    assert names == ["comparison.png", "roofline.png", "sizes.png"]
    (figures,) = tmp_path.glob("*.json")
    value = json.loads(figures.read_text())
    assert {"machine", "versions", "commit", "ceilings", "results"} <= set(value)
    assert [(r["kernel"], r["elements"]) for r in value["results"]] == [
        ("relu", 256), ("relu", 1024), ("sum_rows", 256), ("sum_rows", 1024),
    ]  # fmt: skip
    assert all("numpy" in r["peers"] and r["least"] > 0 for r in value["results"])
    again = bench.load(figures)
    assert again.heading() in printed and again.rows[0].peers["numpy"][0] > 0
    html = again.html()
    assert "<table>" in html and "data:image/png;base64," in html
    for picture in tmp_path.glob("*.png"):
        assert picture.read_bytes()[:8] == b"\x89PNG\r\n\x1a\n" and picture.stat().st_size > 8000


def test_what_the_command_line_refuses(capsys):
    assert main(["bench", "no_such_kernel"]) == 2
    assert "no_such_kernel" in capsys.readouterr().err
    assert main(["bench", "relu", "--beside", "no_such_library", "--quick"]) == 2
    assert "no_such_library" in capsys.readouterr().err
    assert main(["bench", "--list"]) == 0
    assert {"exp", "softmax_rows", "gelu_backward"} <= set(capsys.readouterr().out.split())


def test_an_answer_that_differs_is_left_out():
    subject = measure.library("relu", 256, "float32")
    subject.peers = {"numpy": "x + 1"}
    subject.run()
    with measure.Others(["numpy"], 1) as others, others.work(subject) as work:
        assert work == {}
    assert "numpy computes something else" in others.notes[0]


# ------------------------------------------------------------------------- two runs


def row(name, seconds, spread=0.0):
    low, high = seconds * (1 - spread / 2), seconds * (1 + spread / 2)
    return measure.Row(
        name, "float32", 64, (64,), 1, seconds, low, high, 256, 256, 0, 64, 1e-6, "L1", {}
    )


def of_rows(*rows):
    own = ceilings.Ceilings(
        1, (ceilings.Level("memory", None, 1e9, 1e9, 1e9),), {"float32": 1e9}, 1e-6
    )
    return report.gather(list(rows), [own], [])


def test_changes_beyond_the_noise(tmp_path, capsys):
    before = of_rows(
        row("a", 1.0), row("b", 1.0), row("c", 1.0, 0.5), row("d", 1.0), row("gone", 1.0)
    )
    after = of_rows(
        row("a", 0.8), row("b", 1.2), row("c", 1.5, 0.5), row("d", 1.04), row("new", 1.0)
    )
    found = bench.compare(before, after)
    assert {c.after.kernel: c.mark for c in found.changes} == {
        "a": "faster", "b": "slower", "c": "", "d": "",
    }  # fmt: skip
    files = []
    for name, own in (("before", before), ("after", after)):
        (path,) = [p for p in own.save(tmp_path / name) if p.suffix == ".json"]
        files.append(str(path))
    assert main(["bench", "--compare", *files]) == 0
    printed = capsys.readouterr().out
    assert re.search(r"^a .*1\.25×.*faster$", printed, re.MULTILINE)
    assert re.search(r"^c .*0\.67×.*\d%$", printed, re.MULTILINE)
    assert "only before: gone" in printed and "1 are faster and 1 slower" in printed
    assert main(["bench", "--compare", files[0], str(tmp_path / "none.json")]) == 2


# -------------------------------------------------------------- a kernel of one's own


def test_a_plain_function(tmp_path):
    @bench.kernel(beside={"numpy": "x * 2 + y"})
    def twice(x, y, out):
        """2 x + y: two operations an element."""
        for i in range(x.size):
            out[i] = 2 * x[i] + y[i]

    found = twice.bench(sizes=[64, 256], quick=True, save=tmp_path)
    last = found.rows[-1]
    assert (last.read, last.written, last.updated, last.operations) == (2048, 1024, 0, 512)
    assert set(last.peers) == {"numpy"} and last.roofline > 0 and last.bound
    assert found._repr_mimebundle_()["text/html"].count("data:image/png") == 1
    assert len(list(tmp_path.glob("*.png"))) == 3
    out = np.empty(3)
    twice(np.ones(3), np.ones(3), out)
    assert out.tolist() == [3, 3, 3]


def test_what_is_updated_is_seen():
    @bench.kernel
    def accumulate(x, total, count):
        for i in range(x.size):
            total[i] += x[i]
        count[0] = x.size

    subject = accumulate.subject(16, "float64")
    # Of the 16 elements of `count` one is written, and the others keep what they held.
    assert subject.cost == Cost(128, 0, 512, 16)


def test_functions_of_the_contract_and_kernels():
    @bench.kernel(beside={"a function": lambda x, out: np.cbrt(x)})
    def cube_root(begin, end, x: flat, out: writes(flat)):
        """Forty operations an element."""
        for i in range(begin, end):
            out[i] = np.cbrt(x[i])

    (found,) = cube_root.bench(sizes=[1 << 8], quick=True, save=None).rows
    assert found.operations == 40 << 8 and set(found.peers) == {"a function"}

    own = bench.kernel(silu)
    (found,) = own.bench(sizes=[64], quick=True, save=None).rows
    assert (found.kernel, found.read, found.written) == ("silu", 256, 256)

    @bench.kernel(arguments=lambda n, dtype: (np.ones(n, dtype), 3.0))
    def scaled(begin, end, x: updates(flat), by: scalar):
        for i in range(begin, end):
            x[i] *= by

    assert scaled.subject(8, "float32").cost.updated == 64
    with pytest.raises(TypeError, match="takes 2 arguments"):
        bench.kernel(arguments=lambda n, dtype: (1,))(scaled.kernel).subject(4, "float32")


def test_examples_in_docstrings():
    package = importlib.import_module("numgrad.bench")
    own = ("jax_peer", "tinygrad_peer", "pictures", "once", "worker")
    count = 0
    for module in pkgutil.iter_modules(package.__path__):
        if module.name not in own:
            result = doctest.testmod(importlib.import_module(f"{package.__name__}.{module.name}"))
            assert result.failed == 0, module.name
            count += result.attempted
    assert count >= 10
