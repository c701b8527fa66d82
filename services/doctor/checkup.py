"""Runs checks side by side, each for a limited time. Nothing that hangs can hold up the rest.

Checks block, and some of what they call cannot be interrupted (a camera's driver, the resolver). So each has a daemon
thread, which is left behind when its time is over.
"""

import queue
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from services.doctor.findings import Finding, problem
from shared.errors import EmotionEdgeError

LIMIT_S: Final = 8.0
"""Seconds that a check may take. Beyond a broker's and a database's own answers on a slow link."""


@dataclass(frozen=True, slots=True)
class Check:
    """Something to look at. `look` blocks, and gives its findings one by one, as it comes to them."""

    name: str
    look: Callable[[], Iterable[Finding]]


@dataclass(frozen=True, slots=True)
class Result:
    """What one check found, in its order."""

    name: str
    findings: tuple[Finding, ...]


@dataclass(slots=True)
class _Running:
    check: Check
    found: "queue.SimpleQueue[Finding | None]"

    def work(self) -> None:
        try:
            for finding in self.check.look():
                self.found.put(finding)
        except EmotionEdgeError as error:
            self.found.put(
                problem(
                    "cannot be used", str(error), "emotion-edge doctor --json   # after correcting what the cause names"
                )
            )
        except Exception as error:  # a fault of the check itself must not hide what the others found
            told = f"{type(error).__name__} in the check itself"
            self.found.put(problem("could not be checked", told, "emotion-edge doctor --json   # and report it"))
        finally:
            self.found.put(None)

    def result(self, until: float, limit_s: float) -> Result:
        findings: list[Finding] = []
        while True:
            try:
                finding = self.found.get(timeout=max(0.0, until - time.monotonic()))
            except queue.Empty:
                cause = f"This check did not end within {limit_s:g} s: what it asked does not answer."
                findings.append(problem("gives no answer", cause, "emotion-edge doctor   # again, in a minute"))
                break
            if finding is None:
                break
            findings.append(finding)
        return Result(self.check.name, tuple(findings))


def run(checks: Sequence[Check], limit_s: float = LIMIT_S) -> list[Result]:
    """The results, in the order of `checks`, at most `limit_s` later."""
    running = [_Running(check, queue.SimpleQueue()) for check in checks]
    for one in running:
        threading.Thread(target=one.work, name=f"check {one.check.name}", daemon=True).start()
    until = time.monotonic() + limit_s
    return [one.result(until, limit_s) for one in running]
