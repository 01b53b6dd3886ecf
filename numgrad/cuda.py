"""CUDA devices: none are supported yet, and this module says so to programs that ask.

>>> numgrad.cuda.is_available(), numgrad.cuda.device_count()
(False, 0)
"""

from __future__ import annotations

from typing import Any


class OutOfMemoryError(RuntimeError):
    """A device's memory is full."""


def is_available() -> bool:
    """Whether tensors can be placed on a CUDA device."""
    return False


def device_count() -> int:
    """The number of CUDA devices."""
    return 0


def is_initialized() -> bool:
    """Whether CUDA has been used in this process."""
    return False


def manual_seed(seed: int) -> None:
    """Seed the current device's generator; without a device there is none to seed."""


def manual_seed_all(seed: int) -> None:
    """Seed the generators of all devices; without a device there is none to seed."""


def empty_cache() -> None:
    """Give cached memory back; without a device there is none."""


def synchronize(device: Any = None) -> None:
    """Wait for a device's work."""
    _refuse()


def set_device(device: Any) -> None:
    """Make a device the current one."""
    _refuse()


def current_device() -> int:
    """The current device's number."""
    _refuse()
    return 0


def get_device_name(device: Any = None) -> str:
    """A device's name."""
    _refuse()
    return ""


def _refuse() -> None:
    raise RuntimeError(
        "numgrad has no CUDA device here: numgrad.cuda.is_available() is False. "
        'Choose the device with device = "cuda" if numgrad.cuda.is_available() else "cpu".'
    )
