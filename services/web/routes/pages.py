"""Pages for people. Each is a template and the modules that it loads; what they show comes over REST."""

from dataclasses import dataclass
from typing import Any, Final, Literal

from fastapi import APIRouter, FastAPI, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from jinja2 import Environment

from services.web.gate import Gate, Right
from services.web.problems import ApiProblem

Role = Literal["cloud", "edge"]


@dataclass(frozen=True, slots=True)
class Page:
    """An address, its template, the word for it in the menu, who may see it and which service has it."""

    path: str
    template: str
    word: str
    right: Right = "view"
    roles: tuple[Role, ...] = ("cloud",)


PAGES: Final = (
    Page("/", "live.html", "Live", roles=("cloud", "edge")),
    Page("/api/v1/docs", "reference.html", "REST", roles=("cloud", "edge")),
)
"""In the order of the menu."""


def router(templates: Environment, app: FastAPI, gate: Gate, *, role: Role, charts: bool) -> APIRouter:
    """All pages of this role, each with the menu of those that the reader may see."""
    routes = APIRouter(include_in_schema=False)
    pages = [page for page in PAGES if role in page.roles]
    loaded = {page: templates.get_template(page.template) for page in pages}

    async def show(request: Request, page: Page) -> Response:
        try:
            identity = await gate.needs(page.right)(request)
        except ApiProblem as problem:
            if problem.status == 401:
                return RedirectResponse(f"/login?next={page.path}", status_code=303)
            raise
        known: dict[str, Any] = {
            "role": role,
            "charts": charts,
            "page": page,
            "identity": identity,
            "menu": [each for each in pages if each.right in identity.rights],
        }
        if page.template == "reference.html":
            known["spec"] = app.openapi()
        return HTMLResponse(loaded[page].render(known), headers={"Cache-Control": "no-cache"})

    def add(page: Page) -> None:
        @routes.get(page.path)
        async def route(request: Request) -> Response:
            return await show(request, page)

    for page in pages:
        add(page)
    return routes
