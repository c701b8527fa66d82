"""What a benchmark says, and how it is written down."""

import json
import os
import platform
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

RESULTS = Path(__file__).parent / "results"


@dataclass(frozen=True, slots=True)
class Result:
    """One figure. `ratio` is value / baseline; both are null where there is nothing to compare with."""

    name: str
    value: float
    unit: str
    baseline: float | None = None
    ratio: float | None = None
    note: str = ""


def against(name: str, value: float, baseline: float, unit: str, note: str) -> Result:
    """A figure with its baseline of the same run."""
    return Result(name, value, unit, baseline, value / baseline if baseline else None, note)


def percentile(values: Sequence[float], percent: int) -> float:
    """The `percent`-th percentile; of few values, the nearest."""
    if len(values) < 2:
        return values[0] if values else float("nan")
    return statistics.quantiles(values, n=100, method="inclusive")[percent - 1]


def write(results: Sequence[Result]) -> Path:
    """Write latest.json: the results, and what they were measured on."""
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / "latest.json"
    machine = {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "cores": os.cpu_count(),
        "machine": platform.machine(),
        "python": platform.python_version(),
        "note": "figures of a shared machine move by tens of percent; compare ratios",
    }
    path.write_text(json.dumps({"machine": machine, "results": [asdict(r) for r in results]}, indent=2) + "\n")
    return path


def table(results: Sequence[Result]) -> str:
    """The results for a terminal."""
    rows = [("what", "value", "baseline", "ratio", "note")]
    for r in results:
        baseline = "" if r.baseline is None else f"{r.baseline:.4g} {r.unit}"
        rows.append((r.name, f"{r.value:.4g} {r.unit}", baseline, "" if r.ratio is None else f"{r.ratio:.3g}", r.note))
    widths = [max(len(row[i]) for row in rows) for i in range(4)]
    return "\n".join("  ".join([*(row[i].ljust(widths[i]) for i in range(4)), row[4]]) for row in rows)
