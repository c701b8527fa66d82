"""Pictures and clips that tests make."""

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from services.capture.encode import encode

MakeVideo = Callable[..., Path]


@pytest.fixture
def make_video(tmp_path: Path) -> MakeVideo:
    """Writes a video whose frames have grey values that count: frame n is n * 5 all over."""

    def make(name: str = "clip.avi", frames: int = 20, codec: str = "MJPG", fps: float = 10.0) -> Path:
        path = tmp_path / name
        writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*codec), fps, (64, 48))
        assert writer.isOpened()
        for number in range(frames):
            writer.write(np.full((48, 64, 3), number * 5, np.uint8))
        writer.release()
        return path

    return make


@pytest.fixture
def jpeg() -> bytes:
    """A small JPEG."""
    return encode(np.full((48, 64, 3), 90, np.uint8), 85)
