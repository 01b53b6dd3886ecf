"""SGD, Adam, AdamW, RMSprop and Adagrad: steps beside PyTorch's, saving in both directions."""

import copy
import pickle

import numpy as np
import pytest

import numgrad
from numgrad import optim

CASES = [
    ("SGD", {"lr": 0.1}),
    ("SGD", {"lr": 0.1, "momentum": 0.9}),
    ("SGD", {"lr": 0.1, "momentum": 0.9, "dampening": 0.5, "weight_decay": 0.1}),
    ("SGD", {"lr": 0.1, "momentum": 0.9, "nesterov": True, "maximize": True}),
    ("SGD", {"weight_decay": 0.1, "maximize": True}),
    ("Adam", {}),
    ("Adam", {"lr": 0.05, "betas": (0.3, 0.5), "eps": 1e-3, "weight_decay": 0.1}),
    ("Adam", {"lr": 0.05, "betas": (0.0, 0.5), "maximize": True}),
    ("Adam", {"lr": 0.05, "amsgrad": True, "weight_decay": 0.1}),
    ("Adam", {"lr": 0.05, "decoupled_weight_decay": True, "weight_decay": 0.1}),
    ("AdamW", {"lr": 0.05}),
    ("AdamW", {"lr": 0.05, "weight_decay": 0.3, "amsgrad": True, "maximize": True}),
    ("RMSprop", {}),
    ("RMSprop", {"alpha": 0.7, "eps": 1e-3, "weight_decay": 0.1, "maximize": True}),
    ("RMSprop", {"momentum": 0.9}),
    ("RMSprop", {"centered": True}),
    ("RMSprop", {"centered": True, "momentum": 0.9, "weight_decay": 0.1}),
    ("Adagrad", {}),
    ("Adagrad", {"lr_decay": 0.1, "weight_decay": 0.1, "initial_accumulator_value": 0.5}),
]
IDS = [f"{name}-{'-'.join(options)}" for name, options in CASES]
SHAPES = [(3, 4), (5,), (), (0, 2), (40, 33)]


def tensors(library, dtype, seed):
    rng = np.random.default_rng(seed)
    return [library.from_numpy(np.asarray(rng.standard_normal(shape), dtype)) for shape in SHAPES]


def train(library, name, options, dtype="float32", steps=6, params=None, optimizer=None, first=0):
    """Some steps on gradients that are the same for both libraries; one parameter comes late."""
    if params is None:
        params = [param.requires_grad_() for param in tensors(library, dtype, 99)]
        optimizer = getattr(library.optim, name)(params, **options)
    for step in range(first, first + steps):
        optimizer.zero_grad()
        for number, (param, grad) in enumerate(
            zip(params, tensors(library, dtype, step), strict=True)
        ):
            if number != 1 or step >= 2:
                param.grad = grad
        optimizer.step()
    return params, optimizer


def assert_same(ours, theirs, dtype="float32"):
    """Equal to the rounding of a few operations on the largest number of each tensor."""
    for a, b in zip(ours, theirs, strict=True):
        a, b = a.detach().numpy(), b.detach().numpy()
        largest = max(1.0, np.abs(b).max(initial=0))
        tolerance = largest * (1e-6 if dtype == "float32" else 1e-14)
        np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance)


def plain(state_dict):
    """A state dict with the dtypes and shapes of its tensors in their place."""

    def convert(value):
        return (str(value.dtype).split(".")[-1], tuple(value.shape))

    state = {k: {n: convert(v) for n, v in s.items()} for k, s in state_dict["state"].items()}
    return {"state": state, "param_groups": state_dict["param_groups"]}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("name", "options"), CASES, ids=IDS)
def test_steps_are_torchs(torch, name, options, dtype):
    if dtype == "float64" and len(options) > 2:
        options = {**options, "lr": 0.02}
    ours, our_optimizer = train(numgrad, name, options, dtype)
    theirs, their_optimizer = train(torch, name, options, dtype)
    assert_same(ours, theirs, dtype)
    assert repr(our_optimizer) == repr(their_optimizer)
    assert plain(our_optimizer.state_dict()) == plain(their_optimizer.state_dict())
    for a, b in zip(our_optimizer.state.values(), their_optimizer.state.values(), strict=True):
        assert_same(a.values(), b.values(), dtype)


@pytest.mark.parametrize(("name", "options"), CASES, ids=IDS)
def test_state_goes_both_ways(torch, name, options):
    ours, our_optimizer = train(numgrad, name, options)
    theirs, their_optimizer = train(torch, name, options)
    our_state = copy.deepcopy(our_optimizer.state_dict())
    their_state = copy.deepcopy(their_optimizer.state_dict())

    def carried(state, library):
        for entries in state["state"].values():
            for key, value in entries.items():
                entries[key] = library.from_numpy(np.array(value.detach().numpy()))
        return state

    our_optimizer.load_state_dict(carried(their_state, numgrad))
    their_optimizer.load_state_dict(carried(our_state, torch))
    train(numgrad, name, options, params=ours, optimizer=our_optimizer, first=6)
    train(torch, name, options, params=theirs, optimizer=their_optimizer, first=6)
    assert_same(ours, theirs)


@pytest.mark.parametrize(
    ("name", "options"),
    [("SGD", {"lr": -1.0}), ("SGD", {"momentum": -1.0}), ("SGD", {"weight_decay": -1.0}),
     ("SGD", {"nesterov": True}), ("SGD", {"nesterov": True, "momentum": 1.0, "dampening": 1}),
     ("SGD", {"fused": True, "foreach": True}), ("SGD", {"lr": [0.1, 0.2]}),
     ("Adam", {"lr": -1.0}), ("Adam", {"eps": -1.0}), ("Adam", {"betas": (1.0, 0.5)}),
     ("Adam", {"betas": (0.5, -0.1)}), ("Adam", {"weight_decay": -1.0}),
     ("RMSprop", {"lr": -1.0}), ("RMSprop", {"eps": -1.0}), ("RMSprop", {"momentum": -1.0}),
     ("RMSprop", {"weight_decay": -1.0}), ("RMSprop", {"alpha": -1.0}),
     ("Adagrad", {"lr": -1.0}), ("Adagrad", {"lr_decay": -1.0}), ("Adagrad", {"eps": -1.0}),
     ("Adagrad", {"initial_accumulator_value": -1.0}), ("Adagrad", {"weight_decay": -1.0})],
    ids=str,
)  # fmt: skip
def test_invalid_options_are_refused_as_by_torch(torch, name, options):
    def refusal(library):
        given = {
            key: library.tensor(value) if isinstance(value, list) else value
            for key, value in options.items()
        }
        with pytest.raises((ValueError, RuntimeError)) as caught:
            getattr(library.optim, name)([library.zeros(1)], **given)
        return caught.type, str(caught.value)

    assert refusal(numgrad) == refusal(torch)


def test_differentiable_is_refused():
    with pytest.raises(NotImplementedError, match="differentiable=True is not supported"):
        optim.SGD([numgrad.zeros(1)], differentiable=True)


def test_a_tensor_as_learning_rate():
    p = numgrad.ones(2)
    p.grad = numgrad.ones(2)
    lr = numgrad.tensor(0.25)
    optimizer = optim.SGD([p], lr=lr)
    optimizer.step()
    lr.fill_(0.5)
    optimizer.step()
    assert p.tolist() == [0.25, 0.25]


def test_parameters_that_are_not_alike():
    """Several dtypes in a group, parameters and gradients with gaps in memory."""
    wide = numgrad.ones(2, 3, dtype=numgrad.float64)
    transposed = numgrad.ones(3, 2).T
    part = numgrad.ones(4, 4)[1:3, ::2]
    plain = numgrad.ones(3)
    params = [wide, transposed, part, plain]
    for param in params:
        param.grad = numgrad.ones(1, dtype=param.dtype).expand(param.shape)
    optimizer = optim.SGD(params, lr=0.5, momentum=0.5)
    for expected in (0.5, -0.25):
        optimizer.step()
        for param in params:
            assert param.tolist() == numgrad.full(param.shape, expected).tolist()
    base = numgrad.ones(3, 2)
    view = base.T
    view.grad = numgrad.ones(2, 3)
    optim.Adam([view], lr=0.5).step()
    np.testing.assert_allclose(base.numpy(), 0.5, rtol=1e-6)


def test_wrong_sizes_raise_before_anything_is_written():
    first, second = numgrad.ones(2), numgrad.ones(3)
    first.grad, second.grad = numgrad.ones(2), numgrad.ones(3)
    optimizer = optim.Adam([first, second], lr=0.5)
    optimizer.step()
    optimizer.state[second]["exp_avg"] = numgrad.zeros(2)
    before = first.tolist()
    with pytest.raises(RuntimeError, match=r"parameter's size \[3\], got \[2\]"):
        optimizer.step()
    assert first.tolist() == before
    with pytest.raises(RuntimeError, match="floating-point dtype, got int64"):
        count = numgrad.tensor([1])
        count.grad = numgrad.tensor([1])
        optim.SGD([count], lr=0.1).step()


def test_a_step_is_seen_by_autograd():
    w = numgrad.ones(2, requires_grad=True)
    loss = w * w
    w.grad = numgrad.ones(2)
    optim.SGD([w], lr=0.1).step()
    assert w.requires_grad and w.is_leaf
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward(numgrad.ones(2))


def test_pickle_and_deepcopy():
    params, optimizer = train(numgrad, "Adam", {})
    for other in (pickle.loads(pickle.dumps(optimizer)), copy.deepcopy(optimizer)):
        copies = other.param_groups[0]["params"]
        assert copies[0] is not params[0]
        assert set(map(id, other.state)) <= set(map(id, copies))
        train(numgrad, "Adam", {}, params=copies, optimizer=other, first=6, steps=2)
        assert [other.state[param]["step"].item() for param in copies] == [8, 6, 8, 8, 8]
        assert [optimizer.state[param]["step"].item() for param in params] == [6, 4, 6, 6, 6]


def test_steps_leave_memory_flat():
    import tracemalloc

    p = numgrad.ones(3)
    p.grad = numgrad.ones(3)
    optimizer = optim.Adam([p])
    tracemalloc.start()
    for _ in range(5000):  # until Python's store of free tuples is full
        optimizer.step()
    before = tracemalloc.get_traced_memory()[0]
    for _ in range(1000):
        optimizer.step()
    grown = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    assert grown < 2000
