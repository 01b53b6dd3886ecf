"""What goes wrong between processes."""

from __future__ import annotations


class DistError(RuntimeError):
    """Something went wrong between the processes of a world."""


class DistBackendError(DistError):
    """A rank is gone, ranks disagree on what they do, or a collective took longer than allowed."""


class DistNetworkError(DistError):
    """The address at which ranks meet cannot be used."""


class DistStoreError(DistError):
    """Ranks did not meet in time, or there is no place for one."""
