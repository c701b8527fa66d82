"""Votes on faces over real HTTP and a real Postgres."""

import random
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
from sqlalchemy import delete, func, insert, select
from sqlalchemy.ext.asyncio import AsyncEngine

from services.web import label_queries
from services.web.agreement import Tally, cohens_kappa, fleiss_kappa
from shared.db.study_tables import VOTES, study_sessions, votes
from shared.db.tables import faces, frames
from shared.emotions import Emotion
from shared.messages import Detection
from shared.settings import DatabaseSettings
from tests.support import scenes
from tests.support.labelled import kept_minute
from tests.support.web import check_problem, records, store, store_frame

START = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.fixture
async def engine(database_settings: DatabaseSettings) -> AsyncIterator[AsyncEngine]:
    async with records(database_settings, START.date()) as engine:
        yield engine


async def kept(engine: AsyncEngine, *readings: tuple[Emotion, float], picture: bool = True) -> list[UUID]:
    """A detection with one face for each reading, a second apart, with its picture; gives their ids."""
    found = [
        scenes.detection(
            "camera-1",
            scenes.face(number, emotion, confidence),
            captured_at=START + timedelta(seconds=number),
            seq=number,
            frame_id=scenes.new_id() if picture else None,
        )
        for number, (emotion, confidence) in enumerate(readings)
    ]
    await store(engine, found)
    for one in found:
        if one.frame_id is not None:
            await store_frame(engine, one.frame_id, scenes.picture(), one.captured_at, one.event_id)
    return [one.event_id for one in found]


async def queue(api: httpx.AsyncClient, labeller: str, **more: Any) -> dict[str, Any]:
    answer = await api.get("/api/v1/labels/queue", params={"labeller": labeller, **more})
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def vote(api: httpx.AsyncClient, event_id: UUID | str, label: str, labeller: str) -> httpx.Response:
    body = {"event_id": str(event_id), "face_index": 0, "label": label, "labeller": labeller}
    return await api.post("/api/v1/labels", json=body)


async def test_the_queue_gives_unsure_and_disputed_faces_first_and_none_twice(
    api: httpx.AsyncClient, engine: AsyncEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    sure, torn, middling = await kept(engine, ("happy", 0.97), ("sad", 0.2), ("fear", 0.6))
    first = await queue(api, "ada")
    assert [UUID(item["event_id"]) for item in first["items"]] == [torn, middling, sure]
    assert (first["waiting"], first["more"], first["labeller"]) == (3, False, "ada")
    # What the model read is not told before the vote.
    assert set(first["items"][0]) == {"event_id", "face_index", "device", "captured_at", "frame_id", "picture", "mark"}
    # Where the face is in its cut-out, for others may be in it.
    assert first["items"][0]["mark"] == {"x": 0.1974, "y": 0.1773, "w": 0.6052, "h": 0.6455}
    assert (await api.get(first["items"][0]["picture"])).headers["content-type"] == "image/jpeg"
    await vote(api, sure, "happy", "bob")
    await vote(api, sure, "neutral", "eve")
    assert UUID((await queue(api, "ada"))["items"][0]["event_id"]) == sure  # people differ on it
    await vote(api, sure, "happy", "ada")
    left = await queue(api, "ada")
    assert [UUID(item["event_id"]) for item in left["items"]] == [torn, middling]
    skipped = await queue(api, "ada", skip=[f"{torn}:0"])
    assert [UUID(item["event_id"]) for item in skipped["items"]] == [middling]
    assert skipped["waiting"] == 2
    # However many pictures there are, it looks at some; here at one by one, as far back as the first that is open.
    monkeypatch.setattr(label_queries, "POOL", 1)
    await vote(api, middling, "fear", "ada")
    stepped = await queue(api, "ada")
    assert ([UUID(item["event_id"]) for item in stepped["items"]], stepped["more"]) == ([torn], True)
    monkeypatch.setattr(label_queries, "MAX_POOLS", 1)
    assert (await queue(api, "ada"))["items"] == []
    assert (await queue(api, "ada"))["more"] is True


async def test_the_queue_is_of_a_device_a_time_or_a_study_session(api: httpx.AsyncClient, engine: AsyncEngine) -> None:
    mine = await kept_minute(engine, START, 6)  # each five seconds after the one before
    other = await kept_minute(engine, START, 2, device="camera-2")
    async with engine.begin() as connection:
        session = await connection.scalar(
            insert(study_sessions)
            .values(
                participant="P1",
                devices=["camera-1"],
                started_at=mine[2].captured_at,
                ended_at=mine[5].captured_at,
                created_by="a",
            )
            .returning(study_sessions.c.id)
        )

    async def found(**query: Any) -> set[str]:
        return {item["event_id"] for item in (await queue(api, "ada", **query))["items"]}

    def ids(*those: Detection) -> set[str]:
        return {str(one.event_id) for one in those}

    later = mine[4].captured_at.isoformat()
    assert await found() == ids(*mine, *other)
    assert await found(device="camera-2") == ids(*other)
    assert await found(session=str(session)) == ids(*mine[2:5])  # what is captured as it ends is not in it
    assert await found(session=str(session), **{"from": later}) == ids(mine[4])
    assert await found(session=str(session), device="camera-2") == set()
    refused = await api.get("/api/v1/labels/queue", params={"labeller": "ada", "session": str(uuid4())})
    assert "there is no study session" in check_problem(refused, 422, "bad-parameters")["detail"]


async def test_a_vote_is_kept_once_changed_taken_back_and_tells_the_guess(
    api: httpx.AsyncClient, engine: AsyncEngine
) -> None:
    (face,) = await kept(engine, ("happy", 0.84))
    before = datetime.now(UTC).isoformat()
    answer = (await vote(api, face, "sad", "ada")).json()
    assert answer["vote"]["label"] == "sad"
    assert answer["vote"]["device"] == "camera-1"
    assert answer["guess"]["dominant_emotion"] == "happy"
    assert answer["guess"]["words"]["headline"] == "Looks happy"
    assert answer["others"] == {}
    assert (await vote(api, face, "sad", "ada")).status_code == 200  # sent again after a lost answer
    assert (await vote(api, face, "happy", "ada")).json()["vote"]["label"] == "happy"
    assert (await vote(api, face, "not_a_face", "bob")).json()["others"] == {"happy": 1}
    page = (await api.get("/api/v1/labels", params={"limit": 1})).json()
    more = (await api.get("/api/v1/labels", params={"limit": 1, "cursor": page["next_cursor"]})).json()
    assert [(v["labeller"], v["label"]) for v in page["items"] + more["items"]] == [
        ("bob", "not_a_face"),
        ("ada", "happy"),
    ]
    assert more["next_cursor"] is None
    assert len((await api.get("/api/v1/labels", params={"label": "happy", "labeller": "ada"})).json()["items"]) == 1
    assert (await api.get("/api/v1/labels", params={"event_id": str(uuid4())})).json()["items"] == []
    done = (await api.get("/api/v1/labels/progress", params={"labeller": "ada", "since": before})).json()
    assert done == {"labeller": "ada", "votes": 1, "votes_since": 1, "faces_of_all": 1, "faces_of_several": 1}
    at = f"/api/v1/labels/{face}/0"
    assert (await api.delete(at, params={"labeller": "ada"})).status_code == 204
    check_problem(await api.delete(at, params={"labeller": "ada"}), 404, "not-found")
    assert len((await api.get("/api/v1/labels")).json()["items"]) == 1
    # What does not fit is told.
    assert "say who votes" in check_problem(await api.delete(at), 422, "bad-parameters")["detail"]
    assert "labeller" in check_problem(await vote(api, face, "happy", " "), 422, "bad-parameters")["detail"]
    assert "label" in check_problem(await vote(api, face, "joy", "ada"), 422, "bad-parameters")["detail"]
    assert "cursor" in check_problem(await api.get("/api/v1/labels?cursor=x"), 422, "bad-parameters")["detail"]


async def test_a_vote_on_what_is_gone_is_refused_in_words(api: httpx.AsyncClient, engine: AsyncEngine) -> None:
    one, other = await kept(engine, ("happy", 0.84), ("sad", 0.5))
    async with engine.begin() as connection:
        await connection.execute(delete(frames).where(frames.c.event_id == one))
        await connection.execute(delete(faces).where(faces.c.event_id == other))
    assert "Go on" in check_problem(await vote(api, one, "happy", "ada"), 410, "picture-gone")["next_step"]
    assert (
        "erased or has expired" in check_problem(await vote(api, other, "happy", "ada"), 404, "not-found")["next_step"]
    )
    check_problem(await vote(api, uuid4(), "happy", "ada"), 404, "not-found")
    assert (await queue(api, "ada"))["items"] == []
    async with engine.connect() as connection:
        assert await connection.scalar(select(func.count()).select_from(votes)) == 0


async def test_agreement_over_the_faces_that_several_labelled(api: httpx.AsyncClient, engine: AsyncEngine) -> None:
    empty = (await api.get("/api/v1/labels/agreement")).json()
    assert empty == {"labellers": {}, "faces": 0, "fleiss_kappa": None, "pairs": []}
    seen = await kept(engine, ("happy", 0.5), ("happy", 0.5), ("happy", 0.5), ("happy", 0.5), ("happy", 0.5))
    # Ada and Bob share four faces and agree on three: p_o = 3/4; both say happy to two and sad to two but for one.
    for face, ada, bob in zip(seen, ("happy", "happy", "sad", "sad"), ("happy", "happy", "sad", "happy"), strict=False):
        await vote(api, face, ada, "ada")
        await vote(api, face, bob, "bob")
    await vote(api, seen[4], "fear", "ada")  # nobody else saw it
    found = (await api.get("/api/v1/labels/agreement")).json()
    assert found["labellers"] == {"ada": 5, "bob": 4}
    (pair,) = found["pairs"]
    # p_e = 1/2 * 3/4 + 1/2 * 1/4 = 1/2, kappa = 1/2; of Fleiss p_e = (5/8)^2 + (3/8)^2 = 17/32, kappa = 7/15.
    assert (pair["first"], pair["second"], pair["faces"], pair["agreement"]) == ("ada", "bob", 4, 0.75)
    assert pair["kappa"] == pytest.approx(0.5)
    assert found["faces"] == 4
    assert found["fleiss_kappa"] == pytest.approx(7 / 15)
    later = (await api.get("/api/v1/labels/agreement", params={"from": "2026-03-02T00:00:00Z"})).json()
    assert later["labellers"] == {}


async def test_agreement_is_that_of_the_votes_themselves_whatever_labellers_are_called(
    api: httpx.AsyncClient, engine: AsyncEngine
) -> None:
    """Against the figures of each vote, taken from the table as it is."""
    drawn = random.Random(7)
    names = ["ada", "Bob", "e/ve", "happy/x", "a,b", "{c}", 'd"', "Zo\u00eb 1", "f\\g"]
    rows = []
    for number in range(300):
        face = {"event_id": uuid4(), "face_index": number % 3, "captured_at": START + timedelta(seconds=number)}
        for labeller in drawn.sample(names, drawn.randint(1, 4)):
            label = "happy" if drawn.random() < 0.6 else drawn.choice(VOTES)
            rows.append(face | {"device": "camera-1", "labeller": labeller, "label": label})
    async with engine.begin() as connection:
        await connection.execute(insert(votes), rows)
    for query, begin, end in (({}, 0, 300), ({"from": (START + timedelta(seconds=100)).isoformat()}, 100, 300)):
        tally = Tally(VOTES)
        for second in range(begin, end):
            at = START + timedelta(seconds=second)
            said = {row["labeller"]: row["label"] for row in rows if row["captured_at"] == at}
            tally.add(sorted((str(labeller), str(label)) for labeller, label in said.items()), 1)
        found = (await api.get("/api/v1/labels/agreement", params=query)).json()
        assert found["labellers"] == tally.labellers
        assert found["fleiss_kappa"] == fleiss_kappa(tally.judged)
        assert found["faces"] == sum(times for _, times in tally.judged)
        told = {frozenset((pair["first"], pair["second"])): (pair["faces"], pair["kappa"]) for pair in found["pairs"]}
        assert told == {
            frozenset(two): (sum(table.values()), pytest.approx(cohens_kappa(table)))
            for two, table in tally.tables.items()
        }
        assert len(found["pairs"]) == len(told)
