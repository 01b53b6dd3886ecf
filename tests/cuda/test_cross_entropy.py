"""Cross-entropy on CUDA in every regime: 1 to 32 lanes a row or a block, one block or several,
-infinity among the logits, targets out of range."""

import pathlib
import sys

import numpy as np
import pytest

pytest.importorskip("greenlet", reason="the CUDA simulator needs greenlet")
sys.path.insert(0, str(pathlib.Path(__file__).parent))
from twins import Comparison

from numgrad.kernels import cross_entropy as kernels


def compare(kernel, items, *arguments):
    comparison = Comparison()
    arguments = tuple([float(a) if np.ndim(a) == 0 else a for a in arguments])
    comparison.launch(kernel, np.dtype(np.float32), items, arguments, items)
    assert comparison.compared
    assert not comparison.faults, comparison.faults[kernel]


@pytest.mark.parametrize("reduction", [kernels.NONE, kernels.MEAN, kernels.SUM])
@pytest.mark.parametrize("smoothing", [0.0, 0.2])
@pytest.mark.parametrize(
    ("rows", "classes", "block"),
    [(70, 3, 70), (9, 30, 2), (5, 127, 2), (4, 132, 3), (2, 1100, 1)],
)
def test_forward_and_backward(rows, classes, block, smoothing, reduction):
    generator = np.random.default_rng(0)
    logits = generator.standard_normal((rows, classes)).astype(np.float32)
    target = generator.integers(0, classes, rows)
    logits[1, 1:] = -np.inf if smoothing == 0 else -30
    target[1] = 0
    target[2::5] = -100
    for weight in (np.empty(0, np.float32), generator.random(classes).astype(np.float32)):
        blocks = -(-rows // block)
        stats = np.zeros((rows, 2), np.float32)
        parts = np.empty((blocks, kernels.PART))
        loss = np.zeros(rows if reduction == kernels.NONE else 1, np.float32)
        arrays = (logits, target, weight, stats, loss, parts)
        numbers = (classes, block, -100, smoothing, reduction)
        compare(kernels.cross_entropy_forward, blocks, *arrays, *numbers)
        if blocks > 1:
            compare(kernels.add_parts, 1, parts, loss, reduction)
        out = np.empty_like(logits)
        grad = generator.standard_normal(loss.shape).astype(np.float32)
        arrays = (grad, logits, target, weight, stats, parts, out)
        numbers = (classes, -100, smoothing, reduction)
        compare(kernels.cross_entropy_backward, rows, *arrays, *numbers)


@pytest.mark.parametrize("bad", [-1, 7])
def test_targets_out_of_range(bad, simulator):
    import numgrad as ng

    x = ng.zeros(700, 7, device="cuda", requires_grad=True)
    target = ng.arange(700) % 7
    target[400:600:50] = bad
    for function in (ng.nn.functional.cross_entropy, ng.nn.functional.nll_loss):
        with pytest.raises(IndexError, match=f"Target {bad} is out of bounds"):
            function(x, target.cuda()).cpu()
        with pytest.raises(RuntimeError, match="found at least two devices, cuda:0 and cpu!"):
            function(x, target)


def test_a_gpu_has_its_own_blocks():
    for rows, classes in [(1 << 23, 8), (1 << 16, 1000), (1 << 13, 50257)]:
        block = kernels.rows_in_block(rows, classes, True)
        assert 1000 <= -(-rows // block) <= 1 << 13
    assert kernels.rows_in_block(64, 10, True) == 64
    assert kernels.targets_in_block(1 << 24, True) == 1 << 13
