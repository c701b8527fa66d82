"""Episodes, their timeline and the way through the history, over a real Postgres and real HTTP."""

from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
from sqlalchemy import insert
from sqlalchemy.ext.asyncio import AsyncEngine

from services.web import search
from services.web.history_schemas import Context, Episode, EpisodePage, Neighbours, Timeline
from services.web.label_queries import put_vote
from services.web.schemas import DetectionPage
from shared.db.study_tables import study_sessions
from shared.messages import Detection, ModelRef
from shared.settings import DatabaseSettings
from tests.support import scenes
from tests.support.web import check_problem, ingested, records, store_frame

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
FRAME = scenes.new_id()


def at(seconds: float) -> datetime:
    return NOON + timedelta(seconds=seconds)


@pytest.fixture
async def engine(database_settings: DatabaseSettings) -> AsyncIterator[AsyncEngine]:
    async with records(database_settings, NOON.date()) as engine:
        yield engine


def two_visits() -> list[Detection]:
    """A minute of each of two devices, half a minute apart: a happy person, then with a second, unclear and sad one.

    The second device has another model; one picture was kept.
    """
    found = []
    for number in range(60):
        faces = [scenes.face(1, "happy", 0.5 + number / 200)]
        if number >= 30:
            faces.append(scenes.face(2, "sad", 0.6).model_copy(update={"quality": scenes.SMALL_AND_DARK}))
        for device, delay in (("camera-1", 0), ("camera-2", 31)):
            one = scenes.detection(device, *faces, captured_at=at(number + delay), seq=number)
            if device == "camera-2":
                one = one.model_copy(update={"model": ModelRef(name="other_net", version="2")})
            elif number == 10:
                one = one.model_copy(update={"frame_id": FRAME})
            found.append(one)
    return found


def is_voted(one: Detection) -> bool:
    """Whether two labellers voted on its second face, the sad one."""
    return one.device == "camera-1" and 40 <= one.seq < 50


async def fill(engine: AsyncEngine) -> tuple[list[Detection], UUID]:
    """Store the visits, their picture, votes on ten faces and a session of the first device's last half minute."""
    found = two_visits()
    await ingested(engine, found)
    await store_frame(engine, FRAME, scenes.picture(), at(10))
    async with engine.begin() as connection:
        for one in filter(is_voted, found):
            row = {"event_id": one.event_id, "face_index": 1, "captured_at": one.captured_at, "device": one.device}
            for labeller in ("a", "b"):
                await put_vote(connection, row | {"labeller": labeller, "label": "sad"})
        session = await connection.scalar(
            insert(study_sessions)
            .values(participant="P1", devices=["camera-1"], started_at=at(30), ended_at=at(45), created_by="a")
            .returning(study_sessions.c.id)
        )
    assert isinstance(session, UUID)
    return found, session


def who(page: EpisodePage) -> list[tuple[str, int]]:
    return [(item.device, item.track_id) for item in page.items]


async def episodes(api: httpx.AsyncClient, **query: str) -> EpisodePage:
    answer = await api.get("/api/v1/episodes", params=query)
    assert answer.status_code == 200, answer.text
    return EpisodePage.model_validate(answer.json())


EPISODES: list[tuple[dict[str, str], list[tuple[str, int]]]] = [
    ({}, [("camera-2", 2), ("camera-2", 1), ("camera-1", 2), ("camera-1", 1)]),
    ({"device": "camera-1"}, [("camera-1", 2), ("camera-1", 1)]),
    ({"emotion": "sad"}, [("camera-2", 2), ("camera-1", 2)]),
    ({"min_confidence": "0.7"}, [("camera-2", 1), ("camera-1", 1)]),
    ({"ok": "false"}, [("camera-2", 2), ("camera-1", 2)]),
    ({"min_quality": "1"}, [("camera-2", 1), ("camera-1", 1)]),
    ({"labelled": "true"}, [("camera-1", 2)]),
    ({"labelled": "false"}, [("camera-2", 2), ("camera-2", 1), ("camera-1", 1)]),
    ({"model": "other_net"}, [("camera-2", 2), ("camera-2", 1)]),
    ({"model": "slim_resnet@1.0.0"}, [("camera-1", 2), ("camera-1", 1)]),
    ({"model": "slim_resnet@9"}, []),
    ({"has_frame": "true"}, [("camera-1", 1)]),
    # What reaches into the time counts, also from before it; what ends before it does not.
    ({"from": "2026-03-01T12:01:00Z"}, [("camera-2", 2), ("camera-2", 1)]),
    (
        {"from": "2026-03-01T12:00:59Z", "to": "2026-03-01T12:01:00Z"},
        [("camera-2", 1), ("camera-1", 2), ("camera-1", 1)],
    ),
    ({"session": "the session"}, [("camera-1", 2), ("camera-1", 1)]),
    ({"session": "the session", "device": "camera-2"}, []),
]


def faces_that(fits: Callable[[Any], bool]) -> Callable[[Detection], bool]:
    return lambda one: any(fits(face) for face in one.faces)


DETECTIONS: list[tuple[dict[str, str], Callable[[Detection], bool]]] = [
    ({"ok": "false"}, faces_that(lambda face: not face.quality.ok)),
    ({"ok": "true", "emotion": "sad"}, lambda one: False),
    ({"labelled": "true"}, is_voted),
    ({"labelled": "true", "device": "camera-2"}, lambda one: False),
    ({"labelled": "true", "emotion": "happy"}, lambda one: False),
    ({"labelled": "true", "emotion": "sad", "ok": "false", "min_confidence": "0.6"}, is_voted),
    (
        {"labelled": "true", "model": "slim_resnet", "to": "2026-03-01T12:00:45Z"},
        lambda one: is_voted(one) and one.seq < 45,
    ),
    ({"labelled": "true", "has_frame": "true"}, lambda one: False),
    ({"labelled": "true", "session": "the session"}, lambda one: is_voted(one) and one.seq < 45),
    ({"labelled": "false", "emotion": "sad"}, lambda one: one.seq >= 30 and not is_voted(one)),
    ({"model": "other_net@2"}, lambda one: one.device == "camera-2"),
    ({"model": "other_net", "min_confidence": "0.75"}, lambda one: one.device == "camera-2" and one.seq >= 50),
    ({"has_frame": "true"}, lambda one: one.frame_id is not None),
    ({"has_frame": "false", "device": "camera-1"}, lambda one: one.device == "camera-1" and one.frame_id is None),
    ({"session": "the session"}, lambda one: one.device == "camera-1" and 30 <= one.seq < 45),
    (
        {"session": "the session", "to": "2026-03-01T12:00:40Z"},
        lambda one: one.device == "camera-1" and 30 <= one.seq < 40,
    ),
]


@pytest.mark.parametrize("rows", [search.ROWS, 7], ids=["at once", "in many small searches"])
async def test_filters_give_exactly_what_fits_however_short_each_search_is(
    api: httpx.AsyncClient, engine: AsyncEngine, monkeypatch: pytest.MonkeyPatch, rows: int
) -> None:
    found, session = await fill(engine)
    monkeypatch.setattr(search, "ROWS", rows)
    if rows == 7:
        monkeypatch.setattr(search, "VOTED", 2)
        monkeypatch.setattr(search, "MAX_VOTED", 4)

    async def every(path: str, query: dict[str, str]) -> tuple[list[Any], int]:
        items: list[Any] = []
        searches = 0
        asked = {name: str(session) if name == "session" else value for name, value in query.items()} | {"limit": "9"}
        while True:
            answer = await api.get(path, params=asked)
            assert answer.status_code == 200, answer.text
            page = answer.json()
            searches += 1
            items += page["items"]
            assert page["searched_to"] is None or page["next_cursor"] is not None
            if page["next_cursor"] is None:
                return items, searches
            asked["cursor"] = page["next_cursor"]

    for query, expected in EPISODES:
        items, _ = await every("/api/v1/episodes", query)
        assert [(item["device"], item["track_id"]) for item in items] == expected, query
    for query, fits in DETECTIONS:
        items, searches = await every("/api/v1/detections", query)
        ids = [item["event_id"] for item in items]
        assert len(ids) == len(set(ids)), query
        assert set(ids) == {str(one.event_id) for one in found if fits(one)}, query
        assert [item["captured_at"] for item in items] == sorted((i["captured_at"] for i in items), reverse=True)
        if rows == 7 and query == {"has_frame": "true"}:
            assert searches > 10
        if rows == 7 and query == {"labelled": "true", "emotion": "happy"}:
            assert searches == 3  # of ten that somebody voted on, four at a time


async def test_the_frames_of_one_episode_are_those_of_its_person_and_no_other(
    api: httpx.AsyncClient, engine: AsyncEngine
) -> None:
    found, _ = await fill(engine)
    again = scenes.detection("camera-1", scenes.face(2, "sad"), captured_at=at(45.5)).model_copy(
        update={"boot_id": uuid4()}  # another start of the device counts its tracks anew
    )
    await ingested(engine, [again])
    sad = next(one for one in (await episodes(api, device="camera-1")).items if one.faces == 30)
    its = {"episode": str(sad.id), "limit": "1000"}

    async def detections(**more: str) -> list[UUID]:
        answer = await api.get("/api/v1/detections", params=its | more)
        return [item.event_id for item in DetectionPage.model_validate(answer.json()).items]

    of_it = [one for one in found if one.device == "camera-1" and one.seq >= 30]
    assert await detections() == [one.event_id for one in reversed(of_it)]
    # With other filters, on the same face; and as any filter for episodes and the timeline.
    assert await detections(labelled="true") == [one.event_id for one in reversed(of_it) if is_voted(one)]
    assert await detections(emotion="happy") == await detections(device="camera-2") == []
    assert await neighbours(api, f"detections/{of_it[0].event_id}", episode=str(sad.id)) == (None, of_it[1].event_id)
    assert [one.id for one in (await episodes(api, episode=str(sad.id))).items] == [sad.id]
    counted = Timeline.model_validate((await api.get("/api/v1/timeline", params={"episode": str(sad.id)})).json())
    assert [item.faces for item in counted.items] == [30]
    for path in ("detections", "episodes", "timeline"):
        document = check_problem(
            await api.get(f"/api/v1/{path}", params={"episode": str(uuid4())}), 422, "bad-parameters"
        )
        assert [item["parameter"] for item in document["errors"]] == ["episode"]


async def test_an_episode_says_what_was_read_and_shows_its_best_face(
    api: httpx.AsyncClient, engine: AsyncEngine
) -> None:
    found, _ = await fill(engine)
    one: Episode = (await episodes(api, device="camera-1")).items[-1]
    kept = next(each for each in found if each.frame_id == FRAME)
    assert (one.first_at, one.last_at, one.faces, one.ok_share) == (at(0), at(59), 60, 1.0)
    assert (one.dominant_emotion, one.headline, one.counts["happy"]) == ("happy", "Looks happy", 60)
    assert one.best_confidence == pytest.approx(0.795)
    # A face with a picture stands for it, though others were read with more confidence.
    assert one.sample.event_id == kept.event_id
    assert one.sample.picture == f"/api/v1/frames/{FRAME}.jpg"
    assert one.sample.region == kept.faces[0].region
    assert one.sample.frame_size == kept.frame_size
    assert (await api.get(one.sample.picture)).status_code == 200


async def test_the_timeline_counts_each_episode_once(api: httpx.AsyncClient, engine: AsyncEngine) -> None:
    await fill(engine)
    query = {"from": "2026-03-01T12:00:00Z", "to": "2026-03-01T12:01:36Z"}
    timeline = Timeline.model_validate((await api.get("/api/v1/timeline", params=query)).json())
    assert timeline.bucket_s == 1.0
    assert [(item.start, {k: v for k, v in item.episodes.items() if v}, item.faces) for item in timeline.items] == [
        (at(0), {"happy": 1}, 60),
        (at(30), {"sad": 1}, 30),
        (at(31), {"happy": 1}, 60),
        (at(61), {"sad": 1}, 30),
    ]
    # One that began before the time is counted at its beginning.
    late = {"from": "2026-03-01T12:00:50Z", "to": "2026-03-01T12:02:26Z"}
    timeline = Timeline.model_validate((await api.get("/api/v1/timeline", params=late)).json())
    assert [(item.start, sum(item.episodes.values())) for item in timeline.items] == [(at(50), 3), (at(61), 1)]
    everything = Timeline.model_validate((await api.get("/api/v1/timeline")).json())
    assert sum(sum(item.episodes.values()) for item in everything.items) == 4
    assert len(everything.items) <= 97
    check_problem(await api.get("/api/v1/timeline", params={"from": "2199-01-01T00:00:00Z"}), 422, "bad-parameters")


async def test_a_timeline_of_very_many_begins_with_the_newest_and_says_so(
    api: httpx.AsyncClient, engine: AsyncEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    await fill(engine)
    to = {"to": "2026-03-01T12:03:00Z"}
    whole = Timeline.model_validate((await api.get("/api/v1/timeline", params=to)).json())
    assert (whole.from_, whole.more) == (at(0), False)
    monkeypatch.setattr(search, "COUNTED", 2)
    cut = Timeline.model_validate((await api.get("/api/v1/timeline", params=to)).json())
    assert (cut.from_, cut.more) == (at(30), True)
    assert sum(sum(item.episodes.values()) for item in cut.items) == 3
    # What is asked for by an earlier end is there; and of one device there are not too many.
    early = {"from": "2026-03-01T11:59:00Z", "to": "2026-03-01T12:00:31Z"}
    for fits in (early, to | {"device": "camera-1"}, to | {"labelled": "true"}):
        assert Timeline.model_validate((await api.get("/api/v1/timeline", params=fits)).json()).more is False, fits


async def test_neighbours_lead_through_what_fits_and_stop_at_the_ends(
    api: httpx.AsyncClient, engine: AsyncEngine
) -> None:
    found, session = await fill(engine)
    query = {"session": str(session), "emotion": "sad"}
    fitting = [one for one in found if one.device == "camera-1" and 30 <= one.seq < 45]
    walked = [fitting[0].event_id]
    assert await neighbours(api, f"detections/{walked[0]}", **query) == (None, fitting[1].event_id)
    while (newer := (await neighbours(api, f"detections/{walked[-1]}", **query))[1]) is not None:
        walked.append(newer)
    assert walked == [one.event_id for one in fitting]
    page = await episodes(api, emotion="sad")
    newest, oldest = page.items
    assert await neighbours(api, f"episodes/{oldest.id}", emotion="sad") == (None, newest.sample.event_id)
    assert await neighbours(api, f"episodes/{newest.id}", emotion="sad") == (oldest.sample.event_id, None)
    for path in (f"detections/{uuid4()}", f"episodes/{uuid4()}"):
        check_problem(await api.get(f"/api/v1/{path}/neighbours"), 404, "not-found")


async def neighbours(api: httpx.AsyncClient, path: str, **query: str) -> tuple[UUID | None, UUID | None]:
    answer = await api.get(f"/api/v1/{path}/neighbours", params=query)
    assert answer.status_code == 200, answer.text
    both = Neighbours.model_validate(answer.json())
    return (both.older.event_id if both.older else None, both.newer.event_id if both.newer else None)


async def test_a_detection_s_context_tells_words_picture_votes_and_session(
    api: httpx.AsyncClient, engine: AsyncEngine
) -> None:
    found, session = await fill(engine)

    async def context(one: Detection) -> Context:
        answer = await api.get(f"/api/v1/detections/{one.event_id}/context")
        assert answer.status_code == 200, answer.text
        return Context.model_validate(answer.json())

    first = [one for one in found if one.device == "camera-1"]
    voted = await context(first[40])
    assert voted.votes == [{}, {"sad": 2}]
    assert [each.id for each in voted.sessions] == [session]
    assert (voted.picture, voted.picture_state) == (None, "not-kept")
    assert voted.words[0].headline == "Looks happy"
    kept = await context(first[10])
    assert (kept.picture, kept.picture_state, kept.sessions) == (f"/api/v1/frames/{FRAME}.jpg", "kept", [])
    lost = scenes.detection("camera-1", captured_at=at(100), frame_id=scenes.new_id())
    await ingested(engine, [lost])
    assert (await context(lost)).picture_state == "missing"
    check_problem(await api.get(f"/api/v1/detections/{uuid4()}/context"), 404, "not-found")


async def test_a_session_that_is_not_there_is_named(api: httpx.AsyncClient) -> None:
    for path in ("episodes", "detections", "timeline"):
        answer = await api.get(f"/api/v1/{path}", params={"session": str(uuid4())})
        document = check_problem(answer, 422, "bad-parameters")
        assert [item["parameter"] for item in document["errors"]] == ["session"]
    assert DetectionPage.model_validate((await api.get("/api/v1/detections")).json()).items == []


@pytest.mark.parametrize("path", ["/api/v1/detections", "/api/v1/episodes"])
async def test_what_can_never_fit_is_answered_at_once_and_for_good(
    api: httpx.AsyncClient, engine: AsyncEngine, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    _, session = await fill(engine)
    episode = (await api.get("/api/v1/episodes", params={"device": "camera-1"})).json()["items"][0]["id"]
    monkeypatch.setattr(search, "ROWS", 2)
    monkeypatch.setattr(search, "COUNTED", 2)
    never: list[dict[str, str]] = [
        {"session": str(session), "device": "camera-2"},
        {"episode": episode, "device": "camera-2"},
        {"session": str(session), "to": at(-3600).isoformat()},
        {"session": str(session), "from": at(86_000).isoformat()},
    ]
    for query in never:
        for more in ({}, {"emotion": "happy"}, {"labelled": "true"}):
            answer = await api.get(path, params={**query, **more, "limit": "9"})
            assert answer.json() == {"items": [], "next_cursor": None, "searched_to": None}, (query, more)
        if path == "/api/v1/episodes":
            line = (await api.get("/api/v1/timeline", params=query)).json()
            assert (line["items"], line["more"]) == ([], False)
