"""What the OpenAPI document says of all addresses alike: who may ask, and what may be answered anywhere. Pure."""

from collections.abc import Mapping
from typing import Any, Final

from services.web.problems import responses

_EVERYWHERE: Final[Mapping[int, str]] = {
    413: "The body is longer than this service takes",
    421: "The Host that was asked for is none of this service's: use its address, or EMOTION_ALLOWED_HOSTS",
    429: "More requests than one may make",
    500: "This service has a defect",
}
_WHO_IS_ASKED_FOR: Final[Mapping[int, str]] = {
    503: "The database that knows logins and keys, or another part that is needed, does not answer",
}
_WAIT: Final = {"Retry-After": {"description": "seconds to wait", "schema": {"type": "integer", "minimum": 1}}}


def complete(spec: dict[str, Any], *, login_required: bool) -> None:
    """Add to each operation what any can answer; where no login is required, say that a key or login is optional."""
    for operation in operations(spec):
        more = dict(_EVERYWHERE)
        if "security" in operation:
            more |= _WHO_IS_ASKED_FOR
            if not login_required:
                operation["security"].insert(0, {})
        answers = operation["responses"]
        for status, when in more.items():
            answers.setdefault(str(status), responses(status)[status] | {"description": when})
        answers["429"]["headers"] = _WAIT
        operation["responses"] = dict(sorted(answers.items()))


def operations(spec: Mapping[str, Any]) -> list[dict[str, Any]]:
    """All operations of a document."""
    return [operation for methods in spec["paths"].values() for operation in methods.values()]


def rights_of(operation: Mapping[str, Any]) -> list[str] | None:
    """The rights that an operation needs: none where a login or key is enough; None where nobody is asked for."""
    for scheme in operation.get("security", ()):
        for rights in scheme.values():
            return list(rights)
    return None


def is_login_required(spec: Mapping[str, Any]) -> bool:
    """Whether a service with this document asks anybody who they are."""
    return not any({} in operation.get("security", ()) for operation in operations(spec))
