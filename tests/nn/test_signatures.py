"""Argument names, order and defaults are PyTorch's, for layers, functions and initialisers."""

import inspect

import pytest

import numgrad


def parameters(function):
    try:
        signature = inspect.signature(function)
    except ValueError:  # a builtin of PyTorch's
        return None
    return [
        (p.name, p.kind, _plain(p.default))
        for p in signature.parameters.values()
        if p.name != "self"
    ]


def _plain(default):
    return default if isinstance(default, (int, float, str, bool, type(None))) else type(default)


def without_out(listed):
    return [(name, default) for name, _, default in listed if name != "out"]


def public(module):
    return sorted(name for name in vars(module) if not name.startswith("_"))


def test_layers(torch):
    for name in public(numgrad.nn):
        ours, theirs = getattr(numgrad.nn, name), getattr(torch.nn, name, None)
        if isinstance(ours, type) and issubclass(ours, numgrad.nn.Module):
            assert theirs is not None, name
            assert parameters(ours.__init__) == parameters(theirs.__init__), name


#: Methods whose signature is not PyTorch's: what is added or left open is of no use to a caller.
DIFFERENT = {"forward", "__call__"}


def test_methods(torch):
    module = numgrad.nn.Module
    for name in public(module):
        if not callable(getattr(module, name)) or name in DIFFERENT:
            continue
        theirs = getattr(torch.nn.Module, name, None)
        assert theirs is not None, name
        assert parameters(getattr(module, name)) == parameters(theirs), name


@pytest.mark.parametrize("place", ["functional", "init", "utils"])
def test_functions(torch, place):
    ours, theirs = getattr(numgrad.nn, place), getattr(torch.nn, place)
    for name in public(ours):
        function = getattr(ours, name)
        if not inspect.isfunction(function) or name == "no_grad":
            continue
        assert hasattr(theirs, name), name
        expected = parameters(getattr(theirs, name))
        if expected is not None:
            assert without_out(parameters(function)) == without_out(expected), name


#: What PyTorch's functional namespace has and this one lacks: convolutions, pooling, and so on.
LATER = (
    "conv pool fold interpolate upsample grid shuffle ctc multi_head scaled_mm grouped "
    "embedding_bag local_response pdist linear_cross_entropy multilabel_margin has_torch handle "
    "boolean_dispatch assert_int"
).split()


def test_functional_is_complete(torch):
    missing = {
        name
        for name in public(torch.nn.functional)
        if callable(getattr(torch.nn.functional, name))
        and getattr(torch.nn.functional, name).__module__ != "typing"
        and name[0].islower()
        and not any(part in name for part in LATER)
    }
    assert missing - set(public(numgrad.nn.functional)) == set()
