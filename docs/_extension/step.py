"""The README's picture: a training step, the kernels that run, and the Python behind one of them.

`python docs/_extension/step.py` runs the step, compiled, and draws what it finds: the calls of
`step.graph` and the source of the kernel that it shows. It writes `pictures/step.svg`.
"""

from __future__ import annotations

import inspect
import pathlib
import re
import textwrap
from html import escape

import numgrad as torch
from numgrad.compile.graph import effects
from numgrad.kernels import elementwise
from numgrad.nn import functional as F

FILE = pathlib.Path(__file__).parent.parent / "pictures" / "step.svg"

torch.manual_seed(123)
model = torch.nn.Sequential(torch.nn.Linear(2, 30), torch.nn.SiLU(), torch.nn.Linear(30, 2))
optimizer = torch.optim.SGD(model.parameters(), lr=0.5)


@torch.compile
def step(x, y):
    loss = F.cross_entropy(model(x), y)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return loss


FORWARD, BACKWARD, UPDATE = "#dbe7fb", "#fbe4d5", "#ddf0dc"
INK, PALE, KEYWORD, TEXT = "#1f2430", "#5b6472", "#7a3e9d", "#2f7d4f"
LINE = 21
FOLLOWS = (
    "From these lines follow the loop for every layout and dtype,",
    "the CUDA kernel, derivatives of every order,",
    "and one loop where compile finds neighbours to merge.",
)
MARKS = re.compile(r'("""[^"]*""")|(@[\w.]+)|\b(def|return|import|as|from|for|in)\b')


def _code(x: float, y: float, source: str) -> list[str]:
    """Lines of Python, keywords, decorators and docstrings in colours."""
    parts = []
    for number, line in enumerate(source.splitlines()):
        spans, position = [], 0
        for found in MARKS.finditer(line):
            color = TEXT if found[1] else KEYWORD
            spans.append(escape(line[position : found.start()], quote=False))
            spans.append(f'<tspan fill="{color}">{escape(found[0], quote=False)}</tspan>')
            position = found.end()
        spans.append(escape(line[position:], quote=False))
        parts.append(
            f'<text x="{x}" y="{y + number * LINE}" xml:space="preserve" class="code">'
            f"{''.join(spans)}</text>"
        )
    return parts


def _calls() -> list[tuple[str, str, str]]:
    """The calls of the recorded step: kernel, shape of what it writes, colour of its part."""
    x, y = torch.randn(2, 2), torch.randint(0, 2, (2,))
    step(x, y)
    found, color = [], FORWARD
    for call in step.graph.calls:
        name = call.kernel.name
        if name == "_copy":  # the gradient of the loss itself, 1
            color = BACKWARD
            continue
        color = UPDATE if name == "sgd" else color
        marks = effects(call.kernel, len(call.arguments))
        written = [v for v, mark in zip(call.arguments, marks, strict=True) if mark != "reads"][0]
        shape = " × ".join(map(str, getattr(written, "shape", ()))) or "a number"
        if isinstance(written, tuple):
            shape = f"{len(written)} parameters"
        found.append((name, shape, color))
    return found


def draw() -> str:
    """The picture as SVG."""
    calls = _calls()
    sources = [
        elementwise.silu.function.py_func,
        elementwise.silu.derivatives["x"].function.py_func,
    ]
    kernel = "\n\n\n".join(textwrap.dedent(inspect.getsource(s)).rstrip() for s in sources)
    program = textwrap.dedent(inspect.getsource(step._function)).rstrip()
    height = 96 + 34 * len(calls) + 24
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 1280 {height}" role="img" '
        "aria-label=\"A training step in PyTorch's names, the kernels that it runs, and the Python "
        f'source of one of them" font-family="system-ui, Segoe UI, Helvetica, Arial, sans-serif" fill="{INK}">',
        "<style>.code { font: 14px ui-monospace, Menlo, Consolas, monospace } "
        ".head { font-size: 17px; font-weight: 600 } .small { font-size: 13px }</style>",
        f'<rect width="1280" height="{height}" rx="14" fill="#ffffff"/>',
    ]
    for x, title, below in (
        (32, "You write PyTorch", "import numgrad as torch"),
        (430, f"{len(calls)} kernels run", "as one native program; print(step.graph)"),
        (802, "Each is Python that you can read", "kernels/elementwise.py: formula and derivative"),
    ):
        parts.append(f'<text x="{x}" y="40" class="head">{escape(title)}</text>')
        parts.append(f'<text x="{x}" y="62" class="small" fill="{PALE}">{escape(below)}</text>')
    for line, color in ((2, FORWARD), (4, BACKWARD), (5, UPDATE)):
        y = 93 + LINE * line
        parts.append(f'<rect x="56" y="{y}" width="330" height="{LINE}" rx="5" fill="{color}"/>')
    parts += _code(32, 108, program)
    middles = {}
    for position, (name, shape, color) in enumerate(calls):
        y = 84 + 34 * position
        middles[name] = y + 14
        parts += [
            f'<rect x="430" y="{y}" width="300" height="28" rx="7" fill="{color}"/>',
            f'<text x="444" y="{y + 19}" class="code">{escape(name)}</text>',
            f'<text x="718" y="{y + 19}" class="small" fill="{PALE}" text-anchor="end">{escape(shape)}</text>',
        ]
    below = 108 + LINE * (len(textwrap.dedent(inspect.getsource(sources[0])).splitlines()) + 2)
    for name, y in (("silu", 104), ("silu_backward", below)):
        parts.append(
            f'<path d="M730 {middles[name]} C 770 {middles[name]} 760 {y} 794 {y}" fill="none" '
            f'stroke="{PALE}" stroke-width="1.5"/>'
        )
    parts += _code(802, 108, kernel)
    end = 108 + LINE * (len(kernel.splitlines()) + 1)
    for number, line in enumerate(FOLLOWS):
        parts.append(
            f'<text x="802" y="{end + 20 * number}" class="small" fill="{PALE}">{line}</text>'
        )
    parts.append("</svg>")
    return "\n".join(parts) + "\n"


if __name__ == "__main__":
    FILE.write_text(draw())
