"""The text of a tensor, character for character as PyTorch prints it.

A tensor's text is `tensor(` + the numbers + suffixes (`dtype=`, `grad_fn=` …) + `)`. The numbers
are all written in one style, which the values decide (`_style_of`): whole floats as `1.`, values
spread over more than three orders of magnitude as `1.0000e+05`, everything else with a fixed number
of decimals. Above a threshold only the edges of every dimension are printed, and only those are
read: printing ten million elements costs no more than printing a thousand.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

__all__ = ["get_printoptions", "printoptions", "set_printoptions", "tensor_str"]


@dataclass(frozen=True)
class PrintOptions:
    """What `set_printoptions` sets; the defaults are the profile "default"."""

    precision: int = 4
    threshold: float = 1000
    edgeitems: int = 3
    linewidth: int = 80
    sci_mode: bool | None = None


PROFILES = {
    "default": PrintOptions(),
    "short": PrintOptions(precision=2, edgeitems=2),
    "full": PrintOptions(threshold=math.inf),
}

_options = PrintOptions()


def set_printoptions(
    precision: int | None = None,
    threshold: float | None = None,
    edgeitems: int | None = None,
    linewidth: int | None = None,
    profile: str | None = None,
    sci_mode: bool | None = None,
) -> None:
    """Set how tensors are printed; an argument that is left out keeps its value.

    `precision`: decimals of a float (4). `threshold`: with more elements than this only the edges
    are printed (1000; `math.inf`: never). `edgeitems`: how many at each edge of each dimension (3).
    `linewidth`: where lines break (80). `profile`: "default", "short" or "full", applied before the
    other arguments. `sci_mode`: scientific notation always (True), never (False) or as the values
    need (None); as in PyTorch, a call that leaves it out resets it to None.

    Raises ValueError on a profile that does not exist and on a negative number.

    >>> numgrad.set_printoptions(precision=2)
    >>> numgrad.tensor([1.12345])
    tensor([1.12])
    >>> numgrad.set_printoptions(profile="default")
    >>> numgrad.tensor([1.12345])
    tensor([1.1235])
    """
    global _options
    options = _options
    if profile is not None:
        if profile not in PROFILES:
            raise ValueError(f"set_printoptions: {profile=} is not one of {', '.join(PROFILES)}")
        options = PROFILES[profile]
    changes: dict[str, Any] = {"sci_mode": sci_mode}
    if precision is not None:
        changes["precision"] = _count("precision", precision)
    if threshold is not None:
        if not threshold >= 0:
            raise ValueError(f"set_printoptions: {threshold=} must not be negative")
        changes["threshold"] = threshold
    if edgeitems is not None:
        changes["edgeitems"] = _count("edgeitems", edgeitems)
    if linewidth is not None:
        changes["linewidth"] = _count("linewidth", linewidth)
    _options = replace(options, **changes)


def _count(name: str, value: int) -> int:
    count = operator.index(value)
    if count < 0:
        raise ValueError(f"set_printoptions: {name}={count} must not be negative")
    return count


def get_printoptions() -> dict[str, Any]:
    """The present options, as a dictionary of arguments for `set_printoptions`.

    >>> from numgrad._printing import get_printoptions
    >>> get_printoptions()["precision"]
    4
    """
    return asdict(_options)


@contextmanager
def printoptions(**kwargs: Any) -> Iterator[None]:
    """`set_printoptions(**kwargs)` inside a `with` block; the old options come back after it.

    >>> from numgrad._printing import printoptions
    >>> with printoptions(precision=1):
    ...     print(numgrad.tensor([0.25]))
    tensor([0.2])
    """
    global _options
    before = _options
    set_printoptions(**kwargs)
    try:
        yield
    finally:
        _options = before


def tensor_str(
    array: np.ndarray,
    *,
    dtype_name: str,
    default_dtype_name: str = "float32",
    class_name: str = "tensor",
    device: str | None = None,
    grad_fn: str | None = None,
    requires_grad: bool = False,
) -> str:
    """The text of a tensor whose values are `array` (any shape and strides).

    `dtype_name` and `default_dtype_name`: "float32", "int64" … The dtype is printed if it cannot be
    told from the values: neither the default one nor int64 nor bool. `class_name`: what stands
    before the bracket (a subclass of Tensor prints its own name). `device`: printed if given, so
    None on the default device. `grad_fn`: name of the backward node, "AddmmBackward0"; a tensor
    that has one does not print `requires_grad=True`.

    >>> import numpy as np
    >>> from numgrad._printing import tensor_str
    >>> tensor_str(np.array([1.0, 2.5]), dtype_name="float64", requires_grad=True)
    'tensor([1.0000, 2.5000], dtype=torch.float64, requires_grad=True)'
    """
    options = _options
    prefix = class_name + "("
    suffixes = []
    if device is not None:
        suffixes.append(f"device='{device}'")
    if array.size == 0:
        # Nothing in "[]" tells the shape, unless it is (0,), nor an integer dtype.
        if array.ndim != 1:
            suffixes.append(f"size={array.shape}")
        dtype_is_evident = dtype_name == default_dtype_name
        numbers = "[]"
    else:
        if not options.edgeitems:
            suffixes.append(f"size={array.shape}")
        dtype_is_evident = dtype_name in (default_dtype_name, "int64", "bool")
        numbers = _numbers(array, len(prefix), options)
    if not dtype_is_evident:
        suffixes.append(f"dtype=torch.{dtype_name}")
    if grad_fn is not None:
        suffixes.append(f"grad_fn=<{grad_fn}>")
    elif requires_grad:
        suffixes.append("requires_grad=True")
    return _with_suffixes(prefix + numbers, suffixes, len(prefix), options)


def _with_suffixes(text: str, suffixes: Sequence[str], indent: int, options: PrintOptions) -> str:
    """`text, suffix, suffix)`, each suffix on a new line where it would pass the line's end."""
    # PyTorch counts the line one longer than it is, two where there is no newline in it: kept.
    used = len(text) - text.rfind("\n") + 1
    for suffix in suffixes:
        if used + len(suffix) + 2 > options.linewidth:
            text += ",\n" + " " * indent + suffix
            used = indent + len(suffix)
        else:
            text += ", " + suffix
            used += len(suffix) + 2
    return text + ")"


def _numbers(array: np.ndarray, indent: int, options: PrintOptions) -> str:
    """The nested brackets of a tensor that is not empty, their first line starting at `indent`."""
    summarized = array.size > options.threshold and array.ndim > 0
    if not summarized:
        shown, elided = array, (False,) * array.ndim
    elif options.edgeitems:
        shown, elided = _edges(array, options.edgeitems)
    else:
        return "[...]"
    style, width = _style_of(shown, options)
    if array.ndim == 0:
        return style(shown.item()).rjust(width)

    elements_per_line = max(1, (options.linewidth - indent - (array.ndim - 1)) // (width + 2))

    def vector(values: list[Any], indent: int, dim: int) -> str:
        if dim < array.ndim - 1:
            items = [vector(value, indent + 1, dim + 1) for value in values]
            separator = "," + "\n" * (array.ndim - 1 - dim) + " " * (indent + 1)
            if elided[dim]:
                items.insert(len(items) // 2, "...")
            return "[" + separator.join(items) + "]"
        items = [style(value).rjust(width) for value in values]
        if elided[dim]:
            items.insert(len(items) // 2, " ...")
        lines = [
            ", ".join(items[start : start + elements_per_line])
            for start in range(0, len(items), elements_per_line)
        ]
        return "[" + (",\n" + " " * (indent + 1)).join(lines) + "]"

    return vector(shown.tolist(), indent, 0)


def _edges(array: np.ndarray, edgeitems: int) -> tuple[np.ndarray, tuple[bool, ...]]:
    """A copy of the values that a summary shows, and which dimensions it leaves some out of."""
    elided = tuple(size > 2 * edgeitems for size in array.shape)
    kept = [
        np.r_[:edgeitems, size - edgeitems : size] if is_elided else np.arange(size)
        for size, is_elided in zip(array.shape, elided, strict=True)
    ]
    return array[np.ix_(*kept)], elided


def _style_of(values: np.ndarray, options: PrintOptions) -> tuple[Callable[[Any], str], int]:
    """How every value is written, and the width that all of them are padded to.

    Zeros, infinities and NaN have no say in either (PyTorch's rule): next to narrow numbers they
    stick out.
    """
    if values.dtype.kind != "f":
        return str, max(len(str(value)) for value in values.ravel().tolist())
    # float64, where PyTorch compares them too: 1e8 is infinite in float16.
    decisive = values[np.isfinite(values) & (values != 0)].astype(np.float64)
    if not decisive.size:
        return _whole, 1
    magnitudes = np.abs(decisive)
    smallest, largest = float(magnitudes.min()), float(magnitudes.max())
    is_whole = bool((decisive == np.ceil(decisive)).all())
    scientific = options.sci_mode
    if scientific is None:
        # As Python floats: the quotient may overflow to infinity, which is "> 1000" and no warning.
        scientific = largest / smallest > 1000.0 or largest > 1.0e8 or smallest < 1.0e-4
    style: Callable[[Any], str]
    if scientific:
        style = f"{{:.{options.precision}e}}".format
    elif is_whole:
        style = _whole
    else:
        style = f"{{:.{options.precision}f}}".format
    return style, max(len(style(value)) for value in decisive.tolist())


def _whole(value: float) -> str:
    """`2.` for 2.0: the point says that it is a float."""
    return f"{value:.0f}." if math.isfinite(value) else f"{value:.0f}"
