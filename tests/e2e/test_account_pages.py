"""Logging in, people, keys, the audit log and privacy in a real browser, on a phone's width and by keyboard."""

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest
from playwright.async_api import Browser, Page, expect
from sqlalchemy import func, select

import services.web.trail
from shared.db.alone import alone
from shared.db.audit import Entry, write
from shared.db.erasure import ERASING_LOCK
from shared.db.retention import RetentionSettings, run_pass
from shared.db.tables import detections
from shared.settings import DatabaseSettings, MqttSettings
from tests.support import scenes
from tests.support.accounts import PASSWORD, add_person, logged_in
from tests.support.browser import Visit, press, stop_clock
from tests.support.patience import WAIT_S
from tests.support.web import records, running_web, store, web_settings

OWN = "four green lamps by the door"

pytestmark = pytest.mark.timeout(300)


async def log_in(page: Page, name: str, password: str) -> None:
    """By keyboard alone: the name has the focus when the page opens."""
    await expect(page.get_by_label("Name")).to_be_focused()
    await page.keyboard.type(name)
    await page.keyboard.press("Tab")
    await page.keyboard.type(password)
    await expect(page.get_by_role("button", name="Log in")).to_be_enabled()
    await page.keyboard.press("Enter")


async def fits(page: Page) -> None:
    """Nothing is wider than the phone, and what is pressed is large enough."""
    assert await page.evaluate("document.documentElement.scrollWidth") == 360, page.url
    for target in await page.locator(
        "main button:visible, main select:visible, main input:visible, .who a, .who button"
    ).all():
        box = await target.bounding_box()
        assert box is None or box["height"] >= 24, await target.evaluate("element => element.outerHTML")


async def test_an_administrator_lets_somebody_in_who_chooses_a_password_and_makes_a_key(
    browser: Browser,
    mqtt_settings: MqttSettings,
    database_settings: DatabaseSettings,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.setattr(services.web.trail, "WRITE_EVERY_S", 0.05)
    async with records(database_settings, datetime.now(UTC).date()) as engine:
        await add_person(engine, "ada", "admin")
        settings = web_settings(mqtt_settings, database_settings, login="required")
        async with running_web(settings) as base:
            page = await browser.new_page(viewport={"width": 360, "height": 800})
            visit = Visit(page, base)
            page.on("dialog", lambda dialog: dialog.accept())

            await page.goto(f"{base}/people")
            await expect(page).to_have_url(f"{base}/login?next=/people")
            await page.screenshot(path=tmp_path / "login.png", full_page=True)
            await log_in(page, "ada", "wrong")
            await expect(page.get_by_role("alert")).to_contain_text("Name and password do not belong together")
            await expect(page.get_by_label("Password")).to_be_focused()
            await page.keyboard.type(PASSWORD)
            await page.keyboard.press("Enter")
            await expect(page.get_by_role("heading", name="People", exact=True)).to_be_visible()

            await page.get_by_label("Name", exact=True).fill("berta")
            await page.locator("#role").select_option("researcher")
            await press(page.get_by_role("button", name="Add person"))
            await expect(page.get_by_role("heading", name="Temporary password")).to_be_focused()
            password = await page.locator("#shown-once code").inner_text()
            berta = page.get_by_role("listitem").filter(has_text="berta")
            await expect(berta).to_contain_text("Has not chosen a password yet")
            await berta.get_by_label("Role").select_option("labeller")
            await press(berta.get_by_role("button", name="Change role"))
            await expect(berta).to_contain_text("Changed: berta is labeller now.")
            await fits(page)
            await page.screenshot(path=tmp_path / "people.png", full_page=True)
            await page.get_by_role("listitem").filter(has_text="ada").get_by_role("button", name="Disable").click()
            await expect(page.get_by_role("alert")).to_contain_text("The last administrator stays one")
            await page.get_by_role("button", name="Menu").click()
            await page.get_by_role("button", name="Log out", exact=True).click()
            await expect(page).to_have_url(f"{base}/login")

            await page.goto(f"{base}/keys")
            await log_in(page, "berta", password)
            await expect(page).to_have_url(f"{base}/account?next=/keys")
            await expect(page.get_by_text("Your password is a temporary one")).to_be_visible()
            await expect(page.get_by_role("link", name="Live")).to_have_count(0)
            await page.get_by_label("The temporary password").fill(password)
            await page.get_by_label("New password", exact=True).fill(OWN)
            await page.get_by_label("New password again").fill(f"{OWN}?")
            await press(page.get_by_role("button", name="Change password"))
            await expect(page.get_by_role("alert")).to_contain_text("The two new passwords differ")
            await page.get_by_label("New password again").fill(OWN)
            await page.screenshot(path=tmp_path / "account.png", full_page=True)
            await press(page.get_by_role("button", name="Change password"))

            await expect(page).to_have_url(f"{base}/keys")
            await expect(page.get_by_label("admin: people")).to_have_count(0)
            await page.get_by_label("What it is for").fill("a notebook")
            await press(page.get_by_role("button", name="Make key"))
            await expect(page.get_by_role("heading", name="Your new key")).to_be_focused()
            token = await page.locator("#shown-once code").inner_text()
            await fits(page)
            await page.screenshot(path=tmp_path / "keys.png", full_page=True)
            async with httpx.AsyncClient(
                base_url=base, headers={"Authorization": f"Bearer {token}"}, timeout=WAIT_S
            ) as program:
                assert (await program.get("/api/v1/devices")).status_code == 200
                await page.get_by_role("button", name="Revoke").click()
                await expect(page.locator("#keys")).to_contain_text("revoked")
                assert (await program.get("/api/v1/devices")).status_code == 401
            await page.goto(f"{base}/audit")
            await expect(page.get_by_role("heading", name="This page is not for your role")).to_be_visible()
            await page.get_by_role("button", name="Menu").click()
            await page.get_by_role("button", name="Log out", exact=True).click()
            await expect(page).to_have_url(f"{base}/login")

            await page.goto(f"{base}/audit?action=make%20key")
            await log_in(page, "ada", PASSWORD)
            await expect(page.locator("#lines tr").first).to_contain_text("a notebook")
            await expect(page.get_by_label("Action", exact=True)).to_have_value("make key")
            await fits(page)
            await page.screenshot(path=tmp_path / "audit.png", full_page=True)
            # A refusal is in the browser's own console too; nothing else is.
            assert [text for text in visit.complaints if "Failed to load resource" not in text] == []
            assert visit.foreign == []
            await page.close()


async def test_a_role_is_chosen_by_keys_and_given_by_a_button_only(
    browser: Browser, mqtt_settings: MqttSettings, database_settings: DatabaseSettings
) -> None:
    async with records(database_settings, datetime.now(UTC).date()) as engine:
        await add_person(engine, "ada", "admin")
        await add_person(engine, "vera", "viewer")
        async with (
            running_web(web_settings(mqtt_settings, database_settings, login="required")) as base,
            logged_in(base, "ada") as client,
        ):

            async def role() -> str:
                """Of vera, as the server has it."""
                found = (await client.get("/api/v1/users")).json()["items"]
                return str(next(one["role"] for one in found if one["name"] == "vera"))

            page = await browser.new_page()
            await page.goto(f"{base}/people")
            await log_in(page, "ada", PASSWORD)
            vera = page.get_by_role("listitem").filter(has_text="vera")
            choice, said = vera.get_by_label("Role"), vera.get_by_role("status")
            change = vera.get_by_role("button", name="Change role")
            await expect(change).to_be_disabled()
            await choice.focus()
            await page.keyboard.press("ArrowDown")
            await expect(choice).to_be_focused()
            await expect(choice).to_have_value("labeller")
            await expect(said).to_have_text(
                "Not changed yet. Press Change role to make vera labeller: sees, and votes on faces."
            )
            assert await role() == "viewer"
            await page.keyboard.press("Tab")
            await expect(change).to_be_focused()
            await page.keyboard.press("Enter")
            await expect(said).to_have_text("Changed: vera is labeller now.")
            assert await role() == "labeller"
            await expect(choice).to_be_focused()
            await expect(choice).to_have_value("labeller")
            await expect(change).to_be_disabled()
            await page.keyboard.press("ArrowUp")
            await page.keyboard.press("ArrowDown")
            await expect(said).to_be_empty()
            assert await role() == "labeller"
            await page.close()


async def test_times_of_the_audit_log_are_in_the_zone_that_the_page_names(
    browser: Browser, mqtt_settings: MqttSettings, database_settings: DatabaseSettings
) -> None:
    times = {"first": "2026-11-25T08:30:01Z", "last": "2026-11-25T08:40:02.198184Z"}
    async with records(database_settings) as engine:
        async with engine.begin() as connection:
            detail = {"times": 3, "span": times, "note": "as of 2026-11-25T08:30:01Z", **times}
            await write(connection, [Entry("ada", "watch", "live data", detail)])
        async with running_web(web_settings(mqtt_settings, database_settings)) as base:
            page = await browser.new_page(timezone_id="America/New_York", locale="en-GB")
            await page.goto(f"{base}/audit?action=watch")
            more = page.locator("#lines tr").first.locator("td").last
            await expect(more).to_contain_text("last: 25 Nov 2026, 03:40:02")
            await expect(more).to_contain_text('"first":"25 Nov 2026, 03:30:01"')
            await expect(more).to_contain_text("note: as of 2026-11-25T08:30:01Z")  # somebody's own words stay
            named = page.get_by_text("Times are in America/New York.")
            await expect(named).to_be_visible()
            for path, count in (("/", 1), ("/history", 1), ("/privacy", 1), ("/privacy/notice", 0), ("/label", 0)):
                await page.goto(base + path)
                await expect(named).to_have_count(count)
            await page.close()


async def test_an_open_live_page_shows_the_login_when_its_own_has_ended(
    browser: Browser, mqtt_settings: MqttSettings, database_settings: DatabaseSettings
) -> None:
    async with records(database_settings, datetime.now(UTC).date()) as engine:
        await add_person(engine, "ada", "admin")
        async with running_web(web_settings(mqtt_settings, database_settings, login="required")) as base:
            page = await browser.new_page()
            await page.goto(f"{base}/login?next=/")
            await log_in(page, "ada", PASSWORD)
            await expect(page.locator("#connection")).to_have_text("Connected")
            out = await page.evaluate(
                """fetch("/api/v1/logout", {method: "POST", body: '{"everywhere": true}',
                headers: {"Content-Type": "application/json"}}).then((answer) => answer.json())"""
            )
            assert out == {"ended": 1}
            await expect(page).to_have_url(f"{base}/login?next=/")
            await page.close()


async def test_a_session_is_erased_from_its_own_page_and_what_is_kept_how_long_is_shown(
    browser: Browser, mqtt_settings: MqttSettings, database_settings: DatabaseSettings
) -> None:
    now = datetime.now(UTC)
    seen = scenes.detection("camera-1", scenes.face(), captured_at=now - timedelta(minutes=5))
    async with records(database_settings, now.date(), seen.captured_at.date()) as engine:
        await store(engine, [seen])
        await run_pass(engine, RetentionSettings(detections_days=365, frames_days=1))
        async with (
            running_web(web_settings(mqtt_settings, database_settings)) as base,
            httpx.AsyncClient(base_url=base, timeout=WAIT_S) as client,
        ):
            times = {"started_at": str(now - timedelta(minutes=9)), "ended_at": str(now - timedelta(minutes=1))}
            new = {"participant": "P7", "condition": "quiet", "devices": ["camera-1"], **times}
            session = (await client.post("/api/v1/sessions", json=new)).json()["id"]
            page = await browser.new_page(viewport={"width": 360, "height": 800})
            await page.goto(f"{base}/sessions/{session}")
            await page.get_by_role("link", name="erasing it").click()
            kept = page.locator("#kept div")
            await expect(kept.filter(has_text="Readings are kept")).to_contain_text("365 days")
            await expect(kept.filter(has_text="Pictures are kept")).to_contain_text("1 day")
            await expect(kept.filter(has_text="Refused messages")).to_contain_text("30 days")
            await expect(page.get_by_label("Session", exact=True)).to_have_value(re.compile("^P7, quiet, begun "))
            await expect(page.get_by_label("Device", exact=True)).to_be_hidden()
            await press(page.get_by_role("button", name="Show what would go"))
            await expect(page.locator("#erase-what")).to_contain_text("Study session P7, quiet, begun")
            await page.get_by_label("Type the word erase").fill("erase")
            await press(page.get_by_role("button", name="Erase for good"))
            await expect(page.locator("#erasures")).to_contain_text("Item " + session)
            await fits(page)
            assert (await client.get("/api/v1/detections")).json()["items"] == []
            # A detection leads there as well.
            await store(engine, [later := scenes.detection("camera-2", scenes.face(), captured_at=now)])
            await page.goto(f"{base}/history/{later.event_id}")
            await page.get_by_role("link", name="Erase this detection").click()
            await expect(page.get_by_label("Id", exact=True)).to_have_value(str(later.event_id))
            await press(page.get_by_role("button", name="Show what would go"))
            await expect(page.locator("#rows div").filter(has_text="Faces")).to_contain_text("1")
            await page.get_by_label("What", exact=True).select_option(
                "A study session: somebody who took part withdraws"
            )
            await expect(page.locator("#erase")).to_be_hidden()
            await expect(page.get_by_label("Id", exact=True)).to_be_hidden()


async def test_what_is_erased_has_to_be_typed_and_the_notice_prints_what_was_filled_in(
    browser: Browser, mqtt_settings: MqttSettings, database_settings: DatabaseSettings, tmp_path: Path
) -> None:
    now = datetime.now(UTC)
    async with records(database_settings, now.date(), (now - timedelta(minutes=5)).date()) as engine:
        await store(engine, [scenes.detection("camera-1", scenes.face(), captured_at=now - timedelta(minutes=5))])
        async with (
            running_web(web_settings(mqtt_settings, database_settings)) as base,
            httpx.AsyncClient(base_url=base, timeout=WAIT_S) as client,
        ):
            page = await browser.new_page(viewport={"width": 360, "height": 800}, timezone_id="America/New_York")
            visit = Visit(page, base)
            await page.goto(f"{base}/privacy")
            await expect(page.get_by_text("Nobody logs in here")).to_be_visible()
            await expect(page.locator("#erasures")).to_contain_text("Nothing was erased yet.")
            await page.get_by_label("Device", exact=True).fill("camera-1")
            local = await page.evaluate("new Date(Date.now() - new Date().getTimezoneOffset() * 60000).toISOString()")
            await page.get_by_label("To, not included").fill(local[:19])
            await press(page.get_by_role("button", name="Show what would go"))
            await expect(page.locator("#erase-what")).to_be_focused()
            await expect(page.locator("#rows div").filter(has_text="Detections")).to_contain_text("1")
            erase = page.get_by_role("button", name="Erase for good")
            await erase.click()
            assert len((await client.get("/api/v1/detections")).json()["items"]) == 1
            await page.get_by_label("Type the word erase").fill("erase")
            await page.screenshot(path=tmp_path / "privacy.png", full_page=True)
            await press(erase)
            await expect(page.locator("#erasures")).to_contain_text("2 rows before, 0 after")
            assert (await client.get("/api/v1/detections")).json()["items"] == []
            await fits(page)

            await page.get_by_role("link", name="A notice to print").click()
            await page.get_by_label("Who records").fill("<b>The lab</b>")
            await page.get_by_label("Are pictures kept?").select_option("No pictures are kept.")
            notice = page.get_by_role("article")
            await expect(notice).to_contain_text("<b>The lab</b>")
            await page.reload()
            await expect(notice).to_contain_text("<b>The lab</b>")
            await expect(notice).to_contain_text("No pictures are kept.")
            await fits(page)
            await page.emulate_media(media="print")
            await expect(page.locator("#fill")).to_be_hidden()
            await expect(notice).to_be_visible()
            await page.screenshot(path=tmp_path / "notice.png", full_page=True)
            assert visit.complaints == []
            assert visit.foreign == []
            await page.close()


async def test_the_list_of_erasures_is_asked_for_once_at_a_time_and_again_after_an_answer_that_failed(
    browser: Browser, mqtt_settings: MqttSettings, database_settings: DatabaseSettings
) -> None:
    now = datetime.now(UTC).replace(microsecond=0)
    async with (
        records(database_settings, now.date()) as engine,
        running_web(web_settings(mqtt_settings, database_settings)) as base,
    ):
        page = await browser.new_page(timezone_id="UTC")
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.method + urlsplit(request.url).path))
        await stop_clock(page)
        await page.goto(f"{base}/privacy")
        listed, problem = page.locator("#erasures"), page.locator("#erasures-problem")
        await expect(listed).to_contain_text("Nothing was erased yet.")

        async def look() -> None:
            """Two seconds later, once the answer is shown, whichever it is."""
            await problem.evaluate("element => { element.textContent = 'before'; }")
            await page.clock.run_for(2000)
            await expect(problem).not_to_have_text("before")

        async with alone(engine, ERASING_LOCK):  # as long as another one is carried out
            for device in ("camera-1", "camera-2"):
                await page.get_by_label("Device", exact=True).fill(device)
                await page.get_by_label("To, not included").fill(f"{now:%Y-%m-%dT%H:%M:%S}")
                await press(page.get_by_role("button", name="Show what would go"))
                await page.get_by_label("Type the word erase").fill("erase")
                await press(page.get_by_role("button", name="Erase for good"))
                await expect(listed).to_contain_text(f"{device}, until")
            await expect(listed.get_by_text("At work, or waits its turn: 0 rows removed so far.")).to_have_count(2)
            for _ in range(2):
                asked.clear()
                await look()
                assert asked == ["GET/api/v1/erasures"]
            await page.route("**/api/v1/erasures", lambda route: route.abort())
            for _ in range(2):
                asked.clear()
                await look()
                assert asked == ["GET/api/v1/erasures"]
                await expect(problem).to_contain_text("The web service is not reached")
            await page.unroute("**/api/v1/erasures")
            await look()
            await expect(problem).to_be_hidden()
        while await listed.get_by_text("At work").count():
            await look()
        await expect(listed.get_by_text("0 rows before, 0 after")).to_have_count(2)
        asked.clear()
        await page.clock.run_for(60_000)
        assert asked == []
        await page.close()


async def test_who_tries_too_many_passwords_is_told_how_long_to_wait(
    browser: Browser, mqtt_settings: MqttSettings, database_settings: DatabaseSettings
) -> None:
    async with records(database_settings, datetime.now(UTC).date()) as engine:
        await add_person(engine, "ada", "admin")
        async with running_web(web_settings(mqtt_settings, database_settings, login="required")) as base:
            page = await browser.new_page()
            await page.goto(f"{base}/login?next=/account")
            alert, button = page.get_by_role("alert"), page.get_by_role("button", name="Log in")
            await page.get_by_label("Name").fill("ada")
            said: list[str] = []
            while not said or "Too many tries" not in said[-1]:
                assert len(said) < 12, said  # by then a minute is to be waited for, which no machine takes for a try
                await page.get_by_label("Password").fill("not this one")
                async with page.expect_response("**/api/v1/login"):
                    await press(button)
                await expect(button).to_be_enabled()
                said.append(await alert.inner_text())
            assert len(said) > 5, "some tries are free"
            assert all("do not belong together" in one for one in said[:-1])
            assert re.search(r"the next one is looked at in (\d+) s\. Wait \1 s, then try again\.$", said[-1])
            await page.close()


async def test_a_login_that_ended_before_an_erasure_is_told_and_it_goes_on_after_the_next_login(
    browser: Browser, mqtt_settings: MqttSettings, database_settings: DatabaseSettings
) -> None:
    now = datetime.now(UTC)
    seen = scenes.detection("camera-1", scenes.face(), captured_at=now - timedelta(minutes=5))
    async with records(database_settings, now.date(), seen.captured_at.date()) as engine:
        await add_person(engine, "ada", "admin")
        await store(engine, [seen])

        async def kept() -> int | None:
            async with engine.connect() as connection:
                return await connection.scalar(select(func.count()).select_from(detections))

        async with running_web(web_settings(mqtt_settings, database_settings, login="required")) as base:
            context = await browser.new_context()
            page = await context.new_page()
            await page.goto(f"{base}/login?next=/privacy")
            await log_in(page, "ada", PASSWORD)
            await page.get_by_label("Device", exact=True).fill("camera-1")
            await page.get_by_label("To, not included").fill((now + timedelta(days=1)).strftime("%Y-%m-%dT%H:%M:%S"))
            show, erase = (page.get_by_role("button", name=name) for name in ("Show what would go", "Erase for good"))
            await press(show)
            await expect(page.locator("#erase-what")).to_be_focused()
            await page.get_by_label("Type the word erase").fill("erase")
            ended = await context.request.post(f"{base}/api/v1/logout", data={})
            assert ended.ok, await ended.text()
            await press(erase)
            await expect(page.locator("#erase .problem")).to_have_text("You are logged out. Log in again to go on.")
            again = page.get_by_role("link", name="Log in again")
            await expect(again).to_be_visible()
            await expect(page.get_by_label("Type the word erase")).to_have_value("erase")
            assert await kept() == 1
            # Logged in beside this page, what was meant is still there.
            beside = await context.new_page()
            await beside.goto(f"{base}/login?next=/account")
            await log_in(beside, "ada", PASSWORD)
            await beside.wait_for_url(f"{base}/account")
            await press(erase)
            await expect(page.locator("#erasures")).to_contain_text("2 rows before, 0 after")
            await expect(again).to_have_count(0)
            await expect(page.locator("#erase")).to_be_hidden()
            assert await kept() == 0
            await context.close()
