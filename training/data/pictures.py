"""Pictures of any size and colour as 48x48 grey faces, as the product makes them, with Pillow alone."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Final

import numpy as np
from PIL import Image, ImageOps

from shared.errors import BadPicture
from shared.jpeg import MAX_PIXELS
from shared.vision import Grey, cut_square, grey_of_rgb
from training.data.faces import SIDE

SUFFIXES: Final = (".png", ".jpg", ".jpeg")
_FORMATS: Final = ("PNG", "JPEG")


def to_grey(picture: Image.Image) -> Grey:
    """A decoded picture as ``(H, W)`` uint8, upright, as OpenCV turns it grey; what is transparent counts in full."""
    upright = ImageOps.exif_transpose(picture)
    if upright.mode.startswith("I"):  # 16 bits, which Pillow would cut off at 255 instead of scaling
        grey: Grey = np.clip(np.asarray(upright).astype(np.int64) >> 8, 0, 255).astype(np.uint8)
        return grey
    if upright.mode in ("1", "L", "LA"):
        return np.asarray(upright.convert("L"))
    return grey_of_rgb(np.asarray(upright.convert("RGB")))


def to_face(grey: Grey) -> Grey:
    """``(48, 48)``: the square of the same area around the middle, never squeezed, as the product cuts a box."""
    if grey.shape == (SIDE, SIDE):
        return grey
    height, width = grey.shape
    side = float(np.sqrt(width * height))
    return cut_square(grey, ((width - side) / 2, (height - side) / 2, side), (SIDE, SIDE))


def read_picture(path: Path) -> Grey:
    """The face in a PNG or JPEG file, ``(48, 48)`` uint8.

    Raises:
        BadPicture: if it cannot be read, is damaged, or has more pixels than the product accepts.
    """
    if not path.is_file():
        raise BadPicture("is not a file")
    try:
        with warnings.catch_warnings():
            # Pillow warns of what would take much memory; the limit below is stricter.
            warnings.simplefilter("ignore")
            with Image.open(path, formats=_FORMATS) as picture:
                grey = to_grey(picture) if picture.width * picture.height <= MAX_PIXELS else None
    except Image.DecompressionBombError:
        grey = None
    except Exception as error:  # damaged files make Pillow's decoders raise nearly anything
        cut_off = isinstance(error, OSError) and "truncated" in str(error)
        what = "is cut off" if cut_off else "is not a readable PNG or JPEG"
        raise BadPicture(f"{what} ({type(error).__name__})") from error
    if grey is None:
        raise BadPicture(f"has more than {MAX_PIXELS} pixels")
    return to_face(grey)
