"""The real services through the deployed broker: TLS, passwords, access rules, from the outbox to Postgres and back."""

import asyncio
import getpass
import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from services.classifier.outbox import open_outbox
from services.classifier.relay import Relay, UplinkStatus, uplink_will
from services.classifier.settings import ClassifierSettings
from services.classifier.uplink import Uplink
from services.device import add_device, add_services, reload_broker, trusted_authority
from services.ingest.settings import IngestSettings
from services.web.settings import WebSettings
from shared.db.migrate import upgrade
from shared.messages import Desired, Status, decode
from shared.metrics import Metrics
from shared.mqtt import MqttLink
from shared.settings import DatabaseSettings, load
from tests.conftest import Mosquitto
from tests.integration.delivery import DEVICE, ingest, put_detections, put_frames, rows_of, stop, until
from tests.support.secure_broker import HOST, SecureBroker

EDGE = Path(__file__).resolve().parents[2] / "deploy" / "mosquitto" / "edge"


def use(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    """Take the settings of an env file, and of none before."""
    for line in text.splitlines():
        if not line.startswith("#"):
            monkeypatch.setenv(*line.split("=", 1))


async def test_everything_that_has_to_pass_passes_and_certificates_are_renewed_meanwhile(
    tmp_path: Path, database_settings: DatabaseSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    await upgrade(database_settings)
    broker = SecureBroker(tmp_path)
    env_file = tmp_path / "edge.env"
    ca = trusted_authority(broker.ca_file, None)
    add_device(broker.passwords, DEVICE, env_file, host=HOST, port=broker.port, ca=ca)
    ingest_env, web_env = add_services(
        broker.passwords, tmp_path, host=HOST, port=broker.port, ca_file=str(broker.ca_file)
    )
    broker.start()
    local_folder = tmp_path / "local"
    local_folder.mkdir()
    local = edge_broker(local_folder)
    await asyncio.to_thread(local.start)
    try:
        with monkeypatch.context() as patch:
            use(patch, ingest_env.read_text())
            ingest_settings = load(IngestSettings, database=database_settings)
        with monkeypatch.context() as patch:
            use(patch, web_env.read_text())
            web_settings = load(WebSettings)
        use(monkeypatch, env_file.read_text())
        edge = load(ClassifierSettings, mqtt=local.settings, data_dir=tmp_path)
        assert edge.cloud is not None

        topics = edge.cloud.topics
        seen: dict[str, bytes] = {}
        web = MqttLink(web_settings.mqtt)
        for topic in (topics.live("+"), topics.preview("+"), topics.status("+", "+")):
            web.subscribe(topic, seen.__setitem__, qos=1)
        beside = MqttLink(local.settings)  # a service on the device
        wishes: list[bytes] = []
        beside.subscribe(topics.desired(DEVICE), lambda _, payload: wishes.append(payload), qos=1)

        metrics = Metrics("classifier")
        link = MqttLink(edge.mqtt)
        cloud = MqttLink(edge.cloud, will=uplink_will(topics, DEVICE))
        async with open_outbox(tmp_path / "o.db", edge.outbox, metrics) as outbox, ingest(ingest_settings):
            uplink = Uplink(edge.uplink, outbox, cloud, topics, DEVICE, metrics)
            relay = Relay(link, cloud, edge.mqtt.topics, topics, DEVICE, metrics)
            status = UplinkStatus(uplink, cloud, topics, DEVICE, relay.status_values)
            works = (web.run, beside.run, link.run, cloud.run, uplink.run, relay.run, status.run)
            tasks = [asyncio.create_task(work()) for work in works]
            await asyncio.gather(*(each.connected.wait() for each in (web, beside, link, cloud)))

            events = await put_detections(outbox, 300)
            frames = await put_frames(outbox, 20)
            await until(lambda: outbox.depth().detections == outbox.depth().frames == 0)

            said = Status(device=DEVICE, service="capture", state="online", at=datetime.now(UTC)).to_json()
            await beside.publish(topics.status(DEVICE, "capture"), said, qos=1, retain=True)
            await beside.publish(topics.live(DEVICE), b"live", qos=1)
            await beside.publish(topics.preview(DEVICE), b"jpeg", qos=1)
            await until(lambda: seen.get(topics.status(DEVICE, "capture")) == said)
            await until(lambda: {topics.live(DEVICE), topics.preview(DEVICE)} <= set(seen))
            desired = Desired(device=DEVICE, paused=True).to_json()
            await web.publish(topics.desired(DEVICE), desired, qos=1, retain=True)
            await until(lambda: desired in wishes)

            broker.certificates.renew()
            reload_broker(broker.pid_file)
            await asyncio.to_thread(broker.stop)
            events += await put_detections(outbox, 50)
            await asyncio.to_thread(broker.start)
            await until(lambda: outbox.depth().detections == 0)
            assert uplink.problems() == ()
            own = seen[topics.status(DEVICE, "uplink")]
            assert decode(Status, "", own).service == "uplink"
            await stop(*reversed(tasks))
        async with rows_of(database_settings) as rows:
            assert sorted(await rows.ids("detections")) == sorted(events)
            assert sorted(await rows.ids("frames")) == sorted(frames)
            assert await rows.count("dead_letters") == 0
        log = broker.log_file.read_text()
        for secret in (env_file, ingest_env, web_env):
            password = next(line for line in secret.read_text().splitlines() if "PASSWORD=" in line).split("=", 1)[1]
            assert password not in log
            assert password not in json.dumps([str(edge), str(ingest_settings), str(web_settings)])
    finally:
        broker.stop()
        local.kill()


def edge_broker(folder: Path) -> Mosquitto:
    """The device's own broker as it is deployed, on the loopback address and in `folder`."""
    rules = (EDGE / "acl").read_text()
    (folder / "acl").write_text(rules)
    (folder / "acl").chmod(0o644)
    kept = ("listener", "protocol", "allow_anonymous", "max_queued_messages", "acl_file", "persistence_location", "#")
    lines = [line for line in (EDGE / "mosquitto.conf").read_text().splitlines() if not line.startswith(kept)]
    lines += [f"acl_file {folder}/acl", f"persistence_location {folder}/", f"user {getpass.getuser()}"]
    return Mosquitto(folder, "\n".join(lines))
