"""Four Python threads train at once; then a forked child and one thread alone do the same.

Run with NUMBA_THREADING_LAYER set: prints the layer in use, and fails where a result differs.
"""

import hashlib
import multiprocessing
import threading

import numba

import numgrad
from numgrad.kernels._launch import launcher
from numgrad.nn import functional as F

THREADS, STEPS = 4, 6


def make(seed):
    numgrad.manual_seed(seed)
    model = numgrad.nn.Sequential(
        numgrad.nn.Linear(96, 256),
        numgrad.nn.LayerNorm(256),
        numgrad.nn.GELU(),
        numgrad.nn.Linear(256, 10),
    )
    return model, numgrad.randn(256, 96), numgrad.randint(0, 10, (256,))


def train(model, x, y):
    """Steps of a size that the thread pool takes part in; the losses and the digest of the weights."""
    optimizer = numgrad.optim.AdamW(model.parameters(), lr=1e-2)
    losses = []
    for _ in range(STEPS):
        loss = F.cross_entropy(model(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    digest = hashlib.sha256()
    for p in model.parameters():
        digest.update(p.detach().numpy().tobytes())
    return losses, digest.hexdigest()


def in_threads():
    prepared = [make(seed) for seed in range(THREADS)]
    results = [None] * THREADS
    barrier = threading.Barrier(THREADS)

    def work(k):
        barrier.wait()
        results[k] = train(*prepared[k])

    threads = [threading.Thread(target=work, args=(k,)) for k in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


def in_child(queue):
    queue.put(train(*make(0)))


if __name__ == "__main__":
    together = in_threads()  # the pool starts, and kernels compile, with all of them inside
    assert launcher._context[0], "no parallel kernel ran"
    alone = [train(*make(seed)) for seed in range(THREADS)]
    assert alone[0] != alone[1]
    assert together == alone, "threads disturbed one another"
    context = multiprocessing.get_context("fork")
    queue = context.SimpleQueue()
    child = context.Process(target=in_child, args=(queue,), daemon=True)
    child.start()
    child.join(60)
    assert child.exitcode == 0, f"the forked child ended with {child.exitcode}"
    assert queue.get() == alone[0], "a forked child computed something else"
    print(numba.threading_layer())
