"""A zip file of stored (not compressed) members that can be gone on with after its writer was killed.

The pictures in it are compressed already. Names, order and content decide every byte: there are no times in it. A
member that is being written has no size yet in its header, which is set when it is closed; `Mark` says up to where all
is whole. Layout after PKWARE's APPNOTE 6.3.
"""

import hashlib
import os
import struct
import zlib
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Final, Self

from shared.errors import EmotionEdgeError

_LOCAL: Final = struct.Struct("<IHHHHHIIIHH")
_CENTRAL: Final = struct.Struct("<IHHHHHHIIIHHHHHII")
_END: Final = struct.Struct("<IHHHHIIH")
_END_64: Final = struct.Struct("<IQHHIIQQQQ")
_LOCATOR_64: Final = struct.Struct("<IIQI")
_LOCAL_SIGNATURE: Final = 0x04034B50
_VERSION: Final = 45
_UTF8: Final = 0x0800
_DATE: Final = 0x21
"""1 January 1980, the first day that a zip file knows."""
_SIZES_AT: Final = 14
_MAX_32: Final = 0xFFFFFFFF
_MAX_16: Final = 0xFFFF
_PIECE: Final = 1024 * 1024


class ArchiveDamaged(EmotionEdgeError):
    """What was written of an archive is not as it was; it has to be begun again."""


@dataclass(frozen=True, slots=True)
class Mark:
    """Up to where an archive is whole, and the member that is open there."""

    length: int
    member: str | None


@dataclass(frozen=True, slots=True)
class Member:
    """A closed member."""

    name: str
    offset: int
    size: int
    crc: int
    sha256: bytes


class Archive:
    """Writes one archive. Blocks: for a thread."""

    def __init__(self, path: Path, mark: Mark | None = None) -> None:
        """Begin at `path`, or go on at `mark`.

        Raises:
            ArchiveDamaged: if what is there is not what was written up to the mark.
            OSError: if the file cannot be written.
        """
        self.members: list[Member] = []
        self._name: str | None = None
        self._offset = self._size = self._crc = 0
        self._sha256 = hashlib.sha256()
        self._file: IO[bytes] = path.open("wb" if mark is None else "r+b")
        if mark is not None:
            try:
                self._go_on(mark)
            except BaseException:
                self._file.close()
                raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the file, as it is."""
        self._file.close()

    @property
    def length(self) -> int:
        """How long the file is."""
        return self._file.tell()

    def append(self, name: str, data: bytes) -> None:
        """Add to the member of this name, which is begun where it is not the open one; the one before is closed."""
        if name != self._name:
            self._close_member()
            encoded = name.encode()
            self._name, self._offset = name, self._file.tell()
            self._size = self._crc = 0
            self._sha256 = hashlib.sha256()
            header = _LOCAL.pack(_LOCAL_SIGNATURE, _VERSION, _UTF8, 0, 0, _DATE, 0, 0, 0, len(encoded), 0)
            self._file.write(header + encoded)
        if self._size + len(data) > _MAX_32:
            raise ValueError(f"{name} would be longer than 4 GB, which a member of these archives cannot be")
        self._file.write(data)
        self._account(data)

    def mark(self) -> Mark:
        """All that was added is on the disk when this returns."""
        self._file.flush()
        os.fsync(self._file.fileno())
        return Mark(self._file.tell(), self._name)

    def finish(self) -> None:
        """Close the last member, write the directory, and have all of it on the disk."""
        self._close_member()
        start = self._file.tell()
        for member in self.members:
            self._file.write(_entry(member))
        size = self._file.tell() - start
        count = len(self.members)
        if count > _MAX_16 or start > _MAX_32 or size > _MAX_32:
            self._file.write(_END_64.pack(0x06064B50, 44, _VERSION, _VERSION, 0, 0, count, count, size, start))
            self._file.write(_LOCATOR_64.pack(0x07064B50, 0, start + size, 1))
        short = min(count, _MAX_16)
        self._file.write(_END.pack(0x06054B50, 0, 0, short, short, min(size, _MAX_32), min(start, _MAX_32), 0))
        self.mark()

    def _account(self, data: bytes) -> None:
        self._size += len(data)
        self._crc = zlib.crc32(data, self._crc)
        self._sha256.update(data)

    def _close_member(self) -> None:
        if self._name is None:
            return
        end = self._file.tell()
        self._file.seek(self._offset + _SIZES_AT)
        self._file.write(struct.pack("<III", self._crc, self._size, self._size))
        self._file.seek(end)
        self.members.append(Member(self._name, self._offset, self._size, self._crc, self._sha256.digest()))
        self._name = None

    def _go_on(self, mark: Mark) -> None:
        """Read what was written, from header to header, and stand at the mark."""
        if self._file.seek(0, os.SEEK_END) < mark.length:
            raise ArchiveDamaged(f"the file is shorter than the {mark.length} bytes that were written")
        self._file.truncate(mark.length)
        self._file.seek(0)
        while (at := self._file.tell()) < mark.length:
            header = self._file.read(_LOCAL.size)
            if len(header) < _LOCAL.size:
                raise ArchiveDamaged(f"a header is cut off at byte {at}")
            signature, *_, crc, size, _size, name_length, extra_length = _LOCAL.unpack(header)
            name = self._file.read(name_length).decode(errors="replace")
            if signature != _LOCAL_SIGNATURE or extra_length or not name:
                raise ArchiveDamaged(f"no member begins at byte {at}")
            # A member that was open is the last one; whether its size was set meanwhile does not matter.
            is_open = name == mark.member
            self._name, self._offset = name, at
            self._size = self._crc = 0
            self._sha256 = hashlib.sha256()
            self._read(mark.length - self._file.tell() if is_open else size)
            if not is_open:
                if (self._size, self._crc) != (size, crc):
                    raise ArchiveDamaged(f"{name} is not what was written")
                self.members.append(Member(name, at, size, crc, self._sha256.digest()))
                self._name = None
        if self._name != mark.member:
            raise ArchiveDamaged(f"{mark.member} is not there")

    def _read(self, count: int) -> None:
        while count and (piece := self._file.read(min(count, _PIECE))):
            self._account(piece)
            count -= len(piece)


def _entry(member: Member) -> bytes:
    """A member's line in the directory."""
    far = member.offset > _MAX_32
    extra = struct.pack("<HHQ", 1, 8, member.offset) if far else b""
    name = member.name.encode()
    fields = (0x02014B50, _VERSION, _VERSION, _UTF8, 0, 0, _DATE, member.crc, member.size, member.size)
    offset = _MAX_32 if far else member.offset
    return _CENTRAL.pack(*fields, len(name), len(extra), 0, 0, 0, 0, offset) + name + extra
