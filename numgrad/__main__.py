"""The command line: `python -m numgrad demo | bench | info | cache`."""

from __future__ import annotations

import argparse
import sys

from .bench import command


def main(arguments: list[str] | None = None) -> int:
    """Run a subcommand; the result is the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m numgrad", description="numgrad: PyTorch's front door, every kernel Python"
    )
    commands = parser.add_subparsers(dest="command", required=True)
    demo = commands.add_parser("demo", help="train an MLP on real handwritten digits")
    demo.add_argument("--epochs", type=int, default=30)
    bench = commands.add_parser("bench", help="measure kernels, beside NumPy, torch and JAX")
    command.add_arguments(bench)
    commands.add_parser("info", help="versions, processor, threads, BLAS, kernel cache")
    cache = commands.add_parser("cache", help="the disk cache of compiled kernels")
    cache.add_argument("action", choices=["list", "clear"], nargs="?", default="list")
    chosen = parser.parse_args(arguments)

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
