"""Errors of the REST interface as RFC 9457 problem documents: what happened, why, and what to do next."""

from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Any, Final

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from pydantic import BaseModel, Field
from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from shared import logs

log = logs.get(__name__)

MEDIA_TYPE: Final = "application/problem+json"


class WrongParameter(BaseModel):
    """One parameter that does not fit."""

    parameter: str
    reason: str


class ProblemDocument(BaseModel):
    """The one shape of every error (RFC 9457)."""

    type: str = Field(examples=["urn:emotion-edge:problem:bad-parameters"])
    title: str = Field(examples=["The request does not fit"])
    status: int = Field(examples=[422])
    detail: str = Field(examples=["limit: Input should be less than or equal to 1000"])
    next_step: str = Field(examples=["Correct the parameters named in errors; /api/v1/docs lists them all."])
    instance: str = Field(examples=["/api/v1/detections"])
    errors: list[WrongParameter] | None = None


class ApiProblem(Exception):
    """Raised by routes; answered as a problem document."""

    def __init__(
        self,
        status: int,
        kind: str,
        title: str,
        detail: str,
        next_step: str,
        *,
        errors: list[WrongParameter] | None = None,
        headers: dict[str, str] | None = None,
    ) -> None:
        super().__init__(f"{title}: {detail}")
        self.status = status
        self.kind = kind
        self.title = title
        self.detail = detail
        self.next_step = next_step
        self.errors = errors
        self.headers = headers

    def response(self, request: Request) -> JSONResponse:
        """The HTTP answer."""
        document = ProblemDocument(
            type=f"urn:emotion-edge:problem:{self.kind}",
            title=self.title,
            status=self.status,
            detail=self.detail,
            next_step=self.next_step,
            instance=request.url.path,
            errors=self.errors,
        )
        return JSONResponse(
            document.model_dump(exclude_none=True),
            status_code=self.status,
            headers={"Cache-Control": "no-store", **(self.headers or {})},
            media_type=MEDIA_TYPE,
        )


def bad_parameters(errors: list[WrongParameter]) -> ApiProblem:
    """422 for parameters that do not fit."""
    return ApiProblem(
        422,
        "bad-parameters",
        "The request does not fit",
        "; ".join(f"{error.parameter}: {error.reason}" for error in errors),
        "Correct the parameters named in errors; /api/v1/docs lists them all.",
        errors=errors,
    )


def not_found(what: str, next_step: str) -> ApiProblem:
    """404 for a record that is not there."""
    return ApiProblem(404, "not-found", "Not found", what, next_step)


_NEXT_STEPS: Final = {
    404: "Look at /api/v1/docs for the addresses that exist.",
    405: "Use a method that the Allow header names.",
}


ForPeople = Callable[[Request, ApiProblem], Awaitable[Response | None]]
"""Makes a page of a problem; None for requests of programs."""


async def _nobody_reads(_request: Request, _problem: ApiProblem) -> None:
    """Where there are no pages."""


def _as_it_is(_request: Request, error: Exception) -> ApiProblem:
    assert isinstance(error, ApiProblem)
    return error


def _of_validation(_request: Request, error: Exception) -> ApiProblem:
    assert isinstance(error, RequestValidationError)
    return bad_parameters([WrongParameter(parameter=_name(item), reason=_reason(item)) for item in error.errors()])


def _name(item: Any) -> str:
    """The first part of a location says where (query, path, body); model-wide rules have nothing more."""
    where, *parts = item["loc"]
    # Of a body that is no JSON the rest is how many characters of it are.
    return str(where) if not parts or item["type"] == "json_invalid" else ".".join(str(part) for part in parts)


def _reason(item: Any) -> str:
    if item["type"] == "extra_forbidden":
        return "no such parameter"
    if item["type"] == "uuid_parsing":
        return "expected an id such as 0195532e-8b70-7c3e-9d0a-2f6b7a1c4d5e"
    if item["type"] == "literal_error":
        return f"expected one of {item['ctx']['expected']}"
    if item["type"] == "json_invalid":
        at = item["loc"][-1] + 1
        return f"it is not JSON: {item['ctx']['error']} (at character {at}); expected an object, as {{}}"
    if item["loc"] == ("body",) and item["type"] == "missing":
        return "missing; expected a JSON object, as {}"
    return str(item["msg"]).removeprefix("Value error, ")


def _of_http(request: Request, error: Exception) -> ApiProblem:
    assert isinstance(error, HTTPException)
    status = error.status_code
    phrase = HTTPStatus(status).phrase
    headers = dict(error.headers or {})
    if "GET" in headers.get("Allow", "").split(", "):
        headers["Allow"] += ", HEAD"  # answered wherever GET is
    return ApiProblem(
        status,
        phrase.lower().replace(" ", "-"),
        phrase,
        f"{request.method} {request.url.path}: {error.detail}",
        _next_step(status, request),
        headers=headers,
    )


def _next_step(status: int, request: Request) -> str:
    if status == 413:
        if request.headers.get("content-type", "").startswith("image/"):
            return (
                "Send a smaller picture, with fewer pixels or a lower quality; /api/v1/docs says how large it may be."
            )
        return "Shorten the texts in it; /api/v1/docs says how long each may be."
    return _NEXT_STEPS.get(status, "Correct the request; /api/v1/docs says what is expected.")


def _of_defect(request: Request, error: Exception) -> ApiProblem:
    # Its text is left out: it may quote what was stored. Where it happened is in the traceback that follows.
    log.error("request failed by a defect", path=request.url.path, error=type(error).__name__)
    return ApiProblem(
        500,
        "defect",
        "This service has a defect",
        "The request could not be answered. What happened is in the service's log.",
        "Try again; if it stays, report the time and the address together with the log.",
    )


def install(app: FastAPI, for_people: ForPeople = _nobody_reads) -> None:
    """Answer every error of `app` as a problem document; where `for_people` makes a page of it, by that page."""

    def add(kind: type[Exception], problem_of: Callable[[Request, Exception], ApiProblem]) -> None:
        async def answer(request: Request, error: Exception) -> Response:
            problem = problem_of(request, error)
            return await for_people(request, problem) or problem.response(request)

        app.add_exception_handler(kind, answer)

    add(ApiProblem, _as_it_is)
    add(RequestValidationError, _of_validation)
    add(HTTPException, _of_http)
    add(Exception, _of_defect)


class TooLongAsProblem:
    """Starlette answers a body beyond its limit in plain text; this gives that answer the shape of all others."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        replaced = False

        async def reshaped(message: Message) -> None:
            nonlocal replaced
            if message["type"] == "http.response.start" and message["status"] == 413:
                replaced = (
                    not MutableHeaders(raw=list(message["headers"])).get("content-type", "").startswith(MEDIA_TYPE)
                )
                if replaced:
                    too_long = HTTPException(413, "Its body is longer than this service takes.")
                    request = Request(scope)
                    await _of_http(request, too_long).response(request)(scope, receive, send)
            if not replaced:
                await send(message)

        await self._app(scope, receive, reshaped if scope["type"] == "http" else send)


def responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """For OpenAPI: these statuses answer with a problem document."""
    content = {MEDIA_TYPE: {"schema": {"$ref": f"#/components/schemas/{ProblemDocument.__name__}"}}}
    return {status: {"description": HTTPStatus(status).phrase, "content": content} for status in statuses}


def describe(spec: dict[str, Any]) -> None:
    """Add the shape that `responses` refers to to an OpenAPI document."""
    schema = ProblemDocument.model_json_schema(ref_template="#/components/schemas/{model}")
    parts = spec.setdefault("components", {}).setdefault("schemas", {})
    parts.update(schema.pop("$defs", {}))
    parts[ProblemDocument.__name__] = schema
