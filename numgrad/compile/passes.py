"""Passes over the graph: each takes a graph and returns one that does the same."""

from __future__ import annotations

from typing import Any

from .graph import Graph


def optimize(graph: Graph, settings: dict[str, Any]) -> Graph:
    """All passes, in order."""
    return graph
