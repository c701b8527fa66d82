"""People before a camera whose faces were labelled: rows as ingest and labellers leave them, with pictures."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta

import cv2
import numpy as np
from sqlalchemy import insert
from sqlalchemy.ext.asyncio import AsyncEngine

from shared.db.study_tables import votes
from shared.emotions import EMOTIONS, Emotion
from shared.messages import Detection
from tests.support import scenes
from tests.support.web import store, store_frame

START = datetime(2026, 3, 1, 12, tzinfo=UTC)
Votes = Mapping[str, int]


def noise(seed: int, brighter: int = 0) -> bytes:
    """A JPEG of 640x360 that resembles no other's; with `brighter` it nearly looks like the one of the same seed."""
    small = (np.random.default_rng(seed).integers(0, 230, (18, 32, 3)) + brighter).astype(np.uint8)
    done, encoded = cv2.imencode(".jpg", cv2.resize(small, (640, 360), interpolation=cv2.INTER_NEAREST))
    assert done
    return encoded.tobytes()


async def label(engine: AsyncEngine, one: Detection, said: Votes) -> None:
    """Votes on the first face of a detection; each labeller says one thing."""
    names = [name for name, count in said.items() for _ in range(count)]
    rows = [
        {
            "event_id": one.event_id,
            "face_index": 0,
            "labeller": f"labeller-{number}",
            "captured_at": one.captured_at,
            "device": one.device,
            "label": name,
        }
        for number, name in enumerate(names)
    ]
    async with engine.begin() as connection:
        await connection.execute(insert(votes), rows)


async def kept_minute(
    engine: AsyncEngine, begin: datetime, faces: int = 12, *, device: str = "camera-1"
) -> list[Detection]:
    """A minute of one camera: happy, then sad; each with its picture."""
    found = [
        scenes.detection(
            device,
            scenes.face(1, "happy" if number < faces // 2 else "sad", 0.5 + number / 100),
            captured_at=begin + timedelta(seconds=5 * number),
            seq=number,
            frame_id=scenes.new_id(),
        )
        for number in range(faces)
    ]
    await store(engine, found)
    for number, one in enumerate(found):
        assert one.frame_id is not None
        await store_frame(
            engine, one.frame_id, scenes.picture(box_x=200 + number), one.captured_at, one.event_id, device=device
        )
    return found


def seen(person: int, at: int, *, guess: Emotion = "neutral", confidence: float = 0.8) -> Detection:
    """A face of a person, so many seconds after the start; its picture was kept."""
    event = scenes.new_id()
    return scenes.detection(
        "camera-1",
        scenes.face(person, guess, confidence),
        captured_at=START + timedelta(seconds=at),
        seq=at,
        event_id=event,
        frame_id=event,
    )


async def people(engine: AsyncEngine, persons: int = 20, each: int = 7) -> list[Detection]:
    """So many persons with so many faces each, one after the other, each face labelled by three; all emotions occur."""
    found = [seen(person, person * each + number) for person in range(persons) for number in range(each)]
    await store(engine, found)
    for number, one in enumerate(found):
        await store_frame(engine, one.frame_id or one.event_id, noise(number), one.captured_at)
        await label(engine, one, {EMOTIONS[number % 7]: 2, EMOTIONS[(number + 1) % 7]: 1})
    return found


async def one_more(
    engine: AsyncEngine,
    person: int,
    at: int,
    said: Votes,
    *,
    picture: int | None,
    brighter: int = 0,
    guess: Emotion = "neutral",
) -> Detection:
    """One face more: with the votes given, and the picture of that number, or none."""
    one = seen(person, at, guess=guess, confidence=0.95)
    await store(engine, [one], new_device=False)
    if picture is not None:
        await store_frame(engine, one.frame_id or one.event_id, noise(picture, brighter), one.captured_at)
    if said:
        await label(engine, one, said)
    return one


def labels_of(found: Sequence[Detection]) -> dict[str, str]:
    """The label that `people` had each given, by event."""
    return {str(one.event_id): EMOTIONS[number % 7] for number, one in enumerate(found)}
