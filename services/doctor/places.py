"""Where this program runs."""

from pathlib import Path
from typing import Final

_MARKS: Final = (Path("/.dockerenv"), Path("/run/.containerenv"))
COMPOSE: Final = "docker compose -f docker-compose.jetson.yml"


def in_container() -> bool:
    """Whether this is a container of Docker or Podman: some commands then have to be given outside of it."""
    return any(mark.exists() for mark in _MARKS)
