"""Looks up every pinned dependency's known vulnerabilities: `python -m tools.audit [--offline-ok]`.

pip-audit calls a dependency that the advisory service does not know "skipped" and ends well, even if that is all of
them; here what could not be looked up is never taken for clean. Without the advisory service the last line says NOT
AUDITED, and only `--offline-ok` lets that pass.
"""

import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from services.web.assets import npm_command

ROOT: Final = Path(__file__).resolve().parents[1]
REQUIREMENTS: Final = ROOT / "requirements"


@dataclass
class Verdict:
    """What is known of the dependencies: name and version to its advisories; and what nobody could say."""

    clean: set[str] = field(default_factory=set)
    vulnerable: dict[str, str] = field(default_factory=dict)
    unknown: set[str] = field(default_factory=set)

    def told(self, *, offline_ok: bool) -> tuple[str, int]:
        """The last line, and the exit status."""
        if self.vulnerable:
            found = "; ".join(f"{name}: {advisories}" for name, advisories in sorted(self.vulnerable.items()))
            return f"VULNERABLE: {found}. Raise the version in pyproject.toml, then `make requirements`.", 1
        if self.unknown or not self.clean:
            text = (
                f"NOT AUDITED: the advisory service knows {len(self.clean)} of {len(self.clean | self.unknown)} "
                "dependencies from here. Run `make audit` where PyPI and npm are reached."
            )
            return text, 0 if offline_ok else 1
        return f"audited: {len(self.clean)} dependencies without a known vulnerability", 0


def read_pip_audit(report: dict[str, Any], verdict: Verdict) -> None:
    """Add pip-audit's JSON report."""
    for dependency in report["dependencies"]:
        if "skip_reason" in dependency:
            verdict.unknown.add(dependency["name"])
            continue
        name = f"{dependency['name']} {dependency['version']}"
        if dependency["vulns"]:
            verdict.vulnerable[name] = ", ".join(vulnerability["id"] for vulnerability in dependency["vulns"])
        else:
            verdict.clean.add(name)


def read_npm_audit(report: dict[str, Any], packages: Sequence[str], verdict: Verdict) -> None:
    """Add npm's JSON report on `packages`."""
    if "vulnerabilities" not in report:  # it is an error's
        verdict.unknown.update(packages)
        return
    for name, found in report["vulnerabilities"].items():
        verdict.vulnerable[name] = f"{found['severity']}, {found['range']}"
    verdict.clean.update(set(packages) - report["vulnerabilities"].keys())


def main(arguments: Sequence[str]) -> int:
    """Audit requirements/*.txt and package-lock.json."""
    verdict = Verdict()
    for path in sorted(REQUIREMENTS.glob("*.txt")):
        command = [sys.executable, "-m", "pip_audit", "--disable-pip", "--require-hashes", "--requirement", str(path)]
        report = _json_of([*command, "--format", "json", "--progress-spinner", "off"])
        if "dependencies" in report:
            read_pip_audit(report, verdict)
        else:
            verdict.unknown.add(path.name)
    locked = json.loads((ROOT / "package-lock.json").read_text())["packages"]
    names = [name.removeprefix("node_modules/") for name in locked if name]
    read_npm_audit(_json_of([*npm_command(), "audit", "--package-lock-only", "--json"]), names, verdict)
    text, status = verdict.told(offline_ok="--offline-ok" in arguments)
    print(text, file=sys.stderr if status else sys.stdout)
    return status


def _json_of(command: list[str]) -> dict[str, Any]:
    """What a command prints; empty where it cannot be run or prints something else."""
    try:
        # Its exit status says less than its report.
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)  # noqa: S603 - our own
        report: dict[str, Any] = json.loads(done.stdout)
    except (OSError, ValueError):
        return {}
    return report


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
