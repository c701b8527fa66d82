"""No password leaves a service: not in logs at their most talkative, pages, errors or settings, whatever goes wrong."""

import asyncio
import base64
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from uuid import uuid4

import asyncpg
import httpx
import pytest
from pydantic import SecretStr
from sqlalchemy import make_url, text

from services.embedded import free_port
from services.web.accounts import queries
from services.web.accounts.passwords import hashed
from shared.db.migrate import upgrade
from shared.jpeg import with_comment
from shared.messages import Source
from shared.mqtt import MqttLink
from shared.settings import DatabaseSettings, MqttSettings
from tests.conftest import ROOT
from tests.docs_from_code import SERVICES
from tests.integration.delivery import bare_jpeg, detection, frame, until
from tests.support.leaks import leaks
from tests.support.patience import WAIT_S
from tests.support.web import records

DATABASE = "canary-database-5e1f"
BROKER = "canary-broker-77ac"
CAMERA = "canary-camera-90b2"
CANARIES = (DATABASE, BROKER, CAMERA)
PASSWORD = "canary-password-41d8 of anna"
TYPED = "canary-typed-3c6b by mistake"
CHOSEN = "canary-chosen-b2f0 by anna"
PERSON = "canary-erika-mustermann"
PIXELS = b"canary-pixels-of-somebodys-face-0123456.."
JSON = {"Content-Type": "application/json"}
PAGES = (
    "/",
    "/healthz",
    "/readyz",
    "/metrics",
    "/api/v1/openapi.json",
    "/api/v1/docs",
    "/api/v1/devices",
    "/api/v1/detections",
    "/api/v1/detections?limit=x",
    "/api/v1/stats",
    "/none",
)


UNFIT: tuple[tuple[str, dict[str, str]], ...] = (
    ("migrate", {}),
    ("migrate", {"DATABASE__URL": f"postgresql://someone:{DATABASE}@127.0.0.1:port/emotion"}),
    ("migrate", {"DATABASE__URL": f"mysql://someone:{DATABASE}@127.0.0.1/emotion"}),
    ("migrate", {"DATABASE__URL": f"postgresql://someone:{DATABASE}@127.0.0.1/emotion?nonsense=1"}),
    ("migrate", {"DATABASE__URL": DATABASE}),
    ("migrate", {"DATABASE__PASSWORD_FILE": "/nonexistent"}),
    ("web", {"DATABASE__URL": f"postgresql://someone:{DATABASE}@127.0.0.1/emotion?nonsense={DATABASE}"}),
    ("ingest", {"MQTT__PASWORD": BROKER}),
    ("ingest", {"MQTT": f'{{"password": "{BROKER}"'}),
    ("ingest", {"MQTT__PORT": "0"}),
    ("web", {"DATABASE__URL": f"postgresql://someone:{DATABASE}@/", "PORT": "x"}),
    ("capture", {"SOURCE": f"ftp://someone:{CAMERA}@camera/1"}),
    ("capture", {"SOURCE": f"rtsp://someone:{CAMERA}@[camera/1"}),
    ("classifier", {"CLOUD__HOST": "a", "CLOUD__PORT": "x", "CLOUD__PASSWORD": BROKER}),
)


@dataclass(frozen=True)
class Running:
    """A service as a process, and where its pages are."""

    process: subprocess.Popen[bytes]
    output: Path
    address: str


class Starter:
    """Starts services as processes with canaries for passwords."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        """Their logs, and all that they keep on disk."""
        self.started: list[Running] = []

    def __call__(self, service: str, **settings: str) -> Running:
        port = free_port()
        environment = {name: value for name, value in os.environ.items() if not name.startswith("EMOTION_")}
        environment |= {
            "EMOTION_LOG__LEVEL": "debug",
            "EMOTION_DATA_DIR": str(self.folder),
            "EMOTION_MQTT__USERNAME": "someone",
            "EMOTION_MQTT__PASSWORD": BROKER,
            "EMOTION_DATABASE__URL": f"postgresql://someone:{DATABASE}@127.0.0.1:{free_port()}/emotion",
            ("EMOTION_PORT" if service == "web" else "EMOTION_HEALTH__PORT"): str(port),
        }
        environment |= {f"EMOTION_{name}": value for name, value in settings.items()}
        output = self.folder / f"{service}-{len(self.started)}.log"
        with output.open("wb") as out:
            process = subprocess.Popen(
                [sys.executable, "-m", "services.main", service], cwd=ROOT, env=environment, stdout=out, stderr=out
            )
        self.started.append(Running(process, output, f"http://127.0.0.1:{port}"))
        return self.started[-1]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Starter]:
    starter = Starter(tmp_path)
    yield starter
    for running in starter.started:
        running.process.kill()
        running.process.wait()


async def pages(running: Running) -> list[str]:
    """All pages of a service once it answers, with their headers."""
    async with httpx.AsyncClient(base_url=running.address, timeout=WAIT_S) as client:

        async def answers() -> bool:
            assert running.process.poll() is None, running.output.read_text()
            try:
                await client.get("/healthz")
            except httpx.TransportError:
                return False
            return True

        await until(answers, WAIT_S)
        got = [await client.get(page) for page in PAGES]
    return [f"{answer.headers} {answer.text}" for answer in got]


def _says(running: Running, words: bytes) -> bool:
    return words in running.output.read_bytes()


async def ended(running: Running) -> None:
    await asyncio.to_thread(running.process.wait)


@pytest.mark.parametrize(
    ("log_format", "services"),
    [("json", ("ingest", "web", "capture", "classifier")), ("console", ("ingest", "web"))],
)
async def test_services_that_reach_nothing_keep_their_secrets(
    start: Starter, log_format: str, services: tuple[str, ...]
) -> None:
    settings = {
        "LOG__FORMAT": log_format,
        "MQTT__PORT": str(free_port()),
        "SOURCE": f"http://someone:{CAMERA}@127.0.0.1:{free_port()}/stream?password={CAMERA}",
    }
    all_running = [start(service, **settings) for service in services]
    for running in all_running:
        found = await pages(running)
        await until(partial(_says, running, b"broker not reached"), WAIT_S)
        running.process.terminate()
        await ended(running)
        assert not leaks([start.folder, *found], CANARIES)


@pytest.mark.parametrize("service", ["ingest", "web"])
async def test_a_service_that_is_let_in_by_neither_keeps_its_secrets(
    start: Starter, service: str, mqtt_settings: MqttSettings, postgres_server: DatabaseSettings
) -> None:
    url = make_url(postgres_server.url.get_secret_value()).set(username="nobody", password=DATABASE)
    refused = url.render_as_string(hide_password=False)
    running = start(service, DATABASE__URL=refused, MQTT__PORT=str(mqtt_settings.port))
    found = await pages(running)
    refusal = b"database does not answer" if service == "web" else b"database cannot be used"
    await until(partial(_says, running, refusal), WAIT_S)
    running.process.terminate()
    await ended(running)
    assert not leaks([running.output, *found], CANARIES)


async def test_logs_and_metrics_hold_no_pictures_and_nobodys_name(
    start: Starter, mqtt_settings: MqttSettings, database_settings: DatabaseSettings
) -> None:
    await upgrade(database_settings)
    url = database_settings.url.get_secret_value()
    settings = {
        "DATABASE__URL": url,
        "MQTT__PORT": str(mqtt_settings.port),
        "MQTT__TOPIC_PREFIX": mqtt_settings.topic_prefix,
    }
    services = [start(service, **settings) for service in ("ingest", "web")]
    link = MqttLink(mqtt_settings)
    sending = asyncio.create_task(link.run())
    rows = await asyncpg.connect(url)
    topics = mqtt_settings.topics
    source = Source(kind="file", name=PERSON)
    good = detection(source=source)
    frame_id, jpeg = frame(jpeg=with_comment(bare_jpeg(padding=100).replace(bytes(len(PIXELS)), PIXELS), b""))
    bad_value = json.loads(good.to_json()) | {"frame_number": PERSON, PERSON: PERSON}

    async def all_are_heard() -> bool:
        for topic, payload in (
            (topics.detections(good.device), json.dumps(bad_value).encode()),
            (topics.detections(good.device), good.to_json() + PERSON.encode()),
            (topics.frames(good.device, uuid4()), jpeg),
            (topics.frames(good.device, frame_id), jpeg[:-2]),
            (topics.frames(good.device, frame_id), jpeg),
            (topics.preview(good.device), jpeg),
            (topics.live(good.device), json.dumps({"source": PERSON}).encode()),
            (topics.detections(good.device), good.to_json()),
        ):
            await link.publish(topic, payload, qos=1)
        stored = await rows.fetchval("SELECT count(*) FROM detections") and await rows.fetchval(
            "SELECT count(*) FROM frames"
        )
        return bool(stored) and all(_says(one, b"refused") for one in services)

    try:
        for running in services:
            await pages(running)
        await link.connected.wait()
        await until(all_are_heard, WAIT_S)
        async with httpx.AsyncClient(timeout=WAIT_S) as client:
            measured = [(await client.get(f"{running.address}/metrics")).text for running in services]
        for running in services:
            running.process.terminate()
            await ended(running)
    finally:
        await rows.close()
        sending.cancel()
        await asyncio.wait({sending})
    told = "\n".join(running.output.read_text() for running in services)
    assert not leaks([start.folder, *measured], (PERSON, PIXELS.decode(), base64.b64encode(PIXELS).decode()[:20]))
    assert "\\xff\\xd8" not in told


async def test_whoever_logs_in_leaves_no_password_cookie_or_token_behind(
    start: Starter, mqtt_settings: MqttSettings, database_settings: DatabaseSettings
) -> None:
    """In what is right, mistyped, put into the wrong field and sent to the wrong place."""
    async with records(database_settings) as engine:
        async with engine.begin() as connection:
            await queries.add_user(connection, "anna", "admin", hashed(PASSWORD), temporary=False)
        running = start(
            "web",
            DATABASE__URL=database_settings.url.get_secret_value(),
            MQTT__PORT=str(mqtt_settings.port),
            MQTT__TOPIC_PREFIX=mqtt_settings.topic_prefix,
            LOGIN="required",
        )
        told = await pages(running)
        async with (
            httpx.AsyncClient(base_url=running.address, timeout=WAIT_S) as anna,
            httpx.AsyncClient(base_url=running.address, timeout=WAIT_S) as other,
        ):

            async def database_answers() -> bool:
                return (await other.get("/readyz")).status_code == 200

            await until(database_answers, WAIT_S)
            refused = [
                await other.post("/api/v1/login", json={"name": "anna", "password": TYPED}),
                await other.post("/api/v1/login", json={"name": PASSWORD, "password": "anna"}),
                await other.post("/api/v1/login", json={"name": "anna", "password": [PASSWORD]}),
                await other.post("/api/v1/login", json={"name": "anna", "password": PASSWORD * 100}),
                await other.post("/api/v1/login", json={"name": "anna", "pasword": PASSWORD}),
                await other.post("/api/v1/login", content=f'{{"name": "anna", "password": "{PASSWORD}', headers=JSON),
                await other.post("/api/v1/login", data={"name": "anna", "password": PASSWORD}),
                await other.get("/api/v1/login", params={"name": "anna", "password": PASSWORD}),
                await other.get("/api/v1/me", auth=("anna", PASSWORD)),
            ]
            entered = await anna.post("/api/v1/login", json={"name": "anna", "password": PASSWORD})
            first = anna.cookies["emotion"]
            changed = await anna.post("/api/v1/password", json={"old": PASSWORD, "new": CHOSEN})
            cookie = anna.cookies["emotion"]
            wish = {"name": "a notebook", "scopes": ["view", "research"]}
            made = await anna.post("/api/v1/tokens", json=wish)
            assert [entered.status_code, changed.status_code, made.status_code] == [200, 200, 201]
            assert first != cookie
            token = made.json()["token"]
            key = {"Authorization": f"Bearer {token}"}
            refused += [
                await anna.post("/api/v1/password", json={"old": TYPED, "new": f"{TYPED} again"}),
                await anna.post("/api/v1/password", json={"old": CHOSEN, "new": [CHOSEN]}),
                await other.get("/api/v1/me", headers={"Cookie": f"emotion={first}"}),
                await other.get("/api/v1/me", headers={"Authorization": f"Bearer {token}x"}),
                await other.get("/api/v1/me", headers={"Authorization": f"Bearer {cookie}"}),
                await other.get("/api/v1/detections", headers=key, params={"token": token}),
                await other.get("/api/v1/detections", headers=key, params={"cursor": token}),
                await other.get("/api/v1/audit", headers=key),
                await other.delete(f"/api/v1/tokens/{uuid4()}", headers=key),
                await other.post("/api/v1/tokens", headers=key, json=wish),
            ]
            unrefused = [str(answer.request.url) for answer in refused if not 400 <= answer.status_code < 500]
            assert not unrefused
            seen = [
                *[await other.get(page, headers=key) for page in (*PAGES, "/api/v1/me", "/api/v1/stats")],
                *[await anna.get(page) for page in (*PAGES, "/account", "/keys", "/people", "/audit")],
                *[await anna.get(f"/api/v1/{name}") for name in ("me", "tokens", "users", "audit")],
            ]
            assert {answer.status_code for answer in seen if answer.request.url.path == "/api/v1/me"} == {200}
            out = await anna.post("/api/v1/logout", json={})
            refused.append(await anna.get("/api/v1/me", headers={"Cookie": f"emotion={cookie}"}))
            assert [out.status_code, refused[-1].status_code] == [200, 401]

        async def noted() -> bool:
            async with engine.connect() as connection:
                lines = str((await connection.execute(text("SELECT action FROM audit_log"))).all())
            return all(action in lines for action in ("login refused", "password refused", "make key", "logout"))

        await until(noted, WAIT_S)
        running.process.terminate()
        await ended(running)
        async with engine.connect() as connection:
            kept = [
                str((await connection.execute(text(f"SELECT * FROM {table}"))).all())
                for table in ("audit_log", "users", "logins", "api_tokens")
            ]
    told += [f"{answer.headers} {answer.text}" for answer in (*refused, *seen)]
    told += [entered.text, changed.text]
    in_a_header = base64.b64encode(f"anna:{PASSWORD}".encode()).decode()
    secrets = (PASSWORD, TYPED, CHOSEN, in_a_header, first, cookie, token)
    assert not leaks([start.folder, *told, *kept], secrets)
    assert token.partition("_")[2] not in str(kept)


async def test_settings_that_do_not_fit_are_told_without_secrets(start: Starter) -> None:
    for running in [start(service, **settings) for service, settings in UNFIT]:
        await ended(running)
        told = running.output.read_text()
        assert running.process.returncode == 1, told
        assert told.startswith("emotion-edge ") or '"level"' in told
        assert "Traceback" not in told
        assert not leaks([running.output], CANARIES)


@pytest.mark.parametrize("service", SERVICES)
def test_settings_have_no_default_secret_and_show_none(service: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EMOTION_MQTT__PASSWORD", BROKER)
    monkeypatch.setenv("EMOTION_DATABASE__URL", f"postgresql://someone:{DATABASE}@127.0.0.1/emotion")
    given = SERVICES[service]()
    assert not leaks([repr(given), str(given), given.model_dump_json()], CANARIES)
    monkeypatch.undo()
    plain = SERVICES[service]()
    if "mqtt" in type(plain).model_fields:
        assert getattr(plain, "mqtt").password is None  # noqa: B009 - not every service has one
    if "database" in type(plain).model_fields:
        url: SecretStr = getattr(plain, "database").url  # noqa: B009 - not every service has one
        assert ":" not in url.get_secret_value().partition("://")[2].partition("@")[0]
