"""Hourly totals of each device: statistics of months read every face, and were cut off among millions."""

from typing import Final

from alembic import context, op
from sqlalchemy import text

revision: Final = "0009"
down_revision: Final = "0008"
branch_labels: Final = None
depends_on: Final = None

_EMOTIONS: Final = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")
_COLUMNS: Final = ("detections", "faces", *_EMOTIONS, *(f"{emotion}_billionths" for emotion in _EMOTIONS))
_OF_FACES: Final = _COLUMNS[1:]
_ROWS_A_MINUTE: Final = 15_000_000
_WORTH_TELLING: Final = 1_000_000

_TABLE: Final = (
    f"""
CREATE TABLE hourly_totals (
    hour TIMESTAMP WITH TIME ZONE NOT NULL,
    device TEXT NOT NULL,
    {", ".join(f"{name} BIGINT DEFAULT 0 NOT NULL" for name in _COLUMNS)},
    PRIMARY KEY (hour, device)
) WITH (fillfactor = 70)""",
    """
COMMENT ON TABLE hourly_totals IS
    'What each device read in each hour, added up of detections and faces, and kept in step with them.'""",
    """
COMMENT ON COLUMN hourly_totals.hour IS
    'its begin; hours are whole ones of UTC, as partitions are whole days'""",
    *(f"COMMENT ON COLUMN hourly_totals.{emotion} IS 'faces of which it was dominant'" for emotion in _EMOTIONS),
    *(
        f"COMMENT ON COLUMN hourly_totals.{emotion}_billionths IS 'its probabilities of all faces, added up'"
        for emotion in _EMOTIONS
    ),
)
_ADD: Final = {
    "detections": """
INSERT INTO hourly_totals (hour, device, detections)
SELECT date_trunc('hour', captured_at, 'UTC'), device, count(*) FROM {partition} GROUP BY 1, 2
ON CONFLICT (hour, device) DO UPDATE SET detections = hourly_totals.detections + excluded.detections""",
    "faces": """
INSERT INTO hourly_totals (hour, device, {columns})
SELECT date_trunc('hour', captured_at, 'UTC'), device, count(*), {counts}, {sums} FROM {partition} GROUP BY 1, 2
ON CONFLICT (hour, device) DO UPDATE SET {added}""",
}
_PARTS: Final = {
    "columns": ", ".join(_OF_FACES),
    "counts": ", ".join(f"count(*) FILTER (WHERE dominant_emotion = '{emotion}')" for emotion in _EMOTIONS),
    "sums": ", ".join(f"sum(round({emotion}::float8 * 1e9::float8)::bigint)" for emotion in _EMOTIONS),
    "added": ", ".join(f"{name} = hourly_totals.{name} + excluded.{name}" for name in _OF_FACES),
}


def upgrade() -> None:
    """Make it and fill it, a partition at a time; from here on whoever adds or removes rows keeps it in step."""
    # Who stores or removes meanwhile waits, so that nothing is counted twice or not at all; readers go on.
    op.execute("LOCK TABLE detections, faces IN SHARE MODE")
    for statement in _TABLE:
        op.execute(statement)
    connection = op.get_bind()
    found = connection.execute(
        text(
            "SELECT inhparent::regclass::text, inhrelid::regclass::text, greatest(c.reltuples, 0)::bigint "
            "FROM pg_inherits JOIN pg_class c ON c.oid = inhrelid "
            "WHERE inhparent IN ('detections'::regclass, 'faces'::regclass) ORDER BY 1, 2"
        )
    ).all()
    rows = sum(row[2] for row in found)
    if rows >= _WORTH_TELLING:
        minutes = -(-rows // _ROWS_A_MINUTE)
        context.config.attributes["tell"](
            f"adding up about {rows:,} detections and faces by the hour, once: some {minutes} min; nothing is stored "
            "meanwhile, devices keep what they see"
        )
    for table, partition, _ in found:
        op.execute(_ADD[table].format(partition=partition, **_PARTS))


def downgrade() -> None:
    """Remove it; the rows that it is made of stay."""
    op.execute("DROP TABLE hourly_totals")
