"""The REST interface to votes on faces: the queue, the votes, agreement and progress."""

import asyncio
from datetime import UTC, datetime, time
from typing import Annotated, Final
from uuid import UUID

from fastapi import APIRouter, Depends, Path, Query, Request, Response

from services.web import label_queries, search
from services.web.database import Database
from services.web.gate import Gate, Identity
from services.web.known_devices import KnownDevices
from services.web.label_queue import ordered
from services.web.label_schemas import (
    Agreement,
    AgreementQuery,
    FaceIndex,
    Guess,
    Labeller,
    NewVote,
    Progress,
    ProgressQuery,
    Queue,
    QueueQuery,
    VotePage,
    VoteQuery,
    VoteTaken,
)
from services.web.problems import ApiProblem, WrongParameter, bad_parameters, not_found, responses
from services.web.routes.control import json_only
from services.web.trail import Trail
from services.web.wording import detection_words

_READ: Final = responses(401, 403, 422, 503)


def _labeller(identity: Identity, given: str | None) -> str:
    """Whose vote it is: of who is logged in; where nobody logs in, of whoever they say they are."""
    if identity.user_id is not None:
        if given not in (None, identity.name):
            reason = f"you are logged in as {identity.name}; leave it out, for nobody votes for another"
            raise bad_parameters([WrongParameter(parameter="labeller", reason=reason)])
        return identity.name
    if given is None:
        reason = "missing; nobody logs in here, so say who votes, as labeller=ada"
        raise bad_parameters([WrongParameter(parameter="labeller", reason=reason)])
    return given


def _midnight(now: datetime) -> datetime:
    return datetime.combine(now.date(), time(), UTC)


def router(database: Database, known: KnownDevices, trail: Trail, gate: Gate) -> APIRouter:
    """Routes of votes."""
    routes = APIRouter(prefix="/api/v1/labels", tags=["labels"])
    view, label = gate.guard("view"), Depends(gate.needs("label"))

    def note(request: Request, action: str, event_id: UUID, face_index: int, identity: Identity, labeller: str) -> None:
        # Never the label: it says something of a face, and would outlive that face's erasure in the log.
        whose = None if identity.user_id is not None else {"labeller": labeller}
        trail.note(request, action, "votes on faces", item=f"{event_id}/{face_index}", detail=whose)

    @routes.get("/queue", summary="The next faces to label", responses=_READ)
    async def queue(
        request: Request, query: Annotated[QueueQuery, Query()], identity: Annotated[Identity, label]
    ) -> Queue:
        """Faces with a kept picture that this labeller has not voted on: first what people dispute, then what the model
        is unsure of, and every tenth drawn at random. Looks at the newest pictures, 500 faces or so at a time."""
        labeller = _labeller(identity, query.labeller)
        now = datetime.now(UTC)
        async with database.reading() as connection:
            await known.check(connection, query.device)
            wanted = await search.resolve(connection, query.filter())
            pool = await label_queries.pool(connection, wanted, labeller)
            voted = await label_queries.votes_since(connection, labeller, _midnight(now))
        skipped = set(query.skip)
        open_ones = [one for one in pool.candidates if f"{one.event_id}:{one.face_index}" not in skipped]
        chosen = await asyncio.to_thread(ordered, open_ones, labeller, now.date(), voted, query.limit)
        trail.note(request, "view", "faces to label")
        return Queue(
            labeller=labeller,
            items=[pool.shown[one.event_id, one.face_index] for one in chosen],
            waiting=len(pool.candidates),
            more=pool.more,
        )

    @routes.post(
        "",
        summary="Say what a face looks like",
        dependencies=[Depends(json_only)],
        responses=responses(400, 401, 403, 404, 410, 413, 415, 422, 503),
    )
    async def vote(request: Request, new: NewVote, identity: Annotated[Identity, label]) -> VoteTaken:
        """May be sent again, with another label as well: the last one counts. 404 and 410: the face or its picture was
        erased or has expired; go on with the next."""
        labeller = _labeller(identity, new.labeller)
        async with database.writing() as connection:
            found = await label_queries.votable(connection, new.event_id, new.face_index)
            if found is None:
                raise not_found(
                    f"There is no face {new.face_index} of a detection {new.event_id}.",
                    "It was erased or has expired, or the id is wrong. Go on with the next face.",
                )
            if not found.has_picture:
                raise ApiProblem(
                    410,
                    "picture-gone",
                    "The picture is gone",
                    f"That of face {new.face_index} of {new.event_id} was erased or has expired, or none was kept.",
                    "Go on with the next face: nobody could check this vote.",
                )
            kept = await label_queries.put_vote(
                connection,
                new.model_dump() | {"labeller": labeller, "captured_at": found.captured_at, "device": found.device},
            )
            others = await label_queries.others(connection, kept)
        note(request, "vote", kept.event_id, kept.face_index, identity, labeller)
        face = found.face
        guess = Guess(dominant_emotion=face.dominant_emotion, confidence=face.confidence, words=detection_words(face))
        return VoteTaken.model_validate({"vote": kept, "guess": guess, "others": others})

    @routes.delete(
        "/{event_id}/{face_index}",
        summary="Take one's vote on a face back",
        status_code=204,
        responses=responses(401, 403, 404, 422, 503),
    )
    async def undo(
        request: Request,
        event_id: Annotated[UUID, Path()],
        face_index: Annotated[FaceIndex, Path()],
        identity: Annotated[Identity, label],
        labeller: Annotated[Labeller | None, Query()] = None,
    ) -> Response:
        mine = _labeller(identity, labeller)
        async with database.writing() as connection:
            done = await label_queries.take_back(connection, event_id, face_index, mine)
        if not done:
            raise not_found(
                f"There is no vote of {mine} on face {face_index} of {event_id}.",
                "It was taken back already, or went with its face.",
            )
        note(request, "take back", event_id, face_index, identity, mine)
        return Response(status_code=204)

    @routes.get("", summary="Votes, those on the newest faces first", dependencies=[view], responses=_READ)
    async def votes(request: Request, query: Annotated[VoteQuery, Query()]) -> VotePage:
        async with database.reading() as connection:
            await known.check(connection, query.device)
            page = await label_queries.vote_page(connection, query)
        trail.note(request, "view", "votes")
        return page

    @routes.get("/agreement", summary="How far labellers agree", dependencies=[view], responses=_READ)
    async def agreement(query: Annotated[AgreementQuery, Query()]) -> Agreement:
        """Cohen's kappa of each two labellers, and Fleiss' kappa over all faces with two votes or more."""
        async with database.reading() as connection:
            await known.check(connection, query.device)
            return await label_queries.agreement(connection, query)

    @routes.get("/progress", summary="How much is labelled", responses=_READ)
    async def progress(query: Annotated[ProgressQuery, Query()], identity: Annotated[Identity, label]) -> Progress:
        labeller = _labeller(identity, query.labeller)
        async with database.reading() as connection:
            return await label_queries.progress(connection, labeller, query.since or _midnight(datetime.now(UTC)))

    return routes
