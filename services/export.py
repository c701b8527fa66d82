"""`emotion-edge export`: a dataset as one file, straight from the database."""

import asyncio
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar
from uuid import UUID

from pydantic import Field
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from sqlalchemy import Row
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine

from services.web.datasets import queries
from services.web.datasets.exporting import Written, file_name, remains, write_export
from services.web.datasets.formats import FORMATS, FormatName
from services.web.datasets.work import Cancelled
from shared import logs
from shared.db import audit
from shared.db.engine import create_engine
from shared.db.faults import describe
from shared.errors import EmotionEdgeError
from shared.settings import DatabaseSettings, ServiceSettings, load

T = TypeVar("T")


class ExportCommandError(EmotionEdgeError):
    """What was asked for cannot be done; the text says why and what to do."""


class ExportSettings(ServiceSettings):
    """Settings of `emotion-edge export`."""

    database: DatabaseSettings = Field(default_factory=DatabaseSettings, description="how to reach Postgres")


def run_export(*, dataset: str, form: str, out: Path | None) -> None:
    """Write it, or go on with what an earlier call began, and say where it is and what its hash is.

    Raises:
        EmotionEdgeError: if there is no such dataset or format, the file is there already, or it cannot be written.
    """
    name = next((one for one in FORMATS if one == form), None)
    if name is None:
        raise ExportCommandError(f"--format is {form!r}; expected one of {', '.join(FORMATS)}")
    if (missing := FORMATS[name].missing()) is not None:
        raise ExportCommandError(missing)
    settings = load(ExportSettings)
    logs.setup(settings.log, "export")
    path, written = asyncio.run(_run(settings, dataset, name, out))
    print(f"{path}\n{written.length} bytes, sha256 {written.sha256.hex()}")


async def _run(settings: ExportSettings, which: str, form: FormatName, out: Path | None) -> tuple[Path, Written]:
    engine = create_engine(settings.database, application="emotion-edge export", statement_timeout_s=None)
    try:
        found = await _found(engine, which)
        path = out if out is not None else Path(file_name(found.name, form))
        if path.exists():
            raise ExportCommandError(f"{path} is there already; remove it, or name another with --out")
        if not path.parent.is_dir():
            raise ExportCommandError(f"{path.parent} is no folder; make it, or name another file with --out")
        written = await _written(engine, found, form, path)
        entry = audit.Entry(
            audit.person_at_the_keyboard(),
            "export",
            f"dataset {found.name} as {form}",
            {"sha256": written.sha256.hex(), "bytes": written.length},
        )
        async with engine.begin() as connection:
            await audit.write(connection, [entry])
    except (SQLAlchemyError, OSError) as error:
        raise ExportCommandError(
            f"the database does not do it: {describe(error)}. See whether it runs and EMOTION_DATABASE__URL is right; "
            "what was begun goes on where it was when the command is given again."
        ) from error
    finally:
        await engine.dispose()
    return path, written


async def _found(engine: AsyncEngine, which: str) -> Row[Any]:
    async with engine.connect() as connection:
        row = await queries.dataset(connection, which)
        if row is None:
            try:
                row = await queries.dataset(connection, UUID(which))
            except ValueError:
                row = None
    if row is None:
        raise ExportCommandError(f"there is no dataset {which!r}; the page Datasets lists their names")
    if row.state != "ready":
        raise ExportCommandError(f"{row.name} is {row.state}; only a dataset that is ready can be exported")
    return row


async def _written(engine: AsyncEngine, found: Row[Any], form: FormatName, path: Path) -> Written:
    shown = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        disable=not os.isatty(2),
    )
    with shown:
        task = shown.add_task(f"{found.name} as {form}", total=None)

        async def on_thread(function: Callable[..., T], /, *args: Any) -> T:
            return await asyncio.to_thread(function, *args)

        try:
            return await write_export(
                engine,
                on_thread,
                found.id,
                form,
                path,
                lambda done, total: shown.update(task, completed=done, total=total),
            )
        except Cancelled:
            for left in remains(path):
                left.unlink(missing_ok=True)
            raise ExportCommandError(
                f"{found.name} was deleted, or some of its faces were erased, while it was written; nothing is left of "
                "this export. Export it again."
            ) from None
