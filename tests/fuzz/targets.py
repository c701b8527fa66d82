"""What takes bytes from outside, each as a function that must neither raise nor hang, whatever the bytes.

The same functions are run by hypothesis and over the corpus in `make test`, and by atheris in `make fuzz`. A refusal is
right; every other exception is a finding, whose bytes go to `corpus/` so that it stays found.
"""

import contextlib
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Final
from uuid import UUID

from services.capture.encode import whole_jpeg
from services.capture.headers import size_of
from services.classifier.pipeline import decode as decode_picture
from services.ingest.validate import Accepted, Arrival, Picture, validate
from services.web import cursors
from services.web.feed import Feed
from services.web.hub import MAX_DEVICES, MAX_KEPT, Hub
from shared.errors import BadMessage, BadPicture, ModelError
from shared.jpeg import MAX_JPEG_BYTES, MAX_PIXELS, JpegSplitter, check_picture, read_comment, with_comment
from shared.messages import Desired, Detection, FrameInfo, Live, Status, Versioned, decode, decode_ack, message_id
from shared.metrics import Metrics
from shared.preset import PRESET_FILE, load_model
from shared.topics import Topics

CORPUS: Final = Path(__file__).parent / "corpus"
TOPICS: Final = Topics()
DEVICE: Final = "lab-jetson"
MODELS: Final[tuple[type[Versioned], ...]] = (Detection, FrameInfo, Live, Status, Desired)
_FRAME_ID: Final = UUID("018f3a5e-6d10-7c3d-9e00-0000000000bb")
_DECODED_PIXELS: Final = 1_000_000
"""Larger ones are left to the decoder's own tests: they only cost time here."""
_MOST_TOLD: Final = 1000

_hub = Hub()
_feed = Feed(TOPICS, _hub, Metrics("web"))
_FED: Final = (
    TOPICS.live(DEVICE),
    TOPICS.preview(DEVICE),
    TOPICS.detections(DEVICE),
    TOPICS.ack(DEVICE),
    TOPICS.status(DEVICE, "capture"),
    TOPICS.desired(DEVICE),
)


def message(data: bytes) -> None:
    """Every decoder of JSON. What one accepts survives being written and read again."""
    for model in MODELS:
        try:
            read = decode(model, "t", data)
        except BadMessage as error:
            told = str(error)
        else:
            told = ""
            assert decode(model, "t", read.to_json()) == read
        assert len(told) < _MOST_TOLD
        assert told.isprintable()
    with contextlib.suppress(BadMessage):
        decode_ack("t", data)
    message_id(data)


def ingest(data: bytes) -> None:
    """Ingest's judgement on a detection, a picture and an unknown topic; what it accepts, Postgres' text takes."""
    for topic in (TOPICS.detections(DEVICE), TOPICS.frames(DEVICE, _FRAME_ID), "emotion/x/y"):
        judged = validate(TOPICS, Arrival(topic, data))
        if isinstance(judged, Accepted):
            content = judged.content.info if isinstance(judged.content, Picture) else judged.content
            assert b"\\u0000" not in content.to_json()
            content.source.name.encode()
        else:
            assert len(judged.text) < _MOST_TOLD


def web(data: bytes) -> None:
    """What the web service listens to."""
    for topic in _FED:
        _feed.handle(topic, data)
    _feed.handle(TOPICS.status(f"d-{data[:2].hex()}", "s" + data[2:6].hex()), data)
    assert len(_hub.devices) <= MAX_DEVICES
    assert all(len(_hub.latest(device)) <= MAX_KEPT for device in _hub.devices)


def picture(data: bytes) -> None:
    """Every reader of pictures, and the decoder behind them."""
    for read in (read_comment, whole_jpeg, size_of):
        with contextlib.suppress(BadPicture):
            read(data)
    try:
        width, height = check_picture(data)
    except BadPicture:
        return
    assert len(data) <= MAX_JPEG_BYTES
    assert 0 < width * height <= MAX_PIXELS
    marked = with_comment(data, b"said")
    assert read_comment(marked) == b"said"
    assert check_picture(marked) == (width, height)
    if width * height <= _DECODED_PIXELS:
        with contextlib.suppress(BadPicture):
            decode_picture(data)


def stream(data: bytes) -> None:
    """A camera's stream of pictures, which comes in pieces."""
    splitter = JpegSplitter(max_bytes=1000)
    step = 1 + data[0] if data else 1
    found = [one for at in range(0, len(data), step) for one in splitter.feed(data[at : at + step])]
    assert sum(map(len, found)) + splitter.skipped_bytes <= len(data)


def cursor(data: bytes) -> None:
    """A page's cursor, which comes back from outside."""
    with contextlib.suppress(ValueError):
        read = cursors.decode(data.decode("latin-1"))
        assert cursors.decode(cursors.encode(read)) == read


def preset(data: bytes) -> None:
    """A model folder that came from elsewhere."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, PRESET_FILE).write_bytes(data)
        with contextlib.suppress(ModelError):
            load_model(Path(folder))


TARGETS: Final[dict[str, tuple[Callable[[bytes], None], str]]] = {
    "message": (message, "message"),
    "ingest": (ingest, "message"),
    "web": (web, "message"),
    "picture": (picture, "picture"),
    "stream": (stream, "picture"),
    "cursor": (cursor, "message"),
    "preset": (preset, "message"),
}
"""By name: the function, and the folder of the corpus that it shares with its like."""


def corpus(kind: str) -> list[Path]:
    """The inputs that are kept."""
    return sorted((CORPUS / kind).iterdir())
