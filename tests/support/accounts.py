"""People for tests of what needs a login."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
from sqlalchemy.ext.asyncio import AsyncEngine

from services.web.accounts import queries
from services.web.accounts.passwords import hashed

PASSWORD = "seven calm rivers"
_hash: list[str] = []


def password_hash() -> str:
    """Of PASSWORD; made once, since it costs time on purpose."""
    if not _hash:
        _hash.append(hashed(PASSWORD))
    return _hash[0]


async def add_person(engine: AsyncEngine, name: str, role: str, *, temporary: bool = False) -> queries.User:
    """Somebody who may log in with PASSWORD."""
    async with engine.begin() as connection:
        return await queries.add_user(connection, name, role, password_hash(), temporary=temporary)


async def log_in(client: httpx.AsyncClient, name: str, password: str = PASSWORD) -> httpx.Response:
    """Log the client in; its cookie is kept by it."""
    return await client.post("/api/v1/login", json={"name": name, "password": password})


@asynccontextmanager
async def logged_in(base: str, name: str, password: str = PASSWORD) -> AsyncIterator[httpx.AsyncClient]:
    """A client that is logged in."""
    async with httpx.AsyncClient(base_url=base, timeout=60) as client:
        answer = await log_in(client, name, password)
        assert answer.status_code == 200, answer.text
        yield client
