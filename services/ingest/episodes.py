"""What a batch of detections adds to episodes. Pure."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from shared.db.episodes import EpisodeKey, score
from shared.db.partitions import day_of
from shared.emotions import EMOTIONS
from shared.messages import Detection, Face

FaceId = tuple[datetime, UUID, int]
"""When a face was captured, its detection, and its number there."""

COLUMNS: Final[dict[str, str]] = {
    "day": "date",
    "device": "text",
    "boot_id": "uuid",
    "track_id": "bigint",
    "first_at": "timestamptz",
    "last_at": "timestamptz",
    "face_count": "integer",
    "ok_count": "integer",
    **{str(emotion): "integer" for emotion in EMOTIONS},
    "best_confidence": "real",
    "score": "real",
    "captured_at": "timestamptz",
    "event_id": "uuid",
    "face_index": "smallint",
    "frame_id": "uuid",
    "model_name": "text",
    "model_version": "text",
}
_OF_THE_BEST: Final = ("score", "captured_at", "event_id", "face_index", "frame_id", "model_name", "model_version")
_ADDED: Final = ("face_count", "ok_count", *EMOTIONS)

CONFLICT: Final = (
    "ON CONFLICT (day, device, boot_id, track_id) DO UPDATE SET "
    "first_at = least(episodes.first_at, excluded.first_at), last_at = greatest(episodes.last_at, excluded.last_at), "
    "best_confidence = greatest(episodes.best_confidence, excluded.best_confidence), "
    + ", ".join(f"{name} = episodes.{name} + excluded.{name}" for name in _ADDED)
    + ", "
    + ", ".join(
        f"{name} = CASE WHEN excluded.score > episodes.score THEN excluded.{name} ELSE episodes.{name} END"
        for name in _OF_THE_BEST
    )
)
"""How a row of a batch is added to the row that is there."""


@dataclass(slots=True)
class _Episode:
    first_at: datetime
    last_at: datetime
    ok_count: int = 0
    counts: Counter[str] = field(default_factory=Counter)
    best_confidence: float = 0.0
    best: tuple[Any, ...] = (-1.0,)

    def add(self, detection: Detection, index: int, face: Face) -> None:
        self.first_at = min(self.first_at, detection.captured_at)
        self.last_at = max(self.last_at, detection.captured_at)
        self.counts[face.dominant_emotion] += 1
        self.ok_count += face.quality.ok
        self.best_confidence = max(self.best_confidence, face.confidence)
        worth = score(has_picture=detection.frame_id is not None, readable=face.quality.ok, confidence=face.confidence)
        if worth > self.best[0]:
            model = detection.model
            of_frame = (detection.captured_at, detection.event_id, index, detection.frame_id)
            self.best = (worth, *of_frame, model.name, model.version)

    def row(self, key: EpisodeKey) -> tuple[Any, ...]:
        counts = [self.counts[emotion] for emotion in EMOTIONS]
        times = (self.first_at, self.last_at)
        return (*key, *times, self.counts.total(), self.ok_count, *counts, self.best_confidence, *self.best)


def gather(detections: Iterable[Detection], stored: set[FaceId]) -> list[tuple[Any, ...]]:
    """A row of `COLUMNS` for each episode that a batch adds to, in the order in which rows are locked.

    Args:
        detections: the batch; the same one may be in it twice.
        stored: the faces that were really inserted. Each counts once; it is empty afterwards.
    """
    found: dict[EpisodeKey, _Episode] = {}
    for detection in detections:
        at = detection.captured_at
        for index, face in enumerate(detection.faces):
            ident = (at, detection.event_id, index)
            if ident not in stored:
                continue
            stored.remove(ident)
            key = EpisodeKey(day_of(at), detection.device, detection.boot_id, face.track_id)
            found.setdefault(key, _Episode(at, at)).add(detection, index, face)
    return [found[key].row(key) for key in sorted(found)]
