"""Pages for people. Each is a template and the modules that it loads; what they show comes over REST."""

from dataclasses import dataclass
from typing import Any, Final, Literal
from urllib.parse import quote

from fastapi import APIRouter, FastAPI, Request
from fastapi.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from jinja2 import Environment, Template

from services.web import examples, openapi
from services.web.database import DatabaseUnavailable, problem_of
from services.web.gate import Gate, Identity, Need
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


def router(templates: Environment, app: FastAPI, gate: Gate, *, role: Role, charts: bool) -> APIRouter:
    """All pages of this role, each with the menu of those that the reader may see."""
    routes = APIRouter(include_in_schema=False)
    pages = [page for page in PAGES if role in page.roles]
    loaded = {page: templates.get_template(page.template) for page in pages}
    refused = templates.get_template("refused.html")

    def drawn(template: Template, page: Page, identity: Identity | None, status: int = 200, **also: Any) -> Response:
        may = identity.rights if identity is not None and not identity.password_temporary else frozenset()
        menu = [each for each in pages if each.in_menu and each.right in may]
        more = [each for each in menu if each.rare] if len(menu) > LONG_MENU else []
        known: dict[str, Any] = {
            "role": role,
            "charts": charts,
            "page": page,
            "identity": identity,
            "menu": [each for each in menu if each not in more],
            "more": more,
        }
        headers = {"Cache-Control": "no-cache"}
        if page.camera:
            headers["Permissions-Policy"] = "camera=(self), microphone=(), geolocation=()"
        return HTMLResponse(template.render(known, **also), status, headers)

    async def show(request: Request, page: Page) -> Response:
        identity: Identity | None = None
        try:
            identity = await gate.identity(request)
            if page.right is not None:
                await gate.needs(page.right)(request)
        except DatabaseUnavailable as error:
            return drawn(refused, page, None, 503, problem=problem_of(error))
        except ApiProblem as problem:
            next_page = quote(_asked(request), safe="/")
            if problem.status == 401:
                return RedirectResponse(f"/login?next={next_page}", status_code=303)
            if problem.kind == "password-temporary":
                return RedirectResponse(f"/account?next={next_page}", status_code=303)
            return drawn(refused, page, identity, problem.status, problem=problem)
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
        return drawn(loaded[page], page, identity, next_page=next_page, **more)

    def add(page: Page) -> None:
        @routes.get(page.path)
        async def route(request: Request) -> Response:
            return await show(request, page)

    for page in pages:
        add(page)

    @routes.get("/api/v1/openapi.json", dependencies=[gate.guard("view")])
    async def document() -> Response:
        return JSONResponse(app.openapi())

    return routes
