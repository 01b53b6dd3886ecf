"""The coverage table: which of PyTorch's documented names there are, made when the site is."""

from __future__ import annotations

import inspect
import json
import pathlib
from typing import Any

import numgrad

from ._files import write
from .torch_names import FILE, find

KNOWN = json.loads(FILE.read_text())


def missing_parameters(place: str, name: str) -> list[str]:
    """PyTorch's optional parameters that the function here does not name.

    Empty where a signature is unknown, or ours passes any keyword on.
    """
    optional = KNOWN["names"][place][name]
    value = getattr(find(numgrad, place, "numgrad"), name)
    if optional == "?" or not callable(value):
        return []
    try:
        signature = inspect.signature(value.__init__ if isinstance(value, type) else value)
    except (TypeError, ValueError):
        return []
    if any(p.kind is p.VAR_KEYWORD for p in signature.parameters.values()):
        return []
    return sorted(set(optional.split()) - set(signature.parameters))


def split(place: str) -> tuple[list[str], list[str]]:
    """PyTorch's names in a namespace: those there are here, and those there are not."""
    namespace = find(numgrad, place, "numgrad")
    names = KNOWN["names"][place]
    here = [name for name in names if hasattr(namespace, name)]
    return here, [name for name in names if name not in set(here)]


def absent_modules() -> list[str]:
    """PyTorch's modules without a namesake."""
    return [name for name in KNOWN["modules"] if find(numgrad, name, "numgrad") is None]


def full(place: str) -> str:
    return "torch" if place == "torch" else f"torch.{place}"


def listed(names: list[str]) -> str:
    return " ".join(f"`{name}`" for name in names)


def page() -> str:
    """The page as Markdown."""
    lines = [
        "# Coverage",
        "",
        f"PyTorch {KNOWN['version']}'s documented names, and which of them numgrad has. This page is "
        "made from the package when the site is built.",
        "",
        "| namespace | names | here |",
        "| --- | ---: | ---: |",
    ]
    parts: dict[str, Any] = {place: split(place) for place in KNOWN["names"]}
    for place, (here, missing) in parts.items():
        anchor = full(place).replace(".", "").lower()
        lines.append(f"| [`{full(place)}`](#{anchor}) | {len(here) + len(missing)} | {len(here)} |")
    lines += ["", f"Modules that are missing altogether: {listed(absent_modules())}.", ""]
    for place, (here, missing) in parts.items():
        lines += [f"## {full(place)}", ""]
        if here:
            lines += [f"Here: {listed(here)}.", ""]
        if missing:
            lines += [f"Not here: {listed(missing)}.", ""]
        rows = [(name, missing_parameters(place, name)) for name in here]
        rows = [f"| `{name}` | {listed(absent)} |" for name, absent in rows if absent]
        if rows:
            lines += ["| takes no | |", "| --- | --- |", *rows, ""]
    return "\n".join(lines)


def write_page(path: pathlib.Path) -> None:
    write(path, page())
