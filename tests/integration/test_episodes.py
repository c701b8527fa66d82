"""Episodes on a real Postgres: always what the faces that are there make, whatever comes twice, late, or goes."""

import asyncio
import random
from collections import Counter
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import func, select, text
from sqlalchemy.ext.asyncio import AsyncEngine

from services.ingest.store import Store
from services.ingest.validate import Accepted
from services.web.label_queries import put_vote, take_back
from shared.db.episode_tables import episodes
from shared.db.erasure import erase
from shared.db.migrate import downgrade, upgrade
from shared.db.places import Scope
from shared.db.retention import RetentionSettings, run_pass
from shared.db.study_tables import votes
from shared.db.tables import detections, faces
from shared.emotions import EMOTIONS
from shared.messages import Detection
from shared.settings import DatabaseSettings
from shared.topics import Topics
from tests.integration.delivery import until
from tests.support import scenes
from tests.support.web import accepted, waits_for_a_lock

TOPICS = Topics()
NOON = datetime(2026, 3, 29, 12, tzinfo=UTC)
BOOTS = (uuid4(), uuid4())


def scene(seed: int, count: int = 300) -> list[Detection]:
    """Two devices over midnight, each started twice, up to three people at a time, some pictures kept."""
    chance = random.Random(seed)
    made = []
    for number in range(count):
        found = []
        for track in chance.sample(range(1, 5), chance.randint(0, 3)):
            face = scenes.face(track, chance.choice(EMOTIONS), chance.uniform(0.2, 1.0))
            found.append(face if chance.random() < 0.7 else face.model_copy(update={"quality": scenes.SMALL_AND_DARK}))
        one = scenes.detection(
            chance.choice(("camera-1", "camera-2")),
            *found,
            captured_at=NOON + timedelta(hours=12, seconds=number - count / 2),
            seq=number,
            frame_id=scenes.new_id() if chance.random() < 0.2 else None,
        )
        made.append(one.model_copy(update={"boot_id": chance.choice(BOOTS)}))
    return made


async def expected(engine: AsyncEngine) -> dict[tuple[Any, ...], dict[str, Any]]:
    """Episodes by the plainest reading of the faces that are there."""
    of_track: dict[tuple[Any, ...], list[Any]] = {}
    async with engine.connect() as connection:
        rows = await connection.execute(
            select(faces, detections.c.boot_id, detections.c.frame_id).where(
                faces.c.event_id == detections.c.event_id, faces.c.captured_at == detections.c.captured_at
            )
        )
        for row in rows:
            key = (row.captured_at.astimezone(UTC).date(), row.device, row.boot_id, row.track_id)
            of_track.setdefault(key, []).append(row)
        voted = {tuple(row) for row in await connection.execute(select(votes.c.event_id, votes.c.face_index))}
    made = {}
    for key, found in of_track.items():
        counts = Counter(row.dominant_emotion for row in found)
        best = max(found, key=lambda r: (r.frame_id is not None, r.quality_ok, r.confidence))
        made[key] = {
            "first_at": min(row.captured_at for row in found),
            "last_at": max(row.captured_at for row in found),
            "face_count": len(found),
            "ok_count": sum(row.quality_ok for row in found),
            **{str(name): counts[name] for name in EMOTIONS},
            "dominant_emotion": max(EMOTIONS, key=lambda name: counts[name]),
            "ok_share": pytest.approx(sum(row.quality_ok for row in found) / len(found)),
            "best_confidence": pytest.approx(max(row.confidence for row in found)),
            "event_id": best.event_id,
            "captured_at": best.captured_at,
            "face_index": best.face_index,
            "frame_id": best.frame_id,
            "labelled": any((row.event_id, row.face_index) in voted for row in found),
        }
    return made


async def stored(engine: AsyncEngine) -> dict[tuple[Any, ...], dict[str, Any]]:
    async with engine.connect() as connection:
        rows = (await connection.execute(select(episodes))).mappings().all()
    left_out = {"day", "device", "boot_id", "track_id", "id", "score", "model_name", "model_version"}
    found: dict[tuple[Any, ...], dict[str, Any]] = {
        (row["day"], row["device"], row["boot_id"], row["track_id"]): {
            k: v for k, v in row.items() if k not in left_out
        }
        for row in rows
    }
    return found


async def vote(engine: AsyncEngine, one: Detection, face_index: int, labeller: str) -> None:
    row = {"event_id": one.event_id, "captured_at": one.captured_at, "device": one.device, "face_index": face_index}
    async with engine.begin() as connection:
        await put_vote(connection, row | {"labeller": labeller, "label": "sad"})


async def unvote(engine: AsyncEngine, one: Detection, face_index: int, labeller: str) -> None:
    async with engine.begin() as connection:
        assert await take_back(connection, one.event_id, face_index, labeller)


async def vote_here_and_there(engine: AsyncEngine, sent: list[Detection]) -> None:
    """On a face of every twentieth detection that has any."""
    for one in [one for one in sent if one.faces][::20]:
        await vote(engine, one, len(one.faces) - 1, "ada")


async def labelled(engine: AsyncEngine) -> int:
    async with engine.connect() as connection:
        return await connection.scalar(select(func.count()).where(episodes.c.labelled)) or 0


async def in_step(engine: AsyncEngine) -> int:
    """Compare; return how many there are."""
    found = await stored(engine)
    assert found == await expected(engine)
    return len(found)


async def test_replicas_side_by_side_with_duplicates_out_of_order_count_each_face_once(engine: AsyncEngine) -> None:
    sent = [accepted(one) for one in scene(1)]
    random.Random(2).shuffle(sent)
    batches = [sent[start : start + 25] for start in range(0, len(sent), 25)]
    again = [[*batch, *batch[:5]] for batch in batches[::-1]]  # the same one twice in a batch as well
    replicas = [Store(engine, dead_letter_bytes=1000) for _ in range(3)]

    async def replica(store: Store, share: list[list[Accepted]]) -> int:
        return sum([(await store.save(batch)).stored for batch in share])

    new = await asyncio.gather(
        replica(replicas[0], batches), replica(replicas[1], again), replica(replicas[2], batches[5:] + again[:5])
    )
    assert sum(new) == len(sent)
    assert await in_step(engine) > 16  # both sides of midnight


async def test_erasing_a_time_or_one_detection_leaves_episodes_of_what_stays(engine: AsyncEngine) -> None:
    sent = scene(3)
    await Store(engine, dead_letter_bytes=1000).save([accepted(one) for one in sent])
    await vote_here_and_there(engine, sent)
    whole = await in_step(engine)
    assert await labelled(engine)
    midnight = NOON + timedelta(hours=12)
    cut = Scope("camera-1", midnight - timedelta(seconds=100), midnight + timedelta(seconds=50))
    before, after = await erase(engine, cut, "tester")
    assert before["faces"] > 50
    assert after["episodes"] == 0
    assert await in_step(engine) <= whole
    # The face that stands for an episode goes: another one takes its place.
    async with engine.connect() as connection:
        one = (await connection.execute(select(episodes).where(episodes.c.face_count > 3).limit(1))).one()
    await erase(engine, Scope(item_id=one.event_id), "tester")
    async with engine.connect() as connection:
        now = (await connection.execute(select(episodes).where(episodes.c.id == one.id))).one()
    assert (now.face_count, now.event_id != one.event_id) == (one.face_count - 1, True)
    await in_step(engine)
    await erase(engine, Scope("camera-2", None, midnight + timedelta(days=1)), "tester")
    assert {key[1] for key in await stored(engine)} == {"camera-1"}
    await in_step(engine)


async def test_a_day_that_expires_takes_its_episodes_and_no_others(engine: AsyncEngine) -> None:
    await Store(engine, dead_letter_bytes=1000).save([accepted(one) for one in scene(5)])
    await in_step(engine)
    settings = RetentionSettings(detections_days=30)
    await run_pass(engine, settings, datetime(2026, 4, 29, 1, tzinfo=UTC))
    assert {key[0] for key in await stored(engine)} == {date(2026, 3, 30)}
    await in_step(engine)


async def test_rows_without_a_partition_of_their_own_expire_with_their_episodes(engine: AsyncEngine) -> None:
    wild = scenes.detection("no-clock", scenes.face(1), scenes.face(2), captured_at=datetime(2001, 1, 1, tzinfo=UTC))
    late = scenes.detection("no-clock", scenes.face(1), captured_at=datetime(2001, 1, 1, 0, 0, 1, tzinfo=UTC))
    late = late.model_copy(update={"boot_id": wild.boot_id})
    await Store(engine, dead_letter_bytes=1000).save([accepted(wild), accepted(late)])
    async with engine.begin() as connection:
        await connection.execute(
            text("UPDATE detections SET received_at = '2026-01-01T00:00:00Z' WHERE event_id = :id"),
            {"id": wild.event_id},
        )
    await run_pass(engine, RetentionSettings(detections_days=30), datetime(2026, 4, 29, 1, tzinfo=UTC))
    ((key, kept),) = (await stored(engine)).items()
    assert (key[3], kept["face_count"], kept["event_id"]) == (1, 1, late.event_id)
    await in_step(engine)


async def test_the_migration_makes_episodes_of_the_faces_that_are_there(
    engine: AsyncEngine, database_settings: DatabaseSettings
) -> None:
    sent = scene(7)
    await Store(engine, dead_letter_bytes=1000).save([accepted(one) for one in sent])
    await vote_here_and_there(engine, sent)
    await downgrade(database_settings, "0003")
    await upgrade(database_settings)
    assert await in_step(engine) > await labelled(engine) > 0


async def test_an_episode_is_labelled_as_long_as_any_of_its_faces_is(engine: AsyncEngine) -> None:
    sent = [
        scenes.detection("camera-1", scenes.face(1), scenes.face(2), captured_at=NOON + timedelta(seconds=n), seq=n)
        for n in range(3)
    ]
    sent = [one.model_copy(update={"boot_id": BOOTS[0]}) for one in sent]
    await Store(engine, dead_letter_bytes=1000).save([accepted(one) for one in sent])
    first, second, _ = sent
    for labeller, one in (("ada", first), ("ada", second), ("bo", first)):
        await vote(engine, one, 1, labeller)
        assert (await in_step(engine), await labelled(engine)) == (2, 1)
    # Another vote on the same face, then one on another face, is left: the episode stays labelled.
    for labeller, one, left in (("ada", first, 1), ("bo", first, 1), ("ada", second, 0)):
        await unvote(engine, one, 1, labeller)
        assert (await in_step(engine), await labelled(engine)) == (2, left)
    # The only face that anybody voted on goes.
    await vote(engine, first, 0, "ada")
    await erase(engine, Scope(item_id=first.event_id), "tester")
    assert (await in_step(engine), await labelled(engine)) == (2, 0)


async def test_who_votes_while_another_takes_back_leaves_it_labelled(engine: AsyncEngine) -> None:
    """Each has done its part before either commits: the one that waits for the other counts what it did."""
    first, second = (
        scenes.detection("camera-1", scenes.face(1), captured_at=NOON + timedelta(seconds=n)).model_copy(
            update={"boot_id": BOOTS[0]}
        )
        for n in range(2)
    )
    await Store(engine, dead_letter_bytes=1000).save([accepted(first), accepted(second)])
    await vote(engine, first, 0, "ada")
    async with engine.begin() as connection:
        row = {"event_id": second.event_id, "captured_at": second.captured_at, "device": "camera-1", "face_index": 0}
        await put_vote(connection, row | {"labeller": "bo", "label": "sad"})
        back = asyncio.create_task(unvote(engine, first, 0, "ada"))
        await until(lambda: waits_for_a_lock(engine))
    await back
    assert (await in_step(engine), await labelled(engine)) == (1, 1)
