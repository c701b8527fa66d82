"""The keys of programs."""

from typing import Annotated, Final
from uuid import UUID

from fastapi import APIRouter, Depends, Path, Query, Request, Response

from services.web.accounts.keys import Keys
from services.web.accounts.schemas import KeyEntry, KeyList, KeyQuery, KeyWithToken, MakeKey, entry_of_key
from services.web.gate import Gate, Identity
from services.web.problems import responses
from services.web.routes.accounts import answer
from services.web.routes.control import json_only
from services.web.trail import Trail

_CHANGES: Final = responses(400, 401, 403, 404, 409, 413, 415, 422, 503)


def router(keys: Keys, trail: Trail, gate: Gate) -> APIRouter:
    """Routes of keys: one's own, and for administrators everybody's."""
    routes = APIRouter(prefix="/api/v1/tokens", tags=["keys"])
    asker = Annotated[Identity, Depends(gate.needs("view"))]

    @routes.get("", summary="Keys, newest first", response_model=KeyList, responses=responses(401, 403, 422, 503))
    async def listed(request: Request, identity: asker, query: Annotated[KeyQuery, Query()]) -> Response:
        """Your own, those that ended among them; an administrator can ask for everybody's. Tokens are not kept."""
        if query.everybodys:
            await gate.needs("admin")(request)
        found = await keys.listed(identity, everybodys=query.everybodys)
        return answer(KeyList(items=[entry_of_key(key) for key in found]))

    @routes.post(
        "",
        summary="Make a key",
        status_code=201,
        response_model=KeyWithToken,
        dependencies=[Depends(json_only)],
        responses=_CHANGES,
    )
    async def make(request: Request, identity: asker, wish: MakeKey) -> Response:
        """For a program that asks for you: it may do what both its scopes and your role allow. The answer shows the
        token, this once. A key cannot make keys."""
        made = await keys.make(identity, wish.name, wish.scopes, wish.expires_at)
        detail = {"name": wish.name, "scopes": list(made.key.scopes)}
        trail.note(request, "make key", f"key {made.key.id}", detail=detail)
        return answer(KeyWithToken(key=entry_of_key(made.key), token=made.token), 201)

    @routes.delete(
        "/{key_id}",
        summary="Revoke a key",
        response_model=KeyEntry,
        dependencies=[Depends(json_only)],
        responses=_CHANGES,
    )
    async def revoke(request: Request, identity: asker, key_id: Annotated[UUID, Path()]) -> Response:
        """At once and for good: your own, or as an administrator anybody's. Once revoked, it stays in the list."""
        key = await keys.revoke(identity, key_id)
        trail.note(request, "revoke key", f"key {key.id}", detail={"name": key.name, "owner": key.owner})
        return answer(entry_of_key(key))

    return routes
