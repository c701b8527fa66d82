"""From an arriving frame to what is sent: boots, counts, kept pictures, legacy messages."""

import json
from datetime import timedelta
from pathlib import Path
from uuid import UUID, uuid4

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.classifier.boots import Boots, OldBoot
from services.classifier.detector import YuNet
from services.classifier.emotion import EmotionModel
from services.classifier.faces import FaceBox
from services.classifier.frame_work import Arrival, FrameWork, Outcome, RejectedFrame, Wishes
from services.classifier.legacy import legacy_json
from services.classifier.memory import FILE, Memory
from services.classifier.pipeline import FramePipeline
from services.classifier.sampling import Kept
from services.classifier.scene import SceneClock, region_of
from services.classifier.settings import SamplingSettings
from services.classifier.stats import Latencies, Pace, Rate
from shared import messages
from shared.jpeg import read_comment, with_comment
from shared.messages import MOST_READING, Detection, FrameInfo, Live, Region
from shared.preset import DEFAULT_MODEL
from tests.classifier_kit import T0, at, encoded, face, frame, pictures
from tests.conftest import ROOT

EMPTY = encoded(np.full((90, 160, 3), 90, np.uint8))
OFF = Wishes(SamplingSettings())
KEEP = Wishes(SamplingSettings(mode="on", low_confidence=1.0, min_interval_s=0.0, daily_cap=2))


@pytest.fixture
def faces(head_pose_clip: Path) -> bytes:
    return encoded(pictures(head_pose_clip, every=60)[0])


@pytest.fixture
def pipeline(yunet_file: Path) -> FramePipeline:
    return FramePipeline(YuNet(yunet_file, score=0.7, max_side=640), EmotionModel(ROOT / "models" / DEFAULT_MODEL))


def work_in(folder: Path, pipeline: FramePipeline) -> FrameWork:
    return FrameWork(pipeline, folder, empty_interval_s=10.0, utc_now=lambda: T0 + timedelta(milliseconds=40))


def send(work: FrameWork, jpeg: bytes, wishes: Wishes = OFF, *, boot: UUID, number: int = 0) -> Outcome:
    payload = frame(jpeg, boot_id=boot, number=number, captured_at=at(number / 10))
    return work.process(Arrival("emotion/lab/camera", "lab", payload), wishes)


@pytest.mark.parametrize("jump", [timedelta(days=4000), -timedelta(days=4000)])
def test_a_clock_that_was_set_while_a_frame_waited_stops_nothing(
    tmp_path: Path, pipeline: FramePipeline, faces: bytes, jump: timedelta
) -> None:
    work = FrameWork(pipeline, tmp_path, empty_interval_s=10.0, utc_now=lambda: T0 + jump)
    outcome = send(work, faces, boot=uuid4())
    assert outcome.detection is not None
    sent = messages.decode(Detection, "t", outcome.detection.to_json())
    expected = MOST_READING if jump > timedelta() else 0.0
    assert sent.latency_ms["queue"] == sent.latency_ms["total"] == expected
    assert messages.decode(Live, "t", outcome.live).latency_ms == expected


def test_sequence_numbers_have_no_gaps_where_empty_frames_are_left_out(
    tmp_path: Path, pipeline: FramePipeline, faces: bytes
) -> None:
    work, boot = work_in(tmp_path, pipeline), uuid4()
    outcomes = [
        send(work, jpeg, boot=boot, number=n) for n, jpeg in enumerate((EMPTY, EMPTY, faces, EMPTY, EMPTY, faces))
    ]
    assert [None if o.detection is None else o.detection.seq for o in outcomes] == [0, None, 1, 2, None, 3]
    assert all(o.live for o in outcomes), "screens are told of every frame"


def test_a_new_start_of_capture_counts_from_the_beginning_and_its_past_is_refused(
    tmp_path: Path, pipeline: FramePipeline, faces: bytes
) -> None:
    work, one, two = work_in(tmp_path, pipeline), uuid4(), uuid4()
    for boot in (one, one, two):
        outcome = send(work, faces, boot=boot)
    assert outcome.detection is not None
    assert (outcome.detection.boot_id, outcome.detection.seq) == (two, 0)
    assert {f.track_id for f in outcome.detection.faces} == {1, 2}
    with pytest.raises(RejectedFrame, match="two captures") as refused:
        send(work, faces, boot=one)
    assert refused.value.reason == "boot"


def test_after_a_restart_of_the_classifier_alone_nothing_is_numbered_twice(
    tmp_path: Path, pipeline: FramePipeline, faces: bytes
) -> None:
    boot = uuid4()
    first = send(work_in(tmp_path, pipeline), faces, boot=boot).detection
    second = send(work_in(tmp_path, pipeline), faces, boot=boot).detection
    assert first is not None
    assert second is not None
    assert first.boot_id == boot
    assert second.boot_id != boot


def test_kept_pictures_keep_their_pixels_and_name_their_detection(
    tmp_path: Path, pipeline: FramePipeline, faces: bytes
) -> None:
    outcome = send(work_in(tmp_path, pipeline), faces, KEEP, boot=uuid4())
    assert outcome.kept is not None
    assert outcome.detection is not None
    assert outcome.kept.endswith(faces[2:])
    info = messages.decode(FrameInfo, "f", read_comment(outcome.kept))
    assert (info.event_id, info.frame_id) == (outcome.detection.event_id, outcome.detection.frame_id)
    assert info.boot_id == outcome.detection.boot_id


def test_the_daily_cap_holds_over_a_restart(tmp_path: Path, pipeline: FramePipeline, faces: bytes) -> None:
    kept = []
    for _ in range(3):
        outcome = send(work_in(tmp_path, pipeline), faces, KEEP, boot=uuid4())
        assert outcome.detection is not None
        kept.append(outcome.detection.frame_id is not None)
    assert kept == [True, True, False]


def test_stages_are_measured_from_capture(tmp_path: Path, pipeline: FramePipeline, faces: bytes) -> None:
    detection = send(work_in(tmp_path, pipeline), faces, boot=uuid4()).detection
    assert detection is not None
    assert detection.latency_ms["queue"] == detection.latency_ms["total"] == 40.0
    assert detection.latency_ms["detect"] > 0


def test_a_clock_behind_capture_gives_no_negative_times(tmp_path: Path, pipeline: FramePipeline, faces: bytes) -> None:
    work = FrameWork(pipeline, tmp_path, empty_interval_s=10.0, utc_now=lambda: at(-60))
    detection = send(work, faces, boot=uuid4()).detection
    assert detection is not None
    assert detection.latency_ms["total"] == 0.0


def test_the_preview_is_made_only_when_it_is_wanted(tmp_path: Path, pipeline: FramePipeline, faces: bytes) -> None:
    work, boot = work_in(tmp_path, pipeline), uuid4()
    assert send(work, faces, boot=boot).preview is None
    assert send(work, faces, Wishes(SamplingSettings(), preview_quality=75), boot=boot).preview is not None


def test_legacy_json_names_the_largest_face(tmp_path: Path, pipeline: FramePipeline, faces: bytes) -> None:
    detection = send(work_in(tmp_path, pipeline), faces, boot=uuid4()).detection
    assert detection is not None
    large = face(7, confidence=0.81, region=Region(x=0, y=0, w=300, h=300))
    said = json.loads(legacy_json(detection.model_copy(update={"faces": (face(), large)})))
    assert said == {
        "video_file": "clip.gif",
        "frame_number": 0,
        "emotion_probability": 0.81,
        "emotion_text": "happy",
        "timestamp": "2026-05-01T12:00:00.000000Z",
    }
    none = json.loads(legacy_json(Detection.model_validate({**detection.model_dump(), "faces": ()})))
    assert (none["emotion_probability"], none["emotion_text"]) == (None, None)


def test_boots_are_capture_s_own_but_for_one_that_was_left_unfinished() -> None:
    old, new, fresh = uuid4(), uuid4(), uuid4()
    boots = Boots(old, new_id=lambda: fresh)
    assert boots.enter(old) == (fresh, True)
    assert boots.enter(old) == (fresh, False)
    assert boots.enter(new) == (new, True)
    with pytest.raises(OldBoot):
        boots.enter(old)
    assert boots.enter(new) == (new, False)


def test_a_capture_that_goes_on_after_a_stray_frame_is_read_again_under_a_new_id() -> None:
    mine, stray, fresh = uuid4(), uuid4(), uuid4()
    boots = Boots(None, new_id=lambda: fresh)
    boots.enter(mine)
    assert boots.enter(stray) == (stray, True)
    refused = 0
    while True:
        try:
            entered = boots.enter(mine)
        except OldBoot:
            refused += 1
        else:
            break
    assert entered == (fresh, True)
    assert 0 < refused < 30


def test_of_two_captures_that_send_at_once_one_is_read() -> None:
    one, two = uuid4(), uuid4()
    boots = Boots(None)
    boots.enter(one)
    boots.enter(two)
    for _ in range(100):
        with pytest.raises(OldBoot):
            boots.enter(one)
        assert boots.enter(two) == (two, False)


def test_memory_that_is_damaged_or_cannot_be_written_stops_nothing(tmp_path: Path) -> None:
    (tmp_path / FILE).write_text("{")
    memory = Memory(tmp_path)
    assert (memory.capture_boot, memory.kept) == (None, None)
    boot, kept = uuid4(), Kept(T0.date(), 3)
    memory.save(boot, kept)
    again = Memory(tmp_path)
    assert (again.capture_boot, again.kept) == (boot, kept)
    blocked = tmp_path / "file"
    blocked.write_text("in the way")
    Memory(blocked / "below").save(boot, kept)


def test_the_scene_s_time_never_goes_back() -> None:
    clock = SceneClock()
    assert [clock.advance(at(s)) for s in (100, 101, 50, 51, 52)] == [0.0, 1.0, 1.0, 2.0, 3.0]


def test_regions_cover_the_box_in_whole_pixels() -> None:
    assert region_of(FaceBox(-3.2, 4.0, 10.1, 0.2, 0.9)) == Region(x=-4, y=4, w=11, h=1)


@given(*[st.floats(-1e6, 1e6)] * 2, *[st.floats(0.01, 1e6)] * 2)
def test_any_box_makes_a_valid_region(x: float, y: float, w: float, h: float) -> None:
    assert region_of(FaceBox(x, y, w, h, 0.9)).w >= 1


@pytest.mark.parametrize("when", ["1970-01-01T00:00:00Z", "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-12:00"])
def test_a_clock_that_was_never_set_is_named(tmp_path: Path, pipeline: FramePipeline, when: str) -> None:
    said = read_comment(frame(EMPTY, captured_at=T0))
    assert said is not None
    payload = with_comment(EMPTY, said.replace(b"2026-05-01T12:00:00.000000Z", when.encode()))
    with pytest.raises(RejectedFrame, match="set the clock") as refused:
        work_in(tmp_path, pipeline).process(Arrival("emotion/lab/camera", "lab", payload), OFF)
    assert refused.value.reason == "clock"


def test_rates_and_percentiles() -> None:
    rate = Rate(window_s=5.0)
    assert rate.per_second(0.0) == 0.0
    for n in range(101):
        rate.add(n / 20)
    assert rate.per_second(5.0) == pytest.approx(20.0)
    assert rate.per_second(100.0) == 0.0
    latencies = Latencies()
    assert latencies.percentile(0.5) is None
    for value in range(100):
        latencies.add(float(value))
    assert (latencies.percentile(0.5), latencies.percentile(0.95), latencies.percentile(1.0)) == (50.0, 95.0, 99.0)


def test_a_pace_lets_an_uneven_stream_of_its_own_rate_pass_and_thins_a_faster_one() -> None:
    pace = Pace(15.0)
    uneven = [n / 15 + (0.02 if n % 2 else 0.0) for n in range(150)]
    assert sum(pace.due(now) for now in uneven) == 150
    pace = Pace(15.0)
    assert sum(pace.due(n / 60) for n in range(600)) == pytest.approx(150, abs=2)
    assert sum(pace.due(10 + n / 60, 1.0) for n in range(600)) == pytest.approx(10, abs=1)
    assert pace.due(20.5), "who comes to look closer waits for no slower pace to end"
