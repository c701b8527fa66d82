"""What the REST interface takes and gives about datasets and exports; filters and splits are stored as they are."""

import re
from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal, Self
from uuid import UUID

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from services.web.datasets.formats import FORMATS, FormatName
from services.web.datasets.judging import REASONS
from services.web.schemas import CursorText, Limit, Span
from shared.emotions import EMOTIONS, Emotion
from shared.messages import Timestamp

SPLITS: Final = ("train", "validation", "test")
SplitName = Literal["train", "validation", "test"]
MAX_ITEMS: Final = 200_000
LOOKED_AT_MOST: Final = 2_000
"""Faces with a picture, up to which a preview looks for copies."""
_MAX_SEED: Final = 2**31 - 1
_NAME: Final = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}", re.ASCII)


def _name(value: str) -> str:
    if not _NAME.fullmatch(value):
        raise ValueError(
            "expected small letters, digits, dots, hyphens and underscores, at most 63, a letter or digit first"
        )
    return value


def _text(value: str) -> str:
    if any(not (character.isprintable() or character == "\n") for character in value):
        raise ValueError("expected text without control characters")
    return value.strip()


DatasetName = Annotated[
    str,
    Field(description="small letters, digits, . - _; also the name of its files", examples=["lab-spring"]),
    AfterValidator(_name),
]
Note = Annotated[
    str,
    Field(
        max_length=2000,
        description="licence, and what the people in the pictures consented to; stands in every export",
        examples=["Consent form v2: research in this lab only. Not to be passed on."],
    ),
    AfterValidator(_text),
]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class DatasetFilter(Span):
    """Which faces are chosen. Only those whose picture was kept can be."""

    session: UUID | None = Field(default=None, description="only what this study session recorded")
    labels: tuple[Emotion, ...] = Field(
        default=EMOTIONS, min_length=1, max_length=len(EMOTIONS), description="labels to take"
    )
    min_votes: int = Field(default=1, ge=1, le=100, description="labellers that a face needs at least")
    min_agreement: float = Field(
        default=0.5, ge=0, le=1, description="share of its votes that a face's label needs at least"
    )
    quality_ok: bool = Field(default=True, description="only faces whose quality was good enough to be read")
    min_confidence: float = Field(default=0, ge=0, le=1, description="the model's confidence, at least")
    max_confidence: float = Field(default=1, ge=0, le=1, description="the model's confidence, at most")
    pseudo_labels: bool = Field(
        default=False,
        description="also take faces that nobody labelled, as the model called them; marked in every export",
    )
    pseudo_min_confidence: float = Field(
        default=0.9, ge=0, le=1, description="the model's confidence that such a face needs at least"
    )

    @model_validator(mode="after")
    def _confidence_in_order(self) -> Self:
        if self.min_confidence > self.max_confidence:
            raise ValueError("min_confidence must not be above max_confidence")
        return self


class SplitPlan(_Part):
    """How faces are dealt out. No person, session or copy stands in two splits."""

    train: int = Field(default=80, ge=0, le=100, description="per cent of the faces")
    validation: int = Field(default=10, ge=0, le=100, description="per cent of the faces")
    test: int = Field(default=10, ge=0, le=100, description="per cent of the faces")
    seed: int = Field(default=0, ge=0, le=_MAX_SEED, description="another number deals the same people out otherwise")
    copies: Literal["keep", "drop"] = Field(
        default="drop",
        description="drop: of faces with the same pixels, and of a person's faces that nearly look the same, the first "
        "is taken; keep: all are taken, on one side",
    )

    @model_validator(mode="after")
    def _all_dealt_out(self) -> Self:
        total = self.train + self.validation + self.test
        if total != 100:
            raise ValueError(f"train, validation and test must be 100 together, they are {total}")
        if self.train == 0:
            raise ValueError("train must not be 0")
        return self

    @classmethod
    def in_order(cls, kept: Mapping[str, Any]) -> dict[str, Any]:
        """One that comes from the database, which keeps no order."""
        return {name: kept[name] for name in cls.model_fields if name in kept}

    def shares(self) -> dict[str, int]:
        """Per cent by split, in their order."""
        return {"train": self.train, "validation": self.validation, "test": self.test}


class PreviewRequest(_Part):
    """A choice to look at before it is built."""

    filter: DatasetFilter = Field(default_factory=DatasetFilter)
    split: SplitPlan = Field(default_factory=SplitPlan)


class NewDataset(PreviewRequest):
    """A dataset to be built."""

    name: DatasetName
    note: Note = ""


class Caution(BaseModel):
    """What may make a model learnt from this worse than it looks."""

    kind: str = Field(examples=["imbalance"])
    text: str = Field(examples=["happy has 900 faces and disgust 12, more than 3 times as many."])
    next_step: str = Field(examples=["Label more faces that look disgusted, or leave out some of the others."])


# The database keeps objects without their order.
def _each_emotion(counts: dict[str, int]) -> dict[str, int]:
    return {emotion: counts.get(emotion, 0) for emotion in EMOTIONS}


LabelCounts = Annotated[
    dict[str, int],
    Field(description="faces by label, also those without any"),
    AfterValidator(_each_emotion),
]


class SplitCounts(BaseModel):
    """What is in one split."""

    items: int
    persons: int
    labels: LabelCounts


def _each_split(counts: dict[str, SplitCounts]) -> dict[str, SplitCounts]:
    return {split: counts[split] for split in SPLITS if split in counts}


def _each_reason(counts: dict[str, int]) -> dict[str, int]:
    return {reason: counts[reason] for reason in REASONS if reason in counts}


class Summary(BaseModel):
    """Counts of a choice."""

    items: int = Field(description="faces")
    labels: LabelCounts
    persons: int
    sessions: int
    pseudo_labels: int = Field(description="faces that the model labelled and nobody else")
    agreement: float | None = Field(description="mean share of the votes that the label has; null without votes")
    left_out: Annotated[
        dict[str, int],
        Field(description="faces that fit the filter and are not taken, by reason"),
        AfterValidator(_each_reason),
    ]
    splits: Annotated[dict[str, SplitCounts], AfterValidator(_each_split)]
    warnings: list[Caution]


class Progress(BaseModel):
    """How far work is."""

    done: int
    total: int


Certainty = Literal["exact", "counting", "upper_bound"]


class Preview(Summary):
    """What a choice would give."""

    certainty: Certainty = Field(
        description="exact: what building would give now, copies and warnings too. counting: copies are still being "
        "looked for, and until they are known this is the most that it gives; ask again at once. upper_bound: so many "
        f"pictures (more than {LOOKED_AT_MOST:,}) are compared only when it is built; this is the most that it gives."
    )
    compared: Progress | None = Field(description="faces whose pictures were compared; null where none is to be")
    too_many: bool = Field(description=f"it is more than the {MAX_ITEMS:,} faces that a dataset may have")
    labellers: int | None = Field(description="who voted on it; null unless it is exact")
    copies: int | None = Field(description="faces with the same pixels as another; null unless it is exact")
    near_copies: int | None = Field(
        description="faces that nearly look like another of the same person; null unless it is exact"
    )
    dropped_copies: int | None = Field(description="copies and near copies left out; null unless it is exact")


class BuiltSummary(Summary):
    """Counts of a dataset when it was built."""

    labellers: int
    copies: int = Field(description="faces with the same pixels as another")
    near_copies: int = Field(description="faces that nearly look like another of the same person")
    dropped_copies: int
    bytes: int = Field(description="of all pictures")


class Dataset(BaseModel):
    """A dataset."""

    id: UUID
    name: str
    filter: dict[str, Any]
    split: dict[str, Any]
    note: str
    state: Literal["building", "ready", "failed"]
    error: str | None
    progress: Progress | None = Field(description="while it is built")
    summary: BuiltSummary | None = Field(description="when it is ready; erasures do not change it")
    manifest_sha256: str | None = Field(description="over its items in order")
    erased_items: int = Field(description="removed by erasures since it was ready")
    created_at: Timestamp
    created_by: str


class DatasetPage(BaseModel):
    """Datasets, newest first."""

    items: list[Dataset]
    next_cursor: str | None


class NewExport(_Part):
    """An export to be made."""

    format: FormatName = Field(description="; ".join(f"{name}: {one.title}" for name, one in FORMATS.items()))


class Export(BaseModel):
    """A dataset as one file."""

    id: UUID
    dataset_id: UUID
    dataset: str
    format: str
    state: Literal["waiting", "running", "ready", "failed", "erased"]
    error: str | None
    progress: Progress = Field(description="in faces; a face may be visited more than once")
    bytes: int | None
    sha256: str | None
    file: str | None = Field(description="address of the file; null unless it is ready")
    file_name: str
    created_at: Timestamp
    created_by: str
    finished_at: Timestamp | None


class ExportPage(BaseModel):
    """Exports, newest first."""

    items: list[Export]
    next_cursor: str | None


class Snippet(BaseModel):
    """Lines that load an export; {file} stands for its name without .zip."""

    library: str
    code: str
    tested: bool = Field(description="whether this project's tests run these very lines wherever they run")
    by_hand: str | None = Field(
        description="with what these very lines were run by hand, and when; null where the tests always run them"
    )


class ExportFormat(BaseModel):
    """A format that exports can have."""

    name: FormatName
    title: str
    what: str
    missing: str | None = Field(description="why it cannot be made here; null where it can")
    snippets: list[Snippet]


class ExportFormats(BaseModel):
    """All formats."""

    items: list[ExportFormat]


class PageQuery(BaseModel):
    """A page of a list."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    cursor: CursorText | None = None
    limit: Limit = 100
