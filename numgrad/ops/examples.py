"""Examples of the elementwise operations that are made from their kernels.

Each row is the values of the arguments, then what the result prints; `elementwise.py` puts them
into the docstrings, whose examples the tests run.
"""

from __future__ import annotations

from collections.abc import Callable

EXAMPLES = {
    "abs": ("[-1., 2.]", "tensor([1., 2.])"),
    "acos": ("[1., 0.]", "tensor([0.0000, 1.5708])"),
    "cos": ("[0., 1.]", "tensor([1.0000, 0.5403])"),
    "cosh": ("[0., 1.]", "tensor([1.0000, 1.5431])"),
    "erf": ("[0., 1.]", "tensor([0.0000, 0.8427])"),
    "exp": ("[0., 1.]", "tensor([1.0000, 2.7183])"),
    "exp2": ("[0., 3.]", "tensor([1., 8.])"),
    "expm1": ("[0., 1.]", "tensor([0.0000, 1.7183])"),
    "isfinite": ("[1., float('inf')]", "tensor([ True, False])"),
    "isinf": ("[1., float('inf')]", "tensor([False,  True])"),
    "isnan": ("[1., float('nan')]", "tensor([False,  True])"),
    "log": ("[1., 10.]", "tensor([0.0000, 2.3026])"),
    "log10": ("[1., 100.]", "tensor([0., 2.])"),
    "log1p": ("[0., 1.]", "tensor([0.0000, 0.6931])"),
    "log2": ("[1., 8.]", "tensor([0., 3.])"),
    "logical_not": ("[True, False]", "tensor([False,  True])"),
    "neg": ("[1., -2.]", "tensor([-1.,  2.])"),
    "reciprocal": ("[2., 4.]", "tensor([0.5000, 0.2500])"),
    "relu": ("[-1., 2.]", "tensor([0., 2.])"),
    "rsqrt": ("[4., 16.]", "tensor([0.5000, 0.2500])"),
    "sigmoid": ("[0., 2.]", "tensor([0.5000, 0.8808])"),
    "sin": ("[0., 1.]", "tensor([0.0000, 0.8415])"),
    "sinh": ("[0., 1.]", "tensor([0.0000, 1.1752])"),
    "sqrt": ("[4., 9.]", "tensor([2., 3.])"),
    "tan": ("[0., 1.]", "tensor([0.0000, 1.5574])"),
    "tanh": ("[0., 1.]", "tensor([0.0000, 0.7616])"),
    "asin": ("[0., 1.]", "tensor([0.0000, 1.5708])"),
    "atan": ("[0., 1.]", "tensor([0.0000, 0.7854])"),
    "ceil": ("[0.5, -0.5]", "tensor([1., -0.])"),
    "floor": ("[0.5, -0.5]", "tensor([ 0., -1.])"),
    "trunc": ("[1.5, -1.5]", "tensor([ 1., -1.])"),
    "frac": ("[1.5, -1.25]", "tensor([ 0.5000, -0.2500])"),
    "atan2": ("[1., 1.]", "[1., -1.]", "tensor([0.7854, 2.3562])"),
    "bitwise_and": ("[5, 6]", "[3, 3]", "tensor([1, 2])"),
    "bitwise_or": ("[5, 6]", "[3, 3]", "tensor([7, 7])"),
    "bitwise_xor": ("[5, 6]", "[3, 3]", "tensor([6, 5])"),
    "bitwise_left_shift": ("[1, 3]", "[2, 1]", "tensor([4, 6])"),
    "bitwise_right_shift": ("[8, -8]", "[2, 1]", "tensor([ 2, -4])"),
    "eq": ("[1, 2]", "[1, 3]", "tensor([ True, False])"),
    "ne": ("[1, 2]", "[1, 3]", "tensor([False,  True])"),
    "lt": ("[1, 2]", "[1, 3]", "tensor([False,  True])"),
    "le": ("[1, 2]", "[1, 3]", "tensor([True, True])"),
    "gt": ("[1, 4]", "[1, 3]", "tensor([False,  True])"),
    "ge": ("[1, 2]", "[1, 3]", "tensor([ True, False])"),
    "fmax": ("[1., float('nan')]", "[3., 2.]", "tensor([3., 2.])"),
    "fmin": ("[1., float('nan')]", "[3., 2.]", "tensor([1., 2.])"),
    "maximum": ("[1., 5.]", "[3., 2.]", "tensor([3., 5.])"),
    "minimum": ("[1., 5.]", "[3., 2.]", "tensor([1., 2.])"),
    "logical_and": ("[True, False]", "[True, True]", "tensor([ True, False])"),
    "logical_or": ("[True, False]", "[False, False]", "tensor([ True, False])"),
    "logical_xor": ("[True, False]", "[True, True]", "tensor([False,  True])"),
    "mul": ("[1., 2.]", "[3., 4.]", "tensor([3., 8.])"),
    "nn.functional.silu": ("[-1., 0., 1.]", "tensor([-0.2689,  0.0000,  0.7311])"),
    "nn.functional.mish": ("[-1., 0., 1.]", "tensor([-0.3034,  0.0000,  0.8651])"),
    "nn.functional.hardsigmoid": ("[-1., 0., 1.]", "tensor([0.3333, 0.5000, 0.6667])"),
    "nn.functional.hardswish": ("[-1., 0., 1.]", "tensor([-0.3333,  0.0000,  0.6667])"),
    "nn.functional.softsign": ("[-1., 0., 1.]", "tensor([-0.5000,  0.0000,  0.5000])"),
    "nn.functional.logsigmoid": ("[-1., 0., 1.]", "tensor([-1.3133, -0.6931, -0.3133])"),
}


def add_examples(functions: dict[str, Callable]) -> None:
    """Append the example of each operation to its docstring."""
    for place, (*values, shown) in EXAMPLES.items():
        function = functions[place.rpartition(".")[2]]
        arguments = ", ".join([f"numgrad.tensor({v})" for v in values])
        function.__doc__ = (
            f"{function.__doc__}\n\n    >>> numgrad.{place}({arguments})\n    {shown}\n    "
        )
