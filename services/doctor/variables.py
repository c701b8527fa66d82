"""Do the settings fit, and is none of them misspelt? A variable that nobody reads is otherwise never noticed."""

import difflib
import os
from collections.abc import Iterator, Mapping, Set
from pathlib import Path
from types import UnionType
from typing import Final, Union, get_args, get_origin

from pydantic import BaseModel

from services.doctor.findings import Finding, ok, problem, warning
from shared.settings import ENV_PREFIX, ServiceSettings

_ALIKE: Final = 0.8


def names_of(model: type[BaseModel], prefix: str = ENV_PREFIX) -> set[str]:
    """The variables that set `model`, groups opened."""
    found: set[str] = set()
    for name, field in model.model_fields.items():
        variable = prefix + name.upper()
        found.add(variable)
        for group in _groups(field.annotation):
            found |= names_of(group, variable + "__")
    return found


def _groups(annotation: object) -> list[type[BaseModel]]:
    parts = get_args(annotation) if get_origin(annotation) in (Union, UnionType) else (annotation,)
    return [part for part in parts if isinstance(part, type) and issubclass(part, BaseModel)]


def unknown(given: Set[str], known: Set[str], *, all_known: bool) -> Iterator[Finding]:
    """What to say of variables that no service here reads.

    Args:
        given: the names that are set.
        known: the names that the services installed here read.
        all_known: whether those are all services; else a name that resembles none may be for another image's.
    """
    for name in sorted(given - known):
        alike = difflib.get_close_matches(name, sorted(known), 1, _ALIKE)
        if alike:
            yield warning(
                f"{name} is read by nobody", f"Perhaps {alike[0]} is meant.", f"export {alike[0]}=…; unset {name}"
            )
        elif all_known:
            yield warning(
                f"{name} is read by nobody",
                "No service has such a setting; docs/settings.md lists all.",
                f"unset {name}",
            )


def given_names(environment: Mapping[str, str], files: tuple[Path, ...]) -> set[str]:
    """The names of this project's variables that are set: in the environment, in settings files. No values."""
    names = {name.upper() for name in environment}
    for file in files:
        try:
            lines = file.read_text().splitlines()
        except (OSError, UnicodeDecodeError):
            continue  # loading the settings tells of it
        names |= {line.removeprefix("export ").partition("=")[0].strip().upper() for line in lines if "=" in line}
    return {name for name in names if name.startswith(ENV_PREFIX)}


def load_problem(service: str, words: str) -> Finding:
    """Settings that do not fit."""
    return problem(
        f"the settings of {service} do not fit", words, "env | cut -d= -f1 | grep EMOTION_   # correct those named"
    )


def look(known: Set[str], *, all_known: bool) -> Iterator[Finding]:
    """Look at all variables that are set."""
    file = ServiceSettings.model_config.get("env_file")
    files = (Path(file),) if isinstance(file, str | os.PathLike) else ()
    given = given_names(os.environ, files)
    found = list(unknown(given, known, all_known=all_known))
    yield from found
    if not found:
        yield ok(f"{len(given)} variables set, none misspelt" if given else "all at their defaults")
