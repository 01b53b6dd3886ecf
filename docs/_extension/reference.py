"""The reference: a page for each public namespace and each file of kernels, made when the site is.

Everything on them comes from the package as it is imported: signatures and docstrings, and for a
kernel its source, on the CPU and on CUDA.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import pathlib
import pkgutil
import textwrap
from typing import Any, NamedTuple

import numgrad
from numgrad.kernels._contract import Kernel
from numgrad.kernels._elementwise import Elementwise
from numgrad.kernels._scalar import ScalarFunction

from ._files import write
from .docstrings import to_rst


class Topic(NamedTuple):
    """A page of functions of the top namespace: those that these files of `ops/` define."""

    file: str
    title: str
    sources: tuple[str, ...]


TOPICS = (
    Topic("creation", "Creating tensors", ("creation",)),
    Topic("drawing", "Random numbers", ("random", "generator")),
    Topic("elementwise", "Elementwise operations", ("elementwise", "_core")),
    Topic("reduction", "Reductions, norms, scans, softmax", ("reduction", "extremum", "variance", "norm", "scan", "softmax")),
    Topic("sorting", "Sorting, searching, counting", ("sorting", "counting")),
    Topic("shapes", "Shapes, views, joining", ("views", "joining", "arranging", "conversion")),
    Topic("indexing", "Indexing, gathering, masks", ("indexing", "gathering", "masking", "slices")),
    Topic("products", "Matrix products", ("matmul", "addmm", "einsum", "linear")),
)  # fmt: skip

#: Namespaces with a page of their own, and what they are. One that is not there has none.
NAMESPACES = {
    "nn": "Layers and losses",
    "nn.functional": "Functions of layers and losses",
    "nn.init": "Initial values",
    "nn.utils": "Gradient clipping and parameter vectors",
    "optim": "Optimizers",
    "optim.lr_scheduler": "Schedules of the learning rate",
    "utils.data": "Datasets and loaders",
    "autograd": "Automatic differentiation",
    "func": "Functions of functions",
    "linalg": "Linear algebra",
    "compiler": "Compilation",
    "cuda": "GPUs",
    "distributed": "Several processes",
    "nn.parallel": "Data-parallel modules",
    "multiprocessing": "Starting processes",
    "profiler": "Profiler",
    "viz": "Pictures",
    "bench": "Benchmarks",
    "random": "Random states",
    "serialization": "Saving and loading",
    "safetensors": "safetensors files",
    "progress": "What is being compiled",
}


def namespace_of(name: str) -> Any:
    """The namespace `numgrad.<name>`, None where there is none."""
    found: Any = numgrad
    for part in name.split("."):
        if not hasattr(found, part):
            try:
                importlib.import_module(f"{found.__name__}.{part}")
            except ImportError:
                return None
        found = getattr(found, part)
    return found


#: Namespaces that are one file and hand on what others define.
FACES = ("nn.functional", "linalg")


def public(namespace: Any, name: str) -> dict[str, Any]:
    """The functions and classes of a namespace: what `__all__` lists; else what the package
    defines, in a module that is one file only that file's (but for `FACES`).
    """
    listed = getattr(namespace, "__all__", None)
    collected = hasattr(namespace, "__path__") or name in FACES
    found = {}
    for key in sorted(dir(namespace)):
        value = getattr(namespace, key)
        home = getattr(value, "__module__", None) or ""
        if listed is not None:
            own = key in listed
        elif collected:
            own = key != "Variable"  # what `Tensor` is made of
        else:
            own = home == namespace.__name__
        if own and callable(value) and not key.startswith("_") and home.startswith("numgrad."):
            found[key] = value
    return found


def heading(text: str, mark: str = "=") -> str:
    return f"{text}\n{mark * (2 * len(text))}\n"


def module_text(namespace: Any) -> str:
    """The docstring of a module without its first line's full stop being a title."""
    return "\n".join(to_rst(inspect.cleandoc(namespace.__doc__ or "").splitlines()))


def entries(prefix: str, members: dict[str, Any]) -> list[str]:
    """Directives for functions and classes: each object once, with its other names in a list."""
    canonical: dict[int, str] = {}
    for key, value in members.items():
        if id(value) not in canonical or getattr(value, "__name__", None) == key:
            canonical[id(value)] = key
    lines, aliases, inplace = [], [], []
    for key, value in members.items():
        own = canonical[id(value)]
        if key.endswith("_") and key[:-1] in members:
            inplace.append(f"``{key}``")
        elif key != own:
            aliases.append(f"``{key}`` is :func:`~{prefix}.{own}`")
        elif isinstance(value, type):
            lines += [
                f".. autoclass:: {prefix}.{key}",
                "   :members:",
                "   :exclude-members: forward, extra_repr",
                "",
            ]
        else:
            lines += [f".. autofunction:: {prefix}.{key}", ""]
    head = []
    if inplace:
        head += [f"In place, with the same arguments: {', '.join(inplace)}.", ""]
    if aliases:
        head += [f"Other names: {', '.join(aliases)}.", ""]
    return head + lines


def topic_pages(folder: pathlib.Path) -> list[str]:
    """Pages of the top namespace by subject, and one with the rest of it."""
    members = public(numgrad, "numgrad")
    modes = public(numgrad.autograd, "autograd")
    members = {key: value for key, value in members.items() if modes.get(key) is not value}
    elsewhere = set(public(numgrad.nn.functional, "nn.functional"))
    sources: dict[str, dict[str, Any]] = {}
    for key, value in members.items():
        home = getattr(value, "__module__", "")
        source = home.removeprefix("numgrad.ops.") if home.startswith("numgrad.ops.") else ""
        topic = next((t.file for t in TOPICS if source in t.sources), "")
        if topic or not (source and key in elsewhere):
            sources.setdefault(topic, {})[key] = value
    sources[""].pop("Tensor")
    for topic in TOPICS:
        text = [heading(topic.title), *entries("numgrad", sources[topic.file])]
        write(folder / f"{topic.file}.rst", "\n".join(text))
    text = [heading("dtypes, modes, files, threads"), *entries("numgrad", sources[""])]
    write(folder / "rest.rst", "\n".join(text))
    return [*[t.file for t in TOPICS], "rest"]


def tensor_page(folder: pathlib.Path) -> str:
    """The class: its own methods in full, those that are operations by name."""
    own, operations = [], []
    for key, value in sorted(vars(numgrad.Tensor).items()):
        if key.startswith("_"):
            continue
        if getattr(value, "__module__", "").startswith("numgrad.ops"):
            operations.append(
                f":func:`{key} <numgrad.{key}>`"
                if hasattr(numgrad, key) and not key.endswith("_")
                else f"``{key}``"
            )
        else:
            own.append(key)
    lines = [
        heading("Tensor"),
        ".. autoclass:: numgrad.Tensor",
        f"   :members: {', '.join(own)}",
        "",
        heading("Operations as methods", "-"),
        "``x.add(y)`` is ``numgrad.add(x, y)``; a name that ends in ``_`` writes its result into the tensor.",
        "",
        ", ".join(operations) + ".",
        "",
    ]
    write(folder / "tensor.rst", "\n".join(lines))
    return "tensor"


def namespace_pages(folder: pathlib.Path) -> list[str]:
    files = []
    for name, title in NAMESPACES.items():
        namespace = namespace_of(name)
        if namespace is None:
            continue
        members = public(namespace, name)
        text = [
            heading(
                f"{name}: {title[0].lower()}{title[1:]}"
                if title[:2] != "GP"
                else f"{name}: {title}"
            ),
            module_text(namespace),
            *entries(f"numgrad.{name}", members),
        ]
        write(folder / f"{name}.rst", "\n".join(text))
        files.append(name)
    return files


def _source(function: Any) -> str:
    """A function's source without its docstring, which stands above it on the page.

    Empty for one that was made while the program runs.
    """
    try:
        source = textwrap.dedent(inspect.getsource(function)).rstrip()
    except OSError:
        return ""
    definition = ast.parse(source).body[0]
    assert isinstance(definition, ast.FunctionDef)
    first = definition.body[0]
    if len(definition.body) == 1 or ast.get_docstring(definition) is None:
        return source
    lines = source.splitlines()
    return "\n".join(lines[: first.lineno - 1] + lines[first.end_lineno :])


def _entry(signature: str, docstring: str | None, sources: list[Any]) -> list[str]:
    """A kernel: its signature, what it says of itself, the functions it is made of."""
    prose = to_rst(inspect.cleandoc(docstring or "").splitlines())
    lines = [f".. py:function:: {signature}", "", *[f"   {line}".rstrip() for line in prose]]
    found = dict.fromkeys(_source(function) for function in sources)
    code = "\n\n\n".join(source for source in found if source)
    if code:
        lines += ["", ".. code-block:: python", ""]
        lines += [f"   {line}".rstrip() for line in code.splitlines()]
    return [*lines, ""]


def kernel_entries(module: Any) -> list[str]:
    """A module's kernels, with their source and their twin's, and its scalar functions."""
    lines: list[str] = []
    for key, value in vars(module).items():
        if key.startswith("_"):
            continue
        if isinstance(value, Kernel) and value.py_func.__module__ == module.__name__:
            sources = [value.py_func]
            if value.twin is not None and not value.twin.by_value:
                sources.append(value.twin.function)
            lines += _entry(f"{key}({', '.join(value.parameters)})", value.__doc__, sources)
        elif isinstance(value, Elementwise) and value.function.__module__ == module.__name__:
            sources = [value.function.py_func]
            sources += [d.function.py_func for d in value.derivatives.values()]
            lines += _entry(f"{key}({', '.join(value.inputs)}, out)", value.__doc__, sources)
        elif isinstance(value, ScalarFunction) and value.__module__ == module.__name__:
            lines += _entry(f"{key}{inspect.signature(value.py_func)}", value.__doc__, [])
    return lines


def kernel_pages(folder: pathlib.Path) -> list[str]:
    """A page for each file of kernels that has some."""
    files = []
    package = importlib.import_module("numgrad.kernels")
    for found in sorted(pkgutil.iter_modules(package.__path__), key=lambda m: m.name):
        if found.name.startswith("_") or found.ispkg:
            continue
        module = importlib.import_module(f"numgrad.kernels.{found.name}")
        lines = kernel_entries(module)
        if lines:
            text = [
                heading(f"kernels.{found.name}"),
                f".. py:currentmodule:: {module.__name__}",
                "",
                module_text(module),
                *lines,
            ]
            write(folder / f"kernels.{found.name}.rst", "\n".join(text))
            files.append(f"kernels.{found.name}")
    return files


def toctree(caption: str, files: list[str]) -> list[str]:
    return [
        ".. toctree::",
        f"   :caption: {caption}",
        "   :maxdepth: 1",
        "",
        *[f"   {f}" for f in files],
        "",
    ]


def write_pages(folder: pathlib.Path) -> None:
    """All pages, and the index that lists them; pages of what is gone are deleted."""
    folder.mkdir(exist_ok=True)
    top = [tensor_page(folder), *topic_pages(folder)]
    spaces = namespace_pages(folder)
    kernels = kernel_pages(folder)
    index = [
        heading("Reference"),
        "``import numgrad as torch`` and write PyTorch; every example below is run by the tests.",
        "",
        *toctree("numgrad", top),
        *toctree("Namespaces", spaces),
        *toctree("Kernels", kernels),
    ]
    write(folder / "index.rst", "\n".join(index))
    written = {"index", *top, *spaces, *kernels}
    for path in folder.glob("*.rst"):
        if path.stem not in written:
            path.unlink()
