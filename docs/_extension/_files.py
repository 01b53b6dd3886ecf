"""Writing generated pages."""

from __future__ import annotations

import pathlib


def write(path: pathlib.Path, text: str) -> None:
    """Write where something has changed, so that Sphinx reads again only what it has to."""
    if not path.exists() or path.read_text() != text:
        path.write_text(text)
