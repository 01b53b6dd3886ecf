"""Anomaly detection: a failing or NaN-producing backward names the forward line."""

from __future__ import annotations

from .tape import mode


class set_detect_anomaly:
    """Turn anomaly detection on or off: at once when called, and until the end of a `with` block.

    >>> with numgrad.autograd.set_detect_anomaly(True):
    ...     numgrad.zeros(1)
    tensor([0.])
    """

    def __init__(self, mode: bool, check_nan: bool = True) -> None:
        from . import tape

        self._previous = (tape.mode.anomaly, tape.mode.check_nan)
        tape.mode.anomaly, tape.mode.check_nan = mode, check_nan

    def __enter__(self) -> None:
        return None

    def __exit__(self, *_: object) -> None:
        mode.anomaly, mode.check_nan = self._previous


class detect_anomaly(set_detect_anomaly):
    """Anomaly detection for a `with` block: every node keeps the stack of its forward call.

    >>> x = numgrad.zeros(1, requires_grad=True)
    >>> with numgrad.autograd.detect_anomaly():
    ...     (x * 2).sum().backward()
    >>> x.grad
    tensor([2.])
    """

    def __init__(self, check_nan: bool = True) -> None:
        super().__init__(True, check_nan)


def is_anomaly_enabled() -> bool:
    """Whether anomaly detection is on."""
    return mode.anomaly
