"""Who may log in, for administrators."""

from typing import Annotated, Final
from uuid import UUID

from fastapi import APIRouter, Depends, Path, Request, Response

from services.web.accounts.people import NewPerson, People
from services.web.accounts.schemas import (
    AddPerson,
    ChangePerson,
    LoggedOut,
    PersonEntry,
    PersonList,
    PersonWithPassword,
    entry_of_person,
)
from services.web.gate import Gate
from services.web.problems import responses
from services.web.routes.accounts import answer
from services.web.routes.control import Nothing, json_only
from services.web.trail import Trail

_CHANGES: Final = responses(400, 401, 403, 404, 409, 413, 415, 422, 503)
_JSON: Final = [Depends(json_only)]


def router(people: People, trail: Trail, gate: Gate) -> APIRouter:
    """Routes of people."""
    routes = APIRouter(prefix="/api/v1/users", tags=["people"], dependencies=[gate.guard("admin")])
    user_id = Annotated[UUID, Path()]

    def shown_once(made: NewPerson, status: int) -> Response:
        shown = PersonWithPassword(person=entry_of_person(made.person), temporary_password=made.password)
        return answer(shown, status)

    @routes.get("", summary="Everybody who may log in", response_model=PersonList, responses=responses(401, 403, 503))
    async def everybody() -> Response:
        """By name; also those who are disabled."""
        return answer(PersonList(items=[entry_of_person(person) for person in await people.everybody()]))

    @routes.post(
        "",
        summary="Add a person",
        status_code=201,
        response_model=PersonWithPassword,
        dependencies=_JSON,
        responses=_CHANGES,
    )
    async def add(request: Request, wish: AddPerson) -> Response:
        """The answer shows a temporary password, this once. It has to be changed at the first login, within 7 days."""
        made = await people.add(wish.name, wish.role)
        trail.note(request, "add person", f"person {wish.name}", detail={"role": wish.role})
        return shown_once(made, 201)

    @routes.patch(
        "/{user_id}",
        summary="Change a role; disable or enable a person",
        response_model=PersonEntry,
        dependencies=_JSON,
        responses=_CHANGES,
    )
    async def change(request: Request, user_id: user_id, wish: ChangePerson) -> Response:
        """Who is disabled is logged out, and their keys end to work; what they did stays under their name."""
        person, changes = await people.change(user_id, wish.role, wish.disabled)
        if changes:
            trail.note(request, "change person", f"person {person.user.name}", detail={"changes": changes})
        return answer(entry_of_person(person))

    @routes.post(
        "/{user_id}/reset",
        summary="Make a new temporary password",
        response_model=PersonWithPassword,
        dependencies=_JSON,
        responses=_CHANGES,
    )
    async def reset(request: Request, user_id: user_id, _: Nothing) -> Response:
        """Also logs the person out everywhere. The password is shown in this answer alone."""
        made = await people.reset(user_id)
        trail.note(request, "reset password", f"person {made.person.user.name}")
        return shown_once(made, 200)

    @routes.post(
        "/{user_id}/logout",
        summary="Log a person out everywhere",
        response_model=LoggedOut,
        dependencies=_JSON,
        responses=_CHANGES,
    )
    async def log_out(request: Request, user_id: user_id, _: Nothing) -> Response:
        """Ends all their logins. Their keys stay."""
        person, ended = await people.log_out(user_id)
        trail.note(request, "log out everywhere", f"person {person.user.name}")
        return answer(LoggedOut(ended=ended))

    return routes
