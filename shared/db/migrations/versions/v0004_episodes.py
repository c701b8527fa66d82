"""Episodes: one row for each person that a camera followed, and stretch of time, made of the faces that are there."""

from typing import Final

from alembic import op

revision: Final = "0004"
down_revision: Final = "0003"
branch_labels: Final = None
depends_on: Final = None

_STATEMENTS: Final = (
    """
CREATE TABLE episodes (
    day DATE NOT NULL,
    device TEXT NOT NULL,
    boot_id UUID NOT NULL,
    track_id BIGINT NOT NULL,
    id UUID DEFAULT gen_random_uuid() NOT NULL,
    first_at TIMESTAMP WITH TIME ZONE NOT NULL,
    last_at TIMESTAMP WITH TIME ZONE NOT NULL,
    face_count INTEGER NOT NULL,
    ok_count INTEGER NOT NULL,
    angry INTEGER NOT NULL,
    disgust INTEGER NOT NULL,
    fear INTEGER NOT NULL,
    happy INTEGER NOT NULL,
    sad INTEGER NOT NULL,
    surprise INTEGER NOT NULL,
    neutral INTEGER NOT NULL,
    dominant_emotion TEXT GENERATED ALWAYS AS (
        CASE GREATEST(angry, disgust, fear, happy, sad, surprise, neutral) WHEN angry THEN 'angry'::text
        WHEN disgust THEN 'disgust'::text WHEN fear THEN 'fear'::text WHEN happy THEN 'happy'::text
        WHEN sad THEN 'sad'::text WHEN surprise THEN 'surprise'::text WHEN neutral THEN 'neutral'::text END) STORED,
    ok_share REAL GENERATED ALWAYS AS (ok_count::real / face_count) STORED,
    best_confidence REAL NOT NULL,
    score REAL NOT NULL,
    captured_at TIMESTAMP WITH TIME ZONE NOT NULL,
    event_id UUID NOT NULL,
    face_index SMALLINT NOT NULL,
    frame_id UUID,
    model_name TEXT NOT NULL,
    model_version TEXT NOT NULL,
    PRIMARY KEY (day, device, boot_id, track_id)
) WITH (fillfactor = 70)""",
    """
COMMENT ON TABLE episodes IS
    'What was read of one face that a device followed, on one day. Made of faces, and kept in step with them.'""",
    "COMMENT ON COLUMN episodes.day IS 'UTC; a stretch ends with its day, so that it expires with its faces'",
    "COMMENT ON COLUMN episodes.face_count IS 'faces read'",
    "COMMENT ON COLUMN episodes.ok_count IS 'those of them that were good enough to be read'",
    *(
        f"COMMENT ON COLUMN episodes.{emotion} IS 'faces of which it was dominant'"
        for emotion in ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")
    ),
    "COMMENT ON COLUMN episodes.dominant_emotion IS 'the most frequent'",
    """
COMMENT ON COLUMN episodes.score IS
    'of the face that stands for it: a kept picture, quality, confidence'""",
    "COMMENT ON COLUMN episodes.captured_at IS 'that face''s'",
    "COMMENT ON COLUMN episodes.frame_id IS 'null: no picture of it was kept'",
    # From the faces that are there already; from here on ingest adds to it.
    """
INSERT INTO episodes (day, device, boot_id, track_id, first_at, last_at, face_count, ok_count,
    angry, disgust, fear, happy, sad, surprise, neutral, best_confidence,
    score, captured_at, event_id, face_index, frame_id, model_name, model_version)
WITH read AS (
    SELECT (f.captured_at AT TIME ZONE 'UTC')::date AS day, f.device, d.boot_id, f.track_id, f.captured_at, f.event_id,
        f.face_index, f.dominant_emotion, f.confidence, f.quality_ok, d.frame_id, d.model_name, d.model_version,
        (CASE WHEN d.frame_id IS NULL THEN 0 ELSE 2 END + CASE WHEN f.quality_ok THEN 1 ELSE 0 END + f.confidence)::real
            AS score
    FROM faces f JOIN detections d USING (captured_at, event_id)),
counted AS (
    SELECT day, device, boot_id, track_id, min(captured_at) AS first_at, max(captured_at) AS last_at,
        count(*) AS face_count, count(*) FILTER (WHERE quality_ok) AS ok_count,
        count(*) FILTER (WHERE dominant_emotion = 'angry') AS angry,
        count(*) FILTER (WHERE dominant_emotion = 'disgust') AS disgust,
        count(*) FILTER (WHERE dominant_emotion = 'fear') AS fear,
        count(*) FILTER (WHERE dominant_emotion = 'happy') AS happy,
        count(*) FILTER (WHERE dominant_emotion = 'sad') AS sad,
        count(*) FILTER (WHERE dominant_emotion = 'surprise') AS surprise,
        count(*) FILTER (WHERE dominant_emotion = 'neutral') AS neutral,
        max(confidence) AS best_confidence
    FROM read GROUP BY day, device, boot_id, track_id),
best AS (
    SELECT DISTINCT ON (day, device, boot_id, track_id) day, device, boot_id, track_id,
        score, captured_at, event_id, face_index, frame_id, model_name, model_version
    FROM read ORDER BY day, device, boot_id, track_id, score DESC, captured_at, event_id, face_index)
SELECT day, device, boot_id, track_id, first_at, last_at, face_count, ok_count,
    angry, disgust, fear, happy, sad, surprise, neutral, best_confidence,
    score, captured_at, event_id, face_index, frame_id, model_name, model_version
FROM counted JOIN best USING (day, device, boot_id, track_id)""",
    "CREATE INDEX episodes_id ON episodes (id)",
    "CREATE INDEX episodes_first_at ON episodes (first_at, id)",
    "CREATE INDEX episodes_device_first_at ON episodes (device, first_at, id)",
)


def upgrade() -> None:
    """Make it and fill it."""
    for statement in _STATEMENTS:
        op.execute(statement)


def downgrade() -> None:
    """Remove it; the faces that it is made of stay."""
    op.execute("DROP TABLE episodes")
