"""Boxes and words on the preview."""

import numpy as np
import pytest

from services.classifier.annotate import annotate, label
from shared.emotions import EMOTIONS
from shared.messages import Face, LiveFace, Region
from tests.classifier_kit import face


def live(read: Face) -> LiveFace:
    assert read.shown is not None
    return LiveFace(
        track_id=read.track_id, region=read.region, emotion=read.emotion, shown=read.shown, quality=read.quality
    )


def test_words_describe_the_look_of_a_face_and_never_what_somebody_is() -> None:
    assert label(live(face(state="happy", confidence=0.83))).text == "looks happy 80%"
    assert all(label(live(face(state=emotion))).text.startswith("looks ") for emotion in EMOTIONS)


def test_unsure_is_said_in_words_and_without_a_number() -> None:
    assert label(live(face(state="unsure"))).text == "not sure"


def test_the_frame_itself_is_not_drawn_on() -> None:
    picture = np.full((360, 640, 3), 128, np.uint8)
    drawn = annotate(picture, [live(face())])
    assert (picture == 128).all()
    assert drawn.shape == picture.shape
    assert (drawn != picture).any()


@pytest.mark.parametrize(
    "region",
    [
        Region(x=0, y=0, w=90, h=100),
        Region(x=600, y=330, w=90, h=100),
        Region(x=-500, y=-500, w=10, h=10),
        Region(x=-50, y=-50, w=2000, h=2000),
    ],
)
@pytest.mark.parametrize("size", [(360, 640), (1, 1), (720, 1280)])
def test_faces_at_and_over_the_edges_are_drawn_without_error(region: Region, size: tuple[int, int]) -> None:
    picture = np.zeros((*size, 3), np.uint8)
    assert annotate(picture, [live(face(region=region))]).shape == picture.shape


def test_words_stay_inside_the_picture_where_the_face_is_at_its_edge() -> None:
    picture = np.zeros((360, 640, 3), np.uint8)
    drawn = annotate(picture, [live(face(region=Region(x=590, y=0, w=90, h=340)))])
    white = np.argwhere((drawn > 180).all(axis=2))
    assert len(white) > 100
    assert white[:, 1].max() < 639
