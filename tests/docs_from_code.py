"""The parts of docs/ that come from the code: `make docs` writes them, `tests/test_docs.py` compares them.

docs/settings.md lists every setting of every service; docs/messages.md shows every message and its golden example.
"""

import json
from pathlib import Path
from typing import Any

from pydantic import BaseModel, SecretStr
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from services.capture.settings import CaptureSettings
from services.classifier.settings import ClassifierSettings
from services.export import ExportSettings
from services.ingest.settings import IngestSettings
from services.migrate import MigrateSettings
from services.people import PeopleSettings
from services.privacy import PrivacySettings
from services.web.settings import WebSettings
from shared.messages import Desired, Detection, FrameInfo, Live, Status, Versioned
from shared.settings import ENV_PREFIX, ServiceSettings

ROOT = Path(__file__).resolve().parents[1]
SERVICES: dict[str, type[ServiceSettings]] = {
    "capture": CaptureSettings,
    "classifier": ClassifierSettings,
    "ingest": IngestSettings,
    "web": WebSettings,
    "migrate": MigrateSettings,
    "user": PeopleSettings,
    "retention, erase, audit": PrivacySettings,
    "export": ExportSettings,
}
MESSAGES: dict[str, tuple[type[Versioned], str]] = {
    "detection": (Detection, "`emotion/<device>/detections`, QoS 1"),
    "frame_info": (FrameInfo, "inside every picture, as a JPEG comment segment"),
    "live": (Live, "`emotion/<device>/live`, QoS 0"),
    "status": (Status, "`emotion/<device>/status/<service>`, QoS 1, retained; the last will says `offline`"),
    "desired": (Desired, "`emotion/<device>/desired`, QoS 1, retained"),
}
_NAMED_BY_THE_MACHINE = {"device": "the host's name"}


def settings_page() -> str:
    """docs/settings.md."""
    lines = [
        "# Settings",
        "",
        "Written from the code by `make docs`. Every service reads the environment variables of its table; a variable",
        "means the same in each. Files of a variable's name in `/run/secrets` count too, and so do lines of the same",
        "form in `/run/secrets/emotion.env`: for passwords, which do not belong into a container's environment.",
        "The environment wins.",
    ]
    for service, settings in SERVICES.items():
        lines += ["", f"## {service}", "", "| variable | default | what |", "| --- | --- | --- |"]
        lines += [f"| `{name}` | {default} | {what} |" for name, default, what in _rows(settings, ENV_PREFIX)]
    return "\n".join(lines) + "\n"


def _rows(model: type[BaseModel], prefix: str) -> list[tuple[str, str, str]]:
    rows: list[tuple[str, str, str]] = []
    for name, field in model.model_fields.items():
        group = _group(field)
        variable = prefix + name.upper()
        if group is not None:
            rows += _rows(group, variable + "__")
        else:
            rows.append((variable, _default(name, field), (field.description or "").replace("|", "\\|")))
    return rows


def _group(field: FieldInfo) -> type[BaseModel] | None:
    candidates = [field.annotation, *getattr(field.annotation, "__args__", ())]
    return next((c for c in candidates if isinstance(c, type) and issubclass(c, BaseModel)), None)


def _default(name: str, field: FieldInfo) -> str:
    if name in _NAMED_BY_THE_MACHINE:
        return _NAMED_BY_THE_MACHINE[name]
    value: Any = field.get_default(call_default_factory=True, validated_data={})
    if value is PydanticUndefined:
        return "required"
    if value is None:
        return "not set"
    if isinstance(value, SecretStr):
        value = value.get_secret_value()
    if isinstance(value, Path) and value.is_absolute() and value.is_relative_to(ROOT):
        value = value.relative_to(ROOT)
    return f"`{json.dumps(value) if isinstance(value, bool | list | tuple) else value}`"


def messages_page() -> str:
    """docs/messages.md: its table of topics is kept by hand, its messages come from the code."""
    page = ROOT / "docs" / "messages.md"
    head = page.read_text().split("<!-- from the code: make docs -->")[0]
    lines = [head + "<!-- from the code: make docs -->"]
    for name, (model, where) in MESSAGES.items():
        lines += ["", f"## {model.__name__}", "", (model.__doc__ or "").strip(), "", f"Where: {where}.", ""]
        lines += ["```json", (ROOT / "tests" / "golden" / f"{name}.json").read_text().rstrip(), "```"]
        described = [(f.alias or n, f.description) for n, f in model.model_fields.items() if f.description]
        if described:
            lines += ["", *(f"- `{field}`: {text}." for field, text in described)]
    return "\n".join(lines) + "\n"


PAGES = {"docs/settings.md": settings_page, "docs/messages.md": messages_page}


def main() -> None:
    """Write the pages."""
    for name, make in PAGES.items():
        (ROOT / name).write_text(make())


if __name__ == "__main__":
    main()
