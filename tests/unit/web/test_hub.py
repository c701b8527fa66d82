"""Fan-out: order kept, only the oldest lost and counted, newcomers told the latest."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.web.hub import LIVE, MAX_KEPT, Event, Hub, Subscription, TooManyDevices, TooManyKept
from services.web.recent import KEPT_S
from tests.support import scenes


def numbered(number: int, device: str = "a") -> Event:
    return Event("detection", device, str(number))


@given(size=st.integers(1, 8), reads=st.lists(st.integers(0, 6), max_size=30))
async def test_a_slow_viewer_gets_events_in_order_and_loses_only_the_oldest_counted(
    size: int, reads: list[int]
) -> None:
    told = 0

    def on_drop(count: int) -> None:
        nonlocal told
        told += count

    hub = Hub(queue_size=size, on_drop=on_drop)
    got: list[int] = []
    with hub.subscribe() as viewer:
        for number, count in enumerate(reads):
            hub.publish(numbered(number))
            for _ in range(min(count, number + 1 - len(got) - viewer.dropped)):
                event = await viewer.next()
                assert event is not None
                got.append(int(event.data))
        hub.close()  # takes a place in the queue, so the last `size - 1` are sure to be there
        while (event := await viewer.next()) is not None:
            got.append(int(event.data))
    assert got == sorted(set(got))
    assert len(got) + viewer.dropped == len(reads)
    assert told == viewer.dropped
    newest = list(range(len(reads)))[max(0, len(reads) - size + 1) :]
    assert got[len(got) - len(newest) :] == newest


async def test_a_slow_viewer_takes_nothing_from_another() -> None:
    hub = Hub(queue_size=4)
    with hub.subscribe() as slow, hub.subscribe() as fast:
        for number in range(20):
            hub.publish(numbered(number))
            event = await fast.next()
            assert event is not None
            assert event.data == str(number)
        assert (slow.dropped, fast.dropped) == (16, 0)


async def test_newcomers_are_told_the_latest_state_of_each_device_first() -> None:
    hub = Hub()
    hub.publish(Event("broker", None, "up"), keep="broker")
    hub.publish(Event("status", "a", "old"), keep="status/capture")
    hub.publish(Event("status", "a", "new"), keep="status/capture")
    hub.publish(Event("live", "b", "b live"), keep="live")
    with hub.subscribe("a") as viewer:
        hub.publish(numbered(1))
        seen = [await viewer.next() for _ in range(3)]
    assert [event.data for event in seen if event] == ["up", "new", "1"]


async def test_a_viewer_of_one_device_hears_of_no_other() -> None:
    hub = Hub()
    with hub.subscribe("a") as viewer:
        hub.publish(numbered(1, "b"))
        hub.publish(numbered(2, "a"))
        event = await viewer.next()
    assert event == numbered(2, "a")


async def test_a_viewer_without_previews_is_told_of_none_not_even_the_latest() -> None:
    hub = Hub()
    hub.publish(Event("preview", "a", "old"), keep="preview")
    with hub.subscribe(previews=False) as viewer:
        hub.publish(Event("preview", "a", "new"), keep="preview")
        hub.publish(numbered(1))
        assert await viewer.next() == numbered(1)


async def test_closing_ends_every_viewer_and_those_who_come_later() -> None:
    hub = Hub()
    with hub.subscribe() as viewer:
        waiting = asyncio.create_task(viewer.next())
        hub.close()
        assert await waiting is None
    with hub.subscribe() as late:
        assert await late.next() is None
    assert hub.viewers == 0


async def test_only_known_devices_with_a_viewer_who_wants_pictures_are_watched() -> None:
    hub = Hub()
    hub.publish(Event("status", "a", ""), keep="status/capture")
    hub.publish(Event("status", "b", ""), keep="status/capture")
    assert hub.watched() == frozenset()
    with hub.subscribe(previews=False):
        assert hub.watched() == frozenset()
    with hub.subscribe("b"), hub.subscribe("unknown"):
        assert hub.watched() == {"b"}
    with hub.subscribe():
        assert hub.watched() == {"a", "b"}
    assert hub.watched() == frozenset()


async def test_pictures_nobody_renews_are_let_go() -> None:
    now = 0.0
    hub = Hub(clock=lambda: now)
    assert hub.put_picture("a", b"1") == 1
    assert hub.put_picture("a", b"2") == 2
    hub.publish(Event("preview", "a", "2"), keep="preview")
    hub.publish(Event("live", "a", "here"), keep="live")
    now = 9.0
    hub.drop_pictures(10.0)
    picture = hub.picture("a")
    assert picture is not None
    assert picture.jpeg == b"2"
    now = 11.0
    hub.drop_pictures(10.0)
    assert hub.picture("a") is None
    with hub.subscribe() as newcomer:
        event = await newcomer.next()
        assert event is not None
        assert event.kind == "live"  # and is not sent to a picture that is gone


async def test_one_device_too_many_is_refused_and_the_rest_goes_on() -> None:
    hub = Hub(max_devices=1)
    hub.publish(Event("live", "a", ""), keep="live")
    with pytest.raises(TooManyDevices):
        hub.publish(Event("live", "b", ""), keep="live")
    hub.forget("a", "live")
    hub.publish(Event("live", "b", ""), keep="live")
    assert hub.devices == {"b"}


def test_a_device_that_makes_up_services_is_not_remembered_without_end() -> None:
    hub = Hub()
    for number in range(MAX_KEPT):
        hub.publish(Event("status", "a", ""), keep=f"status/{number}")
    hub.publish(Event("status", "a", "newer"), keep="status/0")
    with pytest.raises(TooManyKept):
        hub.publish(Event("status", "a", ""), keep="status/another")
    assert len(hub.latest("a")) == MAX_KEPT
    assert hub.latest("a")["status/0"].data == "newer"


def test_previews_beyond_a_limit_push_out_the_oldest() -> None:
    now = 0.0
    hub = Hub(max_picture_bytes=250, clock=lambda: now)
    for device in "abc":
        now += 1
        hub.put_picture(device, bytes(100))
    assert [hub.picture(device) is not None for device in "abc"] == [False, True, True]
    hub.put_picture("c", bytes(300))
    assert hub.picture("b") is None
    assert hub.picture("c") is not None


async def test_a_wall_gets_all_of_the_large_device_and_now_and_then_something_of_the_others() -> None:
    now = 0.0
    hub = Hub(clock=lambda: now)
    with hub.subscribe(wall=True, large="b") as wall, hub.subscribe() as whole:
        for number in range(10):  # a second of ten frames
            now = number / 10
            for device in ("a", "b"):
                hub.publish(Event("live", device, f"{device}{number}"))
            hub.publish(Event("detection", "a", f"d{number}"))
        hub.close()
        seen = [event.data async for event in _all(wall)]
        assert [data for data in seen if data[0] == "a"] == ["a0", "a5"]
        assert [data for data in seen if data[0] == "b"] == [f"b{n}" for n in range(10)]
        assert [data for data in seen if data[0] == "d"] == [f"d{n}" for n in range(10)]
        assert wall.dropped == 0, "what a wall leaves out is not lost"
        assert len([event async for event in _all(whole)]) == 30


async def _all(subscription: Subscription) -> AsyncIterator[Event]:
    while (event := await subscription.next()) is not None:
        yield event


def read(hub: Hub, device: str) -> None:
    """A live state of a device comes: passed on, kept and remembered, as the feed does it."""
    hub.publish(Event("live", device, ""), keep=LIVE)
    hub.remember(scenes.live(device, scenes.live_face()), datetime(2026, 3, 1, 12, tzinfo=UTC))


async def told(hub: Hub, large: str | None = None, then: Callable[[], None] = lambda: None, **view: Any) -> list[Event]:
    """What a newcomer is told, and what `then` makes follow."""
    with hub.subscribe(large=large, **view) as viewer:
        then()
        hub.close()
        return [event async for event in _all(viewer)]


def kinds(events: list[Event]) -> list[tuple[str, str | None]]:
    return [(event.kind, event.device) for event in events]


async def test_who_looks_at_a_device_large_is_told_its_last_minutes_first_and_of_no_other() -> None:
    hub = Hub()
    for device in ("a", "b"):
        read(hub, device)
    events = await told(hub, "b", lambda: read(hub, "b"), wall=True)
    assert kinds(events) == [("live", "a"), ("recent", "b"), ("live", "b"), ("live", "b")]
    recent = json.loads(events[1].data)
    assert recent["device"] == "b"
    assert [[face[0] for face in faces] for _, faces in recent["readings"]] == [[1]]


@pytest.mark.parametrize(
    "view",
    [
        {},
        {"wall": True},
        {"wall": True, "large": "unknown"},
        {"wall": True, "large": "a", "previews": False},  # a page that nobody looks at
        {"device": "a"},
        {"device": "b", "large": "a"},
    ],
)
async def test_who_draws_no_timeline_is_told_no_last_minutes(view: dict[str, Any]) -> None:
    hub = Hub()
    read(hub, "a")
    assert "recent" not in dict(kinds(await told(hub, then=lambda: hub.erase_readings("a"), **view)))


async def test_a_device_that_has_been_silent_for_longer_than_a_timeline_has_no_last_minutes() -> None:
    now = 0.0
    hub = Hub(clock=lambda: now)
    read(hub, "a")
    now = KEPT_S + 1
    assert kinds(await told(hub, "a")) == [("live", "a")]


async def test_nothing_older_than_a_timeline_is_held() -> None:
    now = 0.0
    hub = Hub(clock=lambda: now)
    read(hub, "a")
    now = KEPT_S + 1
    hub.drop_old_readings()
    now = 0.0  # at which it would be told if it were there
    assert kinds(await told(hub, "a")) == [("live", "a")]


async def test_what_is_forgotten_is_told_to_no_newcomer() -> None:
    hub = Hub()
    for device in ("a", "b"):
        hub.publish(Event("status", device, ""), keep="status/capture")
        read(hub, device)
    hub.forget_readings("a")
    hub.forget_readings("unknown")
    assert hub.devices == {"a", "b"}
    assert kinds(await told(hub, "a", device="a")) == [("status", "a")]
    assert kinds(await told(hub, "b", device="b")) == [("recent", "b"), ("status", "b"), ("live", "b")]


@pytest.mark.parametrize(("erased", "left"), [("a", "b"), ("b", ""), (None, "")])
async def test_what_is_erased_is_taken_from_those_who_look_too(erased: str | None, left: str) -> None:
    hub = Hub()
    for device in ("a", "b"):
        read(hub, device)
    events = await told(hub, "b", lambda: hub.erase_readings(erased))
    emptied = [event.data for event in events if event.kind == "recent"][1:]
    assert emptied == ([] if left else ['{"device":"b","readings":[]}'])
    assert dict(kinds(await told(hub, "b"))).get("recent", "") == left
