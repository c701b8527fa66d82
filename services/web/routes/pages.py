"""Pages for people."""

from fastapi import APIRouter, FastAPI
from fastapi.responses import HTMLResponse
from jinja2 import Environment


def router(templates: Environment, app: FastAPI, *, role: str, charts: bool) -> APIRouter:
    """The live page and the list of REST addresses. Both are the same for every reader, so they are made once."""
    routes = APIRouter(include_in_schema=False)
    live = templates.get_template("live.html").render(role=role, charts=charts)
    reference = templates.get_template("reference.html")

    @routes.get("/")
    async def live_page() -> HTMLResponse:
        return HTMLResponse(live, headers={"Cache-Control": "no-cache"})

    @routes.get("/api/v1/docs")
    async def reference_page() -> HTMLResponse:
        return HTMLResponse(reference.render(spec=app.openapi()), headers={"Cache-Control": "no-cache"})

    return routes
