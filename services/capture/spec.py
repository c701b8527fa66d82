"""What the one `source` setting means. Pure."""

import re
from dataclasses import dataclass, field
from pathlib import PurePath
from typing import Final, Literal
from urllib.parse import urlsplit

from shared.errors import SettingsError

Kind = Literal["camera", "path", "url", "gstreamer", "sample", "browser"]

_MAX_NAME: Final = 512
_STREAM_SCHEMES: Final = frozenset({"rtsp", "rtsps", "http", "https"})
_SCHEME: Final = re.compile(r"^([A-Za-z][A-Za-z0-9+.-]*)://")
_URL_SECRET: Final = re.compile(r"://[^/\s]*@")
_NAMED_SECRET: Final = re.compile(r"\b([\w-]*(?:pw|pwd|pass|passwd|password|token|key))=[^\s&\"']+", re.IGNORECASE)
_EXPECTED: Final = (
    "expected a camera (0 or /dev/video0), a video file, a folder of pictures, an rtsp://, rtsps://, http:// or "
    "https:// address, gst:PIPELINE, sample, or browser"
)


@dataclass(frozen=True, slots=True)
class SourceSpec:
    """A source as the user named it.

    Attributes:
        kind: its type; whether a path is a file or a folder is found out when it is opened.
        value: what to open; may carry a password, so it is never shown.
        name: what to show of it.
    """

    kind: Kind
    value: str = field(repr=False)
    name: str


def parse_source(text: str) -> SourceSpec:
    """Read the `source` setting.

    Raises:
        SettingsError: if it can be none of the kinds.
    """
    value = text.strip()
    if not value:
        raise SettingsError(f"source is empty; {_EXPECTED}")
    if "\0" in value or "\n" in value:
        raise SettingsError(f"source holds a line break or a zero byte; {_EXPECTED}")
    if value == "sample":
        return SourceSpec("sample", value, "sample")
    if value == "browser":
        return SourceSpec("browser", value, "browser")
    if value.isascii() and value.isdigit():
        return SourceSpec("camera", value, f"camera {int(value)}")
    if value.startswith("/dev/"):
        return SourceSpec("camera", value, value[:_MAX_NAME])
    if value.startswith("gst:"):
        return _pipeline(value.removeprefix("gst:").strip())
    if match := _SCHEME.match(value):
        return _address(value, match[1].lower())
    return SourceSpec("path", value, (PurePath(value).name or value)[:_MAX_NAME])


def without_secrets(text: str) -> str:
    """`text` with the user names and passwords of addresses, and values named like passwords, replaced by ***."""
    return _NAMED_SECRET.sub(r"\1=***", _URL_SECRET.sub("://***@", text))


def _pipeline(pipeline: str) -> SourceSpec:
    if not pipeline:
        raise SettingsError("source is gst: without a pipeline; expected for example gst:videotestsrc ! jpegenc")
    # Properties may hold addresses and passwords; the first element says enough.
    return SourceSpec("gstreamer", pipeline, pipeline.split()[0].rstrip("!")[:_MAX_NAME] or "pipeline")


def _address(value: str, scheme: str) -> SourceSpec:
    if scheme not in _STREAM_SCHEMES:
        raise SettingsError(f"source is an address that begins with {scheme}://; {_EXPECTED}")
    try:
        parts = urlsplit(value)
        host, port = parts.hostname, parts.port
    except ValueError:
        raise SettingsError(
            f"source is a {scheme}:// address that cannot be read; "
            f"expected {scheme}://user:password@host:port/path, special characters in the password as %XX"
        ) from None
    if not host:
        raise SettingsError(f"source is a {scheme}:// address without a host; expected {scheme}://host:port/path")
    shown = f"[{host}]" if ":" in host else host
    # Cameras take passwords in the query too, so it is not shown.
    name = f"{scheme}://{shown}{f':{port}' if port else ''}{parts.path}"
    return SourceSpec("url", value, name[:_MAX_NAME])
