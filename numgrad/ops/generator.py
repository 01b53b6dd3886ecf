"""Generators of random numbers, and the default one."""

from __future__ import annotations

from typing import Any

from .._generator import GeneratorState
from ..autograd.tape import Holding
from ..dtypes import CPU, device
from ._core import Tensor, wrap


class Generator:
    """A stream of random numbers with PyTorch's values for a seed.

    >>> g = numgrad.Generator().manual_seed(0)
    >>> numgrad.rand(2, generator=g)
    tensor([0.4963, 0.7682])
    """

    def __init__(self, device: Any = "cpu") -> None:
        self.device = CPU if str(device) == "cpu" else _no_device(device)
        self._state = GeneratorState()

    def manual_seed(self, seed: int) -> Generator:
        """Start the stream of this seed."""
        self._state.manual_seed(int(seed))
        return self

    def seed(self) -> int:
        """Start a stream from the system's entropy; returns the seed."""
        return self._state.seed()

    def initial_seed(self) -> int:
        """The seed the stream started from."""
        return self._state.initial_seed()

    def get_state(self) -> Tensor:
        """The state, as PyTorch's 5056 bytes."""
        return wrap(self._state.get_state())

    def set_state(self, new_state: Tensor) -> Generator:
        """Go on from a saved state."""
        if not isinstance(new_state, Tensor):
            raise TypeError(f"expected a torch.ByteTensor, but got {type(new_state).__name__}")
        self._state.set_state(new_state._data)
        return self

    def __reached__(self) -> Holding:
        return Holding(memory=self._state.state, prepare=self._state.prepare)

    def clone_state(self) -> Generator:
        """A generator that goes on alike."""
        return Generator().set_state(self.get_state())

    def __getstate__(self) -> Any:
        return self._state.get_state()

    def __setstate__(self, state: Any) -> None:
        self.device = CPU
        self._state = GeneratorState()
        self._state.set_state(state)


def _no_device(where: Any) -> device:
    raise RuntimeError(f"numgrad has random generators on the CPU alone, got device {where}")


default_generator = Generator()
default_generator.seed()  # other numbers in every process, until somebody seeds it


def stream_of(generator: Generator | None) -> GeneratorState:
    if generator is None:
        return default_generator._state
    if not isinstance(generator, Generator):
        raise TypeError(
            f"argument 'generator' must be torch.Generator, not {type(generator).__name__}"
        )
    return generator._state


def manual_seed(seed: int) -> Generator:
    """Seed the default generator.

    >>> numgrad.manual_seed(123).initial_seed()
    123
    """
    return default_generator.manual_seed(seed)


def seed() -> int:
    """Seed the default generator from the system's entropy.

    >>> isinstance(numgrad.seed(), int)
    True
    """
    return default_generator.seed()


def initial_seed() -> int:
    """The default generator's seed.

    >>> _ = numgrad.manual_seed(7)
    >>> numgrad.initial_seed()
    7
    """
    return default_generator.initial_seed()


def get_rng_state() -> Tensor:
    """The default generator's state.

    >>> numgrad.get_rng_state().dtype
    torch.uint8
    """
    return default_generator.get_state()


def set_rng_state(new_state: Tensor) -> None:
    """Set the default generator's state.

    >>> state = numgrad.get_rng_state()
    >>> x = numgrad.rand(2)
    >>> numgrad.set_rng_state(state)
    >>> numgrad.equal(numgrad.rand(2), x)
    True
    """
    default_generator.set_state(new_state)
