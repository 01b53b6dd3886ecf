"""Which module each operation belongs to: noted while it runs, or found from the parameters.

What is known of an operation is a path of `Place`s, the outermost first: one for each call of a
module around it. Modules that are never called (ModuleList) are not among them.
"""

from __future__ import annotations

import gc
from collections.abc import Hashable, Sequence
from typing import Any

from ..nn import Module, ModuleDict, ModuleList


class Place:
    """One call of a module: its name below the call around it, and its class."""

    __slots__ = ("label", "module", "parent")

    def __init__(self, label: str, module: Module, parent: Place | None) -> None:
        self.label, self.module, self.parent = label, module, parent

    @property
    def title(self) -> str:
        return type(self.module).__name__

    @property
    def is_layer(self) -> bool:
        """Whether it has no modules inside."""
        return not self.module._modules

    @property
    def path(self) -> list[Place]:
        """The places around it, the outermost first, and itself."""
        return [*(self.parent.path if self.parent else ()), self]


def name_below(module: Module, parent: Module | None) -> str:
    """The dotted name of a module in another one, or its class."""
    if parent is not None:
        for name, found in parent.named_modules(remove_duplicate=False):
            if found is module and name:
                return name
    return type(module).__name__


def find_model(leaves: Sequence[Any]) -> Module | None:
    """The smallest module alive that holds the most of these tensors; None where none holds any."""
    wanted = {id(leaf) for leaf in leaves}
    best, most = None, (0, 0)
    for candidate in gc.get_objects():
        if not issubclass(type(candidate), Module) or "_parameters" not in candidate.__dict__:
            continue
        held = sum(id(parameter) in wanted for parameter in candidate.parameters())
        size = -sum(1 for _ in candidate.modules())
        if held and (held, size) > most:
            best, most = candidate, (held, size)
    return best


def find_places(
    model: Module,
    uses: Sequence[Sequence[Hashable]],
    names: Sequence[str],
    keys: dict,
    again: str | None = None,
) -> list[list[Place]]:
    """The path of every operation, from the parameters that some of them use.

    The operations come in the order in which they ran; `uses` has what each of them uses, `keys`
    the key of every parameter by its dotted name, `names` what each operation is called. Whatever
    ran between two uses of a module's parameters is the module's; what ran between two modules of
    one class that are not layers, a residual's addition say, is the first one's. With `again`, what
    a call of a module is named that uses a parameter which has been used before: a module uses each
    of its parameters once in a call then.
    """
    owners: dict[Hashable, list[str]] = {}
    for name, key in keys.items():
        owners.setdefault(key, []).append(name.rpartition(".")[0])
    found = [_owner(used, owners) for used in uses]
    anchors = [k for k, owner in enumerate(found) if owner is not None]
    repeated = [False] * len(anchors)
    if again is not None:
        known: set[Hashable] = set()
        for position, k in enumerate(anchors):
            repeated[position] = bool(known & set(uses[k]))
            known |= set(uses[k])
    chains = _chains(model, [found[k] for k in anchors], repeated, again)  # type: ignore[misc]
    paths: list[list[Place]] = [[] for _ in uses]
    for position, anchor in enumerate(anchors):
        paths[anchor] = chains[position]
        if position + 1 < len(anchors):
            gap = range(anchor + 1, anchors[position + 1])
            for k in gap:
                paths[k] = _between(chains[position], chains[position + 1])
    if anchors:
        _take_tails(paths, anchors, chains, names)
    return paths


def _owner(used: Sequence[Hashable], owners: dict[Hashable, list[str]]) -> str | None:
    """The module whose parameters an operation uses; shared ones are each in turn's."""
    for key in used:
        names = owners.get(key)
        if names:
            return names[0] if len(names) == 1 else names.pop(0)
    return None


def _chains(
    model: Module, owners: Sequence[str], repeated: Sequence[bool], again: str | None
) -> list[list[Place]]:
    """The path of each owner in a row; neighbours share the places of modules they have in common,
    except where one is a repetition and the other is not."""
    modules = dict(model.named_modules(remove_duplicate=False))
    chains: list[list[Place]] = []
    before: list[tuple[str, Place]] = []
    was_repeated = False
    for owner, is_repeated in zip(owners, repeated, strict=True):
        if is_repeated is not was_repeated:
            before = before[:1]
        was_repeated = is_repeated
        parts = owner.split(".") if owner else []
        prefixes = ["", *[".".join(parts[: k + 1]) for k in range(len(parts))]]
        chain: list[tuple[str, Place]] = []
        for prefix in prefixes:
            module = modules[prefix]
            if isinstance(module, (ModuleList, ModuleDict)):
                continue
            depth = len(chain)
            shared = [name for name, _ in before[: depth + 1]] == [n for n, _ in chain] + [prefix]
            if shared and len(before) > depth:
                chain.append(before[depth])
                continue
            parent = chain[-1][1] if chain else None
            above = chain[-1][0] if chain else ""
            label = prefix[len(above) + 1 if above else 0 :] or type(module).__name__
            if is_repeated and len(chain) == 1:
                label += f" ({again})"
            chain.append((prefix, Place(label, module, parent)))
        chains.append([place for _, place in chain])
        before = chain
    return chains


def _between(first: list[Place], second: list[Place]) -> list[Place]:
    """Where what ran between two operations belongs."""
    common = 0
    while common < min(len(first), len(second)) and first[common] is second[common]:
        common += 1
    if common < min(len(first), len(second)):
        one, other = first[common], second[common]
        if type(one.module) is type(other.module) and not one.is_layer:
            return first[: common + 1]
    return first[:common]


def _take_tails(
    paths: list[list[Place]], anchors: list[int], chains: list[list[Place]], names: Sequence[str]
) -> None:
    """Give the last of several blocks in a row what comes last in the others."""
    for position, anchor in enumerate(anchors):
        following = chains[position + 1] if position + 1 < len(anchors) else []
        end = anchors[position + 1] if position + 1 < len(anchors) else len(paths)
        chain = chains[position]
        for depth in range(len(chain)):
            block = chain[depth]
            if block.is_layer or (depth < len(following) and following[depth] is block):
                continue
            tail = _tail_before(paths, anchors, chains, names, position, depth)
            if tail and list(names[anchor + 1 : end][: len(tail)]) == tail:
                for k in range(anchor + 1, anchor + 1 + len(tail)):
                    if len(paths[k]) <= depth:
                        paths[k] = chain[: depth + 1]
                break


def _tail_before(
    paths: list[list[Place]],
    anchors: list[int],
    chains: list[list[Place]],
    names: Sequence[str],
    position: int,
    depth: int,
) -> list[str]:
    """The names of what ends the block of the same class that came before."""
    block = chains[position][depth]
    for earlier in range(position - 1, -1, -1):
        chain = chains[earlier]
        if len(chain) <= depth or chain[depth] is block:
            continue
        if chain[:depth] != chains[position][:depth]:
            return []
        if type(chain[depth].module) is not type(block.module):
            return []
        start, end = anchors[earlier] + 1, anchors[earlier + 1]
        return [names[k] for k in range(start, end) if paths[k] == chain[: depth + 1]]
    return []
