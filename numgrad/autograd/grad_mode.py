"""Turning recording on and off, as a context or a decorator."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any, TypeVar

from .tape import mode

F = TypeVar("F", bound=Callable[..., Any])


class _GradContext:
    """A context manager over the grad mode that decorates functions and generators too."""

    enabled = False
    inference: bool | None = None

    def __init__(self) -> None:
        self._previous: list[tuple[bool, bool]] = []

    def __enter__(self) -> None:
        self._previous.append((mode.enabled, mode.inference))
        mode.enabled = self.enabled
        if self.inference is not None:
            mode.inference = self.inference

    def __exit__(self, *_: object) -> None:
        mode.enabled, mode.inference = self._previous.pop()

    def _again(self) -> _GradContext:
        return type(self)()

    def __call__(self, function: F) -> F:
        if inspect.isclass(function):
            function.__init__ = self(function.__init__)  # type: ignore[method-assign]
            return function
        if inspect.isgeneratorfunction(function):

            @functools.wraps(function)
            def generate(*args: Any, **kwargs: Any) -> Any:
                running = function(*args, **kwargs)
                sent: Any = None
                while True:
                    with self._again():
                        try:
                            item = running.send(sent)
                        except StopIteration as stop:
                            return stop.value
                    sent = yield item

            return generate  # type: ignore[return-value]

        @functools.wraps(function)
        def wrapped(*args: Any, **kwargs: Any) -> Any:
            with self._again():
                return function(*args, **kwargs)

        return wrapped  # type: ignore[return-value]


class _Plain(_GradContext):
    """A context without arguments: `@no_grad` and `@no_grad()` both decorate."""

    def __new__(cls, function: Any = None) -> Any:
        self = super().__new__(cls)
        if function is None:
            return self
        self.__init__()  # type: ignore[misc]
        return self(function)


class no_grad(_Plain):
    """Operations inside are not recorded: results don't require gradients.

    >>> x = numgrad.ones(1, requires_grad=True)
    >>> with numgrad.no_grad():
    ...     y = x * 2
    >>> y.requires_grad
    False
    """


class enable_grad(_Plain):
    """Operations inside are recorded, also within `no_grad`.

    >>> with numgrad.no_grad(), numgrad.enable_grad():
    ...     print(numgrad.is_grad_enabled())
    True
    """

    enabled = True


class inference_mode(_GradContext):
    """`no_grad` whose results can't be used in recorded operations later either.

    >>> with numgrad.inference_mode():
    ...     numgrad.is_inference_mode_enabled()
    True
    """

    def __init__(self, mode: bool = True) -> None:
        super().__init__()
        self._mode = mode
        self.enabled = not mode
        self.inference = mode

    def __new__(cls, mode: Any = True) -> Any:
        self = super().__new__(cls)
        if isinstance(mode, bool):
            return self
        self.__init__()  # type: ignore[misc]
        return self(mode)

    def _again(self) -> _GradContext:
        return type(self)(self._mode)


class set_grad_enabled(_GradContext):
    """Set recording on or off: at once when called, and until the end of a `with` block.

    >>> with numgrad.set_grad_enabled(False):
    ...     numgrad.is_grad_enabled()
    False
    """

    def __init__(self, mode: bool) -> None:
        super().__init__()
        self.enabled = bool(mode)
        self._before = _mode().enabled
        _mode().enabled = self.enabled

    def __enter__(self) -> None:
        self._previous.append((self._before, _mode().inference))
        _mode().enabled = self.enabled

    def __call__(self, function: F) -> F:
        _mode().enabled = self._before
        return super().__call__(function)

    def _again(self) -> _GradContext:
        return set_grad_enabled(self.enabled)

    def __repr__(self) -> str:
        return f"torch.autograd.grad_mode.set_grad_enabled(mode={self.enabled})"


def _mode() -> Any:
    return mode


def is_grad_enabled() -> bool:
    """Whether operations are recorded on this thread.

    >>> numgrad.is_grad_enabled()
    True
    """
    return mode.enabled


def is_inference_mode_enabled() -> bool:
    """Whether this thread is in `inference_mode`.

    >>> numgrad.is_inference_mode_enabled()
    False
    """
    return mode.inference
