"""The seed's program with only the import changed prints the seed's figures, and PyTorch's text."""

import pathlib
import re
import subprocess
import sys

import pytest

PROGRAM = (pathlib.Path(__file__).parent / "appendix_program.py").read_text()


def run(source, folder):
    done = subprocess.run(
        [sys.executable, "-W", "error::DeprecationWarning", "-c", source],
        capture_output=True,
        text=True,
        cwd=folder,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def as_numgrad(source):
    source = source.replace("import torch.nn.functional", "import numgrad.nn.functional")
    source = source.replace("from torch.utils", "from numgrad.utils")
    return source.replace("import torch\n", "import numgrad as torch\n")


@pytest.fixture(scope="module")
def printed(tmp_path_factory):
    return run(as_numgrad(PROGRAM), tmp_path_factory.mktemp("numgrad"))


def test_the_seeds_figures(printed):
    losses = re.findall(r"Train Loss: (\S+)", printed)
    # With drop_last, as in the book; without it the seed prints the nine below.
    assert len(losses) == 6
    for text in (
        "(tensor([-0.0898]),)",
        "(tensor([-0.0817]),)",
        "Total number of trainable model parameters: 2213",
        "torch.Size([30, 50])",
        "Batch 1: tensor([[ 2.3000, -1.1000],\n        [-0.9000,  2.9000]]) tensor([1, 0])",
        "tensor([True, True, True, True, True])",
        "<All keys matched successfully>",
    ):
        assert text in printed


def test_the_nine_losses_and_the_logits(tmp_path):
    """The seed's own loop: no drop_last, and the loader shuffled once before (A.6)."""
    source = as_numgrad(PROGRAM)
    source = re.sub(
        r"train_loader = DataLoader\(\n.*?\n\)\nfor idx.*?y\)\n", "", source, flags=re.S
    )
    printed = run(source, tmp_path)
    losses = re.findall(r"Train Loss: (\S+)", printed)
    assert losses == "0.75 0.65 0.42 0.05 0.13 0.00 0.01 0.00 0.02".split()
    assert "tensor([[ 2.9320, -4.2563],\n        [ 2.6045, -3.8389]," in printed
    assert "[0.9992, 0.0008]" in printed.replace("    0", "0").replace(",     ", ", ")
    assert "tensor(1.)" in printed


def test_every_line_is_pytorchs(torch, printed, tmp_path):
    assert printed == run(PROGRAM, tmp_path)
