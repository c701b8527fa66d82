"""Cameras that the system knows: USB and built-in ones, by OpenCV."""

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, Protocol

import cv2
import numpy as np

from services.capture.frames import Reading, SourceTrouble
from shared.jpeg import SOI
from shared.messages import Source

_MJPEG: Final = cv2.VideoWriter.fourcc(*"MJPG")


class Capture(Protocol):
    """What is used of cv2.VideoCapture."""

    def isOpened(self) -> bool: ...  # noqa: N802 - OpenCV's name
    def set(self, prop: int, value: float, /) -> bool: ...
    def get(self, prop: int, /) -> float: ...
    def read(self) -> tuple[bool, Any]: ...
    def release(self) -> None: ...


def _open_capture(device: int | str) -> Capture:
    return cv2.VideoCapture(device, cv2.CAP_V4L2 if sys.platform == "linux" else cv2.CAP_ANY)


class CameraSource:
    """A camera. Its own JPEGs are passed through where it makes them; else its pixels are given."""

    live = True

    def __init__(
        self,
        device: str,
        name: str,
        *,
        width: int,
        height: int,
        fps: float,
        open_capture: Callable[[int | str], Capture] = _open_capture,
        devices: Path = Path("/dev"),
    ) -> None:
        self.source = Source(kind="camera", name=name)
        if sys.platform == "linux":
            _check_device(devices / f"video{int(device)}" if device.isdigit() else Path(device), name)
        self._capture = open_capture(int(device) if device.isdigit() else device)
        try:
            self._check_open()
            self._ask_for(width, height, fps)
        except BaseException:
            self._capture.release()
            raise

    def read(self) -> Reading:
        """The next frame: the camera's JPEG, or pixels."""
        data = self._grab()
        return Reading(data.tobytes() if self._is_jpeg else np.asarray(data, np.uint8))

    def abort(self) -> None:
        """A driver cannot be interrupted; V4L2 gives up by itself after some seconds."""

    def close(self) -> None:
        """Release the camera."""
        self._capture.release()

    def _check_open(self) -> None:
        if not self._capture.isOpened():
            raise SourceTrouble(
                f"{self.source.name} cannot be opened",
                "another program may be using it, or it is not a camera that gives pictures",
                "Close other programs that use it, or give another --source; `v4l2-ctl --list-devices` lists them",
            )

    def _ask_for(self, width: int, height: int, fps: float) -> None:
        capture = self._capture
        capture.set(cv2.CAP_PROP_FOURCC, _MJPEG)  # before the size: drivers offer large sizes in this format only
        capture.set(cv2.CAP_PROP_FRAME_WIDTH, width)
        capture.set(cv2.CAP_PROP_FRAME_HEIGHT, height)
        capture.set(cv2.CAP_PROP_FPS, fps)
        self._is_jpeg = False
        if int(capture.get(cv2.CAP_PROP_FOURCC)) == _MJPEG and capture.set(cv2.CAP_PROP_CONVERT_RGB, 0):
            data = self._grab()
            self._is_jpeg = data.dtype == np.uint8 and data.tobytes()[:2] == SOI
        if not self._is_jpeg:
            capture.set(cv2.CAP_PROP_CONVERT_RGB, 1)

    def _grab(self) -> Any:
        done, data = self._capture.read()
        if not done or data is None:
            raise SourceTrouble(
                f"{self.source.name} gives no pictures",
                "it was unplugged, lost power, or another program took it",
                "Check its cable; it is opened again by itself",
            )
        return data


def _check_device(path: Path, name: str) -> None:
    if not path.exists():
        found = sorted(item.name for item in path.parent.glob("video*")) if path.parent.is_dir() else []
        raise SourceTrouble(
            f"There is no {name}",
            f"{path} does not exist; found: {', '.join(found) or 'no camera at all'}",
            "Plug it in, or give another --source; in a container, pass the device in",
        )
    if not os.access(path, os.R_OK | os.W_OK):
        raise SourceTrouble(
            f"{name} may not be used",
            f"this program's user may not read {path}",
            "Add the user to group video: `sudo usermod -aG video $USER`, then log in again",
        )
