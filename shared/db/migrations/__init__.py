"""Alembic's scripts: how a database comes to have the tables of `shared.db.tables`."""
