"""Faces cut out of kept pictures, to be looked at by people."""

import io
import math
from collections import OrderedDict
from typing import Final, NamedTuple

from PIL import Image, ImageOps

from shared.errors import BadPicture
from shared.jpeg import check_picture
from shared.owned_thread import OwnedThread
from shared.preset import CropSpec
from shared.vision import Box, crop_square

MARGIN: Final = CropSpec(scale=1.6)
"""The whole head and a little around it, which people judge by; models are given less."""
MAX_SIDE: Final = 384
"""Pixels; a larger face is scaled down. A smaller one stays as it is: the browser enlarges it."""
_QUALITY: Final = 88
_CACHE_BYTES: Final = 8 * 1024 * 1024


def _seen_around(box: Box, size: tuple[float, float]) -> tuple[float, float, float, float]:
    """Left, top, right and bottom of the square around a face, as far as it lies in a picture of this size."""
    left, top, side = crop_square(box, MARGIN)
    return max(0, left), max(0, top), min(size[0], left + side), min(size[1], top + side)


class Mark(NamedTuple):
    """Where a face lies in its cut-out: shares of its width and height, from the upper left corner."""

    x: float
    y: float
    w: float
    h: float


def mark_of(box: Box, size: tuple[int, int]) -> Mark | None:
    """Where `box` lies in what `cut_face` cuts of a picture of this (width, height); None where that is nothing."""
    left, top, right, bottom = _seen_around(box, size)
    if right <= left or bottom <= top:
        return None
    x, y, w, h = box
    columns = [min(max((edge - left) / (right - left), 0.0), 1.0) for edge in (x, x + w)]
    rows = [min(max((edge - top) / (bottom - top), 0.0), 1.0) for edge in (y, y + h)]
    return Mark(columns[0], rows[0], columns[1] - columns[0], rows[1] - rows[0])


def cut_face(jpeg: bytes, box: Box) -> bytes:
    """The square around a face as JPEG, as far as it lies within the picture. Blocks: for a thread.

    Args:
        jpeg: the kept picture.
        box: the face in the picture's pixels.

    Raises:
        BadPicture: if the picture cannot be decoded, or the box lies outside it.
    """
    check_picture(jpeg)
    _, _, side = crop_square(box, MARGIN)
    try:
        picture = Image.open(io.BytesIO(jpeg), formats=["JPEG"])
        whole = picture.size
        if side > MAX_SIDE:  # have the decoder do the greater part of the scaling
            picture.draft(None, (math.ceil(whole[0] * MAX_SIDE / side), math.ceil(whole[1] * MAX_SIDE / side)))
        scale = picture.width / whole[0]
        upright = ImageOps.exif_transpose(picture)  # as the detector saw it
    except (OSError, ValueError, SyntaxError) as error:
        raise BadPicture(f"not a readable JPEG ({type(error).__name__})") from error
    x0, y0, x1, y1 = (
        round(edge * scale) for edge in _seen_around(box, (upright.width / scale, upright.height / scale))
    )
    if x1 <= x0 or y1 <= y0:
        raise BadPicture(f"the face at {box} lies outside its picture of {whole[0]}x{whole[1]}")
    face = upright.crop((x0, y0, x1, y1))
    if max(face.size) > MAX_SIDE:
        face.thumbnail((MAX_SIDE, MAX_SIDE), Image.Resampling.BOX)
    if face.mode not in ("L", "RGB"):
        face = face.convert("RGB")
    buffer = io.BytesIO()
    face.save(buffer, "JPEG", quality=_QUALITY)
    return buffer.getvalue()


class FacePictures:
    """Cuts faces on its own thread and remembers the last ones, at most 8 MiB of them.

    Who asks has looked in the database first whether the picture is still there: nothing erased is given from memory.
    """

    def __init__(self, thread: OwnedThread, max_bytes: int = _CACHE_BYTES) -> None:
        self._thread = thread
        self._max_bytes = max_bytes
        self._kept: OrderedDict[str, bytes] = OrderedDict()
        self._bytes = 0

    def remembered(self, key: str) -> bytes | None:
        """A face that was cut before."""
        found = self._kept.get(key)
        if found is not None:
            self._kept.move_to_end(key)
        return found

    async def cut(self, key: str, jpeg: bytes, box: Box) -> bytes:
        """Cut a face and remember it under `key`, which names the picture's bytes and the box.

        Raises:
            BadPicture: as `cut_face`.
        """
        face = await self._thread.submit(cut_face, jpeg, box)
        self._bytes += len(face) - len(self._kept.pop(key, b""))
        self._kept[key] = face
        while self._bytes > self._max_bytes:
            _, oldest = self._kept.popitem(last=False)
            self._bytes -= len(oldest)
        return face
