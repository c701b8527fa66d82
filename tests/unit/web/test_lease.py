"""The watch lease: renewed while somebody looks, and nothing else in a wish is touched."""

import json
from datetime import UTC, datetime, timedelta

from services.web.hub import Event, Hub
from services.web.lease import WatchLease
from shared.messages import Desired, Sampling, decode, rfc3339

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


async def nowhere(_device: str, _payload: bytes) -> None:
    raise AssertionError("nothing is to be published")


def a_hub_with(*devices: str) -> Hub:
    hub = Hub()
    for device in devices:
        hub.publish(Event("status", device, "{}"), keep="status/capture")
    return hub


def test_nothing_is_due_while_nobody_looks() -> None:
    assert WatchLease(a_hub_with("a"), nowhere, 15).due(NOW) == []


def test_a_watched_device_is_asked_until_now_and_the_lease() -> None:
    hub = a_hub_with("a", "b")
    lease = WatchLease(hub, nowhere, 15)
    with hub.subscribe("b"):
        ((device, payload),) = lease.due(NOW)
    assert device == "b"
    assert decode(Desired, "t", payload) == Desired(device="b", watch_until=NOW + timedelta(seconds=15))


def test_what_else_is_wished_survives_even_fields_of_a_newer_version() -> None:
    hub = a_hub_with("a")
    lease = WatchLease(hub, nowhere, 15)
    wish = Desired(device="a", paused=True, sampling=Sampling(mode="on", every_s=5.0))
    lease.heard("a", {**json.loads(wish.to_json()), "from_the_future": [1]})
    with hub.subscribe():
        ((_, payload),) = lease.due(NOW)
    assert decode(Desired, "t", payload) == wish.model_copy(update={"watch_until": NOW + timedelta(seconds=15)})
    assert json.loads(payload)["from_the_future"] == [1]


def test_a_lease_is_renewed_from_half_its_time_on_and_never_shortened() -> None:
    hub = a_hub_with("a")
    lease = WatchLease(hub, nowhere, 16)
    with hub.subscribe():
        for left_s, due in [(9, 0), (7, 1), (-3, 1), (3600, 0)]:
            until = rfc3339(NOW + timedelta(seconds=left_s))
            lease.heard("a", {"schema": 1, "device": "a", "watch_until": until})
            assert len(lease.due(NOW)) == due, left_s


def test_a_deleted_wish_is_forgotten() -> None:
    lease = WatchLease(a_hub_with("a"), nowhere, 15)
    lease.heard("a", {"paused": True})
    lease.heard("a", None)
    assert lease.wish("a") is None


def test_a_wall_is_content_with_a_clean_picture_a_second_and_anybody_else_with_all() -> None:
    hub = a_hub_with("a", "b")
    lease = WatchLease(hub, nowhere, 15)
    wall = {"preview_fps": 1.0, "preview_clean": True}
    with hub.subscribe(wall=True, large="b"):
        small, large = (json.loads(payload) for _, payload in lease.due(NOW))
        assert small.items() >= wall.items()
        assert (large["preview_fps"], large["preview_clean"]) == (None, True)
        lease.heard("a", small)
        lease.heard("b", large)
        assert lease.due(NOW) == []
        with hub.subscribe("a"):  # asked for at once, not only when the lease is renewed
            ((device, payload),) = lease.due(NOW)
            assert device == "a"
            assert decode(Desired, "t", payload) == Desired(device="a", watch_until=NOW + timedelta(seconds=15))
            lease.heard("a", json.loads(payload))
        assert lease.due(NOW) == [], "less is enough again: told with the next renewal"
