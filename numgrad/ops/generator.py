"""Generators of random numbers, and the default one."""

from __future__ import annotations

from typing import Any

import numgrad.device as devices

from .._generator import GeneratorState
from ..autograd.tape import Holding
from ..device import DeviceArray
from ..dtypes import CPU
from ..dtypes import device as as_device
from ._core import Tensor, wrap


class Generator:
    """A stream of random numbers with PyTorch's values for a seed.

    >>> g = numgrad.Generator().manual_seed(0)
    >>> numgrad.rand(2, generator=g)
    tensor([0.4963, 0.7682])
    """

    def __init__(self, device: Any = "cpu") -> None:
        where = as_device(device)
        self._state: GeneratorState
        if where.type == "cuda":
            index = devices.cuda.index_of(where)
            self.device, self._state = devices.cuda.device_of(index), _philox(index)
        else:
            self.device, self._state = CPU, GeneratorState()

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
        """The state, as PyTorch's 5056 bytes (16 of a generator on a GPU)."""
        return wrap(self._state.get_state())

    def set_state(self, new_state: Tensor) -> Generator:
        """Go on from a saved state."""
        if not isinstance(new_state, Tensor):
            raise TypeError(f"expected a torch.ByteTensor, but got {type(new_state).__name__}")
        self._state.set_state(devices.place(new_state._data, None))
        return self

    def __reached__(self) -> Holding:
        return Holding(memory=self._state.state, prepare=self._state.prepare)

    def clone_state(self) -> Generator:
        """A generator that goes on alike."""
        return Generator(self.device).set_state(self.get_state())

    def __getstate__(self) -> Any:
        return str(self.device), self._state.get_state()

    def __setstate__(self, state: Any) -> None:
        where, saved = state
        Generator.__init__(self, where)
        self._state.set_state(saved)


def _philox(index: int) -> GeneratorState:
    from .._generator_cuda import PhiloxState

    return PhiloxState(index)


default_generator = Generator()
default_generator.seed()  # other numbers in every process, until somebody seeds it

_cuda_generators: dict[int, Generator] = {}
#: The seeds of devices that nothing was drawn on yet: of one, or of all (None).
_cuda_seeds: dict[int | None, int] = {}


def cuda_generator(index: int) -> Generator:
    """The default generator of a CUDA device."""
    found = _cuda_generators.get(index)
    if found is None:
        found = Generator(devices.cuda.device_of(index))
        seed = _cuda_seeds.get(index, _cuda_seeds.get(None))
        found.seed() if seed is None else found.manual_seed(seed)
        found = _cuda_generators.setdefault(index, found)
    return found


def generators() -> list[Generator]:
    """The default generators of the CPU and of the GPUs in use."""
    return [default_generator, *map(cuda_generator, devices.cuda.in_use())]


def seed_cuda(seed: int, index: int | None = None) -> None:
    """Seed the default generator of a CUDA device, or of all: nothing of CUDA is used for it."""
    if index is None:
        _cuda_seeds.clear()
    _cuda_seeds[index] = seed
    for own, generator in _cuda_generators.items():
        if index is None or own == index:
            generator.manual_seed(seed)


def stream_of(generator: Generator | None, data: Any = None) -> GeneratorState:
    """The stream of a generator, by default of that of the device which holds `data`."""
    away = type(data) is DeviceArray
    if generator is None:
        return (cuda_generator(data.memory.index) if away else default_generator)._state
    if not isinstance(generator, Generator):
        raise TypeError(
            f"argument 'generator' must be torch.Generator, not {type(generator).__name__}"
        )
    wanted = "cuda" if away else "cpu"
    if data is not None and generator.device.type != wanted:
        raise RuntimeError(
            f"Expected a '{wanted}' device type for generator but found '{generator.device.type}'"
        )
    return generator._state


def manual_seed(seed: int) -> Generator:
    """Seed the default generators, of the CPU and of all GPUs.

    >>> numgrad.manual_seed(123).initial_seed()
    123
    """
    seed_cuda(int(seed))
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
