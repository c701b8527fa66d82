"""JPEG bytes without decoding them: size, wholeness, comment segments, splitting a stream. Pure.

Marker layout after ITU-T T.81, annex B.
"""

import re
import struct
from typing import Final

from shared.errors import BadPicture

SOI: Final = b"\xff\xd8"
EOI: Final = b"\xff\xd9"
_COM: Final = 0xFE
_SOS: Final = 0xDA
_SOF: Final = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_STANDALONE: Final = frozenset({0x01, *range(0xD0, 0xD8)})
_MAX_COMMENT: Final = 65533
MAX_JPEG_BYTES: Final = 8 * 1024 * 1024
MAX_PIXELS: Final = 4096 * 4096
"""Accepted before a decoder is let near the bytes: 16 megapixels."""
MAX_SEGMENTS: Final = 1000
"""Before the first scan. A colour profile and maker's notes take some 300 at most; a million takes seconds to read."""
MAX_SCANS: Final = 100
"""Progressive pictures have ten. A decoder goes over all pixels for each, so a small file could keep it for long."""
_MARKER_IN_SCAN: Final = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]", re.DOTALL)
"""What ends entropy-coded data: neither a stuffed byte, nor a restart, nor fill."""


def _segments(jpeg: bytes) -> list[tuple[int, int, int]]:
    """(marker, start of its 0xFF, end) of each segment before the first scan."""
    if not jpeg.startswith(SOI):
        raise BadPicture(f"not a JPEG: it begins with {jpeg[:4].hex() or 'nothing'}, expected ffd8")
    found: list[tuple[int, int, int]] = []
    at, steps = 2, 0
    while at + 4 <= len(jpeg):
        if jpeg[at] != 0xFF:
            raise BadPicture(f"damaged JPEG: no marker at byte {at}")
        marker = jpeg[at + 1]
        steps += 1
        if steps > MAX_SEGMENTS:
            raise BadPicture(f"damaged JPEG: more than {MAX_SEGMENTS} segments before its picture data")
        if marker == 0xFF:  # fill byte
            at += 1
            continue
        if marker in _STANDALONE:
            at += 2
            continue
        (length,) = struct.unpack_from(">H", jpeg, at + 2)
        end = at + 2 + length
        if length < 2 or end > len(jpeg):
            raise BadPicture(f"damaged JPEG: the segment at byte {at} is cut off")
        found.append((marker, at, end))
        if marker == _SOS:
            return found
        at = end
    raise BadPicture("damaged JPEG: it has no picture data")


def picture_size(jpeg: bytes) -> tuple[int, int]:
    """Width and height in pixels, read from the header.

    Raises:
        BadPicture: if it is not a JPEG, is cut off before its picture data, or has no size.
    """
    sizes = [
        struct.unpack_from(">HH", jpeg, start + 5)
        for marker, start, end in _segments(jpeg)
        if marker in _SOF and end - start >= 10
    ]
    if len(sizes) != 1:
        raise BadPicture(f"damaged JPEG: it says its size {len(sizes)} times, expected once")
    height, width = sizes[0]
    if width == 0 or height == 0:
        raise BadPicture(f"damaged JPEG: its size is {width}x{height}")
    return width, height


def check_picture(jpeg: bytes, *, max_bytes: int = MAX_JPEG_BYTES, max_pixels: int = MAX_PIXELS) -> tuple[int, int]:
    """Refuse what must not reach a decoder, or a table; return width and height.

    Raises:
        BadPicture: not a JPEG, too many bytes, too many pixels or scans, or cut off: decoders fill what is missing
            with grey and call it a success.
    """
    if len(jpeg) > max_bytes:
        raise BadPicture(f"picture of {len(jpeg)} bytes; at most {max_bytes} are accepted")
    width, height = picture_size(jpeg)
    if width * height > max_pixels:
        raise BadPicture(f"picture of {width}x{height} pixels; at most {max_pixels} pixels are accepted")
    _check_scans(jpeg, _segments(jpeg)[-1][2])
    return width, height


def _check_scans(jpeg: bytes, at: int) -> None:
    """Go from marker to marker, from the end of the first scan's header to the end of the picture."""
    scans = segments = 1
    while (found := _MARKER_IN_SCAN.search(jpeg, at)) is not None:
        marker, start = jpeg[found.start() + 1], found.start()
        if marker == EOI[1]:
            return
        if marker in _SOF or marker == SOI[1]:
            raise BadPicture(f"damaged JPEG: a second picture begins inside it, at byte {start}")
        scans += marker == _SOS
        segments += 1
        if scans > MAX_SCANS or segments > MAX_SEGMENTS:
            raise BadPicture(f"JPEG of more than {MAX_SCANS} scans; at most that many are accepted")
        at = start + 2
        if marker in _STANDALONE:
            continue
        length = int.from_bytes(jpeg[at : at + 2], "big")
        if length < 2:
            raise BadPicture(f"damaged JPEG: the segment at byte {start} is cut off")
        at += length
    raise BadPicture(f"damaged JPEG: it is cut off after {len(jpeg)} bytes, it has no end marker")


def read_comment(jpeg: bytes) -> bytes | None:
    """The first comment segment's bytes, or None where there is none.

    Raises:
        BadPicture: if the header is damaged.
    """
    for marker, start, end in _segments(jpeg):
        if marker == _COM:
            return jpeg[start + 4 : end]
    return None


def with_comment(jpeg: bytes, comment: bytes) -> bytes:
    """`jpeg` with `comment` as its only comment segment, directly after the start marker. Pixels are untouched.

    Raises:
        BadPicture: if the header is damaged or the comment is longer than a segment holds (65,533 bytes).
    """
    if len(comment) > _MAX_COMMENT:
        raise BadPicture(f"comment of {len(comment)} bytes; a JPEG segment holds {_MAX_COMMENT}")
    parts = [SOI, b"\xff\xfe", struct.pack(">H", len(comment) + 2), comment]
    at = 2
    for marker, start, end in _segments(jpeg):
        if marker == _COM:
            parts.append(jpeg[at:start])
            at = end
    parts.append(jpeg[at:])
    return b"".join(parts)


class JpegSplitter:
    """Cuts a byte stream of JPEGs, one behind the other, into pictures; what lies between them is skipped.

    The end is the first end marker outside a segment, so a thumbnail inside a picture does not cut it short.
    """

    def __init__(self, max_bytes: int = MAX_JPEG_BYTES) -> None:
        self._buffer = bytearray()
        self._max_bytes = max_bytes
        self.skipped_bytes = 0

    def feed(self, data: bytes) -> list[bytes]:
        """Add bytes; return the pictures that are complete now, in order."""
        self._buffer += data
        pictures: list[bytes] = []
        while True:
            start = self._buffer.find(SOI)
            if start < 0:
                keep = 1 if self._buffer.endswith(b"\xff") else 0
                self._drop(len(self._buffer) - keep)
                return pictures
            self._drop(start)
            end = self._end()
            if end is None:
                if len(self._buffer) > self._max_bytes:
                    self._drop(len(SOI))
                    continue
                return pictures
            if end < 0:
                self._drop(len(SOI))
                continue
            pictures.append(bytes(self._buffer[:end]))
            del self._buffer[:end]

    def _drop(self, count: int) -> None:
        self.skipped_bytes += count
        del self._buffer[:count]

    def _end(self) -> int | None:
        """Where the picture at the buffer's start ends; None if not here yet; -1 if it is damaged."""
        buffer, at = self._buffer, 2
        while True:
            if at + 2 > len(buffer):
                return None
            if buffer[at] != 0xFF:
                return -1
            marker = buffer[at + 1]
            if marker == 0xFF:
                at += 1
                continue
            if marker == 0xD9:
                return at + 2
            if marker in _STANDALONE:
                at += 2
                continue
            if at + 4 > len(buffer):
                return None
            (length,) = struct.unpack_from(">H", buffer, at + 2)
            if length < 2:
                return -1
            at += 2 + length
            if marker == _SOS:
                found = self._after_scan(at)
                if found is None:
                    return None
                at = found

    def _after_scan(self, at: int) -> int | None:
        """The next real marker behind entropy-coded data (0xFF00 and restart markers are part of it)."""
        buffer = self._buffer
        while True:
            at = buffer.find(b"\xff", at)
            if at < 0 or at + 2 > len(buffer):
                return None
            if buffer[at + 1] == 0x00 or 0xD0 <= buffer[at + 1] <= 0xD7:
                at += 2
                continue
            return at
