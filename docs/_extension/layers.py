"""The picture of the layers: `python docs/_extension/layers.py` writes `pictures/layers.svg`."""

from __future__ import annotations

import pathlib
from html import escape
from typing import NamedTuple

FILE = pathlib.Path(__file__).parent.parent / "pictures" / "layers.svg"


class Layer(NamedTuple):
    """A row: the layer, where it is, what it knows, and what it does in `torch.exp(x)`."""

    name: str
    folders: str
    knows: str
    does: str
    color: str


LAYERS = (
    Layer("tools", "bench/  __main__.py", "everything; nothing imports them", "", "#eceff4"),
    Layer("front", "tensor.py  nn/  optim/  data/", "tensors and operations", "x.exp(), torch.exp(x): PyTorch's names", "#dbe7fb"),
    Layer("compile", "compile/", "the list of launches", "notes the launch; merges it with its neighbours", "#e3defa"),
    Layer("ops", "ops/", "shapes, dtypes, backward rules", "a result of x's shape; which kernel; how to go back", "#fbe4d5"),
    Layer("autograd", "autograd/", "nodes and the walk back", "a node, ExpBackward0, which keeps the result", "#fdf0c8"),
    Layer("device", "device/", "memory, launching a kernel", "memory for y; a launch on one thread or on all", "#ddf0dc"),
    Layer("kernels", "kernels/", "numbers and arrays; no tensor", "the loop: out[i] = exp(x[i]), on the CPU or a GPU", "#cfeae6"),
)  # fmt: skip

WIDTH, ROW, GAP, LEFT, TOP = 1120, 58, 8, 24, 66
SPLIT = 640  # where the column on the right begins


def _text(x: float, y: float, text: str, size: int = 15, more: str = "") -> str:
    return f'<text x="{x}" y="{y}" font-size="{size}" {more}>{escape(text)}</text>'


def draw() -> str:
    """The picture as SVG: readable on light and dark pages, with no font of its own."""
    height = TOP + len(LAYERS) * (ROW + GAP) + 14
    mono = 'font-family="ui-monospace, Menlo, Consolas, monospace"'
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img" '
        'aria-label="The layers of numgrad, from the tools down to the kernels" '
        'font-family="system-ui, Segoe UI, Helvetica, Arial, sans-serif" fill="#1f2430">',
        f'<rect width="{WIDTH}" height="{height}" rx="14" fill="#ffffff"/>',
        _text(LEFT + 16, 40, "layer", 14, 'fill="#5b6472"'),
        _text(LEFT + 330, 40, "knows", 14, 'fill="#5b6472"'),
        _text(SPLIT + 16, 40, "in y = torch.exp(x)", 14, f'fill="#5b6472" {mono}'),
    ]
    for position, layer in enumerate(LAYERS):
        y = TOP + position * (ROW + GAP)
        parts += [
            f'<rect x="{LEFT}" y="{y}" width="{WIDTH - 2 * LEFT - 34}" height="{ROW}" rx="9" '
            f'fill="{layer.color}"/>',
            _text(LEFT + 16, y + 25, layer.name, 17, 'font-weight="600"'),
            _text(LEFT + 16, y + 45, layer.folders, 13, f'fill="#48505d" {mono}'),
            _text(LEFT + 330, y + 35, layer.knows),
            _text(SPLIT + 16, y + 35, layer.does),
        ]
    x, bottom = WIDTH - LEFT - 12, height - 26
    parts += [
        f'<path d="M{x} {TOP} V{bottom}" stroke="#5b6472" stroke-width="2"/>',
        f'<path d="M{x - 7} {bottom - 8} L{x} {bottom + 4} L{x + 7} {bottom - 8} Z" fill="#5b6472"/>',
        _text(0, 0, "imports point down", 13, f'fill="#5b6472" transform="translate({x - 8} {(TOP + bottom) // 2 + 60}) rotate(-90)"'),
        "</svg>",
    ]  # fmt: skip
    return "\n".join(parts) + "\n"


if __name__ == "__main__":
    FILE.write_text(draw())
