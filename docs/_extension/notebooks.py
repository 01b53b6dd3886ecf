"""The notebooks with their kept outputs, as pages: copied to where the site's links reach them."""

from __future__ import annotations

import pathlib
import re

from ._files import write


def page(text: str) -> str:
    """A notebook's text with its links seen from `docs/notebooks`; those that leave the site are
    their text.

    >>> page("[a](02_b.ipynb) [c](../docs/d.md) [e](../numgrad/f.py)")
    '[a](02_b.ipynb) [c](../d.md) e'
    """
    text = text.replace("](../docs/", "](<site>")
    return re.sub(r"\[([^]]*)\]\(\.\./[^)]*\)", r"\1", text).replace("](<site>", "](../")


def write_pages(source: pathlib.Path, folder: pathlib.Path) -> None:
    """Copy all; pages of what is gone are deleted."""
    folder.mkdir(exist_ok=True)
    names = {path.name for path in source.glob("*.ipynb")}
    for name in names:
        write(folder / name, page((source / name).read_text()))
    for path in folder.glob("*.ipynb"):
        if path.name not in names:
            path.unlink()
