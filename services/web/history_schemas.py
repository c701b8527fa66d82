"""What the REST interface gives of episodes, and of what surrounds one detection."""

from typing import Literal
from uuid import UUID

from pydantic import Field

from services.web.schemas import Answer
from services.web.wording import Words
from shared.emotions import Emotion
from shared.messages import ModelRef, Region, Timestamp


class Sample(Answer):
    """The face that stands for an episode: with a picture where one was kept, and read best."""

    event_id: UUID
    face_index: int
    captured_at: Timestamp
    region: Region | None = Field(description="null where the face is gone already")
    frame_size: tuple[int, int] | None
    picture: str | None = Field(
        description="where its frame is; null where none is kept",
        examples=["/api/v1/frames/0195532e-8b70-7c3e-9d0a-2f6b7a1c4d5e.jpg"],
    )


class Episode(Answer):
    """What was read of one face that a device followed, on one day (UTC)."""

    id: UUID
    device: str
    boot_id: UUID
    track_id: int
    first_at: Timestamp
    last_at: Timestamp
    faces: int = Field(description="how often it was read")
    ok_share: float = Field(description="share of its faces that were good enough to be read")
    counts: dict[Emotion, int] = Field(description="faces by dominant emotion")
    dominant_emotion: Emotion = Field(description="the most frequent of them")
    headline: str = Field(examples=["Looks happy"])
    best_confidence: float
    labelled: bool
    model: ModelRef
    sample: Sample


class EpisodePage(Answer):
    """Episodes, newest first. `next_cursor` is null on the last page; `searched_to` is as of detections."""

    items: list[Episode]
    next_cursor: str | None
    searched_to: Timestamp | None = None


class TimelineBucket(Answer):
    """Episodes that began in one stretch of time."""

    start: Timestamp
    episodes: dict[Emotion, int] = Field(description="by their most frequent emotion")
    faces: int


class Timeline(Answer):
    """Episodes over a time, in stretches of equal length; one that is missing had none.

    It may begin after what was asked for: see `more`.
    """

    from_: Timestamp = Field(alias="from")
    to: Timestamp
    bucket_s: float
    items: list[TimelineBucket]
    more: bool = Field(
        description="true: before `from` there are more, that were not counted: ask for them by an earlier `to`"
    )


class SessionRef(Answer):
    """A study session that a detection belongs to."""

    id: UUID
    participant: str
    condition: str
    started_at: Timestamp


class Neighbour(Answer):
    """Where the arrow keys lead."""

    event_id: UUID
    episode_id: UUID | None = None


class Neighbours(Answer):
    """What comes after and before one in the order of time; null where none was found."""

    newer: Neighbour | None
    older: Neighbour | None


class Context(Answer):
    """What surrounds a detection: words for its faces, its picture, votes, sessions."""

    words: list[Words] = Field(description="for each face, in its order")
    picture: str | None = Field(description="where its frame is; null where none is kept")
    picture_state: Literal["kept", "missing", "not-kept"] = Field(
        description="missing: it was to be kept and is not there (erased, expired or not arrived)"
    )
    votes: list[dict[str, int]] = Field(description="for each face, how many labellers called it what")
    sessions: list[SessionRef]
