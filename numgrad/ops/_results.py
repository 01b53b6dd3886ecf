"""What an operation does last: the name of its node, and `out=`."""

from __future__ import annotations

from typing import Any

from ._core import write_out


def given(result: Any, out: Any = None, name: str | None = None) -> Any:
    """A fresh result (or `out` with it), its node under `name`, as PyTorch calls this overload."""
    if name is not None and result._node is not None:
        result._node.name = name
    return result if out is None else write_out(out, result)
