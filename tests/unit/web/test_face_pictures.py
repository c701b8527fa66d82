"""Faces cut for people's eyes: the right part, bounded, and nothing that is no picture."""

import io

import cv2
import numpy as np
import pytest
from PIL import Image

from services.web.face_pictures import MAX_SIDE, FacePictures, cut_face, mark_of
from shared.errors import BadPicture
from shared.owned_thread import owned_thread
from tests.support import scenes


def quarters(width: int, height: int) -> bytes:
    """Red, green, blue and white quarters."""
    image = np.zeros((height, width, 3), np.uint8)
    image[: height // 2, : width // 2] = (0, 0, 255)
    image[: height // 2, width // 2 :] = (0, 255, 0)
    image[height // 2 :, : width // 2] = (255, 0, 0)
    image[height // 2 :, width // 2 :] = 255
    done, jpeg = cv2.imencode(".jpg", image)
    assert done
    return jpeg.tobytes()


def opened(jpeg: bytes) -> Image.Image:
    return Image.open(io.BytesIO(jpeg)).convert("RGB")


@pytest.mark.parametrize(("width", "height"), [(640, 360), (3840, 2160)])
def test_the_square_around_the_middle_shows_all_quarters_at_a_bounded_size(width: int, height: int) -> None:
    side = height // 3
    cut = opened(cut_face(quarters(width, height), ((width - side) / 2, (height - side) / 2, side, side)))
    assert cut.size == (min(MAX_SIDE, round(side * 1.6)),) * 2
    near, far = cut.width // 4, cut.width * 3 // 4
    colours = [cut.getpixel(at) for at in ((near, near), (far, near), (near, far), (far, far))]
    expected = [(255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255)]
    assert np.abs(np.array(colours, int) - expected).max() < 12


def test_at_the_edge_only_what_is_in_the_picture_is_given() -> None:
    cut = opened(cut_face(quarters(640, 360), (-20, -20, 100, 100)))
    assert cut.size == (110, 110)
    corner = cut.getpixel((5, 5))
    assert isinstance(corner, tuple)
    assert corner[0] > 240


@pytest.mark.parametrize(
    ("size", "box"),
    [
        ((640, 360), (200, 80, 120, 128)),
        ((640, 360), (0, 200, 90, 100)),  # the cut ends at the left
        ((640, 360), (560, 250, 70, 110)),  # at the right and below
        ((640, 360), (-20, -30, 100, 100)),  # the box itself reaches over the edge
        ((1920, 1080), (600, 200, 500, 620)),  # scaled down
    ],
)
def test_the_mark_lies_where_the_face_is_in_its_cut(size: tuple[int, int], box: tuple[int, int, int, int]) -> None:
    x, y, w, h = box
    image = np.zeros((size[1], size[0], 3), np.uint8)
    image[max(0, y) : y + h, max(0, x) : x + w] = 255
    done, jpeg = cv2.imencode(".jpg", image)
    assert done
    cut = opened(cut_face(jpeg.tobytes(), box))
    white = np.argwhere(np.asarray(cut.convert("L")) > 127)
    (top, left), (bottom, right) = white.min(axis=0), white.max(axis=0) + 1
    mark = mark_of(box, size)
    assert mark is not None
    found = (mark.x * cut.width, mark.y * cut.height, mark.w * cut.width, mark.h * cut.height)
    assert found == pytest.approx((left, top, right - left, bottom - top), abs=2)


def test_a_face_outside_of_its_picture_has_no_mark() -> None:
    assert mark_of((5000, 5000, 9, 9), (640, 360)) is None


@pytest.mark.parametrize(
    ("jpeg", "box"),
    [(b"", (0, 0, 9, 9)), (scenes.picture()[:2000], (0, 0, 9, 9)), (scenes.picture(), (5000, 5000, 9, 9))],
)
def test_what_is_no_picture_or_outside_of_it_is_refused(jpeg: bytes, box: tuple[int, int, int, int]) -> None:
    with pytest.raises(BadPicture):
        cut_face(jpeg, box)


async def test_the_last_faces_are_remembered_within_the_bound() -> None:
    jpeg = scenes.picture()
    async with owned_thread("test") as thread:
        size = len(cut_face(jpeg, (200, 80, 120, 128)))
        pictures = FacePictures(thread, max_bytes=2 * size)
        for key in "ab":
            await pictures.cut(key, jpeg, (200, 80, 120, 128))
        assert pictures.remembered("a") is not None  # and is thereby the newest
        await pictures.cut("c", jpeg, (200, 80, 120, 128))
        assert [key for key in "abc" if pictures.remembered(key)] == ["a", "c"]
