import struct

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.errors import BadPicture
from shared.jpeg import EOI, MAX_SCANS, JpegSplitter, check_picture, picture_size, read_comment, with_comment


def make_jpeg(width: int = 32, height: int = 24, seed: int = 0) -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 255, (height, width, 3)).astype(np.uint8)
    ok, data = cv2.imencode(".jpg", pixels)
    assert ok
    return data.tobytes()


def claiming(width: int, height: int) -> bytes:
    """A small file whose header claims a size."""
    jpeg = make_jpeg()
    at = jpeg.index(b"\xff\xc0") + 5
    return jpeg[:at] + struct.pack(">HH", height, width) + jpeg[at + 4 :]


@pytest.mark.parametrize("size", [(1, 1), (640, 360), (33, 7)])
def test_size_is_read_from_the_header(size: tuple[int, int]) -> None:
    assert picture_size(make_jpeg(*size)) == size


def test_a_huge_picture_is_refused_before_it_is_decoded() -> None:
    with pytest.raises(BadPicture, match="20000x20000"):
        check_picture(claiming(20_000, 20_000))


def test_too_many_bytes_are_refused() -> None:
    with pytest.raises(BadPicture, match="at most 100"):
        check_picture(make_jpeg(), max_bytes=100)


@pytest.mark.parametrize("data", [b"", b"\xff\xd8", b"GIF89a", b"\xff\xd8\xff", make_jpeg()[:30], b"\xff\xd8ab" * 9])
def test_what_is_not_a_whole_jpeg_is_refused(data: bytes) -> None:
    with pytest.raises(BadPicture):
        check_picture(data)


def with_scans(count: int) -> bytes:
    jpeg = make_jpeg()
    scan = jpeg[jpeg.index(b"\xff\xda") : -2]
    return jpeg[:-2] + scan * (count - 1) + EOI


@pytest.mark.parametrize("cut", [-1, -2, -20, -200])
def test_a_picture_that_is_cut_off_is_refused_although_its_header_is_whole(cut: int) -> None:
    jpeg = make_jpeg()
    assert picture_size(jpeg[:cut]) == (32, 24)
    with pytest.raises(BadPicture, match="cut off"):
        check_picture(jpeg[:cut])


def test_a_camera_may_pad_behind_the_end() -> None:
    assert check_picture(make_jpeg() + bytes(5000)) == (32, 24)


def test_an_end_marker_inside_a_segment_ends_no_picture() -> None:
    jpeg = make_jpeg()[:-2] + b"\xff\xfe\x00\x06" + EOI + b"ab"
    with pytest.raises(BadPicture, match="cut off"):
        check_picture(jpeg)


def test_a_picture_that_keeps_a_decoder_busy_for_long_is_refused() -> None:
    assert check_picture(with_scans(MAX_SCANS)) == (32, 24)
    with pytest.raises(BadPicture, match="scans"):
        check_picture(with_scans(MAX_SCANS + 1))


@pytest.mark.parametrize("filler", [b"\xff\xe0\x00\x02", b"\xff", b"\xff\x01"])
def test_a_header_of_a_million_segments_is_not_read_to_its_end(filler: bytes) -> None:
    jpeg = make_jpeg()
    with pytest.raises(BadPicture, match="more than 1000 segments"):
        check_picture(jpeg[:2] + filler * 1_000_000 + jpeg[2:])


def test_a_second_larger_size_is_not_slipped_past_the_limit() -> None:
    small, large = make_jpeg(), claiming(20_000, 20_000)
    frame = large[large.index(b"\xff\xc0") : large.index(b"\xff\xda")]
    for at in (small.index(b"\xff\xda"), len(small) - 2):
        with pytest.raises(BadPicture):
            check_picture(small[:at] + frame + small[at:])


@given(st.binary(max_size=400))
def test_no_bytes_crash_the_header_reader(data: bytes) -> None:
    for payload in (data, b"\xff\xd8" + data, make_jpeg()[:200] + data):
        try:
            check_picture(payload)
            read_comment(payload)
        except BadPicture:
            continue


@given(st.binary(max_size=2000), st.binary(max_size=2000))
def test_the_last_comment_written_is_the_one_read_and_pixels_stay(first: bytes, second: bytes) -> None:
    jpeg = make_jpeg()
    marked = with_comment(with_comment(jpeg, first), second)
    assert read_comment(marked) == second
    assert marked.count(b"\xff\xfe" + struct.pack(">H", len(second) + 2) + second) >= 1
    before = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)
    after = cv2.imdecode(np.frombuffer(marked, np.uint8), cv2.IMREAD_COLOR)
    assert before is not None
    assert after is not None
    assert np.array_equal(before, after)


def test_a_comment_longer_than_a_segment_is_refused() -> None:
    with pytest.raises(BadPicture, match="65533"):
        with_comment(make_jpeg(), b"x" * 65534)


def test_a_jpeg_without_comment_has_none() -> None:
    assert read_comment(make_jpeg()) is None


@given(
    st.lists(st.integers(1, 5000), min_size=1, max_size=30), st.binary(max_size=50).filter(lambda b: b"\xff" not in b)
)
def test_a_stream_is_cut_into_its_pictures_however_it_arrives(cuts: list[int], junk: bytes) -> None:
    pictures = [with_comment(make_jpeg(seed=i), b"\xff\xd8\xff\xd9 inside a segment") for i in range(4)]
    stream = junk + junk.join(pictures) + junk
    splitter = JpegSplitter()
    found: list[bytes] = []
    at = 0
    while at < len(stream):
        step = cuts[at % len(cuts)]
        found += splitter.feed(stream[at : at + step])
        at += step
    assert found == pictures
    assert splitter.skipped_bytes == len(junk) * 5


def test_a_picture_that_never_ends_does_not_grow_the_buffer() -> None:
    splitter = JpegSplitter(max_bytes=10_000)
    head = make_jpeg()[:-2]
    assert splitter.feed(head + b"\x00" * 20_000) == []
    assert splitter.feed(make_jpeg(seed=2)) == [make_jpeg(seed=2)]
