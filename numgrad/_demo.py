"""`python -m numgrad demo`: an MLP on scikit-learn's handwritten digits, from data to prediction."""

from __future__ import annotations

import pathlib
import shutil
import sys
import tempfile
import time
from typing import Any

import numgrad as torch
from numgrad.nn import functional as F
from numgrad.utils.data import DataLoader, TensorDataset

from . import progress
from ._version import __version__

HELD_OUT = 360
NOISE = 0.2  # standard deviation of what is added to the training images, pixels being in [0, 1]
SMOOTHING = 0.1


class Digits(torch.nn.Module):
    """64 pixels → 10 classes by two hidden layers."""

    def __init__(self, hidden: int = 256) -> None:
        super().__init__()
        self.layers = torch.nn.Sequential(
            torch.nn.Linear(64, hidden),
            torch.nn.ReLU(),
            torch.nn.Linear(hidden, hidden),
            torch.nn.ReLU(),
            torch.nn.Linear(hidden, 10),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layers(x)


def load_digits() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """The 1797 images in a fixed random order, pixels scaled to [0, 1]: 1437 to train on, 360 not."""
    try:
        from sklearn.datasets import load_digits as load
    except ImportError:
        raise SystemExit(
            "The demo trains on scikit-learn's digits: pip install 'numgrad[demo]'"
        ) from None
    images, labels = load(return_X_y=True)
    order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(0))
    x = torch.tensor(images / 16, dtype=torch.float32)[order]
    y = torch.tensor(labels)[order]
    return x[HELD_OUT:], y[HELD_OUT:], x[:HELD_OUT], y[:HELD_OUT]


def accuracy(model: torch.nn.Module, x: torch.Tensor, y: torch.Tensor) -> float:
    """The share of right predictions."""
    model.eval()
    with torch.no_grad():
        return (model(x).argmax(dim=1) == y).float().mean().item()


class Bar:
    """A bar that moves on a terminal; elsewhere, in a log, six lines of it."""

    def __init__(self, total: int) -> None:
        from tqdm import tqdm

        self.moving = sys.stdout.isatty()
        self.tqdm = tqdm(
            total=total,
            unit=" step",
            file=sys.stdout,
            disable=not self.moving,
            ncols=min(shutil.get_terminal_size().columns, 100),
            nrows=20,  # a terminal of unknown size would get no bar
            mininterval=0.05,
        )
        self.total, self.done, self.printed = total, 0, 0
        self.started = time.perf_counter()

    def update(self) -> None:
        self.done += 1
        self.tqdm.update()

    def say(self, text: str) -> None:
        """Put `text` behind the bar."""
        self.tqdm.set_postfix_str(text, refresh=True)
        if not self.moving and self.done * 6 // self.total > self.printed:
            self.printed = self.done * 6 // self.total
            elapsed = time.perf_counter() - self.started
            meter = self.tqdm.format_meter(
                self.done, self.total, elapsed, ncols=88, unit=" step", postfix=text
            )
            print(meter, flush=True)


def train(
    model: torch.nn.Module,
    x: torch.Tensor,
    y: torch.Tensor,
    epochs: int = 30,
    batch_size: int = 32,
    bar: Any = None,
) -> None:
    """AdamW under a cosine schedule, on images with noise and smoothed labels.

    The noise is what carries 97.5 % held-out accuracy to 99 %: no image is seen twice.
    """
    loader = DataLoader(TensorDataset(x, y), batch_size=batch_size, shuffle=True)
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3, weight_decay=1e-2)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs)
    for epoch in range(epochs):
        model.train()
        total = 0.0
        for features, labels in loader:
            logits = model(features + NOISE * torch.randn_like(features))
            loss = F.cross_entropy(logits, labels, label_smoothing=SMOOTHING)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            total += loss.item()
            if bar is not None:
                bar.update()
        scheduler.step()
        if bar is not None:
            bar.say(f"epoch {epoch + 1}, loss {total / len(loader):.3f}")


def picture(image: torch.Tensor) -> list[str]:
    """The 8 rows of an image in shades of grey, two characters a pixel."""
    shades = " ░▒▓█"
    rows = (image.view(8, 8) * (len(shades) - 1)).round().to(torch.int64).tolist()
    return ["".join(2 * shades[level] for level in row) for row in rows]


def main(epochs: int = 30, batch_size: int = 32) -> int:
    """Train, save, reload, predict; the exit status is 0 if the held-out accuracy is ≥ 97 %."""
    started = time.perf_counter()
    torch.manual_seed(123)
    x_train, y_train, x_test, y_test = load_digits()
    print(f"numgrad {__version__}, {torch.get_num_threads()} threads")
    print(f"handwritten digits: {len(x_train)} to train on, {len(x_test)} held out")
    model = Digits()
    print(model)
    steps = epochs * -(-len(x_train) // batch_size)
    print(f"training, {epochs} epochs; the first step compiles the kernels it needs", flush=True)
    bar = Bar(steps)
    with progress.shown_by(bar.say):
        train(model, x_train, y_train, epochs, batch_size, bar)
    bar.tqdm.close()
    trained = accuracy(model, x_test, y_test)

    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "digits.pth"
        torch.save(model.state_dict(), path)
        print(f"saved {path.name}, {path.stat().st_size / 1024:.0f} KiB; reloaded:", end=" ")
        reloaded = Digits()
        print(reloaded.load_state_dict(torch.load(path)))
    held_out = accuracy(reloaded, x_test, y_test)
    with torch.no_grad():
        probability, digit = F.softmax(reloaded(x_test[0]), dim=0).max(dim=0)
    lines = picture(x_test[0])
    lines[3] += f"  predicted: {digit.item()}, probability {probability.item():.3f}"
    lines[4] += f"  it is a    {y_test[0].item()}"
    print(*lines, sep="\n")
    print(f"held-out accuracy {held_out:.2%} (before saving {trained:.2%})")
    print(f"{progress.summary()}; {time.perf_counter() - started:.1f} s in all")
    return 0 if held_out >= 0.97 else 1
