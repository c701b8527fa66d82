"""Every address of the OpenAPI document, with what it allows and what it forbids, over a real Postgres: never a 500."""

import asyncio
from datetime import UTC, datetime
from typing import Any

import httpx
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis.checks import CHECKS
from schemathesis.specs.openapi import checks  # registers the checks of OpenAPI

from shared.emotions import EMOTIONS
from shared.messages import Detection, Emotions
from shared.settings import DatabaseSettings, MqttSettings
from tests.support import scenes
from tests.support.patience import WAIT_S
from tests.support.web import records, running_web, store, store_frame, web_settings

BOUNDED = settings(
    max_examples=10,
    deadline=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)
CHECKED = [
    *CHECKS.get_by_names(["not_a_server_error"]),
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_schema_conformance,
]
ENDLESS = "/api/v1/live"


def extremes() -> list[Detection]:
    """What the contract lets in and is hardest to give out again."""
    # Sums that are within their tolerance now, and beyond it once Postgres' `real` has rounded them.
    nothing = dict.fromkeys(EMOTIONS, 0.0)
    above = Emotions(**(nothing | {"happy": 0.99999998, "sad": 0.00100001}))
    below = Emotions(**(nothing | {"happy": 0.9990001}))
    made = []
    for seq, (emotion, year) in enumerate([(below, 2000), (above, 2100), (above, 2026)]):
        face = scenes.face().model_copy(
            update={"emotion": emotion, "quality": scenes.GOOD.model_copy(update={"blur": 1e9, "yaw": -90.0})}
        )
        made.append(scenes.detection("a" * 32, face, captured_at=datetime(year, 12, 31, tzinfo=UTC), seq=seq))
    return made


def each_operation(base: str) -> int:
    """Call every operation with made-up cases; returns how many calls were checked."""
    calls = 0
    schema = schemathesis.openapi.from_url(f"{base}/api/v1/openapi.json")
    for result in schema.get_all_operations():
        operation: Any = result.ok()  # type: ignore[union-attr]  # an Err raises here, as it should
        if operation.path == ENDLESS:  # read by the test below
            continue
        takes_nothing = not list(operation.iter_parameters())
        for mode in schemathesis.GenerationMode:
            if mode is schemathesis.GenerationMode.NEGATIVE and takes_nothing:
                continue

            @BOUNDED
            @given(case=operation.as_strategy(generation_mode=mode))
            def check(case: Any) -> None:
                nonlocal calls
                calls += 1
                case.call_and_validate(checks=CHECKED)

            check()
    return calls


async def test_no_request_breaks_the_records(mqtt_settings: MqttSettings, database_settings: DatabaseSettings) -> None:
    kept = extremes()
    async with records(database_settings) as engine:
        await store(engine, kept)
        await store_frame(engine, kept[0].event_id, scenes.picture(), kept[0].captured_at)
        async with (
            running_web(web_settings(mqtt_settings, database_settings)) as base,
            httpx.AsyncClient(base_url=base, timeout=WAIT_S) as client,
        ):
            page = (await client.get("/api/v1/detections")).json()
            assert len(page["items"]) == len(kept)
            for one in kept:
                assert (await client.get(f"/api/v1/detections/{one.event_id}")).status_code == 200
            assert (await client.get(f"/api/v1/frames/{kept[0].event_id}.jpg")).status_code == 200
            calls = await asyncio.to_thread(each_operation, base)
            assert calls > 100
            assert (await client.get("/readyz")).status_code == 200


async def test_no_query_breaks_the_stream(mqtt_settings: MqttSettings) -> None:
    async with running_web(web_settings(mqtt_settings)) as base:

        @settings(BOUNDED, max_examples=60)
        @given(
            st.dictionaries(
                st.sampled_from(["device", "previews"]) | st.text(max_size=10),
                st.sampled_from(["a", "true", "0"]) | st.text(max_size=50),
                max_size=3,
            )
        )
        def check(query: dict[str, str]) -> None:
            try:
                address = httpx.URL(f"{base}{ENDLESS}", params=query)
            except UnicodeEncodeError:  # half a surrogate is no address
                return
            with httpx.stream("GET", address, timeout=WAIT_S) as answer:
                assert answer.status_code in (200, 422)

        await asyncio.to_thread(check)


async def test_no_bytes_on_the_port_stop_the_service(mqtt_settings: MqttSettings) -> None:
    requests = [
        b"\0" * 1000,
        b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"x" * 500_000,
        b"GET /" + b"a" * 500_000,
        b"GET / HTTP/9.9\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\n",
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999\r\n\r\nx",
        b"GET / HTTP/1.1\r\n" + b"Host: a\r\n" * 3 + b"\r\n",
        b"GET /\xff\xfe HTTP/1.1\r\nHost: \xff\xfe\r\n\r\n",
        b"GET http://[ HTTP/1.1\r\nHost: [\r\n\r\n",
    ]
    async with running_web(web_settings(mqtt_settings)) as base:
        port = int(base.rpartition(":")[2])
        for request in requests:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(request)
            writer.write_eof()
            answer = b""
            try:
                async with asyncio.timeout(WAIT_S):
                    answer = await reader.read()
            except ConnectionError:
                pass  # cut off: as good an answer
            writer.close()
            assert not answer.startswith(b"HTTP/1.1 5"), (request[:40], answer[:200])
        async with httpx.AsyncClient(base_url=base, timeout=WAIT_S) as client:
            assert (await client.get("/readyz")).status_code == 200
