"""Datasets over real HTTP and a real Postgres: choosing, building, exporting, downloading, erasing."""

import asyncio
import hashlib
import io
import json
import threading
import zipfile
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar
from uuid import UUID

import httpx
import pytest
from PIL import Image
from sqlalchemy import func, insert, select, text, update
from sqlalchemy.ext.asyncio import AsyncEngine

from services.web.datasets import building, exporting, jobs, previewing, queries
from services.web.datasets.formats import FORMATS, Item
from services.web.datasets.work import Cancelled
from services.web.settings import WebSettings
from shared.db import audit
from shared.db.alone import alone
from shared.db.erasure import ERASING_LOCK, erase
from shared.db.places import Scope
from shared.db.stale_exports import items_erased
from shared.db.study_tables import dataset_items, datasets, study_sessions
from shared.db.tables import erasures, frames
from shared.emotions import EMOTIONS
from shared.messages import Detection
from shared.metrics import Metrics
from shared.settings import DatabaseSettings, MqttSettings
from tests.integration.delivery import until
from tests.support.labelled import START, Votes, one_more, people
from tests.support.patience import WAIT_S
from tests.support.web import check_problem, records, running_web, waits_for_a_lock, web_settings

T = TypeVar("T")

pytestmark = pytest.mark.timeout(240)


@pytest.fixture
async def engine(database_settings: DatabaseSettings) -> AsyncIterator[AsyncEngine]:
    async with records(database_settings, START.date()) as engine:
        yield engine


@pytest.fixture
def web(mqtt_settings: MqttSettings, database_settings: DatabaseSettings, tmp_path: Path) -> WebSettings:
    return web_settings(mqtt_settings, database_settings, data_dir=tmp_path / "data")


async def until_not(client: httpx.AsyncClient, address: str, *states: str) -> dict[str, Any]:
    """What is at an address once its state is none of these."""
    found: dict[str, Any] = {}

    async def done() -> bool:
        found.update((await client.get(address)).json())
        return found["state"] not in states

    await until(done)
    return found


async def built(client: httpx.AsyncClient, name: str = "lab", **more: Any) -> dict[str, Any]:
    answer = await client.post("/api/v1/datasets", json={"name": name, **more})
    assert answer.status_code == 202, answer.text
    return await until_not(client, f"/api/v1/datasets/{answer.json()['id']}", "building")


async def exported(client: httpx.AsyncClient, dataset: dict[str, Any], form: str = "folders") -> dict[str, Any]:
    answer = await client.post(f"/api/v1/datasets/{dataset['id']}/exports", json={"format": form})
    assert answer.status_code == 202, answer.text
    return await until_not(client, f"/api/v1/exports/{answer.json()['id']}", "waiting", "running")


async def items_of(engine: AsyncEngine, dataset: dict[str, Any]) -> list[Any]:
    statement = select(dataset_items).where(dataset_items.c.dataset_id == UUID(dataset["id"]))
    async with engine.connect() as connection:
        return list((await connection.execute(statement.order_by(dataset_items.c.number))).all())


async def inline(function: Callable[..., T], /, *args: Any) -> T:
    return function(*args)


class PowerCut(Exception):
    """What ends a build or export in its midst."""


def cut_off_at(faces: int) -> Callable[[int, int], None]:
    """A progress that ends the work once so many faces are done."""

    def progress(done: int, total: int) -> None:
        if done == faces:
            raise PowerCut

    return progress


async def begun(engine: AsyncEngine, name: str = "cut") -> UUID:
    """A dataset of all faces that is to be built; no service does it unless one runs."""
    row = {"name": name, "filter": {}, "split": {}, "state": "building", "created_by": "tester"}
    async with engine.begin() as connection:
        dataset_id: UUID | None = await connection.scalar(insert(datasets).values(row).returning(datasets.c.id))
    assert dataset_id is not None
    return dataset_id


@asynccontextmanager
async def erasing(engine: AsyncEngine, before: Detection) -> AsyncIterator[None]:
    """An erasure of all before a detection that is written down, and whose rows do not go yet."""
    row = {"requested_by": "x", "device": "camera-1", "captured_to": before.captured_at}
    async with engine.begin() as connection:
        await connection.execute(insert(erasures).values(row))
    async with alone(engine, ERASING_LOCK):
        yield


async def test_a_choice_is_previewed_built_and_dealt_out_by_person(engine: AsyncEngine, web: WebSettings) -> None:
    found = await people(engine)
    left_out = [
        await one_more(engine, 1, 5000, {"happy": 1, "sad": 1}, picture=900),
        await one_more(engine, 1, 5001, {"unknown": 2}, picture=901),
        await one_more(engine, 1, 5002, {"not_a_face": 2}, picture=902),
        await one_more(engine, 1, 5003, {"happy": 2}, picture=None),
    ]
    copy = await one_more(engine, 2, 5004, {"happy": 2}, picture=3)  # the pixels of another person's face
    unlabelled = await one_more(engine, 3, 5005, {}, picture=903, guess="sad")
    async with engine.begin() as connection:
        row = {"participant": "p7", "devices": ["camera-1"], "started_at": START, "ended_at": found[14].captured_at}
        session = await connection.scalar(
            insert(study_sessions).values(row | {"created_by": "tester"}).returning(study_sessions.c.id)
        )
    async with running_web(web) as base, httpx.AsyncClient(base_url=base, timeout=60) as client:
        preview = await previewed(client, {})
        assert preview["items"] == 140
        assert (preview["certainty"], preview["copies"], preview["dropped_copies"]) == ("exact", 1, 1)
        assert preview["left_out"] == {"no_picture": 1, "tie": 1, "unknown": 1, "not_a_face": 1}
        assert preview["labels"] == dict.fromkeys(EMOTIONS, 20)
        assert (preview["persons"], preview["sessions"], preview["pseudo_labels"]) == (19, 1, 0)
        assert {"class_small"} <= {one["kind"] for one in preview["warnings"]}

        dataset = await built(client, note="For tests.")
        assert (dataset["state"], dataset["error"]) == ("ready", None)
        summary = dataset["summary"]
        assert (summary["items"], summary["copies"], summary["dropped_copies"]) == (140, 1, 1)
        assert summary["labellers"] == 3
        items = await items_of(engine, dataset)
        assert [item.number for item in items] == list(range(1, 141))
        events = {item.event_id for item in items}
        assert events == {one.event_id for one in found}
        assert not events & {one.event_id for one in [*left_out, copy, unlabelled]}
        splits = Counter(item.split for item in items)
        assert splits == Counter({name: of_one["items"] for name, of_one in summary["splits"].items()})
        assert splits["train"] >= 98
        assert splits["test"] >= 7
        of_person: dict[str, set[str]] = {}
        for item in items:
            of_person.setdefault(item.person, set()).add(item.split)
        assert all(len(of_one) == 1 for of_one in of_person.values())
        in_session = [item for item in items if item.session_id is not None]
        assert len(in_session) == 14
        assert {(item.person, item.session_id) for item in in_session} == {("p7", session)}
        first = next(item for item in items if item.event_id == found[0].event_id)
        assert (first.label, first.votes) == ("angry", {"angry": 2, "disgust": 1})
        face = Image.open(io.BytesIO(first.image))
        assert (face.size, face.mode) == ((139, 139), "RGB")  # 1.1237 times the root of 120x128
        assert first.sha256 == hashlib.sha256(first.image).digest()

        kept = await built(client, "kept", split={"copies": "keep", "seed": 3})
        assert (kept["summary"]["items"], kept["summary"]["dropped_copies"]) == (141, 0)
        sides = {i.split for i in await items_of(engine, kept) if i.event_id in (copy.event_id, found[3].event_id)}
        assert len(sides) == 1
        pseudo = await built(client, "pseudo", filter={"pseudo_labels": True})
        assert (pseudo["summary"]["items"], pseudo["summary"]["pseudo_labels"]) == (141, 1)
        assert "pseudo_labels" in {one["kind"] for one in pseudo["summary"]["warnings"]}
        only = await built(client, "session", filter={"session": str(session)})
        assert (only["summary"]["items"], only["summary"]["sessions"]) == (14, 1)
        assert "few_persons" in {one["kind"] for one in only["summary"]["warnings"]}
        again = await built(client, "again")
        assert again["manifest_sha256"] == dataset["manifest_sha256"]
        assert kept["manifest_sha256"] != dataset["manifest_sha256"]

        check_problem(await client.post("/api/v1/datasets", json={"name": "lab"}), 409, "name-taken")
        nothing = await built(client, "nothing", filter={"min_votes": 50})
        assert nothing["state"] == "failed"
        assert "No face fits" in nothing["error"]
        names = [one["name"] for one in (await client.get("/api/v1/datasets?limit=2")).json()["items"]]
        assert names == ["nothing", "again"]
        bad = await client.post("/api/v1/datasets", json={"name": "x", "split": {"train": 50}})
        assert "must be 100 together" in check_problem(bad, 422, "bad-parameters")["detail"]


async def keep_still(engine: AsyncEngine, persons: int = 5, each: int = 12) -> None:
    """People who hardly move, seen after all others, and a last one who does. Of each the second face is the first."""
    for person in range(persons):
        for number in range(each):
            # Who moves has another picture each time.
            picture = 2000 + person if person < persons - 1 else 3000 + number
            said: Votes = {EMOTIONS[(person if number < 9 else number) % 7]: 2}
            at = 40_000 + 100 * person + number
            await one_more(engine, 50 + person, at, said, picture=picture, brighter=0 if number < 2 else number)


@pytest.mark.parametrize("copies", ["drop", "keep"])
async def test_a_preview_tells_what_a_build_gives_with_its_copies_and_all_its_warnings(
    engine: AsyncEngine, web: WebSettings, copies: str
) -> None:
    await people(engine, persons=2)
    await keep_still(engine)
    choice: dict[str, Any] = {"split": {"copies": copies, "train": 60, "validation": 20, "test": 20}}
    async with engine.begin() as connection:
        # One picture cannot be read, and one is being erased.
        ids = list(await connection.scalars(select(frames.c.frame_id).order_by(frames.c.captured_at.desc()).limit(2)))
        await connection.execute(update(frames).where(frames.c.frame_id == ids[0]).values(jpeg=b"no picture"))
        row = {"requested_by": "x", "item_id": ids[1]}
        await connection.execute(insert(erasures).values(row))
    async with (
        alone(engine, ERASING_LOCK),  # so that it goes on being erased
        running_web(web) as base,
        httpx.AsyncClient(base_url=base, timeout=60) as client,
    ):
        preview = await previewed(client, choice)
        summary = (await built(client, **choice))["summary"]
    assert preview["left_out"] == {"unreadable": 2}
    assert (preview["copies"], preview["near_copies"]) == (4, 40)
    assert preview["items"] == (72 - 44 if copies == "drop" else 72)
    assert {"split_lacks_class", "class_small"} <= {one["kind"] for one in preview["warnings"]}
    assert {name: preview[name] for name in summary if name != "bytes"} == {
        name: value for name, value in summary.items() if name != "bytes"
    }


async def previewed(client: httpx.AsyncClient, choice: dict[str, Any]) -> dict[str, Any]:
    """A preview, asked for until it is certain."""
    while True:
        answer = await client.post("/api/v1/datasets/preview", json=choice)
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        if found["certainty"] != "counting":
            return found


async def test_a_preview_of_many_faces_answers_in_time_goes_on_when_asked_again_and_gives_up_beyond_a_bound(
    engine: AsyncEngine, web: WebSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = await people(engine, persons=6)
    monkeypatch.setattr(previewing, "LOOK_S", 0.0)
    monkeypatch.setattr(previewing, "_BATCH", 10)
    async with running_web(web) as base, httpx.AsyncClient(base_url=base, timeout=60) as client:
        first = (await client.post("/api/v1/datasets/preview", json={})).json()
        assert (first["certainty"], first["compared"]) == ("counting", {"done": 10, "total": 42})
        assert (first["items"], first["copies"], first["labellers"]) == (42, None, None)
        exact = await previewed(client, {})
        assert (exact["certainty"], exact["compared"], exact["items"]) == ("exact", {"done": 42, "total": 42}, 42)
        # What was seen is remembered, and nothing of what is erased.
        await erase(engine, Scope(item_id=found[0].event_id), "tester")
        again = (await client.post("/api/v1/datasets/preview", json={})).json()
        assert (again["certainty"], again["items"]) == ("exact", 41)
        nothing = (await client.post("/api/v1/datasets/preview", json={"filter": {"min_votes": 50}})).json()
        assert (nothing["certainty"], nothing["items"]) == ("exact", 0)
        assert [one["kind"] for one in nothing["warnings"]] == ["nothing"]
        monkeypatch.setattr(previewing, "LOOKED_AT_MOST", 40)
        bound = (await client.post("/api/v1/datasets/preview", json={})).json()
        assert (bound["certainty"], bound["items"], bound["compared"]) == ("upper_bound", 41, None)
        assert bound["dropped_copies"] is None


async def test_labels_and_splits_stand_in_their_order_wherever_a_dataset_is_told_of(
    engine: AsyncEngine, web: WebSettings
) -> None:
    await people(engine, persons=6)
    order = ["train", "validation", "test"]
    async with running_web(web) as base, httpx.AsyncClient(base_url=base, timeout=60) as client:
        dataset = await built(client)
        assert list(dataset["split"]) == [*order, "seed", "copies"]
        data = (await client.get((await exported(client, dataset))["file"])).content
        with zipfile.ZipFile(io.BytesIO(data)) as read:
            manifest = json.loads(read.read("manifest.json"))
        assert list(manifest["split"]) == [*order, "seed", "copies"]
        for summary in (dataset["summary"], manifest["summary_when_built"]):
            assert list(summary["labels"]) == list(EMOTIONS)
            assert list(summary["splits"]) == order
            assert all(list(split["labels"]) == list(EMOTIONS) for split in summary["splits"].values())


async def test_a_build_that_was_cut_off_goes_on_and_gives_the_same(
    engine: AsyncEngine, web: WebSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    await people(engine)
    monkeypatch.setattr(building, "_BATCH", 20)
    dataset_id = await begun(engine)
    with pytest.raises(PowerCut):
        await building.build(engine, inline, dataset_id, cut_off_at(60))
    assert len(await items_of(engine, {"id": str(dataset_id)})) == 60
    async with running_web(web) as base, httpx.AsyncClient(base_url=base, timeout=60) as client:
        went_on = await until_not(client, f"/api/v1/datasets/{dataset_id}", "building")
        at_once = await built(client, "at-once")
    assert went_on["manifest_sha256"] == at_once["manifest_sha256"]
    with pytest.raises(Cancelled):
        await building.build(engine, inline, dataset_id, lambda done, total: None)


async def test_what_is_being_erased_is_not_built_into_a_dataset(engine: AsyncEngine, web: WebSettings) -> None:
    found = await people(engine, persons=3)
    async with (
        erasing(engine, found[7]),
        running_web(web) as base,
        httpx.AsyncClient(base_url=base, timeout=60) as client,
    ):
        dataset = await built(client)
    assert {item.event_id for item in await items_of(engine, dataset)} == {one.event_id for one in found[7:]}


async def test_an_erasure_during_a_build_takes_its_own_faces_and_nobody_elses(
    engine: AsyncEngine, web: WebSettings
) -> None:
    found = await people(engine)  # 140, in two batches
    async with (
        erasing(engine, found[10]),
        running_web(web) as base,
        httpx.AsyncClient(base_url=base, timeout=60) as client,
    ):
        whole = await built(client)
        assert {item.event_id for item in await items_of(engine, whole)} == {one.event_id for one in found[10:]}
        assert whole["summary"]["left_out"] == {"unreadable": 10}


async def test_a_build_that_was_cut_off_loses_no_face_when_others_were_erased_meanwhile(
    engine: AsyncEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = await people(engine, persons=6)
    monkeypatch.setattr(building, "_BATCH", 20)
    dataset_id = await begun(engine)
    with pytest.raises(PowerCut):
        await building.build(engine, inline, dataset_id, cut_off_at(20))
    await erase(engine, Scope("camera-1", None, found[10].captured_at), "tester")
    shown: list[tuple[int, int]] = []
    await building.build(engine, inline, dataset_id, lambda done, total: shown.append((done, total)))
    assert {item.event_id for item in await items_of(engine, {"id": str(dataset_id)})} == {
        one.event_id for one in found[10:]
    }
    assert (shown[0], shown[-1]) == ((10, 32), (32, 32))


async def test_an_export_is_downloaded_resumed_and_gone_when_a_face_of_it_is_erased(
    engine: AsyncEngine, web: WebSettings, tmp_path: Path
) -> None:
    found = await people(engine, persons=6)
    folder = tmp_path / "data" / "exports"
    async with running_web(web) as base, httpx.AsyncClient(base_url=base, timeout=60) as client:
        dataset = await built(client)
        export = await exported(client, dataset)
        assert export["state"] == "ready", export
        answer = await client.get(export["file"])
        data = answer.content
        assert answer.headers["content-disposition"] == 'attachment; filename="lab-folders.zip"'
        assert hashlib.sha256(data).hexdigest() == export["sha256"]
        assert len(data) == export["bytes"]
        etag = answer.headers["etag"]
        rest = await client.get(export["file"], headers={"Range": f"bytes={len(data) - 100}-", "If-Range": etag})
        assert (rest.status_code, rest.content) == (206, data[-100:])
        assert (await client.get(export["file"], headers={"If-None-Match": etag})).status_code == 304
        with zipfile.ZipFile(io.BytesIO(data)) as read:
            assert read.testzip() is None
            manifest = json.loads(read.read("manifest.json"))
            for name, known in manifest["files"].items():
                assert hashlib.sha256(read.read(name)).hexdigest() == known["sha256"]
            assert {name for name in read.namelist() if not name.endswith("/")} == {*manifest["files"], "manifest.json"}
        assert manifest["dataset"]["manifest_sha256"] == dataset["manifest_sha256"]
        assert manifest["items"] == 42

        other = await exported(client, dataset, "fer2013")
        gone = found[0]
        await erase(engine, Scope(item_id=gone.event_id), "tester")
        check_problem(await client.get(export["file"]), 410, "export-erased")
        left = (await client.get(f"/api/v1/datasets/{dataset['id']}")).json()
        assert (left["state"], left["erased_items"]) == ("ready", 1)
        again = await exported(client, dataset)  # the work before it begins with a look at the folder
        assert {path.stem for path in folder.iterdir()} == {again["id"]}
        assert again["sha256"] != export["sha256"]
        states = {one["id"]: one["state"] for one in (await client.get("/api/v1/exports")).json()["items"]}
        assert states == {export["id"]: "erased", other["id"]: "erased", again["id"]: "ready"}
        assert str(gone.event_id) not in (await client.get(again["file"])).content.decode(errors="replace")

        assert (await client.request("DELETE", f"/api/v1/datasets/{dataset['id']}", json={})).status_code == 204
        check_problem(await client.get(f"/api/v1/datasets/{dataset['id']}"), 404, "not-found")
        check_problem(await client.get(again["file"]), 404, "not-found")
        await until(lambda: not list(folder.iterdir()))
    async with engine.connect() as connection:
        assert await connection.scalar(select(func.count()).select_from(dataset_items)) == 0
        lines = {(line.entry.action, line.entry.object) for line in await audit.newest(connection, 100)}
    assert lines >= {
        ("build", "dataset lab"),
        ("export", "dataset lab as folders"),
        ("download", "dataset lab as folders"),
        ("delete", "dataset lab"),
    }


async def test_a_dataset_is_deleted_while_an_erasure_takes_faces_from_it(
    engine: AsyncEngine, web: WebSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = await people(engine, persons=3)
    half_done, go_on = asyncio.Event(), asyncio.Event()

    async def held(*args: Any) -> None:
        half_done.set()
        await go_on.wait()
        await items_erased(*args)

    monkeypatch.setattr("shared.db.erasure.items_erased", held)
    async with running_web(web) as base, httpx.AsyncClient(base_url=base, timeout=60) as client:
        dataset = await built(client)
        async with asyncio.TaskGroup() as tasks:
            erasing = tasks.create_task(erase(engine, Scope(item_id=found[0].event_id), "tester"))
            await half_done.wait()  # the face is removed, and its dataset not told yet
            deleting = tasks.create_task(client.request("DELETE", f"/api/v1/datasets/{dataset['id']}", json={}))
            await until(lambda: waits_for_a_lock(engine))
            go_on.set()
        assert deleting.result().status_code == 204, deleting.result().text
        assert not any(erasing.result()[1].values())
    async with engine.connect() as connection:
        assert await connection.scalar(select(func.count()).select_from(dataset_items)) == 0


async def test_an_export_that_is_asked_for_during_an_erasure_waits_for_it_and_holds_none_of_its_faces(
    engine: AsyncEngine, web: WebSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = await people(engine, persons=3)
    half_done, go_on = asyncio.Event(), asyncio.Event()

    async def held(*args: Any) -> None:
        await items_erased(*args)
        half_done.set()
        await go_on.wait()

    monkeypatch.setattr("shared.db.erasure.items_erased", held)
    async with running_web(web) as base, httpx.AsyncClient(base_url=base, timeout=60) as client:
        dataset = await built(client)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(erase(engine, Scope(item_id=found[0].event_id), "tester"))
            await half_done.wait()  # the exports that there are have been marked
            asking = tasks.create_task(exported(client, dataset))
            await until(lambda: waits_for_a_lock(engine))
            go_on.set()
        export = asking.result()
        assert (export["state"], export["progress"]["total"]) == ("ready", 20)
        assert str(found[0].event_id) not in (await client.get(export["file"])).content.decode(errors="replace")


async def test_an_erasure_goes_on_where_a_dataset_that_it_waited_for_was_deleted(engine: AsyncEngine) -> None:
    found = await people(engine, persons=3)
    ids = []
    for name in ("goes", "stays"):
        ids.append(await begun(engine, name))
        await building.build(engine, inline, ids[-1], lambda done, total: None)
    goes, stays = ids
    async with asyncio.TaskGroup() as tasks, engine.begin() as connection:
        await queries.remove_dataset(connection, goes)
        erasing = tasks.create_task(erase(engine, Scope(item_id=found[0].event_id), "tester"))
        await until(lambda: waits_for_a_lock(engine))
    assert erasing.result()[0]["dataset_items"] == 2
    async with engine.connect() as connection:
        left = await queries.dataset(connection, stays)
    assert left is not None
    assert left.erased_items == 1
    assert len(await items_of(engine, {"id": str(stays)})) == 20


async def test_a_service_that_starts_removes_what_was_erased_while_it_was_away_and_finishes_what_waited(
    engine: AsyncEngine, web: WebSettings, tmp_path: Path
) -> None:
    found = await people(engine, persons=3)
    folder = tmp_path / "data" / "exports"
    async with running_web(web) as base, httpx.AsyncClient(base_url=base, timeout=60) as client:
        dataset = await built(client)
        export = await exported(client, dataset)
    (folder / "notes.txt").write_text("not ours")
    (folder / "01900000-0000-7000-8000-000000000001.zip.part").write_text("of an export that was deleted")
    await erase(engine, Scope(item_id=found[0].event_id), "tester")
    async with running_web(web) as base, httpx.AsyncClient(base_url=base, timeout=60) as client:
        await until(lambda: {path.name for path in folder.iterdir()} == {"notes.txt"})
        assert (await client.get(f"/api/v1/exports/{export['id']}")).json()["state"] == "erased"


async def test_there_is_an_end_to_the_room_for_exports(engine: AsyncEngine, web: WebSettings) -> None:
    await people(engine, persons=3)
    small = web.model_copy(update={"exports_gb": 1e-6})
    async with running_web(small) as base, httpx.AsyncClient(base_url=base, timeout=60) as client:
        dataset = await built(client)
        answer = await client.post(f"/api/v1/datasets/{dataset['id']}/exports", json={"format": "folders"})
        assert "EMOTION_EXPORTS_GB" in check_problem(answer, 507, "exports-full")["next_step"]


async def test_exports_asked_for_at_once_never_take_more_room_together_than_there_is(
    engine: AsyncEngine, web: WebSettings, tmp_path: Path
) -> None:
    await people(engine, persons=3)
    dataset_id = await begun(engine)
    await building.build(engine, inline, dataset_id, lambda done, total: None)
    async with engine.connect() as connection:
        each = FORMATS["webdataset"].room(*await queries.size(connection, dataset_id))
    small = web.model_copy(update={"exports_gb": 2.5 * each / 1e9})
    folder = tmp_path / "data" / "exports"
    address = f"/api/v1/datasets/{dataset_id}/exports"
    async with running_web(small) as base, httpx.AsyncClient(base_url=base, timeout=60) as client:
        async with engine.connect() as another:
            # Nothing is written while another service has the lock: all of them wait.
            await another.execute(text("SELECT pg_advisory_lock(:key)"), {"key": queries.BUILDING_LOCK})
            asked = await asyncio.gather(*(client.post(address, json={"format": "webdataset"}) for _ in range(6)))
            assert Counter(answer.status_code for answer in asked) == {202: 2, 507: 4}
            await another.execute(text("SELECT pg_advisory_unlock(:key)"), {"key": queries.BUILDING_LOCK})
        refused = next(answer for answer in asked if answer.status_code == 507)
        problem = check_problem(refused, 507, "exports-full")
        assert "wait" in problem["detail"]
        assert "EMOTION_EXPORTS_GB" in problem["next_step"]
        made = [answer.json()["id"] for answer in asked if answer.status_code == 202]
        check_problem(await client.post(address, json={"format": "webdataset"}), 507, "exports-full")
        assert (await client.request("DELETE", f"/api/v1/exports/{made[0]}", json={})).status_code == 204
        last = await exported(client, {"id": str(dataset_id)}, "webdataset")  # in the room that this leaves
        assert last["state"] == "ready"
        await until(lambda: {path.stem for path in folder.iterdir()} == {made[1], last["id"]})
        assert sum(path.stat().st_size for path in folder.iterdir()) <= 2 * each


async def test_an_export_of_a_dataset_that_is_deleted_at_the_same_moment_is_refused(
    engine: AsyncEngine, web: WebSettings
) -> None:
    await people(engine, persons=3)
    async with running_web(web) as base, httpx.AsyncClient(base_url=base, timeout=60) as client:
        dataset = await built(client)
        async with asyncio.TaskGroup() as tasks, engine.begin() as connection:
            await queries.remove_dataset(connection, UUID(dataset["id"]))
            address = f"/api/v1/datasets/{dataset['id']}/exports"
            asking = tasks.create_task(client.post(address, json={"format": "folders"}))
            await until(lambda: waits_for_a_lock(engine))
        check_problem(asking.result(), 404, "not-found")


async def test_stopping_an_export_ends_it_removes_what_was_written_and_lets_the_next_begin(
    engine: AsyncEngine, web: WebSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await people(engine, persons=6)
    folder = tmp_path / "data" / "exports"
    at_work, go_on = threading.Event(), threading.Event()
    batches: Counter[str] = Counter()
    add = exporting._Writer.add

    def slowly(self: exporting._Writer, items: list[Item]) -> None:
        batches[self._path.stem] += 1
        at_work.set()
        assert go_on.wait(WAIT_S)
        add(self, items)

    monkeypatch.setattr(exporting._Writer, "add", slowly)
    async with running_web(web) as base, httpx.AsyncClient(base_url=base, timeout=60) as client:
        dataset = await built(client)
        address = f"/api/v1/datasets/{dataset['id']}/exports"
        stopped = (await client.post(address, json={"format": "folders"})).json()["id"]
        await until(at_work.is_set)
        following = (await client.post(address, json={"format": "fer2013"})).json()["id"]
        assert (await client.request("DELETE", f"/api/v1/exports/{stopped}", json={})).status_code == 204
        begun = set(folder.iterdir())
        go_on.set()
        await until_not(client, f"/api/v1/exports/{following}", "waiting", "running")
        assert {path.name for path in folder.iterdir()} == {f"{following}.zip"}
    assert {path.name for path in begun} == {f"{stopped}.zip.part"}
    assert batches == {stopped: 1, following: 2}


async def test_a_service_that_stops_waits_for_its_thread_without_standing_still(
    engine: AsyncEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    at_work, go_on = threading.Event(), threading.Event()
    let_go: list[bool] = []

    def slowly(folder: Path) -> list[Path]:
        at_work.set()
        let_go.append(go_on.wait(WAIT_S))
        return []

    monkeypatch.setattr(jobs, "_files", slowly)
    running = asyncio.create_task(jobs.Jobs(engine, tmp_path, Metrics("web")).run())
    await until(at_work.is_set)
    running.cancel()

    async def free() -> bool:
        async with engine.begin() as connection:
            statement = text("SELECT pg_try_advisory_xact_lock(:key)")
            return bool(await connection.scalar(statement, {"key": queries.BUILDING_LOCK}))

    await until(free)  # it has stopped but for its thread
    assert not running.done()
    go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert let_go == [True]


async def test_a_folder_that_cannot_be_written_fails_the_export_with_what_to_do(
    engine: AsyncEngine, web: WebSettings, tmp_path: Path
) -> None:
    await people(engine, persons=3)
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "exports").write_text("a file where the folder should be")
    async with running_web(web) as base, httpx.AsyncClient(base_url=base, timeout=60) as client:
        dataset = await built(client)
        export = await exported(client, dataset)
    assert export["state"] == "failed"
    assert "folder" in export["error"]
