"""What retention is set to, as ingest last applied it: people are to see for how long things are kept."""

from typing import Final

from alembic import op

revision: Final = "0007"
down_revision: Final = "0006"
branch_labels: Final = None
depends_on: Final = None

_STATEMENTS: Final = (
    """
CREATE TABLE retention_in_force (
    id SMALLINT DEFAULT 1 NOT NULL,
    at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    days JSONB NOT NULL,
    PRIMARY KEY (id),
    CONSTRAINT retention_in_force_one_row CHECK (id = 1)
)""",
    """
COMMENT ON TABLE retention_in_force IS
    'For how many days each kind of data is kept, as of the last look for what has expired: one row.'""",
    "COMMENT ON COLUMN retention_in_force.days IS 'by kind; 0 is for ever'",
)


def upgrade() -> None:
    """Make it; ingest fills it when it next looks."""
    for statement in _STATEMENTS:
        op.execute(statement)


def downgrade() -> None:
    """Remove it; what is set stays where ingest runs."""
    op.execute("DROP TABLE retention_in_force")
