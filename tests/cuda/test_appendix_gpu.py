"""The appendix on one GPU, unchanged, in the simulator: what PyTorch prints."""

import contextlib
import io
import pathlib

import pytest

import numgrad

PROGRAM = pathlib.Path(__file__).with_name("appendix_gpu_program.py")
PRINTED = """\
True
tensor([5., 7., 9.])
tensor([5., 7., 9.], device='cuda:0')
RuntimeError: Expected all tensors to be on the same device, but found at least two devices, cuda:0 \
and cpu!
cuda cuda:0
Epoch: 001/003 | Batch 000/002 | Train Loss: 0.75
Epoch: 001/003 | Batch 001/002 | Train Loss: 0.65
Epoch: 002/003 | Batch 000/002 | Train Loss: 0.44
Epoch: 002/003 | Batch 001/002 | Train Loss: 0.13
Epoch: 003/003 | Batch 000/002 | Train Loss: 0.03
Epoch: 003/003 | Batch 001/002 | Train Loss: 0.00
1.0
"""


def run(program, library):
    """What a program prints whose `torch` is this library."""
    source = program.read_text().replace("import torch\n", f"import {library} as torch\n", 1)
    source = source.replace(
        "import torch.nn.functional as F", f"from {library}.nn import functional as F"
    )
    source = source.replace("from torch.utils", f"from {library}.utils")
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(source, str(program), "exec"), {"__name__": "__main__"})
    return printed.getvalue()


def test_the_appendix_on_a_gpu(simulator):
    try:
        found = run(PROGRAM, "numgrad")
    except NotImplementedError as error:
        if "no CUDA form yet" not in str(error):
            raise
        pytest.skip(str(error))
    assert found == PRINTED


def test_without_a_gpu_it_trains_on_the_cpu():
    if numgrad.cuda.is_available():
        pytest.skip("there is a GPU")
    source = PROGRAM.read_text()
    start, end = source.index("tensor_1 = tensor_1.to"), source.index("X_train")
    short = source[:start] + source[end:]
    found = run(_Text(short), "numgrad")
    expected = PRINTED.splitlines()
    assert found.splitlines() == ["False", expected[1], "cpu cpu", *expected[5:]]


class _Text:
    def __init__(self, text):
        self.text = text

    def read_text(self):
        return self.text
