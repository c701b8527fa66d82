"""HEAD over real HTTP: the headers of GET, no body, and an end."""

from datetime import UTC, datetime

import httpx

from shared.settings import DatabaseSettings, MqttSettings
from tests.integration.delivery import until
from tests.support import scenes
from tests.support.web import records, running_web, store, store_frame, web_settings

TIMES = {"date", "transfer-encoding"}


async def test_head_answers_as_get_does_without_a_body(
    mqtt_settings: MqttSettings, database_settings: DatabaseSettings
) -> None:
    async with records(database_settings, datetime.now(UTC).date()) as engine:
        found = scenes.detection("camera-1", scenes.face())
        await store(engine, [found])
        await store_frame(engine, found.event_id, scenes.picture(), found.captured_at)
        async with (
            running_web(web_settings(mqtt_settings, database_settings)) as base,
            httpx.AsyncClient(base_url=base, timeout=60) as client,
        ):
            new = {"participant": "P07", "devices": ["camera-1"]}
            session = (await client.post("/api/v1/sessions", json=new)).json()["id"]
            for path, status in (
                ("/", 200),
                ("/sessions", 200),
                ("/static/app.css", 200),
                ("/healthz", 200),
                ("/api/v1/docs", 200),
                ("/api/v1/devices", 200),
                ("/api/v1/detections", 200),
                ("/api/v1/detections?limit=0", 422),
                (f"/api/v1/frames/{found.event_id}.jpg", 200),
                (f"/api/v1/sessions/{session}/faces.csv", 200),
                ("/none", 404),
                ("/api/v1/logout", 405),
            ):
                got, head = await client.get(path), await client.head(path)
                assert (head.status_code, head.content) == (status, b""), path
                assert {name for name in head.headers if name not in TIMES} == {
                    name for name in got.headers if name not in TIMES
                }, path
                assert head.headers["content-type"] == got.headers["content-type"], path
                # Or the length of what GET would have sent.
                assert head.headers.get("content-length") == got.headers.get("content-length"), path
            # A stream that never ends: its headers, and on the same connection the next answer.
            head = await client.head("/api/v1/live")
            assert (head.status_code, head.content) == (200, b"")
            assert head.headers["content-type"].startswith("text/event-stream")

            async def nobody_watches() -> bool:
                return "emotion_web_viewers 0.0" in (await client.get("/metrics")).text

            await until(nobody_watches)
            refused = await client.put("/api/v1/devices", json={})
            assert refused.headers["allow"] == "GET, HEAD"
