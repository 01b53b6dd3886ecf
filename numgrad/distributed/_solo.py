"""Collectives of one rank alone: copies, without MPI."""

from __future__ import annotations

from typing import Any

import numpy as np


class SoloEngine:
    """The collectives of a world of one; see `MPIEngine`."""

    name = "solo"
    on_device = False

    def all_reduce(self, array: np.ndarray, op: Any) -> list:
        """Nothing to do."""
        return []

    def broadcast(self, array: np.ndarray, root: int) -> list:
        """Nothing to do."""
        return []

    def barrier(self) -> list:
        """Nothing to do."""
        return []

    def reduce(self, out: np.ndarray, array: np.ndarray, root: int, op: Any) -> list:
        """A copy."""
        return self.all_gather(out, array)

    def all_gather(self, out: np.ndarray, array: np.ndarray) -> list:
        """A copy."""
        out.reshape(-1)[...] = array.reshape(-1)
        return []

    def gather(self, out: np.ndarray, array: np.ndarray, root: int) -> list:
        """A copy."""
        return self.all_gather(out, array)

    def scatter(self, out: np.ndarray, array: np.ndarray, root: int) -> list:
        """A copy."""
        return self.all_gather(out, array)

    def reduce_scatter(self, out: np.ndarray, array: np.ndarray, op: Any) -> list:
        """A copy."""
        return self.all_gather(out, array)

    def all_to_all(
        self, out: np.ndarray, received: list[int], array: np.ndarray, sent: list[int]
    ) -> list:
        """A copy."""
        return self.all_gather(out, array)
