"""From what a source gave to a plain JPEG that any viewer shows. Runs on the source's thread."""

import functools
from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np

from services.capture.frames import Pixels
from shared.errors import BadPicture
from shared.jpeg import EOI, MAX_PIXELS, SOI, check_picture

MIN_SIDE: Final = 16
"""Pixels; no face can be seen in less."""
_DHT: Final = b"\xff\xc4"
_SOS: Final = b"\xff\xda"


@dataclass(frozen=True, slots=True)
class Prepared:
    """A JPEG that is fit to be sent, its size in pixels, and whether it is the source's own."""

    jpeg: bytes
    width: int
    height: int
    passthrough: bool


class Preparer:
    """Checks JPEGs without decoding them; encodes pixels, scaled down to `max_width`."""

    def __init__(self, max_width: int, quality: int) -> None:
        self._max_width = max_width
        self._quality = quality

    def __call__(self, data: bytes | Pixels) -> Prepared:
        """Make one frame ready.

        Raises:
            BadPicture: not a JPEG, cut off, or with a size that is not accepted.
        """
        if isinstance(data, bytes):
            jpeg = whole_jpeg(data)
            width, height = check_picture(jpeg)
            _check_sides(width, height)
            return Prepared(jpeg, width, height, passthrough=True)
        pixels = self._fitted(data)
        return Prepared(encode(pixels, self._quality), pixels.shape[1], pixels.shape[0], passthrough=False)

    def _fitted(self, pixels: Pixels) -> Pixels:
        if pixels.dtype != np.uint8 or pixels.ndim not in (2, 3):
            raise BadPicture(f"expected 8-bit pixels (H, W, 3), got shape {pixels.shape} of {pixels.dtype}")
        height, width = pixels.shape[:2]
        if width * height > MAX_PIXELS:
            raise BadPicture(f"picture of {width}x{height} pixels; at most {MAX_PIXELS} pixels are accepted")
        _check_sides(width, height)
        if pixels.ndim == 3 and pixels.shape[2] == 4:
            pixels = np.ascontiguousarray(pixels[:, :, :3])
        if width <= self._max_width:
            return pixels
        size = (self._max_width, max(MIN_SIDE, round(height * self._max_width / width)))
        return np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), np.uint8)


def encode(pixels: Pixels, quality: int) -> bytes:
    """`pixels` as a baseline JPEG.

    Raises:
        BadPicture: if OpenCV cannot encode it.
    """
    try:
        done, jpeg = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, quality])
    except cv2.error as error:
        raise BadPicture(f"picture of shape {pixels.shape} cannot be encoded: {error.err}") from None
    if not done:
        raise BadPicture(f"picture of shape {pixels.shape} cannot be encoded")
    return jpeg.tobytes()


def whole_jpeg(data: bytes) -> bytes:
    """`data` as a complete JPEG: without a camera's padding behind it, with the Huffman tables it may leave out.

    Motion JPEG allows frames without tables (they are then those of ITU-T T.81, annex K.3); browsers do not.

    Raises:
        BadPicture: if it is not a JPEG or its end is missing.
    """
    if not data.startswith(SOI):
        raise BadPicture(f"not a JPEG: it begins with {data[:4].hex() or 'nothing'}, expected ffd8")
    end = data.rfind(EOI)
    if end < 0:
        raise BadPicture(f"damaged JPEG: cut off after {len(data)} bytes")
    jpeg = data[: end + len(EOI)] if end + len(EOI) < len(data) else data
    tables, scan = _tables_and_scan(jpeg)
    if scan is not None and not tables:
        return jpeg[:scan] + _standard_tables() + jpeg[scan:]
    return jpeg


def _tables_and_scan(jpeg: bytes) -> tuple[list[bytes], int | None]:
    """The Huffman table segments before the first scan, and where that begins; None where the header is damaged."""
    tables: list[bytes] = []
    at = 2
    while at + 4 <= len(jpeg) and jpeg[at] == 0xFF:
        marker = jpeg[at : at + 2]
        if marker == _SOS:
            return tables, at
        if marker == b"\xff\xff":  # fill byte
            at += 1
            continue
        end = at + 2 + int.from_bytes(jpeg[at + 2 : at + 4], "big")
        if marker == _DHT:
            tables.append(jpeg[at:end])
        at = end
    return tables, None


@functools.cache
def _standard_tables() -> bytes:
    """The segments of annex K.3's tables, which libjpeg writes when it is not told to optimise."""
    jpeg = encode(np.zeros((MIN_SIDE, MIN_SIDE, 3), np.uint8), 50)
    return b"".join(_tables_and_scan(jpeg)[0])


def _check_sides(width: int, height: int) -> None:
    if min(width, height) < MIN_SIDE:
        raise BadPicture(f"picture of {width}x{height} pixels; at least {MIN_SIDE}x{MIN_SIDE} are needed to see a face")
