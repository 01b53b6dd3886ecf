"""The notebooks run from the first cell to the last, and keep their outputs."""

import pathlib

import pytest

nbformat = pytest.importorskip("nbformat")
nbclient = pytest.importorskip("nbclient")

FOLDER = pathlib.Path(__file__).parent.parent / "notebooks"


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::RuntimeWarning")
@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.ipynb")), ids=lambda p: p.stem)
def test_notebook_runs(path, tmp_path):
    if path.stem.endswith("beside_pytorch"):
        pytest.importorskip("torch", reason="PyTorch is not installed")
    kept = nbformat.read(path, as_version=4)
    assert all(c.outputs or "print" not in c.source for c in kept.cells if c.cell_type == "code")
    fresh = nbformat.read(path, as_version=4)
    nbclient.NotebookClient(
        fresh, timeout=300, resources={"metadata": {"path": str(tmp_path)}}
    ).execute()

    def printed(notebook):
        return [
            "".join(o.text for o in c.outputs if o.output_type == "stream" and o.name == "stdout")
            for c in notebook.cells
            if c.cell_type == "code"
        ]

    assert printed(fresh) == printed(kept)
    assert any(
        "image/png" in o.get("data", {})
        for c in fresh.cells
        if c.cell_type == "code"
        for o in c.outputs
    )
