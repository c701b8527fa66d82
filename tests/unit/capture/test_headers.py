"""Sizes of picture files, read before they are decoded."""

import struct

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.capture.headers import size_of
from shared.errors import BadPicture


@pytest.mark.parametrize(
    ("suffix", "options"),
    [
        (".jpg", []),
        (".png", []),
        (".bmp", []),
        (".webp", [cv2.IMWRITE_WEBP_QUALITY, 80]),
        (".webp", [cv2.IMWRITE_WEBP_QUALITY, 101]),
    ],
)
def test_the_size_is_that_of_the_picture(suffix: str, options: list[int]) -> None:
    done, data = cv2.imencode(suffix, np.full((48, 100, 3), 7, np.uint8), options)
    assert done
    assert size_of(data.tobytes()) == (100, 48)


def test_an_extended_webp_says_its_size_in_24_bits() -> None:
    data = b"RIFF\0\0\0\0WEBPVP8X" + bytes(8) + (999).to_bytes(3, "little") + (499).to_bytes(3, "little")
    assert size_of(data) == (1000, 500)


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (b"\x89PNG\r\n\x1a\n" + bytes(8) + struct.pack(">II", 20_000, 20_000), "20000x20000 pixels; at most"),
        (b"\x89PNG\r\n\x1a\n", "cut off"),
        (b"\x89PNG\r\n\x1a\n" + bytes(16), "0x0"),
        (b"BM" + bytes(16) + struct.pack("<ii", -5, 5), "-5x5"),
        (b"RIFF\0\0\0\0WEBPnone", "damaged WebP"),
        (b"GIF89a", "neither JPEG"),
        (b"", "nothing"),
    ],
)
def test_what_must_not_be_decoded_is_refused_in_words(data: bytes, told: str) -> None:
    with pytest.raises(BadPicture, match=told):
        size_of(data)


@given(st.sampled_from([b"\xff\xd8", b"\x89PNG\r\n\x1a\n", b"BM", b"RIFF0000WEBPVP8 ", b""]), st.binary(max_size=60))
def test_any_bytes_have_a_size_or_are_a_bad_picture(head: bytes, rest: bytes) -> None:
    try:
        width, height = size_of(head + rest)
    except BadPicture:
        return
    assert width > 0
    assert height > 0
