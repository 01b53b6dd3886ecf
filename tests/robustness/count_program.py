"""Prints, as JSON, {operation: {thread count: digest of its results and gradients}}."""

import hashlib
import json

import numgrad as torch
from numgrad.kernels._launch import launcher
from numgrad.nn import functional as F

COUNTS = (1, 2, 3, 5)


def leaf(*shape):
    return torch.randn(*shape).requires_grad_()


def classes(n, count):
    return torch.randint(0, count, (n,))


def optimizer_steps(make):
    parameters = [leaf(300, 200), leaf(70001), leaf(3)]
    optimizer = make(parameters)
    for _ in range(3):
        for p in parameters:
            p.grad = torch.randn(*p.shape)
        optimizer.step()
    return tuple(p.detach() for p in parameters)


#: Every one draws its data from the seeded generator and returns tensors.
OPERATIONS = {
    "sum": lambda: leaf(300001).sum(),
    "sum of rows": lambda: leaf(700, 301).sum(dim=1),
    "sum of columns": lambda: leaf(700, 301).sum(dim=0),
    "mean of a transposed": lambda: leaf(301, 700).T.mean(dim=1),
    "prod": lambda: (1 + leaf(100001) / 1000).prod(),
    "var": lambda: leaf(200, 999).var(dim=1),
    "var of all": lambda: leaf(100001).var(),
    "norm": lambda: leaf(100001).norm(),
    "logsumexp": lambda: leaf(200, 999).logsumexp(dim=0),
    "amax": lambda: leaf(200, 999).amax(dim=1),
    "argmax": lambda: torch.randn(100001).argmax(),
    "cumsum": lambda: leaf(50, 3001).cumsum(dim=1),
    "softmax": lambda: F.softmax(leaf(300, 333), dim=1),
    "softmax of columns": lambda: F.softmax(leaf(300, 333), dim=0),
    "log_softmax": lambda: F.log_softmax(leaf(300, 333), dim=1),
    "gelu": lambda: F.gelu(leaf(100001)),
    "broadcast add": lambda: leaf(400, 300) + leaf(300),
    "matmul": lambda: leaf(257, 301) @ leaf(301, 199),
    "thin matmul": lambda: leaf(3, 4001) @ leaf(4001, 65),
    "transposed matmul": lambda: leaf(301, 257).T @ leaf(199, 301).T,
    "vector product": lambda: leaf(400, 500) @ leaf(500),
    "bmm": lambda: torch.bmm(leaf(7, 65, 80), leaf(7, 80, 90)),
    "float64 matmul": lambda: leaf(200, 210).double() @ leaf(210, 220).double(),
    "linear": lambda: F.linear(leaf(256, 200), leaf(150, 200), leaf(150)),
    "layer_norm": lambda: F.layer_norm(leaf(300, 257), (257,), leaf(257), leaf(257)),
    "batch_norm": lambda: F.batch_norm(leaf(500, 131), None, None, leaf(131), leaf(131), True),
    "cross_entropy": lambda: F.cross_entropy(leaf(2000, 50), classes(2000, 50)),
    "bce_with_logits": lambda: F.binary_cross_entropy_with_logits(leaf(100001), torch.rand(100001)),
    "mse_loss": lambda: F.mse_loss(leaf(100001), torch.randn(100001)),
    "smooth_l1_loss": lambda: F.smooth_l1_loss(leaf(100001), torch.randn(100001)),
    "kl_div": lambda: F.kl_div(
        F.log_softmax(leaf(300, 200), 1), torch.rand(300, 200), None, None, "batchmean"
    ),
    "embedding": lambda: F.embedding(classes(3000, 40), leaf(40, 64)),
    "index_add": lambda: leaf(40, 500).index_add(0, classes(900, 40), leaf(900, 500)),
    "scatter_add": lambda: leaf(40, 999).scatter_add(
        0, torch.randint(0, 40, (200, 999)), leaf(200, 999)
    ),
    "sort": lambda: leaf(50, 2001).sort(dim=1)[0],
    "dropout": lambda: F.dropout(leaf(100001), 0.3),
    "randn": lambda: torch.randn(100001),
    "SGD": lambda: optimizer_steps(lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9)),
    "AdamW": lambda: optimizer_steps(lambda p: torch.optim.AdamW(p, lr=0.1)),
    "clip_grad_norm_": lambda: clipped(),
}


def clipped():
    parameters = [leaf(300, 200), leaf(70001)]
    for p in parameters:
        p.grad = torch.randn(*p.shape)
    norm = torch.nn.utils.clip_grad_norm_(parameters, 1.0)
    return norm, parameters[0].grad, parameters[1].grad


def leaves_of(tensor):
    """The leaves that a result was made of."""
    found, waiting = [], [tensor.grad_fn]
    while waiting:
        for function, _ in waiting.pop().next_functions:
            if function is None:
                continue
            if function.name().endswith("AccumulateGrad"):
                found.append(function.variable)
            else:
                waiting.append(function)
    return found


def digest(make):
    torch.manual_seed(5)
    results = make()
    results = list(results) if isinstance(results, tuple) else [results]
    for result in list(results):
        if result.grad_fn is not None:
            weights = torch.randn(result.shape).to(result.dtype)
            results += torch.autograd.grad(result, leaves_of(result), weights)
    content = hashlib.sha256()
    for result in results:
        content.update(result.detach().numpy().tobytes())
    return content.hexdigest()


if __name__ == "__main__":
    found = {name: {} for name in OPERATIONS}
    for count in COUNTS:
        torch.set_num_threads(count)
        assert torch.get_num_threads() == count
        for name, make in OPERATIONS.items():
            found[name][count] = digest(make)
    assert launcher._context[0], "no parallel kernel ran"
    print(json.dumps(found))
