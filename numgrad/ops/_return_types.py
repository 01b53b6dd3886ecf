"""The named tuples that operations with several results return: `torch.return_types`."""

from __future__ import annotations

import collections
from typing import Any


def return_type(name: str, *fields: str) -> Any:
    """A named tuple class that prints as `torch.return_types.<name>(...)`, as PyTorch's do."""
    base = collections.namedtuple(name, fields)  # type: ignore[misc]

    def __repr__(self: Any) -> str:
        listed = ",\n".join(f"{f}={v!r}" for f, v in zip(fields, self, strict=True))
        return f"torch.return_types.{name}(\n{listed})"

    return type(name, (base,), {"__slots__": (), "__repr__": __repr__, "__module__": __name__})


max = return_type("max", "values", "indices")
min = return_type("min", "values", "indices")
cummax = return_type("cummax", "values", "indices")
cummin = return_type("cummin", "values", "indices")
aminmax = return_type("aminmax", "min", "max")
