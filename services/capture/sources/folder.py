"""A folder of pictures, in the order of their names."""

import re
from pathlib import Path
from typing import Final

import cv2
import numpy as np

from services.capture.frames import Reading, SourceTrouble
from services.capture.headers import size_of
from shared.errors import BadPicture
from shared.jpeg import SOI
from shared.messages import Source

SUFFIXES: Final = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".webp"})
_MAX_FILE_BYTES: Final = 64 * 1024 * 1024


class FolderSource:
    """The pictures of a folder, without its subfolders, at `fps`. JPEGs up to `max_width` are passed through."""

    live = False

    def __init__(self, folder: Path, name: str, *, fps: float, loop: bool, max_width: int) -> None:
        self.source = Source(kind="folder", name=name)
        try:
            found = [path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES and path.is_file()]
        except OSError as error:
            raise SourceTrouble(
                f"The folder {folder} cannot be read", error.strerror or str(error), "Check its permissions"
            ) from None
        if not found:
            raise SourceTrouble(
                f"The folder {folder} has no pictures",
                f"no file in it ends with {', '.join(sorted(SUFFIXES))}",
                "Put pictures into it, or give another folder",
            )
        self._paths = sorted(found, key=_natural)
        self._step_s = 1 / fps
        self._loop = loop
        self._max_width = max_width
        self._next = 0

    def read(self) -> Reading | None:
        """The next picture; None after the last."""
        if self._next >= len(self._paths) and not self._loop:
            return None
        path = self._paths[self._next % len(self._paths)]
        at_s = self._next * self._step_s
        self._next += 1
        data = _bytes_of(path)
        try:
            width, _ = size_of(data)
        except BadPicture as error:
            raise BadPicture(f"{path.name}: {error}") from None
        if data.startswith(SOI) and width <= self._max_width:
            return Reading(data, at_s)
        pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
        if pixels is None:
            raise BadPicture(f"{path.name}: damaged, it cannot be decoded")
        return Reading(np.asarray(pixels, np.uint8), at_s)

    def abort(self) -> None:
        """Files do not keep a reader waiting."""

    def close(self) -> None:
        """Nothing is held open."""


def _bytes_of(path: Path) -> bytes:
    try:
        size = path.stat().st_size
        if size > _MAX_FILE_BYTES:
            raise BadPicture(f"{path.name}: file of {size} bytes; at most {_MAX_FILE_BYTES} are accepted")
        return path.read_bytes()
    except OSError as error:
        raise BadPicture(f"{path.name}: cannot be read, {error.strerror or error}") from None


def _natural(path: Path) -> list[tuple[int, str]]:
    """Orders frame2.jpg before frame10.jpg."""
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"([0-9]+)", path.name.lower())]
