"""A run of the benchmark: which kernels, at which sizes, beside what."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from ..kernels._launch import get_num_threads
from . import calls, ceilings, measure, report

#: What runs where nothing is named: a kernel of each kind.
KERNELS = (
    "add", "exp", "tanh", "sigmoid", "gelu", "gelu_backward", "sum_rows", "sum_columns", "max_rows",
    "softmax_rows", "softmax_backward_rows", "log_softmax_rows", "layer_norm_forward",
    "layer_norm_backward", "cross_entropy_forward", "matmul_packed", "take_rows", "cumsum", "adam",
    "uniform_float32",
)  # fmt: skip
SIZES = (1 << 12, 1 << 16, 1 << 20, 1 << 23)
ROUNDS, BUDGET = 5, 0.015
#: Rounds and seconds of a quick run.
QUICK = 3, 0.006
#: A kernel does no size at which a call would take more operations than this.
OPERATIONS = 2e10


def run(
    kernels: str | Iterable[str] = KERNELS,
    sizes: Sequence[int] = SIZES,
    dtypes: Sequence[Any] = ("float32",),
    beside: Sequence[str] | None = None,
    quick: bool = False,
    progress: bool = False,
) -> report.Report:
    """Measure kernels of the library: by name, pattern (`"softmax_*"`) or part of a name.

    `sizes` are numbers of elements, `beside` the libraries to compare with (by default those of
    NumPy, torch and JAX that are installed; `()` for none).

    >>> from numgrad import bench
    >>> result = bench.run("relu", sizes=[4096], beside=(), quick=True)
    >>> [(row.kernel, row.elements, row.operations) for row in result.rows]
    [('relu', 4096, 4096)]
    """
    names = calls.matching([kernels] if isinstance(kernels, str) else list(kernels))
    work = list(dict.fromkeys((name, _dtype(name, dtype), n) for name in names for dtype in dtypes for n in sizes))  # fmt: skip
    subjects = (
        (name, lambda name=name, n=n, dtype=dtype: measure.library(name, n, dtype))
        for name, dtype, n in work
    )
    return collect(subjects, len(work), beside, quick, progress)


def _dtype(name: str, dtype: Any) -> np.dtype:
    return calls.dtype_of(name, np.dtype(dtype))


def collect(
    subjects: Iterable[tuple[str, Any]],
    count: int,
    beside: Sequence[str] | None = None,
    quick: bool = False,
    progress: bool = False,
) -> report.Report:
    """A report of subjects: pairs of a name and a function that makes the `Subject`."""
    rounds, budget = QUICK if quick else (ROUNDS, BUDGET)
    threads = get_num_threads()
    libraries = measure.installed() if beside is None else list(beside)
    missing = sorted(set(libraries) - set(measure.installed(libraries)))
    if missing:
        raise ImportError(f"not installed: {', '.join(missing)}")
    own = [ceilings.measure(k) for k in sorted({1, threads})]
    rows: list[measure.Row] = []
    with measure.Others(libraries, threads) as others, _bar(count, progress) as bar:
        for name, make in subjects:
            bar.set_description_str(name)
            subject = make()
            if (subject.cost.operations or 0) <= OPERATIONS:
                rows.append(measure.measure(subject, others, rounds, budget))
            bar.update()
        notes = list(dict.fromkeys(others.notes))
    return report.gather(rows, own, notes)


def _bar(count: int, shown: bool) -> Any:
    from tqdm.auto import tqdm

    # Without a terminal tqdm's bar would be many lines: `disable=None` leaves it out there.
    return tqdm(total=count, disable=None if shown else True, leave=False, bar_format="{n_fmt}/{total_fmt} {desc} {elapsed}")  # fmt: skip
