"""Faces cut for people's eyes: the right part, bounded, and nothing that is no picture."""

import io

import cv2
import numpy as np
import pytest
from PIL import Image

from services.web.face_pictures import MAX_SIDE, FacePictures, cut_face
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
