"""What the service says of itself, where it runs beside this program."""

import http.client
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from services.doctor.findings import Finding, ok, problem, skipped, warning

_TIMEOUT_S: Final = 3.0
_MAX_BYTES: Final = 65_536
_EVERYWHERE: Final = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}  # noqa: S104 - told from, not listened on


@dataclass(frozen=True, slots=True)
class Ready:
    """The answer of /readyz: which service it is, and what keeps it from working, by part."""

    service: str
    missing: dict[str, str]


def verdict(service: str, ready: Ready) -> Iterator[Finding]:
    """What a service's own answer means."""
    if ready.service != service:
        yield warning(
            f"{ready.service} answers at the port of {service}",
            "Two services on one machine have the same health port.",
            "env | grep -E 'EMOTION_(HEALTH__)?PORT'",
        )
    elif not ready.missing:
        yield ok(f"{service} runs and is ready")
    else:
        for part, words in ready.missing.items():
            yield problem(
                f"{service} runs and is not ready: {part}", f"{words}.", f"docker compose logs --tail 20 {service}"
            )


def ask(host: str, port: int) -> Ready | None:
    """Ask /readyz; None where nothing answers.

    Raises:
        ValueError: something answers that is none of these services.
    """
    connection = http.client.HTTPConnection(_EVERYWHERE.get(host, host), port, timeout=_TIMEOUT_S)
    try:
        connection.request("GET", "/readyz")
        body = json.loads(connection.getresponse().read(_MAX_BYTES))
        missing = {str(part): str(words) for part, words in body["missing"].items()}
        return Ready(str(body["service"]), missing)
    except OSError:
        return None
    except (http.client.HTTPException, KeyError, TypeError, AttributeError) as error:
        raise ValueError("not an answer of /readyz") from error
    finally:
        connection.close()


def look(service: str, host: str, port: int) -> Iterator[Finding]:
    """Ask the service itself; port 0: it does not listen."""
    if port == 0:
        yield skipped(f"{service} has no health port (EMOTION_HEALTH__PORT)")
        return
    try:
        ready = ask(host, port)
    except ValueError:
        cause = "What answers there is no service of this project."
        yield problem(f"port {port} is taken by another program", cause, f"sudo ss -ltnp 'sport = :{port}'")
        return
    if ready is None:
        yield skipped(f"{service} does not run here (nothing answers at port {port})")
    else:
        yield from verdict(service, ready)
