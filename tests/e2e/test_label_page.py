"""The page Label in a real browser, over a real Postgres."""

import asyncio
import math
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from playwright.async_api import Browser, Dialog, Page, Route, expect
from sqlalchemy import delete, insert, select
from sqlalchemy.ext.asyncio import AsyncEngine

from services.web.settings import WebSettings
from shared.db.study_tables import study_sessions, votes
from shared.db.tables import frames
from shared.messages import Region
from shared.settings import DatabaseSettings, MqttSettings
from tests.integration.delivery import until
from tests.support import scenes
from tests.support.accounts import PASSWORD, add_person
from tests.support.browser import page_of, press, press_answer, stop_clock
from tests.support.labelled import kept_minute
from tests.support.web import records, running_web, store, store_frame, web_settings

NOW = datetime.now(UTC)
BEGIN = NOW - timedelta(minutes=2)
PICTURES = "**/api/v1/frames/*/faces/*.jpg"
HALF_A_LINE = 2.5
FRAME_AND_PICTURE = """() => {
  const image = document.getElementById("face"), rect = document.querySelector("#mark rect");
  const at = image.getBoundingClientRect(), box = rect.getBBox(), to = rect.getScreenCTM();
  const [x, y] = [(at) => at * to.a + to.e, (at) => at * to.d + to.f];
  return [
    [x(box.x), y(box.y), x(box.x + box.width), y(box.y + box.height)],
    { middle: [at.x + at.width / 2, at.y + at.height / 2], size: Math.min(at.width, at.height) },
  ];
}"""
ALL_SAVED = "All your answers are on the server."
FULL = """for (let size = 1 << 20; size >= 1; size /= 2) {
  try { for (;;) localStorage.setItem(`${size} ${Math.random()}`, "x".repeat(size)); } catch { }
}"""
CLOSED = """for (const name of ["localStorage", "sessionStorage"]) {
  Object.defineProperty(window, name, { get() { throw new DOMException("refused", "SecurityError"); } });
}"""

pytestmark = pytest.mark.timeout(300)


@pytest.fixture
async def engine(database_settings: DatabaseSettings) -> AsyncIterator[AsyncEngine]:
    async with records(database_settings, BEGIN.date(), NOW.date()) as engine:
        await kept_minute(engine, BEGIN)
        yield engine


@pytest.fixture
def settings(mqtt_settings: MqttSettings, database_settings: DatabaseSettings, engine: AsyncEngine) -> WebSettings:
    return web_settings(mqtt_settings, database_settings)


async def labels(engine: AsyncEngine) -> list[str]:
    async with engine.connect() as connection:
        return list(await connection.scalars(select(votes.c.label).order_by(votes.c.voted_at)))


async def begin(page: Page, name: str = "ada") -> None:
    """Say who labels."""
    await page.get_by_label("Your name or code").fill(name)
    await page.keyboard.press("Enter")


@asynccontextmanager
async def labelling(browser: Browser, settings: WebSettings) -> AsyncIterator[Page]:
    """The page with its first face."""
    async with running_web(settings) as base, page_of(browser, base, "/label") as (page, _):
        await begin(page)
        await expect(page.locator("#face")).to_be_visible()
        yield page


async def test_faces_are_labelled_by_keyboard_and_no_answer_is_lost(
    browser: Browser,
    settings: WebSettings,
    engine: AsyncEngine,
    tmp_path: Path,
) -> None:
    async with (
        running_web(settings) as base,
        page_of(browser, base, "/label") as (page, visit),
    ):
        face = page.locator("#face")
        last = page.locator("#last")
        saved = page.locator("#saved")
        await begin(page)
        await expect(face).to_be_visible()
        await expect(page.get_by_text("looks", exact=False).filter(has_text="The model")).to_have_count(0)
        await page.screenshot(path=tmp_path / "label.png", full_page=True)
        first = await face.get_attribute("src")
        await page.keyboard.press("4")
        await expect(last).to_contain_text("You said: Happy. The model:")
        await expect(face).not_to_have_attribute("src", first or "")
        assert await labels(engine) == ["happy"]
        await page.keyboard.press("z")
        await expect(face).to_have_attribute("src", first or "")
        await expect(saved).to_have_text(ALL_SAVED)
        assert await labels(engine) == []
        await page.keyboard.press("Space")
        await expect(last).to_have_text("Skipped.")
        await page.keyboard.press("?")
        await expect(page.get_by_role("dialog", name="Keys")).to_be_visible()
        await page.keyboard.press("5")  # a key of the list, not an answer
        await page.keyboard.press("Escape")
        await expect(face).to_be_visible()
        await press_answer(page, "Not a face")
        await expect(saved).to_have_text(ALL_SAVED)
        assert await labels(engine) == ["not_a_face"]
        assert visit.complaints == []
        assert visit.foreign == []

        # The network is away, then the login has ended; the page is closed with both answers in it.
        async def refuse(route: Route) -> None:
            if route.request.method == "POST":
                await route.fulfill(status=401, json={"title": "Log in first"})
            else:
                await route.continue_()

        await expect(face).to_be_visible()
        await page.context.set_offline(True)
        await page.keyboard.press("1")
        await expect(saved).to_contain_text("1 answer is kept in this browser")
        await page.route("**/api/v1/labels", refuse)
        await page.context.set_offline(False)
        await expect(page.get_by_role("link", name="Log in again")).to_be_visible()
        await expect(face).to_be_visible()
        await page.keyboard.press("8")
        await expect(saved).to_contain_text("2 answers are kept in this browser")
        assert await labels(engine) == ["not_a_face"]
        context = page.context
        await page.close()
        again = await context.new_page()
        counts = iter([True])

        async def late(route: Route) -> None:
            """The first count is from before the kept answers arrive, and reaches the page after them."""
            answer = await route.fetch()
            if next(counts, False):
                await expect(again.locator("#saved")).to_have_text(ALL_SAVED)
            await route.fulfill(response=answer)

        await again.route("**/api/v1/labels/progress*", late)
        await again.goto(f"{base}/label")
        await expect(again.locator("#saved")).to_have_text(ALL_SAVED)
        assert await labels(engine) == ["not_a_face", "angry", "unknown"]
        await expect(again.locator("#progress")).to_contain_text("3")
        # What is erased while it is shown is told, and the next face comes.
        await expect(again.locator("#face")).to_be_visible()
        async with engine.begin() as connection:
            await connection.execute(delete(frames))
        await again.keyboard.press("4")
        last = again.locator("#last")
        await expect(last).to_have_text(
            "That face was erased meanwhile, so your answer was not kept. Go on with the next one."
        )
        await expect(again.locator("#face-note")).to_contain_text("No face is left to label")
        assert await labels(engine) == ["not_a_face", "angry", "unknown"]


@pytest.mark.parametrize("refusing", [FULL, CLOSED], ids=["full", "closed"])
async def test_a_browser_that_keeps_nothing_labels_and_says_so(
    browser: Browser, settings: WebSettings, engine: AsyncEngine, refusing: str
) -> None:
    async with running_web(settings) as base, page_of(browser, base, "/sessions") as (page, visit):
        await page.add_init_script(refusing)
        await page.goto(f"{base}/label")
        await begin(page)
        face, saved = page.locator("#face"), page.locator("#saved")
        await expect(face).to_be_visible()
        first = await face.get_attribute("src") or ""
        await page.keyboard.press("4")
        await expect(page.locator("#last")).to_contain_text("You said: Happy. The model:")
        await expect(face).not_to_have_attribute("src", first)
        await expect(saved).to_contain_text(ALL_SAVED)
        await expect(saved).to_contain_text("This browser keeps nothing for this page")
        assert await labels(engine) == ["happy"]
        assert visit.complaints == []

        # What waits is in the page alone, so it is not left unasked.
        asked: list[str] = []

        async def stay(dialog: Dialog) -> None:
            asked.append(dialog.type)
            await dialog.dismiss()

        page.on("dialog", stay)
        await expect(face).to_be_visible()
        await page.context.set_offline(True)
        await page.keyboard.press("1")
        await expect(saved).to_contain_text("1 answer is in this page alone and not yet on the server.")
        await expect(page.locator("#trouble")).to_contain_text("Your answers are in this page alone and sent again.")
        await page.evaluate("location.assign('/sessions')")
        await until(lambda: asked == ["beforeunload"])
        await page.context.set_offline(False)
        await expect(saved).to_contain_text(ALL_SAVED)
        assert await labels(engine) == ["happy", "angry"]
        await page.keyboard.press("z")
        await expect(saved).to_contain_text(ALL_SAVED)
        assert await labels(engine) == ["happy"]

        # Where the login has ended, to follow a link would lose them.
        trouble = page.locator("#trouble")
        await page.route("**/api/v1/labels", lambda route: route.fulfill(status=401, json={"title": "Log in first"}))
        await expect(face).to_be_visible()
        await page.keyboard.press("2")
        await expect(trouble).to_contain_text("Log in in another tab, then go on here")
        await page.unroute_all()
        await expect(face).to_be_visible()
        await page.keyboard.press("3")
        await expect(saved).to_contain_text(ALL_SAVED)
        await expect(trouble).to_be_hidden()
        assert await labels(engine) == ["happy", "disgust", "fear"]
        await page.goto(f"{base}/sessions")
        assert asked == ["beforeunload"]


async def test_no_answer_counts_before_its_picture_is_seen(
    browser: Browser, settings: WebSettings, engine: AsyncEngine
) -> None:
    arrived = asyncio.Event()

    async def late(route: Route) -> None:
        await arrived.wait()
        await route.continue_()

    async with running_web(settings) as base, page_of(browser, base, "/label") as (page, visit):
        await page.route(PICTURES, late)
        await begin(page)
        last = page.locator("#last")
        await expect(page.locator("#face-note")).to_have_text("Loading the picture")
        await page.keyboard.press("4")
        await expect(last).to_have_text("That answer was not counted: the picture was not there yet.")
        await page.keyboard.press("Space")  # what cannot be seen can be skipped
        await expect(last).to_have_text("Skipped.")
        await press_answer(page, "Happy")
        await expect(last).to_contain_text("was not counted")
        arrived.set()
        await expect(page.locator("#face")).to_be_visible()
        await page.keyboard.press("5")
        await expect(last).to_contain_text("You said: Sad. The model:")
        assert await labels(engine) == ["sad"]
        assert visit.complaints == []


async def test_the_face_that_is_meant_is_framed_where_the_picture_shows_two(
    browser: Browser, settings: WebSettings, engine: AsyncEngine
) -> None:
    boxes = [Region(x=260, y=80, w=60, h=64), Region(x=325, y=90, w=64, h=64)]
    two = [
        scenes.face(1, "happy", 0.2).model_copy(update={"region": box}) for box in boxes
    ]  # so unsure: they come first
    one = scenes.detection(
        "camera-1", *two, captured_at=NOW - timedelta(minutes=1, seconds=1), frame_id=scenes.new_id()
    )
    await store(engine, [one], new_device=False)
    assert one.frame_id is not None
    await store_frame(engine, one.frame_id, scenes.picture(), one.captured_at, one.event_id)
    async with labelling(browser, settings) as page:
        address = await page.locator("#face").get_attribute("src") or ""
        assert str(one.frame_id) in address
        box = boxes[int(address.removesuffix(".jpg")[-1])]
        frame, seen = await page.evaluate(FRAME_AND_PICTURE)
        # The face is in the middle of its cut-out; the line is drawn around it, near it and not over it.
        shares = [extent / (1.6 * math.sqrt(box.w * box.h)) for extent in (box.w, box.h)]
        for axis, share in enumerate(shares):
            face = share * seen["size"]
            for edge, sign in ((frame[axis], -1), (frame[axis + 2], 1)):
                away = sign * (edge - seen["middle"][axis]) - face / 2
                assert HALF_A_LINE <= away <= 0.1 * face
        for theme in ("calm", "soft", "dark"):
            await page.evaluate("theme => window.look.set('theme', theme)", theme)
            strokes = await page.locator("#mark rect").evaluate_all("all => all.map(e => getComputedStyle(e).stroke)")
            assert strokes == ["rgb(0, 0, 0)", "rgb(255, 255, 255)"]  # one of them is seen on any ground
        await expect(
            page.get_by_role("img", name="The face to label: the one in the frame, in the middle")
        ).to_be_visible()


async def test_faces_are_chosen_by_device_session_and_time_in_the_address(
    browser: Browser, settings: WebSettings, engine: AsyncEngine
) -> None:
    other = await kept_minute(engine, BEGIN, 2, device="camera-2")
    async with engine.begin() as connection:
        await connection.execute(
            insert(study_sessions).values(
                participant="P07", devices=["camera-2"], started_at=BEGIN, ended_at=other[1].captured_at, created_by="a"
            )
        )
    frames_of = [str(one.frame_id) for one in other]
    async with labelling(browser, settings) as page:
        face, note, which = page.locator("#face"), page.locator("#face-note"), page.locator("#which-title")
        chosen = page.get_by_role("form", name="Which faces")
        await expect(which).to_have_text("Which faces: all")
        await press(which)
        await chosen.get_by_label("Device").select_option("camera-2")
        await expect(which).to_have_text("Which faces: those that fit the filter")
        await expect(face).to_have_attribute("src", re.compile("|".join(frames_of)))
        await chosen.get_by_label("Session").click()
        await page.get_by_role("option", name="P07").click()
        await expect(face).to_have_attribute("src", re.compile(frames_of[0]))
        await page.reload()
        await expect(chosen.get_by_label("Device")).to_have_value("camera-2")
        await expect(face).to_have_attribute("src", re.compile(frames_of[0]))
        await expect(face).to_be_visible()
        await page.locator("h1").click()
        await page.keyboard.press("5")
        await expect(note).to_contain_text("No face fits that you have not labelled or skipped.")
        await expect(page.locator("#saved")).to_have_text(ALL_SAVED)
        await page.go_back()
        await expect(chosen.get_by_label("Session")).to_have_value("")
        await expect(face).to_have_attribute("src", re.compile(frames_of[1]))
        await chosen.get_by_label("Time").select_option("own")
        await chosen.get_by_label("To, not included").fill("2026-01-01T12:00:00")
        await page.get_by_role("button", name="Show").click()
        await expect(page).to_have_url(re.compile(r"last=own&to=2026-01-01T"))
        await expect(note).to_contain_text("No face fits")
        await page.get_by_role("button", name="Clear the filter").click()
        await expect(page).to_have_url(re.compile(r"/label$"))
        await expect(face).to_be_visible()
        assert await labels(engine) == ["sad"]


async def test_the_last_answers_are_taken_back_after_the_page_was_loaded_again(
    browser: Browser, settings: WebSettings, engine: AsyncEngine
) -> None:
    async with labelling(browser, settings) as page:
        face, saved = page.locator("#face"), page.locator("#saved")
        sources = []
        for key in "45":
            await expect(face).to_be_visible()
            sources.append(await face.get_attribute("src") or "")
            await page.keyboard.press(key)
        await expect(page.locator("#last")).to_contain_text("You said: Sad. The model:")
        await expect(saved).to_have_text(ALL_SAVED)
        assert await labels(engine) == ["happy", "sad"]
        await page.reload()
        await expect(face).to_be_visible()
        for source, left in ((sources[1], ["happy"]), (sources[0], [])):
            await page.keyboard.press("z")
            await expect(face).to_have_attribute("src", source)
            await expect(saved).to_have_text(ALL_SAVED)
            assert await labels(engine) == left
        await expect(page.get_by_role("button", name="Undo")).to_be_disabled()


async def test_votes_are_counted_on_and_agreement_is_asked_for_when_it_is_opened(
    browser: Browser, settings: WebSettings, engine: AsyncEngine
) -> None:
    async with running_web(settings) as base, page_of(browser, base, "/label") as (page, visit):
        await stop_clock(page)  # a minute that passes has all counted anew
        await begin(page)
        progress = page.locator("#progress")

        def asked(what: str) -> int:
            return len([url for url in visit.requests if f"/labels/{what}" in url])

        await expect(progress.locator("dd").first).to_have_text("0")
        for count in "123":
            await expect(page.locator("#face")).to_be_visible()
            await page.keyboard.press("4")
            # Today, in all, labelled by anybody and by several.
            await expect(progress.locator("dd")).to_have_text([count, count, count, "0", re.compile(".*")])
        assert (asked("progress"), asked("agreement")) == (1, 0)
        await page.keyboard.press("z")
        await expect(progress.locator("dd").first).to_have_text("2")
        await expect(page.locator("#face")).to_be_visible()
        await page.keyboard.press("5")
        await expect(page.locator("#last")).to_contain_text("You said: Sad. The model:")
        await expect(progress.locator("dd").first).to_have_text("3")
        assert asked("progress") == 2  # in which counts the one taken back was only the server knows
        await page.clock.fast_forward(61_000)
        await expect(page.locator("#face")).to_be_visible()
        await page.keyboard.press("6")
        await expect(progress.locator("dd").first).to_have_text("4")
        assert asked("progress") == 3
        await press(page.locator("#agreement summary"))
        await expect(page.locator("#agreement-text")).to_contain_text("No face has two votes yet.")
        assert asked("agreement") == 1
        assert visit.complaints == []


async def test_the_faces_that_wait_are_counted_when_the_queue_has_answered(
    browser: Browser, settings: WebSettings, engine: AsyncEngine
) -> None:
    counted = asyncio.Event()

    async def late(route: Route) -> None:
        await counted.wait()
        await route.continue_()

    async with running_web(settings) as base, page_of(browser, base, "/label") as (page, _):
        await page.route("**/api/v1/labels/queue*", late)
        await begin(page)
        progress = page.locator("#progress")
        await expect(progress).to_contain_text("Faces waiting when last askednot counted yet")
        counted.set()
        await expect(page.locator("#face")).to_be_visible()
        await expect(progress).to_contain_text("Faces waiting when last asked12")


async def by_labeller(engine: AsyncEngine) -> set[tuple[str, str]]:
    async with engine.connect() as connection:
        return {(who, label) for who, label in await connection.execute(select(votes.c.labeller, votes.c.label))}


async def test_the_next_person_labels_under_their_own_name_and_each_keeps_what_is_theirs(
    browser: Browser, settings: WebSettings, engine: AsyncEngine
) -> None:
    async with labelling(browser, settings) as page:
        who, saved, undo = page.locator("#who"), page.locator("#saved"), page.get_by_role("button", name="Undo")
        change, name = page.get_by_role("button", name="Change"), page.get_by_label("Your name or code")
        first_count = page.locator("#progress dd").first
        await expect(who).to_contain_text("Labelling as ada")
        await page.context.set_offline(True)
        await page.keyboard.press("4")
        await expect(saved).to_contain_text("1 answer is kept in this browser")
        await press(change)
        await expect(name).to_be_focused()
        await expect(page.locator("#work")).to_be_hidden()
        await expect(who).to_be_hidden()
        await expect(page.locator("#progress dd")).to_have_count(0)
        await page.locator("h1").press("5")  # nobody answers now
        await page.locator("h1").press("z")
        await begin(page, "berta")
        await expect(who).to_contain_text("Labelling as berta")
        await expect(undo).to_be_disabled()
        await page.context.set_offline(False)
        await expect(page.locator("#face")).to_be_visible()
        await expect(first_count).to_have_text("0")
        await expect(saved).to_have_text(ALL_SAVED)
        await page.keyboard.press("5")
        await expect(page.locator("#last")).to_contain_text("You said: Sad. The model:")
        await expect(first_count).to_have_text("1")
        await page.reload()
        await expect(who).to_contain_text("Labelling as berta")
        await press(change)
        await begin(page, "ada")
        await expect(undo).to_be_enabled()
        await expect(first_count).to_have_text("1")
        assert await by_labeller(engine) == {("ada", "happy"), ("berta", "sad")}
        await press(undo)
        await expect(first_count).to_have_text("0")
        await expect(saved).to_have_text(ALL_SAVED)
        assert await by_labeller(engine) == {("berta", "sad")}


async def test_space_skips_from_a_button_and_enter_presses_it(
    browser: Browser, settings: WebSettings, engine: AsyncEngine
) -> None:
    async with labelling(browser, settings) as page:
        last = page.locator("#last")
        face = page.locator("#face")
        await press_answer(page, "Happy")
        await expect(last).to_contain_text("You said: Happy. The model:")
        await expect(face).to_be_visible()
        second = await face.get_attribute("src")
        await page.keyboard.press("Space")  # the mouse left the focus on the button
        await expect(last).to_have_text("Skipped.")
        await expect(face).to_be_visible()
        assert await face.get_attribute("src") != second
        await page.keyboard.press("Tab")
        await expect(page.get_by_role("button", name="Sad")).to_be_focused()
        await page.keyboard.press("Enter")
        await expect(last).to_contain_text("You said: Sad. The model:")
        await expect(page.get_by_role("button", name="Sad")).to_be_focused()  # for the next face
        assert await labels(engine) == ["happy", "sad"]


async def point(page: Page, button: str) -> tuple[float, float]:
    """The middle of a button."""
    box = await page.get_by_role("button", name=button).bounding_box()
    assert box is not None
    return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2


@pytest.mark.parametrize("touch", [False, True], ids=["double click", "double tap"])
async def test_one_gesture_gives_one_answer_and_quick_keys_give_one_each(
    browser: Browser, settings: WebSettings, engine: AsyncEngine, *, touch: bool
) -> None:
    async with running_web(settings) as base, page_of(browser, base, "/label", touch=touch) as (page, _):
        await stop_clock(page)
        await begin(page)
        face, last, saved = page.locator("#face"), page.locator("#last"), page.locator("#saved")

        async def another(than: str | None) -> str | None:
            await expect(face).to_be_visible()
            await expect(face).not_to_have_attribute("src", than or "")
            return await face.get_attribute("src")

        async def press_at(x: float, y: float, count: int) -> None:
            if touch:
                await page.touchscreen.tap(x, y)
            else:
                await page.mouse.move(x, y)
                await page.mouse.down(click_count=count)
                await page.mouse.up(click_count=count)

        shown = await another(None)
        for button, said in (("Happy", "You said: Happy. The model:"), ("Skip", "Skipped.")):
            await page.clock.fast_forward(400)
            at = await point(page, button)
            await press_at(*at, 1)
            shown = await another(shown)
            await press_at(*at, 2)
            await expect(last).to_contain_text(said)
            await expect(last).to_contain_text("A press so soon after a face comes is not counted.")
            await expect(saved).to_have_text(ALL_SAVED)
            assert await face.get_attribute("src") == shown
            assert await labels(engine) == ["happy"]
        # Slower, and not noticed as one gesture by the browser: the same, until the face has been there for a moment.
        await page.keyboard.press("z")  # takes the answer back, and the face with it
        await expect(last).to_have_text("Taken back. Here is the face again.")
        shown = await another(shown)
        await page.clock.fast_forward(300)
        await press_at(*await point(page, "Afraid"), 1)
        await expect(last).to_contain_text("not counted")
        assert await face.get_attribute("src") == shown
        await page.clock.fast_forward(100)
        await press_at(*await point(page, "Sad"), 1)
        await expect(last).to_contain_text("You said: Sad. The model:")
        shown = await another(shown)
        # Whoever answers by keys need not wait, and a key that is held answers once.
        for key, name in (("1", "Angry"), ("2", "Disgusted")):
            await page.keyboard.down(key)
            shown = await another(shown)
            await page.keyboard.down(key)
            await page.keyboard.up(key)
            await expect(last).to_contain_text(f"You said: {name}. The model:")
            assert await face.get_attribute("src") == shown
        await page.get_by_role("button", name="Neutral").press("Enter")
        await expect(last).to_contain_text("You said: Neutral. The model:")
        await expect(saved).to_have_text(ALL_SAVED)
        assert await labels(engine) == ["sad", "angry", "disgust", "neutral"]


async def test_a_picture_that_fails_is_tried_again_with_growing_waits(
    browser: Browser, settings: WebSettings, engine: AsyncEngine
) -> None:
    asked: list[str] = []

    async def unavailable(route: Route) -> None:
        asked.append(route.request.url)
        await route.fulfill(status=503, json={"title": "The database is not reached"})

    async with running_web(settings) as base, page_of(browser, base, "/label") as (page, visit):
        await stop_clock(page)
        await page.route(PICTURES, unavailable)
        await begin(page)
        trouble = page.locator("#trouble")
        await expect(trouble).to_contain_text("The picture could not be loaded")
        await expect(page.locator("#face-note")).to_have_text("The picture could not be loaded")
        await expect(page.get_by_text("erased or has expired")).to_have_count(0)
        await page.keyboard.press("4")
        await expect(page.locator("#last")).to_contain_text("was not counted")
        first = set(asked)
        assert len(first) == 1
        for wait_s, next_s in ((1, 2), (2, 5), (5, 10)):
            await expect(trouble).to_contain_text(f"tried again in {wait_s} s")
            await page.clock.fast_forward(wait_s * 1000)
            await expect(trouble).to_contain_text(f"tried again in {next_s} s")
        assert set(asked) == first  # the same picture, not one after the other
        assert len(asked) == 8  # four times, and each time why
        assert len([url for url in visit.requests if "/labels/queue" in url]) == 1
        await page.unroute_all(behavior="wait")
        await page.clock.fast_forward(10_000)
        await expect(page.locator("#face")).to_be_visible()
        await expect(trouble).to_be_hidden()


async def test_a_picture_that_is_gone_is_passed_over_once(
    browser: Browser, settings: WebSettings, engine: AsyncEngine
) -> None:
    gone: list[str] = []

    async def without_the_first(route: Route) -> None:
        if not gone or route.request.url in gone:
            gone.append(route.request.url)
            await route.fulfill(status=404, json={"title": "Not found"})
        else:
            await route.continue_()

    async with running_web(settings) as base, page_of(browser, base, "/label") as (page, _):
        await page.route(PICTURES, without_the_first)
        await begin(page)
        await expect(page.locator("#last")).to_have_text("One picture was erased or has expired; here is the next.")
        for _each in range(11):
            await expect(page.locator("#face")).to_be_visible()
            await page.keyboard.press("4")
        # It is still in the queue of the server, and is not asked for again.
        await expect(page.locator("#face-note")).to_contain_text("The faces that are left are those")
        await expect(page.locator("#saved")).to_have_text(ALL_SAVED)
        assert len(await labels(engine)) == 11
        assert len(set(gone)) == 1
        assert len(gone) == 2  # the picture, and why it is not there


async def test_a_login_that_ended_is_told_and_leads_back(
    browser: Browser, mqtt_settings: MqttSettings, database_settings: DatabaseSettings, engine: AsyncEngine
) -> None:
    await add_person(engine, "berta", "labeller")
    settings = web_settings(mqtt_settings, database_settings, login="required")
    logged_out = asyncio.Event()

    async def late(route: Route) -> None:
        await logged_out.wait()
        await route.continue_()

    async def log_in(page: Page) -> None:
        await page.wait_for_url(re.compile(r"/login\?"))  # until its script has the form
        await page.get_by_label("Name").fill("berta")
        await page.get_by_label("Password").fill(PASSWORD)
        await expect(page.get_by_role("button", name="Log in")).to_be_enabled()
        await page.keyboard.press("Enter")

    async with running_web(settings) as base, page_of(browser, base, "/label") as (page, _):
        await page.route(PICTURES, late)
        await log_in(page)
        await expect(page.locator("#face-note")).to_have_text("Loading the picture")
        await expect(page.locator("#who")).to_contain_text("Labelling as berta")
        await expect(page.get_by_role("button", name="Change")).to_be_hidden()  # who is logged in is who labels
        ended = await page.context.request.post(f"{base}/api/v1/logout", data={})
        assert ended.ok, await ended.text()
        logged_out.set()
        again = page.get_by_role("link", name="Log in again")
        await expect(again).to_be_visible()
        await expect(page.get_by_text("erased or has expired")).to_have_count(0)
        await again.click()
        await log_in(page)
        await expect(page).to_have_url(re.compile(r"/label$"))
        await expect(page.locator("#face")).to_be_visible()
