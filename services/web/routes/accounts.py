"""Logging in and out, and one's own password."""

from typing import Annotated, Any, Final
from uuid import UUID

from fastapi import APIRouter, Depends, Request, Response
from pydantic import BaseModel

from services.web.accounts import cookies
from services.web.accounts.logins import LoggedIn, Logins, Refused
from services.web.accounts.schemas import LoggedOut, LoginAttempt, LogOut, Me, PasswordChange
from services.web.gate import RIGHTS, Gate, Identity
from services.web.problems import ApiProblem, responses
from services.web.rate import address_of
from services.web.routes.control import json_only
from services.web.trail import Trail

NOT_KEPT: Final = {"Cache-Control": "no-store"}


def answer(model: BaseModel, status: int = 200) -> Response:
    """A model as JSON that no cache keeps."""
    return Response(model.model_dump_json(), status, NOT_KEPT, "application/json")


def router(logins: Logins, trail: Trail, gate: Gate) -> APIRouter:
    """Routes of who asks."""
    routes = APIRouter(prefix="/api/v1", tags=["accounts"])
    known = Annotated[Identity, Depends(gate.needs("login"))]

    def me_of(identity: Identity) -> Me:
        rights = [right for right in RIGHTS if right in identity.rights]
        values: dict[str, Any] = {"role": identity.role, "login": "required" if logins.required else "off"}
        return Me(
            name=identity.name,
            rights=[] if identity.password_temporary else rights,
            known_by=identity.by,
            password_temporary=identity.password_temporary,
            **values,
        )

    def let_in(request: Request, found: LoggedIn) -> Response:
        gate.known(request, found.identity)
        response = answer(me_of(found.identity))
        cookies.give(request, response, found.token, int(logins.lasts.total_seconds()))
        return response

    @routes.post(
        "/login",
        summary="Log in a browser, by a cookie",
        response_model=Me,
        dependencies=[Depends(json_only)],
        responses=responses(400, 401, 403, 409, 413, 415, 422, 429, 503),
    )
    async def log_in(request: Request, attempt: LoginAttempt) -> Response:
        """Programs need no login: they send a key's token with each request. Whoever tries too often has to wait."""
        found = await logins.log_in(attempt.name, attempt.password.get_secret_value(), address_of(request.scope))
        if isinstance(found, Refused):
            # Not what was typed: that may be a password in the wrong field.
            whom = f"person {attempt.name}" if found.known else "somebody unknown"
            trail.note(request, "login refused", whom, detail={"reason": found.problem.kind})
            raise found.problem
        response = let_in(request, found)
        trail.note(request, "login", f"person {found.identity.name}")
        return response

    @routes.post(
        "/logout",
        summary="Log out",
        response_model=LoggedOut,
        dependencies=[Depends(json_only)],
        responses=responses(400, 401, 403, 404, 409, 413, 415, 422, 503),
    )
    async def log_out(request: Request, identity: known, wish: LogOut) -> Response:
        """Ends this browser's login, or all of yours."""
        token = cookies.token_of(request)
        if identity.by != "login" or identity.user_id is None or token is None:
            raise ApiProblem(
                409,
                "no-login",
                "No login to end",
                "This request does not come from a browser that is logged in.",
                "A key is ended on the page Keys, or by DELETE /api/v1/tokens/{id}.",
            )
        if wish.everywhere:
            ended = await logins.log_out_everywhere(UUID(identity.user_id))
        else:
            await logins.log_out(token)
            ended = 1
        trail.note(request, "logout", f"person {identity.name}", detail={"everywhere": wish.everywhere})
        response = answer(LoggedOut(ended=ended))
        cookies.take_back(request, response)
        return response

    @routes.post(
        "/password",
        summary="Change your password",
        response_model=Me,
        dependencies=[Depends(json_only)],
        responses=responses(400, 401, 403, 409, 413, 415, 422, 429, 503),
    )
    async def change_password(request: Request, identity: known, change: PasswordChange) -> Response:
        """All your browsers are logged out, and this one logged in anew. Your keys stay."""
        try:
            found = await logins.change_password(identity, change.old.get_secret_value(), change.new.get_secret_value())
        except ApiProblem as problem:
            if identity.by == "login":
                trail.note(request, "password refused", f"person {identity.name}", detail={"reason": problem.kind})
            raise
        trail.note(request, "change password", f"person {identity.name}")
        return let_in(request, found)

    @routes.get(
        "/me", summary="Who you are here, and what you may do", response_model=Me, responses=responses(401, 403, 503)
    )
    async def me(identity: known) -> Response:
        """Also says whether anybody logs in here at all."""
        return answer(me_of(identity))

    return routes
