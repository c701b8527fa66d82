"""A service that has been used for a while: whatever a page can show is there."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import httpx
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncEngine

from shared.db.erasure import erase
from shared.db.places import Scope
from shared.db.tables import audit_log
from shared.messages import Problem
from tests.support import scenes
from tests.support.accounts import add_person, logged_in
from tests.support.browser import Device
from tests.support.labelled import START, people
from tests.support.patience import WAIT_S
from tests.support.web import ingested, store_frame

ADMIN = "ada"
NEWCOMER = "newton"
"""Has not chosen a password yet."""
VIEWER = "vera"
DEVICE = "camera-1"
OFFLINE = "camera-2"
PHONE = "phone"
"""Waits for a browser that is its camera."""
_HOT = Problem(title="It is hot", cause="88 °C were measured.", next_step="Give it air.")


@dataclass(frozen=True, slots=True)
class Filled:
    """What pages are opened by."""

    event_id: UUID
    """A detection of two faces whose picture was kept."""
    session_id: str
    dataset_id: str


async def _until_ready(client: httpx.AsyncClient, path: str) -> None:
    deadline = time.monotonic() + WAIT_S
    while (found := (await client.get(path)).json())["state"] != "ready":
        assert found["state"] != "failed", found
        assert time.monotonic() < deadline, found
        await asyncio.sleep(0.05)


async def _until_audited(engine: AsyncEngine, action: str) -> None:
    deadline = time.monotonic() + WAIT_S
    async with engine.connect() as connection:
        while action not in set(await connection.scalars(select(audit_log.c.action))):
            assert time.monotonic() < deadline, action
            await asyncio.sleep(0.05)


async def before_start(engine: AsyncEngine) -> UUID:
    """Rows as ingest and labellers leave them; returns the detection that `Filled` names.

    Needs partitions for today and for the day of `START`.
    """
    for name, role in ((ADMIN, "admin"), (VIEWER, "viewer")):
        await add_person(engine, name, role)
    await add_person(engine, NEWCOMER, "labeller", temporary=True)
    await people(engine, persons=3)
    begun = datetime.now(UTC) - timedelta(seconds=30)
    kept = [scenes.new_id() for _ in range(12)]
    seen = [
        scenes.detection(
            DEVICE,
            scenes.face(1, "fear", 0.5 + number / 40),
            scenes.face(2, "happy", 0.9),
            captured_at=begun + timedelta(seconds=number),
            seq=number,
            frame_id=frame_id,
        )
        for number, frame_id in enumerate(kept)
    ]
    await ingested(engine, seen)
    for number, one in enumerate(seen):
        picture = scenes.picture(box_x=200 + number)
        await store_frame(engine, kept[number], picture, one.captured_at, one.event_id)
    gone = scenes.detection(DEVICE, scenes.face(3), captured_at=begun, seq=100)
    await ingested(engine, [gone])
    await erase(engine, Scope(item_id=gone.event_id), ADMIN)
    return seen[5].event_id


@asynccontextmanager
async def filled(engine: AsyncEngine, base: str, device: Device, event_id: UUID) -> AsyncIterator[Filled]:
    """Fill a running service over REST, while one device plays, one is offline, and one waits for a browser."""

    async def done(client: httpx.AsyncClient, method: str, path: str, body: dict[str, Any]) -> dict[str, Any]:
        answer = await client.request(method, f"/api/v1{path}", json=body)
        assert answer.status_code < 300, (path, answer.text)
        found: dict[str, Any] = answer.json()
        return found

    async with device.playing(), logged_in(base, ADMIN) as client:
        await device.status("classifier", "degraded", _HOT)
        waiting = scenes.status(PHONE, "capture").model_copy(update={"values": {"source": "browser"}})
        for status in (scenes.status(OFFLINE, "classifier", "offline"), waiting):
            topic = device.topics.status(status.device, status.service)
            await device.link.publish(topic, status.to_json(), qos=1, retain=True)
        deadline = time.monotonic() + WAIT_S
        while not (told := await client.patch(f"/api/v1/devices/{DEVICE}/desired", json={"model": "other"})).is_success:
            assert time.monotonic() < deadline, told.text  # the service first has to hear what the broker retains
            await asyncio.sleep(0.05)
        span = {"started_at": START.isoformat(), "ended_at": (START + timedelta(minutes=1)).isoformat()}
        session = await done(
            client,
            "POST",
            "/sessions",
            {"participant": "P07", "condition": "video call", "notes": "Calm at first.", "devices": [DEVICE], **span},
        )
        at = (START + timedelta(seconds=5)).isoformat()
        await done(client, "POST", f"/sessions/{session['id']}/markers", {"at": at, "text": "I was confused here"})
        dataset = await done(client, "POST", "/datasets", {"name": "lab-spring", "note": "In this lab only."})
        await _until_ready(client, f"/api/v1/datasets/{dataset['id']}")
        export = await done(client, "POST", f"/datasets/{dataset['id']}/exports", {"format": "fer2013"})
        await _until_ready(client, f"/api/v1/exports/{export['id']}")
        await _until_audited(engine, "build")
        yield Filled(event_id, session["id"], dataset["id"])
