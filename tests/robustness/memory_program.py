"""`memory_program.py KIND STEPS`: eager training steps; prints what memory did, as JSON."""

import gc
import json
import os
import sys

import numgrad as torch
from numgrad.nn import functional as F
from numgrad.utils.data import DataLoader, TensorDataset

PAGE = os.sysconf("SC_PAGE_SIZE")
WARM_UP = 500


def resident():
    """Bytes of this process in memory."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * PAGE


def appendix():
    """The appendix's network and optimizer: 2-30-20-2, batch 2, SGD."""
    model = torch.nn.Sequential(
        torch.nn.Linear(2, 30),
        torch.nn.ReLU(),
        torch.nn.Linear(30, 20),
        torch.nn.ReLU(),
        torch.nn.Linear(20, 2),
    )
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    x, y = torch.randn(2, 2), torch.tensor([0, 1])

    def step():
        loss = F.cross_entropy(model(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    return step


def everything():
    """A loader, views, in-place updates, dropout, normalisation, clipping, a schedule, `item`."""
    model = torch.nn.Sequential(
        torch.nn.Linear(6, 16),
        torch.nn.LayerNorm(16),
        torch.nn.GELU(),
        torch.nn.Dropout(0.1),
        torch.nn.Linear(16, 3),
    )
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 100)
    data = TensorDataset(torch.randn(40, 6), torch.randint(0, 3, (40,)))
    loader = DataLoader(data, batch_size=4, shuffle=True)

    def batches():
        while True:
            yield from loader

    stream = batches()

    def step():
        x, y = next(stream)
        x = x.T.contiguous().T
        x[:, 0] *= 2.0
        penalty = sum((p * p).sum() for p in model.parameters())
        loss = F.cross_entropy(model(x), y) + 1e-4 * penalty
        (slope,) = torch.autograd.grad(loss, [model[0].weight], create_graph=True)
        optimizer.zero_grad()
        (loss + slope.square().mean()).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        scheduler.step()
        with torch.no_grad():
            model(x).argmax(dim=1).eq(y).float().mean().item()

    return step


if __name__ == "__main__":
    kind, steps = sys.argv[1], int(sys.argv[2])
    torch.manual_seed(123)
    step = {"appendix": appendix, "everything": everything}[kind]()
    for _ in range(WARM_UP):
        step()
    gc.collect()
    gc.disable()  # the steps must leave no cycles behind
    objects, before = len(gc.get_objects()), resident()
    samples = []
    for _part in range(10):
        for _ in range(steps // 10):
            step()
        samples.append(resident() - before)
    print(
        json.dumps(
            {
                "steps": steps,
                "objects": len(gc.get_objects()) - objects,
                "resident": before,
                "growth": samples,
            }
        )
    )
