"""Study sessions over real HTTP and a real Postgres, and their CSV in pandas."""

import asyncio
import io
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import httpx
import pandas as pd
import pytest
from sqlalchemy import delete, text, update
from sqlalchemy.ext.asyncio import AsyncEngine

from services.web.routes import sessions
from shared.db.study_tables import study_sessions
from shared.emotions import EMOTIONS
from shared.settings import DatabaseSettings
from tests.integration.delivery import until
from tests.support import scenes
from tests.support.web import check_problem, records, store

MIDNIGHT = datetime(2026, 3, 2, tzinfo=UTC)
BEGIN = MIDNIGHT - timedelta(seconds=30)
END = MIDNIGHT + timedelta(seconds=30)


@pytest.fixture
async def engine(database_settings: DatabaseSettings) -> AsyncIterator[AsyncEngine]:
    async with records(database_settings, BEGIN.date(), END.date()) as engine:
        yield engine


@pytest.fixture(autouse=True)
async def stored(engine: AsyncEngine) -> None:
    await store(engine, over_midnight())


def over_midnight() -> list[Any]:
    """Each second from a minute before to a minute after midnight: person 1 happy, then sad; person 2 every other one;
    and another camera that the session does not name."""
    found = []
    for second in range(-60, 60):
        at = MIDNIGHT + timedelta(seconds=second)
        faces = [scenes.face(1, "happy" if second < 0 else "sad", 0.9)]
        if second % 2 == 0:
            faces.append(scenes.face(2, "neutral", 0.6))
        found.append(scenes.detection("camera-1", *faces, captured_at=at, seq=second + 60))
        found.append(scenes.detection("camera-2", scenes.face(1, "fear", 0.8), captured_at=at, seq=second + 60))
    return found


def new(**more: Any) -> dict[str, Any]:
    times = {"started_at": BEGIN.isoformat(), "ended_at": END.isoformat()}
    return {"participant": "P07", "condition": "video call", "devices": ["camera-1"], **times, **more}


async def made(api: httpx.AsyncClient, **more: Any) -> dict[str, Any]:
    answer = await api.post("/api/v1/sessions", json=new(**more))
    assert answer.status_code == 201, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def test_a_session_is_started_changed_stopped_and_deleted_while_the_records_stay(api: httpx.AsyncClient) -> None:
    answer = await api.post("/api/v1/sessions", json={"participant": "P07", "devices": ["camera-1", "camera-1"]})
    started = answer.json()
    assert answer.status_code == 201
    assert started["devices"] == ["camera-1"]
    assert started["ended_at"] is None
    at = f"/api/v1/sessions/{started['id']}"
    changed = (await api.patch(at, json={"notes": "She looked away.\nTwice.", "condition": "face to face"})).json()
    assert (changed["notes"], changed["condition"]) == ("She looked away.\nTwice.", "face to face")
    assert changed["participant"] == "P07"
    stopped = (await api.post(f"{at}/stop", json={})).json()
    assert stopped["ended_at"] > started["started_at"]
    assert (await api.post(f"{at}/stop", json={})).json() == stopped  # a second time changes nothing
    going_on = (await api.patch(at, json={"ended_at": None})).json()
    assert going_on["ended_at"] is None
    before = len((await api.get("/api/v1/detections?limit=1000")).json()["items"])
    assert (await api.delete(at)).status_code == 204
    check_problem(await api.get(at), 404, "not-found")
    check_problem(await api.delete(at), 404, "not-found")
    assert len((await api.get("/api/v1/detections?limit=1000")).json()["items"]) == before == 240


async def test_a_session_or_change_that_does_not_fit_is_refused_in_words_and_changes_nothing(
    api: httpx.AsyncClient,
) -> None:
    refused: list[tuple[dict[str, Any], str, str]] = [
        ({"participant": "Ada Lovelace"}, "participant", "expected a code such as P07"),
        ({"devices": []}, "devices", "at least 1 item"),
        ({"devices": ["camera-9"]}, "devices", "no device camera-9 is known"),
        ({"started_at": "2199-01-01T00:00:00Z", "ended_at": None}, "started_at", "lies in the future"),
        ({"ended_at": BEGIN.isoformat()}, "body", "ended_at must be after started_at"),
        ({"started_at": None}, "body", "needs started_at"),
        ({"notes": "x\0"}, "notes", "zero byte"),
        ({"name": "Ada"}, "name", "no such parameter"),
    ]
    for wrong, parameter, words in refused:
        problem = check_problem(await api.post("/api/v1/sessions", json=new(**wrong)), 422, "bad-parameters")
        (error,) = problem["errors"]
        assert error["parameter"] == parameter
        assert words in error["reason"]
    assert (await api.get("/api/v1/sessions")).json() == {"items": [], "next_cursor": None}
    session = await made(api)
    at = f"/api/v1/sessions/{session['id']}"
    for change, words in [
        ({}, "nothing to change"),
        ({"participant": None}, "cannot be null"),
        ({"ended_at": (BEGIN - timedelta(hours=1)).isoformat()}, "ends after it started"),
        ({"devices": ["camera-9"]}, "no device camera-9"),
    ]:
        assert words in check_problem(await api.patch(at, json=change), 422, "bad-parameters")["detail"]
    assert (await api.get(at)).json() == session | {"overlaps": []}
    check_problem(await api.patch(f"/api/v1/sessions/{uuid4()}", json={"notes": "x"}), 404, "not-found")
    check_problem(await api.post(f"/api/v1/sessions/{uuid4()}/stop", json={}), 404, "not-found")


async def test_sessions_are_listed_by_what_overlaps_a_time_and_over_pages(api: httpx.AsyncClient) -> None:
    hour = timedelta(hours=1)
    ids = {}
    for number, (begin, end) in enumerate([(BEGIN, END), (BEGIN - hour, END - hour), (BEGIN, None), (END, None)]):
        more = {"started_at": begin.isoformat(), "ended_at": end.isoformat() if end else None}
        devices = ["camera-1"] if number < 3 else ["camera-1", "camera-2"]
        ids[(await made(api, participant=f"P{number}", devices=devices, **more))["id"]] = number

    async def listed(**query: str) -> set[int]:
        numbers: list[int] = []
        while True:
            page = (await api.get("/api/v1/sessions", params={"limit": "1", **query})).json()
            numbers += [ids[item["id"]] for item in page["items"]]
            if page["next_cursor"] is None:
                assert len(numbers) == len(set(numbers))
                return set(numbers)
            query["cursor"] = page["next_cursor"]

    assert await listed() == {0, 1, 2, 3}
    assert await listed(**{"from": BEGIN.isoformat(), "to": END.isoformat()}) == {0, 2}  # an end belongs to neither
    assert await listed(device="camera-2") == {3}
    assert await listed(participant="P1") == {1}
    assert await listed(running="true") == {2, 3}
    assert await listed(running="false") == {0, 1}
    first = next(key for key, number in ids.items() if number == 0)
    (overlap,) = (await api.get(f"/api/v1/sessions/{first}")).json()["overlaps"]
    assert (ids[overlap["id"]], overlap["devices"]) == (2, ["camera-1"])


async def test_lists_leave_notes_out_and_sessions_are_found_by_words(api: httpx.AsyncClient) -> None:
    notes = "A note that only its session has. " * 100
    p07 = await made(api, notes=notes)
    p08 = await made(api, participant="P08", condition="50% louder", devices=["camera-1", "camera-2"])
    assert (await api.get(f"/api/v1/sessions/{p07['id']}")).json()["notes"] == notes

    async def found(search: str, **more: Any) -> list[str]:
        answer = await api.get("/api/v1/sessions", params={"search": search, **more})
        assert answer.status_code == 200, answer.text
        assert "notes" not in answer.text
        return [item["participant"] for item in answer.json()["items"]]

    assert sorted(await found("p0")) == ["P07", "P08"]
    assert await found("VIDEO p07") == ["P07"]
    assert await found("camera-2") == ["P08"]
    assert await found("0%") == ["P08"]
    assert await found("_") == []
    assert await found("only") == []  # what stands in notes stays there
    assert sorted(await found(" ")) == ["P07", "P08"]
    assert await found("P0", condition="50% louder") == [p08["participant"]]
    check_problem(await api.get("/api/v1/sessions", params={"search": "x" * 201}), 422, "bad-parameters")

    choices = (await api.get("/api/v1/sessions/choices")).json()
    assert choices == {"participants": ["P07", "P08"], "conditions": ["50% louder", "video call"]}


async def test_what_was_changed_since_it_was_read_is_not_written_over(
    api: httpx.AsyncClient, engine: AsyncEngine
) -> None:
    session = await made(api)
    at = f"/api/v1/sessions/{session['id']}"
    read = await api.get(at)
    tag = read.headers["etag"]
    assert tag == f'"{read.json()["version"]}"' == f'"{session["version"]}"'
    # A marker is none of its own: who writes notes is not disturbed by who marks.
    assert (await api.post(f"{at}/markers", json={"at": BEGIN.isoformat(), "text": "here"})).status_code == 201
    # Many that read the same write at once: all but one are told, and what they wrote is not there.
    answers = await asyncio.gather(
        *(api.patch(at, json={"notes": f"by {number}"}, headers={"If-Match": tag}) for number in range(16))
    )
    done, refused, *others = sorted(answers, key=lambda answer: answer.status_code)
    assert done.status_code == 200
    assert {answer.status_code for answer in others} == {412}
    problem = check_problem(refused, 412, "session-changed")
    assert "Read the session again" in problem["next_step"]
    now = (await api.get(at)).json()
    assert now["notes"] == done.json()["notes"]
    assert refused.headers["etag"] == done.headers["etag"] == f'"{now["version"]}"'
    # So is one that comes while another is being written, and not yet seen by anybody.
    tag = refused.headers["etag"]
    async with asyncio.TaskGroup() as tasks, engine.connect() as other, engine.connect() as looking:
        await other.execute(update(study_sessions).values(notes="under way"))
        late = tasks.create_task(api.patch(at, json={"notes": "late"}, headers={"If-Match": tag}))

        async def waits() -> bool:
            waiting = text("SELECT count(*) FROM pg_locks WHERE NOT granted")
            return late.done() or await looking.scalar(waiting) == 1

        await until(waits)
        await other.commit()
    refused = late.result()
    check_problem(refused, 412, "session-changed")
    # With what is there now it is taken; as one of several, or as any, too. Weak ones never match (RFC 9110).
    for tags, status in ((f'"x", {refused.headers["etag"]}', 200), ("*", 200), (f"W/{tag}", 412), (tag, 412)):
        answer = await api.patch(at, json={"notes": f"by {tags}"}, headers={"If-Match": tags})
        assert answer.status_code == status, tags
    assert (await api.patch(at, json={"notes": "without"})).json()["notes"] == "without"
    gone = await api.patch(f"/api/v1/sessions/{uuid4()}", json={"notes": ""}, headers={"If-Match": "*"})
    check_problem(gone, 404, "not-found")


async def test_markers_are_added_within_the_session_changed_and_removed(api: httpx.AsyncClient) -> None:
    session = await made(api)
    at = f"/api/v1/sessions/{session['id']}/markers"
    late = (await api.post(at, json={"at": MIDNIGHT.isoformat(), "text": "=2+2 confused"})).json()
    early = (await api.post(at, json={"at": BEGIN.isoformat(), "text": "beginning"})).json()
    assert [item["id"] for item in (await api.get(at)).json()["items"]] == [early["id"], late["id"]]
    outside = {"at": (BEGIN - timedelta(seconds=1)).isoformat(), "text": "x"}
    assert "outside the session" in check_problem(await api.post(at, json=outside), 422, "bad-parameters")["detail"]
    assert "outside" in check_problem(await api.post(at, json={"text": "now"}), 422, "bad-parameters")["detail"]
    assert (
        "outside" in check_problem(await api.patch(f"{at}/{late['id']}", json=outside), 422, "bad-parameters")["detail"]
    )
    for blank in ("", "   ", "\t\n\u2003"):
        for answer in (
            await api.post(at, json={"at": BEGIN.isoformat(), "text": blank}),
            await api.patch(f"{at}/{early['id']}", json={"text": blank}),
        ):
            assert "expected what was noticed" in check_problem(answer, 422, "bad-parameters")["detail"]
    changed = (await api.patch(f"{at}/{early['id']}", json={"text": "  the beginning "})).json()
    assert changed == early | {"text": "the beginning"}
    frame = pd.read_csv(io.BytesIO((await api.get(f"{at}.csv")).content), parse_dates=["at", "created_at"])
    assert list(frame["seconds"]) == [0.0, 30.0]
    assert list(frame["text"]) == ["the beginning", "'=2+2 confused"]  # a spreadsheet calculates nothing
    assert frame["at"].dt.tz is not None
    other = await made(api)
    elsewhere = f"/api/v1/sessions/{other['id']}/markers/{late['id']}"
    check_problem(await api.patch(elsewhere, json={"text": "x"}), 404, "not-found")
    check_problem(await api.delete(elsewhere), 404, "not-found")
    assert (await api.delete(f"{at}/{late['id']}")).status_code == 204
    check_problem(await api.delete(f"{at}/{late['id']}"), 404, "not-found")
    assert (await api.get(f"/api/v1/sessions/{session['id']}")).json()["markers"] == 1
    running = await made(api, ended_at=None)
    marker = (await api.post(f"/api/v1/sessions/{running['id']}/markers", json={"text": "now"})).json()
    assert datetime.now(UTC) - datetime.fromisoformat(marker["at"]) < timedelta(minutes=1)


async def test_pandas_reads_a_sessions_faces_in_one_line(
    api: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = await made(api)
    whole = await api.get(f"/api/v1/sessions/{session['id']}/faces.csv")
    monkeypatch.setattr(sessions, "CSV_ROWS", 7)
    answer = await api.get(f"/api/v1/sessions/{session['id']}/faces.csv")
    assert answer.headers["content-disposition"] == 'attachment; filename="session-P07-20260301T235930Z-faces.csv"'
    assert answer.content == whole.content
    frame = pd.read_csv(io.BytesIO(answer.content), parse_dates=["captured_at"])
    assert len(frame) == 60 + 30
    assert frame["captured_at"].dt.tz is not None
    assert frame["captured_at"].is_monotonic_increasing
    assert frame["captured_at"].iloc[0] == BEGIN
    assert frame["seconds"].iloc[-1] == 59
    assert set(frame["device"]) == {"camera-1"}
    assert frame.groupby("track_id").size().to_dict() == {1: 60, 2: 30}
    assert set(frame["participant"]) == {"P07"}
    assert set(frame["condition"]) == {"video call"}
    assert frame[list(EMOTIONS)].sum(axis=1).between(0.999, 1.001).all()
    before = frame[frame["captured_at"] < MIDNIGHT]
    assert set(before[before["track_id"] == 1]["dominant_emotion"]) == {"happy"}
    assert frame["quality_ok"].dtype == bool
    assert not frame.duplicated(["event_id", "face_index"]).any()
    session = await made(api, started_at="2026-01-01T00:00:00Z", ended_at="2026-01-02T00:00:00Z")
    frame = pd.read_csv(
        io.BytesIO((await api.get(f"/api/v1/sessions/{session['id']}/faces.csv")).content), parse_dates=["captured_at"]
    )
    assert len(frame) == 0
    assert "confidence" in frame.columns
    check_problem(await api.get(f"/api/v1/sessions/{uuid4()}/faces.csv"), 404, "not-found")


async def test_pandas_reads_a_whole_study_in_one_line(api: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sessions, "CSV_ROWS", 25)
    first = await made(api, participant="P01", condition="=alone", ended_at=MIDNIGHT.isoformat())
    second = await made(api, participant="P02", condition="video call", started_at=MIDNIGHT.isoformat())
    await made(api, participant="P02", condition="other", devices=["camera-2"])
    await made(
        api, participant="P03", condition="video call", started_at="2026-01-01T00:00:00Z", ended_at=BEGIN.isoformat()
    )

    async def frame(**query: str) -> pd.DataFrame:
        answer = await api.get("/api/v1/sessions/faces.csv", params=query)
        assert answer.headers["content-disposition"] == 'attachment; filename="study-sessions-faces.csv"'
        return pd.read_csv(io.BytesIO(answer.content), parse_dates=["captured_at", "session_started_at"])

    study = await frame()
    assert list(study.columns[:4]) == ["session_id", "participant", "condition", "session_started_at"]
    one = pd.read_csv(io.BytesIO((await api.get(f"/api/v1/sessions/{first['id']}/faces.csv")).content))
    assert set(study.columns) == {*one.columns, "session_started_at"}
    assert study.groupby("participant").size().to_dict() == {"P01": 45, "P02": 45 + 60, "P03": 45}
    of_first = study[study["session_id"] == first["id"]].reset_index(drop=True)
    assert set(of_first["condition"]) == {"'=alone"}
    assert set(of_first["session_started_at"]) == {BEGIN}
    assert of_first["event_id"].tolist() == one["event_id"].tolist()
    assert of_first["seconds"].tolist() == one["seconds"].tolist()
    assert set((await frame(participant="P02", condition="video call"))["session_id"]) == {second["id"]}
    assert set((await frame(condition="video call"))["participant"]) == {"P02", "P03"}
    assert len(await frame(participant="P99")) == 0
    listed = (await api.get("/api/v1/sessions", params={"condition": "=alone"})).json()["items"]
    assert [session["id"] for session in listed] == [first["id"]]
    # Page after page of sessions, as one table.
    monkeypatch.setattr(sessions, "SESSIONS_AT_ONCE", 1)
    pd.testing.assert_frame_equal(await frame(), study)
    wrong = await api.get("/api/v1/sessions/faces.csv", params={"participant": "Anna Smith"})
    said = check_problem(wrong, 422, "bad-parameters")["detail"]
    assert "expected a code such as P07" in said
    assert "[A-Za-z" not in said


async def test_a_marker_of_a_session_that_is_deleted_at_that_moment_finds_none(
    api: httpx.AsyncClient, engine: AsyncEngine
) -> None:
    session = await made(api)
    at = {"at": BEGIN.isoformat(), "text": "confused"}
    async with engine.connect() as deleting:
        await deleting.execute(delete(study_sessions))
        marking = asyncio.create_task(api.post(f"/api/v1/sessions/{session['id']}/markers", json=at))

        async def waits() -> bool:
            async with engine.connect() as connection:
                waiting = text("SELECT count(*) FROM pg_locks WHERE NOT granted")
                return bool(await connection.scalar(waiting)) or marking.done()

        await until(waits)
        await deleting.commit()
    check_problem(await marking, 404, "not-found")


async def test_markers_that_come_at_once_are_never_more_than_are_kept(
    api: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sessions, "MAX_MARKERS", 3)
    session = await made(api)
    path = f"/api/v1/sessions/{session['id']}/markers"
    at = {"at": BEGIN.isoformat(), "text": "confused"}
    answers = await asyncio.gather(*(api.post(path, json=at) for _ in range(9)))
    assert sorted(answer.status_code for answer in answers) == [201] * 3 + [409] * 6
    assert len((await api.get(path)).json()["items"]) == 3


async def test_the_timeline_says_how_each_person_looked_over_midnight(api: httpx.AsyncClient) -> None:
    session = await made(api)
    line = (await api.get(f"/api/v1/sessions/{session['id']}/timeline")).json()
    assert datetime.fromisoformat(line["from"]) == BEGIN
    assert datetime.fromisoformat(line["to"]) == END
    assert line["complete"] is True
    assert line["people_left_out"] == 0
    one, two = line["people"]
    assert [stretch["looks"] for stretch in one["stretches"]] == ["happy"] * 30 + ["sad"] * 30
    assert {stretch["looks"] for stretch in two["stretches"]} == {"neutral"}
    assert len(two["stretches"]) == 30
    assert one["device"] == "camera-1"
    assert sum(stretch["faces"] for stretch in one["stretches"]) == 60
    # Nobody stopped this one: a day at a time.
    session = await made(api, ended_at=None)
    at = f"/api/v1/sessions/{session['id']}/timeline"
    line = (await api.get(at)).json()
    assert line["complete"] is False
    assert datetime.fromisoformat(line["to"]) == BEGIN + timedelta(hours=24)
    assert sum(stretch["faces"] for stretch in line["people"][0]["stretches"]) == 90
    following = (await api.get(at, params={"from": line["to"]})).json()
    assert following["people"] == []
    assert following["from"] == line["to"]
