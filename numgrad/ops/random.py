"""Random numbers: generators, and tensors drawn from them, as PyTorch's CPU draws them."""

from __future__ import annotations

from typing import Any

import numpy as np

from .._generator import GeneratorState
from ..autograd import tape
from ..dtypes import CPU, INT64, as_numpy_dtype, device, dtype, get_default_dtype
from ._core import Tensor, _check_overlap, assign, cast, is_number, needs_grad, record, wrap
from .creation import as_size, zeros
from .elementwise import mul


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


def _stream(generator: Generator | None) -> GeneratorState:
    return (default_generator if generator is None else generator)._state


def manual_seed(seed: int) -> Generator:
    """Seed the default generator.

    >>> numgrad.manual_seed(123).initial_seed()
    123
    """
    return default_generator.manual_seed(seed)


def seed() -> int:
    """Seed the default generator from the system's entropy."""
    return default_generator.seed()


def initial_seed() -> int:
    """The default generator's seed."""
    return default_generator.initial_seed()


def get_rng_state() -> Tensor:
    """The default generator's state."""
    return default_generator.get_state()


def set_rng_state(new_state: Tensor) -> None:
    """Set the default generator's state."""
    default_generator.set_state(new_state)


def _fill(tensor: Any, draw: Any) -> Any:
    """Fill a tensor in place by `draw(array)`, whatever its layout."""
    tape.check_inplace(tensor)
    _check_overlap(tensor)
    data = tensor._data
    if data.flags.c_contiguous:
        draw(data)
    else:
        fresh = np.empty(data.shape, data.dtype)
        draw(fresh)
        assign(data, fresh)
    tape.bump(tensor)
    if tape.mode.enabled and tensor._requires_grad:
        tape.adopt(tensor, wrap(data))
    return tensor


def _new(size: tuple, kind: Any, name: str, draw: Any, requires_grad: bool, where: Any) -> Any:
    wanted = as_numpy_dtype(kind) if kind else get_default_dtype().numpy
    result = wrap(np.empty(as_size(size, name), wanted))
    draw(result._data)
    if where is not None and str(where) != "cpu":
        result = result.to(where)
    return result.requires_grad_(True) if requires_grad else result


def rand(
    *size: Any,
    generator: Generator | None = None,
    dtype: dtype | None = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Any:
    """Uniform numbers in [0, 1).

    >>> _ = numgrad.manual_seed(0)
    >>> numgrad.rand(3)
    tensor([0.4963, 0.7682, 0.0885])
    """
    return _new(size, dtype, "rand", _stream(generator).uniform, requires_grad, device)


def randn(
    *size: Any,
    generator: Generator | None = None,
    dtype: dtype | None = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Any:
    """Standard normal numbers.

    >>> _ = numgrad.manual_seed(0)
    >>> numgrad.randn(3)
    tensor([ 1.5410, -0.2934, -2.1788])
    """
    return _new(size, dtype, "randn", _stream(generator).normal, requires_grad, device)


def randint(
    low: int,
    high: Any = None,
    size: Any = None,
    *,
    generator: Generator | None = None,
    dtype: dtype | None = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Any:
    """Integers from `low` (0 if left out) up to but without `high`.

    >>> _ = numgrad.manual_seed(0)
    >>> numgrad.randint(10, (4,))
    tensor([4, 9, 3, 0])
    """
    if size is None:
        low, high, size = 0, low, high
    if high <= low:
        raise RuntimeError(f"random_ expects 'from' to be less than 'to', but got from={low} >= to={high}")
    wanted = as_numpy_dtype(dtype) if dtype else INT64
    result = wrap(np.empty(as_size((size,), "randint"), wanted))
    _stream(generator).integers(result._data, int(low), int(high))
    return result.requires_grad_(True) if requires_grad else result


def randperm(
    n: int,
    *,
    generator: Generator | None = None,
    dtype: dtype | None = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Any:
    """The numbers 0 … n - 1 in random order.

    >>> _ = numgrad.manual_seed(0)
    >>> numgrad.randperm(4)
    tensor([2, 0, 1, 3])
    """
    if n < 0:
        raise RuntimeError(f"n must be non-negative, got {n}")
    result = wrap(np.empty(n, as_numpy_dtype(dtype) if dtype else INT64))
    _stream(generator).permutation(result._data)
    return result


def rand_like(input: Tensor, *, dtype: dtype | None = None, **options: Any) -> Any:
    """`rand` with the shape and dtype of `input`."""
    return rand(input._data.shape, dtype=dtype or input.dtype, **options)  # type: ignore[attr-defined]


def randn_like(input: Tensor, *, dtype: dtype | None = None, **options: Any) -> Any:
    """`randn` with the shape and dtype of `input`."""
    return randn(input._data.shape, dtype=dtype or input.dtype, **options)  # type: ignore[attr-defined]


def randint_like(
    input: Tensor, low: int, high: int | None = None, *, dtype: dtype | None = None
) -> Any:
    """`randint` with the shape and dtype of `input`."""
    if high is None:
        low, high = 0, low
    return randint(low, high, input._data.shape, dtype=dtype or input.dtype)  # type: ignore[attr-defined]


def normal(
    mean: Any = 0.0,
    std: Any = 1.0,
    size: Any = None,
    *,
    generator: Generator | None = None,
    dtype: dtype | None = None,
) -> Any:
    """Normal numbers with this mean and standard deviation (numbers, or tensors elementwise)."""
    if size is None:
        shape = np.broadcast_shapes(
            *[v._data.shape for v in (mean, std) if isinstance(v, Tensor)]
        )
        kind = next((v.dtype for v in (mean, std) if isinstance(v, Tensor)), None)  # type: ignore[attr-defined]
        return mul(randn(shape, generator=generator, dtype=kind), std) + mean  # type: ignore[operator]
    return normal_(zeros(size, dtype=dtype), mean, std, generator=generator)


def bernoulli(input: Tensor, p: Any = None, *, generator: Generator | None = None) -> Any:
    """Ones with the probabilities in `input` (or p), zeros otherwise."""
    out = np.empty(input._data.shape, input._data.dtype)
    _bernoulli(out, input if p is None else p, generator)
    return wrap(out)


def _bernoulli(out: np.ndarray, p: Any, generator: Generator | None) -> None:
    if isinstance(p, Tensor):
        values = np.ascontiguousarray(np.broadcast_to(p._data, out.shape))
        if values.size and not (0 <= values.min() and values.max() <= 1):
            raise RuntimeError("Expected p_in >= 0 && p_in <= 1 to be true, but got false.")
        _stream(generator).bernoulli_each(out, values)
    else:
        if not 0 <= p <= 1:
            raise RuntimeError(f"bernoulli_ expects p to be in [0, 1], but got p={p}")
        _stream(generator).bernoulli(out, p)


def multinomial(
    input: Tensor, num_samples: int, replacement: bool = False, *, generator: Any = None
) -> Any:
    """Positions drawn with probabilities proportional to the rows of `input`."""
    data = np.ascontiguousarray(input._data)
    if num_samples <= 0:
        raise RuntimeError("cannot sample n_sample <= 0 samples")
    if not replacement and num_samples > data.shape[-1]:
        raise RuntimeError(
            "cannot sample n_sample > prob_dist.size(-1) samples without replacement"
        )
    if (data < 0).any() or not np.isfinite(data).all():
        raise RuntimeError("probability tensor contains either `inf`, `nan` or element < 0")
    if replacement:
        out = np.empty((*data.shape[:-1], num_samples), INT64)
        _stream(generator).multinomial(out, data)
        return wrap(out)
    # Exponential races: the smallest of q / p are a draw without replacement.
    race = np.empty(data.shape, data.dtype)
    _stream(generator).exponential(race)
    with np.errstate(divide="ignore"):
        order = np.argsort(race / data, -1, kind="stable")
    return wrap(np.ascontiguousarray(order[..., :num_samples], INT64))


def uniform_(
    self: Tensor, from_: float = 0.0, to: float = 1.0, *, generator: Generator | None = None, **named: Any
) -> Any:
    """Fill with uniform numbers in [from, to).

    >>> _ = numgrad.manual_seed(0)
    >>> numgrad.empty(2).uniform_(-1, 1)
    tensor([-0.0075,  0.5364])
    """
    from_ = named.pop("from", from_)
    if named:
        raise TypeError(f"uniform_() got an unexpected keyword argument {next(iter(named))!r}")
    if from_ > to:
        raise RuntimeError(
            f"uniform_ expects to return a [from, to) range, but found from={from_} > to={to}"
        )
    return _fill(self, lambda out: _stream(generator).uniform(out, from_, to))


def normal_(
    self: Tensor, mean: float = 0.0, std: float = 1.0, *, generator: Generator | None = None
) -> Any:
    """Fill with normal numbers."""
    if not std >= 0:
        raise RuntimeError(f"normal expects std >= 0.0, but found std {std}")
    return _fill(self, lambda out: _stream(generator).normal(out, mean, std))


def random_(
    self: Tensor, from_: Any = None, to: Any = None, *, generator: Generator | None = None
) -> Any:
    """Fill with integers: of the dtype's whole range, below `to`, or between two bounds."""
    stream = _stream(generator)
    if from_ is None:
        return _fill(self, stream.integers_of_dtype)
    low, high = (0, from_) if to is None else (from_, to)
    return _fill(self, lambda out: stream.integers(out, low, high))


def bernoulli_(self: Tensor, p: Any = 0.5, *, generator: Generator | None = None) -> Any:
    """Fill with ones of probability p, zeros otherwise."""
    return _fill(self, lambda out: _bernoulli(out, p, generator))


def exponential_(self: Tensor, lambd: float = 1.0, *, generator: Generator | None = None) -> Any:
    """Fill with exponentially distributed numbers of rate `lambd`."""
    if not lambd > 0:
        raise RuntimeError(f"exponential_ expects lambda > 0.0, but found lambda={lambd}")
    return _fill(self, lambda out: _stream(generator).exponential(out, lambd))


def dropout(input: Tensor, p: float = 0.5, train: bool = True) -> Tensor:
    """Zero elements with probability p and scale the others by 1 / (1 - p), when training."""
    if not is_number(p) or not 0 <= p <= 1:
        raise ValueError(f"dropout probability has to be between 0 and 1, but got {p}")
    if not train or p == 0 or input._data.size == 0:
        return input
    if p == 1:
        return mul(input, zeros(input._data.shape, dtype=input.dtype))  # type: ignore[attr-defined]
    data = np.empty(input._data.shape, input._data.dtype)
    _stream(None).bernoulli(data, 1 - p, 1 / (1 - p))
    mask = wrap(data)
    with tape.set_grad(False):
        scaled = mul(input, mask)
    if needs_grad(input):
        record(scaled, "DropoutBackward0", _dropout_backward, (input,), (mask,))
    return scaled


def _dropout_backward(node: Any, grad: Any) -> Any:
    (mask,) = tape.unpack(node)
    return mul(grad, cast(mask, grad._data.dtype))
