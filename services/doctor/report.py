"""The report as text and as JSON. Pure."""

import json
from collections.abc import Sequence
from typing import Final

from services.doctor.checkup import Result
from services.doctor.findings import LEVELS, Finding, Level

_SHOWN: Final[dict[Level, str]] = {"ok": "ok", "warning": "warning", "problem": "PROBLEM", "skipped": "-"}
_LEVEL_WIDTH: Final = 9


def as_text(services: Sequence[str], results: Sequence[Result]) -> str:
    """One line a finding; under it, where something is to be done, the cause and the command."""
    width = max((len(result.name) for result in results), default=0) + 2
    indent = " " * (_LEVEL_WIDTH + width)
    lines = [f"emotion-edge doctor: {', '.join(services)}", ""]
    for result in results:
        for finding in result.findings:
            lines.append(f"{_SHOWN[finding.level]:<{_LEVEL_WIDTH}}{result.name:<{width}}{finding.text}")
            if finding.cause:
                lines.append(f"{indent}Cause: {finding.cause}")
            if finding.command:
                lines.append(f"{indent}Run:   {finding.command}")
    lines += ["", _summary(_all(results))]
    return "\n".join(lines) + "\n"


def as_json(services: Sequence[str], results: Sequence[Result]) -> str:
    """The same for a program: `{services, ok, counts, findings: [{check, level, text, cause, command}]}`."""
    findings = [
        {
            "check": result.name,
            "level": finding.level,
            "text": finding.text,
            "cause": finding.cause,
            "command": finding.command,
        }
        for result in results
        for finding in result.findings
    ]
    counts = {level: sum(finding.level == level for finding in _all(results)) for level in LEVELS}
    body = {"services": list(services), "ok": not has_problem(results), "counts": counts, "findings": findings}
    return json.dumps(body, indent=2, ensure_ascii=False) + "\n"


def has_problem(results: Sequence[Result]) -> bool:
    """Whether something does not work."""
    return any(finding.level == "problem" for finding in _all(results))


def _all(results: Sequence[Result]) -> list[Finding]:
    return [finding for result in results for finding in result.findings]


def _summary(findings: Sequence[Finding]) -> str:
    problems = sum(finding.level == "problem" for finding in findings)
    warnings = sum(finding.level == "warning" for finding in findings)
    if not problems and not warnings:
        return "Nothing is wrong."
    parts = [f"{count} {word}{'s' if count > 1 else ''}" for count, word in _counted(problems, warnings) if count]
    return f"{' and '.join(parts)}. Mend the first, then look again: others may follow from it."


def _counted(problems: int, warnings: int) -> tuple[tuple[int, str], ...]:
    return (problems, "problem"), (warnings, "warning")
