"""The durable queue: what it keeps, what goes when its quota is used up, what it does about a bad file."""

import asyncio
import sqlite3
import subprocess
import sys
import tempfile
from pathlib import Path
from uuid import UUID, uuid4

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.classifier.delivery_settings import OutboxSettings
from services.classifier.outbox import Outbox, OutboxError, open_outbox
from services.classifier.outbox_file import Item, Kind
from shared.errors import SettingsError
from shared.metrics import Metrics

SMALL = OutboxSettings(max_mb=1)


def metrics() -> Metrics:
    return Metrics("classifier")


async def contents(outbox: Outbox, kind: Kind) -> list[Item]:
    return await outbox.after(kind, 0, 100_000, 10**9)


def bytes_in(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.iterdir() if path.suffix != ".spare")


def set_aside_in(folder: Path) -> list[bytes]:
    return [path.read_bytes() for path in folder.iterdir() if ".damaged-" in path.name]


async def test_items_come_back_oldest_first_with_their_payloads(tmp_path: Path) -> None:
    ids = [uuid4() for _ in range(5)]
    async with open_outbox(tmp_path / "outbox.db", SMALL, metrics()) as outbox:
        for number, item_id in enumerate(ids):
            assert await outbox.put_detection(item_id, b"%d" % number)
        assert await outbox.put_frame(uuid4(), b"jpeg")
        found = await outbox.after(Kind.DETECTION, 0, 3, 10**6)
        rest = await outbox.after(Kind.DETECTION, found[-1].seq, 100, 10**6)
        assert [item.id for item in found + rest] == ids
        assert [item.payload for item in found + rest] == [b"0", b"1", b"2", b"3", b"4"]
        assert outbox.depth().detections == 5
        assert outbox.depth().frames == 1
        assert outbox.depth().bytes == 9


async def test_items_survive_closing_and_opening(tmp_path: Path) -> None:
    item_id = uuid4()
    async with open_outbox(tmp_path / "new folder" / "outbox.db", SMALL, metrics()) as outbox:
        await outbox.put_detection(item_id, b"kept")
    async with open_outbox(tmp_path / "new folder" / "outbox.db", SMALL, metrics()) as outbox:
        assert [item.id for item in await contents(outbox, Kind.DETECTION)] == [item_id]
        assert outbox.depth().detections == 1


async def test_a_sequence_number_is_never_used_twice_even_when_emptied_and_reopened(tmp_path: Path) -> None:
    first, second = uuid4(), uuid4()
    async with open_outbox(tmp_path / "outbox.db", SMALL, metrics()) as outbox:
        await outbox.put_detection(first, b"")
        before = (await contents(outbox, Kind.DETECTION))[0].seq
        await outbox.delete([first])
    async with open_outbox(tmp_path / "outbox.db", SMALL, metrics()) as outbox:
        await outbox.put_detection(second, b"")
        assert (await contents(outbox, Kind.DETECTION))[0].seq > before


async def test_deleting_ignores_unknown_ids_and_says_how_many_were_there(tmp_path: Path) -> None:
    known = uuid4()
    async with open_outbox(tmp_path / "outbox.db", SMALL, metrics()) as outbox:
        await outbox.put_detection(known, b"x")
        assert await outbox.delete([uuid4(), known, known]) == 1
        assert outbox.depth().detections == 0
        assert outbox.depth().bytes == 0


async def test_putting_an_id_again_keeps_one(tmp_path: Path) -> None:
    item_id = uuid4()
    async with open_outbox(tmp_path / "outbox.db", SMALL, metrics()) as outbox:
        assert await outbox.put_detection(item_id, b"x")
        assert await outbox.put_detection(item_id, b"x")
        assert outbox.depth().detections == 1


async def test_full_outbox_drops_the_oldest_frames_for_detections(tmp_path: Path) -> None:
    async with open_outbox(tmp_path / "outbox.db", SMALL, metrics()) as outbox:
        frames = [uuid4() for _ in range(60)]
        for frame in frames:
            assert await outbox.put_frame(frame, bytes(30_000))
        left = [item.id for item in await contents(outbox, Kind.FRAME)]
        assert 0 < len(left) < 60
        assert left == frames[-len(left) :]
        assert outbox.dropped_frames == 60 - len(left)
        detections = [uuid4() for _ in range(100)]
        for detection in detections:
            assert await outbox.put_detection(detection, bytes(3000))
        assert [item.id for item in await contents(outbox, Kind.DETECTION)] == detections
        assert outbox.dropped_detections == 0
        assert outbox.dropped_frames + outbox.depth().frames == 60


async def test_committed_frames_that_gave_way_are_counted_in_the_file_itself(tmp_path: Path) -> None:
    for life in (1, 2):  # the second begins with the first one's count
        async with open_outbox(tmp_path / "outbox.db", SMALL, metrics()) as outbox:
            for _ in range(60):
                assert await outbox.put_frame(uuid4(), bytes(30_000))
            assert outbox.evicted_frames + outbox.depth().frames == life * 60
            assert outbox.evicted_frames >= outbox.dropped_frames > 0


async def test_outbox_full_of_detections_refuses_new_ones_counted_and_works_again_after_deletes(tmp_path: Path) -> None:
    async with open_outbox(tmp_path / "outbox.db", SMALL, metrics()) as outbox:
        kept: list[UUID] = []
        for _ in range(1000):
            item_id = uuid4()
            if await outbox.put_detection(item_id, bytes(2000)):
                kept.append(item_id)
        assert outbox.dropped_detections == 1000 - len(kept) > 0
        assert not await outbox.put_frame(uuid4(), bytes(30_000))
        assert outbox.dropped_frames == 1
        assert [item.id for item in await contents(outbox, Kind.DETECTION)] == kept
        assert await outbox.delete(kept[:100]) == 100
        assert await outbox.put_detection(uuid4(), bytes(2000))
    assert bytes_in(tmp_path) <= 1024 * 1024


async def test_item_larger_than_the_quota_is_refused_and_drops_nothing_else(tmp_path: Path) -> None:
    async with open_outbox(tmp_path / "outbox.db", SMALL, metrics()) as outbox:
        await outbox.put_frame(uuid4(), bytes(30_000))
        assert not await outbox.put_frame(uuid4(), bytes(2_000_000))
        assert outbox.depth().frames == 1
        assert outbox.dropped_frames == 1


async def test_smaller_quota_than_what_is_there_makes_frames_go_at_the_next_put(tmp_path: Path) -> None:
    async with open_outbox(tmp_path / "outbox.db", OutboxSettings(max_mb=4), metrics()) as outbox:
        for _ in range(100):
            await outbox.put_frame(uuid4(), bytes(30_000))
    async with open_outbox(tmp_path / "outbox.db", SMALL, metrics()) as outbox:
        assert await outbox.put_detection(uuid4(), b"new")
        assert outbox.depth().bytes < 1024 * 1024
        assert outbox.dropped_frames + outbox.depth().frames == 100


@pytest.mark.parametrize("damage", ["text", "header", "middle", "truncated"])
async def test_damaged_file_is_set_aside_and_a_new_one_begun(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "outbox.db"
    async with open_outbox(path, SMALL, metrics()) as outbox:
        for _ in range(50):
            await outbox.put_detection(uuid4(), bytes(3000))
    data = bytearray(path.read_bytes())
    if damage == "text":
        data = bytearray(b"this is no database\n" * 500)
    elif damage == "header":
        data[:16] = bytes(16)
    elif damage == "middle":
        data[4096:16384] = b"\xa5" * 12288
    else:
        del data[len(data) // 2 :]
    path.write_bytes(data)
    measured = metrics()
    async with open_outbox(path, SMALL, measured) as outbox:
        assert outbox.depth().detections == 0
        assert await outbox.put_detection(uuid4(), b"x")
    assert set_aside_in(tmp_path) == [bytes(data)]
    assert b"emotion_classifier_outbox_damaged_total 1.0" in measured.render()


async def test_second_program_on_the_same_file_is_told(tmp_path: Path) -> None:
    path = tmp_path / "outbox.db"
    async with open_outbox(path, SMALL, metrics()):
        with pytest.raises(SettingsError, match="in use by another program"):
            async with open_outbox(path, SMALL, metrics()):
                pass


async def test_path_that_cannot_be_a_file_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SettingsError, match="cannot be used"):
        async with open_outbox(tmp_path / "file" / "outbox.db", SMALL, metrics()):
            pass


async def test_file_of_a_newer_program_is_refused_not_set_aside(tmp_path: Path) -> None:
    path = tmp_path / "outbox.db"
    async with open_outbox(path, SMALL, metrics()):
        pass
    with sqlite3.connect(path) as db:
        db.execute("PRAGMA user_version=99")
    db.close()
    with pytest.raises(SettingsError, match="format 99"):
        async with open_outbox(path, SMALL, metrics()):
            pass
    assert path.exists()


async def test_many_puts_at_once_share_commits(tmp_path: Path) -> None:
    measured = metrics()
    async with open_outbox(tmp_path / "outbox.db", SMALL, measured) as outbox:
        kept = await asyncio.gather(*(outbox.put_detection(uuid4(), b"x" * 100) for _ in range(500)))
        assert all(kept)
    commits = measured.registry.get_sample_value("emotion_classifier_outbox_commit_seconds_count")
    assert commits is not None
    assert commits < 50


async def test_one_bad_request_does_not_harm_those_that_share_its_commit(tmp_path: Path) -> None:
    async with open_outbox(tmp_path / "outbox.db", SMALL, metrics()) as outbox:
        results = await asyncio.gather(
            outbox.put_detection(uuid4(), b"good"),
            outbox.put_detection("not an id", b"bad"),  # type: ignore[arg-type]  # what is tested
            outbox.put_detection(uuid4(), b"good"),
            return_exceptions=True,
        )
        assert results[0] is True
        assert isinstance(results[1], AttributeError)
        assert results[2] is True
        assert outbox.depth().detections == 2


async def test_cancelled_put_leaves_the_outbox_working(tmp_path: Path) -> None:
    async with open_outbox(tmp_path / "outbox.db", SMALL, metrics()) as outbox:
        put = asyncio.create_task(outbox.put_detection(uuid4(), b"x"))
        await asyncio.sleep(0)
        put.cancel()
        with pytest.raises(asyncio.CancelledError):
            await put
        assert await outbox.put_detection(uuid4(), b"y")


async def test_closed_outbox_refuses(tmp_path: Path) -> None:
    async with open_outbox(tmp_path / "outbox.db", SMALL, metrics()) as outbox:
        pass
    assert not await outbox.put_detection(uuid4(), b"x")
    with pytest.raises(OutboxError, match="closed"):
        await outbox.delete([])


def test_what_was_answered_with_true_survives_a_kill(tmp_path: Path) -> None:
    program = """
import asyncio, sys
from pathlib import Path
from uuid import uuid4
from services.classifier.delivery_settings import OutboxSettings
from services.classifier.outbox import open_outbox
from shared.metrics import Metrics
async def main():
    async with open_outbox(Path(sys.argv[1]), OutboxSettings(), Metrics("classifier")) as outbox:
        while True:
            item = uuid4()
            if await outbox.put_detection(item, bytes(500)):
                print(item, flush=True)
asyncio.run(main())
"""
    path = tmp_path / "outbox.db"
    with subprocess.Popen([sys.executable, "-c", program, str(path)], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        told = [UUID(process.stdout.readline().strip()) for _ in range(200)]
        process.kill()
        told += [UUID(line) for line in process.stdout.read().splitlines() if len(line) == 36]

    async def read() -> list[UUID]:
        async with open_outbox(path, OutboxSettings(), metrics()) as outbox:
            return [item.id for item in await contents(outbox, Kind.DETECTION)]

    found = asyncio.run(read())
    assert found[: len(told)] == told


actions = st.lists(
    st.one_of(
        st.tuples(st.just("detection"), st.integers(0, 60_000)),
        st.tuples(st.just("frame"), st.integers(0, 250_000)),
        st.tuples(st.just("delete"), st.integers(0, 1_000)),
        st.tuples(st.just("reopen"), st.just(0)),
    ),
    max_size=60,
)


@settings(max_examples=60, deadline=None)
@given(actions=actions)
def test_content_is_what_was_committed_less_what_was_deleted_less_what_was_counted_as_dropped(
    actions: list[tuple[str, int]],
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(_run_model(Path(folder) / "outbox.db", actions))


async def _run_model(path: Path, actions: list[tuple[str, int]]) -> None:
    detections: list[UUID] = []
    frames: list[UUID] = []
    put_frames = refused_detections = deleted_frames = dropped_frames = 0
    at = 0
    while at <= len(actions):
        async with open_outbox(path, SMALL, metrics()) as outbox:
            frames_before = len(frames)
            put_frames = deleted_frames = refused_detections = 0
            for action, size in actions[at:]:
                at += 1
                if action == "reopen":
                    break
                item_id = uuid4()
                if action == "detection":
                    if await outbox.put_detection(item_id, bytes(size)):
                        detections.append(item_id)
                    else:
                        refused_detections += 1
                elif action == "frame":
                    put_frames += 1
                    if await outbox.put_frame(item_id, bytes(size)):
                        frames.append(item_id)
                else:
                    known = detections + frames
                    victims = known[size % (len(known) + 1) :][:3]
                    present = {i.id for kind in Kind for i in await contents(outbox, kind)}
                    assert await outbox.delete(victims) == len(present & set(victims))
                    deleted_frames += len(present & set(victims) & set(frames))
                    detections = [i for i in detections if i not in victims]
                    frames = [i for i in frames if i not in victims or i not in present]
                # Frames go from the old end only.
                held = [i.id for i in await contents(outbox, Kind.FRAME)]
                assert held == frames[len(frames) - len(held) :]
                frames_gone = len(frames) - len(held)
                dropped_frames += frames_gone
                frames = held
                assert [i.id for i in await contents(outbox, Kind.DETECTION)] == detections
                assert outbox.dropped_detections == refused_detections
                depth = outbox.depth()
                assert (depth.detections, depth.frames) == (len(detections), len(frames))
                assert frames_before + put_frames - deleted_frames - outbox.dropped_frames == len(frames)
            else:
                at += 1
