"""Devices: memory and launching, one module a device with the same functions."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import numpy as np

from . import cpu


def of(data: Any) -> ModuleType:
    """The device module that holds `data`: a NumPy array is the CPU's."""
    return cpu if type(data) is np.ndarray else data.device_module
