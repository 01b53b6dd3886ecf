"""`.safetensors` files, through the library of that name (imported when first needed).

The format has no pickle: names, shapes, dtypes and plain bytes, nothing that could be run. It has
no views either: tensors that share memory, or are not contiguous, are refused as PyTorch's flavour
of the library refuses them.
"""

from __future__ import annotations

import os
from typing import Any

import numpy as np

from ._checkpoint.files import atomic_write
from .autograd import tape
from .device import cuda
from .tensor import Tensor

__all__ = ["load", "load_file", "save", "save_file"]

DTYPES = {
    "F64": "<f8",
    "F32": "<f4",
    "F16": "<f2",
    "BF16": "<u2",
    "I64": "<i8",
    "I32": "<i4",
    "I16": "<i2",
    "I8": "i1",
    "U8": "u1",
    "BOOL": "u1",
}


def save(tensors: dict[str, Tensor], metadata: dict[str, str] | None = None) -> bytes:
    """The content of a safetensors file with these tensors; errors as in `save_file`.

    >>> numgrad.safetensors.load(numgrad.safetensors.save({"bias": numgrad.tensor([1.0, 2.0])}))
    {'bias': tensor([1., 2.])}
    """
    from safetensors.numpy import save as encode

    return encode(_arrays(tensors), metadata)


def save_file(
    tensors: dict[str, Tensor],
    filename: str | os.PathLike[str],
    metadata: dict[str, str] | None = None,
) -> None:
    """Save named tensors to a safetensors file, which replaces an older one as a whole.

    Raises RuntimeError if tensors share memory, ValueError if one is not contiguous or no tensor.

    >>> import tempfile
    >>> from numgrad.safetensors import load_file, save_file
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save_file({"bias": numgrad.tensor([1.0, 2.0])}, folder + "/model.safetensors")
    ...     load_file(folder + "/model.safetensors")
    {'bias': tensor([1., 2.])}
    """
    content = save(tensors, metadata)
    with atomic_write(filename) as file:
        file.write(content)


def load(data: bytes) -> dict[str, Tensor]:
    """The tensors in the content of a safetensors file; errors as in `load_file`.

    >>> numgrad.safetensors.load(b"something else")
    Traceback (most recent call last):
    RuntimeError: not a safetensors file, or a damaged one: ...
    """
    from safetensors import SafetensorError, deserialize

    try:
        entries = deserialize(data)
    except SafetensorError as error:
        raise RuntimeError(f"not a safetensors file, or a damaged one: {error}") from error
    return {name: tape.wrap(_array(name, entry)) for name, entry in entries}


def load_file(
    filename: str | os.PathLike[str], device: str | int = "cpu", *, backend: str = "mmap"
) -> dict[str, Tensor]:
    """Load the tensors of a safetensors file, by name; float16 and bfloat16 become float32.

    `backend` is accepted as in PyTorch's flavour, and does not matter.

    Raises RuntimeError if the file is damaged or none of this format, TypeError for a dtype that
    numgrad does not have.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     numgrad.safetensors.save_file({"step": numgrad.tensor(3)}, folder + "/a.safetensors")
    ...     numgrad.safetensors.load_file(folder + "/a.safetensors")["step"]
    tensor(3)
    """
    if str(device).partition(":")[0] != "cpu" and cuda.unavailable() is not None:
        raise RuntimeError(f"load_file: {device=} is not available, load to the CPU")
    with open(filename, "rb") as file:
        tensors = load(file.read())
    return {name: tensor.to(device) for name, tensor in tensors.items()}


def _array(name: str, entry: dict[str, Any]) -> np.ndarray:
    kind = entry["dtype"]
    if kind not in DTYPES:
        raise TypeError(f"load: tensor {name!r} has dtype {kind}, expected {', '.join(DTYPES)}")
    array = np.frombuffer(entry["data"], DTYPES[kind]).reshape(entry["shape"])
    if kind == "BF16":  # the upper half of a float32
        return (array.astype(np.uint32) << 16).view(np.float32)
    if kind == "BOOL":
        return array != 0
    if kind == "F16":
        return array.astype(np.float32)
    # A copy that owns its memory, aligned, writable and in the machine's byte order.
    return array.astype(array.dtype.newbyteorder("="))


def _arrays(tensors: dict[str, Tensor]) -> dict[str, np.ndarray]:
    """The values to write, after the checks of PyTorch's flavour."""
    if not isinstance(tensors, dict):
        raise ValueError(f"Expected a dict of [str, torch.Tensor] but received {type(tensors)}")
    for name, tensor in tensors.items():
        if not isinstance(tensor, Tensor):
            raise ValueError(
                f"Key `{name}` is invalid, expected torch.Tensor but received {type(tensor)}"
            )
    arrays = {name: tensor._host() for name, tensor in tensors.items()}
    shared = _overlapping(arrays)
    if shared:
        raise RuntimeError(
            "Some tensors share memory, this will lead to duplicate memory on disk and potential "
            f"differences when loading them again: {shared}. Save one of each group only, or a "
            "`.clone()` of the others."
        )
    for name, array in arrays.items():
        if not array.flags.c_contiguous:
            raise ValueError(
                f"You are trying to save a non contiguous tensor: `{name}` which is not allowed. "
                "Call `.contiguous()` on it first."
            )
    return arrays


def _overlapping(arrays: dict[str, np.ndarray]) -> list[set[str]]:
    """Groups of names whose arrays share memory."""
    groups: list[set[str]] = []
    end = 0
    spans = [(*np.lib.array_utils.byte_bounds(array), name) for name, array in arrays.items()]
    for start, stop, name in sorted(spans):
        if start == stop or arrays[name].size == 0:
            continue
        if groups and start < end:
            groups[-1].add(name)
        else:
            groups.append({name})
        end = max(end, stop)
    return [group for group in groups if len(group) > 1]
