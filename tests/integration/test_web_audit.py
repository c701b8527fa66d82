"""What people change of studies and labels is in the audit log, and nothing that an erasure could not take back."""

from datetime import UTC, datetime

import httpx
from sqlalchemy import text

from shared.db import audit
from shared.settings import DatabaseSettings, MqttSettings
from tests.support import scenes
from tests.support.accounts import add_person, logged_in
from tests.support.web import records, running_web, store, store_frame, web_settings

SAID = "Mr Miller looked confused"


async def test_markers_are_noted_by_their_ids_and_never_by_what_was_written(
    mqtt_settings: MqttSettings, database_settings: DatabaseSettings, quiet_trail: None
) -> None:
    async with records(database_settings, datetime.now(UTC).date()) as engine:
        await store(engine, [scenes.detection("camera-1", scenes.face())])
        await add_person(engine, "ada", "researcher")
        settings = web_settings(mqtt_settings, database_settings, login="required")
        async with running_web(settings) as base, logged_in(base, "ada") as api:
            new = {"participant": "P07", "devices": ["camera-1"]}
            session = (await api.post("/api/v1/sessions", json=new)).json()["id"]
            at = f"/api/v1/sessions/{session}/markers"
            first, second = [(await api.post(at, json={"text": SAID})).json()["id"] for _ in range(2)]
            assert (await api.patch(f"{at}/{first}", json={"text": SAID + "?"})).status_code == 200
            assert (await api.get(f"{at}.csv")).status_code == 200
            assert (await api.delete(f"{at}/{first}")).status_code == 204
            assert (await api.delete(f"{at}/{first}")).status_code == 404  # nothing was done, so nothing is noted
        async with engine.connect() as connection:
            entries = [one.entry for one in await audit.newest(connection, 100)]
            everything = str((await connection.execute(text("SELECT * FROM audit_log"))).all())
    of_markers = [entry for entry in entries if entry.object == "markers of study sessions"]
    assert {entry.who for entry in of_markers} == {"ada"}
    assert {entry.action: entry.detail["items"] for entry in of_markers} == {
        "add": [f"{session}/{first}", f"{session}/{second}"],
        "change": [f"{session}/{first}"],
        "export": [session],
        "delete": [f"{session}/{first}"],
    }
    assert "Miller" not in everything


async def test_votes_are_noted_by_their_faces_and_never_by_their_labels(
    mqtt_settings: MqttSettings, database_settings: DatabaseSettings, quiet_trail: None
) -> None:
    async with records(database_settings, datetime.now(UTC).date()) as engine:
        found = [scenes.detection("camera-1", scenes.face(), seq=seq, frame_id=scenes.new_id()) for seq in range(3)]
        await store(engine, found)
        for one in found:
            assert one.frame_id is not None
            await store_frame(engine, one.frame_id, scenes.picture(), one.captured_at, one.event_id)
        settings = web_settings(mqtt_settings, database_settings)
        async with running_web(settings) as base, httpx.AsyncClient(base_url=base, timeout=60) as api:
            for one in found:
                vote = {"event_id": str(one.event_id), "face_index": 0, "label": "not_a_face", "labeller": "ada"}
                assert (await api.post("/api/v1/labels", json=vote)).status_code == 200
            gone = f"/api/v1/labels/{found[0].event_id}/0"
            assert (await api.delete(gone, params={"labeller": "ada"})).status_code == 204
            assert (await api.delete(gone, params={"labeller": "ada"})).status_code == 404
        async with engine.connect() as connection:
            entries = [one.entry for one in await audit.newest(connection, 100)]
            everything = str((await connection.execute(text("SELECT * FROM audit_log"))).all())
    of_votes = {entry.action: entry for entry in entries if entry.object == "votes on faces"}
    assert set(of_votes) == {"vote", "take back"}
    # Many at once are one line.
    assert of_votes["vote"].detail["items"] == [f"{one.event_id}/0" for one in found]
    assert of_votes["vote"].detail["times"] == 3
    assert of_votes["take back"].detail["items"] == [f"{found[0].event_id}/0"]
    # Nobody logs in here, so whose votes they are is what was said.
    assert {entry.detail["labeller"] for entry in of_votes.values()} == {"ada"}
    assert "not_a_face" not in everything
