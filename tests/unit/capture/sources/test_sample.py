"""The sample clip has real faces that real detectors find."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from services.capture.frames import Pixels, SourceTrouble
from services.capture.sources import sample
from services.capture.sources.sample import FPS, SECONDS, sample_clip
from services.capture.sources.video import read_video


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return sample_clip(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def pictures(clip: Path) -> list[Pixels]:
    """Every fifth frame."""
    with read_video(clip) as video:
        assert (video.width, video.height, video.fps, video.frame_count) == (640, 360, FPS, FPS * SECONDS)
        return [frame.pixels for frame in video if frame.number % 5 == 0]


def test_yunet_finds_nobody_then_one_then_both_then_the_other(pictures: list[Pixels], yunet_file: Path) -> None:
    yunet = cv2.FaceDetectorYN.create(str(yunet_file), "", (640, 360), 0.7)
    found = []
    for picture in pictures:
        faces = yunet.detect(picture)[1]
        found.append(0 if faces is None else len(faces))
    changes = [count for index, count in enumerate(found) if index == 0 or count != found[index - 1]]
    # While they change places, one hides the other for a moment.
    assert changes == [0, 1, 2, 1, 2, 1, 0]
    assert found.count(2) > 25


def test_the_haar_cascade_finds_nearly_all_of_them(pictures: list[Pixels], yunet_file: Path) -> None:
    yunet = cv2.FaceDetectorYN.create(str(yunet_file), "", (640, 360), 0.7)
    haar = cv2.CascadeClassifier(str(Path(cv2.__file__).parent / "data/haarcascade_frontalface_default.xml"))
    by_yunet = by_haar = 0
    for picture in pictures:
        faces = yunet.detect(picture)[1]
        by_yunet += 0 if faces is None else len(faces)
        by_haar += len(haar.detectMultiScale(cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY), 1.3, 5))
    assert by_haar >= 0.9 * by_yunet


def test_the_light_changes(pictures: list[Pixels]) -> None:
    means = [float(picture.mean()) for picture in pictures]
    assert max(means) - min(means) > 10


def test_it_is_built_once_and_always_the_same(clip: Path, tmp_path: Path) -> None:
    before = clip.stat().st_mtime_ns
    assert sample_clip(clip.parents[1]) == clip
    assert clip.stat().st_mtime_ns == before
    assert sample_clip(tmp_path).read_bytes() == clip.read_bytes()
    assert [path.name for path in (tmp_path / "sample").iterdir()] == [clip.name]


def test_a_change_of_recipe_builds_it_again_and_drops_the_old_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sample, "SECONDS", 1)
    old = sample_clip(tmp_path)
    monkeypatch.setattr(sample, "VERSION", sample.VERSION + 1)
    new = sample_clip(tmp_path)
    assert new != old
    assert not old.exists()


def test_absent_portraits_are_told_with_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(SourceTrouble, match=r"pip install 'emotion-edge\[sample\]', or give another --source"):
        sample_clip(tmp_path)


def test_a_folder_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "sample").write_text("a file is in the way")
    with pytest.raises(SourceTrouble, match="EMOTION_DATA_DIR"):
        sample_clip(tmp_path)


def test_nothing_half_written_stays_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(sample, "_paint", fail)
    with pytest.raises(SourceTrouble, match="disk full"):
        sample_clip(tmp_path)
    assert list((tmp_path / "sample").iterdir()) == []


def test_the_pictures_are_not_all_alike(pictures: list[Pixels]) -> None:
    assert len({np.asarray(picture).tobytes() for picture in pictures}) > 50
