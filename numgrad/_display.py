"""Tensors in a notebook: images as pictures, long arrays with what they hold at a glance.

Everything else is shown as text, as on a terminal.
"""

from __future__ import annotations

import base64
import math
import struct
import zlib
from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np

from ._printing import get_printoptions

if TYPE_CHECKING:
    from .tensor import Tensor

#: The most images of a batch that are shown, and how many side by side.
IMAGES, ACROSS = 32, 8
#: Sides of what counts as an image, and the width in pixels that small ones are enlarged to.
SMALLEST, LARGEST, WIDTH = 8, 4096, 640
#: Above this many elements a tensor is shown as text alone: to look at all of them takes time.
MOST = 10_000_000


def tensor_html(tensor: Tensor) -> str | None:
    """HTML for a notebook, or None where the text says it all.

    >>> from numgrad._display import tensor_html
    >>> tensor_html(numgrad.ones(3)) is None
    True
    >>> "<img" in tensor_html(numgrad.zeros(3, 16, 16))
    True
    """
    data = tensor._data
    if data.size > MOST or data.ndim == 0:
        return None
    if data.size <= get_printoptions()["threshold"] and image_layout(data) is None:
        return None
    array = tensor.detach()._host()
    head = escape(f"{list(array.shape)} {array.dtype.name}")
    if tensor.is_cuda:
        head += f" on {tensor.device}"
    layout = image_layout(array)
    if layout is not None:
        return _images(array, layout, head, repr(tensor))
    return _long(array, head, repr(tensor))


# ------------------------------------------------------------------------ images


def image_layout(data: Any) -> str | None:
    """How an array holds images, None where it does not: "HW", "NHW" or with a C for channels.

    Bytes are images in any of the usual layouts; numbers are if a dimension for one or three
    channels says so.

    >>> from numgrad._display import image_layout
    >>> image_layout(numgrad.zeros(4, 1, 28, 28)), image_layout(numgrad.zeros(28, 28))
    ('NCHW', None)
    """
    shape, dtype = tuple(data.shape), getattr(data, "dtype", None)
    name = getattr(dtype, "name", str(dtype))
    is_bytes = "uint8" in name
    if not is_bytes and "float" not in name:
        return None
    layout = None
    if len(shape) == 2 and is_bytes:
        layout = "HW"
    elif len(shape) == 3 and shape[0] in (1, 3):
        layout = "CHW"
    elif len(shape) == 3 and is_bytes:
        layout = "HWC" if shape[2] in (3, 4) else "NHW"
    elif len(shape) == 4 and shape[1] in (1, 3):
        layout = "NCHW"
    elif len(shape) == 4 and is_bytes and shape[3] in (3, 4):
        layout = "NHWC"
    if layout is None or 0 in shape:
        return None
    sides = [shape[layout.index(side)] for side in "HW"]
    return layout if SMALLEST <= min(sides) and max(sides) <= LARGEST else None


def _images(array: np.ndarray, layout: str, head: str, text: str) -> str:
    batch = array if "N" in layout else array[None]
    rest = layout.replace("N", "")
    shown = batch[:IMAGES]
    order = [0, *[1 + rest.index(side) for side in "HWC" if side in rest]]
    pixels = shown.transpose(order)
    if "C" not in rest:
        pixels = pixels[..., None]
    note = ""
    if pixels.dtype != np.uint8:
        pixels, note = _as_bytes(pixels)
    if len(batch) > len(shown):
        note += f", the first {len(shown)} of {len(batch)}"
    picture = base64.b64encode(png(_grid(pixels))).decode()
    return (
        f'<img src="data:image/png;base64,{picture}" alt="{head}">'
        f"<div>{head}{note}</div>"
        f"<details><summary>values</summary><pre>{escape(text)}</pre></details>"
    )


def _as_bytes(pixels: np.ndarray) -> tuple[np.ndarray, str]:
    """Numbers from 0 to 1 as they are, others from their smallest to their largest."""
    finite = pixels[np.isfinite(pixels)]
    low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 1.0)
    note = ""
    if low < 0 or high > 1:
        note = f", black {low:.4g}, white {high:.4g}"
    else:
        low, high = 0.0, 1.0
    scaled = (np.nan_to_num(pixels, nan=low) - low) * (255 / ((high - low) or 1.0))
    return np.clip(np.rint(scaled), 0, 255).astype(np.uint8), note


def _grid(pixels: np.ndarray) -> np.ndarray:
    """Images [N, H, W, C] side by side on white, small ones enlarged."""
    count, height, width, channels = pixels.shape
    across = min(count, ACROSS)
    down = -(-count // across)
    factor = max(1, min(WIDTH // (across * width), 128 // min(height, width)))
    pixels = pixels.repeat(factor, axis=1).repeat(factor, axis=2)
    gap = 0 if count == 1 else 2
    height, width = height * factor, width * factor
    shape = (down * (height + gap) - gap, across * (width + gap) - gap, channels)
    grid = np.full(shape, 255, np.uint8)
    for k, image in enumerate(pixels):
        y, x = k // across * (height + gap), k % across * (width + gap)
        grid[y : y + height, x : x + width] = image
    return grid


def png(pixels: np.ndarray) -> bytes:
    """A PNG file of bytes [H, W, C] with one, three or four channels."""
    height, width, channels = pixels.shape
    kind = {1: 0, 3: 2, 4: 6}[channels]
    rows = np.zeros((height, 1 + width * channels), np.uint8)  # a row's first byte: no filter
    rows[:, 1:] = pixels.reshape(height, -1)

    def chunk(name: bytes, content: bytes) -> bytes:
        check = struct.pack(">I", zlib.crc32(name + content))
        return struct.pack(">I", len(content)) + name + content + check

    header = struct.pack(">IIBBBBB", width, height, 8, kind, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(rows.tobytes(), 6))
        + chunk(b"IEND", b"")
    )


# ------------------------------------------------------------------------ long arrays


def _long(array: np.ndarray, head: str, text: str) -> str:
    return f"<pre>{escape(text)}</pre><div>{head}: {escape(facts(array))}</div>{_sparkline(array)}"


def facts(array: np.ndarray) -> str:
    """Smallest, mean, largest, deviation; how many are NaN, infinite or zero.

    >>> from numgrad._display import facts
    >>> facts(np.array([1.0, 2.0, float("nan"), 0.0]))
    'from 0 to 2, mean 1, deviation 0.8165; 1 NaN, 1 zero'
    """
    if array.dtype.kind == "b":
        return f"{int(array.sum())} true, {int(array.size - array.sum())} false"
    finite = array[np.isfinite(array)] if array.dtype.kind == "f" else array
    counts = [
        (int(np.isnan(array).sum()), "NaN") if array.dtype.kind == "f" else (0, ""),
        (int(np.isinf(array).sum()), "infinite") if array.dtype.kind == "f" else (0, ""),
        (int((array == 0).sum()), "zero"),
    ]
    special = ", ".join(f"{count} {name}" for count, name in counts if count)
    if not finite.size:
        return special
    mean, deviation = float(finite.mean(dtype=np.float64)), float(finite.std(dtype=np.float64))
    text = (
        f"from {finite.min():.4g} to {finite.max():.4g}, mean {mean:.4g}, deviation {deviation:.4g}"
    )
    return f"{text}; {special}" if special else text


def _sparkline(array: np.ndarray, width: int = 420, height: int = 60) -> str:
    """The values along a 1-D array, a histogram of others."""
    values = array.reshape(-1).astype(np.float64)
    if array.ndim == 1:
        edges = np.linspace(0, len(values), min(width, len(values)) + 1).astype(int)
        bars = []
        for start, end in zip(edges[:-1], edges[1:], strict=True):
            part = values[start:end]
            part = part[np.isfinite(part)]
            bars.append((part.min(), part.max()) if part.size else (math.nan, math.nan))
        title = "values by position"
    else:
        finite = values[np.isfinite(values)]
        if not finite.size:
            return ""
        counts, _ = np.histogram(finite, bins=60)
        bars = [(0.0, float(count)) for count in counts]
        title = "histogram"
    known = [bar for bar in bars if not math.isnan(bar[0])]
    if not known:
        return ""
    low, high = min(bar[0] for bar in known), max(bar[1] for bar in known)
    scale = (height - 2) / ((high - low) or 1.0)
    step = width / len(bars)
    parts = []
    for k, (bottom, top) in enumerate(bars):
        if not math.isnan(bottom):
            y, size = 1 + (high - top) * scale, max((top - bottom) * scale, 1.0)
            parts.append(f"M{(k + 0.5) * step:.1f},{y:.1f}v{size:.1f}")
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}">'
        f'<title>{title}</title><rect width="{width}" height="{height}" fill="#ffffff"/>'
        f'<path d="{"".join(parts)}" stroke="#2b6cb0" stroke-width="{max(step * 0.8, 1):.1f}"/>'
        "</svg>"
    )
