"""Face detectors: what they find in real and odd pictures, and which one is used."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from services.classifier.detector import Haar, YuNet, open_detector
from services.classifier.faces import Detector
from services.classifier.yunet_file import YUNET_PATH
from shared.errors import ModelError
from tests.classifier_kit import pictures


@pytest.fixture
def yunet(yunet_file: Path) -> YuNet:
    return YuNet(yunet_file, score=0.7, max_side=640)


def test_yunet_finds_both_faces_in_every_frame_of_a_real_clip(head_pose_clip: Path, yunet: YuNet) -> None:
    assert {len(yunet.detect(picture)) for picture in pictures(head_pose_clip)} == {2}


def test_boxes_and_landmarks_are_in_the_pixels_of_the_frame_whatever_its_size(
    head_pose_clip: Path, yunet: YuNet
) -> None:
    small = pictures(head_pose_clip, every=60)[0]
    large = np.asarray(cv2.resize(small, (1920, 1080), interpolation=cv2.INTER_CUBIC), np.uint8)
    for one, other in zip(yunet.detect(small), yunet.detect(large), strict=True):
        assert np.allclose(np.array(one.box) * 3, other.box, atol=15)
        assert one.landmarks is not None
        assert other.landmarks is not None
        assert np.allclose(one.landmarks * 3, other.landmarks, atol=15)
        left_eye, right_eye = one.landmarks[:2]
        assert left_eye[0] < right_eye[0]


@pytest.mark.parametrize("size", [(1, 1), (1, 4000), (15, 640), (16, 16), (17, 33), (2000, 20)])
def test_odd_sizes_have_no_faces_and_do_no_harm(yunet: YuNet, size: tuple[int, int]) -> None:
    picture = np.full((*size, 3), 100, np.uint8)
    detectors: list[Detector] = [yunet, Haar(max_side=640)]
    for detector in detectors:
        assert detector.detect(picture) == []


def test_the_frame_is_not_changed(head_pose_clip: Path, yunet: YuNet) -> None:
    picture = pictures(head_pose_clip, every=60)[0]
    before = picture.copy()
    yunet.detect(picture)
    Haar(max_side=640).detect(picture)
    assert (picture == before).all()


def test_auto_takes_yunet_where_its_file_is_there(tmp_path: Path, yunet_file: Path) -> None:
    (tmp_path / YUNET_PATH).parent.mkdir()
    (tmp_path / YUNET_PATH).symlink_to(yunet_file)
    detector, problem = open_detector("auto", tmp_path, score=0.7, max_side=640)
    assert (detector.name, problem) == ("yunet", None)


def test_auto_takes_the_cascade_without_it_and_tells_what_to_do(tmp_path: Path) -> None:
    detector, problem = open_detector("auto", tmp_path, score=0.7, max_side=640)
    assert detector.name == "haar"
    assert problem is not None
    assert "emotion-edge models fetch" in problem.next_step


def test_a_file_with_another_hash_is_not_used(tmp_path: Path) -> None:
    (tmp_path / YUNET_PATH).parent.mkdir()
    (tmp_path / YUNET_PATH).write_bytes(b"version https://git-lfs.github.com/spec/v1")
    with pytest.raises(ModelError, match="is not the expected file"):
        open_detector("yunet", tmp_path, score=0.7, max_side=640)


def test_the_cascade_was_asked_for_so_there_is_nothing_to_tell(tmp_path: Path) -> None:
    assert open_detector("haar", tmp_path, score=0.7, max_side=640)[1] is None


def test_a_file_that_opencv_cannot_read_is_told_in_one_line(tmp_path: Path) -> None:
    broken = tmp_path / "x.onnx"
    broken.write_bytes(b"nothing")
    with pytest.raises(ModelError, match="cannot be used by OpenCV"):
        YuNet(broken, score=0.7, max_side=640)
