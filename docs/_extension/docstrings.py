"""Docstrings as reStructuredText: what Markdown and formulas write, Sphinx reads as it was meant."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable

#: Code between backticks, which is left alone, or a character that means something else in rst.
_CODE_OR_MARK = re.compile(r"(`[^`]+`)|([*|\\])|(\w)_(?!\w)")


def escape(line: str) -> str:
    """One line of prose: `code` stays code, a formula's `*`, `|` and trailing `_` stay characters.

    >>> escape("|x| * y_ is `a * b`")
    '\\\\|x\\\\| \\\\* y\\\\_ is ``a * b``'
    """

    def replace(match: re.Match) -> str:
        code, mark, letter = match.groups()
        if code:
            return f"``{code[1:-1]}``"
        return f"\\{mark}" if mark else f"{letter}\\_"

    return _CODE_OR_MARK.sub(replace, line)


def to_rst(lines: Iterable[str]) -> list[str]:
    """A docstring's lines: examples and indented blocks as they are, prose escaped.

    A block of indented lines behind an empty one is code, as in Markdown, and gets its `::`; a
    table between lines of `=` and the arguments under "Args:" become a table and a list.
    """
    result: list[str] = []
    rest = list(lines)
    while rest:
        line = rest[0]
        if re.fullmatch(r"=+( +=+)+", line.strip()):
            result += _table(_taken(rest, lambda text: bool(text.strip())))
        elif line.strip() == "Args:":
            result += _arguments(_taken(rest, lambda text: bool(text.strip()))[1:])
        elif line.lstrip().startswith(">>>"):
            result += ["", *_taken(rest, lambda text: bool(text.strip())), ""]
        elif line.startswith("    ") and not "".join(result[-1:]).strip():
            block = _taken(rest, lambda text: text.startswith("    ") or not text.strip())
            result += ["::", "", *block, ""]
        else:  # a paragraph, or an item of a list with its indented lines
            for text in _taken(rest, lambda text: bool(text.strip()) and ">>>" not in text):
                mark = re.match(r" *([-*]|\d+\.) ", text)
                start = mark.end() if mark else 0
                result.append(text[:start] + escape(text[start:]))
            if rest and not rest[0].strip():
                result.append(rest.pop(0))
    return [*result, ""]


def _taken(rest: list[str], belongs: Callable[[str], bool]) -> list[str]:
    """Remove and return the lines at the front that belong together, at least one."""
    count = 0
    while count < len(rest) and belongs(rest[count]):
        count += 1
    taken, rest[:] = rest[: max(count, 1)], rest[max(count, 1) :]
    return taken if count else [line for line in taken if line.strip()]


def _table(lines: list[str]) -> list[str]:
    """A table whose cells stand two spaces apart; a line that begins with spaces continues one."""
    rows: list[list[str]] = []
    for line in lines:
        if line.strip("= "):
            if line.startswith("  "):
                rows[-1][-1] += " " + line.strip()
            else:
                rows.append(re.split(r"  +", line.strip(), maxsplit=1))
    result = ["", ".. list-table::", "   :widths: auto", ""]
    for row in rows:
        result += [f"   * - {escape(row[0])}", *[f"     - {escape(cell)}" for cell in row[1:]]]
    return [*result, ""]


def _arguments(lines: list[str]) -> list[str]:
    """The arguments of a function, `name: what it is`, as a list."""
    result = [""]
    for line in lines:
        name = re.match(r"    (\w+): ", line)
        if name:
            result.append(f"* ``{name[1]}``: {escape(line[name.end() :])}")
        else:
            result.append("  " + escape(line.strip()))
    return [*result, ""]
