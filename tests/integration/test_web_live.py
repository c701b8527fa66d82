"""The live stream over real HTTP, fed through a real Mosquitto."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import pytest
from blockbuster import blockbuster_ctx

import shared.health
from services.web.main import run
from shared.messages import Desired, decode, encode_ack
from shared.mqtt import MqttLink
from shared.settings import MqttSettings
from tests.conftest import Mosquitto
from tests.support import scenes
from tests.support.events import Events
from tests.support.patience import STOPS_WITHIN_S, WAIT_S
from tests.support.web import check_problem, running_web, web_settings


@asynccontextmanager
async def connected(link: MqttLink) -> AsyncIterator[MqttLink]:
    task = asyncio.create_task(link.run())
    await link.connected.wait()
    try:
        yield link
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@asynccontextmanager
async def watching(base: str, query: str = "") -> AsyncIterator[Events]:
    async with (
        httpx.AsyncClient(base_url=base, timeout=WAIT_S) as client,
        client.stream("GET", f"/api/v1/live{query}") as answer,
    ):
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith("text/event-stream")
        yield Events(answer.aiter_lines())


async def test_a_viewer_sees_what_is_published_in_words(mqtt_settings: MqttSettings) -> None:
    topics = mqtt_settings.topics
    async with (
        running_web(web_settings(mqtt_settings)) as base,
        connected(MqttLink(mqtt_settings)) as edge,
        watching(base) as events,
    ):
        assert (await events.until("broker"))["connected"] is True
        await edge.publish(topics.status("a", "capture"), scenes.status("a", "capture").to_json(), qos=1, retain=True)
        assert (await events.until("status"))["service"] == "capture"

        await edge.publish(topics.live("a"), scenes.live("a", scenes.live_face(1, "sad", 0.62)).to_json())
        live = await events.until("live")
        assert live["faces"][0]["words"]["headline"] == "Looks sad"

        detection = scenes.detection("a", scenes.face())
        await edge.publish(topics.detections("a"), detection.to_json(), qos=1)
        assert (await events.until("detection"))["event_id"] == str(detection.event_id)
        await edge.publish(topics.ack("a"), encode_ack([detection.event_id]), qos=1)
        assert (await events.until("stored"))["ids"] == [str(detection.event_id)]

        jpeg = scenes.picture(device="a")
        await edge.publish(topics.preview("a"), jpeg)
        number = (await events.until("preview"))["n"]
        async with httpx.AsyncClient(base_url=base, timeout=WAIT_S) as client:
            answer = await client.get("/api/v1/devices/a/preview.jpg", params={"n": number})
        assert answer.content == jpeg
        assert answer.headers["cache-control"] == "no-store"


async def test_newcomers_see_the_retained_state_and_only_the_device_they_asked_for(
    mqtt_settings: MqttSettings,
) -> None:
    topics = mqtt_settings.topics
    async with connected(MqttLink(mqtt_settings)) as edge:
        for device in ("a", "b"):
            payload = scenes.status(device, "capture").to_json()
            await edge.publish(topics.status(device, "capture"), payload, qos=1, retain=True)
        async with running_web(web_settings(mqtt_settings)) as base:
            async with watching(base) as events:
                assert {(await events.until("status"))["device"] for _ in range(2)} == {"a", "b"}
            async with watching(base, "?device=b") as events:
                assert (await events.until("status"))["device"] == "b"
                await edge.publish(topics.live("a"), scenes.live("a").to_json())
                await edge.publish(topics.live("b"), scenes.live("b").to_json())
                assert (await events.until("live"))["device"] == "b"


async def test_bad_messages_harm_nobody_and_are_counted(mqtt_settings: MqttSettings) -> None:
    topics = mqtt_settings.topics
    async with (
        running_web(web_settings(mqtt_settings)) as base,
        connected(MqttLink(mqtt_settings)) as edge,
        watching(base) as events,
    ):
        for payload in (b"", b"\x00", b"{}", b'{"schema": 9}', scenes.live("b").to_json()):
            await edge.publish(topics.live("a"), payload, qos=1)
        await edge.publish(topics.preview("a"), b"no picture", qos=1)
        await edge.publish(topics.live("a"), scenes.live("a", number=77).to_json(), qos=1)
        assert (await events.until("live"))["frame_number"] == 77
        async with httpx.AsyncClient(base_url=base, timeout=WAIT_S) as client:
            metrics = (await client.get("/metrics")).text
        assert 'emotion_web_bad_messages_total{kind="live"} 5.0' in metrics
        assert 'emotion_web_bad_messages_total{kind="preview"} 1.0' in metrics


async def test_devices_are_asked_for_previews_while_somebody_looks_and_else_left_as_they_are(
    mqtt_settings: MqttSettings,
) -> None:
    topics = mqtt_settings.topics
    wishes: asyncio.Queue[Desired] = asyncio.Queue()
    edge = MqttLink(mqtt_settings)
    edge.subscribe(topics.desired("a"), lambda t, p: wishes.put_nowait(decode(Desired, t, p)), qos=1)
    of_another: asyncio.Queue[Desired] = asyncio.Queue()
    edge.subscribe(topics.desired("b"), lambda t, p: of_another.put_nowait(decode(Desired, t, p)), qos=1)
    async with connected(edge):
        await edge.publish(topics.desired("a"), Desired(device="a", paused=True).to_json(), qos=1, retain=True)
        assert (await wishes.get()).watch_until is None
        for name in ("a", "b"):
            status = scenes.status(name, "capture").to_json()
            await edge.publish(topics.status(name, "capture"), status, qos=1, retain=True)
        async with running_web(web_settings(mqtt_settings, watch_lease_s=3.0)) as base:
            async with watching(base, "?previews=false"), watching(base, "?device=b"):
                assert (await of_another.get()).watch_until is not None  # in one go with all whose time had come
                assert wishes.empty()
            async with watching(base):
                first = await wishes.get()
                second = await wishes.get()
            assert first.watch_until is not None
            assert second.watch_until is not None
            assert first.watch_until < second.watch_until
            assert (first.paused, second.paused) == (True, True)
            async with httpx.AsyncClient(base_url=base, timeout=WAIT_S) as client:
                item, _ = (await client.get("/api/v1/devices")).json()["items"]
            assert item["desired"]["paused"] is True


async def test_a_lost_broker_is_told_and_its_return_too(own_mosquitto: Mosquitto) -> None:
    async with running_web(web_settings(own_mosquitto.settings)) as base, watching(base) as events:
        assert (await events.until("broker"))["connected"] is True
        await asyncio.to_thread(own_mosquitto.kill)
        assert (await events.until("broker"))["connected"] is False
        await asyncio.to_thread(own_mosquitto.start)
        assert (await events.until("broker"))["connected"] is True


async def test_it_stops_at_once_with_viewers_connected_and_ends_their_streams(
    mqtt_settings: MqttSettings, no_leftover_tasks: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shared.health, "GRACE_S", int(STOPS_WITHIN_S / 2))  # how fast this machine is, is not asked
    settings = web_settings(mqtt_settings)
    async with running_web(settings) as base, watching(base) as events, watching(base) as others:
        await events.until("heartbeat")
        await others.until("heartbeat")
        stopping = next(task for task in asyncio.all_tasks() if task.get_name() == "web")
        stopping.cancel()
        async with asyncio.timeout(STOPS_WITHIN_S):
            await asyncio.gather(stopping, return_exceptions=True)
        while (await events.next())[0] != "end":
            pass
        async with httpx.AsyncClient(base_url=base, timeout=WAIT_S) as client:
            with pytest.raises(httpx.ConnectError):
                await client.get("/healthz")


async def test_one_viewer_too_many_is_told_when_to_come_back(mqtt_settings: MqttSettings) -> None:
    async with running_web(web_settings(mqtt_settings, max_viewers=1)) as base, watching(base) as events:
        await events.until("heartbeat")
        async with httpx.AsyncClient(base_url=base, timeout=WAIT_S) as client:
            answer = await client.get("/api/v1/live")
        check_problem(answer, 503, "too-many-viewers")
        assert answer.headers["retry-after"] == "10"


async def test_nothing_blocks_the_loop(mqtt_settings: MqttSettings) -> None:
    topics = mqtt_settings.topics
    with blockbuster_ctx("services.web"):
        async with (
            running_web(web_settings(mqtt_settings)) as base,
            connected(MqttLink(mqtt_settings)) as edge,
            watching(base) as events,
            httpx.AsyncClient(base_url=base, timeout=WAIT_S) as client,
        ):
            await edge.publish(topics.live("a"), scenes.live("a", scenes.live_face()).to_json())
            await events.until("live")
            for path in ("/", "/api/v1/docs", "/api/v1/openapi.json", "/metrics"):
                assert (await client.get(path)).status_code == 200
            for name, media_type in (
                ("live.js", "text/javascript"),
                ("app.css", "text/css"),
                ("icon.svg", "image/svg"),
            ):
                answer = await client.get(f"/static/{name}")
                assert answer.status_code == 200
                assert answer.headers["content-type"].startswith(media_type)


async def test_a_taken_port_is_one_clear_line(mqtt_settings: MqttSettings) -> None:
    settings = web_settings(mqtt_settings)
    async with running_web(settings):
        with pytest.raises(Exception, match=f"cannot listen on 127.0.0.1:{settings.port}: the port is taken"):
            await run(settings)
