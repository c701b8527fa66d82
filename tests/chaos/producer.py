"""A process that commits detections and pictures to the real outbox and sends them with the real uplink.

It stands in for the classifier, which would need a camera: what it puts is made up, how it is kept and sent is not.
"""

import asyncio
from datetime import UTC, datetime
from pathlib import Path
from typing import Final
from uuid import UUID

from pydantic import Field
from uuid_utils.compat import uuid7

from services.classifier.delivery_settings import OutboxSettings, UplinkSettings
from services.classifier.outbox import Outbox, open_outbox
from services.classifier.outbox_file import Kind
from services.classifier.relay import UplinkStatus, uplink_will
from services.classifier.uplink import Uplink
from shared.health import serve_health
from shared.jpeg import with_comment
from shared.messages import FrameInfo
from shared.metrics import Metrics
from shared.mqtt import MqttLink
from shared.runner import run_service
from shared.settings import EdgeSettings, load
from tests.chaos.ledger import Ledger
from tests.integration.delivery import SOURCE, bare_jpeg, detection

OUTBOX_FILE: Final = "outbox.sqlite3"
_A_DETECTION_EVERY_S: Final = 0.015
_A_PICTURE_EVERY: Final = 10
_JPEG: Final = bare_jpeg(padding=20_000)


class ProducerSettings(EdgeSettings):
    """Settings of the producer."""

    outbox: OutboxSettings = Field(default_factory=OutboxSettings, description="the durable queue")
    uplink: UplinkSettings = Field(default_factory=UplinkSettings, description="how the queue is emptied")
    ledger: Path = Field(description="file that takes what the outbox answered")
    go: Path = Field(description="while this file exists, items are made")


async def run(settings: ProducerSettings) -> None:
    """Make and send until cancelled."""
    metrics = Metrics("classifier")
    ledger = Ledger(settings.ledger)
    async with open_outbox(settings.data_dir / OUTBOX_FILE, settings.outbox, metrics) as outbox:
        topics = settings.mqtt.topics
        link = MqttLink(settings.mqtt, will=uplink_will(topics, settings.device))
        uplink = Uplink(settings.uplink, outbox, link, topics, settings.device, metrics)
        status = UplinkStatus(uplink, link, topics, settings.device)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(link.run(), name="broker link")
            tasks.create_task(uplink.run(), name="uplink")
            tasks.create_task(status.run(), name="uplink status")
            tasks.create_task(serve_health(settings.health, metrics, dict), name="health")
            tasks.create_task(_make(settings, outbox, ledger), name="making")


async def _make(settings: ProducerSettings, outbox: Outbox, ledger: Ledger) -> None:
    boot = uuid7()
    number = 0
    while True:
        await asyncio.sleep(_A_DETECTION_EVERY_S)
        if not settings.go.exists():
            continue
        number += 1
        now = datetime.now(UTC)
        one = detection(
            number,
            device=settings.device,
            faces=number % 3,
            boot_id=boot,
            event_id=uuid7(),
            captured_at=now,
            frame_id=uuid7() if number % _A_PICTURE_EVERY == 0 else None,
        )
        if one.frame_id is not None:
            info = FrameInfo(
                device=settings.device,
                boot_id=boot,
                frame_number=number,
                captured_at=now,
                source=SOURCE,
                frame_id=one.frame_id,
                event_id=one.event_id,
            )
            if not await _put(outbox, ledger, Kind.FRAME, one.frame_id, with_comment(_JPEG, info.to_json())):
                one = one.model_copy(update={"frame_id": None})
        await _put(outbox, ledger, Kind.DETECTION, one.event_id, one.to_json())


async def _put(outbox: Outbox, ledger: Ledger, kind: Kind, item_id: UUID, payload: bytes) -> bool:
    ledger.intend(kind, item_id)
    put = outbox.put_frame if kind is Kind.FRAME else outbox.put_detection
    kept = await put(item_id, payload)
    ledger.answered(kind, item_id, kept=kept)
    return kept


if __name__ == "__main__":
    loaded = load(ProducerSettings)
    raise SystemExit(run_service("producer", loaded.log, lambda: run(loaded)))
