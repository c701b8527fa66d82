"""Coverage-guided search by atheris: `python -m tests.fuzz SECONDS`, each target in a process of its own.

What it finds interesting is kept in build/fuzz for the next run; what breaks a reader is in build/fuzz/TARGET-crash-…,
to be mended and moved to tests/fuzz/corpus.
"""

import subprocess
import sys
from pathlib import Path
from typing import Final

import atheris  # type: ignore[import-untyped]  # it ships no types

ROOT: Final = Path(__file__).resolve().parents[2]
_KEPT: Final = ROOT / "build" / "fuzz"
_MEMORY_MB: Final = 2048
_SLOWEST_S: Final = 10


def search(target: str, seconds: int) -> None:
    """Search within this process; leaves it with status 0, or another if something was found."""
    with atheris.instrument_imports(include=["shared", "services", "tests.fuzz.targets"]):
        from tests.fuzz import targets
    function, kind = targets.TARGETS[target]
    kept = _KEPT / target
    kept.mkdir(parents=True, exist_ok=True)
    limits = [f"-max_total_time={seconds}", f"-rss_limit_mb={_MEMORY_MB}", f"-timeout={_SLOWEST_S}", "-max_len=100000"]
    places = [f"-artifact_prefix={_KEPT}/{target}-", str(kept), str(targets.CORPUS / kind)]
    atheris.Setup([target, *limits, *places], function)
    atheris.Fuzz()


def main(seconds: int) -> int:
    """Search all targets, one after the other; 1 if any was broken."""
    from tests.fuzz.targets import TARGETS

    broken = []
    for target in TARGETS:
        command = [sys.executable, "-m", "tests.fuzz", str(seconds), target]
        if subprocess.run(command, cwd=ROOT, check=False).returncode:
            broken.append(target)
    print(f"{len(TARGETS)} targets, {seconds} s each; broken: {', '.join(broken) or 'none'}")
    return 1 if broken else 0


if __name__ == "__main__":
    if len(sys.argv) > 2:
        search(sys.argv[2], int(sys.argv[1]))
    else:
        sys.exit(main(int(sys.argv[1])))
