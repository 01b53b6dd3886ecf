"""A picture: SVG text that notebooks, GitHub and browsers show, and that is its own file.

It uses what every viewer keeps: shapes with presentation attributes, no style sheets, no scripts,
no fonts or images from elsewhere, and a background of its own, so that dark pages show it too.
"""

from __future__ import annotations

import pathlib
from collections.abc import Iterable
from xml.sax.saxutils import escape

FONT = "Helvetica, Arial, 'DejaVu Sans', sans-serif"
#: Widths of characters in Helvetica, in thousandths of the font's size; the rest are 556.
_WIDTHS = {
    **dict.fromkeys("ijl'", 222), **dict.fromkeys("|!.,:;/\\ ft[]I()-`", 300), "r": 333,
    **dict.fromkeys("ckszvxyJ*\"", 500), **dict.fromkeys("mM", 833), "w": 722, "W": 944, "@": 1015,
    **dict.fromkeys("ABEKPSVXY&", 667), **dict.fromkeys("CDHNRU", 722), **dict.fromkeys("GOQ", 778),
    **dict.fromkeys("+<>=~×−→…‖", 620), "%": 889, "T": 611, "F": 611, "Z": 611, "L": 556,
}  # fmt: skip


def text_width(text: str, size: float, bold: bool = False) -> float:
    """About how many pixels wide a text is."""
    width = sum(_WIDTHS.get(c, 556) for c in text) * size / 1000
    return width * (1.07 if bold else 1.0)


class Picture:
    """SVG that a notebook displays; `save` writes it to a file, `svg` is its text.

    >>> from numgrad.viz.picture import Picture, rectangle
    >>> picture = Picture(40, 20, [rectangle(0, 0, 40, 20, "#cfe2f3")], "one box")
    >>> picture
    <picture of one box, 40 × 20>
    """

    def __init__(self, width: float, height: float, parts: Iterable[str], what: str) -> None:
        self.width, self.height = round(width), round(height)
        self.what = what
        size = f'width="{self.width}" height="{self.height}"'
        self.svg = "\n".join(
            [
                f'<svg xmlns="http://www.w3.org/2000/svg" {size} '
                f'viewBox="0 0 {self.width} {self.height}" font-family="{escape(FONT)}">',
                f"<title>{escape(what)}</title>",
                f'<rect {size} fill="#ffffff"/>',
                *parts,
                "</svg>",
            ]
        )

    def save(self, path: str | pathlib.Path) -> None:
        """Write the picture to a file, `graph.svg` say."""
        pathlib.Path(path).write_text(self.svg, encoding="utf-8")

    def _repr_svg_(self) -> str:
        return self.svg

    def __repr__(self) -> str:
        return f"<picture of {self.what}, {self.width} × {self.height}>"


# ------------------------------------------------------------------------ shapes


def number(value: float) -> str:
    """A coordinate without needless digits."""
    return f"{value:.1f}".removesuffix(".0")


def rectangle(
    x: float,
    y: float,
    width: float,
    height: float,
    fill: str,
    stroke: str = "#8a8a8a",
    radius: float = 5,
    stroke_width: float = 0.8,
    dashes: str = "",
) -> str:
    """A rectangle with round corners."""
    extra = f' stroke-dasharray="{dashes}"' if dashes else ""
    return (
        f'<rect x="{number(x)}" y="{number(y)}" width="{number(width)}" '
        f'height="{number(height)}" rx="{number(radius)}" fill="{fill}" stroke="{stroke}" '
        f'stroke-width="{stroke_width}"{extra}/>'
    )


def text(
    x: float,
    y: float,
    content: str,
    size: float = 11,
    bold: bool = False,
    fill: str = "#222222",
    anchor: str = "middle",
) -> str:
    """A line of text whose baseline is at y."""
    weight = ' font-weight="bold"' if bold else ""
    return (
        f'<text x="{number(x)}" y="{number(y)}" font-size="{number(size)}" fill="{fill}" '
        f'text-anchor="{anchor}"{weight}>{escape(content)}</text>'
    )


def path(data: str, stroke: str, width: float = 1.2, dashes: str = "", fill: str = "none") -> str:
    """A curve."""
    extra = f' stroke-dasharray="{dashes}"' if dashes else ""
    return f'<path d="{data}" fill="{fill}" stroke="{stroke}" stroke-width="{width}"{extra}/>'
