"""Measuring kernels: `python -m numgrad bench`, and the same from a notebook.

`run()` measures kernels of the library beside NumPy, torch and JAX, and beside what the machine
could do at most; `@kernel` makes the same of a function of one's own. Both give a `Report`: a table,
pictures, a file of figures that `compare` reads. `explain` shows what the compiler made of a kernel.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .ceilings import Ceilings as Ceilings
    from .changes import compare as compare
    from .machine_code import explain as explain
    from .report import Report as Report
    from .report import load as load
    from .runs import run as run
    from .suites import main as main
    from .user import kernel as kernel

#: What is imported when it is first asked for, by module.
_WHERE = {
    "Ceilings": "ceilings",
    "explain": "machine_code",
    "Report": "report",
    "compare": "changes",
    "kernel": "user",
    "load": "report",
    "main": "suites",
    "run": "runs",
}
__all__ = ["Ceilings", "Report", "compare", "explain", "kernel", "load", "main", "run"]


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_WHERE[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_WHERE])
