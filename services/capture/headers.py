"""The size that a picture file says it has, read before a decoder is let near it. Pure.

PNG after ISO/IEC 15948, BMP after its BITMAPINFOHEADER, WebP after RFC 9649.
"""

import struct

from shared.errors import BadPicture
from shared.jpeg import MAX_PIXELS, SOI, picture_size


def size_of(data: bytes) -> tuple[int, int]:
    """Width and height in pixels of a JPEG, PNG, BMP or WebP.

    Raises:
        BadPicture: if it is none of them, is cut off, or has more pixels than are accepted.
    """
    try:
        width, height = _size_of(data)
    except struct.error:
        raise BadPicture(f"damaged picture: cut off after {len(data)} bytes") from None
    if width <= 0 or height <= 0:
        raise BadPicture(f"damaged picture: its size is {width}x{height}")
    if width * height > MAX_PIXELS:
        raise BadPicture(f"picture of {width}x{height} pixels; at most {MAX_PIXELS} pixels are accepted")
    return width, height


def _size_of(data: bytes) -> tuple[int, int]:
    if data.startswith(SOI):
        return picture_size(data)
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        width, height = struct.unpack_from(">II", data, 16)
        return width, height
    if data.startswith(b"BM"):
        width, height = struct.unpack_from("<ii", data, 18)
        return width, abs(height)
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return _webp_size(data)
    raise BadPicture(f"neither JPEG, PNG, BMP nor WebP: it begins with {data[:4].hex() or 'nothing'}")


def _webp_size(data: bytes) -> tuple[int, int]:
    kind = data[12:16]
    if kind == b"VP8 ":
        width, height = struct.unpack_from("<HH", data, 26)
        return width & 0x3FFF, height & 0x3FFF
    if kind == b"VP8L":
        (bits,) = struct.unpack_from("<I", data, 21)
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    if kind == b"VP8X":
        low = struct.unpack_from("<HBHB", data, 24)
        return (low[0] | low[1] << 16) + 1, (low[2] | low[3] << 16) + 1
    raise BadPicture(f"damaged WebP: unknown part {kind!r}")
