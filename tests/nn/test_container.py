"""Containers of modules and of parameters, beside PyTorch's."""

from collections import OrderedDict

import pytest

import numgrad
from numgrad import nn


def chain(t):
    return t.nn.Sequential(t.nn.Linear(2, 3), t.nn.ReLU(), t.nn.Linear(3, 1))


def named(t):
    return t.nn.Sequential(OrderedDict(a=t.nn.Linear(2, 3), b=t.nn.ReLU(), c=t.nn.Tanh()))


def changed(make, change):
    """A program: make a container, change it, look at it."""

    def program(t):
        container = make(t)
        result = change(t, container)
        return result, container, list(container._modules)

    return program


SEQUENTIAL = [
    lambda t, c: c[1],
    lambda t, c: c[-1],
    lambda t, c: c[1:],
    lambda t, c: c[::2],
    lambda t, c: c[:0],
    lambda t, c: c[5],
    lambda t, c: c["x"],
    lambda t, c: len(c),
    lambda t, c: [type(m).__name__ for m in c],
    lambda t, c: c.append(t.nn.Tanh()),
    lambda t, c: c.insert(1, t.nn.Tanh()),
    lambda t, c: c.insert(-1, t.nn.Tanh()),
    lambda t, c: c.insert(9, t.nn.Tanh()),
    lambda t, c: c.extend([t.nn.Tanh(), t.nn.ReLU()]),
    lambda t, c: c.extend(t.nn.Sequential(t.nn.Tanh())),
    lambda t, c: c.pop(1),
    lambda t, c: c.pop(slice(0, 2)),
    lambda t, c: c.__delitem__(0),
    lambda t, c: c.__delitem__(slice(0, 2)),
    lambda t, c: c.__setitem__(1, t.nn.Tanh()),
    lambda t, c: c.__setitem__(7, t.nn.Tanh()),
    lambda t, c: c + t.nn.Sequential(t.nn.Tanh()),
    lambda t, c: c * 2,
    lambda t, c: 2 * c,
    lambda t, c: c.__imul__(2),
    lambda t, c: c.__iadd__(t.nn.Sequential(t.nn.Tanh())),
]


@pytest.mark.parametrize("change", SEQUENTIAL)
def test_sequential(same, change):
    same(changed(chain, change))


@pytest.mark.parametrize("position", [0, 1, 2, 3, 7, 9, 15, 19])
def test_named_sequential(same, position):
    same(changed(named, SEQUENTIAL[position]))


def test_sequential_errors(same):
    same(lambda t: t.nn.Sequential(3))
    same(lambda t: t.nn.Sequential({"a": t.nn.ReLU()}))
    with pytest.raises(ValueError, match="Non-positive multiplication factor 0"):
        chain(numgrad) * 0
    with pytest.raises(ValueError, match="add operator supports only objects of Sequential"):
        chain(numgrad) + nn.ReLU()


def test_named_sequential_shares_modules():
    model = named(numgrad)
    assert model[:2].a is model.a and list(model[:2]._modules) == ["a", "b"]


LIST = [
    lambda t, c: c[1],
    lambda t, c: c[-1],
    lambda t, c: c[1:],
    lambda t, c: c[5],
    lambda t, c: len(c),
    lambda t, c: c.append(t.nn.Tanh()),
    lambda t, c: c.insert(1, t.nn.Tanh()),
    lambda t, c: c.extend(t.nn.Tanh() for _ in range(2)),
    lambda t, c: c.extend(3),
    lambda t, c: c.__iadd__([t.nn.Tanh()]),
    lambda t, c: c + [t.nn.Tanh()],
    lambda t, c: c.pop(0),
    lambda t, c: c.__delitem__(slice(0, 2)),
    lambda t, c: c.__setitem__(-1, t.nn.Tanh()),
    lambda t, c: c(1),
]


@pytest.mark.parametrize("change", LIST)
def test_module_list(same, change):
    same(changed(lambda t: t.nn.ModuleList([t.nn.ReLU(), t.nn.ReLU(), t.nn.Linear(1, 1)]), change))


def test_insert_from_the_end():
    layers = nn.ModuleList([nn.ReLU(), nn.Linear(1, 1)])
    layers.insert(-1, nn.Tanh())
    assert [type(layer).__name__ for layer in layers] == ["ReLU", "Tanh", "Linear"]


def test_text_of_repeated_blocks(same):
    def block(t, n=2):
        return t.nn.Sequential(t.nn.Linear(n, 2), t.nn.ReLU())

    same(lambda t: t.nn.ModuleList([block(t), block(t), block(t, 3), block(t)]))
    same(lambda t: t.nn.ModuleList([t.nn.ModuleList([block(t)] * 2)] * 3))
    same(lambda t: t.nn.ModuleList())


DICT = [
    lambda t, c: c["a"],
    lambda t, c: c["missing"],
    lambda t, c: (len(c), "a" in c, list(c), list(c.keys())),
    lambda t, c: [(n, type(m).__name__) for n, m in c.items()],
    lambda t, c: [type(m).__name__ for m in c.values()],
    lambda t, c: c.__setitem__("d", t.nn.Tanh()),
    lambda t, c: c.__setitem__("a", t.nn.Tanh()),
    lambda t, c: c.__setitem__("keys", t.nn.Tanh()),
    lambda t, c: c.__setitem__("e", 3),
    lambda t, c: c.__delitem__("a"),
    lambda t, c: c.__delitem__("x"),
    lambda t, c: c.pop("b"),
    lambda t, c: c.clear(),
    lambda t, c: c.update({"x": t.nn.Tanh()}),
    lambda t, c: c.update([("x", t.nn.Tanh())]),
    lambda t, c: c.update(t.nn.ModuleDict({"x": t.nn.Tanh()})),
    lambda t, c: c.update(3),
]


@pytest.mark.parametrize("change", DICT)
def test_module_dict(same, change):
    same(changed(lambda t: t.nn.ModuleDict({"a": t.nn.ReLU(), "b": t.nn.Linear(1, 1)}), change))


PARAMETERS = [
    lambda t, c: c[0],
    lambda t, c: c[-1],
    lambda t, c: c[1:],
    lambda t, c: c[7],
    lambda t, c: len(c),
    lambda t, c: list(c),
    lambda t, c: c.append(t.ones(1)),
    lambda t, c: c.append("text"),
    lambda t, c: c.extend([t.ones(1), t.nn.Parameter(t.ones(2))]),
    lambda t, c: c.extend(t.ones(1)),
    lambda t, c: c.__setitem__(0, t.zeros(3)),
    lambda t, c: c.__iadd__([t.ones(1)]),
    lambda t, c: [n for n, _ in c.named_parameters()],
    lambda t, c: c(),
]


def parameters_of(program):
    def shown(t):
        values = t.nn.ParameterList([t.ones(2), t.zeros(2, 3)])
        return program(t, values), values

    return shown


@pytest.mark.parametrize("program", PARAMETERS)
def test_parameter_list(same, program):
    same(parameters_of(program))


PARAMETER_DICT = [
    lambda t, c: c["a"],
    lambda t, c: c["missing"],
    lambda t, c: c[0],
    lambda t, c: (len(c), "a" in c, list(c), list(reversed(c)), list(c.keys())),
    lambda t, c: (list(c.values()), list(c.items())),
    lambda t, c: c.__setitem__("c", t.zeros(1)),
    lambda t, c: c.__setitem__("a", t.zeros(1)),
    lambda t, c: c.__delitem__("a"),
    lambda t, c: c.update({"z": t.ones(1), "note": "text"}),
    lambda t, c: c.update([("z", t.ones(1))]),
    lambda t, c: c.update(3),
    lambda t, c: (c.pop("a"), c.popitem()),
    lambda t, c: (c.get("a"), c.get("q"), c.get("q", 4)),
    lambda t, c: (c.setdefault("a", t.zeros(1)), c.setdefault("n", t.zeros(1))),
    lambda t, c: c.copy(),
    lambda t, c: c | t.nn.ParameterDict({"x": t.ones(1)}),
    lambda t, c: c.fromkeys(["x", "y"], t.ones(1)),
    lambda t, c: c.clear(),
    lambda t, c: [n for n, _ in c.named_parameters()],
]


@pytest.mark.parametrize("program", PARAMETER_DICT)
def test_parameter_dict(same, program):
    def shown(t):
        values = t.nn.ParameterDict({"a": t.ones(2), "b": t.zeros(2, 3)})
        return program(t, values), values

    same(shown)


def test_containers_forget_what_is_taken_out():
    layers = nn.ModuleList([nn.ReLU(), nn.Tanh()])
    del layers[0]
    assert list(layers._modules) == ["0"] and "1" not in layers.__dict__
    table = nn.ModuleDict({"a": nn.ReLU()})
    table.clear()
    assert not hasattr(table, "a")
