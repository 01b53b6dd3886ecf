"""`Module`: registering, traversal, modes, conversions, copies, text."""

import copy
import gc
import pickle
import weakref

import numpy as np
import pytest

import numgrad
from numgrad import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 1))
        self.scale = nn.Parameter(numgrad.ones(1))
        self.register_buffer("count", numgrad.zeros(1))
        self.register_buffer("cache", numgrad.zeros(1), persistent=False)
        self.note = "plain"

    def forward(self, x):
        return self.layers(x) * self.scale


def shared(t):
    """A module that holds one layer, and one parameter, twice."""
    module = t.nn.Module()
    module.a = t.nn.Linear(2, 2)
    module.b = module.a
    module.c = t.nn.Linear(2, 2, bias=False)
    module.c.weight = module.a.weight
    module.register_module("none", None)
    module.register_parameter("absent", None)
    module.register_buffer("empty", None)
    return module


def test_names(same):
    same(lambda t: [n for n, _ in shared(t).named_parameters()])
    same(lambda t: [n for n, _ in shared(t).named_parameters(remove_duplicate=False)])
    same(lambda t: [n for n, _ in shared(t).named_parameters("p", recurse=False)])
    same(lambda t: [n for n, _ in shared(t).a.named_parameters("p", recurse=False)])
    same(lambda t: [n for n, _ in shared(t).named_modules(prefix="p")])
    same(lambda t: [n for n, _ in shared(t).named_modules(remove_duplicate=False)])
    same(lambda t: [n for n, _ in shared(t).named_children()])
    same(lambda t: [n for n, _ in t.nn.BatchNorm1d(2).named_buffers()])
    same(lambda t: len(list(shared(t).parameters())))
    same(lambda t: len(list(shared(t).modules())))
    same(lambda t: list(shared(t).state_dict()))


def test_text(same):
    same(shared)
    same(lambda t: t.nn.Module())
    same(lambda t: t.nn.Sequential(t.nn.ModuleList([t.nn.Linear(1, 1)] * 2), t.nn.ModuleDict()))

    def custom(t):
        class Custom(t.nn.Module):
            def __init__(self):
                super().__init__()
                self.inner = t.nn.ReLU()

            def extra_repr(self):
                return "first\nsecond"

        return Custom()

    same(custom)


ERRORS = [
    lambda t: t.nn.Module(3),
    lambda t: t.nn.Module(a=3),
    lambda t: t.nn.Module()(1),
    lambda t: t.nn.Module().missing,
    lambda t: delattr(t.nn.Module(), "missing"),
    lambda t: t.nn.Module().add_module("", t.nn.ReLU()),
    lambda t: t.nn.Module().add_module("a.b", t.nn.ReLU()),
    lambda t: t.nn.Module().add_module(3, t.nn.ReLU()),
    lambda t: t.nn.Module().add_module("x", 3),
    lambda t: t.nn.Module().add_module("forward", t.nn.ReLU()),
    lambda t: t.nn.Module().register_parameter("p", t.ones(2)),
    lambda t: t.nn.Module().register_parameter("a.b", None),
    lambda t: t.nn.Module().register_parameter("", None),
    lambda t: t.nn.Module().register_parameter(1, None),
    lambda t: t.nn.Module().register_parameter("forward", None),
    lambda t: t.nn.Module().register_buffer("b", 3),
    lambda t: t.nn.Module().register_buffer("a.b", None),
    lambda t: t.nn.Module().register_buffer("train", None),
    lambda t: setattr(t.nn.Linear(1, 1), "weight", t.ones(1, 1)),
    lambda t: setattr(t.nn.Linear(1, 1), "weight", [1]),
    lambda t: setattr(t.nn.Sequential(t.nn.ReLU()), "0", 3),
    lambda t: setattr(t.nn.BatchNorm1d(1), "running_mean", 3),
    lambda t: t.nn.Linear(1, 1).get_submodule("a.b"),
    lambda t: t.nn.Linear(1, 1).get_submodule("weight"),
    lambda t: t.nn.Linear(1, 1).get_parameter("nothing"),
    lambda t: t.nn.Linear(1, 1).get_parameter("in_features"),
    lambda t: t.nn.Linear(1, 1).get_buffer("weight"),
    lambda t: t.nn.Linear(1, 1).set_submodule("", t.nn.ReLU()),
    lambda t: t.nn.Linear(1, 1).set_submodule("weight", t.nn.ReLU()),
    lambda t: t.nn.Linear(1, 1).set_submodule("x", t.nn.ReLU(), strict=True),
    lambda t: t.nn.Linear(1, 1).train(1),
    lambda t: t.nn.Linear(1, 1).to(t.int64),
    lambda t: t.nn.Parameter(t.tensor([1])),
    lambda t: t.nn.Embedding(3, 2, padding_idx=5),
    lambda t: t.nn.Embedding.from_pretrained(t.ones(2)),
    lambda t: t.nn.BatchNorm1d(2)(t.ones(2)),
    lambda t: t.nn.BatchNorm2d(2)(t.ones(2)),
    lambda t: t.nn.GroupNorm(2, 3),
    lambda t: t.nn.Dropout(1.5),
    lambda t: t.nn.Hardtanh(1, 0),
    lambda t: t.nn.GLU()(t.ones(3)),
    lambda t: t.nn.PReLU(3)(t.ones(2, 2)),
    lambda t: t.nn.Linear(2, 3)(t.ones(4, 5)),
    lambda t: t.nn.Bilinear(0, 1, 1),
]


@pytest.mark.parametrize("position", range(len(ERRORS)))
def test_errors_are_pytorchs(same, position):
    same(ERRORS[position])


def test_before_init(same):
    def parameter(t):
        class Early(t.nn.Module):
            def __init__(self):
                self.p = t.nn.Parameter(t.ones(1))

        return Early()

    def module(t):
        class Early(t.nn.Module):
            def __init__(self):
                self.layer = t.nn.ReLU()

        return Early()

    same(parameter)
    same(module)
    same(lambda t: object.__new__(t.nn.Module).register_parameter("p", None))
    same(lambda t: object.__new__(t.nn.Module).register_buffer("b", None))


def test_registries_and_attributes_agree():
    net = Net()
    layer = net.layers
    assert net.__dict__["layers"] is net._modules["layers"] is layer
    net._modules["layers"] = replaced = nn.Identity()
    assert net.layers is replaced
    del net._modules["layers"]
    assert not hasattr(net, "layers")
    net.layers = layer
    net.layers = None
    assert net._modules == {"layers": None} and net.layers is None
    del net.layers
    assert "layers" not in net._modules and "layers" not in net.__dict__
    net._parameters.clear()
    assert not hasattr(net, "scale")
    net._parameters.update(scale=nn.Parameter(numgrad.zeros(1)))
    assert net._parameters.pop("scale") is not None and not hasattr(net, "scale")
    assert net._parameters.pop("scale", 3) == 3
    net._buffers |= {"more": numgrad.ones(1)}
    assert net.more is net._buffers.setdefault("more", None)
    assert net._buffers.popitem()[0] == "more" and not hasattr(net, "more")
    net._parameters = {"scale": nn.Parameter(numgrad.ones(2))}
    assert net.scale.shape == (2,)


def test_assignment_moves_a_name_between_registries():
    module = nn.Module()
    module.x = 3
    module.x = nn.Parameter(numgrad.ones(1))
    assert list(module._parameters) == ["x"]
    del module.x
    module.x = nn.ReLU()
    assert list(module._modules) == ["x"] and not module._parameters
    module.x = nn.Parameter(numgrad.ones(1))
    assert list(module._parameters) == ["x"] and not module._modules
    module.y = nn.Buffer(numgrad.ones(1), persistent=False)
    assert list(module.state_dict()) == ["x"]
    module.y = numgrad.zeros(1)
    assert list(module._buffers) == ["y"] and module.y.item() == 0
    assert list(module.state_dict()) == ["x"]
    module.y = nn.Buffer(numgrad.ones(1))
    assert list(module.state_dict()) == ["x", "y"]


def test_a_subclass_may_define_getattr():
    class Wrapper(nn.Module):
        def __init__(self, inner):
            super().__init__()
            self.inner = inner

        def __getattr__(self, name):
            try:
                return super().__getattr__(name)
            except AttributeError:
                return getattr(self.inner, name)

    assert Wrapper(nn.Linear(2, 3)).out_features == 3


def test_dir_lists_what_is_registered():
    assert {"layers", "scale", "count", "forward", "note"} <= set(dir(Net()))
    assert "0" not in dir(nn.Sequential(nn.ReLU()))


def test_modes_and_gradients():
    net = Net()
    assert net.training and net.layers[0].training
    assert net.eval() is net and not net.layers[0].training
    net.train()
    net(numgrad.ones(1, 2)).sum().backward()
    net.zero_grad(set_to_none=False)
    assert net.scale.grad.item() == 0
    net.zero_grad()
    assert net.scale.grad is None
    assert net.requires_grad_(False) is net
    assert not any(p.requires_grad for p in net.parameters())
    seen = []
    assert net.apply(lambda module: seen.append(type(module).__name__)) is net
    assert seen == ["Linear", "ReLU", "Linear", "Sequential", "Net"]


def test_conversions_keep_parameters():
    net = Net()
    net.register_buffer("number", numgrad.zeros(1, dtype=numgrad.int64))
    net(numgrad.ones(1, 2)).sum().backward()
    before = list(net.parameters())
    assert net.double() is net
    assert [p is q for p, q in zip(before, net.parameters(), strict=True)] == [True] * 5
    assert {p.dtype for p in net.parameters()} == {numgrad.float64}
    assert net.scale.grad.dtype is numgrad.float64
    assert net.count.dtype is numgrad.float64 and net.number.dtype is numgrad.int64
    assert net.float().count.dtype is numgrad.float32
    assert net.to(numgrad.float64).count.dtype is numgrad.float64
    assert net.to("cpu", numgrad.float32).count.dtype is numgrad.float32
    assert net.to(dtype=numgrad.float64).number.dtype is numgrad.int64
    assert net.to(numgrad.ones(1)).count.dtype is numgrad.float32
    assert net.cpu() is net and net.share_memory() is net
    assert net.type(numgrad.float64).number.dtype is numgrad.float64
    with pytest.raises(RuntimeError, match="no float16"):
        net.half()


def test_optimizer_survives_conversion():
    layer = nn.Linear(1, 1, bias=False)
    held = list(layer.parameters())
    layer.double()
    layer(numgrad.ones(1, 1, dtype=numgrad.float64)).sum().backward()
    assert held[0].grad.dtype is numgrad.float64


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))])
def test_copies_are_independent(copied):
    net = Net()
    net.layers[2].weight = nn.Parameter(numgrad.ones(1, 3))
    net.tied = net.layers[2].weight
    twin = copied(net)
    assert type(twin) is Net and repr(twin) == repr(net) and twin.note == "plain"
    assert type(twin.scale) is nn.Parameter and twin.scale.requires_grad
    assert twin.tied is twin.layers[2].weight is twin._parameters["tied"]
    assert twin.layers is twin._modules["layers"]
    x = numgrad.ones(1, 2)
    np.testing.assert_array_equal(twin(x).detach().numpy(), net(x).detach().numpy())
    twin._parameters["scale"] = nn.Parameter(numgrad.full((1,), 5.0))
    assert twin.scale.item() == 5 and net.scale.item() == 1
    assert list(twin.state_dict()) == list(net.state_dict())


def test_shallow_copy_has_registries_of_its_own():
    net = Net()
    twin = copy.copy(net)
    assert twin.scale is net.scale
    twin.scale = nn.Parameter(numgrad.zeros(1))
    assert twin.scale is not net.scale and net._parameters["scale"] is net.scale


def test_a_module_is_freed_at_once():
    gc.disable()
    try:
        net = Net()
        reference = weakref.ref(net)
        net(numgrad.ones(1, 2))
        del net
        assert reference() is None
    finally:
        gc.enable()


def test_submodules_by_name():
    net = Net()
    assert net.get_submodule("") is net and net.get_submodule("layers.0") is net.layers[0]
    assert net.get_parameter("layers.0.weight") is net.layers[0].weight
    assert net.get_buffer("count") is net.count
    net.set_submodule("layers.1", nn.Tanh())
    assert isinstance(net.layers[1], nn.Tanh)


def test_forward_replaced_on_an_instance():
    layer = nn.Linear(1, 1)
    layer.forward = lambda x: "replaced"
    assert layer(1) == "replaced"


def test_parameter_basics(same):
    same(lambda t: t.nn.Parameter(t.ones(2)))
    same(lambda t: t.nn.Parameter(t.ones(2), requires_grad=False))
    same(lambda t: t.nn.Parameter())
    same(lambda t: t.nn.Parameter(t.ones(2, requires_grad=True) * 2).is_leaf)
    data = numgrad.ones(2)
    parameter = nn.Parameter(data)
    data[0] = 5
    assert parameter[0].item() == 5
    assert type(parameter + 1) is numgrad.Tensor
    with numgrad.no_grad():
        assert nn.Parameter(data).requires_grad
    for copied in (copy.deepcopy(parameter), pickle.loads(pickle.dumps(parameter))):
        assert type(copied) is nn.Parameter and copied.requires_grad
        np.testing.assert_array_equal(copied.detach().numpy(), [5, 1])
    with pytest.raises(TypeError):
        nn.Parameter([1.0])


def test_buffer_basics():
    buffer = nn.Buffer(numgrad.ones(2), persistent=False)
    assert isinstance(buffer, numgrad.Tensor) and not buffer.requires_grad
    for copied in (copy.deepcopy(buffer), pickle.loads(pickle.dumps(buffer))):
        assert type(copied) is nn.Buffer and copied.persistent is False
