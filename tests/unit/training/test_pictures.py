"""Pictures become faces as the product makes them, and damaged ones are refused."""

import contextlib
import io
import struct
import subprocess
import sys
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from shared.errors import BadPicture
from shared.preset import CropSpec
from shared.vision import crop_face
from training.data.pictures import read_picture, to_face


def save(pixels: npt.NDArray[np.uint8], path: Path, **options: Any) -> Path:
    Image.fromarray(pixels).save(path, **options)
    return path


@pytest.mark.parametrize(("name", "options"), [("a.png", {}), ("a.jpg", {"quality": 95, "subsampling": 0})])
def test_colour_becomes_grey_and_small_as_in_the_product(tmp_path: Path, name: str, options: dict[str, int]) -> None:
    cv2 = pytest.importorskip("cv2")
    path = save(np.random.default_rng(0).integers(0, 256, (130, 90, 3), np.uint8), tmp_path / name, **options)

    grey = cv2.cvtColor(cv2.imread(str(path), cv2.IMREAD_COLOR), cv2.COLOR_BGR2GRAY)
    expected = crop_face(grey, (0, 0, 90, 130), CropSpec(scale=1.0, shift_x=0.0, shift_y=0.0), (48, 48))

    assert np.array_equal(read_picture(path), expected)


def test_a_grey_picture_of_48_pixels_stays_as_it_is(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (48, 48), np.uint8)
    assert np.array_equal(read_picture(save(pixels, tmp_path / "a.png")), pixels)
    as_colour = np.repeat(pixels[:, :, None], 3, axis=2)
    assert np.array_equal(read_picture(save(as_colour, tmp_path / "b.png")), pixels)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "I;16"])
def test_every_kind_of_png_keeps_its_light(tmp_path: Path, mode: str) -> None:
    path = tmp_path / "a.png"
    ramp = np.tile(np.array([0] * 24 + [255] * 24, np.uint8), (48, 1))
    if mode == "I;16":
        Image.fromarray(ramp.astype(np.uint16) * 257).save(path)
    else:
        Image.fromarray(ramp).convert(mode).save(path)
    assert np.array_equal(read_picture(path), ramp)


def test_a_turned_photograph_is_set_upright(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 3  # upside down
    pixels = np.zeros((48, 48), np.uint8)
    pixels[:24] = 200
    face = read_picture(save(pixels, tmp_path / "a.jpg", exif=exif))
    assert face[:20].mean() < 10 < 190 < face[28:].mean()


@settings(max_examples=60, deadline=None)
@given(height=st.integers(1, 200), width=st.integers(1, 200), grey=st.integers(0, 255))
def test_any_size_gives_a_face_of_the_same_light(height: int, width: int, grey: int) -> None:
    face = to_face(np.full((height, width), grey, np.uint8))
    assert face.shape == (48, 48)
    assert (face == grey).all()


def png_header(width: int, height: int) -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


@pytest.mark.parametrize("side", [4097, 10_000, 60_000])
def test_a_picture_that_would_fill_the_memory_is_never_unpacked(tmp_path: Path, side: int) -> None:
    (tmp_path / "bomb.png").write_bytes(png_header(side, side))
    with pytest.raises(BadPicture, match="more than 16777216 pixels"):
        read_picture(tmp_path / "bomb.png")


def test_other_formats_are_not_opened_whatever_their_name(tmp_path: Path) -> None:
    Image.new("L", (48, 48)).save(tmp_path / "a.gif")
    (tmp_path / "a.gif").rename(tmp_path / "a.png")
    with pytest.raises(BadPicture, match="not a readable PNG or JPEG"):
        read_picture(tmp_path / "a.png")


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=150, deadline=None)
@given(kind=st.sampled_from(["PNG", "JPEG"]), data=st.data())
def test_any_damage_is_refused_or_gives_a_face(tmp_path: Path, kind: str, data: st.DataObject) -> None:
    buffer = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (20, 20, 3), np.uint8)).save(buffer, kind)
    content = bytearray(buffer.getvalue())
    for _ in range(data.draw(st.integers(1, 6))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path = tmp_path / "a.png"
    path.write_bytes(content[: data.draw(st.integers(0, len(content)))])
    with contextlib.suppress(BadPicture):
        assert read_picture(path).shape == (48, 48)


def test_reading_needs_numpy_and_pillow_alone() -> None:
    """So that training runs on a machine that has nothing of the services."""
    code = (
        "import sys; import training.data.__main__; "
        "print(*sorted({'cv2', 'pydantic', 'keras', 'structlog'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.strip() == ""
