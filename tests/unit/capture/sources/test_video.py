"""Video files through the real FFmpeg of OpenCV."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from services.capture.encode import Preparer
from services.capture.frames import Reading, SourceTrouble
from services.capture.sources.video import VideoSource, read_video
from shared.errors import BadPicture, SourceError
from shared.messages import Source
from tests.unit.capture.conftest import MakeVideo

FILE = Source(kind="file", name="clip")


def grey_of(reading: Reading | None) -> int:
    assert reading is not None
    data = reading.data
    pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR) if isinstance(data, bytes) else data
    assert pixels is not None
    return round(float(pixels.mean()) / 5)


@pytest.mark.parametrize(("name", "codec", "raw"), [("a.avi", "MJPG", True), ("a.mp4", "mp4v", False)])
def test_every_frame_comes_once_in_order_with_its_time(make_video: MakeVideo, name: str, codec: str, raw: bool) -> None:
    source = VideoSource(str(make_video(name, codec=codec)), FILE)
    readings = [source.read() for _ in range(20)]
    assert source.read() is None
    source.close()
    # The MPEG-4 encoder may leave out so small a change once.
    assert all(abs(grey_of(reading) - number) <= (not raw) for number, reading in enumerate(readings))
    assert [reading.at_s for reading in readings if reading] == pytest.approx([n / 10 for n in range(20)], abs=0.01)
    assert all(isinstance(reading.data, bytes) is raw for reading in readings if reading)
    assert not source.live


def test_motion_jpeg_is_passed_through_as_pictures_that_any_viewer_shows(make_video: MakeVideo) -> None:
    source = VideoSource(str(make_video()), FILE)
    reading = source.read()
    assert reading is not None
    prepared = Preparer(1280, 85)(reading.data)
    assert prepared.passthrough
    assert (prepared.width, prepared.height) == (64, 48)
    source.close()


def test_a_loop_begins_again_and_its_time_goes_on(make_video: MakeVideo) -> None:
    source = VideoSource(str(make_video(frames=5)), FILE, loop=True)
    readings = [source.read() for _ in range(12)]
    source.close()
    assert [grey_of(reading) for reading in readings] == [0, 1, 2, 3, 4, 0, 1, 2, 3, 4, 0, 1]
    assert [reading.at_s for reading in readings if reading] == pytest.approx([n / 10 for n in range(12)], abs=0.01)


def test_a_truncated_video_gives_its_frames_then_tells_of_the_damage(make_video: MakeVideo) -> None:
    whole = make_video(frames=40)
    data = whole.read_bytes()
    whole.write_bytes(data[: len(data) // 2])
    source = VideoSource(str(whole), FILE)
    got: list[Reading] = []
    with pytest.raises(BadPicture, match=r"clip ends after \d+ of 40 frames: cut off or damaged"):
        got.extend(iter(source.read, None))
    assert 5 < len(got) < 35
    assert source.read() is None
    source.close()


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("text.mp4", b"Dear diary,\n" * 500, "not a video that FFmpeg knows"),
        ("empty.mp4", b"", "0 bytes"),
        ("gone.mp4", None, "There is no file"),
    ],
)
@pytest.mark.parametrize("opener", [lambda path: VideoSource(str(path), FILE), read_video])
def test_what_is_no_video_is_told(tmp_path: Path, name: str, content: bytes | None, told: str, opener: object) -> None:
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    assert callable(opener)
    with pytest.raises(SourceError, match=told) as error:
        opener(path)
    assert isinstance(error.value, SourceTrouble)
    assert error.value.problem.next_step


def test_a_mp4_that_was_cut_off_cannot_be_opened_and_says_so(make_video: MakeVideo) -> None:
    path = make_video("cut.mp4", codec="mp4v")
    path.write_bytes(path.read_bytes()[:300])
    with pytest.raises(SourceTrouble, match="damaged or cut off"):
        VideoSource(str(path), FILE)


def test_reading_a_video_gives_numbered_frames_and_a_total(make_video: MakeVideo) -> None:
    with read_video(make_video("a.mp4", codec="mp4v")) as video:
        frames = list(video)
        assert (video.width, video.height, video.fps, video.frame_count) == (64, 48, 10.0, 20)
    assert [frame.number for frame in frames] == list(range(20))
    assert frames[3].pixels.shape == (48, 64, 3)
    assert frames[3].at_s == pytest.approx(0.3, abs=0.01)
    assert video.ended_early is None


def test_reading_a_truncated_video_says_so_afterwards(make_video: MakeVideo) -> None:
    path = make_video(frames=40)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    with read_video(path) as video:
        count = len(list(video))
    assert video.ended_early == f"clip.avi ends after {count} of 40 frames: cut off or damaged"


def test_real_footage_is_read_whole(head_pose_clip: Path) -> None:
    with read_video(head_pose_clip) as video:
        frames = list(video)
    assert len(frames) == video.frame_count == 56
    assert frames[-1].at_s == pytest.approx(55 / 12.5, abs=0.2)
    assert video.ended_early is None
