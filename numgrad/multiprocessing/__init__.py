"""torch's `multiprocessing`: Python's own, and `spawn`, which runs a function in several processes.

Tensors go through its queues and pipes as copies.
"""

import multiprocessing as _python
from multiprocessing import *  # noqa: F403

from .spawning import ProcessContext as ProcessContext
from .spawning import ProcessException as ProcessException
from .spawning import ProcessExitedException as ProcessExitedException
from .spawning import ProcessRaisedException as ProcessRaisedException
from .spawning import SpawnContext as SpawnContext
from .spawning import spawn as spawn
from .spawning import start_processes as start_processes

__all__ = [
    *_python.__all__,
    "ProcessContext",
    "ProcessException",
    "ProcessExitedException",
    "ProcessRaisedException",
    "SpawnContext",
    "get_all_sharing_strategies",
    "get_sharing_strategy",
    "set_sharing_strategy",
    "spawn",
    "start_processes",
]


def get_all_sharing_strategies() -> set[str]:
    """The ways in which tensors go to another process: there is one, as copies.

    >>> numgrad.multiprocessing.get_all_sharing_strategies()
    {'copy'}
    """
    return {"copy"}


def get_sharing_strategy() -> str:
    """The way in which tensors go to another process.

    >>> numgrad.multiprocessing.get_sharing_strategy()
    'copy'
    """
    return "copy"


def set_sharing_strategy(new_strategy: str) -> None:
    """torch's strategies (`"file_system"`, `"file_descriptor"`) are accepted; tensors are copied.

    >>> numgrad.multiprocessing.set_sharing_strategy("file_system")
    """
    if new_strategy not in ("copy", "file_system", "file_descriptor"):
        raise ValueError(f"there is no sharing strategy {new_strategy!r}")
