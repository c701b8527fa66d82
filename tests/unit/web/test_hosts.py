"""Other sites' pages: what a browser that they sent is answered, and that every answer has the headers."""

from collections.abc import AsyncIterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from http import HTTPStatus
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.web.app import create_app
from services.web.datasets.previewing import Previewer
from services.web.face_pictures import FacePictures
from services.web.gate import Gate
from services.web.hosts import host_of, is_safe
from services.web.hub import Hub
from services.web.trail import Trail
from shared.db.audit import Entry
from shared.metrics import Metrics
from shared.owned_thread import OwnedThread
from tests.support.web import check_problem

ALLOWED = frozenset({"emotions.example.org"})


@pytest.mark.parametrize(
    "header",
    [
        "127.0.0.1:8000",
        "localhost:8000",
        "LOCALHOST",
        "[::1]:8000",
        "192.168.1.7",
        "web:8000",
        "a.localhost",
        "emotions.example.org",
        "Emotions.Example.org.:443",
    ],
)
def test_names_that_nobody_else_can_have_are_safe(header: str) -> None:
    assert is_safe(host_of(header), ALLOWED)


@pytest.mark.parametrize(
    "header",
    [
        "evil.example",
        "evil.example:8000",
        "127.0.0.1.evil.example",
        "localhost.evil.example",
        "emotions.example.org.evil.example",
        "127.0.0.1@evil.example",
        "",
        "[::1",
        "[",
    ],
)
def test_names_that_another_site_can_point_here_are_not(header: str) -> None:
    assert not is_safe(host_of(header), ALLOWED)


@given(st.text(st.characters(max_codepoint=255)))
def test_no_header_crashes_the_check(header: str) -> None:
    is_safe(host_of(header), ALLOWED)


@pytest.fixture
def client() -> httpx.AsyncClient:
    metrics = Metrics("web")

    async def set_paused(_device: str, _paused: bool) -> None:
        pytest.fail("no device is known here")

    async def change_wish(_device: str, _changes: dict[str, Any]) -> dict[str, Any]:
        pytest.fail("no device is known here")

    async def send_picture(_device: str, _jpeg: bytes) -> None:
        pytest.fail("no device is known here")

    async def save(_entries: Sequence[Entry]) -> None:
        pass

    app = create_app(
        role="edge",
        hub=Hub(),
        database=None,
        pictures=FacePictures(OwnedThread(ThreadPoolExecutor(1))),
        previewer=Previewer(OwnedThread(ThreadPoolExecutor(1))),
        wish_of=lambda _device: None,
        set_paused=set_paused,
        change_wish=change_wish,
        send_picture=send_picture,
        trail=Trail(save, metrics),
        gate=Gate(),
        accounts=None,
        eraser=None,
        metrics=metrics,
        readiness=dict,
        max_viewers=1,
        max_viewers_each=1,
        requests_per_s=1000,
        allowed_hosts=ALLOWED,
    )

    @app.get("/broken")
    async def broken() -> None:
        raise RuntimeError("secret inside")

    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    return httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8000")


@pytest.mark.parametrize(
    ("path", "status"),
    [("/", 200), ("/broken", 500), ("/none", 404), ("/healthz", 200), ("/static/../app.py", 404), ("/static/x", 404)],
)
async def test_every_answer_has_the_headers(client: httpx.AsyncClient, path: str, status: int) -> None:
    async with client:
        answer = await client.get(path)
    assert answer.status_code == status
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["cross-origin-resource-policy"] == "same-origin"
    assert "secret" not in answer.text


async def test_a_request_under_another_sites_name_is_refused_with_the_headers(client: httpx.AsyncClient) -> None:
    async with client:
        answer = await client.get("/api/v1/devices", headers={"Host": "evil.example"})
        document = check_problem(answer, 421, "unknown-host")
        assert "EMOTION_ALLOWED_HOSTS" in document["next_step"]
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert (await client.get("/api/v1/devices", headers={"Host": "emotions.example.org"})).status_code == 200


@pytest.mark.parametrize(
    ("headers", "lets_in"),
    [
        ({}, True),  # a program
        ({"Origin": "http://127.0.0.1:8000"}, True),
        ({"Origin": "https://evil.example"}, False),
        ({"Origin": "null"}, False),
        ({"Origin": ""}, False),
        ({"Origin": "http://127.0.0.1:9000"}, False),
        ({"Sec-Fetch-Site": "same-origin"}, True),
        ({"Sec-Fetch-Site": "none"}, True),
        ({"Sec-Fetch-Site": "same-site", "Origin": "http://127.0.0.1:8000"}, False),
        ({"Sec-Fetch-Site": "cross-site"}, False),
        # Behind a reverse proxy that keeps Host, and behind one that puts its own in its place.
        ({"Host": "emotions.example.org", "Origin": "https://emotions.example.org"}, True),
        ({"Host": "emotions.example.org:8443", "Origin": "https://emotions.example.org:8443"}, True),
        ({"Host": "emotions.example.org", "Origin": "https://evil.example"}, False),
        ({"Host": "web:8000", "Origin": "https://emotions.example.org", "Sec-Fetch-Site": "same-origin"}, True),
        ({"Host": "web:8000", "Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site"}, False),
    ],
)
async def test_only_own_pages_and_programs_may_change_something(
    client: httpx.AsyncClient, headers: dict[str, str], *, lets_in: bool
) -> None:
    async with client:
        answer = await client.post("/api/v1/devices/camera-1/pause", headers=headers, json={})
        if lets_in:
            check_problem(answer, 404, "not-found")  # as far as the question which device is meant
        else:
            check_problem(answer, 403, "another-site")
        assert (await client.get("/healthz", headers=headers)).status_code == 200


@pytest.mark.parametrize("told", [True, False])
async def test_a_body_that_no_address_needs_is_refused_before_it_is_in_memory(
    client: httpx.AsyncClient, *, told: bool
) -> None:
    read = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal read
        while True:
            read += 1
            yield bytes(4096)

    headers = {"Content-Type": "application/json"} | ({"Content-Length": "99999999999"} if told else {})
    async with client:
        answer = await client.post("/api/v1/devices/camera-1/pause", headers=headers, content=endless())
    check_problem(answer, 413, HTTPStatus(413).phrase.lower().replace(" ", "-"))
    assert read < 20


@pytest.mark.parametrize(
    "path",
    [
        "/static/..%2fapp.py",
        "/static/%2e%2e/app.py",
        "/static/....//app.py",
        "/static//etc/passwd",
        "/static/..\\app.py",
        "/static/%00",
        "/static/" + "a" * 5000,
    ],
)
async def test_no_path_leads_out_of_the_folder_of_files(client: httpx.AsyncClient, path: str) -> None:
    async with client:
        answer = await client.get(path)
    assert answer.status_code in (400, 404)
    assert "import" not in answer.text
