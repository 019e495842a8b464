"""Formats of archives: what they list, and how the content of a member is read.

Each format has `entries(file)`, which yields what an archive lists, and `read(file, member)`, for
which the position in the file does not matter.
"""

import bz2
import gzip
import io
import lzma
import os
import stat
import struct
import tarfile
import zipfile
import zlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from spectralvision.data.image_files import check_file_size, open_regular_file
from spectralvision.runs import UserError, format_bytes

UNPACKERS: dict[str, Callable[[BinaryIO], Any]] = {
    ".tar.gz": gzip.open,
    ".tgz": gzip.open,
    ".tar.xz": lzma.open,
    ".txz": lzma.open,
    ".tar.bz2": bz2.open,
    ".tbz2": bz2.open,
}
"""Suffix of compressed tar archives -> what opens them."""
SUFFIXES = (".zip", ".tar", *UNPACKERS)

MAX_UNPACKED_BYTES = 2**30
"""Of a compressed tar archive, which is unpacked in memory as it has no random access."""
MAX_RATIO = 200
"""How many times larger than compressed a member of a zip archive, or all of them, may be."""
MIN_BOMB_BYTES = 2**24
"""Below this, members may be compressed any number of times."""

LOCAL_HEADER = struct.Struct("<4s22xHH")
"""Of a member in a zip archive: signature, length of its name, length of the extra field."""
TAR_BLOCK_BYTES = 512


class Member(NamedTuple):
    """Where the content of a file is."""

    start: int
    """Byte of the archive: of the content in a tar, of the local header in a zip."""
    size: int
    packed: int = 0
    """Bytes in a zip archive."""
    crc: int = 0
    is_deflated: bool = False


class Entry(NamedTuple):
    """What an archive lists."""

    name: str
    member: Member | None
    """None for anything but a file."""
    kind: str = "a file"
    """`a file`, `a folder`, or a few words about what is not read."""


class ArchiveFormat(ABC):
    """How an archive is read.

    Args:
        path: Of the archive.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    @abstractmethod
    def entries(self, file: BinaryIO) -> Iterator[Entry]:
        """Yield what the archive lists."""

    @abstractmethod
    def read(self, file: BinaryIO, member: Member) -> bytes:
        """Return the content of a member.

        Raises:
            ValueError: It is damaged, too large, or compressed too many times.
        """


class ZipFormat(ArchiveFormat):
    """A zip archive whose members are stored or deflated, without a password."""

    def entries(self, file: BinaryIO) -> Iterator[Entry]:
        size = 0
        file_size = os.fstat(file.fileno()).st_size
        with zipfile.ZipFile(file) as archive:
            for info in archive.infolist():
                if not 0 <= info.header_offset <= file_size - info.compress_size:
                    raise ValueError(f"{info.filename} is outside of the file")
                yield self._describe(info)
                size += info.file_size
        if _is_bomb(size, file_size):
            raise UserError(
                f"{self.path} unpacks to {format_bytes(size)}, more than {MAX_RATIO} times its "
                "size: unpack it, and give the folder."
            )

    def _describe(self, info: zipfile.ZipInfo) -> Entry:
        name = info.filename
        if info.create_system == 0:  # of Windows
            name = name.replace("\\", "/")
        mode = info.external_attr >> 16
        if name.endswith("/"):
            return Entry(name, None, "a folder")
        if stat.S_IFMT(mode) not in (0, stat.S_IFREG):
            return Entry(name, None, "a link" if stat.S_ISLNK(mode) else "a device or pipe")
        if info.flag_bits & 1:
            raise UserError(f"{self.path} is encrypted: pack it again without a password.")
        if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise UserError(
                f"{self.path} has {name} in zip's compression method {info.compress_type}, but "
                "only deflate is read: pack it again with `zip -r`."
            )
        is_deflated = info.compress_type == zipfile.ZIP_DEFLATED
        return Entry(
            name,
            Member(info.header_offset, info.file_size, info.compress_size, info.CRC, is_deflated),
        )

    def read(self, file: BinaryIO, member: Member) -> bytes:
        # 1. The bytes of the member, after its local header
        check_file_size(member.packed)
        if _is_bomb(member.size, member.packed):
            raise ValueError(f"compressed more than {MAX_RATIO} times")
        header = os.pread(file.fileno(), LOCAL_HEADER.size, member.start)
        signature, *lengths = LOCAL_HEADER.unpack(header.ljust(LOCAL_HEADER.size, b"\0"))
        start = member.start + LOCAL_HEADER.size + sum(lengths)
        content = os.pread(file.fileno(), member.packed, start)

        # 2. Unpack no more than the archive says that there is
        if member.is_deflated:
            unpacker = zlib.decompressobj(-zlib.MAX_WBITS)
            try:
                content = unpacker.decompress(content, member.size + 1)
            except zlib.error as error:
                raise ValueError("damaged in the archive") from error
        is_right = signature == b"PK\3\4" and len(content) == member.size
        if not is_right or zlib.crc32(content) != member.crc:
            raise ValueError("damaged in the archive")
        return content


class TarFormat(ArchiveFormat):
    """A tar archive that is not compressed."""

    def entries(self, file: BinaryIO) -> Iterator[Entry]:
        with tarfile.open(
            fileobj=file, mode="r:", encoding="utf-8", errors="surrogateescape"
        ) as tar:
            start = -1
            while (info := tar.next()) is not None:
                tar.members.clear()  # type: ignore[attr-defined]  # it keeps all
                if info.size < 0 or info.offset <= start:
                    raise ValueError("its members overlap")
                start = info.offset
                yield self._describe(info)
            end = tar.offset
        file.seek(end)
        if file.read(TAR_BLOCK_BYTES) != bytes(TAR_BLOCK_BYTES):  # tarfile takes it for the end
            raise ValueError(f"neither a member nor the end at byte {end}")

    def _describe(self, info: tarfile.TarInfo) -> Entry:
        if info.isdir():
            return Entry(info.name, None, "a folder")
        if info.issym() or info.islnk():
            return Entry(info.name, None, "a link")
        if not info.isreg():
            return Entry(info.name, None, "a device or pipe")
        if info.issparse():
            return Entry(info.name, None, "a sparse file")
        return Entry(info.name, Member(info.offset_data, info.size))

    def read(self, file: BinaryIO, member: Member) -> bytes:
        content = os.pread(file.fileno(), member.size, member.start)
        if len(content) < member.size:
            raise ValueError("cut off in the archive")
        return content


class CompressedTarFormat(TarFormat):
    """A compressed tar archive, unpacked in memory."""

    def entries(self, file: BinaryIO) -> Iterator[Entry]:
        self._content = self._unpack(file)
        if len(self._content) > MAX_UNPACKED_BYTES:
            raise UserError(
                f"{self.path} unpacks to more than {format_bytes(MAX_UNPACKED_BYTES)}, which is "
                "too much for memory: pack it as .zip, or as .tar without compression."
            )
        yield from super().entries(io.BytesIO(self._content))

    def _unpack(self, file: BinaryIO) -> bytes:
        suffix = next(suffix for suffix in UNPACKERS if self.path.name.lower().endswith(suffix))
        with UNPACKERS[suffix](file) as stream:
            content: bytes = stream.read(MAX_UNPACKED_BYTES + 1)
        return content

    def read(self, file: BinaryIO, member: Member) -> bytes:
        return self._content[member.start : member.start + member.size]

    def __getstate__(self) -> dict[str, Any]:
        # A spawned worker unpacks the archive itself
        return {key: value for key, value in self.__dict__.items() if key != "_content"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        with open_regular_file(self.path, any_size=True) as file:
            self._content = self._unpack(file)


def is_archive(path: Path) -> bool:
    """Return whether the name of a file is that of an archive that can be read."""
    return path.name.lower().endswith(SUFFIXES)


def name_of_archive(path: Path) -> str:
    """Return the name of an archive without its suffix."""
    suffix = next(suffix for suffix in SUFFIXES if path.name.lower().endswith(suffix))
    return path.name[: -len(suffix)] or path.name


def find_format(path: Path) -> ArchiveFormat:
    """Return the format of an archive by its suffix, one of `SUFFIXES`."""
    name = path.name.lower()
    if name.endswith(".zip"):
        return ZipFormat(path)
    return TarFormat(path) if name.endswith(".tar") else CompressedTarFormat(path)


def _is_bomb(size: int, packed: int) -> bool:
    return size > max(MIN_BOMB_BYTES, MAX_RATIO * packed)
