"""The container of a `.pth` file: a zip archive of uncompressed records, as PyTorch lays it out.

Every record's data starts at a multiple of 64 bytes (padding goes into the local header's extra
field), so that a file can be mapped into memory and read in place; a record's size and CRC follow
its data; the directory always ends in the zip64 form. All records lie in one folder, the archive's
name. Same records in, same bytes out as PyTorch 2.13 writes, but for `.data/serialization_id`.

The reader takes nothing on trust: a file may be truncated, damaged or made to do harm.
"""

from __future__ import annotations

import errno
import os
import struct
import zlib
from collections.abc import Callable
from typing import IO, Any, NoReturn

__all__ = ["ALIGNMENT", "ArchiveReader", "ArchiveWriter", "corrupt"]

ALIGNMENT = 64
FORMAT_VERSION = 3
NEWEST_READABLE_VERSION = 10

LOCAL_HEADER = struct.Struct("<4s5H3L2H")
DIRECTORY_ENTRY = struct.Struct("<4s6H3L5H2L")
ZIP64_END = struct.Struct("<4sQ2H2L4Q")
ZIP64_LOCATOR = struct.Struct("<4sLQL")
END = struct.Struct("<4s4H2LH")
UTF8_NAME, SIZE_AFTER_DATA = 0x0800, 0x0008
NEEDS_64_BITS = 0xFFFFFFFF

CHUNK = 1 << 26  # one write call must stay below 2 GiB on Linux


def corrupt(detail: str) -> NoReturn:
    """Raise PyTorch's error for a damaged file."""
    raise RuntimeError(
        f"PytorchStreamReader failed {detail}. The checkpoint is truncated or damaged: it was not "
        "written to its end, not transferred whole, or changed afterwards."
    )


def _zip64_extra(*values: int) -> bytes:
    """The extra field with those of `values` that do not fit into 32 bits; empty if all do."""
    large = [value for value in values if value >= NEEDS_64_BITS]
    return struct.pack(f"<2H{len(large)}Q", 1, 8 * len(large), *large) if large else b""


class ArchiveWriter:
    """Writes an archive front to back through `write`; the destination need not seek."""

    def __init__(self, write: Callable[[Any], Any], name: str) -> None:
        self._write_some = write
        self._name = name
        self._offset = 0
        self._directory: list[bytes] = []
        self._fingerprint = [0, 0]

    def _write(self, data: bytes | memoryview) -> None:
        view = memoryview(data)
        self._offset += view.nbytes
        while view.nbytes:
            written = self._write_some(view[:CHUNK])
            # An unbuffered file may take less than it is given; others return what they like.
            view = view[written if isinstance(written, int) else CHUNK :]

    def record(self, name: str, data: bytes | memoryview) -> None:
        """Append a record; a memoryview must be one of plain bytes."""
        size, crc = len(data), zlib.crc32(data)
        self._fingerprint[0] = zlib.crc32(name.encode(), self._fingerprint[0])
        self._fingerprint[1] = zlib.crc32(crc.to_bytes(4, "little"), self._fingerprint[1])
        path = f"{self._name}/{name}".encode()
        start = self._offset
        flags = UTF8_NAME | (SIZE_AFTER_DATA if size else 0)
        extra = _zip64_extra(size, size, start)
        before_data = start + LOCAL_HEADER.size + len(path) + len(extra) + 4
        padding = -before_data % ALIGNMENT
        extra += struct.pack("<2sH", b"FB", padding) + b"Z" * padding
        header = (b"PK\x03\x04", 0, flags, 0, 0, 0, 0, 0, 0, len(path), len(extra))
        self._write(LOCAL_HEADER.pack(*header) + path + extra)
        self._write(data)
        if size:
            large = size >= NEEDS_64_BITS or start >= NEEDS_64_BITS
            self._write(struct.pack("<4sL2Q" if large else "<4s3L", b"PK\x07\x08", crc, size, size))
        extra = _zip64_extra(size, size, start)
        size, start = min(size, NEEDS_64_BITS), min(start, NEEDS_64_BITS)
        self._directory.append(
            DIRECTORY_ENTRY.pack(
                b"PK\x01\x02", 0, 0, flags, 0, 0, 0, crc, size, size,
                len(path), len(extra), 0, 0, 0, 0, start,
            )
            + path
            + extra
        )  # fmt: skip

    def close(self) -> None:
        """Append the version, the fingerprint and the directory."""
        self.record("version", b"%d\n" % FORMAT_VERSION)
        names, contents = self._fingerprint
        self.record(".data/serialization_id", f"{names:020}{contents:020}".encode())
        count, start = len(self._directory), self._offset
        self._write(b"".join(self._directory))
        size, end = self._offset - start, self._offset
        self._write(
            ZIP64_END.pack(
                b"PK\x06\x06", ZIP64_END.size - 12, 798, 45, 0, 0, count, count, size, start
            )
            + ZIP64_LOCATOR.pack(b"PK\x06\x07", 0, end, 1)
            + END.pack(
                b"PK\x05\x06", 0, 0, min(count, 0xFFFF), min(count, 0xFFFF),
                min(size, NEEDS_64_BITS), min(start, NEEDS_64_BITS), 0,
            )
        )  # fmt: skip


class ArchiveReader:
    """Reads the records of the archive that starts at the present position of `file`.

    Raises RuntimeError if the archive is damaged in any way that can be told without its contents.
    What it lets through cannot make a reader allocate more than the file's own size.
    """

    def __init__(self, file: IO[bytes]) -> None:
        import zipfile  # costs 7 ms, which `import numgrad` need not pay

        self._file = file
        start = file.tell()
        end = file.seek(0, os.SEEK_END)
        try:
            entries = zipfile.ZipFile(file).infolist()
        except (zipfile.BadZipFile, struct.error, ValueError, NotImplementedError):
            corrupt("reading zip archive: failed finding central directory")
        except OSError as error:
            if error.errno != errno.EINVAL:  # a seek to before the file: a lie in the directory
                raise
            corrupt("reading zip archive: failed finding central directory")
        if not entries or min(entry.header_offset for entry in entries) != start:
            corrupt("reading zip archive: it does not begin where its directory says")
        # Two entries over the same bytes would let a small file fill the memory.
        if sum(entry.compress_size for entry in entries) > end - start:
            corrupt("reading zip archive: its records are larger than the file")
        folder = entries[0].filename.partition("/")[0] + "/"
        self._entries: dict[str, zipfile.ZipInfo] = {}
        for entry in entries:
            name = entry.filename.removeprefix(folder)
            if entry.compress_type != zipfile.ZIP_STORED or entry.file_size != entry.compress_size:
                corrupt(f"reading file {name}: records of a checkpoint are not compressed")
            if name in self._entries:
                corrupt(f"reading zip archive: it holds {name} twice")
            self._entries[name] = entry
        if "version" not in self:
            corrupt("locating file version: file not found")
        version = self.read("version").strip()
        if not (version.isdigit() and len(version) < 10):
            corrupt(f"reading file version: {bytes(version[:20])!r} is not a number")
        if int(version) > NEWEST_READABLE_VERSION:
            raise RuntimeError(
                f"Attempted to read a PyTorch file with version {int(version)}, but the maximum "
                f"supported version for reading is {NEWEST_READABLE_VERSION}."
            )

    def __contains__(self, name: str) -> bool:
        return name in self._entries

    def size(self, name: str) -> int:
        """Bytes in a record; RuntimeError if there is no such record."""
        if name not in self._entries:
            corrupt(f"locating file {name}: file not found")
        return self._entries[name].file_size

    def offset(self, name: str) -> int:
        """Where the data of a record starts in the file."""
        self.size(name)
        entry = self._entries[name]
        self._file.seek(entry.header_offset)
        header = self._file.read(LOCAL_HEADER.size)
        if len(header) < LOCAL_HEADER.size or not header.startswith(b"PK\x03\x04"):
            corrupt(f"reading file {name}: its header is not where the directory says")
        *_, name_size, extra_size = LOCAL_HEADER.unpack(header)
        return entry.header_offset + LOCAL_HEADER.size + name_size + extra_size

    def read_into(self, name: str, buffer: memoryview) -> None:
        """Fill `buffer`, whose length is the record's, and check the record's CRC."""
        self._file.seek(self.offset(name))
        position = crc = 0
        while position < len(buffer):
            part = buffer[position : position + CHUNK]
            if hasattr(self._file, "readinto"):
                count = self._file.readinto(part)
            else:
                data = self._file.read(len(part))
                part[: len(data)] = data
                count = len(data)
            if not count:
                corrupt(f"reading file {name}: unexpected end of file")
            crc = zlib.crc32(part[:count], crc)
            position += count
        if crc != self._entries[name].CRC:
            corrupt(f"reading file {name}: CRC-32 check failed")

    def read(self, name: str) -> bytes:
        """A record's data."""
        buffer = bytearray(self.size(name))
        self.read_into(name, memoryview(buffer))
        return bytes(buffer)
