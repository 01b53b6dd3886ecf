"""How every kernel of the library is called at a size.

A row of `CALLS` serves the kernels whose names match its pattern: a function of a `Draw`, which has
the number of elements and makes arrays, to the kernel's arguments in order.
"""

from __future__ import annotations

import fnmatch
import functools
import importlib
import pkgutil
import re
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from .. import kernels as package
from ..kernels import cross_entropy, indexing, matmul, normalization, radix, random
from ..kernels._contract import Kernel
from ..kernels._elementwise import Elementwise
from . import elsewhere
from .memory import all_apart


class Call(NamedTuple):
    """A kernel with arguments by name, its work items, the work by which it is split over threads,
    and expressions that do the same in other libraries, by library."""

    kernel: Any
    dtype: np.dtype
    arguments: dict[str, Any]
    items: int
    work: int
    peers: dict[str, str]

    @property
    def elements(self) -> int:
        """The size of the largest array."""
        return max(
            sum(a.size for a in arrays) for arrays in map(arrays_in, self.arguments.values())
        )

    @property
    def touched(self) -> int:
        """Bytes of all arrays."""
        return sum(a.nbytes for v in self.arguments.values() for a in arrays_in(v))

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of the largest array."""
        arrays = [a for value in self.arguments.values() for a in arrays_in(value)]
        return max(arrays, key=lambda a: a.size).shape

    def written(self) -> list[np.ndarray]:
        """The arrays that hold results, the one that the kernel is for first."""
        effects = effects_of(self.kernel)
        names = [n for n, e in zip(self.arguments, effects, strict=True) if e != "reads"]
        names.sort(key=lambda name: name not in ("result", "out", "loss", "positions"))
        return [array for name in names for array in arrays_in(self.arguments[name])]


def arrays_in(value: Any) -> tuple:
    """The arrays of an argument: itself, those in a tuple, or none for a number."""
    return value if type(value) is tuple else (value,) if isinstance(value, np.ndarray) else ()


def effects_of(kernel: Any) -> list[str]:
    """What a kernel does to each argument: "reads", "writes" or "updates"."""
    if isinstance(kernel, Elementwise):
        return ["reads"] * len(kernel.inputs) + ["writes"]
    return [spec.effect for spec in kernel.specs]


# ------------------------------------------------------------------------------ the kernels


@functools.cache
def kernels() -> dict[str, Kernel | Elementwise]:
    """Every kernel of the library by name: `exp`, `gelu_backward`, `softmax_rows` …

    >>> from numgrad.bench import calls
    >>> calls.kernels()["softmax_rows"]
    <kernel softmax_rows(x: flat, out: writes(flat), n: scalar[int64])>
    """
    found: dict[str, Kernel | Elementwise] = {}
    for module in pkgutil.iter_modules(package.__path__):
        if module.ispkg:
            continue
        for value in vars(importlib.import_module(f"{package.__name__}.{module.name}")).values():
            listed = value.values() if type(value) is dict else [value]
            for kernel in listed:
                if type(kernel) is Kernel:
                    found.setdefault(kernel.name, kernel)
                elif type(kernel) is Elementwise:
                    found.setdefault(kernel.name.strip("_"), kernel)
                    for derivative in kernel.derivatives.values():
                        found.setdefault(derivative.name.strip("_"), derivative)
    return found


class UnknownKernel(ValueError):
    """A name that no kernel has."""


def matching(patterns: list[str]) -> list[str]:
    """The names of the kernels that a pattern (`softmax_*`) or a part of a name stands for."""
    found: dict[str, None] = {}
    for pattern in patterns:
        own = [name for name in kernels() if fnmatch.fnmatchcase(name, pattern)]
        own = own or [name for name in kernels() if pattern in name]
        if not own:
            raise UnknownKernel(f"no kernel is called {pattern!r}; `bench --list` names them all")
        found.update(dict.fromkeys(own))
    return list(found)


#: Kernels for integers, and those that move elements whatever they mean.
INTEGERS = re.compile(r"int_|bitwise|shift|_integers|^(wide_)?integers$|^permutation$")
MOVES = re.compile(r"^(take|put)_rows$|^(gather|put)_along$|^join$|^triangle$|_selected$")


def dtype_of(name: str, wanted: np.dtype) -> np.dtype:
    """The T nearest to the wanted one that a kernel is for."""
    kernel = kernels()[name]
    for own in ("float32", "float64"):
        if name.endswith(f"_{own}"):
            return np.dtype(own)
    if isinstance(kernel, Kernel):
        fixed = [spec.dtype for spec in kernel.specs if spec.kind != "scalar"]
        if all(own is not None for own in fixed):
            return fixed[-1]  # type: ignore[return-value]
    if INTEGERS.search(name):
        return wanted if wanted.kind in "iu" else np.dtype(np.int64)
    if MOVES.search(name):
        return indexing.BITS[wanted.itemsize]
    return wanted


# ------------------------------------------------------------------------------- arguments


class Draw:
    """Makes the arguments of a call with about `n` elements of dtype `dtype`."""

    def __init__(self, n: int, dtype: np.dtype) -> None:
        self.n, self.dtype = n, dtype
        self.random = np.random.default_rng(0)
        #: A matrix of rows: their number and length.
        self.width = min(n, 1024)
        self.rows = max(1, n // self.width)
        #: What is seen as (outer, middle, inner) and worked along the middle.
        self.inner = max(1, min(256, n // 16))
        self.middle = max(1, min(32, n // self.inner))
        self.outer = max(1, n // (self.inner * self.middle))

    def new(self, *shape: int, dtype: Any = None) -> np.ndarray:
        """Numbers between 0.1 and 0.9, where every function is defined; integers from 1 to 6."""
        dtype = self.dtype if dtype is None else np.dtype(dtype)
        if dtype.kind == "f":
            kind: Any = np.float32 if dtype.itemsize == 4 else np.float64
            drawn = self.random.random(shape, kind)
            drawn *= kind(0.8)
            drawn += kind(0.1)
            return drawn.astype(dtype, copy=False)
        return self.random.integers(0 if dtype.kind == "b" else 1, 2 if dtype.kind == "b" else 7, shape).astype(dtype)  # fmt: skip

    def out(self, *shape: int, dtype: Any = None) -> np.ndarray:
        return np.zeros(shape, self.dtype if dtype is None else dtype)

    def index(self, *shape: int, below: int) -> np.ndarray:
        return self.random.integers(0, below, shape)

    def order(self, count: int) -> np.ndarray:
        return self.random.permutation(count)

    @property
    def matrix(self) -> tuple[int, int]:
        return self.rows, self.width

    @property
    def cube(self) -> tuple[int, int, int]:
        return self.outer, self.middle, self.inner

    @property
    def flat(self) -> tuple[int, int]:
        return self.outer, self.inner

    def params(self, count: int) -> list:
        """`count` tuples of two arrays, as the parameters of a network and their state."""
        half = max(1, self.n // 2)
        return [(self.new(half), self.new(half)) for _ in range(count)]

    def state(self) -> np.ndarray:
        """A random generator's, seeded."""
        state = np.zeros(random.STATE_WORDS, np.uint32)
        random.seed(state, 1.0)
        return state

    def counter(self) -> np.ndarray:
        """The state of a random generator that counts."""
        return np.array([1, 0, 0])

    def pairs(self, count: int) -> list:
        """Keys and positions of rows, nothing sorted yet."""
        return [self.out(*self.matrix, dtype=np.int64) for _ in range(count)]

    def digits(self) -> np.ndarray:
        """Counts of the digits of keys."""
        return self.out(self.rows, radix.DIGITS * radix.tiles(self.width), dtype=np.int64)


def _layer_norm_backward(d: Draw) -> list:
    block = normalization.rows_in_block(d.rows)
    return [
        d.new(*d.matrix), d.new(*d.matrix), d.new(d.width), d.new(d.rows, 2), d.out(*d.matrix),
        d.out(-(-d.rows // block), 2, d.width), d.width, block,
    ]  # fmt: skip


def _batch_norm(d: Draw, *, sums: bool = False) -> list:
    samples, channels, inner = d.cube
    block = normalization.rows_in_block(samples)
    grad, x, stats = d.new(*d.cube), d.new(*d.cube), d.new(2, channels)
    if sums:
        return [grad, x, stats, d.out(-(-samples // block), 2, channels), inner, block]
    weight, totals = d.new(channels), d.new(2, channels)
    return [grad, x, stats, weight, totals, d.out(*d.cube), inner, float(samples * inner)]


def _cross_entropy(d: Draw, backward: bool) -> list:
    rows, classes = d.matrix
    block = cross_entropy.rows_in_block(rows, classes)
    logits, target = d.new(*d.matrix), d.index(rows, below=classes)
    empty, stats = d.out(0), d.new(rows, 2)
    parts = np.ones((-(-rows // block), cross_entropy.PART))
    if backward:
        return [
            d.new(1), logits, target, empty, stats, parts, d.out(*d.matrix), classes, -100, 0.0, 1,
        ]  # fmt: skip
    return [
        logits, target, empty, stats, d.out(1), parts, classes, block, -100, 0.0, cross_entropy.MEAN,
    ]  # fmt: skip


def _nll(d: Draw, backward: bool) -> list:
    rows, classes = d.matrix
    block = cross_entropy.rows_in_block(rows, 1)
    target, empty = d.index(rows, below=classes), d.out(0)
    parts = np.ones((-(-rows // block), cross_entropy.PART))
    if backward:
        return [d.new(1), target, empty, parts, d.out(*d.matrix), classes, 1, -100, 1]
    return [d.new(*d.matrix), target, empty, d.out(1), parts, classes, 1, block, -100, 1]


def _product(d: Draw, m: int, n: int, k: int, batch: int = 1) -> list:
    plan = matmul.plan(m, n, k, False, False, batch, d.dtype)
    shape = (batch,) if batch > 1 else ()
    a, b, out = d.new(*shape, m, k), d.new(*shape, k, n), d.out(*shape, m, n)
    return [a, b, out, (), (), 1.0, 0.0, plan.sizes]


def _side(d: Draw) -> int:
    """Of a square matrix with about n elements."""
    return max(16, round(d.n**0.5))


def _order(d: Draw) -> list:
    working = [d.out(*d.matrix, dtype=np.int64) for _ in range(4)]
    return [d.new(*d.matrix), *working, 0]


def _true_positions(d: Draw) -> list:
    mask = d.index(d.n, below=2).astype(np.uint8)
    counts = [int(np.count_nonzero(part)) for part in np.split(mask, range(1 << 14, d.n, 1 << 14))]
    starts = np.concatenate([[0], np.cumsum(counts)])
    return [mask, starts[:-1].astype(np.int64), d.out(int(starts[-1]), dtype=np.int64)]


_ADAM = [1e-3, 0.0, 1.0, 0.9, 0.999, 1e-8, 1.0]


def _steps() -> tuple:
    return tuple(np.full(1, 3, np.float32) for _ in range(2))


#: (pattern, arguments), the first that matches counts.
CALLS: list[tuple[str, Callable[[Draw], list]]] = [
    ("check_between", lambda d: [d.new(d.n), d.out(1, dtype=np.int64), 0.0, 1.0]),
    ("check_not_*", lambda d: [d.new(d.n), d.out(1, dtype=np.int64)]),
    ("check_weights", lambda d: [d.new(*d.matrix), d.out(2, dtype=np.int64)]),
    ("check_index", lambda d: [d.index(d.n, below=9), d.out(1, dtype=np.int64), 0, 9]),
    ("add_parts", lambda d: [d.new(d.rows, 3, dtype=np.float64), d.out(1), 1]),
    ("cross_entropy_forward", lambda d: _cross_entropy(d, False)),
    ("cross_entropy_backward", lambda d: _cross_entropy(d, True)),
    ("nll_loss_forward", lambda d: _nll(d, False)),
    ("nll_loss_backward", lambda d: _nll(d, True)),
    ("*_parts", lambda d: _parts(d)),
    ("scatter_selected", lambda d: [
        d.new(*d.flat), d.index(*d.flat, below=d.middle), d.out(*d.cube), d.middle, d.inner]),
    ("gather_selected", lambda d: [
        d.new(*d.cube), d.index(*d.flat, below=d.middle), d.out(*d.flat), d.middle, d.inner]),
    ("take_rows", lambda d: [
        d.new(*d.matrix), d.order(d.rows), d.out(*d.matrix), d.out(1, dtype=np.int64), d.rows,
        d.rows, d.width, 0]),
    ("gather_along", lambda d: [
        d.new(*d.cube), d.index(*d.cube, below=d.middle), d.out(*d.cube), d.out(1, dtype=np.int64),
        d.middle, d.middle, d.inner]),
    ("combine_indices", lambda d: [
        (d.index(d.n, below=64), d.index(d.n, below=32)), np.array([64, 32]),
        d.out(d.n, dtype=np.int64), d.out(1, dtype=np.int64)]),
    ("join", lambda d: [
        (d.new(d.rows, d.width // 2), d.new(d.rows, d.width - d.width // 2)), d.out(*d.matrix),
        d.rows]),
    ("triangle", lambda d: [d.new(1, *d.matrix), d.out(1, *d.matrix), 0, 1]),
    ("limit_rows", lambda d: [d.new(*d.matrix), d.order(d.rows), 1e9, 2.0]),
    ("batch_norm_stats", lambda d: [
        d.new(d.n, dtype=np.float64), d.new(d.n), d.out(2, d.n), d.new(d.n), d.new(d.n), 0.1, 64.0,
        1e-5]),
    ("batch_norm_apply", lambda d: [
        d.new(*d.cube), d.new(2, d.middle), d.new(d.middle), d.new(d.middle), d.out(*d.cube),
        d.inner]),
    ("batch_norm_sums", lambda d: _batch_norm(d, sums=True)),
    ("batch_norm_backward", lambda d: _batch_norm(d)),
    ("layer_norm_forward", lambda d: [
        d.new(*d.matrix), d.new(d.width), d.new(d.width), d.out(*d.matrix), d.out(d.rows, 2),
        d.width, 1e-5]),
    ("layer_norm_backward", _layer_norm_backward),
    ("matmul_small", lambda d: _product(d, 8, 8, 8, max(1, d.n // 64))),
    ("matmul_tiny", lambda d: _product(d, 8, 8, 8, max(1, d.n // 64))),
    ("matmul_thin", lambda d: _product(d, 4, *[_side(d)] * 2)),
    ("matmul_packed", lambda d: _product(d, *[_side(d)] * 3)),
    ("survey", lambda d: [*d.params(2), d.out(2, dtype=np.int64)]),
    ("sgd", lambda d: [*d.params(2), 0.0, 0.0, 1.0]),
    ("sgd_momentum", lambda d: [*d.params(3), 0.0, 0.0, 1.0, 0.9, 0.0, 0.0]),
    ("advance", lambda d: [_steps()]),
    ("adam", lambda d: [*d.params(4), _steps(), *_ADAM]),
    ("adam_amsgrad", lambda d: [*d.params(5), _steps(), *_ADAM]),
    ("adagrad", lambda d: [*d.params(3), _steps(), 1e-3, 0.0, 1.0, 0.0, 1e-10]),
    ("rmsprop", lambda d: [*d.params(3), 1e-3, 0.0, 1.0, 0.99, 1e-8]),
    ("rmsprop_momentum", lambda d: [*d.params(4), 1e-3, 0.0, 1.0, 0.99, 1e-8, 0.9]),
    ("rmsprop_centered", lambda d: [*d.params(4), 1e-3, 0.0, 1.0, 0.99, 1e-8]),
    ("rmsprop_centered_momentum", lambda d: [*d.params(5), 1e-3, 0.0, 1.0, 0.99, 1e-8, 0.9]),
    ("philox_bernoulli_*", lambda d: [d.counter(), d.out(d.n), d.new(d.n)]),
    ("philox*_integers", lambda d: [d.counter(), d.out(d.n), 0.0, 100.0, 0.0, 0.0]),
    ("philox_multinomial", lambda d: [
        d.counter(), d.out(d.rows, 16, dtype=np.int64), d.new(*d.matrix), d.out(*d.matrix)]),
    ("philox_geometric", lambda d: [d.counter(), d.out(d.n), -0.3, 0.0]),
    ("philox_*", lambda d: [d.counter(), d.out(d.n), 0.3, 1.0]),
    ("row_targets", lambda d: [
        d.index(d.n, below=9), d.out(d.n, dtype=np.int64), 9, d.n, -1, 9]),
    ("along_targets", lambda d: [
        d.index(*d.cube, below=d.middle), d.out(*d.cube, dtype=np.int64), d.middle, d.middle,
        d.inner]),
    ("sort_keys", lambda d: [d.new(*d.matrix), *d.pairs(2), d.width, 0]),
    ("count_digits", lambda d: [*d.pairs(1), d.digits(), 0]),
    ("digit_starts", lambda d: [d.digits()]),
    ("move_by_digit", lambda d: [*d.pairs(2), d.digits(), *d.pairs(2), 8]),
    ("seed", lambda d: [d.state(), 1]),
    ("uniform_*", lambda d: [d.state(), d.out(d.n), 0.0, 1.0]),
    ("*integers", lambda d: [d.state(), d.out(d.n), np.array([100, 0], np.uint64)]),
    ("permutation", lambda d: [d.state(), d.out(d.n)]),
    ("bernoulli", lambda d: [d.state(), d.out(d.n), 0.3, 1.0]),
    ("bernoulli_*", lambda d: [d.state(), d.out(d.n), d.new(d.n)]),
    ("multinomial", lambda d: [
        d.state(), d.out(d.rows, 16, dtype=np.int64), d.new(*d.matrix), d.out(d.width)]),
    ("exponential", lambda d: [d.state(), d.out(d.n), 1.0]),
    ("geometric", lambda d: [d.state(), d.out(d.n), 0.3]),
    ("cauchy", lambda d: [d.state(), d.out(d.n), 0.0, 1.0]),
    ("*normal_*", lambda d: [d.state(), d.out(d.n), 0.0, 1.0]),
    ("log_normal", lambda d: [d.state(), d.out(d.n), 0.0, 1.0]),
    ("variance_rows", lambda d: [
        d.new(*d.matrix), d.out(d.rows, dtype=np.float64), d.out(d.rows), d.width, d.width, 1.0,
        0.0]),
    ("variance_columns", lambda d: [
        d.new(*d.cube), d.out(*d.flat, dtype=np.float64), d.out(*d.flat), d.middle, d.inner,
        d.middle, 1.0, 0.0]),
    ("softmax_backward_rows", lambda d: [d.new(*d.matrix), d.new(*d.matrix), d.out(*d.matrix), d.width]),
    ("log_softmax_backward_rows", lambda d: [d.new(*d.matrix), d.new(*d.matrix), d.out(*d.matrix), d.width]),
    ("*softmax_rows", lambda d: [d.new(*d.matrix), d.out(*d.matrix), d.width]),
    ("*softmax_backward_columns", lambda d: [
        d.new(*d.cube), d.new(*d.cube), d.out(*d.cube), d.middle, d.inner]),
    ("*softmax_columns", lambda d: [d.new(*d.cube), d.out(*d.cube), d.middle, d.inner]),
    ("logsumexp_rows", lambda d: [d.new(*d.matrix), d.out(d.rows), d.width, d.width]),
    ("logsumexp_columns", lambda d: [d.new(*d.cube), d.out(*d.flat), d.middle, d.inner]),
    ("count_true", lambda d: [
        d.index(d.n, below=2).astype(np.uint8), d.out(-(-d.n // (1 << 14)), dtype=np.int64)]),
    ("true_positions", _true_positions),
    ("coordinates", lambda d: [
        np.arange(d.n), np.array([d.rows, d.width]), d.out(d.n, 2, dtype=np.int64), 2, 1]),
    ("count_values", lambda d: [d.index(d.n, below=1000), d.out(1000, dtype=np.int64)]),
    ("sum_weights", lambda d: [d.index(d.n, below=1000), d.new(d.n), d.out(1000)]),
    ("count_in_bins", lambda d: [d.new(d.n), d.out(100, dtype=np.int64), 0.0, 1.0]),
    ("search", lambda d: [
        np.sort(d.new(4096)), d.new(d.n), d.out(d.n, dtype=np.int64), 4096, d.n, 0, 0]),
    ("leading", lambda d: [d.new(*d.matrix), d.out(d.rows, min(8, d.width), dtype=np.int64), 1]),
    ("order", _order),
    ("linear_scan", lambda d: [d.new(*d.matrix), d.new(*d.matrix), d.out(*d.matrix), d.width, 1, 0]),
    ("cum*", lambda d: _scan(d)),
    ("logcumsumexp", lambda d: _scan(d)),
    ("scatter_added", lambda d: [
        d.new(*d.matrix), d.index(*d.matrix, below=d.width), d.out(*d.matrix), d.width, 1, 0]),
]  # fmt: skip


def _parts(d: Draw) -> list:
    """Of a `*_parts` kernel: sixteen results of chunks for each output."""
    count, parts = max(1, d.n // 16), 16
    return [d.new(count, parts), d.index(count, parts, below=d.n), d.out(count),
            d.out(count, dtype=np.int64), parts, 1]  # fmt: skip


def _variance_parts(d: Draw) -> list:
    count, parts = max(1, d.n // 16), 16
    return [d.new(count, parts, dtype=np.float64), d.new(count, parts),
            d.out(count, dtype=np.float64), d.out(count), 100 * parts, 1, 100, 1.0, 0.0]  # fmt: skip


def _scan(d: Draw, result: Any = None) -> list:
    return [d.new(*d.matrix), d.out(*d.matrix, dtype=result), d.width, 1, 0]


def _by_specs(kernel: Kernel, d: Draw) -> list:
    """Of reductions, extrema, writes by index and scans, whose parameters are alike."""
    fixed = {name: spec.dtype for name, spec in zip(kernel.parameters, kernel.specs, strict=True)}
    names = kernel.parameters
    if names[:3] == ["values", "targets", "order"]:
        targets = np.sort(d.index(d.rows, below=d.rows))
        return [d.new(*d.matrix), targets, d.order(d.rows), d.out(*d.matrix), d.width, 1, d.rows]
    if names[:3] == ["values", "index", "out"]:
        if "skip" in names:
            return [
                d.new(*d.matrix),
                d.order(d.rows),
                d.new(*d.matrix),
                d.rows,
                d.rows,
                d.width,
                1,
                -1,
            ]
        index = d.index(*d.cube, below=d.middle)
        return [d.new(*d.cube), index, d.new(*d.cube), d.middle, d.middle, d.inner, 1]
    if "reverse" in names:
        outputs = [
            d.out(*d.matrix, dtype=fixed[n]) for n in ("out", "values", "indices") if n in names
        ]
        return [d.new(*d.matrix), *outputs, d.width, 1, 0]
    if "inner" in names:
        outputs = [
            d.out(*d.flat, dtype=fixed[n]) for n in ("out", "values", "indices") if n in names
        ]
        last = [1.0] if "parameter" in names else []
        return [d.new(*d.cube), *outputs, d.middle, d.inner, d.middle, *last]
    outputs = [d.out(d.rows, dtype=fixed[n]) for n in ("out", "values", "indices") if n in names]
    last = [1.0] if "parameter" in names else []
    return [d.new(*d.matrix), *outputs, d.width, d.width, *last]


def arguments_of(name: str, n: int, dtype: np.dtype) -> list:
    """The arguments of a kernel at about `n` elements."""
    kernel, d = kernels()[name], Draw(n, dtype)
    if isinstance(kernel, Elementwise):
        fixed = [dtype if own is None else own for own in kernel.dtypes]
        return [*[d.new(n, dtype=own) for own in fixed[:-1]], d.out(n, dtype=fixed[-1])]
    if name == "variance_parts":
        return _variance_parts(d)
    if set(kernel.parameters) >= {"reverse"} or set(kernel.parameters) & {"parameter", "step"}:
        if name not in ("linear_scan", "scatter_added"):
            return _by_specs(kernel, d)
    if re.fullmatch(r"(max|min)_(rows|columns)", name):
        return _by_specs(kernel, d)
    for pattern, make in CALLS:
        if fnmatch.fnmatchcase(name, pattern):
            return make(d)
    raise KeyError(f"bench/calls.py does not say how to call the kernel {name}")


def prepare(kernel: Kernel | Elementwise, arguments: list, names: list[str], peers: dict) -> Call:
    """The call of a kernel with these arguments, which are moved apart in memory."""
    if isinstance(kernel, Kernel):
        arguments = [
            float(value) if spec.kind == "scalar" else value
            for value, spec in zip(arguments, kernel.specs, strict=True)
        ]
    arguments = all_apart(arguments)
    listed = dict(zip(names, arguments, strict=True))
    if isinstance(kernel, Elementwise):
        own = [a.dtype for a, fixed in zip(arguments, kernel.dtypes, strict=True) if fixed is None]
        dtype = own[0] if own else np.dtype(np.float32)
        size = arguments[-1].size
        return Call(kernel, dtype, listed, size, size * kernel.cost, peers)
    dtype = next(
        (
            array.dtype
            for value, spec in zip(arguments, kernel.specs, strict=True)
            if spec.kind != "scalar" and spec.dtype is None
            for array in arrays_in(value)
        ),
        np.dtype(np.float32),
    )
    if "sizes" in listed and "alpha" in listed:  # a matrix product
        sizes = [int(size) for size in listed["sizes"]]
        batch, m, n, k = sizes[:4]
        plan = matmul.plan(m, n, k, bool(sizes[4]), bool(sizes[5]), batch, dtype)
        return Call(plan.kernel, dtype, listed, plan.items, plan.work, peers)
    items = kernel.items(*arguments) if kernel.items else kernel._default_items(tuple(arguments))
    work = max((sum(a.size for a in arrays_in(v)) for v in arguments), default=items)
    return Call(kernel, dtype, listed, items, work, peers)


def library_call(name: str, n: int, dtype: Any) -> Call:
    """The call of a kernel of the library at about `n` elements."""
    kernel = kernels()[name]
    arguments = arguments_of(name, n, dtype_of(name, np.dtype(dtype)))
    if isinstance(kernel, Elementwise):
        names = [*kernel.inputs, "result" if "out" in kernel.inputs else "out"]
    else:
        names = list(kernel.parameters)
    return prepare(kernel, arguments, names, elsewhere.peers_of(name, kernel, names))
