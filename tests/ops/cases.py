"""One call of an operation, run here and in PyTorch: values, dtypes, names, gradients, errors."""

import warnings
from dataclasses import dataclass, field
from typing import Any

import numpy as np

import numgrad as ng
from numgrad import ops
from numgrad.autograd import gradcheck, gradgradcheck
from numgrad.ops import normalization


@dataclass(frozen=True)
class Case:
    """`name(*arguments, **kwargs)`; NumPy arrays among them become tensors."""

    name: str
    arguments: tuple
    kwargs: dict[str, Any] = field(default_factory=dict)

    def __str__(self):
        shown = [
            "x".join(map(str, a.shape)) or "scalar" if isinstance(a, np.ndarray) else str(a)
            for a in (*self.arguments, *self.kwargs.values())
        ]
        return "-".join([self.name, *shown]).replace(" ", "")


def case(name, *arguments, **kwargs):
    return Case(name, arguments, kwargs)


def noise(*shape, seed=0):
    """Standard normal numbers, the same for the same shape and seed."""
    return np.random.default_rng([seed, *shape]).standard_normal(shape)


def peer(torch, name):
    """PyTorch's function of this name."""
    functional = torch.nn.functional
    places = (functional, torch) if hasattr(functional, name) else (torch, torch.linalg)
    return next(getattr(p, name) for p in places if hasattr(p, name))


def ours_of(name):
    """Our function of this name."""
    return next(getattr(m, name) for m in (ops, normalization) if hasattr(m, name))


def run(function, from_numpy, item):
    """The results, and the floating tensors among the positional arguments as leaves."""
    leaves = []

    def convert(value, leaf):
        if not isinstance(value, np.ndarray):
            return value
        tensor = from_numpy(value.copy())
        if leaf and value.dtype.kind == "f":
            leaves.append(tensor.requires_grad_())
        return tensor

    arguments = [convert(a, True) for a in item.arguments]
    kwargs = {k: convert(v, False) for k, v in item.kwargs.items()}
    results = function(*arguments, **kwargs)
    return (list(results) if isinstance(results, tuple) else [results]), leaves


def check_parity(torch, item, names=True, rtol=1e-9, atol=1e-11):
    """Values, shapes, dtypes, names of nodes and first gradients as PyTorch's."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs, their_leaves = run(peer(torch, item.name), torch.from_numpy, item)
        ours, leaves = run(ours_of(item.name), ng.from_numpy, item)
    seeds = []
    for own, other in zip(ours, theirs, strict=True):
        expected = other.detach().numpy(force=True)
        found = own.detach().numpy()
        assert found.dtype == expected.dtype
        np.testing.assert_allclose(found, expected, rtol=rtol, atol=atol)
        assert own.requires_grad == other.requires_grad
        if other.requires_grad:
            seeds.append(noise(*expected.shape, seed=7).astype(expected.dtype))
            if names:
                assert own.grad_fn.name() == other.grad_fn.name()
    ours = [t for t in ours if t.requires_grad]
    theirs = [t for t in theirs if t.requires_grad]
    if not ours:
        return
    found = ng.autograd.grad(ours, leaves, [ng.from_numpy(s) for s in seeds], allow_unused=True)
    expected = torch.autograd.grad(
        theirs, their_leaves, [torch.from_numpy(s) for s in seeds], allow_unused=True
    )
    for own, other in zip(found, expected, strict=True):
        if own is None or other is None:
            continue
        other = other.numpy(force=True)
        np.testing.assert_allclose(own.numpy(), other, rtol=10 * rtol, atol=10 * atol)


def check_gradients(item, second=True):
    """First and second derivatives against differences, in float64."""
    leaves = []

    def convert(value):
        if isinstance(value, np.ndarray):
            value = ng.from_numpy(value.copy())
            if value.is_floating_point():
                leaves.append(value.requires_grad_())
        return value

    arguments = [convert(a) for a in item.arguments]
    kwargs = {
        k: ng.from_numpy(v.copy()) if isinstance(v, np.ndarray) else v
        for k, v in item.kwargs.items()
    }

    def function(*tensors):
        given = iter(tensors)
        filled = [next(given) if any(a is leaf for leaf in leaves) else a for a in arguments]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return ours_of(item.name)(*filled, **kwargs)

    assert gradcheck(function, leaves)
    if second:
        assert gradgradcheck(function, leaves)


def check_error(torch, item):
    """The same exception with the same sentence."""
    failures = []
    for function, from_numpy in (
        (peer(torch, item.name), torch.from_numpy),
        (ours_of(item.name), ng.from_numpy),
    ):
        try:
            run(function, from_numpy, item)
        except Exception as error:
            failures.append(error)
        else:
            failures.append(None)
    expected, found = failures
    assert expected is not None
    assert type(found) is type(expected), repr(found)
    assert str(found).splitlines()[0] == str(expected).splitlines()[0]
