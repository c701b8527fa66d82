"""Pages for people. Each is a template and the modules that it loads; what they show comes over REST."""

from contextlib import suppress
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final, Literal
from urllib.parse import quote

from fastapi import APIRouter, FastAPI, Request
from fastapi.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from jinja2 import Environment, Template

from services.web import examples, openapi
from services.web.database import DatabaseUnavailable, problem_of
from services.web.gate import RIGHTS_OF_ROLE, Gate, Identity, Need
from services.web.problems import ApiProblem

Role = Literal["cloud", "edge"]


@dataclass(frozen=True, slots=True)
class Page:
    """An address, its template, the word for it in the menu, who may see it and which service has it."""

    path: str
    template: str
    word: str
    right: Need | None = "view"
    """None: whoever comes, to log in."""
    roles: tuple[Role, ...] = ("cloud",)
    in_menu: bool = True
    rare: bool = False
    """Whether a long menu has it under "More"."""
    times: bool = True
    """Whether it shows times, which are in the reader's zone."""
    camera: bool = False
    """Whether a browser may ask its person for the camera there."""


PAGES: Final = (
    Page("/", "live.html", "Live", roles=("cloud", "edge")),
    Page("/sessions", "sessions.html", "Sessions"),
    Page("/sessions/{session_id}", "session.html", "Session", in_menu=False),
    Page("/label", "label.html", "Label", right="label", times=False),
    Page("/history", "history.html", "History"),
    Page("/history/{event_id}", "detection.html", "Detection", in_menu=False),
    Page("/datasets", "datasets.html", "Datasets"),
    Page("/camera", "camera.html", "Camera", "research", roles=("cloud", "edge"), camera=True, rare=True, times=False),
    Page("/devices", "devices.html", "Devices", roles=("cloud", "edge")),
    Page("/keys", "keys.html", "Keys", rare=True),
    Page("/people", "people.html", "People", right="admin", rare=True),
    Page("/audit", "audit.html", "Audit log", right="admin", rare=True),
    Page("/privacy", "privacy.html", "Privacy", rare=True),
    Page("/privacy/notice", "notice.html", "Notice to print", in_menu=False, times=False),
    Page("/account", "account.html", "Account", right="login", in_menu=False, times=False),
    Page("/login", "login.html", "Log in", right=None, in_menu=False, times=False),
    Page("/api/v1/docs", "reference.html", "REST", roles=("cloud", "edge"), rare=True, times=False),
)
"""In the order of the menu."""
LONG_MENU: Final = 7
"""Entries from which on those that are rarely needed are put together."""


_PLAIN: Final = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~/?&=%+:,;@!$'()*")


def local(address: str) -> str:
    """`address` if it is one of this service, for a browser to go on to; else the first page."""
    # What browsers take for another host: //host, and \\ for /; control characters, which they leave out.
    return address if address.startswith("/") and not address.startswith("//") and _PLAIN.issuperset(address) else "/"


def _asked(request: Request) -> str:
    return request.url.path + (f"?{request.url.query}" if request.url.query else "")


def _in_words(problem: ApiProblem) -> ApiProblem:
    """What problems of any address say to programs, for who reads a page."""
    if problem.status == 404:
        title, detail = "There is no such page", "The address may be mistyped, or what was here is gone."
        return ApiProblem(404, problem.kind, title, detail, "Check the address, or go on from the first page.")
    if problem.status == 405:
        title, detail = "Pages are only for reading", "What was sent here was not taken. Nothing was changed."
        next_step = "Open the page again, and do there what you want to do."
        return ApiProblem(405, problem.kind, title, detail, next_step, headers=problem.headers)
    return problem


def _not_for(identity: Identity, page: Page) -> ApiProblem:
    """Who is known may not see a page."""
    roles = [role for role, rights in RIGHTS_OF_ROLE.items() if page.right in rights]
    return ApiProblem(
        403,
        "not-allowed",
        "This page is not for your role",
        f"You are logged in as {identity.name}{f', {identity.role}' if identity.role else ''}. The page {page.word} is "
        f"for people with the role {' or '.join(roles)}.",
        "Ask an administrator of this service for another role if you need it.",
    )


class Drawing:
    """Makes pages, each with the menu of those that the reader may see."""

    def __init__(self, templates: Environment, gate: Gate, *, role: Role, charts: bool) -> None:
        self.pages = [page for page in PAGES if role in page.roles]
        self._refused = templates.get_template("refused.html")
        self._gate = gate
        self._role = role
        self._charts = charts

    def page(
        self, template: Template, page: Page, identity: Identity | None, status: int = 200, **also: Any
    ) -> Response:
        """A page for who is known; None: for whoever comes."""
        may = identity.rights if identity is not None and not identity.password_temporary else frozenset()
        menu = [each for each in self.pages if each.in_menu and each.right in may]
        more = [each for each in menu if each.rare] if len(menu) > LONG_MENU else []
        known: dict[str, Any] = {
            "role": self._role,
            "charts": self._charts,
            "page": page,
            "identity": identity,
            "menu": [each for each in menu if each not in more],
            "more": more,
        }
        headers = {"Cache-Control": "no-cache"}
        if page.camera:
            headers["Permissions-Policy"] = "camera=(self), microphone=(), geolocation=()"
        return HTMLResponse(template.render(known, **also), status, headers)

    def refused(self, problem: ApiProblem, page: Page, identity: Identity | None) -> Response:
        """What is said in place of a page."""
        answer = self.page(self._refused, page, identity, problem.status, problem=problem)
        answer.headers.update(problem.headers or {})
        return answer

    async def for_people(self, request: Request, problem: ApiProblem) -> Response | None:
        """A page that says what is wrong, where a browser asked for one; None where a program asked for something."""
        if request.url.path.startswith("/api/") or "text/html" not in request.headers.get("accept", ""):
            return None
        identity: Identity | None = None
        if problem.status != HTTPStatus.INTERNAL_SERVER_ERROR:  # who asks may be what cannot be found out
            with suppress(ApiProblem, DatabaseUnavailable):
                identity = await self._gate.identity(request)
        problem = _in_words(problem)
        return self.refused(problem, Page(request.url.path, "refused.html", problem.title, times=False), identity)


def router(templates: Environment, app: FastAPI, gate: Gate, drawing: Drawing) -> APIRouter:
    """All pages of this service."""
    routes = APIRouter(include_in_schema=False)
    loaded = {page: templates.get_template(page.template) for page in drawing.pages}

    async def show(request: Request, page: Page) -> Response:
        identity: Identity | None = None
        try:
            identity = await gate.identity(request)
            if page.right is not None:
                await gate.needs(page.right)(request)
        except DatabaseUnavailable as error:
            return drawing.refused(problem_of(error), page, None)
        except ApiProblem as problem:
            next_page = quote(_asked(request), safe="/")
            if problem.status == 401:
                return RedirectResponse(f"/login?next={next_page}", status_code=303)
            if problem.kind == "password-temporary":
                return RedirectResponse(f"/account?next={next_page}", status_code=303)
            if problem.kind == "not-allowed" and identity is not None:
                problem = _not_for(identity, page)
            return drawing.refused(problem, page, identity)
        next_page = local(request.query_params.get("next", "/"))
        if page.right is None and identity is not None:
            return RedirectResponse(next_page, status_code=303)
        more: dict[str, Any] = {"named": request.path_params}
        if page.template == "reference.html":
            more |= {
                "spec": app.openapi(),
                "contents_of": examples.contents_of,
                "as_text": examples.as_text,
                "rights_of": openapi.rights_of,
                "login_required": openapi.is_login_required(app.openapi()),
            }
        return drawing.page(loaded[page], page, identity, next_page=next_page, **more)

    def add(page: Page) -> None:
        @routes.get(page.path)
        async def route(request: Request) -> Response:
            return await show(request, page)

    for page in drawing.pages:
        add(page)

    @routes.get("/api/v1/openapi.json", dependencies=[gate.guard("view")])
    async def document() -> Response:
        return JSONResponse(app.openapi())

    return routes
