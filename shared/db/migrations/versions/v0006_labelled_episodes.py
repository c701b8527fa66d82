"""Whether an episode is labelled, kept in it: looked up for each among millions, a filter took too long."""

from typing import Final

from alembic import op

revision: Final = "0006"
down_revision: Final = "0005"
branch_labels: Final = None
depends_on: Final = None

_STATEMENTS: Final = (
    "ALTER TABLE episodes ADD COLUMN labelled BOOLEAN DEFAULT false NOT NULL",
    "COMMENT ON COLUMN episodes.labelled IS 'somebody voted on one of its faces'",
    """
UPDATE episodes e SET labelled = true
FROM votes v
JOIN faces f ON (f.captured_at, f.event_id, f.face_index) = (v.captured_at, v.event_id, v.face_index)
JOIN detections d ON (d.captured_at, d.event_id) = (v.captured_at, v.event_id)
WHERE (e.day, e.device, e.boot_id, e.track_id)
    = ((v.captured_at AT TIME ZONE 'UTC')::date, v.device, d.boot_id, f.track_id)""",
    "CREATE INDEX episodes_labelled ON episodes (first_at, id) WHERE labelled",
)


def upgrade() -> None:
    """Add it, and set it by the votes that are there; from here on whoever adds or removes a vote does."""
    for statement in _STATEMENTS:
        op.execute(statement)


def downgrade() -> None:
    """Remove it; the votes stay."""
    op.execute("ALTER TABLE episodes DROP COLUMN labelled")
