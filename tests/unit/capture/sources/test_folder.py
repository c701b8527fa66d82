"""Folders of pictures."""

import struct
from pathlib import Path

import cv2
import numpy as np
import pytest

from services.capture.frames import SourceTrouble
from services.capture.sources.folder import FolderSource
from shared.errors import BadPicture


def folder(path: Path, *, loop: bool = False, max_width: int = 1280) -> FolderSource:
    return FolderSource(path, "folder", fps=10, loop=loop, max_width=max_width)


def test_pictures_come_in_natural_order_and_jpegs_as_they_are(tmp_path: Path, jpeg: bytes) -> None:
    for number, name in enumerate(("frame10.jpg", "frame2.JPG", "frame1.jpeg")):
        (tmp_path / name).write_bytes(jpeg + bytes([number]))
    (tmp_path / "notes.txt").write_text("not a picture")
    (tmp_path / "sub.jpg").mkdir()
    source = folder(tmp_path)
    readings = [source.read() for _ in range(3)]
    assert [reading.data[-1] for reading in readings if reading] == [2, 1, 0]
    assert [reading.at_s for reading in readings if reading] == pytest.approx([0.0, 0.1, 0.2])
    assert source.read() is None


def test_a_loop_begins_again(tmp_path: Path, jpeg: bytes) -> None:
    (tmp_path / "a.jpg").write_bytes(jpeg)
    source = folder(tmp_path, loop=True)
    readings = [source.read() for _ in range(3)]
    assert [reading.at_s for reading in readings if reading] == pytest.approx([0.0, 0.1, 0.2])


@pytest.mark.parametrize("suffix", [".png", ".bmp", ".webp"])
def test_other_formats_are_decoded(tmp_path: Path, suffix: str) -> None:
    cv2.imwrite(str(tmp_path / f"a{suffix}"), np.full((48, 64, 3), 90, np.uint8))
    reading = folder(tmp_path).read()
    assert reading is not None
    assert isinstance(reading.data, np.ndarray)
    assert reading.data.shape == (48, 64, 3)


def test_a_jpeg_wider_than_what_is_sent_is_decoded_to_be_scaled(tmp_path: Path, jpeg: bytes) -> None:
    (tmp_path / "a.jpg").write_bytes(jpeg)
    reading = folder(tmp_path, max_width=32).read()
    assert reading is not None
    assert isinstance(reading.data, np.ndarray)


def test_a_bad_picture_is_told_by_name_and_the_next_one_comes(tmp_path: Path, jpeg: bytes) -> None:
    (tmp_path / "1.jpg").write_text("hello")
    (tmp_path / "2.png").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(8) + struct.pack(">II", 20_000, 20_000))
    (tmp_path / "3.png").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(8) + struct.pack(">II", 64, 48))
    (tmp_path / "4.jpg").write_bytes(jpeg)
    source = folder(tmp_path)
    with pytest.raises(BadPicture, match=r"^1\.jpg: neither JPEG"):
        source.read()
    with pytest.raises(BadPicture, match=r"^2\.png: picture of 20000x20000"):
        source.read()
    with pytest.raises(BadPicture, match=r"^3\.png: damaged"):
        source.read()
    assert source.read() is not None
    assert source.read() is None


def test_a_picture_that_went_away_is_told(tmp_path: Path, jpeg: bytes) -> None:
    (tmp_path / "1.jpg").write_bytes(jpeg)
    source = folder(tmp_path)
    (tmp_path / "1.jpg").unlink()
    with pytest.raises(BadPicture, match=r"1\.jpg: cannot be read, No such file"):
        source.read()


def test_a_folder_without_pictures_is_told(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("not a picture")
    with pytest.raises(SourceTrouble, match="has no pictures"):
        folder(tmp_path)
