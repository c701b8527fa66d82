"""What an export holds, format by format: which bytes go to which file, for some faces at a time. Pure; blocks a while.

An export is one zip file. A format goes over the faces once or more; each `Pass` sees those of one split, or all, in
order, and adds to files one after the other. The same faces always give the same bytes, so that an export can be gone
on with, and made again elsewhere.
"""

import importlib.util
import io
import json
import tarfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Literal
from uuid import UUID

from services.web.datasets import snippets
from services.web.datasets.pictures import fer2013_face
from services.web.datasets.snippets import Snippet
from shared.db.study_tables import VOTES
from shared.emotions import EMOTIONS
from shared.messages import rfc3339

FormatName = Literal["folders", "fer2013", "webdataset", "parquet"]
SHARD_ITEMS: Final = 1000
_BATCH: Final = 64
_PARQUET_ITEMS: Final = 250
"""Faces of one file, which are in memory together."""
_TAR_BLOCK: Final = 512
_ROOM_BESIDE: Final = 64_000
"""Bytes: the manifest, folders and headers of an export, whatever it holds."""
_USAGES: Final = {"train": "Training", "validation": "PublicTest", "test": "PrivateTest"}
_FERPLUS: Final = {
    "neutral": "neutral",
    "happiness": "happy",
    "surprise": "surprise",
    "sadness": "sad",
    "anger": "angry",
    "disgust": "disgust",
    "fear": "fear",
    "contempt": None,
    "unknown": "unknown",
    "NF": "not_a_face",
}
"""FER+'s columns in their order, and the vote that each counts; nobody is asked for contempt here."""


@dataclass(frozen=True, slots=True)
class Item:
    """A face of a dataset. `image` is empty in a pass that needs none."""

    number: int
    captured_at: datetime
    event_id: UUID
    face_index: int
    device: str
    label: str
    votes: Mapping[str, int]
    agreement: float
    split: str
    person: str
    session_id: UUID | None
    width: int
    height: int
    sha256: bytes
    image: bytes

    @property
    def source(self) -> str:
        """Who gave the label."""
        return "people" if self.votes else "model"

    @property
    def name(self) -> str:
        """Of its picture, without folder."""
        return f"{self.number:06}"

    def described(self) -> dict[str, Any]:
        """What is known of it, the same fields for every face."""
        return {
            "label": self.label,
            "label_source": self.source,
            "agreement": round(self.agreement, 4),
            "split": self.split,
            "person": self.person,
            "session": None if self.session_id is None else str(self.session_id),
            "votes": {vote: self.votes.get(vote, 0) for vote in VOTES},
            "face": {
                "event_id": str(self.event_id),
                "face_index": self.face_index,
                "device": self.device,
                "captured_at": rfc3339(self.captured_at),
                "width": self.width,
                "height": self.height,
            },
        }


Render = Callable[[Sequence[Item], int, int], Iterator[tuple[str, bytes]]]
"""Some items in order, how many of the pass came before, how many it has: names of files and what they get."""


@dataclass(frozen=True, slots=True)
class Pass:
    """Once over the faces of a split (None: of all)."""

    split: str | None
    images: bool
    render: Render
    batch: int = _BATCH


@dataclass(frozen=True, slots=True)
class Format:
    """A form of export."""

    title: str
    what: str
    passes: Callable[[Sequence[str]], list[Pass]]
    """Given the splits that have any face, in their order."""
    snippets: tuple[Snippet, ...]
    room_each: int
    """Bytes that a face takes at most, beside its picture where the format has that."""
    has_pictures: bool = True
    """As they are in the dataset."""
    needs: str | None = None
    """A package that is not everywhere."""

    def room(self, faces: int, pictures: int) -> int:
        """Bytes that an export takes at most, of so many faces whose pictures have so many bytes together."""
        return _ROOM_BESIDE + faces * self.room_each + (pictures if self.has_pictures else 0)

    def missing(self) -> str | None:
        """Why it cannot be made here; None where it can."""
        if self.needs is None or importlib.util.find_spec(self.needs) is not None:
            return None
        return (
            f"This format needs {self.needs}, which is not installed here. Install it (pip install {self.needs}), or "
            "run `emotion-edge export` where it is."
        )


def _lines(rows: Sequence[Mapping[str, Any]]) -> bytes:
    return b"".join(json.dumps(row, ensure_ascii=False, separators=(",", ":")).encode() + b"\n" for row in rows)


# --- class folders ----------------------------------------------------------------------------------------------------


def _folders(splits: Sequence[str]) -> list[Pass]:
    passes: list[Pass] = []
    for split in splits:
        passes += [Pass(split, True, _pictures), Pass(split, False, _metadata, 1000)]
    return passes


def _pictures(items: Sequence[Item], before: int, total: int) -> Iterator[tuple[str, bytes]]:
    if not before:
        # Every split has every class, also where it has no face: libraries number the classes by the folders they find.
        yield from ((f"{items[0].split}/{label}/", b"") for label in EMOTIONS)
    for item in items:
        yield f"{item.split}/{item.label}/{item.name}.png", item.image


def _metadata(items: Sequence[Item], before: int, total: int) -> Iterator[tuple[str, bytes]]:
    rows = [{"file_name": f"{item.label}/{item.name}.png", **item.described()} for item in items]
    yield f"{items[0].split}/metadata.jsonl", _lines(rows)


# --- FER2013 ----------------------------------------------------------------------------------------------------------


def _fer2013(splits: Sequence[str]) -> list[Pass]:
    return [Pass(None, True, _pixels), Pass(None, False, _ferplus, 1000)]


def _pixels(items: Sequence[Item], before: int, total: int) -> Iterator[tuple[str, bytes]]:
    lines = [] if before else ["emotion,pixels,Usage,person,session"]
    for item in items:
        pixels = " ".join(map(str, fer2013_face(item.image).ravel().tolist()))
        groups = f"{_cell(item.person)},{item.session_id or ''}"
        lines.append(f"{EMOTIONS.index(item.label)},{pixels},{_USAGES[item.split]},{groups}")
    yield "fer2013.csv", ("\n".join(lines) + "\n").encode()


def _ferplus(items: Sequence[Item], before: int, total: int) -> Iterator[tuple[str, bytes]]:
    lines = [] if before else [",".join(("Usage", "Image name", *_FERPLUS))]
    for item in items:
        counts = (0 if vote is None else item.votes.get(vote, 0) for vote in _FERPLUS.values())
        lines.append(",".join((_USAGES[item.split], f"{item.name}.png", *map(str, counts))))
    yield "fer2013new.csv", ("\n".join(lines) + "\n").encode()


def _cell(text: str) -> str:
    """A text as a field of a CSV line. What a spreadsheet would take for a formula is kept from being one."""
    safe = f"'{text}" if text.startswith(("=", "+", "-", "@")) else text
    return '"' + safe.replace('"', '""') + '"' if any(c in safe for c in ',"\n\r') else safe


# --- WebDataset -------------------------------------------------------------------------------------------------------


def _webdataset(splits: Sequence[str]) -> list[Pass]:
    return [Pass(split, True, _shards) for split in splits]


def _shards(items: Sequence[Item], before: int, total: int) -> Iterator[tuple[str, bytes]]:
    for at, item in enumerate(items, start=before):
        shard = f"{item.split}-{at // SHARD_ITEMS:06}.tar"
        yield shard, _tar_entry(f"{item.name}.cls", str(EMOTIONS.index(item.label)).encode())
        yield shard, _tar_entry(f"{item.name}.json", _lines([item.described()]))
        yield shard, _tar_entry(f"{item.name}.png", item.image)
        if at + 1 == total or (at + 1) % SHARD_ITEMS == 0:
            yield shard, bytes(2 * _TAR_BLOCK)


def _tar_entry(name: str, data: bytes) -> bytes:
    info = tarfile.TarInfo(name)
    info.size = len(data)
    return info.tobuf(tarfile.USTAR_FORMAT) + data + bytes(-len(data) % _TAR_BLOCK)


# --- Parquet ----------------------------------------------------------------------------------------------------------


def _parquet(splits: Sequence[str]) -> list[Pass]:
    return [Pass(split, True, _tables, _PARQUET_ITEMS) for split in splits]


def _tables(items: Sequence[Item], before: int, total: int) -> Iterator[tuple[str, bytes]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows = []
    for item in items:
        known = item.described()
        rows.append(
            {
                "image": {"bytes": item.image, "path": f"{item.name}.png"},
                "label_id": EMOTIONS.index(item.label),
                **{name: known[name] for name in ("label", "label_source", "agreement", "person", "session")},
                **{f"votes_{vote}": count for vote, count in known["votes"].items()},
                **known["face"],
            }
        )
    schema = pa.schema(
        [
            ("image", pa.struct([("bytes", pa.binary()), ("path", pa.string())])),
            ("label_id", pa.int64()),
            ("label", pa.string()),
            ("label_source", pa.string()),
            ("agreement", pa.float64()),
            ("person", pa.string()),
            ("session", pa.string()),
            *((f"votes_{vote}", pa.int64()) for vote in VOTES),
            ("event_id", pa.string()),
            ("face_index", pa.int64()),
            ("device", pa.string()),
            ("captured_at", pa.string()),
            ("width", pa.int64()),
            ("height", pa.int64()),
        ]
    )
    buffer = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows, schema=schema), buffer, compression="zstd")
    yield f"{items[0].split}-{before // _PARQUET_ITEMS:05}.parquet", buffer.getvalue()


FORMATS: Final[dict[FormatName, Format]] = {
    "folders": Format(
        "class folders with metadata.jsonl",
        "A PNG for each face in train, validation and test, by label. Opens in Keras, torchvision, Hugging Face's "
        "datasets and this project's training.",
        _folders,
        snippets.FOLDERS,
        room_each=1_500,
    ),
    "fer2013": Format(
        "FER2013's CSV",
        "fer2013.csv with 48x48 grey pixels, and the votes as FER+ has them in fer2013new.csv.",
        _fer2013,
        snippets.FER2013,
        room_each=10_000,
        has_pictures=False,
    ),
    "webdataset": Format(
        "WebDataset tar shards",
        f"Tar files of {SHARD_ITEMS:,} faces each, to be read in a stream; for large sets.",
        _webdataset,
        snippets.WEBDATASET,
        room_each=4_500,
    ),
    "parquet": Format(
        "Parquet",
        f"Tables with the pictures in a column, {_PARQUET_ITEMS} faces a file.",
        _parquet,
        snippets.PARQUET,
        room_each=1_000,
        needs="pyarrow",
    ),
}
