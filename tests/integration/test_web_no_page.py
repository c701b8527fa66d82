"""What a browser is shown where there is no page, or where one cannot be had; programs get a problem document."""

from datetime import UTC, datetime

import httpx
import pytest

from services.web.routes import pages
from shared.settings import DatabaseSettings, MqttSettings
from tests.support.accounts import PASSWORD, add_person
from tests.support.patience import WAIT_S
from tests.support.web import check_problem, records, running_web, web_settings

HTML = {"Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"}


def check_page(answer: httpx.Response, status: int, title: str, *, menu: bool = True) -> None:
    assert answer.status_code == status
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert f"<h1>{title}</h1>" in answer.text
    assert ('aria-label="Pages"' in answer.text) is menu
    assert '<a href="/">Go to the first page</a>' in answer.text
    assert "/api/" not in answer.text.split("<main")[1].split("</main>")[0], "what programs are told"


async def test_a_mistyped_address_is_answered_with_a_page_for_people_alone(mqtt_settings: MqttSettings) -> None:
    async with (
        running_web(web_settings(mqtt_settings)) as base,
        httpx.AsyncClient(base_url=base, timeout=WAIT_S) as client,
    ):
        for path in ("/nothing", "/history/a/b", "/static/nothing.js", "/%3Cscript%3E"):
            check_page(await client.get(path, headers=HTML), 404, "There is no such page")
        check_problem(await client.get("/nothing"), 404, "not-found")
        check_problem(await client.get("/api/v1/nothing", headers=HTML), 404, "not-found")
        sent = await client.post("/devices", headers=HTML)
        check_page(sent, 405, "Pages are only for reading")
        assert sent.headers["allow"] == "GET, HEAD"
        head = await client.head("/nothing", headers=HTML)
        assert (head.status_code, head.text) == (404, "")


async def test_a_page_that_fails_by_a_defect_says_so_to_people(
    mqtt_settings: MqttSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(_address: str) -> str:
        raise RuntimeError("secret inside")

    monkeypatch.setattr(pages, "local", broken)
    async with (
        running_web(web_settings(mqtt_settings)) as base,
        httpx.AsyncClient(base_url=base, timeout=WAIT_S) as client,
    ):
        answer = await client.get("/devices", headers=HTML)
        check_page(answer, 500, "This service has a defect", menu=False)
        assert "secret" not in answer.text
        check_problem(await client.get("/devices"), 500, "defect")


async def test_who_is_logged_out_or_may_not_is_told_in_plain_words(
    mqtt_settings: MqttSettings, database_settings: DatabaseSettings
) -> None:
    async with records(database_settings, datetime.now(UTC).date()) as engine:
        await add_person(engine, "vera", "viewer")
        async with (
            running_web(web_settings(mqtt_settings, database_settings, login="required")) as base,
            httpx.AsyncClient(base_url=base, timeout=WAIT_S) as client,
        ):
            check_page(await client.get("/nothing", headers=HTML), 404, "There is no such page", menu=False)
            await client.post("/api/v1/login", json={"name": "vera", "password": PASSWORD})
            check_page(await client.get("/nothing", headers=HTML), 404, "There is no such page")
            refused = await client.get("/label", headers=HTML)
            check_page(refused, 403, "This page is not for your role")
            assert (
                "You are logged in as vera, viewer. The page Label is for people with the role labeller or researcher "
                "or admin." in refused.text
            )
            assert "token" not in refused.text
