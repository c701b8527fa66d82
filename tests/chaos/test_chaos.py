"""One run of the failure harness, and the harness's own logic."""

from pathlib import Path
from uuid import uuid4

import pytest

from services.classifier.outbox_file import Kind
from tests.chaos.__main__ import is_clean, summary, table
from tests.chaos.faults import NATURES, Fault, plan
from tests.chaos.ledger import Ledger, read_ledger
from tests.chaos.run import run_seed
from tests.chaos.verdict import judge

SEED = 1


@pytest.mark.timeout(900)
async def test_every_kind_of_fault_at_least_once_loses_nothing_and_doubles_nothing(tmp_path: Path) -> None:
    outcome = await run_seed(SEED, span_s=12.0, logs=tmp_path / "logs")
    assert is_clean(outcome), outcome
    assert outcome.verdict.committed > 100
    assert {one.fault for one in outcome.faults} >= set(Fault) - {
        Fault.OUTBOX_DISK_FULL,  # these three need the right to mount a small disk
        Fault.BROKER_DISK_FULL,
        Fault.POSTGRES_DISK_FULL,
    }
    assert Fault.POISON in outcome.felt


def test_the_seed_decides_the_faults_and_their_moments() -> None:
    assert plan(7, 20.0) == plan(7, 20.0) != plan(8, 20.0)
    assert {one.fault for one in plan(7, 20.0)} == set(Fault) == set(NATURES)


def test_ledger_tells_kept_from_refused_from_unanswered_and_ignores_a_line_cut_off(tmp_path: Path) -> None:
    path = tmp_path / "ledger"
    kept, refused, unanswered = uuid4(), uuid4(), uuid4()
    ledger = Ledger(path)
    for item_id in (kept, refused, unanswered):
        ledger.intend(Kind.DETECTION, item_id)
    ledger.answered(Kind.DETECTION, kept, kept=True)
    ledger.answered(Kind.DETECTION, refused, kept=False)
    ledger.close()
    with path.open("a") as file:
        file.write(f"intended 0 {uuid4()}"[:-5])
    promises = read_ledger(path)
    assert promises.kept[Kind.DETECTION] == {kept}
    assert promises.refused == {refused}
    assert promises.open[Kind.DETECTION] == {unanswered}


def test_verdict_counts_losses_doubles_and_what_nobody_made(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "ledger")
    detections = [uuid4() for _ in range(4)]
    frames = [uuid4() for _ in range(3)]
    late, never = uuid4(), uuid4()
    for kind, ids in ((Kind.DETECTION, detections), (Kind.FRAME, frames)):
        for item_id in ids:
            ledger.intend(kind, item_id)
            ledger.answered(kind, item_id, kept=True)
    for item_id in (late, never):
        ledger.intend(Kind.DETECTION, item_id)
    ledger.close()
    promises = read_ledger(tmp_path / "ledger")
    stranger = uuid4()
    stored = [detections[0], detections[0], detections[1], late, frames[0], stranger]
    verdict = judge(promises, stored, dead=[detections[2]], evicted=1)
    assert (verdict.committed, verdict.twice, verdict.dead, verdict.strangers) == (8, 1, 1, 1)
    assert verdict.evicted == 1
    assert verdict.lost == 2  # a detection, and one of two missing pictures


def test_output_ends_with_the_line_that_was_agreed() -> None:
    assert summary([]) == "0 seeds, 0 faults, 0 committed, 0 lost, 0 stored twice"
    assert table([]).startswith("| fault | times |")
