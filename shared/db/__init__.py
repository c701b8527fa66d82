"""Postgres: the tables, the engine and the migrations. Imported by ingest, web and migrate only."""
