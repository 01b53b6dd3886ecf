"""`save` and `load`: PyTorch's `.pth` files, written and read without PyTorch.

A file is a zip archive of one pickle and one record for each storage, the memory that tensors are
views of; so tensors that share memory still do after loading. `_checkpoint/` knows the format.
"""

from __future__ import annotations

import io
import mmap as memory_map
import os
import pickle
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pickle import UnpicklingError
from typing import IO, Any

import numpy as np

from ._checkpoint.archive import ALIGNMENT, ArchiveReader, ArchiveWriter, corrupt
from ._checkpoint.files import atomic_write
from ._checkpoint.names import ALLOWED, CONSTRUCTOR_OF, NOT_IN_NUMGRAD
from ._checkpoint.pickler import pickle_checkpoint
from ._checkpoint.storages import Storage, StorageType
from ._checkpoint.unpickler import WeightsUnpickler, full_name, globals_in
from .device import cuda
from .dtypes import device

__all__ = [
    "save",
    "load",
    "add_safe_globals",
    "get_safe_globals",
    "clear_safe_globals",
    "safe_globals",
    "get_unsafe_globals_in_checkpoint",
]

#: How files begin that PyTorch wrote before version 1.6, or writes when asked for that format.
LEGACY_BEGIN = pickle.dumps(0x1950A86A20F9469CFC6C, protocol=2)

File = str | os.PathLike[str] | IO[bytes]
MapLocation = (
    str | device | Mapping[str, str | device] | Callable[[Storage, str], Storage | None] | None
)


def save(
    obj: object,
    f: File,
    pickle_module: Any = pickle,
    pickle_protocol: int = 2,
    _use_new_zipfile_serialization: bool = True,
) -> None:
    """Save an object to a file that `numgrad.load` and `torch.load` read.

    `obj`: tensors in any nesting of dicts, lists and tuples (a `state_dict`, an optimizer's too),
    or anything else that Python can pickle (which then needs `weights_only=False` to load).
    `f`: a path, or an object with `write`. A file at a path is replaced as a whole when the new one
    is complete: a save that fails, or a process that is killed, leaves the old one.
    `pickle_protocol`: PyTorch's `weights_only=True` reads protocol 2 alone.

    Tensors that overlap in memory still do after loading. Raises RuntimeError if the directory does
    not exist ("Parent directory … does not exist.") or the file cannot be written.

    >>> import io
    >>> file = io.BytesIO()
    >>> numgrad.save({"weight": numgrad.tensor([1.0, 2.0]), "epoch": 3}, file)
    >>> _ = file.seek(0)
    >>> numgrad.load(file)
    {'weight': tensor([1., 2.]), 'epoch': 3}
    """
    if pickle_module is not pickle:
        raise ValueError(f"save: {pickle_module=} is not supported, only Python's own pickle is")
    if not _use_new_zipfile_serialization:
        raise ValueError("save: _use_new_zipfile_serialization=False is not supported")
    if not isinstance(f, str | os.PathLike) and not hasattr(f, "write"):
        raise AttributeError(
            "expected 'f' to be string, path, or a file-like object with a 'write' attribute"
        )
    data, storages = pickle_checkpoint(obj, pickle_protocol)
    destination: AbstractContextManager[Any] = nullcontext(f)
    name = "archive"
    if isinstance(f, str | os.PathLike):
        destination = atomic_write(f)
        # PyTorch's rule: the file's name up to its last dot, if that is ASCII.
        stem = os.path.basename(os.fspath(f)).rpartition(".")[0] or os.path.basename(f)
        name = stem if stem.strip(".") and stem.isascii() else name
    with destination as file:
        archive = ArchiveWriter(file.write, name)
        archive.record("data.pkl", data)
        archive.record(".format_version", b"1")
        archive.record(".storage_alignment", str(ALIGNMENT).encode())
        archive.record("byteorder", sys.byteorder.encode())
        for key, storage in enumerate(storages):
            archive.record(f"data/{key}", storage.data)
        archive.close()
        if hasattr(file, "flush"):
            file.flush()


def load(
    f: File,
    map_location: MapLocation = None,
    pickle_module: Any = None,
    *,
    weights_only: bool | None = None,
    mmap: bool | None = None,
    **pickle_load_args: Any,
) -> Any:
    """Load an object that `numgrad.save` or `torch.save` has saved.

    `f`: a path, or a file object that can `read` and `seek`; a path that ends in ".safetensors" is
    read by `numgrad.safetensors.load_file`.
    `map_location`: where tensors go: a device, a dict from the file's devices to others, or a
    function of storage and location.
    `weights_only`: True (default) admits tensors, plain Python data and what `add_safe_globals` has
    allowed, and never runs code of the file. False runs Python's unpickler, which calls whatever
    the file names: only for files that you trust.
    `mmap`: True maps the file (given as a path) into memory instead of reading it; pages are read
    when they are needed, and their checksums are not checked.

    float16 and bfloat16 tensors become float32, which holds all of their values (a warning says
    so). Raises pickle.UnpicklingError for a file that holds what it must not, RuntimeError for one
    that is truncated, damaged, or none of PyTorch's present format.

    >>> import io
    >>> file = io.BytesIO()
    >>> numgrad.save({'step': 3}, file)
    >>> _ = file.seek(0)
    >>> numgrad.load(file)
    {'step': 3}
    """
    weights_only = True if weights_only is None else weights_only
    if pickle_module is not None and pickle_module is not pickle:
        raise ValueError(f"load: {pickle_module=} is not supported, only Python's own pickle is")
    if weights_only and pickle_module is not None:
        raise RuntimeError("Can not safely load weights when explicit pickle_module is specified")
    if weights_only and pickle_load_args:
        warnings.warn("pickle_load_args only works if `weights_only=False`.", stacklevel=2)
    path = os.fspath(f) if isinstance(f, str | os.PathLike) else None
    if mmap and path is None:
        raise ValueError("f must be a file path in order to use the mmap argument")
    if path is not None and path.endswith(".safetensors"):
        from .safetensors import load_file

        if not isinstance(map_location, str | device | None):
            raise RuntimeError(
                f"load: {map_location=} is not supported for a safetensors file, only a device is"
            )
        return load_file(path, device="cpu" if map_location is None else str(map_location))
    with _open(f) as file:
        _check_begin(file, path or "the file")
        archive = ArchiveReader(file)
        if "constants.pkl" in archive:
            raise RuntimeError("load: this is a TorchScript archive, which numgrad cannot read")
        mapped = None
        if mmap:
            mapped = memory_map.mmap(file.fileno(), 0, access=memory_map.ACCESS_COPY)
        storages = Storages(archive, map_location, mapped)
        data = archive.read("data.pkl")
        if not weights_only:
            keywords = {"encoding": "utf-8", **pickle_load_args}
            return FullUnpickler(io.BytesIO(data), storages.load, keywords).load()
        try:
            return WeightsUnpickler(
                data,
                find_global=_find_global,
                constructor_of=_constructor_of,
                may_build=_may_build,
                persistent_load=storages.load,
            ).load()
        except UnpicklingError as error:
            raise UnpicklingError(
                "Weights only load failed. Loading it with `weights_only=False` can run any code "
                "that the file contains: do that only if you trust its source.\n"
                f"WeightsUnpickler error: {error}"
            ) from error


@contextmanager
def _open(f: Any) -> Iterator[IO[bytes]]:
    if isinstance(f, str | os.PathLike):
        with open(f, "rb") as file:
            yield file
        return
    try:
        f.seek(f.tell())
    except (io.UnsupportedOperation, AttributeError) as error:
        raise type(error)(
            f"{error}. You can only torch.load from a file that is seekable. Please pre-load the "
            "data into a buffer like io.BytesIO and try to load from it instead."
        ) from None
    yield f


def _check_begin(file: IO[bytes], name: str) -> None:
    """Raise RuntimeError, saying what it is instead, if there is no zip archive at this place."""
    start = file.tell()
    begin = file.read(512)
    file.seek(start)
    if not isinstance(begin, bytes):
        raise TypeError("load: the file was opened in text mode; open it in binary mode, 'rb'")
    if begin.startswith(b"PK\x03\x04"):
        return
    if begin.startswith(LEGACY_BEGIN) or begin[257:262] == b"ustar":
        raise RuntimeError(
            f"load: {name} is in PyTorch's legacy format (before PyTorch 1.6, or saved with "
            "_use_new_zipfile_serialization=False), which numgrad does not read; load it with "
            "PyTorch and save it again"
        )
    what = f"it begins with {begin[:8]!r}" if begin else "it is empty"
    raise RuntimeError(f"load: {name} is not a PyTorch checkpoint, a zip archive: {what}")


class Storages:
    """The storages of an archive, each read when the pickle first refers to it."""

    def __init__(
        self, archive: ArchiveReader, map_location: MapLocation, mapped: memory_map.mmap | None
    ) -> None:
        self._archive = archive
        self._map_location = map_location
        self._mapped = mapped
        self._loaded: dict[str, tuple[StorageType, int, Storage]] = {}
        byteorder = archive.read("byteorder") if "byteorder" in archive else b"little"
        if byteorder not in (b"little", b"big"):
            raise ValueError(f"Unknown endianness type: {byteorder[:20]!r}")
        self._swap = byteorder.decode() != sys.byteorder

    def load(self, pid: Any) -> Storage:
        """The storage for `("storage", type, key, location, numel)`."""
        if type(pid) is not tuple or len(pid) != 5 or pid[0] != "storage":
            raise UnpicklingError("Only persistent_load of storage is allowed")
        _, kind, key, location, numel = pid
        if (
            not isinstance(kind, StorageType)
            or type(key) is not str
            or not (key.isascii() and key.isdigit() and len(key) <= 20)
            or type(location) is not str
            or type(numel) is not int
        ):
            raise UnpicklingError(f"a storage described by {[type(part) for part in pid]}")
        if key not in self._loaded:
            storage = self._place(Storage(kind.decode(self._read(kind, key, numel))), location)
            self._loaded[key] = kind, numel, storage
        known_kind, known_numel, storage = self._loaded[key]
        if (known_kind, known_numel) != (kind, numel):
            raise UnpicklingError(f"storage {key} with two types or sizes")
        return storage

    def _read(self, kind: StorageType, key: str, numel: int) -> np.ndarray:
        record = f"data/{key}"
        size = self._archive.size(record)
        if size != numel * kind.stored.itemsize:
            corrupt(f"reading file {record}: it has {size} bytes, not {numel} {kind.stored} values")
        offset = self._archive.offset(record) if self._mapped is not None else 0
        if self._mapped is not None and size and offset % kind.stored.itemsize == 0:
            if offset + size > len(self._mapped):
                corrupt(f"reading file {record}: unexpected end of file")
            # The mapping itself is the array's base: no array that a later save could follow.
            array = np.ndarray(numel, kind.stored, self._mapped, offset)
        else:
            array = np.empty(numel, kind.stored)
            self._archive.read_into(record, array.view(np.uint8).data)
        if self._swap:
            array = array.byteswap()
        if kind.dtype != kind.stored:
            name = kind.name.removesuffix("Storage").lower().replace("half", "float16")
            warnings.warn(
                f"load: {name} tensors become {kind.dtype}: numgrad has no {name}", stacklevel=2
            )
        return array

    def _place(self, storage: Storage, location: str) -> Storage:
        """The storage on the device that it was saved from, or that `map_location` says."""
        target: Any = location
        if isinstance(self._map_location, str | device):
            target = self._map_location
        elif isinstance(self._map_location, Mapping):
            target = self._map_location.get(location, location)
        elif self._map_location is not None:
            placed = self._map_location(storage, location)
            if isinstance(placed, Storage):
                return placed
            if placed is not None:
                raise TypeError(
                    f"load: map_location returned a {type(placed)}, expected a storage or None"
                )
        kind, _, number = str(target).partition(":")
        if kind == "cuda" and cuda.unavailable() is None:
            count = cuda.driver().count
            if number and int(number) >= count:
                raise RuntimeError(
                    f"Attempting to deserialize object on CUDA device {int(number)} but "
                    f"torch.cuda.device_count() is {count}. Please use torch.load with map_location "
                    "to map your storages to an existing device."
                )
            return storage.cuda(str(target))
        if kind in ("cuda", "mps", "xpu", "hpu", "mtia"):
            raise RuntimeError(
                f"Attempting to deserialize object on a {kind.upper()} device but "
                f"torch.{kind}.is_available() is False. If you are running on a CPU-only machine, "
                "please use torch.load with map_location=torch.device('cpu') to map your storages "
                "to the CPU."
            )
        if kind != "cpu":
            raise RuntimeError(
                "don't know how to restore data location of torch.storage.UntypedStorage (tagged "
                f"with {str(target)[:20]})"
            )
        return storage


class FullUnpickler(pickle.Unpickler):
    """Python's unpickler, for `weights_only=False`: imports and calls what the file names."""

    def __init__(
        self, file: IO[bytes], load_storage: Callable[[Any], Storage], keywords: dict[str, Any]
    ) -> None:
        super().__init__(file, **keywords)
        self._load_storage = load_storage

    def persistent_load(self, pid: Any) -> Storage:
        return self._load_storage(pid)

    def find_class(self, module: str, name: str) -> Any:
        path = full_name(module, name)
        if not path.startswith("torch."):
            return super().find_class(module, name)
        if path in ALLOWED:
            return ALLOWED[path]
        _refuse_if_not_in_numgrad(path)
        raise UnpicklingError(
            f"the file holds a pickled {path}, an object of PyTorch's own; save its state_dict "
            "with PyTorch instead, and load that"
        )


# The allow-list

_safe_globals: dict[str, Any] = {}


def add_safe_globals(safe_globals: list[Any]) -> None:
    """Admit these classes and functions in what `load(weights_only=True)` reads.

    Each is an object, or a tuple of the object and the full name that the file knows it by. Allow
    only what is harmless with arguments of the file's choice.

    >>> import datetime
    >>> numgrad.serialization.add_safe_globals([datetime.timedelta])
    >>> numgrad.serialization.get_safe_globals()
    [<class 'datetime.timedelta'>]
    >>> numgrad.serialization.clear_safe_globals()
    """
    global _safe_globals
    _safe_globals = _safe_globals | dict(_named(entry) for entry in safe_globals)


def _named(entry: Any) -> tuple[str, Any]:
    if not isinstance(entry, tuple):
        return f"{entry.__module__}.{entry.__qualname__}", entry
    if len(entry) != 2:
        raise ValueError(
            "Expected tuple of length 2 (global, str of callable full path), but got tuple of "
            f"length: {len(entry)}"
        )
    if type(entry[1]) is not str:
        raise TypeError(
            "Expected second item in tuple to be str of callable full path, but got: "
            f"{type(entry[1])}"
        )
    return entry[1], entry[0]


def get_safe_globals() -> list[Any]:
    """The classes and functions that `add_safe_globals` has admitted.

    >>> numgrad.serialization.add_safe_globals([complex])
    >>> numgrad.serialization.get_safe_globals()
    [<class 'complex'>]
    >>> numgrad.serialization.clear_safe_globals()
    >>> numgrad.serialization.get_safe_globals()
    []
    """
    return list(_safe_globals.values())


def clear_safe_globals() -> None:
    """Forget what `add_safe_globals` has admitted.

    >>> numgrad.serialization.add_safe_globals([complex])
    >>> numgrad.serialization.get_safe_globals()
    [<class 'complex'>]
    >>> numgrad.serialization.clear_safe_globals()
    >>> numgrad.serialization.get_safe_globals()
    []
    """
    global _safe_globals
    _safe_globals = {}


@contextmanager
def safe_globals(safe_globals: list[Any]) -> Iterator[None]:
    """`add_safe_globals` for the length of a `with` block.

    >>> import datetime, io
    >>> file = io.BytesIO()
    >>> numgrad.save(datetime.timedelta(3), file)
    >>> _ = file.seek(0)
    >>> with numgrad.serialization.safe_globals([datetime.timedelta]):
    ...     numgrad.load(file)
    datetime.timedelta(days=3)
    """
    global _safe_globals
    before = _safe_globals
    add_safe_globals(safe_globals)
    try:
        yield
    finally:
        _safe_globals = before


def get_unsafe_globals_in_checkpoint(f: File) -> list[str]:
    """Names in a file that `load(weights_only=True)` refuses; nothing of the file is run.

    >>> import datetime, io
    >>> file = io.BytesIO()
    >>> numgrad.save({"took": datetime.timedelta(3)}, file)
    >>> _ = file.seek(0)
    >>> numgrad.serialization.get_unsafe_globals_in_checkpoint(file)
    ['datetime.timedelta']
    """
    with _open(f) as file:
        _check_begin(file, "the file")
        data = ArchiveReader(file).read("data.pkl")
    return sorted(
        path for path in globals_in(data) if path not in ALLOWED and path not in _safe_globals
    )


def _find_global(path: str) -> Any:
    if path in ALLOWED:
        return ALLOWED[path]
    if path in _safe_globals:
        return _safe_globals[path]
    _refuse_if_not_in_numgrad(path)
    raise UnpicklingError(
        f"Unsupported global: GLOBAL {path.removeprefix('builtins.')} was not an allowed global by "
        f"default. Use `numgrad.serialization.add_safe_globals([{path}])` or the context manager "
        f"`numgrad.serialization.safe_globals([{path}])` to allow it, if you trust it."
    )


def _refuse_if_not_in_numgrad(path: str) -> None:
    if path in NOT_IN_NUMGRAD:
        raise UnpicklingError(f"the file holds {NOT_IN_NUMGRAD[path]} ({path}), not in numgrad")


def _constructor_of(named: Any) -> Callable[..., Any] | None:
    if id(named) in CONSTRUCTOR_OF:
        return CONSTRUCTOR_OF[id(named)]
    return named if any(named is safe for safe in _safe_globals.values()) else None


def _may_build(cls: type) -> bool:
    return any(cls is safe for safe in _safe_globals.values())
