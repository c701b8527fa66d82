"""Datasets and their exports: choosing, building, writing out, downloading."""

import asyncio
from typing import Annotated, Any, Final
from uuid import UUID

from fastapi import APIRouter, Depends, Header, Path, Query, Request, Response
from fastapi.responses import FileResponse
from sqlalchemy import Row
from sqlalchemy.exc import IntegrityError

from services.web.database import Database
from services.web.datasets import queries
from services.web.datasets.exporting import file_name
from services.web.datasets.formats import FORMATS
from services.web.datasets.jobs import Jobs
from services.web.datasets.previewing import Previewer
from services.web.datasets.schemas import (
    BuiltSummary,
    Dataset,
    DatasetPage,
    Export,
    ExportFormat,
    ExportFormats,
    ExportPage,
    NewDataset,
    NewExport,
    PageQuery,
    Preview,
    PreviewRequest,
    Progress,
    Snippet,
    SplitPlan,
)
from services.web.gate import Gate, Identity
from services.web.known_devices import KnownDevices
from services.web.problems import ApiProblem, not_found, responses
from services.web.routes.control import json_only
from services.web.routes.records import has_etag
from services.web.trail import Trail

_CHANGES: Final = (400, 401, 403, 404, 409, 413, 415, 422, 503)


def router(
    database: Database | None,
    known: KnownDevices,
    jobs: Jobs | None,
    previewer: Previewer,
    trail: Trail,
    gate: Gate,
    *,
    exports_bytes: int,
) -> APIRouter:
    """Routes of datasets. Without a database (the edge role) they answer that records are kept elsewhere."""
    routes = APIRouter(prefix="/api/v1", tags=["datasets"], dependencies=[gate.guard("view")])
    research = gate.needs("research")
    changing = [Depends(json_only)]

    def parts() -> tuple[Database, Jobs]:
        if database is None or jobs is None:
            raise ApiProblem(
                404,
                "not-kept-here",
                "Datasets are not kept here",
                "This web service runs in its edge role: it has no database.",
                "Ask the web service of the cloud machine for the same address.",
            )
        return database, jobs

    def shown(row: Row[Any]) -> Dataset:
        progress = jobs.progress(row.id) if jobs is not None else None
        building = row.state == "building"
        return Dataset(
            id=row.id,
            name=row.name,
            filter=row.filter,
            split=SplitPlan.in_order(row.split),
            note=row.note,
            state=row.state,
            error=row.error,
            progress=Progress(done=progress[0], total=progress[1]) if building and progress is not None else None,
            summary=None if row.summary is None else BuiltSummary.model_validate(row.summary),
            manifest_sha256=None if row.manifest_sha256 is None else row.manifest_sha256.hex(),
            erased_items=row.erased_items,
            created_at=row.created_at,
            created_by=row.created_by,
        )

    def shown_export(row: Row[Any]) -> Export:
        done, total = (jobs.progress(row.id) if jobs is not None else None) or (row.items_done, row.items_total)
        return Export(
            id=row.id,
            dataset_id=row.dataset_id,
            dataset=row.dataset,
            format=row.format,
            state=row.state,
            error=row.error,
            progress=Progress(done=done, total=total),
            bytes=row.bytes,
            sha256=None if row.sha256 is None else row.sha256.hex(),
            file=f"/api/v1/exports/{row.id}/file" if row.state == "ready" else None,
            file_name=file_name(row.dataset, row.format),
            created_at=row.created_at,
            created_by=row.created_by,
            finished_at=row.finished_at,
        )

    @routes.post(
        "/datasets/preview",
        summary="What a choice of faces would give, before it is built",
        responses=responses(400, 401, 403, 404, 413, 415, 422, 503),
        dependencies=[*changing, Depends(research)],
    )
    async def preview_dataset(asked: PreviewRequest) -> Preview:
        """Counts by label, split and person, what is left out and why, and warnings. Changes nothing.

        Pictures are compared to find copies, for about two seconds a request; while `certainty` is `counting` ask again
        at once, and it goes on."""
        connections, _ = parts()
        async with connections.reading() as connection:
            await known.check(connection, asked.filter.device, parameter="filter.device")
        return await previewer.preview(connections, asked.filter, asked.split)

    @routes.post(
        "/datasets",
        summary="Build a dataset",
        status_code=202,
        responses=responses(*_CHANGES),
        dependencies=changing,
    )
    async def create_dataset(request: Request, new: NewDataset, who: Annotated[Identity, Depends(research)]) -> Dataset:
        """Copies the faces that fit, with their votes, in the background; ask for it to see how far it is."""
        connections, work = parts()
        try:
            async with connections.writing() as connection:
                await known.check(connection, new.filter.device, parameter="filter.device")
                row = await queries.add_dataset(connection, new, who.name)
        except IntegrityError:
            raise ApiProblem(
                409,
                "name-taken",
                "The name is taken",
                f"There is a dataset {new.name!r} already.",
                "Choose another name, or delete that dataset first.",
            ) from None
        trail.note(request, "build", f"dataset {new.name}", detail={"filter": row.filter, "split": row.split})
        work.wake()
        return shown(row)

    @routes.get("/datasets", summary="Datasets, newest first", responses=responses(401, 403, 404, 422, 503))
    async def list_datasets(query: Annotated[PageQuery, Query()]) -> DatasetPage:
        connections, _ = parts()
        async with connections.reading() as connection:
            rows, cursor = await queries.dataset_page(connection, query)
        return DatasetPage(items=[shown(row) for row in rows], next_cursor=cursor)

    async def known_dataset(dataset_id: UUID) -> Row[Any]:
        connections, _ = parts()
        async with connections.reading() as connection:
            row = await queries.dataset(connection, dataset_id)
        if row is None:
            raise _no_dataset(dataset_id)
        return row

    @routes.get("/datasets/{dataset_id}", summary="One dataset", responses=responses(401, 403, 404, 422, 503))
    async def one_dataset(dataset_id: Annotated[UUID, Path()]) -> Dataset:
        return shown(await known_dataset(dataset_id))

    @routes.delete(
        "/datasets/{dataset_id}",
        summary="Delete a dataset with its exports, or stop building it",
        status_code=204,
        responses=responses(400, 401, 403, 404, 413, 415, 422, 503),
        dependencies=[*changing, Depends(research)],
    )
    async def delete_dataset(request: Request, dataset_id: Annotated[UUID, Path()]) -> Response:
        connections, work = parts()
        async with connections.writing() as connection:
            name = await queries.remove_dataset(connection, dataset_id)
        if name is None:
            raise _no_dataset(dataset_id)
        trail.note(request, "delete", f"dataset {name}", item=str(dataset_id))
        work.wake()
        return Response(status_code=204)

    @routes.get(
        "/export-formats", summary="The formats of exports, and lines that load them", responses=responses(401, 403)
    )
    async def formats() -> ExportFormats:
        return ExportFormats(
            items=[
                ExportFormat(
                    name=name,
                    title=one.title,
                    what=one.what,
                    missing=one.missing(),
                    snippets=[
                        Snippet(library=each.library, code=each.code, tested=each.by_hand is None, by_hand=each.by_hand)
                        for each in one.snippets
                    ],
                )
                for name, one in FORMATS.items()
            ]
        )

    @routes.post(
        "/datasets/{dataset_id}/exports",
        summary="Write a dataset as a file",
        status_code=202,
        responses=responses(*_CHANGES, 507),
        dependencies=changing,
    )
    async def create_export(
        request: Request,
        dataset_id: Annotated[UUID, Path()],
        new: NewExport,
        who: Annotated[Identity, Depends(research)],
    ) -> Export:
        """It is written in the background; ask for it to see how far it is."""
        row = await known_dataset(dataset_id)
        connections, work = parts()
        if row.state != "ready":
            raise ApiProblem(
                409,
                "not-ready",
                "The dataset is not ready",
                f"{row.name} is {row.state}.",
                "Wait until it is ready; GET it to see how far it is.",
            )
        form = FORMATS[new.format]
        if (missing := form.missing()) is not None:
            raise ApiProblem(
                409, "format-missing", "This format cannot be made here", missing, "Choose another format."
            )
        async with connections.writing() as connection:
            if await queries.dataset_kept(connection, dataset_id) is None:
                raise _no_dataset(dataset_id)
            taken = await queries.room_taken(connection)
            faces, pictures = await queries.size(connection, dataset_id)
            needed = form.room(faces, pictures)
            if taken + needed > exports_bytes:
                raise ApiProblem(
                    507,
                    "exports-full",
                    "There is no room for another export",
                    f"Exports take {taken / 1e9:.2f} GB of {exports_bytes / 1e9:.2f} GB, with what those may take that "
                    f"wait or are being written; this one may take {needed / 1e9:.2f} GB.",
                    "Delete exports that were downloaded, or raise EMOTION_EXPORTS_GB.",
                )
            export_id = await queries.add_export(connection, dataset_id, new.format, faces, who.name)
            made = await queries.export(connection, export_id)
        assert made is not None
        trail.note(request, "export", f"dataset {row.name} as {new.format}", item=str(export_id))
        work.wake()
        return shown_export(made)

    async def exports_of(dataset_id: UUID | None, query: PageQuery) -> ExportPage:
        connections, _ = parts()
        async with connections.reading() as connection:
            rows, cursor = await queries.export_page(connection, dataset_id, query)
        return ExportPage(items=[shown_export(row) for row in rows], next_cursor=cursor)

    @routes.get(
        "/datasets/{dataset_id}/exports",
        summary="A dataset's exports, newest first",
        responses=responses(401, 403, 404, 422, 503),
    )
    async def exports_of_dataset(
        dataset_id: Annotated[UUID, Path()], query: Annotated[PageQuery, Query()]
    ) -> ExportPage:
        await known_dataset(dataset_id)
        return await exports_of(dataset_id, query)

    @routes.get("/exports", summary="All exports, newest first", responses=responses(401, 403, 404, 422, 503))
    async def all_exports(query: Annotated[PageQuery, Query()]) -> ExportPage:
        return await exports_of(None, query)

    async def known_export(export_id: UUID) -> Row[Any]:
        connections, _ = parts()
        async with connections.reading() as connection:
            row = await queries.export(connection, export_id)
        if row is None:
            raise not_found(f"There is no export {export_id}.", "GET /api/v1/exports lists them.")
        return row

    @routes.get("/exports/{export_id}", summary="One export", responses=responses(401, 403, 404, 422, 503))
    async def one_export(export_id: Annotated[UUID, Path()]) -> Export:
        return shown_export(await known_export(export_id))

    @routes.delete(
        "/exports/{export_id}",
        summary="Delete an export and its file, or stop writing it",
        status_code=204,
        responses=responses(400, 401, 403, 404, 413, 415, 422, 503),
        dependencies=[*changing, Depends(research)],
    )
    async def delete_export(request: Request, export_id: Annotated[UUID, Path()]) -> Response:
        row = await known_export(export_id)
        connections, work = parts()
        async with connections.writing() as connection:
            await queries.remove_export(connection, export_id)
        trail.note(request, "delete", f"export of dataset {row.dataset} as {row.format}", item=str(export_id))
        work.wake()
        return Response(status_code=204)

    @routes.get(
        "/exports/{export_id}/file",
        summary="Download an export",
        response_class=Response,
        responses={
            200: {"content": {"application/zip": {}}},
            206: {"description": "The part that the header Range asks for"},
            304: {"description": "The reader has it already"},
            416: {"description": "Nothing of the file lies in that Range"},
            **responses(400, 401, 403, 404, 409, 410, 422, 503),
        },
        dependencies=[Depends(research)],
    )
    async def download(
        request: Request,
        export_id: Annotated[UUID, Path()],
        if_none_match: Annotated[str | None, Header()] = None,
    ) -> Response:
        """With Range, and If-Range with its ETag, a download that was cut off goes on: `curl -C - -O -J`."""
        row = await known_export(export_id)
        _, work = parts()
        if row.state == "erased":
            raise ApiProblem(
                410,
                "export-erased",
                "This export was erased",
                "It held faces that have been erased since.",
                "Export the dataset again: what is left of it is exported. Delete copies that you have.",
            )
        if row.state != "ready":
            raise ApiProblem(
                409,
                "export-not-ready",
                "This export is not ready",
                f"It is {row.state}.{f' {row.error}' if row.error else ''}",
                "GET /api/v1/exports/{id} says how far it is.",
            )
        path = work.file(export_id)
        if not await asyncio.to_thread(path.is_file):
            raise ApiProblem(
                409,
                "export-file-gone",
                "The file of this export is gone",
                "It is not on the web service's disk any more.",
                "Delete the export and make it again.",
            )
        etag = f'"{row.sha256.hex()}"'
        trail.note(request, "download", f"dataset {row.dataset} as {row.format}", item=str(export_id))
        headers = {"ETag": etag, "Cache-Control": "private, no-cache"}
        if if_none_match is not None and has_etag(if_none_match, etag):
            return Response(status_code=304, headers=headers)
        return FileResponse(
            path,
            media_type="application/zip",
            filename=file_name(row.dataset, row.format),
            headers=headers,
        )

    return routes


def _no_dataset(dataset_id: UUID) -> ApiProblem:
    return not_found(f"There is no dataset {dataset_id}.", "GET /api/v1/datasets lists them.")
