"""Looking for secrets where none may be: in text, in files, in all files below a folder."""

from collections.abc import Iterable, Iterator
from pathlib import Path


def leaks(places: Iterable[str | Path], secrets: Iterable[str]) -> list[str]:
    """Where which of `secrets` stands, in words; a folder means every file below it."""
    wanted = [secret.encode() for secret in secrets]
    return [
        f"{secret.decode()} in {name}"
        for place in places
        for name, data in _contents(place)
        for secret in wanted
        if secret in data
    ]


def _contents(place: str | Path) -> Iterator[tuple[str, bytes]]:
    if isinstance(place, str):
        yield place[:200], place.encode()
        return
    for path in sorted(place.rglob("*")) if place.is_dir() else [place]:
        if path.is_file() and not path.is_symlink():
            yield str(path), path.read_bytes()
