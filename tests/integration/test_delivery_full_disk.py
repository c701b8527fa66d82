"""The outbox on a disk that is really full: nothing it holds is lost, and it works again when there is space."""

from collections.abc import Iterator
from pathlib import Path
from uuid import UUID, uuid4

import pytest

from services.classifier.delivery_settings import OutboxSettings
from services.classifier.outbox import Outbox, open_outbox
from services.classifier.outbox_file import Kind
from shared.metrics import Metrics
from tests.support.disks import NoSmallDisk, fill, small_disk


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 16 MB."""
    try:
        with small_disk(tmp_path / "disk", 16) as folder:
            yield folder
    except NoSmallDisk as error:
        pytest.skip(str(error))


def told(outbox: Outbox) -> str | None:
    return outbox.problem


def remove(path: Path) -> None:
    path.unlink()


async def test_full_disk_loses_nothing_that_was_kept_and_is_told(disk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    metrics = Metrics("classifier")
    async with open_outbox(disk / "outbox.db", OutboxSettings(max_mb=512), metrics) as outbox:
        kept: list[UUID] = []
        refused = 0
        other = None
        for number in range(3000):
            if number == 500:
                other = fill(disk)
            item_id = uuid4()
            if await outbox.put_detection(item_id, bytes(3000)):
                kept.append(item_id)
            else:
                refused += 1
        assert refused == outbox.dropped_detections > 0
        assert "full" in (told(outbox) or "")
        assert [item.id for item in await outbox.after(Kind.DETECTION, 0, 10_000, 10**9)] == kept
        assert await outbox.delete(kept[:10]) == 10
        assert other is not None
        remove(other)
        monkeypatch.setattr("services.classifier.outbox_file._LOOK_FOR_SPACE_EVERY_S", 0.0)
        for _ in range(50):
            assert await outbox.put_detection(uuid4(), bytes(3000))
        assert told(outbox) is None
        assert outbox.depth().detections == len(kept) - 10 + 50


async def test_frames_make_room_for_detections_on_a_full_disk(disk: Path) -> None:
    async with open_outbox(disk / "outbox.db", OutboxSettings(max_mb=512), Metrics("classifier")) as outbox:
        frames = 0
        while await outbox.put_frame(uuid4(), bytes(30_000)) and outbox.dropped_frames == 0:
            frames += 1
        detections = [uuid4() for _ in range(200)]
        for item_id in detections:
            assert await outbox.put_detection(item_id, bytes(2000))
        assert outbox.dropped_detections == 0
        assert outbox.depth().frames > 0
        assert [item.id for item in await outbox.after(Kind.DETECTION, 0, 10_000, 10**9)] == detections
