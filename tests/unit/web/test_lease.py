"""The watch lease: renewed while somebody looks, and nothing else in a wish is touched."""

import asyncio
import json
from collections import deque
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.web import lease as leases
from services.web.hub import Event, Hub
from services.web.lease import WatchLease
from shared.messages import Desired, Sampling, decode, rfc3339
from shared.mqtt import NotConnected
from tests.support.patience import WAIT_S

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


async def nowhere(_device: str, _payload: bytes) -> None:
    raise AssertionError("nothing is to be published")


def a_hub_with(*devices: str) -> Hub:
    hub = Hub()
    for device in devices:
        hub.publish(Event("status", device, "{}"), keep="status/capture")
    return hub


def due(lease: WatchLease, hub: Hub) -> list[tuple[str, bytes]]:
    """The devices that are watched and whose lease needs renewing, each with what would be sent."""
    renewed = {device: lease.renewal(device, NOW) for device in sorted(hub.watched())}
    return [(device, json.dumps(wish).encode()) for device, wish in renewed.items() if wish is not None]


def test_a_watched_device_is_asked_until_now_and_the_lease() -> None:
    hub = a_hub_with("a", "b")
    lease = WatchLease(hub, nowhere, 15)
    with hub.subscribe("b"):
        ((device, payload),) = due(lease, hub)
    assert device == "b"
    assert decode(Desired, "t", payload) == Desired(device="b", watch_until=NOW + timedelta(seconds=15))


def test_what_else_is_wished_survives_even_fields_of_a_newer_version() -> None:
    hub = a_hub_with("a")
    lease = WatchLease(hub, nowhere, 15)
    wish = Desired(device="a", paused=True, sampling=Sampling(mode="on", every_s=5.0))
    lease.heard("a", {**json.loads(wish.to_json()), "from_the_future": [1]})
    with hub.subscribe():
        ((_, payload),) = due(lease, hub)
    assert decode(Desired, "t", payload) == wish.model_copy(update={"watch_until": NOW + timedelta(seconds=15)})
    assert json.loads(payload)["from_the_future"] == [1]


def test_a_lease_is_renewed_from_half_its_time_on_and_never_shortened() -> None:
    hub = a_hub_with("a")
    lease = WatchLease(hub, nowhere, 16)
    with hub.subscribe():
        for left_s, count in [(9, 0), (7, 1), (-3, 1), (3600, 0)]:
            until = rfc3339(NOW + timedelta(seconds=left_s))
            lease.heard("a", {"schema": 1, "device": "a", "watch_until": until})
            assert len(due(lease, hub)) == count, left_s


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
        small, large = (json.loads(payload) for _, payload in due(lease, hub))
        assert small.items() >= wall.items()
        assert (large["preview_fps"], large["preview_clean"]) == (None, True)
        lease.heard("a", small)
        lease.heard("b", large)
        assert due(lease, hub) == []
        with hub.subscribe("a"):  # asked for at once, not only when the lease is renewed
            ((device, payload),) = due(lease, hub)
            assert device == "a"
            assert decode(Desired, "t", payload) == Desired(device="a", watch_until=NOW + timedelta(seconds=15))
            lease.heard("a", json.loads(payload))
        assert due(lease, hub) == [], "less is enough again: told with the next renewal"


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class Wire:
    """A broker's topic: holds the last wish that it took, and tells of each in the order in which it took them."""

    def __init__(self) -> None:
        self.held: dict[str, Any] = {}
        self.on_its_way: deque[dict[str, Any]] = deque()
        self.silent = False

    def take(self, wish: dict[str, Any]) -> None:
        if not self.silent:
            self.held = wish
            self.on_its_way.append(wish)

    async def publish(self, _device: str, payload: bytes) -> None:
        self.take(json.loads(payload))


def connected(wire: Wire, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> WatchLease:
    monkeypatch.setattr(leases, "SETTLE_S", 0.0)
    lease = WatchLease(Hub(), wire.publish, 15, clock)
    lease.connected()
    return lease


async def test_a_wish_is_not_lost_to_the_echo_of_an_older_one(monkeypatch: pytest.MonkeyPatch) -> None:
    wire = Wire()
    lease = connected(wire, Clock(), monkeypatch)
    await lease.change("a", {"paused": True})
    await lease.change("a", {"model": "other"})
    lease.heard("a", wire.on_its_way.popleft())
    assert (await lease.change("a", {"sampling": {"mode": "on"}})).items() >= {"paused": True, "model": "other"}.items()
    renewed = lease.renewal("a", NOW)
    assert renewed is not None
    assert renewed["model"] == "other"


async def test_another_s_wish_is_heard_though_a_broker_drops_ours_in_silence(monkeypatch: pytest.MonkeyPatch) -> None:
    wire, clock = Wire(), Clock()
    lease = connected(wire, clock, monkeypatch)
    wire.silent = True
    await lease.change("a", {"paused": True})
    others = {"schema": 1, "device": "a", "model": "theirs"}
    lease.heard("a", others)
    wish = lease.wish("a")
    assert wish is not None
    assert wish["paused"] is True, "it may still come, and then replaces the other's"
    clock.now += 30
    assert lease.wish("a") == others
    await lease.change("a", {"paused": False})
    clock.now += 30
    wish = lease.wish("a")
    assert wish is not None
    assert (wish["model"], wish["paused"]) == ("theirs", False), "nobody said otherwise"


async def test_what_could_not_be_sent_is_not_wished(monkeypatch: pytest.MonkeyPatch) -> None:
    wire = Wire()

    async def fails(_device: str, _payload: bytes) -> None:
        raise NotConnected("gone")

    lease = connected(wire, Clock(), monkeypatch)
    kept = await lease.change("a", {"paused": True})
    monkeypatch.setattr(lease, "_publish", fails)
    with pytest.raises(NotConnected):
        await lease.change("a", {"model": "other"})
    assert lease.wish("a") == kept


async def test_after_a_connection_was_lost_what_the_broker_holds_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    wire = Wire()
    lease = connected(wire, Clock(), monkeypatch)
    ours = await lease.change("a", {"paused": True})
    lease.disconnected()
    lease.connected()
    assert lease.wish("a") == ours
    lease.heard("a", others := {"schema": 1, "device": "a", "model": "theirs"})
    assert lease.wish("a") == others


STEPS = st.lists(st.sampled_from(["change", "renew", "another", "hear"]), max_size=30)


@given(steps=STEPS)
def test_no_wish_of_ours_is_lost_and_in_the_end_the_wire_is_known_however_late_it_tells(steps: list[str]) -> None:
    """Only what another program writes replaces what was wished before, as far as that is not heard of yet."""

    async def play() -> None:
        wire = Wire()
        with pytest.MonkeyPatch.context() as patch:
            lease = connected(wire, Clock(), patch)
            wished: dict[str, int] = {}
            for number, step in enumerate(steps):
                if step == "change":
                    name = f"field {number % 3}"
                    wished[name] = number
                    await lease.change("a", {name: number})
                elif step == "renew":
                    renewed = lease.renewal("a", NOW + timedelta(seconds=number))
                    if renewed is not None:
                        await lease._send("a", renewed)
                elif step == "another":
                    # Made of what the wire holds, as a careful program does.
                    wire.take({**wire.held, "schema": 1, "device": "a", "theirs": number})
                elif wire.on_its_way:
                    lease.heard("a", wire.on_its_way.popleft())
                assert wire.held.items() >= wished.items()
            while wire.on_its_way:
                lease.heard("a", wire.on_its_way.popleft())
            assert (lease.wish("a") or {}) == wire.held

    asyncio.run(play())


@pytest.mark.parametrize(("within_s", "is_kept"), [(WAIT_S, True), (0.0, False)])
async def test_a_preview_outlives_the_last_who_looked_by_a_moment(
    monkeypatch: pytest.MonkeyPatch, within_s: float, is_kept: bool
) -> None:
    monkeypatch.setattr(leases, "_BACK_WITHIN_S", within_s)
    hub = a_hub_with("a")
    hub.put_picture("a", b"a picture")
    renewing = asyncio.create_task(WatchLease(hub, nowhere, 15).run())
    for _ in range(5):  # until it waits
        await asyncio.sleep(0)
    with hub.subscribe():
        assert (hub.picture("a") is not None) == is_kept
    renewing.cancel()
    await asyncio.wait([renewing])
