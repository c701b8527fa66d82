"""A SQLAlchemy engine for Postgres through asyncpg, made from settings. Connects at first use, not before."""

import inspect
from typing import Final

import asyncpg
from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from shared.errors import SettingsError
from shared.settings import DatabaseSettings

_CONNECT_TIMEOUT_S: Final = 10.0
_SCHEMES: Final = ("postgresql", "postgres", "postgresql+asyncpg")
_EXPECTED: Final = "expected postgresql://user@host:5432/database"


def database_url(settings: DatabaseSettings) -> URL:
    """The address with its password filled in.

    Raises:
        SettingsError: if it is no address of a Postgres, or the password's file cannot be read. Never shows a password.
    """
    try:
        url = make_url(settings.url.get_secret_value())
    except (ArgumentError, ValueError):
        raise SettingsError(f"database.url cannot be read as an address; {_EXPECTED}") from None
    if url.drivername not in _SCHEMES:
        raise SettingsError(f"database.url begins with {url.drivername}://; {_EXPECTED}")
    if not url.database:
        raise SettingsError(f"database.url names no database; {_EXPECTED}")
    unknown = sorted(url.query.keys() - inspect.signature(asyncpg.connect).parameters.keys())
    if unknown:
        raise SettingsError(f"database.url has the unknown parameter {unknown[0][:40]!r}; asyncpg's are understood")
    if settings.password_file is not None:
        try:
            password = settings.password_file.read_text().strip()
        except (OSError, UnicodeDecodeError) as error:
            raise SettingsError(
                f"database.password_file {settings.password_file} cannot be read ({error}); expected a file that holds "
                "the password alone"
            ) from None
        url = url.set(password=password)
    return url.set(drivername="postgresql+asyncpg")


def create_engine(
    settings: DatabaseSettings, *, application: str = "emotion-edge", statement_timeout_s: float | None = 60.0
) -> AsyncEngine:
    """An engine with at most `database.pool_size` connections. To be disposed of by its maker.

    Args:
        settings: where the database is.
        application: shown in Postgres's list of connections.
        statement_timeout_s: after which an unanswered statement is given up, so that a dead link is noticed; None
            waits for ever.

    Raises:
        SettingsError: if the address or the password's file cannot be used.
    """
    return create_async_engine(
        database_url(settings),
        pool_size=settings.pool_size,
        max_overflow=0,
        hide_parameters=True,  # values in errors would reach logs; they are people's data
        pool_pre_ping=True,
        connect_args={
            "timeout": _CONNECT_TIMEOUT_S,
            "command_timeout": statement_timeout_s,
            "server_settings": {"application_name": application, "timezone": "UTC"},
        },
    )
