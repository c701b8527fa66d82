"""The tables of studies: sessions and markers, votes on faces, and the datasets and exports that are made of them."""

from typing import Final

from sqlalchemy import (
    ARRAY,
    REAL,
    BigInteger,
    CheckConstraint,
    Column,
    DateTime,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    SmallInteger,
    Table,
    Text,
    UniqueConstraint,
    Uuid,
    func,
)
from sqlalchemy.dialects.postgresql import JSONB

from shared.db.tables import metadata, moment

study_sessions = Table(
    "study_sessions",
    metadata,
    Column("id", Uuid, primary_key=True, server_default=func.gen_random_uuid()),
    Column("participant", Text, nullable=False, comment="a pseudonym; never a name"),
    Column("condition", Text, nullable=False, server_default=""),
    Column("notes", Text, nullable=False, server_default=""),
    Column("devices", ARRAY(Text), nullable=False, comment="whose records belong to it; at least one"),
    moment("started_at"),
    Column(
        "ended_at", DateTime(timezone=True), comment="null while it goes on; what was captured before belongs to it"
    ),
    moment("created_at", server_default=func.now()),
    Column("created_by", Text, nullable=False),
    CheckConstraint("ended_at > started_at", name="study_sessions_in_order"),
    CheckConstraint("cardinality(devices) > 0", name="study_sessions_devices"),
    Index("study_sessions_started_at", "started_at"),
    comment="A stretch of time of some devices that was recorded with one participant under one condition.",
)

session_markers = Table(
    "session_markers",
    metadata,
    Column("id", Uuid, primary_key=True, server_default=func.gen_random_uuid()),
    Column("session_id", Uuid, ForeignKey("study_sessions.id", ondelete="CASCADE"), nullable=False),
    moment("at"),
    Column("text", Text, nullable=False),
    moment("created_at", server_default=func.now()),
    Column("created_by", Text, nullable=False),
    Index("session_markers_session_id", "session_id", "at"),
    comment="Moments of a session with what was said of them.",
)

VOTES: Final = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral", "unknown", "not_a_face")
"""What a labeller may call a face: FER2013's classes in their order, and FER+'s two more."""

votes = Table(
    "votes",
    metadata,
    Column("event_id", Uuid, primary_key=True),
    Column("face_index", SmallInteger, primary_key=True),
    Column("labeller", Text, primary_key=True, comment="the user's name"),
    moment("captured_at", comment="the face's, to find it in its partition"),
    Column("device", Text, nullable=False),
    Column("label", Text, nullable=False),
    moment("voted_at", server_default=func.now()),
    CheckConstraint(f"label IN ({', '.join(repr(vote) for vote in VOTES)})", name="votes_label"),
    Index("votes_captured_at", "captured_at"),
    Index("votes_labeller", "labeller", "voted_at"),
    comment="What each labeller called a face; all votes are kept, as FER+ does.",
)

datasets = Table(
    "datasets",
    metadata,
    Column("id", Uuid, primary_key=True, server_default=func.gen_random_uuid()),
    Column("name", Text, nullable=False, unique=True),
    Column("filter", JSONB, nullable=False, comment="what was chosen"),
    Column("split", JSONB, nullable=False, comment="shares, seed, and what is done with copies"),
    Column("note", Text, nullable=False, server_default="", comment="licence and consent, for whoever gets an export"),
    Column("state", Text, nullable=False),
    Column("error", Text),
    Column("summary", JSONB, comment="counts and warnings; null until it is ready"),
    Column("manifest_sha256", LargeBinary, comment="over its items in order; null until it is ready"),
    Column("erased_items", Integer, nullable=False, server_default="0", comment="removed later, by erasures"),
    moment("created_at", server_default=func.now()),
    Column("created_by", Text, nullable=False),
    CheckConstraint("state IN ('building', 'ready', 'failed')", name="datasets_state"),
    comment="A choice of labelled faces under a name. Once ready it changes only by erasure.",
)

dataset_items = Table(
    "dataset_items",
    metadata,
    Column("dataset_id", Uuid, ForeignKey("datasets.id", ondelete="CASCADE"), primary_key=True),
    Column("number", Integer, primary_key=True),
    moment("captured_at"),
    Column("event_id", Uuid, nullable=False),
    Column("face_index", SmallInteger, nullable=False),
    Column("frame_id", Uuid, nullable=False),
    Column("device", Text, nullable=False),
    Column("label", Text, nullable=False),
    Column("votes", JSONB, nullable=False, comment="how many labellers said what"),
    Column(
        "agreement", REAL, nullable=False, comment="share of the votes that the label has; 0 where the model gave it"
    ),
    Column("split", Text, nullable=False),
    Column("person", Text, nullable=False, comment="a session's participant, else device, start and track"),
    Column("session_id", Uuid),
    Column("width", Integer, nullable=False),
    Column("height", Integer, nullable=False),
    Column("sha256", LargeBinary, nullable=False, comment="of the image; equal where the pixels are"),
    Column("fingerprint", BigInteger, nullable=False, comment="dHash of the image; near duplicates differ in few bits"),
    Column("image", LargeBinary, nullable=False, comment="the face with its margin, PNG"),
    CheckConstraint("split IN ('train', 'validation', 'test')", name="dataset_items_split"),
    UniqueConstraint("dataset_id", "event_id", "face_index", name="dataset_items_face"),
    Index("dataset_items_captured_at", "captured_at"),
    Index("dataset_items_event_id", "event_id"),
    comment="The faces of a dataset, with their pictures, so that it outlives the retention of what it was made from.",
)

exports = Table(
    "exports",
    metadata,
    Column("id", Uuid, primary_key=True, server_default=func.gen_random_uuid()),
    Column("dataset_id", Uuid, ForeignKey("datasets.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("format", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("error", Text),
    Column("items_done", Integer, nullable=False, server_default="0"),
    Column("items_total", Integer, nullable=False),
    Column("bytes", BigInteger),
    Column("sha256", LargeBinary),
    moment("created_at", server_default=func.now()),
    Column("created_by", Text, nullable=False),
    Column("finished_at", DateTime(timezone=True)),
    CheckConstraint("state IN ('waiting', 'running', 'ready', 'failed', 'erased')", name="exports_state"),
    comment="A dataset as one file of a format, on the web service's disk under its id.",
)
