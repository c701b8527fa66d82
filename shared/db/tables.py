"""The tables of what devices sent, as SQLAlchemy knows them. The migrations under `migrations/` make them; a test
compares the two. Those of people and of studies are in `account_tables` and `study_tables`.

`detections`, `faces` and `frames` are partitioned by day of capture (UTC), so that retention drops partitions and
never deletes rows. A primary key must hold the partition key; `captured_at` never changes for an `event_id`, so the
pair is as unique as the id alone.
"""

from datetime import datetime
from typing import Any, Final

from sqlalchemy import (
    ARRAY,
    REAL,
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    DateTime,
    Identity,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    SmallInteger,
    Table,
    Text,
    Uuid,
    func,
)
from sqlalchemy.dialects.postgresql import JSONB

from shared.emotions import EMOTIONS

metadata: Final = MetaData()
PARTITIONED: Final = ("detections", "faces", "frames")
AUDIT_LOG: Final = "audit_log"

_BY_DAY: Final = "RANGE (captured_at)"


def moment(name: str, **options: Any) -> Column[datetime]:
    """A column for a time that is always there."""
    return Column(name, DateTime(timezone=True), nullable=False, **options)


devices = Table(
    "devices",
    metadata,
    Column("device", Text, primary_key=True),
    moment("first_seen", server_default=func.now()),
    moment("last_seen", server_default=func.now()),
    comment="Every device that ever sent a detection; last_seen is the capture time of its newest.",
)

detections = Table(
    "detections",
    metadata,
    moment("captured_at", primary_key=True),
    Column("event_id", Uuid, primary_key=True),
    moment("received_at", server_default=func.now()),
    Column("device", Text, nullable=False),
    Column("boot_id", Uuid, nullable=False),
    Column("seq", BigInteger, nullable=False),
    Column("source_kind", Text, nullable=False),
    Column("source_name", Text, nullable=False),
    Column("frame_number", BigInteger, nullable=False),
    Column("frame_id", Uuid),
    Column("frame_width", Integer, nullable=False),
    Column("frame_height", Integer, nullable=False),
    Column("model_name", Text, nullable=False),
    Column("model_version", Text, nullable=False),
    Column("face_count", SmallInteger, nullable=False),
    Column("latency_ms", JSONB, nullable=False),
    Index("detections_device_captured_at", "device", "captured_at", "event_id"),
    postgresql_partition_by=_BY_DAY,
    comment="One row per classified frame.",
)

faces = Table(
    "faces",
    metadata,
    moment("captured_at", primary_key=True),
    Column("event_id", Uuid, primary_key=True),
    Column("face_index", SmallInteger, primary_key=True),
    Column("device", Text, nullable=False),
    Column("track_id", BigInteger, nullable=False),
    Column("x", Integer, nullable=False),
    Column("y", Integer, nullable=False),
    Column("w", Integer, nullable=False),
    Column("h", Integer, nullable=False),
    Column("face_confidence", REAL, nullable=False),
    *(Column(emotion, REAL, nullable=False) for emotion in EMOTIONS),
    Column("dominant_emotion", Text, nullable=False),
    Column("confidence", REAL, nullable=False),
    Column("shown_state", Text),
    Column("shown_since", DateTime(timezone=True)),
    Column("quality_size_px", Integer, nullable=False),
    Column("quality_blur", REAL, nullable=False),
    Column("quality_brightness", REAL, nullable=False),
    Column("quality_yaw", REAL),
    Column("quality_ok", Boolean, nullable=False),
    Column("quality_reasons", ARRAY(Text), nullable=False),
    Index("faces_emotion_captured_at", "dominant_emotion", "captured_at"),
    Index("faces_device_captured_at", "device", "captured_at"),
    postgresql_partition_by=_BY_DAY,
    comment="One row per face of a classified frame, in the detection's order.",
)

frames = Table(
    "frames",
    metadata,
    moment("captured_at", primary_key=True),
    Column("frame_id", Uuid, primary_key=True),
    moment("received_at", server_default=func.now()),
    Column("device", Text, nullable=False),
    Column("event_id", Uuid),
    Column("boot_id", Uuid, nullable=False),
    Column("frame_number", BigInteger, nullable=False),
    Column("source_kind", Text, nullable=False),
    Column("source_name", Text, nullable=False),
    Column("width", Integer, nullable=False),
    Column("height", Integer, nullable=False),
    Column("sha256", LargeBinary, nullable=False),
    Column("jpeg", LargeBinary, nullable=False),
    Index("frames_frame_id", "frame_id"),
    Index("frames_device_captured_at", "device", "captured_at"),
    postgresql_partition_by=_BY_DAY,
    comment="Kept pictures, clean (nothing drawn); JPEG bytes are stored out of line and not compressed again.",
)

dead_letters = Table(
    "dead_letters",
    metadata,
    Column("id", BigInteger, Identity(), primary_key=True),
    moment("received_at", server_default=func.now()),
    Column("topic", Text, nullable=False),
    Column("device", Text),
    Column("message_id", Uuid),
    Column("reason", Text, nullable=False),
    Column("payload", LargeBinary, nullable=False),
    Column("payload_bytes", BigInteger, nullable=False, comment="full length; the payload kept may be shorter"),
    Column(
        "digest", LargeBinary, nullable=False, comment="SHA-256 of topic and payload: what is sent again is kept once"
    ),
    Column("times", BigInteger, nullable=False, server_default="1", comment="how often it came"),
    Index("dead_letters_received_at", "received_at"),
    Index("dead_letters_digest", "digest", unique=True),
    comment="What was refused, with the reason. Nothing that arrives vanishes.",
)

erasures = Table(
    "erasures",
    metadata,
    Column("id", BigInteger, Identity(), primary_key=True),
    moment("requested_at", server_default=func.now()),
    Column("requested_by", Text, nullable=False),
    Column("device", Text, comment="null: every device"),
    Column("captured_from", DateTime(timezone=True), comment="null: from the beginning"),
    Column("captured_to", DateTime(timezone=True), comment="captured before; null where one item is named"),
    Column("item_id", Uuid, comment="one detection or picture"),
    Column("rows_before", JSONB, comment="rows found, by table"),
    Column("rows_after", JSONB, comment="rows found when all was done, by table"),
    Column("finished_at", DateTime(timezone=True)),
    comment="What was erased, and the proof. Ingest refuses what comes later and lies within one of these.",
)

retention_in_force = Table(
    "retention_in_force",
    metadata,
    Column("id", SmallInteger, primary_key=True, autoincrement=False, server_default="1"),
    moment("at", server_default=func.now()),
    Column("days", JSONB, nullable=False, comment="by kind; 0 is for ever"),
    CheckConstraint("id = 1", name="retention_in_force_one_row"),
    comment="For how many days each kind of data is kept, as of the last look for what has expired: one row.",
)

audit_log = Table(
    AUDIT_LOG,
    metadata,
    moment("at", primary_key=True, server_default=func.now()),
    Column("id", Uuid, primary_key=True, server_default=func.gen_random_uuid()),
    Column("who", Text, nullable=False),
    Column("action", Text, nullable=False),
    Column("object", Text, nullable=False),
    Column("detail", JSONB, nullable=False),
    Column("request_id", Text),
    postgresql_partition_by="RANGE (at)",
    comment="Who saw, exported or erased what. Rows are added and never changed; retention drops whole months.",
)
