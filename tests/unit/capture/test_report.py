"""What capture says of itself."""

from datetime import UTC, datetime

import pytest

from services.capture.frames import Frame, SourceTrouble
from services.capture.report import Report, offline
from services.capture.spec import parse_source
from shared.messages import Source, Status, decode
from shared.metrics import Metrics

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


@pytest.fixture
def report() -> Report:
    return Report("cam", parse_source("rtsp://me:hunter2@host/live"), Metrics("capture"))


def frame(number: int) -> Frame:
    return Frame(number, b"", 640, 360, NOW, None, passthrough=True)


def test_frames_are_numbered_as_they_are_read(report: Report) -> None:
    assert [report.read() for _ in range(3)] == [0, 1, 2]


def test_the_status_keeps_the_contract_and_shows_no_password(report: Report) -> None:
    report.opened(Source(kind="url", name=report.name))
    for number in range(11):
        report.read()
        report.sent(frame(number), number / 10)
    report.rejected("picture of 1x1 pixels", 1.0)
    report.count("dropped", 2)
    payload = report.status(NOW, 1.0).to_json()
    assert b"hunter2" not in payload
    status = decode(Status, "t", payload)
    assert status.problems[0].cause == "picture of 1x1 pixels"
    assert status.values == {
        "source": "rtsp://host/live",
        "paused_by": None,
        "kind": "url",
        "fps": 10.0,
        "width": 640,
        "height": 360,
        "passthrough": True,
        "frames_read": 11,
        "frames_sent": 11,
        "frames_dropped": 2,
        "frames_rejected": 1,
        "frames_unsent": 0,
        "reopens": 0,
        "stuck_reads": 0,
        "unconfirmed": 0,
        "desired_rejected": 0,
    }


def test_the_rate_falls_to_zero_when_nothing_is_sent(report: Report) -> None:
    report.sent(frame(0), 0.0)
    report.sent(frame(1), 0.1)
    assert report.status(NOW, 60.0).values["fps"] == 0.0


def test_a_failure_is_shown_until_frames_arrive_again(report: Report) -> None:
    report.failed(SourceTrouble("The stream stopped", "x" * 1000))
    status = report.status(NOW, 0.0)
    assert status.state == "degraded"
    assert status.problems[0].title == "The stream stopped"
    report.arriving()
    status = report.status(NOW, 0.0)
    assert status.state == "online"
    assert status.problems == ()


def test_a_bad_picture_is_told_until_frames_were_good_for_a_minute(report: Report) -> None:
    report.rejected("picture of 1x1 pixels", 100.0)
    report.sent(frame(1), 159.0)
    assert report.problem("picture") is not None
    report.sent(frame(2), 161.0)
    assert report.problem("picture") is None


def test_a_burst_of_frames_is_not_a_rate(report: Report) -> None:
    for number in range(24):
        report.sent(frame(number), number / 1000)
    assert report.status(NOW, 0.1).values["fps"] == 23.0


def test_a_change_is_told_once(report: Report) -> None:
    report.arriving()
    assert report.changed.is_set()
    report.changed.clear()
    report.arriving()
    assert not report.changed.is_set()


def test_metrics_count_the_same(report: Report) -> None:
    metrics = Metrics("capture")
    counted = Report("cam", parse_source("sample"), metrics)
    counted.count("dropped", 3)
    counted.stuck()
    counted.gave_up_waiting(2)
    counted.gave_up_waiting(5)
    text = metrics.render().decode()
    assert 'emotion_capture_frames_total{outcome="dropped"} 3.0' in text
    assert "emotion_capture_stuck_reads_total 1.0" in text
    assert "emotion_capture_unconfirmed_total 5.0" in text


def test_the_last_will_says_offline() -> None:
    assert decode(Status, "t", offline("cam", NOW).to_json()).state == "offline"
