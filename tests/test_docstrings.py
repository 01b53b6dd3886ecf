"""Every example in a docstring of the package runs; every public function has one."""

import doctest
import importlib
import inspect
import pkgutil

import numpy as np
import pytest

import numgrad as ng

#: Modules whose import needs an optional package or starts a program.
APART = (
    "numgrad.__main__",
    "numgrad.bench",
    "numgrad.demo",
    "numgrad.device._driver",
    "numgrad.kernels.cuda.intrinsics",
)


def modules():
    found = [ng]
    for module in pkgutil.walk_packages(ng.__path__, "numgrad."):
        if not module.name.startswith(APART):
            found.append(importlib.import_module(module.name))
    return found


def examples():
    """One doctest for each object that has examples, by name."""
    finder = doctest.DocTestFinder(exclude_empty=True)
    found = {}
    for module in modules():
        for test in finder.find(module, module.__name__, module=module):
            if test.examples:
                found[test.name] = test
    for name, operation in vars(ng.ops).items():  # those made from kernels are in no module
        full = f"numgrad.ops.elementwise.{name}"
        if getattr(operation, "__module__", None) == "numgrad.ops._core" and full not in found:
            for test in finder.find(operation, full, module=False):
                if test.examples:
                    found[full] = test
    return list(found.values())


@pytest.mark.filterwarnings("ignore:torch.chain_matmul is deprecated")
@pytest.mark.parametrize("test", examples(), ids=lambda test: test.name.removeprefix("numgrad."))
def test_examples_run(test):
    test.globs = {"numgrad": ng, "torch": ng, "np": np}
    report = []
    runner = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE)
    runner.run(test, out=report.append, clear_globs=False)
    assert runner.failures == 0, "".join(report)


PLACES = {
    "numgrad": ng,
    "nn": ng.nn,
    "nn.functional": ng.nn.functional,
    "nn.init": ng.nn.init,
    "nn.utils": ng.nn.utils,
    "optim": ng.optim,
    "optim.lr_scheduler": ng.optim.lr_scheduler,
    "utils.data": ng.utils.data,
    "autograd": ng.autograd,
    "linalg": ng.linalg,
    "profiler": ng.profiler,
    "viz": ng.viz,
}
#: Those whose public names are the ones in their `__all__`.
LISTED = {"profiler", "viz"}
#: What these modules import for themselves, base classes without use of their own, and settings
#: that change nothing one can print.
INSIDE = {
    "get_num_threads",
    "set_num_threads",
    "Variable",
    "CompositeSchedule",
    "LambdaSchedule",
    "set_value",
    "values_of",
}


def public():
    """The functions and classes of the public modules, in-place forms of operations aside."""
    for place, module in PLACES.items():
        for name, value in sorted(vars(module).items()):
            inplace = name.endswith("_") and place != "nn.init"
            if place in LISTED and name not in module.__all__:
                continue
            if name.startswith("_") or inplace or name in INSIDE or inspect.ismodule(value):
                continue
            if callable(value) and getattr(value, "__module__", "").startswith("numgrad"):
                yield pytest.param(value, id=f"{place}.{name}")


@pytest.mark.parametrize("value", list(public()))
def test_has_an_example(value):
    assert ">>>" in (value.__doc__ or "")
