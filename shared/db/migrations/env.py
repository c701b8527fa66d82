"""Run by Alembic. The connection is handed in by `shared.db.migrate`, inside the transaction that it commits."""

from alembic import context

from shared.db.tables import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata)
context.run_migrations()
