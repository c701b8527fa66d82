"""When devices were last heard, in a real browser: of one that fell silent, of one that the broker only remembers, and
while nobody can be heard."""

import asyncio
from datetime import UTC, datetime, timedelta, tzinfo
from typing import ClassVar, Self

import pytest
from playwright.async_api import Browser, expect

from shared.settings import MqttSettings
from tests.conftest import Mosquitto
from tests.support import scenes
from tests.support.browser import Device, visiting
from tests.support.web import running_web, web_settings

pytestmark = pytest.mark.timeout(180)


class Heartbeats(datetime):
    """The clock of the stream's heartbeats, which can be set ahead of the one by which messages come in."""

    ahead: ClassVar = timedelta()

    @classmethod
    def now(cls, tz: tzinfo | None = None) -> Self:
        return super().now(tz) + cls.ahead


@pytest.fixture
def heartbeats(monkeypatch: pytest.MonkeyPatch) -> type[Heartbeats]:
    monkeypatch.setattr(Heartbeats, "ahead", timedelta())
    monkeypatch.setattr("services.web.routes.live.datetime", Heartbeats)
    return Heartbeats


@pytest.mark.parametrize("path", ["/", "/?device=camera-1", "/devices"])
async def test_a_device_that_fell_silent_is_not_shown_as_online(
    browser: Browser, own_mosquitto: Mosquitto, heartbeats: type[Heartbeats], path: str
) -> None:
    mqtt = own_mosquitto.settings
    async with (
        running_web(web_settings(mqtt)) as base,
        Device(mqtt).linked() as device,
        Device(mqtt, "camera-2").linked() as other,
        visiting(browser, base + path) as visit,
    ):
        card = visit.page.get_by_role("article", name="camera-1")
        state, problems = card.locator("[data-part=state]"), card.locator(".problems")

        async def tell() -> None:
            """Just now, whatever has taken how long before."""
            for service in ("capture", "classifier"):
                await device.status(service)
                await other.status(service)

        await tell()
        await expect(state).to_have_text("Online")
        await tell()
        heartbeats.ahead = timedelta(minutes=4)
        await expect(state).to_have_text("Not heard for 4 min")
        await expect(state).to_have_attribute("data-tone", "warn")
        await expect(problems.locator("strong")).to_have_text(["The device is not heard"])
        await expect(problems).to_contain_text("Check that the device has power and network")
        if path == "/devices":
            await expect(card.locator("[data-part=seen]")).to_have_text("Last heard 4 min ago")
            await expect(card.locator("[data-part=recording]")).to_contain_text("when last heard")
        else:
            note = card.locator("[data-part=picture-note]")
            await expect(note).to_contain_text("No picture: nothing is heard from the device since")
        heartbeats.ahead = timedelta()
        await tell()
        await expect(state).to_have_text("Online")
        await expect(problems.locator("li")).to_have_count(0)
        heartbeats.ahead = timedelta(minutes=4)
        await asyncio.to_thread(own_mosquitto.kill)
        await expect(state).to_have_text("Online when last heard")
        await expect(problems.locator("li")).to_have_count(0)


async def test_one_silent_service_of_two_is_a_problem_of_the_device(
    browser: Browser, mqtt_settings: MqttSettings, heartbeats: type[Heartbeats]
) -> None:
    async with (
        running_web(web_settings(mqtt_settings)) as base,
        Device(mqtt_settings).linked() as device,
        visiting(browser, f"{base}/devices") as visit,
    ):
        card = visit.page.get_by_role("article", name="camera-1")
        await device.status("capture")
        heartbeats.ahead = timedelta(minutes=4)
        await expect(card.locator("[data-part=state]")).to_have_text("Not heard for 4 min")
        await device.status("classifier", "offline")
        await expect(card.locator("[data-part=state]")).to_have_text("Offline")
        await expect(card.locator(".problems")).to_contain_text("Capture is not heard")


async def test_what_the_broker_remembers_is_not_taken_for_news(
    browser: Browser, mqtt_settings: MqttSettings, heartbeats: type[Heartbeats]
) -> None:
    """A device's own time stands in where nobody heard it; of a last will, which is as old as its connection, none."""
    async with Device(mqtt_settings).linked() as device, Device(mqtt_settings, "camera-2").linked() as gone:
        months_old = scenes.status("camera-1", "capture").model_copy(
            update={"at": datetime.now(UTC) - timedelta(days=92)}
        )
        topic = device.topics.status("camera-1", "capture")
        await device.link.publish(topic, months_old.to_json(), qos=1, retain=True)
        await gone.status("capture", "offline")
        async with running_web(web_settings(mqtt_settings)) as base, visiting(browser, f"{base}/devices") as visit:
            card = visit.page.get_by_role("article", name="camera-1")
            await expect(card.locator("[data-part=seen]")).to_have_text("Last heard 92 days ago")
            heartbeats.ahead = timedelta(minutes=1)
            await expect(card.locator("[data-part=state]")).to_have_text("Not heard for 92 days")
            off = visit.page.get_by_role("article", name="camera-2")
            await expect(off.locator("[data-part=state]")).to_have_text("Offline")
            await expect(off.locator(".problems")).to_contain_text("It was so already when this page’s server")
            await expect(off.locator("[data-part=seen]")).to_have_text(
                "Last heard before this page’s server began to listen"
            )
            await visit.page.goto(f"{base}/?device=camera-2")
            await expect(off.locator("[data-part=picture-note]")).to_have_text(
                "No picture: the device is offline, see above."
            )


SLEPT = """async () => {
  const made = [];
  const toBytes = new TextEncoder();
  window.fetch = async () => new Response(new ReadableStream({ start: (stream) => { made.push(stream); } }));
  const { Stream } = await import("/static/stream.js");
  let heard = () => {};
  const stream = new Stream(() => heard(), () => {}, {});
  const beat = async (at) => {
    const taken = new Promise((resolve) => { heard = resolve; });
    made.at(-1).enqueue(toBytes.encode(`event: heartbeat\\ndata: ${JSON.stringify({ at, lost: 0 })}\\n\\n`));
    await taken;
    return new Date(stream.heardUntil).toISOString().slice(11, 19);
  };
  stream.open();
  const told = [await beat("2026-03-01T12:00:00Z"), await beat("2026-03-01T12:00:05Z")];
  stream.rest();
  stream.wake();
  return [...told, await beat("2026-03-01T15:00:00Z"), await beat("2026-03-01T15:00:05Z")];
}"""


async def test_a_page_that_slept_judges_nobody_before_it_has_heard_the_latest(
    browser: Browser, mqtt_settings: MqttSettings
) -> None:
    async with running_web(web_settings(mqtt_settings)) as base, visiting(browser, f"{base}/camera") as visit:
        assert await visit.page.evaluate(SLEPT) == ["12:00:00", "12:00:05", "12:00:05", "15:00:05"]
