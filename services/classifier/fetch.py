"""Edge: gets YuNet's file from OpenCV's model zoo, once, checked."""

import hashlib
import http.client
import os
import tempfile
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Final

from services.classifier.yunet_file import YUNET_PATH, YUNET_SHA256, yunet_problem
from shared.errors import ModelError

YUNET_URL: Final = (
    "https://media.githubusercontent.com/media/opencv/opencv_zoo/main/"
    "models/face_detection_yunet/face_detection_yunet_2023mar.onnx"
)
"""The zoo keeps its files in git-lfs; this address gives the file itself, not the pointer."""
_MAX_BYTES: Final = 2 * 1024 * 1024
_CHUNK: Final = 32 * 1024
_TIMEOUT_S: Final = 30.0
_LFS_POINTER: Final = b"version https://git-lfs"

Progress = Callable[[int, int | None], None]
"""Called with the bytes that are here and the bytes that are expected, where known."""


def fetch_detector(
    models_dir: Path, progress: Progress | None = None, *, url: str = YUNET_URL, sha256: str = YUNET_SHA256
) -> Path:
    """Put YuNet's file below `models_dir`; do nothing where it is there already. Blocking.

    The file appears under its name only when it is whole and its hash is right.

    Raises:
        ModelError: no connection, a wrong or cut-off file, a folder that cannot be written; says how to mend it.
    """
    target = models_dir / YUNET_PATH
    if sha256 == YUNET_SHA256 and yunet_problem(target) is None:
        return target
    by_hand = f"or put the file there by hand: {target}"
    try:
        data = _download(url, progress)
    except (OSError, http.client.HTTPException, ValueError) as error:
        inner = error.reason if isinstance(error, urllib.error.URLError) else error
        reason = (inner.strerror if isinstance(inner, OSError) else None) or inner
        raise ModelError(
            f"cannot fetch the face detector from {url} ({reason}); check the connection to the internet and try "
            f"again, {by_hand}"
        ) from None
    if data.startswith(_LFS_POINTER):
        raise ModelError(f"{url} gave a git-lfs pointer instead of the file; use the address of the file, {by_hand}")
    digest = hashlib.sha256(data).hexdigest()
    if digest != sha256:
        raise ModelError(
            f"{url} gave a file of {len(data)} bytes with sha256 {digest[:12]}…, expected {sha256[:12]}…; it was not "
            f"kept. Try again, {by_hand}"
        )
    try:
        _put(target, data)
    except OSError as error:
        raise ModelError(f"cannot write {target} ({error.strerror}); make the folder writable, {by_hand}") from None
    return target


def _download(url: str, progress: Progress | None) -> bytes:
    if not url.startswith(("https://", "http://127.0.0.1:")):
        raise ValueError("expected an https address")
    request = urllib.request.Request(url, headers={"User-Agent": "emotion-edge"})  # noqa: S310 - checked above
    with urllib.request.urlopen(request, timeout=_TIMEOUT_S) as reply:  # noqa: S310 - checked above
        length = reply.headers.get("Content-Length")
        expected = int(length) if length and length.isdigit() else None
        data = bytearray()
        while chunk := reply.read(_CHUNK):
            data += chunk
            if len(data) > _MAX_BYTES:
                raise ValueError(f"more than {_MAX_BYTES} bytes came; the file has about 230 kB")
            if progress is not None:
                progress(len(data), expected)
    if expected is not None and len(data) < expected:
        raise ValueError(f"cut off after {len(data)} of {expected} bytes")
    return bytes(data)


def _put(target: Path, data: bytes) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=target.parent, prefix=".fetch-")
    temporary = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.chmod(0o644)
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)
