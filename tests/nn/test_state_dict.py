"""`state_dict` and `load_state_dict`, beside PyTorch's."""

import copy
import pickle
from collections import OrderedDict

import numpy as np
import pytest

import numgrad
from numgrad import nn


def network(t):
    return t.nn.Sequential(
        OrderedDict(
            first=t.nn.Linear(2, 3),
            norm=t.nn.BatchNorm1d(3),
            rest=t.nn.Sequential(t.nn.ReLU(), t.nn.Linear(3, 1, bias=False)),
        )
    )


def test_contents(same):
    same(lambda t: [(k, tuple(v.shape), v.dtype) for k, v in network(t).state_dict().items()])
    same(lambda t: network(t).state_dict()._metadata)
    same(lambda t: type(network(t).state_dict()))
    same(lambda t: list(network(t).state_dict(prefix="model.")))
    same(lambda t: network(t).state_dict()["first.weight"].requires_grad)
    same(lambda t: network(t).state_dict(keep_vars=True)["first.weight"].requires_grad)
    same(lambda t: list(network(t).state_dict(destination=OrderedDict(a=1))))


def test_values_share_memory():
    layer = nn.Linear(1, 1)
    layer.state_dict()["weight"].fill_(7)
    assert layer.weight.item() == 7


def test_round_trip():
    numgrad.manual_seed(1)
    source, target = network(numgrad), network(numgrad)
    before = list(target.parameters())
    source(numgrad.randn(5, 2))
    assert repr(target.load_state_dict(source.state_dict())) == "<All keys matched successfully>"
    for a, b in zip(source.state_dict().values(), target.state_dict().values(), strict=True):
        np.testing.assert_array_equal(a.numpy(), b.numpy())
    assert all(p is q for p, q in zip(before, target.parameters(), strict=True))


BROKEN = {
    "missing and unexpected": lambda t, s: {**dict(list(s.items())[2:]), "more": t.ones(1)},
    "below a layer": lambda t, s: {**s, "first.weight.deeper": t.ones(1), "second.x": t.ones(1)},
    "shapes": lambda t, s: {**s, "first.weight": t.ones(2), "rest.1.weight": t.ones(1, 9)},
    "no tensor": lambda t, s: {**s, "first.weight": [1.0]},
    "everything": lambda t, s: {"first.weight": t.ones(1), "x": 1, "rest.y": 2},
    "not a dict": lambda t, s: [1],
    "empty": lambda t, s: {},
}


@pytest.mark.parametrize("strict", [True, False])
@pytest.mark.parametrize("case", BROKEN)
def test_errors_are_pytorchs(same, case, strict):
    def program(t):
        model = network(t)
        return model.load_state_dict(BROKEN[case](t, model.state_dict()), strict=strict)

    same(program)


def test_an_error_changes_nothing():
    model = network(numgrad)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    state = {name: numgrad.full_like(value, 3) for name, value in before.items()}
    state["rest.1.weight"] = numgrad.ones(9)
    with pytest.raises(RuntimeError, match="size mismatch for rest.1.weight"):
        model.load_state_dict(state)
    for name, value in model.state_dict().items():
        np.testing.assert_array_equal(value.numpy(), before[name].numpy())


def test_assign_takes_the_tensors():
    model = nn.Linear(2, 1)
    state = {"weight": numgrad.ones(1, 2, dtype=numgrad.float64), "bias": numgrad.zeros(1)}
    model.load_state_dict(state, assign=True)
    assert type(model.weight) is nn.Parameter and model.weight.dtype is numgrad.float64
    assert model.weight.requires_grad
    state["weight"].fill_(4)
    assert model.weight[0, 0].item() == 4
    assert model._parameters["weight"] is model.weight


def test_scalars_of_old_files_and_other_dtypes():
    model = nn.BatchNorm1d(1)
    state = model.state_dict()
    state["num_batches_tracked"] = numgrad.tensor([5])
    state["weight"] = numgrad.full((1,), 2.5, dtype=numgrad.float64)
    model.load_state_dict(state)
    assert model.num_batches_tracked.item() == 5
    assert model.weight.dtype is numgrad.float32 and model.weight.item() == 2.5


def test_batch_norm_of_version_one(same):
    def program(t):
        model = t.nn.BatchNorm1d(2)
        state = model.state_dict()
        del state["num_batches_tracked"]
        for metadata in state._metadata.values():
            metadata["version"] = 1
        return model.load_state_dict(state), model.num_batches_tracked

    same(program)


def extra(t):
    class Counting(t.nn.Module):
        def __init__(self):
            super().__init__()
            self.count = 3

        def get_extra_state(self):
            return {"count": self.count}

        def set_extra_state(self, state):
            self.count = state["count"]

    return Counting()


def test_extra_state(same):
    def program(t):
        outer = t.nn.Sequential(extra(t))
        state = outer.state_dict()
        state["0._extra_state"] = {"count": 8}
        return list(state), outer.load_state_dict(state), outer[0].count

    same(program)
    same(lambda t: t.nn.Sequential(extra(t)).load_state_dict({}))
    same(lambda t: t.nn.ReLU().load_state_dict({"_extra_state": 1}))
    same(lambda t: list(t.nn.ReLU().state_dict()))


def test_hooks(same):
    def saving(t):
        log = []
        model = network(t)
        model.first.register_state_dict_pre_hook(lambda *a: log.append(("pre", a[1:])))

        def after(module, state, prefix, metadata):
            log.append(("post", prefix, metadata))
            del state[prefix + "bias"]

        handle = model.first.register_state_dict_post_hook(after)
        names = list(model.state_dict())
        handle.remove()
        return names, log, list(model.state_dict())

    def loading(t):
        log = []
        model = network(t)

        def before(module, state, prefix, metadata, strict, missing, unexpected, errors):
            log.append((type(module).__name__, prefix, strict, len(state)))
            state[prefix + "bias"] = state.pop(prefix + "old")

        def after(module, keys):
            log.append((list(keys.missing_keys), module.first.bias.sum().item()))
            keys.missing_keys.clear()

        model.first.register_load_state_dict_pre_hook(before)
        model.register_load_state_dict_post_hook(after)
        state = model.state_dict()
        state["first.old"] = state.pop("first.bias") * 0
        del state["rest.1.weight"]
        return model.load_state_dict(state), log

    def refused(t):
        model = t.nn.Linear(1, 1)
        model.register_state_dict_post_hook(lambda *a: {})
        return model.state_dict()

    same(saving)
    same(loading)
    same(refused)


def test_a_subclass_may_extend_loading():
    class Renamed(nn.Linear):
        def _load_from_state_dict(self, state_dict, prefix, *rest):
            state_dict[prefix + "weight"] = state_dict.pop(prefix + "kernel")
            super()._load_from_state_dict(state_dict, prefix, *rest)

    model = nn.Sequential(Renamed(1, 1))
    model.load_state_dict({"0.kernel": numgrad.full((1, 1), 4.0), "0.bias": numgrad.zeros(1)})
    assert model[0].weight.item() == 4


def count_loads(module, *rest):
    module.loads = getattr(module, "loads", 0) + 1


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))])
def test_hooks_of_a_copy_see_the_copy(copied):
    model = nn.Linear(1, 1)
    model.register_load_state_dict_pre_hook(count_loads)
    model.register_forward_hook(count_loads)
    twin = copied(model)
    twin.load_state_dict(model.state_dict())
    assert twin.loads == 1 and not hasattr(model, "loads")
    # A hook of this process does not take the place of one that came with the copy.
    twin.register_forward_hook(count_loads)
    twin(numgrad.ones(1, 1))
    assert twin.loads == 3
