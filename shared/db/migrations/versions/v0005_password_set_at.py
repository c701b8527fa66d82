"""When a password was set, so that a temporary one that nobody uses comes to an end."""

from typing import Final

from alembic import op

revision: Final = "0005"
down_revision: Final = "0004"
branch_labels: Final = None
depends_on: Final = None

_STATEMENTS: Final = (
    # Of those that are there already nobody knows it; temporary ones among them get their full time from now on.
    "ALTER TABLE users ADD COLUMN password_set_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL",
    "COMMENT ON COLUMN users.password_set_at IS 'a temporary one ends some days later'",
)


def upgrade() -> None:
    """Add it."""
    for statement in _STATEMENTS:
        op.execute(statement)


def downgrade() -> None:
    """Remove it; temporary passwords then last until they are used."""
    op.execute("ALTER TABLE users DROP COLUMN password_set_at")
