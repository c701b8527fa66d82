"""The HTTP application, put together from what it is given. Nothing here connects to anything."""

import mimetypes
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.datastructures import MutableHeaders
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from services.web import examples, openapi, problems
from services.web.accounts.accounts import Accounts
from services.web.cross_origin import CrossOrigin
from services.web.database import Database, DatabaseUnavailable, problem_of
from services.web.datasets.jobs import Jobs
from services.web.datasets.previewing import Previewer
from services.web.eraser import Eraser
from services.web.face_pictures import FacePictures
from services.web.gate import Gate
from services.web.heads import AnswerHead
from services.web.hosts import OwnPagesOnly
from services.web.hub import Hub
from services.web.known_devices import KnownDevices
from services.web.places import Places
from services.web.rate import CredentialOf, LimitRequests, nobody_is_known
from services.web.routes import accounts as account_routes
from services.web.routes import (
    audit,
    camera,
    control,
    datasets,
    devices,
    history,
    keys,
    labels,
    live,
    pages,
    people,
    records,
    sessions,
)
from services.web.search import UnknownReference
from services.web.trail import Trail
from shared import logs
from shared.health import Readiness, health_routes
from shared.metrics import Metrics
from shared.wording import ADJECTIVES, LOOKS

log = logs.get(__name__)

HERE: Final = Path(__file__).parent
STATIC: Final = HERE / "static"
CHART_FILES: Final = (
    STATIC / "vendor" / "uplot" / "uPlot.iife.min.js",
    STATIC / "vendor" / "uplot" / "uPlot.min.css",
)

_MAX_BODY_BYTES: Final = 64 * 1024
"""The longest body that any address takes is a session with its notes."""
_HEADERS: Final = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
}


_MEDIA_TYPES: Final = (("text/javascript", ".js"), ("text/css", ".css"), ("image/svg+xml", ".svg"))


class SecurityHeaders:
    """Adds the headers that keep pages and pictures from being used by other sites."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers.setdefault(name, value)
                if scope["path"].startswith("/static/"):
                    headers.setdefault("Cache-Control", "no-cache")
            await send(message)

        await self._app(scope, receive, with_headers if scope["type"] == "http" else send)


class WebApp(FastAPI):
    """FastAPI whose OpenAPI document knows the one shape of errors, and whose every answer is guarded."""

    def __init__(
        self,
        *,
        allowed_hosts: frozenset[str],
        cors_origins: frozenset[str],
        requests_per_s: float,
        credential_of: CredentialOf,
        login_required: bool,
        **more: Any,
    ) -> None:
        super().__init__(**more)
        self._allowed_hosts = allowed_hosts
        self._cors_origins = cors_origins
        self._requests_per_s = requests_per_s
        self._credential_of = credential_of
        self._login_required = login_required

    def build_middleware_stack(self) -> ASGIApp:
        """Starlette's, in ours: outermost, so that the answers to defects and refusals have the headers too."""
        answering = AnswerHead(problems.TooLongAsProblem(super().build_middleware_stack()))
        limited = LimitRequests(answering, self._requests_per_s, self._credential_of)
        own = OwnPagesOnly(limited, self._allowed_hosts, self._cors_origins)
        return SecurityHeaders(CrossOrigin(own, self._cors_origins) if self._cors_origins else own)

    def openapi(self) -> dict[str, Any]:
        """The OpenAPI document, made at first use."""
        if self.openapi_schema is None:
            spec = super().openapi()
            problems.describe(spec)
            openapi.complete(spec, login_required=self._login_required)
            examples.add(spec)
        return super().openapi()


async def _on_unknown_reference(request: Request, error: Exception) -> JSONResponse:
    if not isinstance(error, UnknownReference):
        raise error
    wrong = problems.WrongParameter(parameter=error.parameter, reason=str(error))
    return problems.bad_parameters([wrong]).response(request)


def create_app(
    *,
    role: pages.Role,
    hub: Hub,
    database: Database | None,
    pictures: FacePictures,
    previewer: Previewer,
    wish_of: Callable[[str], dict[str, Any] | None],
    set_paused: control.SetPaused,
    change_wish: devices.ChangeWish,
    send_picture: camera.SendPicture,
    trail: Trail,
    gate: Gate,
    accounts: Accounts | None,
    eraser: Eraser | None,
    metrics: Metrics,
    readiness: Readiness,
    max_viewers: int,
    max_viewers_each: int,
    requests_per_s: float,
    credential_of: CredentialOf = nobody_is_known,
    jobs: Jobs | None = None,
    exports_bytes: int = 0,
    allowed_hosts: frozenset[str] = frozenset(),
    cors_origins: frozenset[str] = frozenset(),
) -> FastAPI:
    """All routes over the given parts. Reads templates from disk, so call it outside the event loop."""
    app = WebApp(
        allowed_hosts=allowed_hosts,
        cors_origins=cors_origins,
        requests_per_s=requests_per_s,
        credential_of=credential_of,
        login_required=accounts is not None and accounts.logins.required,
        title="Emotion at the Edge",
        version="1",
        description="What was read in the faces that cameras saw: how they look, never how somebody is. "
        "The project's docs/rest-tutorial.md goes through it step by step.",
        openapi_url=None,  # FastAPI's own route asks nobody who they are; pages.py has it
        docs_url=None,  # FastAPI's own pages load from a CDN; /api/v1/docs works offline
        redoc_url=None,
        max_body_size=_MAX_BODY_BYTES,
    )

    async def on_database(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, DatabaseUnavailable)
        return problem_of(error).response(request)

    templates = Environment(
        loader=FileSystemLoader(HERE / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        auto_reload=False,  # looking whether a file has changed would block the loop
    )
    templates.globals["looks"] = LOOKS
    templates.globals["adjectives"] = ADJECTIVES
    for name in templates.list_templates():
        templates.get_template(name)  # from disk now, also those that others extend
    charts = all(path.is_file() for path in CHART_FILES)
    if not charts:
        log.warning("charts are missing", next_step="run `make assets`, then start again", expected=str(CHART_FILES[0]))
    drawing = pages.Drawing(templates, gate, role=role, charts=charts)
    problems.install(app, drawing.for_people)
    app.add_exception_handler(DatabaseUnavailable, on_database)
    app.add_exception_handler(UnknownReference, _on_unknown_reference)
    app.include_router(live.router(hub, Places(max_viewers, max_viewers_each), trail, gate))
    known = KnownDevices(hub)
    app.include_router(records.router(database, hub, known, pictures, wish_of, trail, gate))
    if database is not None:
        app.include_router(sessions.router(database, known, trail, gate))
        app.include_router(labels.router(database, known, trail, gate))
        app.include_router(history.router(database, known, trail, gate))
    app.include_router(control.router(hub, set_paused, trail, gate))
    if accounts is not None:
        app.include_router(account_routes.router(accounts.logins, trail, gate))
        app.include_router(people.router(accounts.people, trail, gate))
        app.include_router(keys.router(accounts.keys, trail, gate))
    if database is not None and eraser is not None:
        app.include_router(audit.router(database, eraser, trail, gate))
    app.include_router(datasets.router(database, known, jobs, previewer, trail, gate, exports_bytes=exports_bytes))
    app.include_router(camera.router(hub, send_picture, trail, gate, credential_of))
    app.include_router(devices.router(hub, database, change_wish, trail, gate))
    app.include_router(pages.router(templates, app, gate, drawing))
    app.router.routes.extend(health_routes(metrics, readiness))
    # Read the machine's table of file types here, not at the first request; and browsers refuse modules and styles of
    # another type, whatever a machine's table says.
    mimetypes.init()
    for media_type, ending in _MEDIA_TYPES:
        mimetypes.add_type(media_type, ending)
    app.mount("/static", StaticFiles(directory=STATIC))
    return app
