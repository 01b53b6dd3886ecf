"""The repository's programs, compiled: training leads to what it leads to in eager mode."""

import pathlib
import re
import subprocess
import sys

import numpy as np
import pytest

import numgrad as torch
from numgrad import _demo
from numgrad.nn import functional as F

APPENDIX = (pathlib.Path(__file__).parent.parent / "appendix_program.py").read_text()
STEP = """
    @torch.compile
    def step(features, labels):
        logits = model(features)
        loss = F.cross_entropy(logits, labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss
"""


def printed(source, folder):
    done = subprocess.run(
        [sys.executable, "-c", source], capture_output=True, text=True, cwd=folder
    )
    assert done.returncode == 0, done.stderr
    assert "runs eagerly" not in done.stderr
    return done.stdout


def test_the_appendix_prints_the_same(tmp_path):
    """Its training step compiled, in a new process: the same figures to the last digit."""
    program = APPENDIX.replace("import torch.nn.functional", "import numgrad.nn.functional")
    program = program.replace("from torch.utils", "from numgrad.utils")
    program = program.replace("import torch\n", "import numgrad as torch\n")
    program = program.replace("Train Loss: {loss:.2f}", "Train Loss: {loss.item()!r}")
    loop = re.search(r"^    for batch_idx.*?optimizer\.step\(\)\n", program, flags=re.M | re.S)
    head, *_ = loop[0].splitlines(keepends=True)
    compiled = program.replace(loop[0], head + "        loss = step(features, labels)\n")
    compiled = compiled.replace(
        "num_epochs = 3\n", "num_epochs = 3\n" + STEP.replace("\n    ", "\n")
    )
    compiled += "\nassert step.programs and step.reason is None, step\n"
    assert compiled.count("step(features, labels)") == 2
    assert printed(compiled, tmp_path) == printed(program, tmp_path)


@pytest.fixture(scope="module")
def digits():
    pytest.importorskip("sklearn", reason="scikit-learn, which has the digits, is not installed")
    return _demo.load_digits()


def trained(digits, wrap, epochs=2):
    """The demo's training, step by step: noise, smoothed labels, AdamW under a cosine schedule."""
    torch.manual_seed(7)
    model = _demo.Digits()
    data = torch.utils.data.TensorDataset(*digits[:2])
    loader = torch.utils.data.DataLoader(data, batch_size=32, shuffle=True)
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3, weight_decay=1e-2)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs)

    def step(features, labels):
        logits = model(features + _demo.NOISE * torch.randn_like(features))
        loss = F.cross_entropy(logits, labels, label_smoothing=_demo.SMOOTHING)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss

    step = wrap(step)
    losses = []
    for _ in range(epochs):
        model.train()
        losses += [step(features, labels).item() for features, labels in loader]
        scheduler.step()
    return model, losses, step


def test_the_demos_network(digits):
    """90 steps, batches of two sizes, dropping learning rate, random numbers inside."""
    eager, expected, _ = trained(digits, lambda step: step)
    compiled, losses, step = trained(digits, torch.compile)
    assert step.reason is None and step.programs <= 6
    np.testing.assert_allclose(losses, expected, rtol=1e-4)
    for a, b in zip(compiled.parameters(), eager.parameters(), strict=True):
        np.testing.assert_allclose(a.detach().numpy(), b.detach().numpy(), rtol=1e-3, atol=1e-4)
    x, y = digits[2:]
    assert abs(_demo.accuracy(compiled, x, y) - _demo.accuracy(eager, x, y)) < 0.01


def test_the_demos_prediction(digits):
    """Inference: a compiled module, and a compiled function with `no_grad` in it."""
    torch.manual_seed(0)
    model = _demo.Digits().eval()
    x = digits[2]

    def predict(x):
        with torch.no_grad():
            return F.softmax(model(x), dim=1).max(dim=1)

    compiled, module = torch.compile(predict), torch.compile(model)
    for size in (1, 32, 32, 360, 1):
        for _ in range(2):
            expected, got = predict(x[:size]), compiled(x[:size])
            np.testing.assert_allclose(got.values.numpy(), expected.values.numpy(), rtol=1e-6)
            assert torch.equal(got.indices, expected.indices)
            logits = module(x[:size]).detach().numpy()
            np.testing.assert_allclose(logits, model(x[:size]).detach().numpy(), rtol=1e-5)
    assert compiled.reason is None and compiled.programs == 3
