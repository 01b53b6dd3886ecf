"""PyTorch's documented names, the list that the coverage table compares with.

`python docs/_extension/torch_names.py` writes `torch_names.json` where torch is installed; a test
compares the file with what the installed torch has. A name counts where it is a function, class,
dtype, method or attribute of PyTorch's own with a docstring, and no part of its compiler's insides.
Beside each stand its optional parameters, from its signature or the first lines of its docstring.
"""

from __future__ import annotations

import importlib
import inspect
import json
import pathlib
import pkgutil
import re
import types
from typing import Any

FILE = pathlib.Path(__file__).parent.parent / "torch_names.json"
#: Namespaces whose names are compared one by one.
PLACES = (
    "torch",
    "Tensor",
    "nn",
    "nn.functional",
    "nn.init",
    "nn.utils",
    "optim",
    "optim.lr_scheduler",
    "utils.data",
    "autograd",
    "linalg",
    "func",
    "random",
    "cuda",
    "distributed",
    "profiler",
)
#: Kinds of objects that belong to TorchScript, to storages, to deprecated tensor types.
INSIDES = ("pybind11_type", "tensortype", "_LegacyStorageMeta")


def find(root: Any, place: str, prefix: str) -> Any:
    """The namespace `place` of torch or numgrad (`prefix` is the package's name); None if absent."""
    if place in ("torch", "Tensor"):
        return root if place == "torch" else root.Tensor
    try:
        return importlib.import_module(f"{prefix}.{place}")
    except ImportError:
        return None


def documented(namespace: Any) -> list[str]:
    """The public names of one of PyTorch's namespaces that have a docstring."""
    import torch

    found = []
    for name in sorted(n for n in dir(namespace) if n != "reduce_op"):  # to look at it warns
        value = None if name.startswith("_") else getattr(namespace, name, None)
        module = getattr(value, "__module__", None) or "torch"
        if isinstance(value, torch.dtype):
            found.append(name)
        elif value is None or isinstance(value, types.ModuleType) or not value.__doc__:
            continue
        elif type(value).__name__ in INSIDES or not module.startswith("torch"):
            continue
        elif callable(value) or type(value).__name__ in ("property", "getset_descriptor"):
            found.append(name)
    return found


def optional_parameters(value: Any, name: str) -> set[str] | None:
    """The named parameters of a function or class that have a default; None where nothing says.

    Those of a builtin stand in its docstring: `std(input, dim=None, *, correction=1) -> Tensor`.
    """
    try:
        signature = inspect.signature(value.__init__ if isinstance(value, type) else value)
    except (TypeError, ValueError):
        written = re.findall(
            rf"^\s*(?:\.\. function:: *)?(?:torch\.)?{re.escape(name)}\((.*?)\)\s*->",
            value.__doc__ or "",
            flags=re.M,
        )
        if not written:
            return None
        found = set()
        for line in written:
            parts = [p.strip() for p in re.sub(r"[\[(][^])]*[])]", "", line).split(",")]
            behind = parts.index("*") if "*" in parts else len(parts)
            optional = [p for k, p in enumerate(parts) if "=" in p or k > behind]
            found |= {re.split("[:=]", part)[0].split()[-1] for part in optional if part}
    else:
        found = {p.name for p in signature.parameters.values() if p.default is not p.empty}
    return {name for name in found if name.isidentifier() and not name.startswith("_")}


def described(namespace: Any) -> dict[str, str]:
    """Documented names, each with its optional parameters, or "?" where nothing says."""
    found = {}
    for name in documented(namespace):
        value = getattr(namespace, name)
        optional = optional_parameters(value, name) if callable(value) else set()
        found[name] = "?" if optional is None else " ".join(sorted(optional))
    return found


def names() -> dict[str, Any]:
    """What the file holds: the version, the names of each namespace, all namespaces there are."""
    import torch

    return {
        "version": torch.__version__.partition("+")[0],
        "names": {place: described(find(torch, place, "torch")) for place in PLACES},
        "modules": sorted(
            found.name
            for found in pkgutil.iter_modules(torch.__path__)
            if not found.name.startswith("_")
        ),
    }


if __name__ == "__main__":
    FILE.write_text(json.dumps(names(), indent=1) + "\n")
