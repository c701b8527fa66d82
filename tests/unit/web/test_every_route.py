"""Every route and page has a gate: who is unknown gets nowhere, and each role goes where its rights go."""

import re
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import httpx
import pytest
from fastapi import Request
from fastapi.routing import APIRoute
from pydantic import SecretStr
from starlette.routing import BaseRoute

from services.web.accounts.accounts import Accounts
from services.web.accounts.doorkeeper import Doorkeeper
from services.web.accounts.keys import Keys
from services.web.accounts.logins import Logins
from services.web.accounts.passwords import Passwords
from services.web.accounts.people import People
from services.web.app import create_app
from services.web.database import Database
from services.web.datasets.previewing import Previewer
from services.web.eraser import Eraser
from services.web.face_pictures import FacePictures
from services.web.gate import RIGHTS_OF_ROLE, Gate, Identity, Need
from services.web.hub import Hub
from services.web.rate import Allowance
from services.web.routes.pages import PAGES
from services.web.trail import Trail
from shared.db.audit import Entry
from shared.db.engine import create_engine
from shared.metrics import Metrics
from shared.owned_thread import OwnedThread
from shared.settings import DatabaseSettings

OPEN = {"/login", "/api/v1/login", "/healthz", "/readyz", "/metrics", "/static"}
"""What asks nobody who they are: to log in, what a monitor reads, and files that are in the repository."""
ADMINS = ("/api/v1/users", "/api/v1/audit", "/api/v1/erasures", "/people", "/audit")
OWN = {"/api/v1/tokens", "/api/v1/tokens/{key_id}", "/api/v1/logout", "/api/v1/password"}
"""Changes that everybody may make: of what is their own."""


async def by_header(request: Request) -> Identity | None:
    role = request.headers.get("x-role")
    if role is None:
        return None
    return Identity(role, RIGHTS_OF_ROLE[role], role=role, password_temporary="x-temporary" in request.headers)


@pytest.fixture
def routes_and_client() -> Iterator[tuple[Sequence[BaseRoute], httpx.AsyncClient]]:
    """The cloud role's application over a database that nobody reaches."""
    metrics = Metrics("web")
    engine = create_engine(DatabaseSettings(url=SecretStr("postgresql://nobody@127.0.0.1:1/none")))
    database = Database(engine)
    passwords = Passwords()
    doorkeeper = Doorkeeper(database, timedelta(hours=1), Allowance(1000))

    async def set_paused(_device: str, _paused: bool) -> None: ...

    async def change_wish(_device: str, changes: dict[str, Any]) -> dict[str, Any]:
        return changes

    async def send_picture(_device: str, _jpeg: bytes) -> None: ...

    async def save(_entries: Sequence[Entry]) -> None: ...

    app = create_app(
        role="cloud",
        hub=Hub(),
        database=database,
        pictures=FacePictures(OwnedThread(ThreadPoolExecutor(1))),
        previewer=Previewer(OwnedThread(ThreadPoolExecutor(1))),
        wish_of=lambda _device: None,
        set_paused=set_paused,
        change_wish=change_wish,
        send_picture=send_picture,
        trail=Trail(save, metrics),
        gate=Gate(by_header),
        accounts=Accounts(
            Logins(database, passwords, doorkeeper, timedelta(hours=1), required=True),
            People(database, passwords, doorkeeper),
            Keys(database, doorkeeper),
        ),
        eraser=Eraser(engine),
        metrics=metrics,
        readiness=dict,
        max_viewers=0,  # the stream would never end
        max_viewers_each=1,
        requests_per_s=1000,
    )
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    yield app.router.routes, httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8000", timeout=60)
    passwords.close()


def need_of(route: APIRoute) -> Need | None:
    """What a route of REST asks for; the strictest, where it asks more than once."""
    needs = [getattr(each.call, "need", None) for each in route.dependant.dependencies]
    strictest_first: tuple[Need, ...] = ("admin", "research", "label", "view", "login")
    return next((need for need in strictest_first if need in needs), None)


def flat(routes: Sequence[BaseRoute]) -> Iterator[BaseRoute]:
    """All routes, those of included routers too."""
    for route in routes:
        router = getattr(route, "original_router", None)
        if router is None:
            yield route
        else:
            yield from flat(router.routes)


def calls(routes: Sequence[BaseRoute]) -> list[tuple[str, str, Need | None]]:
    """Method, address and need of everything that can be asked for."""
    pages = {page.path: page.right for page in PAGES}
    found: list[tuple[str, str, Need | None]] = []
    for route in flat(routes):
        path = getattr(route, "path", "")
        if path in OPEN:
            continue
        assert isinstance(route, APIRoute), f"{path} has no gate that this test can see"
        need = pages[path] if path in pages else need_of(route)
        found += [(method, path, need) for method in sorted(route.methods or ())]
    return found


def address(path: str) -> str:
    """`path` with something in its places."""
    return re.sub(
        r"\{(\w+)(:\w+)?\}",
        lambda place: "camera-1" if place[1] == "device" else "0195532e-8b70-7c3e-9d0a-2f6b7a1c4d5e",
        path,
    )


async def ask(client: httpx.AsyncClient, method: str, path: str, **headers: str) -> httpx.Response:
    body: dict[str, str] | None = None if method == "GET" else {}
    return await client.request(method, address(path), json=body, headers={"X-" + k: v for k, v in headers.items()})


async def test_nobody_gets_anywhere_without_a_name(
    routes_and_client: tuple[Sequence[BaseRoute], httpx.AsyncClient],
) -> None:
    routes, client = routes_and_client
    found = calls(routes)
    assert len(found) > 20
    async with client:
        for method, path, need in found:
            assert need is not None, f"{method} {path} has no gate"
            answer = await ask(client, method, path)
            page = not path.startswith("/api/") or path == "/api/v1/docs"
            assert answer.status_code == (303 if page else 401), f"{method} {path}: {answer.text[:200]}"
            if page:
                assert answer.headers["location"] == f"/login?next={address(path)}"
            temporary = await ask(client, method, path, Role="admin", Temporary="yes")
            if need != "login":
                assert temporary.status_code == (303 if page else 403), f"{method} {path}"


@pytest.mark.parametrize("role", RIGHTS_OF_ROLE)
async def test_each_role_goes_where_its_rights_go(
    routes_and_client: tuple[Sequence[BaseRoute], httpx.AsyncClient], role: str
) -> None:
    routes, client = routes_and_client
    async with client:
        for method, path, need in calls(routes):
            if path.startswith(ADMINS):
                assert need == "admin", f"{method} {path}"
            if method != "GET" and path not in OWN:
                assert need in ("label", "research", "admin"), f"{method} {path} lets viewers change something"
            allowed = need == "login" or need in RIGHTS_OF_ROLE[role]
            answer = await ask(client, method, path, Role=role)
            assert (answer.status_code == 403) is not allowed, f"{role} {method} {path}: {answer.text[:200]}"
            assert answer.status_code not in (401, 500), f"{role} {method} {path}: {answer.text[:200]}"
