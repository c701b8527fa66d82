"""An index by model, so that the models of all episodes are told without reading all of them."""

from typing import Final

from alembic import op

revision: Final = "0008"
down_revision: Final = "0007"
branch_labels: Final = None
depends_on: Final = None


def upgrade() -> None:
    """Add it."""
    op.execute("CREATE INDEX episodes_model ON episodes (model_name, model_version)")


def downgrade() -> None:
    """Remove it; the list of models then takes as long as there are episodes."""
    op.execute("DROP INDEX episodes_model")
