"""`make chaos`: is anything lost, or stored twice, whatever dies in between?

make chaos SEEDS=20                  seeds 1 to 20
make chaos SEEDS=1 ARGS="--first 7"  the faults of seed 7 again
"""

import argparse
import asyncio
import shutil
import sys
from collections import Counter
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Final

from shared import logs
from shared.settings import LogSettings
from tests.chaos.faults import SIGNS, Fault
from tests.chaos.run import Outcome, run_seed
from tests.chaos.stack import CannotRun

LOGS: Final = Path("build/chaos")
"""What the programs of each run said, by seed."""

LEAVE_SIGNS: Final = {*SIGNS, Fault.PRODUCER_CLOCK_JUMPS}


def main() -> int:
    """Run the seeds; 0 if nothing was lost or stored twice, every outbox was emptied and memory stayed flat."""
    parser = argparse.ArgumentParser(
        prog="make chaos", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--seeds", type=int, default=1, help="how many runs")
    parser.add_argument("--first", type=int, default=1, help="the first run's seed; the next ones follow")
    parser.add_argument("--span", type=float, default=20.0, help="seconds during which faults begin")
    arguments = parser.parse_args()
    logs.setup(LogSettings(level="error"), "chaos")
    outcomes: list[Outcome] = []
    shutil.rmtree(LOGS, ignore_errors=True)
    print(f"emotion-edge {version('emotion-edge')}, Python {sys.version.split()[0]}", flush=True)
    for seed in range(arguments.first, arguments.first + arguments.seeds):
        try:
            outcome = asyncio.run(run_seed(seed, arguments.span, LOGS / str(seed)))
        except CannotRun as error:
            print(f"chaos: seed {seed}: {error}", file=sys.stderr)
            return 2
        outcomes.append(outcome)
        print(told(outcome), flush=True)
    print(table(outcomes))
    print(summary(outcomes))
    return 0 if all(is_clean(outcome) for outcome in outcomes) else 1


def is_clean(outcome: Outcome) -> bool:
    """Whether the run showed nothing wrong."""
    return not (outcome.verdict.lost or outcome.verdict.twice or outcome.problems)


def told(outcome: Outcome) -> str:
    """A run in words: its faults, then what became of what was committed."""
    lines = [f"seed {outcome.seed}"]
    lines += [f"  {one.at_s:5.1f} s  {one.fault} for {one.for_s:.1f} s" for one in outcome.faults]
    verdict = outcome.verdict
    lines.append(
        f"  {verdict.committed} committed, {verdict.lost} lost, {verdict.twice} stored twice, {verdict.dead} in dead "
        f"letters, {verdict.evicted} pictures gave way on the full disk; {outcome.memory}"
    )
    return "\n".join(lines + [f"  WRONG: {problem}" for problem in outcome.problems])


def table(outcomes: Sequence[Outcome]) -> str:
    """How often each kind of fault happened, as Markdown."""
    times = Counter(one.fault for outcome in outcomes for one in outcome.faults)
    felt = Counter(fault for outcome in outcomes for fault in outcome.felt)
    rows = [
        f"| {fault} | {times[fault]} | {felt[fault] if fault in LEAVE_SIGNS else ''} |"
        for fault in Fault
        if times[fault]
    ]
    return "\n".join(["| fault | times | told by a program |", "| --- | --- | --- |", *rows])


def summary(outcomes: Sequence[Outcome]) -> str:
    """The last line."""
    faults = sum(len(outcome.faults) for outcome in outcomes)
    committed = sum(outcome.verdict.committed for outcome in outcomes)
    lost = sum(outcome.verdict.lost for outcome in outcomes)
    twice = sum(outcome.verdict.twice for outcome in outcomes)
    return f"{len(outcomes)} seeds, {faults} faults, {committed} committed, {lost} lost, {twice} stored twice"


if __name__ == "__main__":
    raise SystemExit(main())
