"""`python -m numgrad demo`: an MLP on scikit-learn's handwritten digits, from data to prediction."""

from __future__ import annotations

import pathlib
import sys
import tempfile
import time

import numgrad as torch
from numgrad.nn import functional as F
from numgrad.utils.data import DataLoader, TensorDataset

from .progress import finish_line, summary


class Digits(torch.nn.Module):
    """64 pixels → 10 classes by two hidden layers."""

    def __init__(self, hidden: int = 128) -> None:
        super().__init__()
        self.layers = torch.nn.Sequential(
            torch.nn.Linear(64, hidden),
            torch.nn.ReLU(),
            torch.nn.Linear(hidden, hidden // 2),
            torch.nn.ReLU(),
            torch.nn.Linear(hidden // 2, 10),
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
    held_out = 360
    return x[held_out:], y[held_out:], x[:held_out], y[:held_out]


def accuracy(model: torch.nn.Module, x: torch.Tensor, y: torch.Tensor) -> float:
    """The share of right predictions."""
    model.eval()
    with torch.no_grad():
        return (model(x).argmax(dim=1) == y).float().mean().item()


def main(epochs: int = 20, batch_size: int = 32) -> int:
    """Train, save, reload, predict; the exit status is 0 if the held-out accuracy is ≥ 97 %."""
    from tqdm import tqdm

    started = time.perf_counter()
    torch.manual_seed(123)
    x_train, y_train, x_test, y_test = load_digits()
    loader = DataLoader(TensorDataset(x_train, y_train), batch_size=batch_size, shuffle=True)
    model = Digits()
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3, weight_decay=1e-2)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs)
    print(model)
    print(
        f"training on {len(x_train)} digits, holding out {len(x_test)}; "
        "the first step compiles the kernels"
    )
    bar = tqdm(total=epochs * len(loader), unit="step", file=sys.stdout, mininterval=0.5)
    for _ in range(epochs):
        model.train()
        total = 0.0
        for features, labels in loader:
            loss = F.cross_entropy(model(features), labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            total += loss.item()
            bar.update()
        scheduler.step()
        bar.set_postfix(loss=f"{total / len(loader):.4f}")
    bar.close()
    finish_line()
    trained = accuracy(model, x_test, y_test)

    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "digits.pth"
        torch.save(model.state_dict(), path)
        size = path.stat().st_size
        reloaded = Digits()
        print(reloaded.load_state_dict(torch.load(path)), f"({size / 1024:.0f} KiB saved)")
    held_out = accuracy(reloaded, x_test, y_test)
    with torch.no_grad():
        probabilities = F.softmax(reloaded(x_test[:1]), dim=1)
    print(f"one prediction: {probabilities.argmax().item()} (it is a {y_test[0].item()}),", end=" ")
    print(f"probability {probabilities.max().item():.4f}")
    print(f"held-out accuracy {held_out:.2%} (before saving: {trained:.2%})")
    print(summary())
    print(f"{time.perf_counter() - started:.1f} s in all")
    return 0 if held_out >= 0.97 else 1
