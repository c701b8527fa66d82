"""The REST queries against a real Postgres, over real HTTP."""

import itertools
import random
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import httpx
import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from services.web.schemas import DetectionPage, DeviceList, FramePage, Stats, StoredDetection
from shared.emotions import EMOTIONS
from shared.jpeg import picture_size
from shared.messages import Detection
from shared.settings import DatabaseSettings, MqttSettings
from tests.support import scenes
from tests.support.patience import WAIT_S
from tests.support.web import check_problem, ingested, records, running_web, store, store_frame, web_settings

START = datetime(2026, 3, 1, 23, 59, 0, tzinfo=UTC)


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


@pytest.fixture
async def engine(database_settings: DatabaseSettings) -> AsyncIterator[AsyncEngine]:
    async with records(database_settings, START.date(), at(60).date()) as engine:
        yield engine


def a_minute() -> list[Detection]:
    """Sixty detections over midnight, two at each time: happy and sure, sad and less so, and none."""
    found = []
    for second in range(30):
        faces = [[scenes.face(1, "happy", 0.9)], [scenes.face(1, "sad", 0.6), scenes.face(2, "happy", 0.5)], []][
            second % 3
        ]
        for device in ("camera-1", "camera-2"):
            found += [scenes.detection(device, *faces, captured_at=at(4 * second), seq=second)]
    return found


async def test_a_detection_comes_back_as_it_was_sent(api: httpx.AsyncClient, engine: AsyncEngine) -> None:
    sent = scenes.detection("camera-1", scenes.face(3, "fear", 0.77), scenes.face(4, "neutral", 0.31))
    await store(engine, [sent])
    (item,) = DetectionPage.model_validate((await api.get("/api/v1/detections")).json()).items
    received = item.model_dump(mode="json", by_alias=True)
    assert received.pop("received_at")
    expected = sent.model_dump(mode="json", by_alias=True)
    for face in [*received["faces"], *expected["faces"]]:  # the tables hold single precision
        face["emotion"] = {name: round(value, 6) for name, value in face["emotion"].items()}
    assert received == expected
    one = await api.get(f"/api/v1/detections/{sent.event_id}")
    assert StoredDetection.model_validate(one.json()) == item


async def test_pages_hold_everything_once_newest_first_even_where_times_are_equal(
    api: httpx.AsyncClient, engine: AsyncEngine
) -> None:
    found = a_minute()
    await store(engine, found)
    seen: list[tuple[datetime, UUID]] = []
    cursor = None
    while True:
        query = {"limit": "7", **({"cursor": cursor} if cursor else {})}
        page = DetectionPage.model_validate((await api.get("/api/v1/detections", params=query)).json())
        assert len(page.items) <= 7
        seen += [(item.captured_at, item.event_id) for item in page.items]
        cursor = page.next_cursor
        if cursor is None:
            break
    assert seen == sorted(((one.captured_at, one.event_id) for one in found), reverse=True)


FILTERS: list[tuple[dict[str, str], Callable[[Detection], bool]]] = [
    ({}, lambda one: True),
    ({"device": "camera-2"}, lambda one: one.device == "camera-2"),
    ({"emotion": "happy"}, lambda one: any(face.dominant_emotion == "happy" for face in one.faces)),
    ({"min_confidence": "0.55"}, lambda one: any(face.confidence >= 0.55 for face in one.faces)),
    # One face must meet both: the happy one of the pairs is read with 0.5 only.
    ({"emotion": "happy", "min_confidence": "0.55"}, lambda one: len(one.faces) == 1),
    ({"emotion": "disgust"}, lambda one: False),
    ({"from": "2026-03-02T00:00:00Z"}, lambda one: one.captured_at >= at(60)),
    ({"to": "2026-03-02T01:00:00+01:00"}, lambda one: one.captured_at < at(60)),
]


async def test_filters_give_exactly_what_fits(api: httpx.AsyncClient, engine: AsyncEngine) -> None:
    found = a_minute()
    await store(engine, found)
    for query, fits in FILTERS:
        answer = await api.get("/api/v1/detections", params={**query, "limit": "1000"})
        got = {item.event_id for item in DetectionPage.model_validate(answer.json()).items}
        assert got == {one.event_id for one in found if fits(one)}, query


async def test_stats_count_by_bucket_and_emotion_and_leave_out_empty_buckets(
    api: httpx.AsyncClient, engine: AsyncEngine
) -> None:
    await ingested(engine, a_minute())
    query = {"bucket": "1m", "device": "camera-1", "from": "2026-03-01T23:00:00Z", "to": "2026-03-02T01:00:00Z"}
    stats = Stats.model_validate((await api.get("/api/v1/stats", params=query)).json())
    assert [item.start for item in stats.items] == [at(0), at(60)]
    first = stats.items[0]
    assert (first.detections, first.faces) == (15, 15)
    assert {name: count for name, count in first.counts.items() if count} == {"happy": 10, "sad": 5}
    assert first.mean is not None
    assert sum(first.mean.values()) == pytest.approx(1.0, abs=1e-4)
    assert first.mean["happy"] == pytest.approx((5 * 0.9 + 5 * (0.4 / 6) + 5 * 0.5) / 15, abs=1e-4)
    assert sum(item.detections for item in stats.items) == 30


async def test_a_bucket_without_a_face_has_no_mean(api: httpx.AsyncClient, engine: AsyncEngine) -> None:
    await ingested(engine, [scenes.detection("camera-1", captured_at=at(0))])
    query = {"bucket": "1d", "from": "2026-03-01T00:00:00Z", "to": "2026-03-02T00:00:00Z"}
    (item,) = Stats.model_validate((await api.get("/api/v1/stats", params=query)).json()).items
    assert (item.detections, item.faces, item.mean) == (1, 0, None)


async def test_stats_of_hours_and_days_are_what_the_detections_make_wherever_the_time_begins_and_ends(
    api: httpx.AsyncClient, engine: AsyncEngine
) -> None:
    chance = random.Random(1)
    sent = [
        scenes.detection(
            chance.choice(("camera-1", "camera-2")),
            *(scenes.face(n, chance.choice(EMOTIONS), chance.uniform(0.2, 1)) for n in range(chance.randint(0, 2))),
            captured_at=at(chance.uniform(-30, 30) * 3600),
        )
        for _ in range(400)
    ]
    await ingested(engine, sent)
    for run in range(40):
        begin = at(60 + chance.randint(-32, 20) * 3600 + chance.choice((0, 0, chance.uniform(0, 3600))))
        end = begin + timedelta(hours=chance.randint(0, 50), seconds=chance.choice((0.5, 1800, 3599)))
        device = chance.choice((None, "camera-1"))
        bucket = chance.choice(("1h", "6h", "1d"))
        query = {"bucket": bucket, "from": begin.isoformat(), "to": end.isoformat()}
        answer = await api.get("/api/v1/stats", params=query | ({"device": device} if device else {}))
        stats = Stats.model_validate(answer.json())
        within = [one for one in sent if begin <= one.captured_at < end and device in (None, one.device)]
        width = {"1h": 3600, "6h": 6 * 3600, "1d": 86_400}[bucket]
        of_start: dict[float, list[Detection]] = {}
        for one in within:
            of_start.setdefault(one.captured_at.timestamp() // width * width, []).append(one)
        assert [item.start.timestamp() for item in stats.items] == sorted(of_start), (run, query)
        for item in stats.items:
            found = of_start[item.start.timestamp()]
            faces = [face for one in found for face in one.faces]
            assert (item.detections, item.faces) == (len(found), len(faces))
            assert item.counts == {e: sum(face.dominant_emotion == e for face in faces) for e in EMOTIONS}
            means = (
                {e: sum(getattr(face.emotion, e) for face in faces) / len(faces) for e in EMOTIONS} if faces else None
            )
            assert item.mean == pytest.approx(means, abs=1e-7)


async def test_kept_pictures_are_listed_and_served_with_a_tag_to_ask_again_by(
    api: httpx.AsyncClient, engine: AsyncEngine
) -> None:
    jpeg = scenes.picture(64, 36)
    ids = [scenes.new_id() for _ in range(3)]
    for second, frame_id in enumerate(ids):
        await store_frame(engine, frame_id, jpeg, at(second))
    first = FramePage.model_validate((await api.get("/api/v1/frames", params={"limit": 2})).json())
    rest = (await api.get("/api/v1/frames", params={"limit": 2, "cursor": first.next_cursor})).json()
    assert [item.frame_id for item in [*first.items, *FramePage.model_validate(rest).items]] == ids[::-1]
    assert first.items[0].bytes == len(jpeg)
    answer = await api.get(first.items[0].jpeg)
    assert answer.content == jpeg
    assert answer.headers["content-type"] == "image/jpeg"
    assert answer.headers["cache-control"] == "private, no-cache"
    again = await api.get(first.items[0].jpeg, headers={"If-None-Match": f'"x", W/{answer.headers["etag"]}'})
    assert (again.status_code, again.content) == (304, b"")


async def test_devices_are_those_of_the_records_and_of_the_broker(api: httpx.AsyncClient, engine: AsyncEngine) -> None:
    await store(engine, [scenes.detection("camera-9")])
    (item,) = DeviceList.model_validate((await api.get("/api/v1/devices")).json()).items
    assert item.device == "camera-9"
    assert item.last_seen is not None
    assert item.statuses == {}


BAD_PARAMETERS = [
    ("/api/v1/detections?cursor=nonsense", "cursor"),
    ("/api/v1/detections?limit=0", "limit"),
    ("/api/v1/detections?limit=1001", "limit"),
    ("/api/v1/detections?limit=many", "limit"),
    ("/api/v1/detections?emotion=bored", "emotion"),
    ("/api/v1/detections?min_confidence=NaN", "min_confidence"),
    ("/api/v1/detections?min_confidence=-0.1", "min_confidence"),
    ("/api/v1/detections?device=../../etc", "device"),
    ("/api/v1/detections?device=%00", "device"),
    ("/api/v1/detections?from=yesterday", "from"),
    ("/api/v1/detections?from=2026-03-01T12:00:00", "from"),
    ("/api/v1/detections?from=2026-03-01T12:00:00+01:00", "from"),
    ("/api/v1/detections?from=2026-03-02T00:00:00Z&to=2026-03-01T00:00:00Z", "query"),
    ("/api/v1/detections?emotions=happy", "emotions"),
    ("/api/v1/detections/not-an-id", "event_id"),
    ("/api/v1/frames/not-an-id.jpg", "frame_id"),
    ("/api/v1/frames?limit=-1", "limit"),
    ("/api/v1/stats?bucket=7m", "bucket"),
    ("/api/v1/stats?bucket=1s&from=2020-01-01T00:00:00Z", "bucket"),
]


async def test_a_parameter_that_does_not_fit_is_named(api: httpx.AsyncClient) -> None:
    for path, parameter in BAD_PARAMETERS:
        document = check_problem(await api.get(path), 422, "bad-parameters")
        assert [item["parameter"] for item in document["errors"]] == [parameter], path


async def test_what_is_not_there_is_told_in_the_same_shape(api: httpx.AsyncClient) -> None:
    for path in (
        f"/api/v1/detections/{uuid4()}",
        f"/api/v1/detections/{scenes.new_id()}",
        f"/api/v1/frames/{uuid4()}.jpg",
    ):
        check_problem(await api.get(path), 404, "not-found")
    check_problem(await api.get("/api/v1/devices/camera-1/preview.jpg"), 404, "not-found")
    check_problem(await api.get("/nothing"), 404, "not-found")
    check_problem(await api.get("/static/nothing.js"), 404, "not-found")
    refused = await api.post("/api/v1/detections")
    check_problem(refused, 405, "method-not-allowed")
    assert refused.headers["allow"] == "GET, HEAD"


async def test_openapi_describes_every_address_with_its_errors_and_an_example(api: httpx.AsyncClient) -> None:
    spec = (await api.get("/api/v1/openapi.json")).json()
    addresses = ["detections", "detections/{event_id}", "frames", "frames/{frame_id}.jpg", "devices", "stats", "live"]
    for name in addresses:
        operation = spec["paths"][f"/api/v1/{name}"]["get"]
        assert operation["summary"]
        errors = [status for status in operation["responses"] if status.startswith(("4", "5"))]
        assert errors, name
        for status in errors:
            assert list(operation["responses"][status]["content"]) == ["application/problem+json"], name
    assert spec["components"]["schemas"]["StoredDetection"]["examples"]
    page = (await api.get("/api/v1/docs")).text
    assert all(f"/api/v1/{name}" in page for name in addresses)


async def test_pages_and_answers_carry_the_headers_that_keep_other_sites_out(api: httpx.AsyncClient) -> None:
    for path in ("/", "/api/v1/docs", "/api/v1/detections", "/nothing", "/static/live.js"):
        headers = (await api.get(path)).headers
        assert "default-src 'none'" in headers["content-security-policy"]
        assert "unsafe-inline" not in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "no-referrer"
        assert "access-control-allow-origin" not in headers


async def test_a_database_without_tables_is_told_with_the_command_that_makes_them(
    mqtt_settings: MqttSettings, database_settings: DatabaseSettings
) -> None:
    async with (
        running_web(web_settings(mqtt_settings, database_settings), ready=False) as base,
        httpx.AsyncClient(base_url=base, timeout=WAIT_S) as api,
    ):
        document = check_problem(await api.get("/api/v1/detections"), 503, "database-unavailable")
        assert "emotion-edge migrate" in document["next_step"]
        ready = await api.get("/readyz")
        assert (ready.status_code, "no tables of this project yet" in ready.text) == (503, True)


async def test_a_database_that_is_down_is_told_and_the_live_page_goes_on(mqtt_settings: MqttSettings) -> None:
    nowhere = DatabaseSettings.model_validate({"url": "postgresql://emotion@127.0.0.1:1/emotion"})
    async with (
        running_web(web_settings(mqtt_settings, nowhere), ready=False) as base,
        httpx.AsyncClient(base_url=base, timeout=WAIT_S) as api,
    ):
        paths = ("detections", "frames", "devices", "stats", f"detections/{uuid4()}", f"frames/{uuid4()}.jpg")
        for path in itertools.chain(paths, paths):
            answer = await api.get(f"/api/v1/{path}")
            document = check_problem(answer, 503, "database-unavailable")
            assert "EMOTION_DATABASE__URL" in document["next_step"]
            assert answer.headers["retry-after"] == "5"
        assert (await api.get("/")).status_code == 200
        not_ready = await api.get("/readyz")
        assert not_ready.status_code == 503
        assert "database" in not_ready.json()["missing"]


async def test_the_edge_role_says_that_records_are_kept_elsewhere(mqtt_settings: MqttSettings) -> None:
    async with (
        running_web(web_settings(mqtt_settings)) as base,
        httpx.AsyncClient(base_url=base, timeout=WAIT_S) as api,
    ):
        for path in ("detections", "frames", "stats", f"detections/{uuid4()}", f"frames/{uuid4()}.jpg"):
            check_problem(await api.get(f"/api/v1/{path}"), 404, "not-kept-here")
        assert (await api.get("/api/v1/devices")).json() == {"items": []}


@pytest.mark.parametrize("says_its_event", [True, False])
async def test_a_face_is_cut_out_of_its_picture_until_that_is_gone(
    api: httpx.AsyncClient, engine: AsyncEngine, says_its_event: bool
) -> None:
    frame_id = scenes.new_id()
    sent = scenes.detection("camera-1", scenes.face(1), captured_at=at(0), frame_id=frame_id)
    await store(engine, [sent])
    event_id = sent.event_id if says_its_event else None
    await store_frame(engine, frame_id, scenes.picture(), sent.captured_at, event_id)
    address = f"/api/v1/frames/{frame_id}/faces/0.jpg"
    answer = await api.get(address)
    assert answer.headers["content-type"] == "image/jpeg"
    # The box of 120 by 128 with its margin: 1.6 times the root of its area, less what is above the picture.
    assert picture_size(answer.content) == (198, 198)
    again = await api.get(address)
    assert again.content == answer.content
    assert (await api.get(address, headers={"If-None-Match": answer.headers["etag"]})).status_code == 304
    check_problem(await api.get(f"/api/v1/frames/{frame_id}/faces/1.jpg"), 404, "not-found")
    check_problem(await api.get(f"/api/v1/frames/{frame_id}/faces/-1.jpg"), 422, "bad-parameters")
    check_problem(await api.get(f"/api/v1/frames/{uuid4()}/faces/0.jpg"), 404, "not-found")
    async with engine.begin() as connection:
        await connection.execute(text("DELETE FROM frames"))
    check_problem(await api.get(address), 404, "not-found")  # nothing of it is given from memory
