"""The reference and the coverage table: made from the package, complete, and up to date."""

import doctest
import pathlib
import pkgutil
import re
import sys

import pytest

import numgrad

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent))
sys.path.insert(0, str(pathlib.Path(__file__).parent.parent.parent / "docs"))
from _extension import coverage, docstrings, layers, notebooks, reference, torch_names
from test_layers import LAYERS

#: Modules whose names are on the pages of others, or that are not for users.
INSIDE = {
    "backends",
    "compile",
    "data",
    "device",
    "dtypes",
    "kernels",
    "ops",
    "run",
    "tensor",
    "utils",
}


def test_every_module_has_a_page_or_is_part_of_one():
    names = {found.name for found in pkgutil.iter_modules(numgrad.__path__)}
    names = {name for name in names if not name.startswith("_")}
    assert names - set(reference.NAMESPACES) == INSIDE


def test_pages(tmp_path):
    reference.write_pages(tmp_path)
    written = {path.stem: path.read_text() for path in tmp_path.glob("*.rst")}
    listed = written["index"].split()
    assert set(written) - {"index"} <= set(listed)
    assert ".. autofunction:: numgrad.exp" in written["elementwise"]
    assert ".. autoclass:: numgrad.nn.Linear" in written["nn"]
    assert "@softmax_rows.on_cuda" in written["kernels.softmax"]
    functions = {
        line.rpartition(".")[2]
        for text in written.values()
        for line in text.splitlines()
        if line.startswith(".. auto")
    }
    for name in ("matmul", "cat", "compile", "manual_seed", "gather", "no_grad", "save", "sort"):
        assert name in functions
    stale = tmp_path / "gone.rst"
    stale.write_text("gone")
    reference.write_pages(tmp_path)
    assert not stale.exists()


def test_coverage():
    here, missing = coverage.split("nn")
    assert "Linear" in here and "Conv2d" in missing
    assert coverage.missing_parameters("torch", "eye") == ["layout", "out"]
    assert coverage.missing_parameters("nn", "Linear") == []
    text = coverage.page()
    assert all(f"## {coverage.full(place)}\n" in text for place in torch_names.PLACES)


def test_torch_names_are_those_of_torch(torch):
    known = torch_names.names()
    if known["version"] != coverage.KNOWN["version"]:
        pytest.skip(f"the list is PyTorch {coverage.KNOWN['version']}'s")
    assert known == coverage.KNOWN


def test_docstrings():
    assert doctest.testmod(docstrings).failed == doctest.testmod(notebooks).failed == 0
    table = ["===  ===", "`a`   b", "      c", "===  ==="]
    lines = ["x * y", "", "    code * here", "", *table, "", ">>> 2 * 3", "6"]
    text = "\n".join(docstrings.to_rst(lines))
    assert r"x \* y" in text and "::\n\n    code * here" in text
    assert "   * - ``a``\n     - b c" in text
    assert "\n>>> 2 * 3\n6\n" in text


def test_picture_of_the_layers():
    assert layers.FILE.read_text() == layers.draw()
    order = [name for name, _ in reversed(LAYERS) if name != "base"]
    assert [layer.name for layer in layers.LAYERS] == order


def test_picture_of_a_step():
    from _extension import step

    picture = step.draw()
    for text in ("cross_entropy_backward", "silu_backward", "4 parameters", "def silu(x):"):
        assert text in re.sub("<[^>]*>", "", picture)
    assert step.FILE.read_text().startswith("<svg")
