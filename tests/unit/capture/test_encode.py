"""From what a source gave to a plain JPEG."""

import cv2
import numpy as np
import pytest

from services.capture.encode import Preparer, encode, whole_jpeg
from shared.errors import BadPicture
from shared.jpeg import check_picture

PREPARE = Preparer(max_width=320, quality=85)


def picture(width: int = 64, height: int = 48) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    y, x = np.mgrid[0:height, 0:width]
    return np.stack([x * 3 % 256, y * 5 % 256, (x + y) % 256], axis=2).astype(np.uint8)


def without_tables(jpeg: bytes) -> bytes:
    """As many cameras give Motion JPEG: no Huffman tables."""
    out, at = jpeg[:2], 2
    while jpeg[at + 1] != 0xDA:
        end = at + 2 + int.from_bytes(jpeg[at + 2 : at + 4], "big")
        if jpeg[at + 1] != 0xC4:
            out += jpeg[at:end]
        at = end
    return out + jpeg[at:]


def test_a_whole_jpeg_is_passed_through_byte_for_byte() -> None:
    jpeg = encode(picture(), 90)
    prepared = PREPARE(jpeg)
    assert prepared.jpeg is jpeg
    assert (prepared.width, prepared.height, prepared.passthrough) == (64, 48, True)


def test_a_cameras_padding_behind_the_picture_is_cut_off() -> None:
    jpeg = encode(picture(), 90)
    assert whole_jpeg(jpeg + bytes(1000)) == jpeg


def test_missing_huffman_tables_are_put_in_and_the_pixels_are_the_same() -> None:
    jpeg = encode(picture(), 90)
    bare = without_tables(jpeg)
    assert b"\xff\xc4" not in bare
    mended = whole_jpeg(bare)
    assert b"\xff\xc4" in mended
    assert check_picture(mended) == (64, 48)
    decoded = [np.asarray(cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)) for data in (jpeg, mended)]
    assert np.array_equal(decoded[0], decoded[1])


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (b"", "not a JPEG: it begins with nothing"),
        (b"hello", "not a JPEG: it begins with 68656c6c"),
        (encode(picture(), 90)[:-200], "cut off after"),
        (encode(picture(), 90)[:20] + b"\xff\xd9", "damaged JPEG"),
        (encode(picture(1, 1), 90), "1x1 pixels; at least 16x16"),
        (encode(picture(640, 8), 90), "640x8 pixels; at least"),
    ],
)
def test_a_jpeg_that_cannot_be_used_is_refused_in_words(data: bytes, told: str) -> None:
    with pytest.raises(BadPicture, match=told):
        PREPARE(data)


def test_a_jpeg_that_says_it_is_huge_is_refused_undecoded() -> None:
    jpeg = bytearray(encode(picture(), 90))
    frame = jpeg.find(b"\xff\xc0")
    jpeg[frame + 5 : frame + 9] = (20_000).to_bytes(2, "big") * 2
    with pytest.raises(BadPicture, match="20000x20000 pixels; at most"):
        PREPARE(bytes(jpeg))


@pytest.mark.parametrize("shape", [(48, 64, 3), (48, 64), (48, 64, 4)])
def test_pixels_are_encoded(shape: tuple[int, ...]) -> None:
    prepared = PREPARE(np.full(shape, 100, np.uint8))
    assert (prepared.width, prepared.height, prepared.passthrough) == (64, 48, False)
    assert check_picture(prepared.jpeg) == (64, 48)


def test_wide_pixels_are_scaled_down_in_proportion() -> None:
    assert check_picture(PREPARE(picture(640, 360)).jpeg) == (320, 180)


@pytest.mark.parametrize(
    ("pixels", "told"),
    [
        (np.zeros((1, 1, 3), np.uint8), "1x1"),
        (np.broadcast_to(np.uint8(0), (20_000, 20_000, 3)), "20000x20000"),
        (np.zeros((48, 64, 3), np.float32), "expected 8-bit pixels"),
        (np.zeros((64,), np.uint8), "expected 8-bit pixels"),
        (np.zeros((48, 64, 2), np.uint8), "cannot be encoded"),
    ],
)
def test_pixels_that_cannot_be_used_are_refused_in_words(
    pixels: np.ndarray[tuple[int, ...], np.dtype[np.uint8]], told: str
) -> None:
    with pytest.raises(BadPicture, match=told):
        PREPARE(pixels)
