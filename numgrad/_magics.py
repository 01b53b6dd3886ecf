"""`%load_ext numgrad`: `%%kernel_time` and `%kernel_source` for notebooks and IPython."""

from __future__ import annotations

import ast
import importlib
import inspect
import pathlib
import pkgutil
import re
import textwrap
from typing import Any

from . import kernels
from .kernels._contract import Kernel
from .kernels._elementwise import Elementwise
from .profiler import profile


def load(shell: Any) -> None:
    """Register the magics; `%load_ext numgrad` calls it."""
    shell.register_magic_function(kernel_time, "line_cell", "kernel_time")
    magic = KernelSource(shell)
    shell.register_magic_function(magic.kernel_source, "line", "kernel_source")
    shell.set_hook("complete_command", magic.complete, str_key="%kernel_source")


# ------------------------------------------------------------------------ %%kernel_time


def kernel_time(line: str, cell: str | None = None) -> Any:
    """Run a cell, or the rest of a line, and show where its time went, kernel by kernel.

    `%%kernel_time [-r ROWS] [-o]` or `%kernel_time STATEMENT`. `-r`: the most rows (20). `-o`: by
    operation instead of by kernel.
    """
    from IPython import get_ipython

    rows, operations, source = 20, False, line if cell is None else cell
    words = line.split() if cell is not None else []
    while words:
        word = words.pop(0)
        if word == "-o":
            operations = True
        elif word == "-r" and words and words[0].isdigit():
            rows = int(words.pop(0))
        else:
            raise ValueError(f"%%kernel_time takes -r ROWS and -o, got {word!r}")
    shell = get_ipython()
    tree = ast.parse(shell.transform_cell(source))
    last = None
    if tree.body and isinstance(tree.body[-1], ast.Expr):
        last = compile(ast.Expression(tree.body.pop().value), "<kernel_time>", "eval")
    code = compile(tree, "<kernel_time>", "exec")
    with profile() as prof:
        exec(code, shell.user_ns)  # noqa: S102 - the user's own cell
        result = eval(last, shell.user_ns) if last is not None else None
    print(prof.key_averages(group_by_operation=operations).table(row_limit=rows))
    return result


# ------------------------------------------------------------------------ %kernel_source


def all_kernels() -> dict[str, tuple[str, Any]]:
    """Every kernel by name: the module that has it, and the kernel.

    >>> from numgrad._magics import all_kernels
    >>> all_kernels()["softmax_rows"][0]
    'numgrad.kernels.softmax'
    """
    found: dict[str, tuple[str, Any]] = {}
    for module in pkgutil.iter_modules(kernels.__path__, "numgrad.kernels."):
        if module.ispkg or module.name.rpartition(".")[2].startswith("_"):
            continue
        for name, value in vars(importlib.import_module(module.name)).items():
            if isinstance(value, Elementwise):
                found.setdefault(name.strip("_"), (module.name, value))
            elif isinstance(value, Kernel) and value.__module__ == module.name:
                found[name] = (module.name, value)
    return found


def kernel_sources(name: str) -> list[tuple[str, str]]:
    """(place, source) of the kernels called `name`, or whose names begin with it.

    An elementwise kernel comes with its derivatives, a structured one with its CUDA form; the
    kernels of a file come by the file's name. KeyError with what is alike where there is none.

    >>> from numgrad._magics import kernel_sources
    >>> ((place, source),) = kernel_sources("relu")
    >>> print(source.splitlines()[1])
    def relu(x):
    """
    known = all_kernels()
    names = [name] if name in known else []
    names = names or [n for n in known if n.startswith(f"{name}_")]
    names = names or [n for n, (module, _) in known.items() if module.endswith(f".{name}")]
    if not names:
        alike = sorted(n for n in known if name and (name in n or n in name))
        hint = f"; there are {', '.join(alike[:8])}" if alike else ""
        raise KeyError(f"no kernel is called {name!r}{hint}")
    found: list[tuple[str, str]] = []
    for each in names:
        value = known[each][1]
        own = value.function if isinstance(value, Elementwise) else value
        functions = [own.py_func]
        if isinstance(value, Elementwise):
            functions += [d.function.py_func for d in value.derivatives.values()]
        elif value.twin is not None:
            functions.append(value.twin.function)
        places: dict[pathlib.Path, list[tuple[int, str]]] = {}
        for function in dict.fromkeys(functions):
            try:
                lines, first = inspect.getsourcelines(function)
            except (OSError, TypeError):  # made, not written
                continue
            file = pathlib.Path(inspect.getsourcefile(function) or "")
            places.setdefault(file, []).append((first, textwrap.dedent("".join(lines)).rstrip()))
        for file, blocks in places.items():
            blocks.sort()
            text = "\n\n\n".join(dict.fromkeys(block for _, block in blocks))
            place = f"numgrad/kernels/{file.name}:{blocks[0][0]}"
            if (place, text) not in found:
                found.append((place, text))
    return found


class KernelSource:
    """The magic and the completion of its argument."""

    def __init__(self, shell: Any) -> None:
        self.shell = shell

    def kernel_source(self, line: str) -> None:
        """Show the source of a kernel, its derivative and its CUDA form: `%kernel_source softmax`."""
        from IPython.display import Code, display

        name = re.sub(r"^(numgrad|torch|F|nn\.functional)\.", "", line.strip())
        if not name:
            raise ValueError("%kernel_source takes the name of a kernel or an operation: softmax")
        try:
            found = kernel_sources(name)
        except KeyError as error:
            raise ValueError(error.args[0]) from None
        for place, source in found:
            display(Code(f"# {place}\n{source}", language="python"))

    def complete(self, shell: Any, event: Any) -> list[str]:
        """The kernels' names, for the Tab key."""
        names = all_kernels()
        return sorted({*names, *[module.rpartition(".")[2] for module, _ in names.values()]})
