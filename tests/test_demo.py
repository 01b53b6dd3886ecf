"""`python -m numgrad demo`: the accuracy holds whatever the seed, and runs repeat to the bit."""

import os
import subprocess
import sys

import numpy as np
import pytest

import numgrad
from numgrad import _demo, progress

pytest.importorskip("sklearn", reason="scikit-learn, which has the digits, is not installed")


@pytest.fixture(autouse=True)
def one_thread():
    """The steps are small: a second thread would only wait for a processor of its own."""
    before = numgrad.get_num_threads()
    numgrad.set_num_threads(1)
    yield
    numgrad.set_num_threads(before)


def trained(seed, **options):
    numgrad.manual_seed(seed)
    x, y, x_test, y_test = _demo.load_digits()
    model = _demo.Digits()
    _demo.train(model, x, y, **options)
    return model, _demo.accuracy(model, x_test, y_test)


@pytest.mark.parametrize("seed", [0, 1, 2, 3, 4])
def test_accuracy_does_not_hang_on_the_seed(seed):
    assert trained(seed)[1] >= 0.98


def test_two_runs_give_the_same_bits():
    first, second = trained(7, epochs=2)[0], trained(7, epochs=2)[0]
    for a, b in zip(first.parameters(), second.parameters(), strict=True):
        assert np.array_equal(a.detach().numpy(), b.detach().numpy())


def test_in_a_log():
    done = subprocess.run(
        [sys.executable, "-m", "numgrad", "demo"],
        env=dict(os.environ, NUMBA_NUM_THREADS="1"),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert "\r" not in done.stdout and "\r" not in done.stderr
    for expected in ("100%|", "1350/1350", "<All keys matched successfully>", "predicted: 6"):
        assert expected in done.stdout
    accuracy = done.stdout.split("held-out accuracy ")[1].split("%")[0]
    assert float(accuracy) >= 98
    assert "kernels loaded" in done.stdout or "kernels compiled in" in done.stdout


def test_compiling_is_said_on_a_terminal_and_wiped_out(monkeypatch, capsys):
    shown = progress.CompileProgress()
    monkeypatch.setattr(progress, "_interactive", lambda: True)
    shown("quick", "float32")
    shown(None, None)
    assert capsys.readouterr().err == ""
    shown.spent = progress.PATIENCE + 1  # what went before was slow
    shown("exp", "float32")
    said = capsys.readouterr().err
    assert said.startswith("\rnumgrad: compiling kernel 2, exp(float32)")
    shown(None, None)
    assert capsys.readouterr().err == "\r" + " " * (len(said) - 1) + "\r"


def test_a_bar_can_show_what_is_compiled(monkeypatch, capsys):
    shown = progress.CompileProgress()
    monkeypatch.setattr(progress, "_progress", shown)
    said = []
    with progress.shown_by(said.append):
        shown("exp", "float32")
        shown(None, None)
    shown("exp", "float64")
    shown(None, None)
    assert said == ["compiling kernel 1, exp(float32)", ""]
    assert capsys.readouterr().err == ""
