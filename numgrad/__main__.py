"""The command line: `numgrad demo | bench | info | cache`, also as `python -m numgrad`."""

from __future__ import annotations

import argparse
import sys

from ._version import __version__
from .bench import command

DESCRIPTION = """\
PyTorch's front door, with every kernel behind it a Python function.
"""
EPILOG = """\
start here:
  numgrad info           what this installation runs on, and what is missing
  numgrad demo           train a network on real handwritten digits, in half a minute

`numgrad COMMAND --help` tells more; `python -m numgrad` is the same program.
"""


def main(arguments: list[str] | None = None) -> int:
    """Run a subcommand; the result is the exit status."""
    parser = argparse.ArgumentParser(
        prog="numgrad",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"numgrad {__version__}")
    commands = parser.add_subparsers(dest="command", title="commands", metavar="COMMAND")
    demo = commands.add_parser(
        "demo",
        help="train an MLP on real handwritten digits, save it, reload it, predict",
        description="Train an MLP on scikit-learn's handwritten digits, save it, reload it and "
        "predict. The exit status is 0 if it gets at least 97 %% of the held-out digits right.",
    )
    demo.add_argument(
        "--epochs", type=int, default=30, help="rounds over the training images (default: 30)"
    )
    bench = commands.add_parser("bench", help="measure kernels, beside NumPy, torch and JAX")
    command.add_arguments(bench)
    commands.add_parser(
        "info",
        help="versions, processor, threads, GPUs, kernel cache, and what is missing",
        description="What this installation runs on: versions, the processor and its vectors, the "
        "threading layer, GPUs, the cache of compiled kernels, and which optional packages are "
        "missing, with the command that installs them.",
    )
    cache = commands.add_parser(
        "cache",
        help="the compiled kernels that are kept on disk: list or clear them",
        description="Compiled kernels are kept on disk, in NUMGRAD_CACHE_DIR or the user's cache "
        "folder, and at most NUMGRAD_CACHE_SIZE of them (1G).",
    )
    cache.add_argument(
        "action", choices=["list", "clear"], nargs="?", default="list", help="default: list"
    )
    chosen = parser.parse_args(arguments)
    if chosen.command is None:
        parser.print_help()
        return 0

    if chosen.command == "demo":
        from ._demo import main as run_demo

        return run_demo(epochs=chosen.epochs)
    if chosen.command == "bench":
        return command.run(chosen)
    from . import _info

    if chosen.command == "info":
        print(_info.report())
    elif chosen.action == "list":
        print(_info.cache_report())
    else:
        print(_info.cache_clear())
    return 0


if __name__ == "__main__":
    sys.exit(main())
