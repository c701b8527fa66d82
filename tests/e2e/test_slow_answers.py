"""What pages do with answers that come late, cross each other or are lost: in a real browser, over a real Postgres."""

import re
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import httpx
import pytest
from playwright.async_api import Browser, expect
from sqlalchemy import insert, select
from sqlalchemy.ext.asyncio import AsyncEngine

from services.web.settings import WebSettings
from shared.db.study_tables import datasets, session_markers, study_sessions
from shared.settings import DatabaseSettings, MqttSettings
from tests.integration.delivery import until
from tests.integration.test_web_control import settled
from tests.support.accounts import add_person
from tests.support.browser import Device, Held, page_of, press, stop_clock
from tests.support.labelled import kept_minute
from tests.support.patience import WAIT_S
from tests.support.web import records, running_web, web_settings

TIMELINE = r"/timeline$"
DEVICES = r"/api/v1/devices$"
REFRESH_MS = 10_000
LIST_MS = 15_000

pytestmark = pytest.mark.timeout(300)


@pytest.fixture
async def engine(database_settings: DatabaseSettings) -> AsyncIterator[AsyncEngine]:
    begin = datetime.now(UTC) - timedelta(minutes=2)
    async with records(database_settings, begin.date(), datetime.now(UTC).date()) as engine:
        await kept_minute(engine, begin)
        yield engine


@pytest.fixture
def settings(mqtt_settings: MqttSettings, database_settings: DatabaseSettings, engine: AsyncEngine) -> WebSettings:
    return web_settings(mqtt_settings, database_settings)


async def begun(engine: AsyncEngine, ago: timedelta) -> UUID:
    """A session of camera-1 that runs since then."""
    values: dict[str, Any] = {"participant": "P07", "devices": ["camera-1"], "created_by": "ada"}
    row = study_sessions.insert().values(**values, started_at=datetime.now(UTC) - ago).returning(study_sessions.c.id)
    async with engine.begin() as connection:
        found: UUID = (await connection.execute(row)).scalar_one()
    return found


async def notes_of(engine: AsyncEngine, session: UUID) -> str:
    async with engine.connect() as connection:
        found: str = (
            await connection.execute(select(study_sessions.c.notes).where(study_sessions.c.id == session))
        ).scalar_one()
    return found


async def test_notes_are_saved_one_after_the_other_and_the_newest_stay(
    browser: Browser, settings: WebSettings, engine: AsyncEngine
) -> None:
    session = await begun(engine, timedelta(minutes=5))
    async with running_web(settings) as base, page_of(browser, base, f"/sessions/{session}") as (page, _):
        notes, state = page.get_by_label("Free text"), page.locator("#notes-state")
        await expect(notes).to_be_editable()
        slow = await Held(page, "PATCH", f"/sessions/{session}$").begin()
        await notes.fill("one")
        await notes.blur()
        await slow.came.wait()
        await notes.fill("one two")
        await notes.blur()
        await slow.let_through()
        await expect(state).to_have_text("Saved")
        assert slow.most == 1
        assert await notes_of(engine, session) == "one two"
        assert await page.evaluate("sessionStorage.length") == 0

        # Left while an older save is under way.
        await page.unroute_all()
        slow = await Held(page, "PATCH", f"/sessions/{session}$").begin()
        await notes.fill("three")
        await notes.blur()
        await slow.came.wait()
        await notes.fill("three four")
        await page.goto(f"{base}/sessions")
        slow.release.set()

        async def newest() -> bool:
            return await notes_of(engine, session) == "three four"

        await until(newest)
        await slow.ended.wait()
        assert await newest()


async def test_the_text_of_a_marker_is_saved_one_after_the_other_and_the_newest_stays(
    browser: Browser, settings: WebSettings, engine: AsyncEngine
) -> None:
    session = await begun(engine, timedelta(minutes=5))
    marker = {
        "session_id": session,
        "at": datetime.now(UTC) - timedelta(minutes=2),
        "text": "I was lost",
        "created_by": "ada",
    }
    async with engine.begin() as connection:
        await connection.execute(insert(session_markers).values(marker))
    async with running_web(settings) as base, page_of(browser, base, f"/sessions/{session}") as (page, visit):
        text = page.get_by_label("What was noticed at")
        await expect(text).to_have_value("I was lost")
        slow = await Held(page, "PATCH", "/markers/").begin()
        await text.fill("I was lost here")
        await text.blur()
        await slow.came.wait()
        await text.fill("I was lost there")
        await text.blur()
        # Another marker draws the list anew: what is not saved yet stands as it was typed.
        await press(page.get_by_role("button", name="Mark now"))
        await expect(page.locator("#markers li")).to_have_count(2)
        await expect(text.first).to_have_value("I was lost there")
        await slow.let_through()

        async def newest() -> bool:
            async with engine.connect() as connection:
                return "I was lost there" in list(await connection.scalars(select(session_markers.c.text)))

        await until(newest)
        await page.reload()
        await expect(text.first).to_have_value("I was lost there")
        await expect(page.get_by_text("You typed something here that was not saved.")).to_have_count(0)
        assert slow.most == 1
        assert visit.complaints == []


async def test_wishes_for_a_device_are_sent_one_after_the_other_and_an_older_list_changes_none(
    browser: Browser, mqtt_settings: MqttSettings, settings: WebSettings
) -> None:
    device = Device(mqtt_settings)
    async with running_web(settings) as base, device.playing(), page_of(browser, base, "/devices") as (page, _):
        async with httpx.AsyncClient(base_url=base, timeout=WAIT_S) as api:
            await settled(api)
        card = page.get_by_role("article", name="camera-1")
        mode, send = card.get_by_label("Keep pictures"), card.get_by_role("button", name="Send to the device")
        await expect(card.locator("[data-part=state]")).to_have_text("Online")
        slow = await Held(page, "PATCH", "/desired$").begin()
        await mode.select_option("on")
        await press(send)
        await slow.came.wait()
        await mode.select_option("off")
        await press(send)
        await slow.let_through()
        wanted = card.locator("[data-part=compared]").get_by_role("row").filter(has_text="Pictures")
        await expect(wanted.get_by_role("cell").first).to_have_text("no pictures")
        assert slow.most == 1

        # A list that was asked for before, and comes after.
        await page.clock.install()
        await page.reload()
        await expect(mode).to_have_value("off")
        late = await Held(page, "GET", "/api/v1/devices$", answered=True).begin()
        await page.clock.fast_forward(LIST_MS)
        await late.came.wait()
        await mode.select_option("on")
        await press(send)
        await expect(wanted.get_by_role("cell").first).to_have_text("some pictures")
        await late.let_through()
        assert await mode.input_value() == "on"


async def test_roles_are_given_one_after_the_other_and_the_newest_stays(
    browser: Browser, settings: WebSettings, engine: AsyncEngine
) -> None:
    vera = await add_person(engine, "vera", "viewer")
    async with running_web(settings) as base, page_of(browser, base, "/people") as (page, visit):
        entry = page.get_by_role("listitem").filter(has_text="vera")
        role, change = entry.get_by_label("Role"), entry.get_by_role("button", name="Change role")
        await expect(role).to_have_value("viewer")
        slow = await Held(page, "PATCH", f"/users/{vera.id}$").begin()
        await role.select_option("researcher")
        await press(change)
        await slow.came.wait()
        await role.select_option("labeller")
        await press(change)
        await slow.let_through()
        await expect(entry.get_by_role("status")).to_have_text("Changed: vera is labeller now.")
        await page.reload()
        await expect(role).to_have_value("labeller")
        assert slow.most == 1
        assert visit.complaints == []


async def test_a_form_is_not_sent_before_its_page_takes_it(
    browser: Browser, settings: WebSettings, engine: AsyncEngine
) -> None:
    async with running_web(settings) as base, page_of(browser, base, "/devices") as (page, visit):
        script = await Held(page, "GET", "/static/sessions.js").begin()
        await page.goto(f"{base}/sessions", wait_until="commit")
        await script.came.wait()
        code, start = page.get_by_label("Participant’s code"), page.get_by_role("button", name="Start now")
        await code.fill("P07")
        await expect(start).to_be_disabled()
        await code.press("Enter")
        assert visit.complaints == []
        await script.let_through()
        await expect(page.get_by_role("checkbox", name="camera-1")).to_be_checked()
        await press(start)
        await expect(page.locator("#title")).to_have_text("Session of P07")
        assert visit.complaints == []


async def test_a_session_is_not_corrected_before_it_is_shown_nor_are_devices_that_could_not_be_listed(
    browser: Browser, settings: WebSettings, engine: AsyncEngine
) -> None:
    session = await begun(engine, timedelta(minutes=5))
    async with running_web(settings) as base, page_of(browser, base, "/sessions") as (page, _):
        slow = await Held(page, "GET", DEVICES).begin()
        await page.goto(f"{base}/sessions/{session}")
        save, form = page.get_by_role("button", name="Save the corrections"), page.locator("#correct")
        await slow.came.wait()
        await expect(save).to_be_disabled()
        await slow.let_through()
        await expect(save).to_be_enabled()
        await expect(form.get_by_role("checkbox", name="camera-1")).to_be_checked()
        await page.unroute_all()
        await page.route(re.compile(DEVICES), lambda route: route.abort())
        await page.reload()
        await expect(form).to_contain_text("The web service is not reached")
        await form.get_by_label("Condition").fill("alone")
        await press(save)
        await expect(page.locator("#facts")).to_contain_text("alone")
    async with engine.connect() as connection:
        row = (await connection.execute(select(study_sessions))).one()
    assert (row.condition, row.devices) == ("alone", ["camera-1"])


async def test_nothing_is_wished_of_a_device_before_it_is_known_what_is_wished_already(
    browser: Browser, settings: WebSettings, mqtt_settings: MqttSettings, engine: AsyncEngine
) -> None:
    async with (
        running_web(settings) as base,
        Device(mqtt_settings).playing(),
        httpx.AsyncClient(base_url=base, timeout=WAIT_S) as api,
        page_of(browser, base, "/sessions") as (page, visit),
    ):
        await settled(api)
        wished = {"mode": "on", "every_s": 5}
        answer = await api.patch("/api/v1/devices/camera-1/desired", json={"sampling": wished})
        assert answer.is_success, answer.text
        slow = await Held(page, "GET", DEVICES).begin()
        await page.goto(f"{base}/devices")
        await slow.came.wait()
        send, pictures = page.get_by_role("button", name="Send to the device"), page.get_by_label("Keep pictures")
        await expect(page.get_by_role("article", name="camera-1")).to_be_visible()
        for control in (send, pictures, page.get_by_role("button", name="Pause camera")):
            await expect(control).to_be_disabled()
        await slow.let_through()
        await expect(pictures).to_have_value("on")
        await press(send)
        await expect(page.get_by_text("Told. The table below")).to_be_visible()
        (known,) = (await api.get("/api/v1/devices")).json()["items"]
        assert known["desired"]["sampling"] == wished
        # Nor is anything taken back that somebody else wished while this page was filled in.
        await pictures.select_option("off")
        answer = await api.patch("/api/v1/devices/camera-1/desired", json={"model": "other"})
        assert answer.is_success, answer.text
        await press(send)
        await expect(page.locator("[data-part=wanted]")).to_contain_text("no pictures")
        (known,) = (await api.get("/api/v1/devices")).json()["items"]
        assert (known["desired"]["sampling"]["mode"], known["desired"]["model"]) == ("off", "other")
        assert visit.complaints == []


async def test_a_dataset_is_chosen_though_the_formats_of_exports_are_not_told_yet(
    browser: Browser, settings: WebSettings, engine: AsyncEngine
) -> None:
    async with running_web(settings) as base, page_of(browser, base, "/sessions") as (page, visit):
        slow = await Held(page, "GET", "/api/v1/export-formats$").begin()
        await page.goto(f"{base}/datasets")
        await slow.came.wait()
        name = page.locator("#new").get_by_label("Name")
        await name.fill("lab")
        await expect(page.locator("#preview-text")).to_contain_text("No face fits this choice")
        await slow.let_through()
        await expect(page.locator("#none")).to_contain_text("There are none yet")
        await expect(name).to_have_value("lab")
        assert visit.complaints == []


async def test_an_answer_that_never_comes_is_not_waited_for_without_end(
    browser: Browser, settings: WebSettings, engine: AsyncEngine
) -> None:
    session = await begun(engine, timedelta(minutes=5))
    async with running_web(settings) as base, page_of(browser, base, f"/sessions/{session}") as (page, visit):
        notes, state = page.get_by_label("Free text"), page.locator("#notes-state")
        await expect(notes).to_be_editable()
        await stop_clock(page)
        lost = await Held(page, "PATCH", f"/sessions/{session}$").begin()
        await notes.fill("seen")
        await notes.blur()
        await lost.came.wait()
        await page.clock.fast_forward(59_000)
        await expect(state).to_have_text("Saving")
        await page.clock.fast_forward(1_000)
        await lost.ended.wait()
        await expect(state).to_contain_text("The web service is not reached.")
        await page.clock.fast_forward(10_000)
        await expect(state).to_have_text("Saved")
        assert await notes_of(engine, session) == "seen"
        lost = await Held(page, "GET", DEVICES).begin()
        await page.goto(f"{base}/sessions")
        await lost.came.wait()
        await page.clock.fast_forward(60_000)
        await expect(page.get_by_role("main")).to_contain_text("The web service is not reached")
        assert visit.complaints == []


async def test_an_older_timeline_does_not_replace_the_one_that_was_asked_for_since(
    browser: Browser, settings: WebSettings, engine: AsyncEngine
) -> None:
    session = await begun(engine, timedelta(hours=30))
    async with running_web(settings) as base, page_of(browser, base, "/sessions") as (page, visit):
        await page.clock.install()
        await page.goto(f"{base}/sessions/{session}")
        note = page.locator("#line-note")
        later = page.get_by_role("button", name="Go on to the next 24 hours")
        await expect(later).to_be_visible()
        first = await note.inner_text()
        slow = await Held(page, "GET", TIMELINE).begin()
        await page.clock.fast_forward(REFRESH_MS)
        await slow.came.wait()
        for _ in range(3):
            await page.clock.fast_forward(REFRESH_MS)
        await press(later)
        await expect(later).to_be_hidden()
        assert await note.inner_text() != first
        begins = (await note.inner_text()).split(" to ")[0]
        await slow.let_through()
        assert await later.is_hidden()
        assert (await note.inner_text()).startswith(f"{begins} to ")
        assert slow.most == 1
        assert visit.complaints == []


async def test_the_moment_that_is_looked_at_stays_while_the_session_grows(
    browser: Browser, settings: WebSettings, engine: AsyncEngine
) -> None:
    session = await begun(engine, timedelta(hours=10))
    async with running_web(settings) as base, page_of(browser, base, "/sessions") as (page, _):
        await page.clock.install()
        await page.goto(f"{base}/sessions/{session}")
        slider, title = page.get_by_label("Moment."), page.locator("#moment-title")
        await expect(title).to_contain_text("after the start")
        last = await title.inner_text()
        await slider.press("ArrowLeft")
        await slider.press("ArrowLeft")
        await expect(title).not_to_have_text(last)
        looked_at = await title.inner_text()

        async def refreshed() -> datetime:
            """The session's end in the next timeline."""
            async with page.expect_response(re.compile(TIMELINE)) as waiting:
                await page.clock.fast_forward(REFRESH_MS)
            return datetime.fromisoformat((await (await waiting.value).json())["to"])

        end = await refreshed()
        while await refreshed() < end + timedelta(seconds=4):
            pass
        await expect(title).to_have_text(looked_at)


async def test_what_is_refused_is_told_until_it_is_done_whatever_else_succeeds(
    browser: Browser, settings: WebSettings, engine: AsyncEngine
) -> None:
    session = await begun(engine, timedelta(minutes=5))
    async with running_web(settings) as base, page_of(browser, base, "/sessions") as (page, _):
        await page.clock.install()
        await page.goto(f"{base}/sessions/{session}")
        trouble, mark = page.locator("#trouble"), page.get_by_role("button", name="Mark now")
        await expect(page.locator("#line-note")).to_contain_text("in steps of")
        await page.route("**/markers", lambda route: route.abort())
        await press(mark)
        lost = "The web service is not reached: It is not known whether it was done."
        await expect(trouble).to_contain_text(lost)

        async def refresh() -> None:
            seen = await Held(page, "GET", TIMELINE).begin()
            await page.clock.fast_forward(REFRESH_MS)
            await seen.came.wait()
            await seen.let_through()

        await refresh()
        await expect(trouble).to_contain_text(lost)
        # And the other way round: what is done clears nothing that is still wrong in the background.
        await page.unroute_all()
        await page.route(re.compile(TIMELINE), lambda route: route.abort())
        await page.clock.fast_forward(REFRESH_MS)
        unread = "The web service is not reached: Check the network, then try again."
        await expect(trouble).to_contain_text(unread)
        await expect(trouble).to_contain_text(lost)
        await press(mark)
        await expect(trouble).to_have_text(unread)
        await page.unroute_all()
        await page.clock.fast_forward(REFRESH_MS)
        await expect(trouble).to_be_hidden()


async def test_an_older_list_of_datasets_does_not_replace_a_newer_and_its_trouble_ends_with_it(
    browser: Browser, settings: WebSettings, engine: AsyncEngine
) -> None:
    async with running_web(settings) as base, page_of(browser, base, "/sessions") as (page, visit):
        await page.clock.install()
        await page.goto(f"{base}/datasets")
        found = page.locator("#list li")
        await expect(page.locator("#none")).to_contain_text("There are none yet")
        lists = r"/api/v1/datasets\?limit"
        late = await Held(page, "GET", lists, answered=True).begin()
        await page.clock.fast_forward(LIST_MS)
        await late.came.wait()
        row = {
            "name": "lab",
            "filter": {},
            "split": {},
            "state": "failed",
            "error": "No face fits.",
            "created_by": "ada",
        }
        async with engine.begin() as connection:
            await connection.execute(insert(datasets).values(row))
        await page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
        await expect(found).to_have_count(1)
        await late.let_through()
        assert await found.count() == 1
        assert visit.complaints == []

        await page.route(re.compile(lists), lambda route: route.abort())
        await page.clock.fast_forward(LIST_MS)
        trouble = page.locator("#trouble")
        await expect(trouble).to_contain_text("The web service is not reached: Check the network")
        await page.unroute_all()
        await page.clock.fast_forward(LIST_MS)
        await expect(trouble).to_be_hidden()
