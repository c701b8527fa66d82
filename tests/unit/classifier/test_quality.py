"""Whether a face can be read, and why not."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from services.classifier.detector import YuNet
from services.classifier.faces import FaceBox
from services.classifier.quality import BLURRED_BELOW, assess, blur_of, yaw_of
from tests.classifier_kit import pictures

RNG = np.random.default_rng(3)
SHARP = RNG.integers(60, 180, (360, 640)).astype(np.uint8)


def marks(nose_x: float) -> np.ndarray:
    """Eyes 60 px apart on a level line, the nose tip between them at `nose_x` from their middle."""
    return np.array([(70, 100), (130, 100), (100 + nose_x, 140), (80, 160), (120, 160)], np.float32)


def found(side: float = 100.0, landmarks: np.ndarray | None = None) -> FaceBox:
    return FaceBox(200, 100, side, side, 0.9, landmarks)


def test_a_sharp_large_lit_frontal_face_is_ok() -> None:
    quality = assess(SHARP, found(landmarks=marks(0)))
    assert quality.ok
    assert quality.reasons == ()
    assert (quality.size_px, quality.yaw) == (100, 0.0)


@pytest.mark.parametrize(
    ("picture", "face", "reason"),
    [
        (SHARP, found(47), "small"),
        (cv2.GaussianBlur(SHARP, (0, 0), 8), found(), "blurred"),
        ((SHARP // 8).astype(np.uint8), found(), "dark"),
        ((SHARP // 8 + 225).astype(np.uint8), found(), "bright"),
        (SHARP, found(landmarks=marks(30)), "turned"),
        (SHARP, found(landmarks=marks(-30)), "turned"),
    ],
)
def test_each_reason_is_named(picture: np.ndarray, face: FaceBox, reason: str) -> None:
    quality = assess(picture, face)
    assert not quality.ok
    assert reason in quality.reasons


def test_yaw_grows_with_the_way_of_the_nose_and_is_the_same_however_the_head_is_tilted() -> None:
    yaws = [yaw_of(marks(x)) for x in (-30, -10, 0, 10, 30)]
    assert yaws == sorted(yaws, key=lambda yaw: yaw or 0.0)
    assert yaws[4] == pytest.approx(39.8, abs=0.1)
    turn = np.array([[np.cos(0.5), -np.sin(0.5)], [np.sin(0.5), np.cos(0.5)]], np.float32)
    level, tilted = marks(12), (marks(12) - 100) @ turn.T + 100
    # Of the nose's way only the part along the line of the eyes counts.
    assert yaw_of(tilted) == pytest.approx(yaw_of(level), abs=0.01)


def test_yaw_is_unknown_without_two_eyes() -> None:
    assert yaw_of(np.zeros((5, 2), np.float32)) is None
    assert assess(SHARP, found()).yaw is None


def test_a_flat_face_has_no_detail() -> None:
    assert blur_of(np.full((64, 64), 100, np.uint8)) == 0.0


def test_a_face_that_reaches_over_the_edge_is_measured() -> None:
    assert assess(SHARP, FaceBox(-40, -30, 90, 90, 0.9)).size_px == 90


def test_faces_of_a_real_clip_are_sharp_until_they_are_smeared(head_pose_clip: Path, yunet_file: Path) -> None:
    detector = YuNet(yunet_file, score=0.7, max_side=640)
    for picture in pictures(head_pose_clip, every=20):
        grey = np.asarray(cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY), np.uint8)
        for face in detector.detect(picture):
            smeared = np.asarray(cv2.GaussianBlur(grey, (0, 0), face.w / 20), np.uint8)
            assert assess(grey, face).blur > 2 * BLURRED_BELOW
            assert "blurred" in assess(smeared, face).reasons
