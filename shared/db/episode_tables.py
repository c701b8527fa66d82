"""The table of episodes: one row for each person that a camera followed, and stretch of time."""

from typing import Final

from sqlalchemy import (
    REAL,
    BigInteger,
    Boolean,
    Column,
    Computed,
    Date,
    Index,
    Integer,
    SmallInteger,
    Table,
    Text,
    Uuid,
    false,
    func,
    text,
)

from shared.db.tables import metadata, moment
from shared.emotions import EMOTIONS

_DOMINANT: Final = f"CASE GREATEST({', '.join(EMOTIONS)}) " + " ".join(
    f"WHEN {emotion} THEN '{emotion}'::text" for emotion in EMOTIONS
)

episodes = Table(
    "episodes",
    metadata,
    Column(
        "day", Date, primary_key=True, comment="UTC; a stretch ends with its day, so that it expires with its faces"
    ),
    Column("device", Text, primary_key=True),
    Column("boot_id", Uuid, primary_key=True),
    Column("track_id", BigInteger, primary_key=True),
    Column("id", Uuid, nullable=False, server_default=func.gen_random_uuid()),
    moment("first_at"),
    moment("last_at"),
    Column("face_count", Integer, nullable=False, comment="faces read"),
    Column("ok_count", Integer, nullable=False, comment="those of them that were good enough to be read"),
    *(Column(emotion, Integer, nullable=False, comment="faces of which it was dominant") for emotion in EMOTIONS),
    Column(
        "dominant_emotion",
        Text,
        Computed(f"{_DOMINANT} ELSE NULL::text END", persisted=True),
        comment="the most frequent",
    ),
    Column("ok_share", REAL, Computed("ok_count::real / face_count::double precision", persisted=True)),
    Column("best_confidence", REAL, nullable=False),
    Column(
        "score", REAL, nullable=False, comment="of the face that stands for it: a kept picture, quality, confidence"
    ),
    Column("captured_at", moment("captured_at").type, nullable=False, comment="that face's"),
    Column("event_id", Uuid, nullable=False),
    Column("face_index", SmallInteger, nullable=False),
    Column("frame_id", Uuid, comment="null: no picture of it was kept"),
    Column("model_name", Text, nullable=False),
    Column("model_version", Text, nullable=False),
    Column("labelled", Boolean, nullable=False, server_default=false(), comment="somebody voted on one of its faces"),
    Index("episodes_id", "id"),
    # None of them holds what changes while an episode grows, so that its updates stay within their page of the table.
    Index("episodes_first_at", "first_at", "id"),
    Index("episodes_device_first_at", "device", "first_at", "id"),
    Index("episodes_model", "model_name", "model_version"),
    Index("episodes_labelled", "first_at", "id", postgresql_where=text("labelled")),
    comment="What was read of one face that a device followed, on one day. Made of faces, and kept in step with them.",
    postgresql_with={"fillfactor": 70},
)
