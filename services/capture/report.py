"""What capture says of itself: counters, problems and state, as metrics and as the retained status. Pure."""

import asyncio
from collections import deque
from datetime import datetime
from typing import Final, Literal

from services.capture.frames import Frame, SourceTrouble
from services.capture.spec import SourceSpec
from shared.messages import Problem, Source, Status, StatusValue
from shared.metrics import Metrics

SERVICE: Final = "capture"
_RATE_OVER_S: Final = 5.0
_REJECTED_TOLD_S: Final = 60.0

Phase = Literal["starting", "online", "degraded", "finished", "paused"]
Counter = Literal["read", "sent", "dropped", "rejected", "unsent"]
Topic = Literal["source", "picture", "desired", "classifier", "pause", "release"]


class Report:
    """Counts what happens and remembers what is wrong. `changed` is set when a person should hear of it now.

    The counters of frames: `read` from the source; of these `sent` to the broker; `dropped` because a newer one had
    come; `rejected` because the picture cannot be used; `unsent` because the broker did not take them.
    """

    def __init__(self, device: str, spec: SourceSpec, metrics: Metrics) -> None:
        self.changed = asyncio.Event()
        self.name = spec.name
        self.is_sample = spec.kind == "sample"
        self.phase: Phase = "starting"
        self.counts: dict[Counter, int] = {"read": 0, "sent": 0, "dropped": 0, "rejected": 0, "unsent": 0}
        self.source: Source | None = None
        self.paused_by: str | None = None
        self.reopens = 0
        self.stuck_reads = 0
        self.unconfirmed = 0
        self.desired_rejected = 0
        self._device = device
        self._problems: dict[Topic, Problem] = {}
        self._sent_at: deque[float] = deque()
        self._last: Frame | None = None
        self._rejected_at = 0.0
        self._frames_total = metrics.counter("frames", "Frames by what became of them", ["outcome"])
        self._reopens_total = metrics.counter("reopens", "Times the source was opened again")
        self._stuck_total = metrics.counter("stuck_reads", "Reads that never returned and were abandoned")
        self._unconfirmed_total = metrics.counter("unconfirmed", "Frames at fast pace that no classifier confirmed")
        self._desired_total = metrics.counter("desired_rejected", "Messages with wishes that could not be read")
        self._online = metrics.gauge("online", "1 while frames arrive, else 0")

    def count(self, what: Counter, number: int = 1) -> None:
        """`number` more frames had this outcome."""
        if number:
            self.counts[what] += number
            self._frames_total.labels(what).inc(number)

    def read(self) -> int:
        """A picture was read of the source, good or bad; returns its number, which counts from 0."""
        number = self.counts["read"]
        self.count("read")
        return number

    def enter(self, phase: Phase) -> None:
        """Capture is in another phase now."""
        if phase != self.phase:
            self.phase = phase
            self._online.set(phase == "online")
            self.changed.set()

    def opened(self, source: Source) -> None:
        """The source is open; frames have yet to come."""
        self.source = source
        self.changed.set()

    def sent(self, frame: Frame, now: float) -> None:
        """A frame went to the broker."""
        self.count("sent")
        self._last = frame
        self._sent_at.append(now)
        if now - self._rejected_at > _REJECTED_TOLD_S:
            self.clear("picture")
        self._forget_before(now - _RATE_OVER_S)

    def arriving(self) -> None:
        """A frame came: the source works."""
        self.clear("source")
        self.enter("online")

    def failed(self, trouble: SourceTrouble) -> None:
        """The source cannot be opened or stopped giving frames."""
        self.tell("source", trouble.problem)
        self.enter("degraded")

    def reopening(self) -> None:
        """The source is opened once more."""
        self.reopens += 1
        self._reopens_total.inc()
        self.changed.set()

    def stuck(self) -> None:
        """A read did not return and was abandoned with its thread."""
        self.stuck_reads += 1
        self._stuck_total.inc()
        self.changed.set()

    def rejected(self, reason: str, now: float) -> None:
        """A picture could not be used. It is told until frames were good for a minute."""
        self._rejected_at = now
        self.count("rejected")
        self.tell("picture", Problem(title="A picture was left out", cause=reason[:512]))

    def gave_up_waiting(self, total: int) -> None:
        """`total` frames at fast pace were not confirmed so far."""
        if total == self.unconfirmed:
            return
        self._unconfirmed_total.inc(total - self.unconfirmed)
        self.unconfirmed = total
        self.tell(
            "classifier",
            Problem(
                title="No classifier confirms the frames",
                cause="at fast pace a file waits for the classifier's live messages, and none came",
                next_step="Start the classifier for this device on the same broker, or set pace to realtime",
            ),
        )

    def bad_desired(self, reason: str) -> None:
        """A message with wishes could not be read; what was wished before still holds."""
        self.desired_rejected += 1
        self._desired_total.inc()
        self.tell("desired", Problem(title="A message with wishes could not be read", cause=reason[:512]))

    def paused(self, by: str | None, trouble: str | None) -> None:
        """Who wants capture to stand still, and why that might be forgotten."""
        if by != self.paused_by:
            self.paused_by = by
            self.changed.set()
        if trouble is None:
            self.clear("pause")
        else:
            self.tell(
                "pause",
                Problem(
                    title="A pause might not be kept",
                    cause=f"its mark cannot be read or written: {trouble}"[:512],
                    next_step="Let this program write its data folder, or make room on the disk",
                ),
            )

    def not_released(self) -> None:
        """Capture is paused, and the source's driver has not let go of the camera."""
        self.tell(
            "release",
            Problem(
                title="The camera may still be on",
                cause="capture is paused and takes no pictures, but the camera's driver hangs and was not closed",
                next_step="Unplug the camera or cover it",
            ),
        )

    def tell(self, topic: Topic, problem: Problem) -> None:
        """A problem, in the place of an earlier one on the same topic."""
        if self._problems.get(topic) != problem:
            self._problems[topic] = problem
            self.changed.set()

    def clear(self, topic: Topic) -> None:
        """The problem on this topic is over."""
        if self._problems.pop(topic, None) is not None:
            self.changed.set()

    def problem(self, topic: Topic) -> Problem | None:
        """The problem on this topic, if there is one."""
        return self._problems.get(topic)

    def status(self, at: datetime, now: float) -> Status:
        """The status message at `at`; `now` is the monotonic clock for rates."""
        return Status(
            device=self._device,
            service=SERVICE,
            state=self.phase,
            at=at,
            problems=tuple(self._problems.values()),
            values=self._values(now),
        )

    def _values(self, now: float) -> dict[str, StatusValue]:
        self._forget_before(now - _RATE_OVER_S)
        last = self._last
        return {
            "source": self.name,
            "paused_by": self.paused_by,
            "kind": self.source.kind if self.source else None,
            "fps": self._fps(),
            "width": last.width if last else None,
            "height": last.height if last else None,
            "passthrough": last.passthrough if last else None,
            **{f"frames_{name}": value for name, value in self.counts.items()},
            "reopens": self.reopens,
            "stuck_reads": self.stuck_reads,
            "unconfirmed": self.unconfirmed,
            "desired_rejected": self.desired_rejected,
        }

    def _fps(self) -> float:
        """Frames sent per second over the last seconds."""
        if len(self._sent_at) < 2:
            return 0.0
        span = self._sent_at[-1] - self._sent_at[0]
        return round((len(self._sent_at) - 1) / max(span, 1.0), 1)

    def _forget_before(self, moment: float) -> None:
        while self._sent_at and self._sent_at[0] < moment:
            self._sent_at.popleft()


def offline(device: str, at: datetime) -> Status:
    """What the last will and a clean stop say."""
    return Status(device=device, service=SERVICE, state="offline", at=at)
