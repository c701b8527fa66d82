"""One run: everything is started, faults happen, everything is healed, and what was promised is looked for."""

import asyncio
import contextlib
import random
import tempfile
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.chaos.faults import NEED_A_SMALL_DISK, SIGNS, Fault, Planned, Target, plan
from tests.chaos.ledger import look_into, read_ledger, settle
from tests.chaos.link import State
from tests.chaos.meddler import Meddler
from tests.chaos.programs import Program
from tests.chaos.stack import DEVICE, CannotRun, Stack, eventually, stack
from tests.chaos.verdict import Verdict, judge
from tests.support.disks import fill

FIRST_ROWS: Final = 100
"""Stored before the first fault, so that the memory of a working program is known."""
_DRAINED_WITHIN_S: Final = 300.0
_REFUSED_WITHIN_S: Final = 300.0
"""A killed program takes more than a second of a core to be there again, which a busy machine gives it late."""
_GROWTH_MIB: Final = 48.0
"""More than what a program needs while a full window is on its way, less than what a leak of a run would be."""
_FILL_AGAIN_EVERY_S: Final = 0.2

_STORED: Final = "SELECT event_id FROM detections UNION ALL SELECT frame_id FROM frames"
_TORN: Final = """
SELECT count(*) FROM detections d
WHERE face_count <> (SELECT count(*) FROM faces f WHERE (f.captured_at, f.event_id) = (d.captured_at, d.event_id))
"""
_FAR_FROM_NOW: Final = "SELECT count(*) FROM detections WHERE abs(extract(epoch FROM captured_at - received_at)) > 1800"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a run showed. `felt`: the faults of which a program's log tells; `problems`: what is wrong, in words."""

    seed: int
    faults: list[Planned]
    felt: set[Fault]
    verdict: Verdict
    memory: str
    problems: list[str]


async def run_seed(seed: int, span_s: float, logs: Path) -> Outcome:
    """Run once with faults during `span_s` seconds; the programs' logs go to the folder `logs`.

    Raises:
        CannotRun: if a program is missing or something does not start.
    """
    with tempfile.TemporaryDirectory(prefix="chaos-") as name:
        logs.mkdir(parents=True, exist_ok=True)
        async with stack(Path(name), logs) as running:
            kinds = [fault for fault in Fault if running.small_disks or fault not in NEED_A_SMALL_DISK]
            return await _run(running, seed, plan(seed, span_s, kinds))


async def _run(running: Stack, seed: int, faults: list[Planned]) -> Outcome:
    problems: list[str] = []
    watched = (running.producer, running.ingest)
    running.go.touch()
    await eventually(lambda: _stored_at_least(running, FIRST_ROWS), "the first detections are not stored")
    before = {program: _memory(program) for program in watched}
    await _strike_all(running, faults, seed)
    running.go.unlink()
    try:
        await eventually(lambda: _is_empty(running), "the outbox is not emptied", _DRAINED_WITHIN_S)
    except CannotRun as error:
        problems.append(f"{error}: {await running.waiting()} items wait")
    after = {program: _memory(program) for program in watched}
    for program in watched:
        if after[program] > before[program] + _GROWTH_MIB:
            problems.append(f"{program.name} grew from {before[program]:.0f} to {after[program]:.0f} MiB")
        if program.crashed():
            problems.append(f"{program.name} crashed: see its log")
    await running.producer.killed_for(0)
    settle(running.ledger, running.outbox)
    _, evicted = look_into(running.outbox)
    stored = [row[0] for row in await running.rows(_STORED)]
    dead = [row[0] for row in await running.rows("SELECT message_id FROM dead_letters WHERE message_id IS NOT NULL")]
    verdict = judge(read_ledger(running.ledger), stored, dead, evicted)
    ((torn,),) = await running.rows(_TORN)
    if torn:
        problems.append(f"{torn} detections without all of their faces")
    if verdict.strangers:
        problems.append(f"{verdict.strangers} rows that no producer made")
    memory = ", ".join(f"{program.name} {before[program]:.0f}→{after[program]:.0f} MiB" for program in watched)
    programs = {program.name: program for program in (*watched, running.broker, running.postgres)}
    felt = {fault for fault, (name, words) in SIGNS.items() if programs[name].said(words)}
    ((far,),) = await running.rows(_FAR_FROM_NOW)
    if far:
        felt.add(Fault.PRODUCER_CLOCK_JUMPS)
    return Outcome(seed, faults, felt, verdict, memory, problems)


async def _stored_at_least(running: Stack, count: int) -> bool:
    ((rows,),) = await running.rows("SELECT count(*) FROM detections")
    return int(rows) >= count


async def _is_empty(running: Stack) -> bool:
    return await running.waiting() == 0


def _memory(program: Program) -> float:
    return program.resident_mib() or 0.0


async def _strike_all(running: Stack, faults: list[Planned], seed: int) -> None:
    meddler = Meddler(running.mqtt, DEVICE)
    listening = asyncio.create_task(meddler.link.run())
    dice = random.Random(seed)
    turns: defaultdict[Target, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def strike(planned: Planned) -> None:
        await asyncio.sleep(planned.at_s)
        async with turns[planned.target]:
            await _strike(running, meddler, dice, planned)

    try:
        async with asyncio.TaskGroup() as striking:
            for planned in faults:
                striking.create_task(strike(planned))
    finally:
        listening.cancel()
        await asyncio.gather(listening, return_exceptions=True)


async def _strike(running: Stack, meddler: Meddler, dice: random.Random, planned: Planned) -> None:
    """Let one fault happen, from its beginning to its end."""
    seconds = planned.for_s
    programs = {
        Target.PRODUCER: running.producer,
        Target.BROKER: running.broker,
        Target.INGEST: running.ingest,
        Target.POSTGRES: running.postgres,
    }
    match planned.fault:
        case Fault.PRODUCER_KILLED | Fault.BROKER_KILLED | Fault.INGEST_KILLED | Fault.POSTGRES_KILLED:
            await programs[planned.target].killed_for(seconds)
        case Fault.PRODUCER_STOPPED | Fault.BROKER_STOPPED | Fault.INGEST_STOPPED | Fault.POSTGRES_STOPPED:
            await programs[planned.target].stopped_for(seconds)
        case Fault.LINK_CUT:
            running.link.cut()
            await asyncio.sleep(seconds)
            running.link.state = State.OPEN
        case Fault.LINK_SLOW:
            running.link.state = State.SLOW
            await asyncio.sleep(seconds)
            running.link.state = State.OPEN
        case Fault.LINK_HALF_OPEN:
            running.link.half_open()
            await asyncio.sleep(seconds)
        case Fault.OUTBOX_DISK_FULL:
            await _full(running.outbox.parent, seconds)
        case Fault.BROKER_DISK_FULL:
            await _full(running.broker_files, seconds)
        case Fault.POSTGRES_DISK_FULL:
            await _full(running.postgres_files, seconds)
        case Fault.DUPLICATES:
            await meddler.repeat()
        case Fault.REORDERED:
            await meddler.reorder(dice)
        case Fault.POISON:
            # Nobody sends it again when ingest is not there.
            _, refusal = SIGNS[Fault.POISON]

            async def is_refused() -> bool:
                if not running.ingest.said(refusal):
                    await meddler.poison()
                    await asyncio.sleep(seconds)
                return running.ingest.said(refusal)

            await eventually(is_refused, "ingest refuses no poison", _REFUSED_WITHIN_S)
        case Fault.PRODUCER_CLOCK_JUMPS:
            await _clock_off(running, "producer", planned)
        case Fault.INGEST_CLOCK_JUMPS:
            await _clock_off(running, "ingest", planned)
        case Fault.CERTIFICATE_EXPIRES:
            running.certificates.expire()
            running.broker.hang_up()
            running.link.reset()
            await asyncio.sleep(seconds)
            running.certificates.restore()
            running.broker.hang_up()


async def _full(folder: Path, seconds: float) -> None:
    """No space left in `folder`, nor any that becomes free meanwhile."""
    other = fill(folder)
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            while True:
                await asyncio.sleep(_FILL_AGAIN_EVERY_S)
                fill(folder)
    other.unlink()


async def _clock_off(running: Stack, program: str, planned: Planned) -> None:
    """A jump, and the jump back: both directions."""
    running.clocks[program].set(planned.hours)
    await asyncio.sleep(planned.for_s)
    running.clocks[program].set(0)
