"""What a check found, in words for a person. Pure."""

from dataclasses import dataclass
from typing import Final, Literal

Level = Literal["ok", "warning", "problem", "skipped"]
LEVELS: Final[tuple[Level, ...]] = ("ok", "warning", "problem", "skipped")


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the report.

    Attributes:
        level: problem: something does not work; warning: it soon may not, or works less well; skipped: does not apply
            here, or could not be told.
        text: what was found, in one line.
        cause: why, where that is not in `text`.
        command: the one command that mends it, or the one that shows what to mend.
    """

    level: Level
    text: str
    cause: str = ""
    command: str = ""


def ok(text: str) -> Finding:
    """All is well."""
    return Finding("ok", text)


def skipped(text: str) -> Finding:
    """Not checked, and why."""
    return Finding("skipped", text)


def warning(text: str, cause: str = "", command: str = "") -> Finding:
    """It works, but a person should know."""
    return Finding("warning", text, cause, command)


def problem(text: str, cause: str, command: str) -> Finding:
    """It does not work."""
    return Finding("problem", text, cause, command)
