import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.topics import Topic, Topics

TOPICS = Topics("emotion")


@given(st.from_regex(r"\A[a-z0-9-]{1,32}\Z"))
def test_what_is_built_is_parsed_again(device: str) -> None:
    assert TOPICS.parse(TOPICS.detections(device)) == Topic(device, "detections", "")
    assert TOPICS.parse(TOPICS.frames(device, "x")) == Topic(device, "frames", "x")
    assert TOPICS.parse(TOPICS.status(device, "capture")) == Topic(device, "status", "capture")


@pytest.mark.parametrize(
    "topic",
    [
        "",
        "emotion",
        "emotion/",
        "emotion/dev",
        "other/dev/live",
        "emotion/De v/live",
        "emotion/+/live",
        "x/emotion/d/live",
    ],
)
def test_what_is_not_ours_is_none(topic: str) -> None:
    assert TOPICS.parse(topic) is None
