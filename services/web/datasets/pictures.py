"""Cutting faces out of kept pictures, and turning them into what exports hold. Blocks: for a thread."""

import hashlib
import io
from dataclasses import dataclass
from typing import Final

import numpy as np
from PIL import Image

from services.web.datasets.likeness import fingerprint
from shared.errors import BadPicture
from shared.jpeg import check_picture
from shared.preset import FER2013_CROP
from shared.vision import Box, Grey, crop_square, cut_square, grey_of_rgb

MAX_SIDE: Final = 256
"""Pixels; a larger face is scaled down to this, which is five times what the models look at."""
FER2013_SIDE: Final = 48


@dataclass(frozen=True, slots=True)
class Cut:
    """A face with its margin."""

    png: bytes
    width: int
    height: int
    fingerprint: int


@dataclass(frozen=True, slots=True)
class Glance:
    """A face as far as copies matter."""

    pixels: bytes
    """The same only for faces whose `Cut` has the same pixels."""
    fingerprint: int


def decode(jpeg: bytes) -> Image.Image:
    """A kept picture, grey where it is grey, else red, green and blue.

    Raises:
        BadPicture: if it cannot be decoded.
    """
    check_picture(jpeg)
    try:
        picture = Image.open(io.BytesIO(jpeg), formats=["JPEG"])
        return picture if picture.mode == "L" else picture.convert("RGB")
    except (OSError, ValueError, SyntaxError) as error:
        raise BadPicture(f"not a readable JPEG ({type(error).__name__})") from error


def cut_face(picture: Image.Image, box: Box) -> Cut:
    """The square around a face that training expects, in the picture's own pixels and colours.

    Parts outside the picture repeat its border.
    """
    face = _square(picture, box)
    buffer = io.BytesIO()
    face.save(buffer, "PNG")
    return Cut(buffer.getvalue(), face.width, face.height, fingerprint(grey_of(face)))


def glance(picture: Image.Image, box: Box) -> Glance:
    """What `cut_face` would be compared by, at a fraction of its time: to write PNG takes most of that."""
    face = _square(picture, box)
    pixels = f"{face.mode} {face.width} {face.height} ".encode() + face.tobytes()
    return Glance(hashlib.sha256(pixels).digest(), fingerprint(grey_of(face)))


def _square(picture: Image.Image, box: Box) -> Image.Image:
    left, top, side = (round(value) for value in crop_square(box, FER2013_CROP))
    side = max(side, 1)
    across = np.clip(np.arange(left, left + side), 0, picture.width - 1)
    down = np.clip(np.arange(top, top + side), 0, picture.height - 1)
    # Only the part that is needed is made an array of.
    x0, y0 = int(across[0]), int(down[0])
    part = np.asarray(picture.crop((x0, y0, int(across[-1]) + 1, int(down[-1]) + 1)))
    square = part[down - y0][:, across - x0]
    face = Image.fromarray(square)
    if side > MAX_SIDE:
        face = face.resize((MAX_SIDE, MAX_SIDE), Image.Resampling.BOX)
    return face


def grey_of(picture: Image.Image) -> Grey:
    """(H, W) uint8."""
    pixels = np.asarray(picture)
    return pixels if pixels.ndim == 2 else grey_of_rgb(pixels)


def fer2013_face(png: bytes) -> Grey:
    """A dataset's face as FER2013 has its: (48, 48) uint8, grey."""
    with Image.open(io.BytesIO(png), formats=["PNG"]) as picture:
        grey = grey_of(picture)
    return cut_square(grey, (0, 0, grey.shape[0]), (FER2013_SIDE, FER2013_SIDE))
