"""From messages to events; what does not keep the contract is counted and left."""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from services.web.feed import Feed
from services.web.hub import Event, Hub
from shared.messages import Desired, encode_ack
from shared.metrics import Metrics
from shared.topics import Topics
from tests.support import scenes

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
TOPICS = Topics()


class Scene:
    """A feed into a hub with one viewer."""

    def __init__(self) -> None:
        self.hub = Hub()
        self.metrics = Metrics("web")
        self.wishes: list[tuple[str, dict[str, Any] | None]] = []
        self.now = NOW
        self.feed = Feed(
            TOPICS, self.hub, self.metrics, on_desired=lambda *wish: self.wishes.append(wish), now=lambda: self.now
        )

    async def events(self, *messages: tuple[str, bytes]) -> list[Event]:
        found = []
        with self.hub.subscribe() as viewer:
            for topic, payload in messages:
                self.feed.handle(topic, payload)
            self.hub.close()
            while (event := await viewer.next()) is not None:
                found.append(event)
        return found

    def bad(self, kind: str) -> float:
        return self.metrics.registry.get_sample_value("emotion_web_bad_messages_total", {"kind": kind}) or 0.0


async def test_a_live_message_is_passed_on_with_words_and_the_time_it_came() -> None:
    message = scenes.live("a", scenes.live_face(1, "happy", 0.84), scenes.unsure_face(2))
    (event,) = await Scene().events((TOPICS.live("a"), message.to_json()))
    data = json.loads(event.data)
    assert (event.kind, event.device) == ("live", "a")
    assert [item["words"]["headline"] for item in data["faces"]] == ["Looks happy", "Not sure"]
    assert data["received_at"] == "2026-03-01T12:00:00.000000Z"
    assert {key: value for key, value in data.items() if key not in ("received_at", "faces")} == {
        key: value for key, value in json.loads(message.to_json()).items() if key != "faces"
    }


async def test_stored_ids_and_previews_and_detections_become_events() -> None:
    scene = Scene()
    message = scenes.detection("a", scenes.face())
    _, *events = await scene.events(
        (TOPICS.status("a", "capture"), scenes.status("a", "capture").to_json()),
        (TOPICS.detections("a"), message.to_json()),
        (TOPICS.ack("a"), encode_ack([message.event_id])),
        (TOPICS.preview("a"), scenes.picture(device="a")),
    )
    assert [event.kind for event in events] == ["detection", "stored", "preview"]
    assert json.loads(events[1].data) == {"device": "a", "ids": [str(message.event_id)]}
    assert json.loads(events[2].data) == {
        "device": "a",
        "n": 1,
        "frame_number": 1,
        "drawn": None,
        "received_at": "2026-03-01T12:00:00.000000Z",
    }
    assert scene.hub.picture("a") is not None


async def test_a_preview_that_nobody_looks_at_is_not_kept() -> None:
    scene = Scene()
    scene.feed.handle(TOPICS.status("a", "capture"), scenes.status("a", "capture").to_json())
    scene.feed.handle(TOPICS.preview("a"), scenes.picture(device="a"))
    assert scene.hub.picture("a") is None
    assert scene.bad("preview") == 0


async def test_an_empty_retained_status_forgets_the_device() -> None:
    scene = Scene()
    await scene.events((TOPICS.status("a", "capture"), scenes.status("a", "capture").to_json()))
    assert scene.hub.devices == {"a"}
    scene.feed.handle(TOPICS.status("a", "capture"), b"")
    assert scene.hub.devices == frozenset()


async def recent(scene: Scene) -> list[Any]:
    """What somebody who begins to look at the device is told of its last minutes."""
    with scene.hub.subscribe(large="a") as viewer:
        scene.hub.close()
        while (event := await viewer.next()) is not None:
            if event.kind == "recent":
                found: list[Any] = json.loads(event.data)["readings"]
                return found
    return []


async def test_live_states_are_remembered_with_the_time_they_came_but_nothing_from_before_a_pause() -> None:
    scene = Scene()
    capture, face = TOPICS.status("a", "capture"), scenes.live("a", scenes.live_face(5)).to_json()
    scene.feed.handle(TOPICS.live("a"), face)
    ((at, faces),) = await recent(scene)
    assert (at, faces[0][0]) == (NOW.timestamp(), 5)
    scene.feed.handle(capture, scenes.status("a", "capture", "paused").to_json())
    scene.feed.handle(TOPICS.live("a"), face)  # was on its way
    assert await recent(scene) == []
    assert set(scene.hub.latest("a")) == {"status/capture"}
    scene.feed.handle(capture, scenes.status("a", "capture").to_json())
    assert await recent(scene) == []
    scene.feed.handle(TOPICS.live("a"), face)
    assert len(await recent(scene)) == 1
    scene.feed.handle(capture, scenes.status("a", "capture", "paused").to_json())
    scene.feed.handle(capture, b"")  # its retained status is taken back
    scene.feed.handle(TOPICS.live("a"), face)
    assert len(await recent(scene)) == 1


async def test_a_wish_is_handed_on_as_it_stands_on_the_wire() -> None:
    scene = Scene()
    raw = {**json.loads(Desired(device="a", paused=True).to_json()), "new": 1}
    await scene.events((TOPICS.desired("a"), json.dumps(raw).encode()), (TOPICS.desired("a"), b""))
    assert scene.wishes == [("a", raw), ("a", None)]


@pytest.mark.parametrize(
    ("kind", "topic", "payload"),
    [
        ("live", TOPICS.live("a"), scenes.live("b").to_json()),
        ("live", TOPICS.live("a"), b""),
        ("live", TOPICS.live("a"), b"\xff\xfe"),
        ("live", TOPICS.live("a"), scenes.live("a").to_json().replace(b"14.9", b"NaN")),
        ("live", TOPICS.live("a"), b'{"schema": 2}'),
        ("live", TOPICS.live("a"), b"[" * 100_000),
        ("detections", TOPICS.detections("a"), scenes.detection("b").to_json()),
        ("status", TOPICS.status("a", "capture"), scenes.status("b", "capture").to_json()),
        ("status", TOPICS.status("a", "capture"), scenes.status("a", "classifier").to_json()),
        ("ack", TOPICS.ack("a"), b'["not an id"]'),
        ("ack", TOPICS.ack("a"), b"{}"),
        ("preview", TOPICS.preview("a"), b"not a picture"),
        ("preview", TOPICS.preview("a"), scenes.picture(device="b")),
        ("preview", TOPICS.preview("a"), scenes.picture(20, 20)[:40]),
        ("desired", TOPICS.desired("a"), Desired(device="b").to_json()),
        ("other", "emotion/NOT VALID/live", b"{}"),
        ("other", TOPICS.camera("a"), b""),
    ],
)
async def test_a_bad_message_is_counted_and_nothing_is_passed_on(kind: str, topic: str, payload: bytes) -> None:
    scene = Scene()
    assert await scene.events((topic, payload)) == []
    assert scene.bad(kind) == 1
    assert scene.wishes == []


async def test_viewers_are_told_whether_the_broker_is_reached() -> None:
    scene = Scene()
    scene.feed.broker(connected=False)
    scene.feed.broker(connected=True)
    (event,) = await scene.events()
    assert json.loads(event.data)["connected"] is True


def heard(scene: Scene, service: str = "capture") -> dict[str, Any]:
    data: dict[str, Any] = json.loads(scene.hub.latest("a")[f"status/{service}"].data)
    return data


def test_what_the_broker_had_kept_says_nothing_of_when_the_device_was_heard() -> None:
    scene = Scene()
    scene.feed.handle_kept(TOPICS.status("a", "capture"), scenes.status("a", "capture").to_json())
    assert heard(scene)["received_at"] is None
    assert heard(scene)["clock_skew_s"] is None
    scene.feed.handle(TOPICS.status("a", "capture"), scenes.status("a", "capture").to_json())
    assert heard(scene)["received_at"] == "2026-03-01T12:00:00.000000Z"


@pytest.mark.parametrize("again", [Feed.handle_kept, Feed.handle])
async def test_the_same_status_again_leaves_the_time_at_which_it_came(
    again: Callable[[Feed, str, bytes], None],
) -> None:
    scene = Scene()
    topic, offline = TOPICS.status("a", "capture"), scenes.status("a", "capture", "offline").to_json()
    scene.feed.handle(topic, offline)
    scene.now += timedelta(minutes=13)
    again(scene.feed, topic, offline)
    assert heard(scene)["received_at"] == "2026-03-01T12:00:00.000000Z"
    scene.feed.handle_kept(topic, scenes.status("a", "capture", "offline").to_json())
    assert heard(scene)["received_at"] is None, "it went off while nothing was heard: when is not known"
