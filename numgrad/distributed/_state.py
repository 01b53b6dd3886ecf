"""The groups of this process: joining a world, making groups, ending them."""

from __future__ import annotations

import datetime
import hashlib
import os
from typing import Any
from urllib.parse import parse_qs, urlparse

import numpy as np

from ..device import cpu
from . import _world
from ._errors import DistError
from ._group import ProcessGroup, in_seconds
from ._wait import wait

#: Seconds that a collective may take, unless another number is given.
default_pg_timeout = datetime.timedelta(minutes=30)
BACKENDS = ("gloo", "mpi", "nccl")


class Backend(str):
    """The name of a backend, in lower case.

    >>> numgrad.distributed.Backend("GLOO") == numgrad.distributed.Backend.GLOO
    True
    """

    GLOO = "gloo"
    MPI = "mpi"
    NCCL = "nccl"
    UNDEFINED = "undefined"

    def __new__(cls, name: str) -> Backend:
        """ValueError for a name that is none."""
        if not isinstance(name, str):
            raise ValueError(f"Backend constructor parameter must be string-ish, got {name!r}")
        known = [part.split(":")[-1] for part in name.lower().split(",")]
        for part in known:
            if part not in (*BACKENDS, "undefined"):
                raise ValueError(f"Invalid backend: {name!r}; there are {', '.join(BACKENDS)}")
        return str.__new__(cls, "nccl" if "nccl" in known else known[0])


class GroupMember:
    """What `new_group` gives to processes that are not in the group."""

    WORLD: ProcessGroup | None = None
    NON_GROUP_MEMBER = -100


class _Groups:
    """The group of all ranks, the others, and when threads were last divided."""

    default: ProcessGroup | None = None
    made: list[ProcessGroup] = []


groups = _Groups()


def is_available() -> bool:
    """Whether processes can be connected: whether MPI is installed.

    >>> numgrad.distributed.is_available()
    True
    """
    return _world.missing() is None


def is_initialized() -> bool:
    """Whether `init_process_group` has been called, and not yet `destroy_process_group`.

    >>> numgrad.distributed.is_initialized()
    False
    """
    return groups.default is not None


def is_mpi_available() -> bool:
    """Whether MPI is installed.

    >>> numgrad.distributed.is_mpi_available()
    True
    """
    return is_available()


def is_gloo_available() -> bool:
    """Whether `backend="gloo"` is accepted: MPI carries it.

    >>> numgrad.distributed.is_gloo_available()
    True
    """
    return is_available()


def is_nccl_available() -> bool:
    """Whether NCCL's binding is installed, and a GPU is there.

    >>> numgrad.distributed.is_nccl_available() and not numgrad.cuda.is_available()
    False
    """
    from ._nccl import missing

    return missing() is None


def is_torchelastic_launched() -> bool:
    """Whether a launcher (`python -m numgrad.run`) has started this process.

    >>> numgrad.distributed.is_torchelastic_launched()
    False
    """
    return "TORCHELASTIC_RUN_ID" in os.environ


def init_process_group(
    backend: str | None = None,
    init_method: str | None = None,
    timeout: Any = None,
    world_size: int = -1,
    rank: int = -1,
    store: Any = None,
    group_name: str = "",
    pg_options: Any = None,
    device_id: Any = None,
) -> None:
    """Connect this process with the others of its world; all of them call it.

    Between CPUs MPI carries the data, whether `backend` is `"gloo"` or `"mpi"`; between GPUs NCCL does
    (`"nccl"`). A process started by `mpiexec` or Slurm has its rank from there. Any other one has `rank`
    and `world_size` from the arguments or from the environment (`RANK`, `WORLD_SIZE`), and meets the
    others at `MASTER_ADDR:MASTER_PORT` or, with `init_method="tcp://host:port"`, there. `MASTER_ADDR`
    is this machine (`localhost`) where it is not set.

    `timeout` (a `timedelta` or seconds, by default 30 minutes) holds for joining and for every
    collective. Where the user has not chosen a number of threads, the processors are divided
    between the ranks of a machine.

    ValueError for arguments that are missing or contradict what MPI knows, `DistNetworkError` where
    rank 0 cannot listen at the address, `DistStoreError` where not all ranks come in time.

    >>> numgrad.distributed.init_process_group("gloo", rank=0, world_size=1)
    >>> numgrad.distributed.get_rank(), numgrad.distributed.get_world_size()
    (0, 1)
    >>> numgrad.distributed.destroy_process_group()
    """
    if groups.default is not None:
        raise ValueError("trying to initialize the default process group twice!")
    if store is not None:
        raise ValueError("init_process_group: ranks meet at an address, there are no stores")
    chosen = Backend(backend or ("nccl" if is_nccl_available() else "gloo"))
    seconds = in_seconds(default_pg_timeout if timeout is None else timeout)
    if seconds <= 0:
        raise ValueError(f"init_process_group: timeout must be positive, got {timeout!r}")
    own, size, address = _rendezvous(init_method, rank, world_size)
    if chosen == "nccl":
        from ._nccl import check

        check()
    world = _world.join(own, size, address, seconds)
    comms = [_duplicate(world, seconds) for _ in range(3)] if world.mpi is not None else []
    group = ProcessGroup(world, list(range(world.size)), comms, chosen, seconds)
    _look_around(group)
    if chosen == "nccl":
        from ._nccl import NCCLEngine

        group.device_engine = NCCLEngine(group, device_id)
    groups.default = GroupMember.WORLD = group
    _divide_threads(world)


def _rendezvous(
    init_method: str | None, rank: int, world_size: int
) -> tuple[int | None, int | None, tuple[str, int] | None]:
    """Rank, size and address, each None where it is to be had from MPI."""
    url = urlparse(init_method or "env://")
    query = {name: values[-1] for name, values in parse_qs(url.query).items()}
    if url.scheme not in ("env", "tcp"):
        raise ValueError(f"init_method {init_method!r} is not known: env:// or tcp://host:port are")
    own = _number("rank", rank, query, url.scheme)
    size = _number("world_size", world_size, query, url.scheme)
    if own is not None and size is not None and not 0 <= own < size:
        raise ValueError(f"rank {own} is not one of a world of {size}")
    if _world.is_formed() or size == 1:
        return own, size, None
    if own is None or size is None:
        names = [n for n, v in (("RANK", own), ("WORLD_SIZE", size)) if v is None]
        raise ValueError(
            f"Error initializing torch.distributed using {url.scheme}:// rendezvous: environment "
            f"variable {names[0]} expected, but not set; init_process_group(rank=, world_size=), "
            "python -m numgrad.run or mpiexec give it"
        )
    if url.scheme == "tcp":
        if url.hostname is None or url.port is None:
            raise ValueError(f"init_method {init_method!r} has no host or no port")
        return own, size, (url.hostname, url.port)
    if os.environ.get("TORCHELASTIC_USE_AGENT_STORE") == "True":
        raise ValueError(
            "torchrun itself listens at MASTER_PORT: start the program with python -m numgrad.run"
        )
    port = os.environ.get("MASTER_PORT")
    if port is None:
        raise ValueError(
            "Error initializing torch.distributed using env:// rendezvous: environment variable "
            "MASTER_PORT expected, but not set"
        )
    return own, size, (os.environ.get("MASTER_ADDR", "localhost"), int(port))


def _number(name: str, given: int, query: dict[str, str], scheme: str) -> int | None:
    if given is not None and given >= 0:
        return int(given)
    if name in query:
        return int(query[name])
    found = os.environ.get(name.upper())
    return int(found) if found is not None and scheme == "env" else None


def _duplicate(world: _world.World, seconds: float) -> Any:
    comm, request = world.comm.Idup()
    wait(request.Test, world, list(range(world.size)), lambda: "init_process_group", seconds)
    return comm


def _look_around(group: ProcessGroup) -> None:
    """Who shares this host; after that all ranks have opened what they share."""
    world = group.world
    mine = np.frombuffer(hashlib.blake2b(_world.host().encode(), digest_size=8).digest(), np.uint8)
    every = np.zeros((world.size, 8), np.uint8)
    group.start(("init_process_group",), lambda: group.host_engine.all_gather(every, mine))
    here = [rank for rank in range(world.size) if bytes(every[rank]) == bytes(mine)]
    world.local_rank, world.local_size = here.index(world.rank), len(here)
    world.forget_shared_memory()


def _divide_threads(world: _world.World) -> None:
    if world.local_size > 1 and not any(
        name in os.environ for name in ("OMP_NUM_THREADS", "NUMBA_NUM_THREADS")
    ):
        try:
            processors = len(os.sched_getaffinity(0))
        except AttributeError:
            processors = os.cpu_count() or 1
        share = max(1, processors // world.local_size)
        if share < cpu.get_num_threads():
            cpu.set_num_threads(share)


def new_group(
    ranks: list[int] | None = None,
    timeout: Any = None,
    backend: str | None = None,
    pg_options: Any = None,
    use_local_synchronization: bool = False,
    group_desc: str | None = None,
) -> Any:
    """A group of some ranks of the world (all, by default). All ranks of the world call this.

    Collectives take it as `group`, and are then between its ranks. A process that is not in it gets
    `GroupMember.NON_GROUP_MEMBER`.
    """
    world_group = default_group()
    world = world_group.world
    chosen = sorted(set(range(world.size) if ranks is None else ranks))
    if ranks is not None and len(chosen) != len(ranks):
        raise ValueError(f"new_group: ranks are given more than once in {ranks}")
    if not chosen or chosen[0] < 0 or chosen[-1] >= world.size:
        raise ValueError(f"new_group: ranks {chosen} are not all in a world of {world.size}")
    seconds = world_group.timeout if timeout is None else in_seconds(timeout)
    kind = Backend(backend or world_group.backend)
    # All make the same group, and are here: what follows cannot be nonblocking, but does not wait.
    world_group.start(("new_group", tuple(chosen), str(kind)), _no_requests)
    if world.rank not in chosen:
        return GroupMember.NON_GROUP_MEMBER
    comms: list[Any] = []
    if world.mpi is not None:
        with world.uninterruptible("making a group", seconds):
            own = world.comm.Get_group().Incl(chosen)
            comms = [world.comm.Create_group(own, tag) for tag in range(3)]
        for comm in comms:
            comm.Set_errhandler(world.mpi.ERRORS_RETURN)
    group = ProcessGroup(world, chosen, comms, kind, seconds)
    if kind == "nccl":
        from ._nccl import NCCLEngine

        group.device_engine = NCCLEngine(group, None)
    groups.made.append(group)
    return group


def _no_requests() -> list:
    return []


def destroy_process_group(group: Any = None) -> None:
    """End a group; without an argument all of them, and this process is alone again.

    The process may call `init_process_group` again, with the rank and world size it had.
    """
    if groups.default is None:
        raise AssertionError("Process group cannot be None: init_process_group has not been called")
    if group is GroupMember.NON_GROUP_MEMBER:
        return
    chosen = [group]
    if group is None or group is groups.default:
        chosen = [*groups.made, groups.default]
        groups.default = GroupMember.WORLD = None
    for own in chosen:
        if own in groups.made:
            groups.made.remove(own)
        if own.device_engine is not None:
            own.device_engine.close()
        for work in (*own.running, *own.waiting):
            own.world.wreck.append(work)


def abort_process_group(group: Any = None) -> None:
    """End all groups at once, without regard for what is under way."""
    if groups.default is not None:
        groups.default.world.lose("the process group was aborted")
        destroy_process_group()


def default_group() -> ProcessGroup:
    """The group of all ranks; ValueError where there is none."""
    if groups.default is None:
        raise ValueError(
            "Default process group has not been initialized, please make sure to call "
            "init_process_group."
        )
    return groups.default


def resolve(group: Any) -> ProcessGroup | None:
    """The group that a collective was given; None in a process that is not in it."""
    if group is None:
        return default_group()
    return None if group is GroupMember.NON_GROUP_MEMBER else group


def get_world_size(group: Any = None) -> int:
    """The number of ranks of the world, or of a group; -1 where this process is not in it.

    >>> numgrad.distributed.get_world_size()
    Traceback (most recent call last):
        ...
    ValueError: Default process group has not been initialized, please make sure to call init_process_group.
    """
    found = resolve(group)
    return -1 if found is None else found.size()


def get_rank(group: Any = None) -> int:
    """This process's rank in the world, or in a group; -1 where it is not in it."""
    found = resolve(group)
    return -1 if found is None else found.rank()


def get_node_local_rank(fallback_rank: int | None = None) -> int:
    """This process's number among the ranks of its host."""
    if "LOCAL_RANK" in os.environ:
        return int(os.environ["LOCAL_RANK"])
    if groups.default is not None:
        return groups.default.world.local_rank
    if fallback_rank is not None:
        return int(fallback_rank)
    raise RuntimeError("LOCAL_RANK is not in the environment: pass fallback_rank")


def get_backend(group: Any = None) -> str:
    """The backend's name, as it was asked for."""
    found = resolve(group)
    if found is None:
        raise ValueError("Invalid process group specified")
    return str(found.backend)


def get_process_group_ranks(group: Any = None) -> list[int]:
    """The ranks of the world that a group has."""
    found = resolve(group)
    return [] if found is None else list(found.ranks)


def get_group_rank(group: ProcessGroup, global_rank: int) -> int:
    """The number in a group of a rank of the world; ValueError where it is not in it."""
    if global_rank not in group.ranks:
        raise ValueError(f"Global rank {global_rank} is not part of group {group}")
    return group.ranks.index(global_rank)


def get_global_rank(group: ProcessGroup, group_rank: int) -> int:
    """The rank in the world of a number in a group; ValueError where there is none."""
    if not 0 <= group_rank < len(group.ranks):
        raise ValueError(f"Group rank {group_rank} is not part of group {group}")
    return group.ranks[group_rank]


__all__ = ["DistError", "GroupMember", "groups"]
