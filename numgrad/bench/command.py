"""`python -m numgrad bench`."""

from __future__ import annotations

import argparse
import sys

SUITES = ("training", "small", "kernels", "sizes", "compile", "distributed", "all")

DESCRIPTION = """\
Without arguments: a kernel of each kind at four sizes, beside NumPy, torch and JAX where they are
installed, and beside the machine's own ceilings; the table is printed, figures and pictures go into
./numgrad-bench. Names choose other kernels: softmax_rows, 'softmax_*', or a part of a name.

The suites time operations and training steps beside torch (compile: also beside torch.compile, JAX
and tinygrad; distributed: two ranks): """


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the subcommand's arguments."""
    parser.description = DESCRIPTION + ", ".join(SUITES) + "."
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("what", nargs="*", help="kernels, 'every' for all of them, or a suite")
    parser.add_argument("--sizes", help="numbers of elements: 2^12,2^20,1000000")
    parser.add_argument("--dtypes", default="float32", help="float32,float64 (default: float32)")
    parser.add_argument("--beside", help="numpy,torch,jax or none (default: what is installed)")
    parser.add_argument("--threads", type=int, help="how many (default: all)")
    parser.add_argument("--output", metavar="FOLDER", help="default: ./numgrad-bench")
    parser.add_argument("--quick", action="store_true", help="fewer repeats")
    parser.add_argument("--list", action="store_true", help="the names of all kernels")
    parser.add_argument(
        "--compare", nargs=2, metavar=("BEFORE.json", "AFTER.json"), help="what changed, beyond the noise"
    )  # fmt: skip
    parser.add_argument("--explain", metavar="KERNEL", help="what the compiler made of a kernel")
    parser.add_argument("--case", metavar="TEXT", default="", help="of a suite: cases named so")
    parser.add_argument("--json", metavar="FILE", help="of a suite: also write the figures there")


def size_of(text: str) -> int:
    """`2^20` or `1048576`."""
    base, power, exponent = text.strip().partition("^")
    size = int(base) ** int(exponent) if power else int(base)
    if size < 1:
        raise ValueError(f"a size is at least 1, got {text}")
    return size


def run(chosen: argparse.Namespace) -> int:
    """Do what the arguments say; the exit status."""
    if chosen.what and chosen.what[0] in SUITES:
        from .suites import main

        if len(chosen.what) > 1:
            print(f"one suite at a time: {' '.join(chosen.what)}", file=sys.stderr)
            return 2
        return main(chosen.what[0], chosen.json, chosen.quick, chosen.case)
    from .calls import UnknownKernel

    try:
        return _kernels(chosen)
    except UnknownKernel as error:
        print(f"numgrad bench: {error}; suites: {', '.join(SUITES)}", file=sys.stderr)
        return 2
    except (ValueError, ImportError, OSError) as error:
        print(f"numgrad bench: {error}", file=sys.stderr)
        return 2


def _kernels(chosen: argparse.Namespace) -> int:
    if chosen.list:
        from .calls import kernels

        print("\n".join(kernels()))
        return 0
    if chosen.compare:
        from .changes import compare

        print(compare(*chosen.compare))
        return 0
    if chosen.explain:
        from .machine_code import explain

        for dtype in chosen.dtypes.split(","):
            print(explain(chosen.explain, dtype))
        return 0
    from ..kernels._launch import set_num_threads
    from . import runs
    from .report import FOLDER, missing

    if chosen.threads:
        set_num_threads(chosen.threads)
    beside = None
    if chosen.beside is not None:
        beside = [name for name in chosen.beside.split(",") if name not in ("", "none")]
    names = ["*"] if chosen.what == ["every"] else chosen.what or runs.KERNELS
    report = runs.run(
        names,
        [size_of(text) for text in chosen.sizes.split(",")] if chosen.sizes else runs.SIZES,
        chosen.dtypes.split(","),
        beside,
        chosen.quick,
        progress=True,
    )
    report.show()
    for path in report.save(chosen.output or FOLDER):
        print(path)
    for line in missing():
        print(line)
    return 0
