"""docs/rest-tutorial.md as a person follows it: its blocks, in their order, against a real service and Postgres."""

import asyncio
import itertools
import os
import re
import subprocess
import sys
import zipfile
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any, Final

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

import services.web.app
from services.web.rate import LimitRequests
from shared.settings import DatabaseSettings, MqttSettings
from tests.conftest import ROOT
from tests.support import scenes
from tests.support.accounts import PASSWORD, add_person
from tests.support.labelled import START, label, noise
from tests.support.web import ingested, records, running_web, store_frame, web_settings

pytestmark = pytest.mark.timeout(300)

PAGE: Final = ROOT / "docs" / "rest-tutorial.md"
ADDRESS: Final = "http://127.0.0.1:8000"
RUNNERS: Final = {"bash": ["bash", "-euo", "pipefail"], "python": [sys.executable]}
FACES: Final = 24
"""Of which every second looks happy: two pages of them."""


@dataclass(frozen=True)
class Followed:
    """What became of following the page."""

    said: str
    folder: Path


def blocks(language: str, *sections: str) -> list[str]:
    """The page's blocks of one language; only those of the numbered sections, where such are named."""
    parts = re.split(r"^## ", PAGE.read_text(), flags=re.MULTILINE)[1:]
    wanted = [part for part in parts if not sections or part.partition(".")[0] in sections]
    block = re.compile(rf"^```{language}\n(.*?)^```", re.DOTALL | re.MULTILINE)
    return [code for part in wanted for code in block.findall(part)]


async def follow(language: str, base: str, folder: Path, *sections: str) -> Followed:
    """Run the blocks as one program, and type the password when it asks."""
    program = folder / f"tutorial-{language}"
    program.write_text("\n".join(blocks(language, *sections)).replace(ADDRESS, base))
    done = await asyncio.to_thread(
        subprocess.run,
        [*RUNNERS[language], str(program)],
        cwd=folder,
        env=os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"},
        input=f"{PASSWORD}\n",
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=240,
        start_new_session=True,  # without a terminal, so that Python too reads the password from its input
    )
    assert done.returncode == 0, done.stdout[-5000:]
    assert PASSWORD not in done.stdout
    return Followed(done.stdout, folder)


@pytest.fixture
async def engine(database_settings: DatabaseSettings) -> AsyncIterator[AsyncEngine]:
    """Anna, and a camera that saw three people; every picture was kept, every face was labelled by two."""
    async with records(database_settings, START.date()) as engine:
        await add_person(engine, "anna", "researcher")
        found = []
        for number in range(FACES):
            event = scenes.new_id()
            read = scenes.face(number // 8, "happy" if number % 2 else "sad", 0.9)
            when = START + timedelta(seconds=number)
            found.append(
                scenes.detection("camera-1", read, captured_at=when, seq=number, event_id=event, frame_id=event)
            )
        await ingested(engine, found)
        for number, one in enumerate(found):
            await store_frame(engine, one.event_id, noise(number), one.captured_at, one.event_id)
            await label(engine, one, {one.faces[0].dominant_emotion: 2})
        yield engine


def service(mqtt: MqttSettings, database: DatabaseSettings, folder: Path, **more: Any) -> Any:
    """The service that the page talks to."""
    return running_web(web_settings(mqtt, database, login="required", data_dir=folder / "data", **more))


async def rows(engine: AsyncEngine, query: str) -> list[tuple[Any, ...]]:
    async with engine.connect() as connection:
        return [tuple(row) for row in (await connection.execute(text(query))).all()]


@pytest.mark.parametrize("language", RUNNERS)
async def test_the_tutorial_does_what_it_says(
    language: str, engine: AsyncEngine, mqtt_settings: MqttSettings, database_settings: DatabaseSettings, tmp_path: Path
) -> None:
    async with service(mqtt_settings, database_settings, tmp_path) as base:
        followed = await follow(language, base, tmp_path)
    said = followed.said
    assert len(re.findall(r"looks happy,? 0\.9", said)) == FACES // 2
    assert "camera-1" in said
    assert "again: 304" in said
    assert (tmp_path / "frame.jpg").read_bytes() == noise(FACES - 1)
    assert (tmp_path / "face.jpg").read_bytes().startswith(b"\xff\xd8")
    assert len(re.findall(r"Looks \w+.* 8 faces", said)) == 3
    with zipfile.ZipFile(tmp_path / "tutorial.zip") as packed:
        assert packed.testzip() is None
        assert sum(name.endswith(".png") for name in packed.namelist()) == FACES
    for status in ("422", "401", "403"):
        assert re.search(rf"(\"status\": |^){status}\b", said, re.MULTILINE), said
    assert "stats 6" in said
    assert "with the key: 401" in said
    assert await rows(engine, "SELECT label FROM votes WHERE labeller = 'anna'") == [("happy",)]
    sessions = await rows(engine, "SELECT participant, created_by, ended_at IS NULL FROM study_sessions ORDER BY 1")
    assert sessions == [("P07", "anna", False), ("P08", "anna", False)]
    assert await rows(engine, "SELECT text, created_by FROM session_markers") == [("I was confused here", "anna")]


@pytest.mark.parametrize("language", RUNNERS)
async def test_the_tutorial_waits_when_it_asked_too_often(
    language: str,
    engine: AsyncEngine,
    mqtt_settings: MqttSettings,
    database_settings: DatabaseSettings,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # A quarter of a second passes from one request to the next, however slow this machine is.
    clock = partial(next, itertools.count(0, 0.25))
    monkeypatch.setattr(services.web.app, "LimitRequests", partial(LimitRequests, clock=clock))
    async with service(mqtt_settings, database_settings, tmp_path, requests_per_s=0.5) as base:
        said = (await follow(language, base, tmp_path, "1", "11")).said
    assert re.search("Will retry in|error: 429", said)
    assert len(re.findall(r"stats \d:? 200", said)) == 6


def test_both_languages_are_told_in_every_part() -> None:
    parts = re.split(r"^## ", PAGE.read_text(), flags=re.MULTILINE)[1:]
    numbers = [part.partition(".")[0] for part in parts]
    assert numbers == [str(number) for number in range(1, len(numbers) + 1)]
    for number in numbers:
        counts = {language: len(blocks(language, number)) for language in RUNNERS}
        assert counts["bash"] == counts["python"] > 0, f"part {number}: {counts}"
