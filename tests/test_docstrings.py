"""Every example in a docstring of the package runs; every public function has one."""

import doctest
import importlib
import pathlib
import pkgutil
import sys

import numpy as np
import pytest

import numgrad as ng

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent / "docs"))
from _extension import reference

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


OPTIONS = doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS


@pytest.mark.filterwarnings("ignore:torch.chain_matmul is deprecated")
@pytest.mark.parametrize("test", examples(), ids=lambda test: test.name.removeprefix("numgrad."))
def test_examples_run(test):
    test.globs = {"numgrad": ng, "torch": ng, "np": np}
    report = []
    runner = doctest.DocTestRunner(optionflags=OPTIONS)
    runner.run(test, out=report.append, clear_globs=False)
    assert runner.failures == 0, "".join(report)


#: Namespaces whose names need a GPU, several processes, or time.
NO_EXAMPLES = {"cuda", "distributed", "multiprocessing", "nn.parallel", "bench"}
#: Settings that change nothing one can print, and classes that only the library makes.
WITHOUT = {
    "get_num_threads",
    "set_num_threads",
    "OptimizedModule",
    "CompileProgress",
    "load_ipython_extension",
}


def public():
    """The functions and classes that the site documents, in-place forms of operations aside."""
    for place in ("numgrad", *[n for n in reference.NAMESPACES if n not in NO_EXAMPLES]):
        namespace = ng if place == "numgrad" else reference.namespace_of(place)
        for name, value in reference.public(namespace, place).items() if namespace else ():
            if (not name.endswith("_") or place == "nn.init") and name not in WITHOUT:
                yield pytest.param(value, id=f"{place}.{name}")


@pytest.mark.parametrize("value", list(public()))
def test_has_an_example(value):
    assert ">>>" in (value.__doc__ or "")
