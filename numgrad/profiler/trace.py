"""Events as a file in the Trace Event Format, which Perfetto and Chrome open.

https://docs.google.com/document/d/1CvAClvFfyA5R-PhYUmn5OOQtYMH4h6I0nSsKchNAySU
"""

from __future__ import annotations

import json
import os
import pathlib
import threading
from typing import Any

from .events import EventList

#: Process numbers of the tracks of GPUs.
_GPU = 1 << 22


def write(path: str | pathlib.Path, events: EventList) -> None:
    """Write the file."""
    content = {"displayTimeUnit": "ms", "traceEvents": rows(events)}
    pathlib.Path(path).write_text(json.dumps(content))


def rows(events: EventList) -> list[dict[str, Any]]:
    """The entries: a track for each thread, one for each GPU, and memory in use as a curve."""
    start, process = events.listener.started, os.getpid()
    names = {thread.ident: thread.name for thread in threading.enumerate()}
    found: list[dict[str, Any]] = [_name("process_name", process, 0, "numgrad")]
    for thread in dict.fromkeys(event.thread for event in events):
        found.append(_name("thread_name", process, thread, names.get(thread, f"thread {thread}")))
    for gpu in sorted({event.gpu for event in events if event.device is not None}):
        found.append(_name("process_name", _GPU + gpu, 0, f"GPU {gpu}"))
    for event in events:
        shown = {k: v for k, v in event.details.items() if k != "device" and v not in ("", None)}
        slice_ = {"ph": "X", "name": event.name, "cat": event.kind, "args": shown}
        found.append(
            slice_
            | {
                "ts": (event.start - start) / 1e3,
                "dur": (event.end - event.start) / 1e3,
                "pid": process,
                "tid": event.thread,
            }
        )
        if event.device is not None:
            began, ended = event.device
            found.append(
                slice_
                | {
                    "cat": "gpu",
                    "ts": (began - start) / 1e3,
                    "dur": (ended - began) / 1e3,
                    "pid": _GPU + event.gpu,
                    "tid": 0,
                }
            )
    for moment, _, in_use, _ in events.listener.allocations:
        found.append(
            {
                "ph": "C",
                "name": "memory of tensors",
                "ts": (moment - start) / 1e3,
                "pid": process,
                "args": {"bytes": in_use},
            }
        )
    for moment, gpu, in_use in events.listener.gpu_memory:
        found.append(
            {
                "ph": "C",
                "name": "memory of tensors",
                "ts": (moment - start) / 1e3,
                "pid": _GPU + gpu,
                "args": {"bytes": in_use},
            }
        )
    return found


def _name(kind: str, process: int, thread: int, name: str) -> dict[str, Any]:
    return {"ph": "M", "name": kind, "pid": process, "tid": thread, "args": {"name": name}}
