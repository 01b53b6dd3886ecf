"""A function, eager and compiled, on copies of the same arguments: everything has to be equal."""

import importlib.util
import pathlib
import sys

import numpy as np

import numgrad as ng
from numgrad.autograd import tape

TESTS = pathlib.Path(__file__).parent.parent
#: Why a function may stay eager, if it may.
EAGER = ("leaves the kernels for Python", "returns a view of an argument")


def module(name):
    """Another test module, for the tables in it."""
    path = TESTS / f"{name}.py"
    if "tested_" + path.stem in sys.modules:
        return sys.modules["tested_" + path.stem]
    spec = importlib.util.spec_from_file_location("tested_" + path.stem, path)
    found = importlib.util.module_from_spec(spec)
    sys.modules["tested_" + path.stem] = found
    spec.loader.exec_module(found)
    return found


def rows(names, parameter):
    """What the tests in these modules are parametrised with under this name, errors excepted."""
    found = []
    for name in names:
        for key, function in vars(module(name)).items():
            for mark in getattr(function, "pytestmark", ()):
                if mark.name == "parametrize" and mark.args[0] == parameter and "error" not in key:
                    found += mark.args[1]
    return found


def tensors(value):
    """The tensors in a nest of tuples, lists and dicts, in order."""
    if isinstance(value, ng.Tensor):
        return [value]
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, (tuple, list)):
        return [tensor for part in value for tensor in tensors(part)]
    return []


def assert_same(found, expected, exact=True, what=""):
    """Equal in kind and structure; tensors in shape, dtype, flags, version and values."""
    assert type(found) is type(expected), (what, found, expected)
    if isinstance(found, ng.Tensor):
        assert found.shape == expected.shape and found.dtype == expected.dtype, what
        assert found.requires_grad == expected.requires_grad, what
        assert found.is_leaf == expected.is_leaf, what
        if what.startswith("argument"):
            assert tape.version(found) == tape.version(expected), f"version of {what}"
        found, expected = found.detach().numpy(), expected.detach().numpy()
        if expected.dtype.kind == "f":
            # Some loops round otherwise where arrays lie so close together that LLVM's vectors
            # would overlap: the last bit of a product is not always the same.
            largest = np.abs(expected[np.isfinite(expected)]).max(initial=1.0)
            tolerance = np.finfo(expected.dtype).eps * (2 if exact else 100)
            np.testing.assert_allclose(
                found, expected, tolerance, tolerance * largest, err_msg=what
            )
        else:
            np.testing.assert_array_equal(found, expected, err_msg=what)
    elif isinstance(found, dict):
        assert list(found) == list(expected), what
        for key in found:
            assert_same(found[key], expected[key], exact, f"{what}[{key!r}]")
    elif isinstance(found, (tuple, list)):
        assert len(found) == len(expected), what
        for k, (a, b) in enumerate(zip(found, expected, strict=True)):
            assert_same(a, b, exact, f"{what}[{k}]")
    else:
        assert found == expected or found != found, what


def check(function, calls, exact=True, eager=False, **options):
    """Call `function` eager and compiled with the arguments that each of `calls` makes.

    Results, arguments afterwards and their gradients have to be equal; with at least three calls,
    programs have to have run, unless `eager`: then there has to be a reason. The compiled function.
    """
    compiled = ng.compile(function, options=options)
    failed = 0
    for k, make in enumerate(calls):
        ng.manual_seed(k)
        arguments = make()
        try:
            expected = function(*arguments)
        except Exception as error:
            expected = error
        state = ng.get_rng_state()
        ng.manual_seed(k)
        given = make()
        try:
            found = compiled(*given)
        except Exception as error:
            found = error
        if isinstance(expected, Exception) or isinstance(found, Exception):
            assert repr(found) == repr(expected)
            failed += 1
            continue
        assert_same(found, expected, exact, f"result {k}")
        assert_same(given, arguments, exact, f"argument {k}")
        grads = [[t.grad for t in tensors(list(a))] for a in (given, arguments)]
        assert_same(*grads, exact, f"gradient {k}")
        assert_same(ng.get_rng_state(), state, True, "generator")
    if eager:
        assert compiled.reason is not None
    elif compiled.reason is not None:
        assert any(text in compiled.reason for text in EAGER), compiled.reason
    elif not failed:
        assert compiled.programs >= 1
    return compiled


def rolled(array, k):
    """The same numbers in other places."""
    return np.roll(array.ravel(), k).reshape(array.shape).copy()
