"""What the REST interface takes and gives of votes on faces."""

from typing import Annotated, Any, Final, Literal, Self
from uuid import UUID

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from services.web import cursors
from services.web.schemas import MAX_FACE_INDEX, Filter, Limit, Moment, Span
from services.web.wording import Words
from shared.emotions import Emotion
from shared.messages import Timestamp, storable_text

Label = Literal["angry", "disgust", "fear", "happy", "sad", "surprise", "neutral", "unknown", "not_a_face"]
MAX_SKIPPED: Final = 100


def _vote_cursor(value: str) -> str:
    cursors.decode_vote(value)
    return value


Labeller = Annotated[
    str,
    Field(
        min_length=1,
        max_length=64,
        pattern=r"^\S(.*\S)?$",
        description="who votes; only where nobody logs in, else it is the name of the one who is logged in",
        examples=["ada"],
    ),
    AfterValidator(storable_text),
]
FaceIndex = Annotated[int, Field(ge=0, le=MAX_FACE_INDEX, description="its place in the detection's faces")]
Skipped = Annotated[
    str, Field(pattern=r"^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}:[0-9]{1,5}$", description="event_id:face_index")
]


class QueueQuery(Span):
    """Whose queue, and of which faces."""

    session: UUID | None = Field(default=None, description="the devices and the time of this study session")
    labeller: Labeller | None = None
    skip: list[Skipped] = Field(
        default_factory=list,
        max_length=MAX_SKIPPED,
        description="faces that are not wanted now, as event_id:face_index; may be given several times",
    )
    limit: int = Field(default=10, ge=1, le=50, description="how many faces are wanted at most")

    def filter(self) -> Filter:
        """Which faces, as `search.resolve` takes it."""
        return Filter.model_validate(
            {"device": self.device, "session": self.session, "from": self.from_, "to": self.to}
        )


class VoteQuery(Span):
    """Filters of votes; the time is that of capture."""

    labeller: Labeller | None = None
    label: Label | None = None
    event_id: UUID | None = Field(default=None, description="votes on the faces of this detection")
    cursor: Annotated[str | None, Field(max_length=512, description="next_cursor of the page before")] = None
    limit: Limit = 100

    @model_validator(mode="after")
    def _cursor_is_ours(self) -> Self:
        if self.cursor is not None:
            _vote_cursor(self.cursor)
        return self


class AgreementQuery(Span):
    """Which votes are compared; the time is that of capture."""


class ProgressQuery(BaseModel):
    """Whose progress."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    labeller: Labeller | None = None
    since: Moment | None = Field(
        default=None, description="the beginning of the labeller's day; midnight in UTC where left out"
    )


class NewVote(BaseModel):
    """What a labeller calls a face. A second vote of the same labeller takes the place of the first."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    event_id: UUID
    face_index: FaceIndex
    label: Label
    labeller: Labeller | None = None


class _Answer(BaseModel):
    model_config = ConfigDict(frozen=True)


class FaceMark(_Answer):
    """Where the face lies in its picture, for others may be in it too: shares of the picture's width and height."""

    x: float = Field(examples=[0.1974])
    y: float = Field(examples=[0.1773])
    w: float = Field(examples=[0.6052])
    h: float = Field(examples=[0.6455])


class QueuedFace(_Answer):
    """A face to be looked at. What the model read in it is told with the vote, so that it leads nobody."""

    event_id: UUID
    face_index: int
    device: str
    captured_at: Timestamp
    frame_id: UUID
    picture: str = Field(examples=["/api/v1/frames/0195532e-8b70-7c3e-9d0a-2f6b7a1c4d5e/faces/0.jpg"])
    mark: FaceMark | None = Field(description="null where the face lies outside of its picture")


class Queue(_Answer):
    """The next faces for a labeller, best first."""

    labeller: str
    items: list[QueuedFace]
    waiting: int = Field(description="faces that this labeller can still vote on, as far as was looked")
    more: bool = Field(description="whether older pictures were not looked at, where more may wait")


_EXAMPLE_VOTE: Final[dict[str, Any]] = {
    "event_id": "0195532e-8b70-7c3e-9d0a-2f6b7a1c4d5e",
    "face_index": 0,
    "labeller": "ada",
    "label": "happy",
    "captured_at": "2026-03-01T12:00:05.250000Z",
    "device": "camera-1",
    "voted_at": "2026-03-02T09:10:00.000000Z",
}


class Vote(_Answer):
    """What a labeller called a face."""

    model_config = ConfigDict(json_schema_extra={"examples": [_EXAMPLE_VOTE]})

    event_id: UUID
    face_index: int
    labeller: str
    label: Label
    captured_at: Timestamp
    device: str
    voted_at: Timestamp


class Guess(_Answer):
    """What the model read in the face."""

    dominant_emotion: Emotion
    confidence: float
    words: Words


class VoteTaken(_Answer):
    """The vote as it is kept, and what could not be told before it."""

    vote: Vote
    guess: Guess
    others: dict[Label, int] = Field(description="what other labellers called it")


class VotePage(_Answer):
    """Votes, those on the newest faces first. `next_cursor` is null on the last page."""

    items: list[Vote]
    next_cursor: str | None


class PairAgreement(_Answer):
    """Two labellers on the faces that both labelled."""

    first: str
    second: str
    faces: int
    agreement: float = Field(description="share of the faces that both called the same")
    kappa: float | None = Field(description="Cohen's kappa; null where both always gave one and the same label")


class Agreement(_Answer):
    """How far labellers agree beyond chance: 1 always, 0 as often as chance would."""

    labellers: dict[str, int] = Field(description="votes of each")
    faces: int = Field(description="faces with two votes or more")
    fleiss_kappa: float | None = Field(description="over those faces; null where it is not defined")
    pairs: list[PairAgreement]


class Progress(_Answer):
    """How much is done."""

    labeller: str
    votes: int
    votes_since: int
    faces_of_all: int = Field(description="faces that anybody voted on")
    faces_of_several: int = Field(description="faces that two or more voted on")
