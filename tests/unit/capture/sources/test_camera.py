"""Cameras; the hardware is the one thing that is not real here."""

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from services.capture.frames import SourceTrouble
from services.capture.sources.camera import CameraSource


class FakeCapture:
    """A camera as cv2.VideoCapture shows it: with or without Motion JPEG."""

    def __init__(self, jpeg: bytes, *, motion_jpeg: bool, opened: bool = True, honest: bool = True) -> None:
        self.props: dict[int, float] = {cv2.CAP_PROP_CONVERT_RGB: 1}
        self.order: list[int] = []
        self.released = False
        self.unplugged = False
        self._jpeg = jpeg
        self._motion_jpeg = motion_jpeg
        self._opened = opened
        self._honest = honest

    def isOpened(self) -> bool:  # noqa: N802 - OpenCV's name
        return self._opened

    def set(self, prop: int, value: float, /) -> bool:
        self.order.append(prop)
        if prop == cv2.CAP_PROP_FOURCC and not self._motion_jpeg:
            return False
        self.props[prop] = value
        return True

    def get(self, prop: int, /) -> float:
        return self.props.get(prop, 0.0)

    def read(self) -> tuple[bool, Any]:
        if self.unplugged:
            return False, None
        if not self.props[cv2.CAP_PROP_CONVERT_RGB] and self._honest:
            return True, np.frombuffer(self._jpeg, np.uint8).reshape(1, -1)
        return True, np.zeros((48, 64, 3), np.uint8)

    def release(self) -> None:
        self.released = True


def camera(capture: FakeCapture, devices: Path) -> CameraSource:
    (devices / "video0").touch()
    return CameraSource("0", "camera 0", width=640, height=360, fps=15, open_capture=lambda _: capture, devices=devices)


def test_a_cameras_own_jpegs_are_passed_through(tmp_path: Path, jpeg: bytes) -> None:
    capture = FakeCapture(jpeg, motion_jpeg=True)
    source = camera(capture, tmp_path)
    assert source.read().data == jpeg
    assert capture.props[cv2.CAP_PROP_FRAME_WIDTH] == 640
    assert capture.props[cv2.CAP_PROP_FPS] == 15
    assert capture.order.index(cv2.CAP_PROP_FOURCC) < capture.order.index(cv2.CAP_PROP_FRAME_WIDTH)
    source.close()
    assert capture.released


def test_a_camera_without_motion_jpeg_gives_pixels(tmp_path: Path, jpeg: bytes) -> None:
    source = camera(FakeCapture(jpeg, motion_jpeg=False), tmp_path)
    assert isinstance(source.read().data, np.ndarray)


def test_a_camera_that_only_claims_motion_jpeg_gives_pixels(tmp_path: Path, jpeg: bytes) -> None:
    capture = FakeCapture(jpeg, motion_jpeg=True, honest=False)
    source = camera(capture, tmp_path)
    assert isinstance(source.read().data, np.ndarray)
    assert capture.props[cv2.CAP_PROP_CONVERT_RGB] == 1


def test_an_unplugged_camera_is_told(tmp_path: Path, jpeg: bytes) -> None:
    capture = FakeCapture(jpeg, motion_jpeg=True)
    source = camera(capture, tmp_path)
    capture.unplugged = True
    with pytest.raises(SourceTrouble, match="gives no pictures"):
        source.read()


def test_a_camera_in_use_is_told_and_let_go(tmp_path: Path, jpeg: bytes) -> None:
    capture = FakeCapture(jpeg, motion_jpeg=True, opened=False)
    with pytest.raises(SourceTrouble, match="another program may be using it"):
        camera(capture, tmp_path)
    assert capture.released


def test_a_camera_that_is_not_there_is_told_with_those_that_are(tmp_path: Path) -> None:
    (tmp_path / "video2").touch()
    with pytest.raises(SourceTrouble, match=r"There is no camera 0; .*video0 does not exist; found: video2"):
        CameraSource("0", "camera 0", width=640, height=360, fps=15, devices=tmp_path)


def test_a_camera_that_may_not_be_used_names_the_group(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "video0").touch()
    monkeypatch.setattr("os.access", lambda *_: False)  # root may read everything
    with pytest.raises(SourceTrouble, match="Add the user to group video"):
        CameraSource("0", "camera 0", width=640, height=360, fps=15, devices=tmp_path)
