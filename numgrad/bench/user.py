"""`@bench.kernel`: a function of one's own, measured as the library's kernels are."""

from __future__ import annotations

import functools
import inspect
import os
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numba import njit, typeof
from numba.core.dispatcher import Dispatcher

from ..kernels._contract import FASTMATH, Kernel, Spec
from ..kernels._elementwise import Elementwise
from ..kernels._launch import get_num_threads
from . import calls, measure, runs
from .cost import declared
from .memory import all_apart
from .report import FOLDER, Report

if TYPE_CHECKING:
    from .machine_code import Explanation

SIZES = (1 << 12, 1 << 14, 1 << 16, 1 << 18, 1 << 20, 1 << 22)


class Benched:
    """A kernel that can be called, measured (`bench`) and looked into (`explain`).

    `arguments(n, dtype)` gives the arguments of a call with about `n` elements; the default makes
    every parameter an array of `n` random numbers. `beside` holds what does the same elsewhere.
    """

    def __init__(
        self,
        kernel: Any,
        function: Callable,
        arguments: Callable[[int, np.dtype], Sequence[Any]] | None,
        beside: dict[str, Any],
    ) -> None:
        self.kernel = kernel
        self.arguments = arguments or self._arrays
        self.beside = beside
        self._counted: dict[tuple, float] = {}
        functools.update_wrapper(self, function)
        self.name = function.__name__
        #: The parameters that a call fills.
        self.parameters = [
            name for name in inspect.signature(function).parameters if name not in ("begin", "end")
        ]
        if isinstance(kernel, Elementwise):
            self.parameters = [*kernel.inputs, "result" if "out" in kernel.inputs else "out"]

    def __call__(self, *arguments: Any) -> Any:
        return self.kernel(*arguments)

    def __repr__(self) -> str:
        return f"<bench.kernel {self.name}({', '.join(self.parameters)})>"

    def bench(
        self,
        sizes: Sequence[int] = SIZES,
        dtypes: Sequence[Any] = ("float32",),
        quick: bool = False,
        save: str | os.PathLike[str] | None = FOLDER,
    ) -> Report:
        """Measure the kernel beside the others; figures and pictures also go into the folder
        `save` (None: nowhere)."""
        subjects = [
            (self.name, functools.partial(self.subject, n, dtype))
            for dtype in dtypes
            for n in sizes
        ]
        result = runs.collect(subjects, len(subjects), quick=quick, progress=True)
        if save is not None:
            result.save(save)
        return result

    def subject(self, n: int, dtype: Any) -> measure.Subject:
        """What is timed at about `n` elements."""
        values = list(self.arguments(n, np.dtype(dtype)))
        if len(values) != len(self.parameters):
            raise TypeError(
                f"{self.name} takes {len(self.parameters)} arguments "
                f"({', '.join(self.parameters)}), and its `arguments` give {len(values)}"
            )
        if isinstance(self.kernel, (Kernel, Elementwise)):
            call = calls.prepare(self.kernel, values, self.parameters, self.beside)
            return measure.of_call(self.name, call)
        effects = observed(self.kernel, values)
        values = all_apart(values)
        listed = dict(zip(self.parameters, values, strict=True))
        own = declared(self.__doc__ or "", listed, effects)
        if own.operations is None:
            own = own._replace(operations=self._operations(values))
        parallel = self.kernel.targetoptions.get("parallel", False)
        written = [v for v, effect in zip(values, effects, strict=True) if effect != "reads"]
        first = next(v for v in values if isinstance(v, np.ndarray))
        return measure.Subject(
            name=self.name,
            run=functools.partial(self.kernel, *values),
            dtype=first.dtype,
            arguments=listed,
            cost=own,
            threads=get_num_threads() if parallel else 1,
            peers=self.beside,
            written=written,
        )

    def explain(self, dtype: Any = "float32") -> Explanation:
        """What the compiler made of the kernel."""
        from .machine_code import explain

        return explain(self, dtype)

    def _operations(self, values: Sequence[Any]) -> float:
        from .machine_code import counted_operations

        key = tuple(typeof(value) for value in values)
        if key not in self._counted:
            self._counted[key] = counted_operations(self.kernel, values)
        return self._counted[key] * max(a.size for v in values for a in calls.arrays_in(v))

    def _arrays(self, n: int, dtype: np.dtype) -> list:
        draw = calls.Draw(n, dtype)
        if not isinstance(self.kernel, Kernel):
            fixed: Sequence[Any] = getattr(self.kernel, "dtypes", [None] * len(self.parameters))
            return [draw.new(n, dtype=own) for own in fixed]
        shapes = {"rows": draw.matrix, "flat": (n,), "array": (n,)}
        values: list = []
        for name, spec in zip(self.parameters, self.kernel.specs, strict=True):
            if spec.kind not in shapes or spec.ndim > 1:
                raise TypeError(
                    f"{self.name}: what {name!r} is at a size is for you to say: "
                    "@bench.kernel(arguments=lambda n, dtype: (...))"
                )
            values.append(draw.new(*shapes[spec.kind], dtype=spec.dtype))
        return values


def observed(function: Callable, values: Sequence[Any]) -> list[str]:
    """What a function does to each argument, seen from outside: arrays that are other than before
    are written, and those whose new values depend on the old ones are updated."""

    def run(shift: set[int]) -> list:
        own = [v.copy() if isinstance(v, np.ndarray) else v for v in values]
        for k in shift:
            own[k] = ~own[k] if own[k].dtype.kind in "biu" else own[k] + own[k].dtype.type(1)
        function(*own)
        return own

    before = run(set())
    changed = {
        k
        for k, (old, new) in enumerate(zip(values, before, strict=True))
        if isinstance(old, np.ndarray) and old.tobytes() != new.tobytes()
    }
    again = run(changed)
    effects = []
    for k in range(len(values)):
        if k not in changed:
            effects.append("reads")
        else:
            same = before[k].tobytes() == again[k].tobytes()
            effects.append("writes" if same else "updates")
    return effects


def kernel(
    function: Any = None,
    *,
    arguments: Callable[[int, np.dtype], Sequence[Any]] | None = None,
    beside: dict[str, Any] | None = None,
) -> Any:
    """Make a function on NumPy arrays a kernel that can be measured.

    The function writes into arrays that it is given. A plain one is compiled by Numba, one that
    Numba has compiled stays as it is; `def f(begin, end, x: flat, …)` follows the library's
    contract and runs on all threads. Its docstring says what an element costs ("two operations an
    element"), as those of the library's kernels do; where a plain function says nothing, the
    operations are counted in its machine code. Which arrays it reads and writes is seen by itself. `beside` has what does the same in other libraries, by name: an expression of the
    parameters, or a function of them.

    >>> from numgrad import bench
    >>> @bench.kernel(beside={"numpy": "np.maximum(x, 0) + y"})
    ... def relu_add(x, y, out):
    ...     "max(x, 0) + y: two operations an element."
    ...     for i in range(x.size):
    ...         out[i] = max(x[i], 0) + y[i]
    >>> report = relu_add.bench(sizes=[4096], quick=True, save=None)
    >>> row = report.rows[0]
    >>> row.read, row.written, row.operations, list(row.peers)
    (32768, 16384, 8192, ['numpy'])
    """
    if function is None:
        return functools.partial(kernel, arguments=arguments, beside=beside)
    beside = beside or {}
    if isinstance(function, (Kernel, Elementwise)):
        inner = getattr(function, "py_func", None) or function.function.py_func
        return Benched(function, inner, arguments, beside)
    if isinstance(function, Dispatcher):
        return Benched(function, function.py_func, arguments, beside)
    parameters = list(inspect.signature(function, eval_str=True).parameters.values())
    if len(parameters) > 2 and all(isinstance(p.annotation, Spec) for p in parameters[2:]):
        return Benched(Kernel(function), function, arguments, beside)
    compiled = njit(fastmath=FASTMATH, error_model="numpy", nogil=True)(function)
    return Benched(compiled, function, arguments, beside)
