"""What is out of range on a GPU: the host goes on, the kernels leave memory alone that is not
theirs (the simulator would raise IndexError of its own), and PyTorch's error comes when the host
next waits."""

import pytest

import numgrad as ng
from numgrad.nn import functional as F

pytest.importorskip("greenlet", reason="the CUDA simulator needs greenlet")

BAD, FAR, LOW = [0, 7, 1], [0, 1 << 40, 1], [0, -9, 1]


def index(values):
    return ng.tensor(values, device="cuda")


def x():
    return ng.arange(12.0, device="cuda").reshape(3, 4).requires_grad_()


def table(values):
    i = index(values)
    columns = ng.stack([i, i], 1)
    ones = ng.ones(3, 2, device="cuda")

    def written(name, *more):
        target = ng.zeros(3, 4, device="cuda")
        getattr(target, name)(0, *more)
        return target

    def assigned():
        target = ng.zeros(3, 4, device="cuda")
        target[i] = 1.0
        return target

    def assigned_twice():
        target = ng.zeros(3, 4, device="cuda")
        target[i, index([0, 1, 2])] = x()[0, :3].detach()
        return target

    rows = ng.ones(3, 4, device="cuda")
    return {
        "x[i]": lambda: x()[i],
        "x[i, j]": lambda: x()[i, index([0, 1, 2])],
        "x[:, i]": lambda: x()[:, i],
        "x[i] = 1": assigned,
        "x[i, j] = values": assigned_twice,
        "index_select": lambda: ng.index_select(x(), 0, i),
        "take": lambda: ng.take(x(), i * 5),
        "gather": lambda: ng.gather(x(), 0, columns),
        "scatter": lambda: ng.zeros(3, 4, device="cuda").scatter(0, columns, ones),
        "scatter_add": lambda: ng.zeros(3, 4, device="cuda").scatter_add(0, columns, ones),
        "scatter_reduce": lambda: ng.zeros(3, 4, device="cuda").scatter_reduce(
            0, columns, ones, "amax"
        ),
        "index_add": lambda: written("index_add_", i, rows),
        "index_copy": lambda: written("index_copy_", i, rows),
        "index_fill": lambda: written("index_fill_", i, 2.0),
        "embedding": lambda: F.embedding(i, x()),
        "one_hot": lambda: F.one_hot(i, 3),
        "cross_entropy": lambda: F.cross_entropy(x(), i),
        "weighted cross_entropy": lambda: F.cross_entropy(
            x(), i, weight=ng.ones(4, device="cuda"), label_smoothing=0.1
        ),
        "nll_loss": lambda: F.nll_loss(ng.log_softmax(x(), 1), i, reduction="none"),
        "put": lambda: ng.zeros(3, 4, device="cuda").put_(i * 5, ng.ones(3, device="cuda")),
    }


@pytest.mark.parametrize("values", [BAD, FAR, LOW], ids=["bad", "far", "low"])
@pytest.mark.parametrize("name", [
    "x[i]", "x[i, j]", "x[:, i]", "x[i] = 1", "x[i, j] = values", "index_select", "take", "gather",
    "scatter", "scatter_add", "scatter_reduce", "index_add", "index_copy", "index_fill", "embedding",
    "one_hot", "cross_entropy", "weighted cross_entropy", "nll_loss", "put",
])  # fmt: skip
def test_out_of_range(simulator, name, values):
    call = table(values)[name]
    with pytest.raises((IndexError, RuntimeError, NotImplementedError)) as error:
        result = call()
        if result.requires_grad:
            loss = result if not result.ndim else result.sum()
            loss.backward()
        ng.cuda.synchronize()
    if "no CUDA form yet" in str(error.value):
        pytest.skip(str(error.value))
    text = str(error.value)
    assert not text.startswith("element ") and "no address in device memory" not in text, text
    assert "out of" in text or "smaller" in text or "negative" in text, text
    assert ng.ones(2, device="cuda").tolist() == [1.0, 1.0]  # told once


@pytest.mark.parametrize("device", ["simulator", "machine"])
def test_in_a_compiled_program(request, device):
    request.getfixturevalue(device)
    w = ng.ones(3, 4, device="cuda").requires_grad_()

    @ng.compile
    def function(i):
        loss = F.cross_entropy(w * 2, i)
        loss.backward()
        w.grad = None
        return loss

    good, bad = index([0, 1, 2]), index([0, 9, 2])
    expected = function(good).item()
    function(good)
    result = function(bad)
    with pytest.raises(IndexError, match="Target 9 is out of bounds"):
        result.item()
    assert function(good).item() == pytest.approx(expected) and function.reason is None
    # Another batch has taken its place by the time that somebody looks: no wrong value all the same.
    function(bad)
    with pytest.raises((IndexError, RuntimeError), match="out of bounds|CUDA_LAUNCH_BLOCKING"):
        function(good).item()


def test_the_first_call_of_a_compiled_function_tells_at_once(simulator):
    function = ng.compile(lambda i: F.embedding(i, ng.ones(3, 4, device="cuda")))
    with pytest.raises(IndexError, match="out of range in self"):
        function(index(BAD))
