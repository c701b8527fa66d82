"""Examples for the OpenAPI document, put together from those of its parts. Pure.

A field says what is typical of it (`examples`), or its name does, for the interface calls one thing by one name
everywhere; an object's example is made of its fields'. So a field that is added is in every example that has it.
"""

import json
from collections.abc import Mapping
from typing import Any, Final

JSON: Final = "application/json"
_REF: Final = "#/components/schemas/"
_AT: Final = "2026-03-01T12:00:05.250000Z"
_LATER: Final = "2026-03-01T12:20:00.000000Z"
_ID: Final = "0195532e-8b70-7c3e-9d0a-2f6b7a1c4d5e"
_SHA256: Final = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
_FILTER: Final = {"device": "camera-1", "min_votes": 2}
_SPLIT: Final = {"train": 80, "validation": 10, "test": 10}
_LABELS: Final = {"angry": 0, "disgust": 0, "fear": 0, "happy": 412, "sad": 127, "surprise": 0, "neutral": 388}

_BY_NAME: Final[Mapping[str, Any]] = {
    # what the camera saw
    "device": "camera-1",
    "devices": ["camera-1"],
    "track_id": 3,
    "frame_number": 1236,
    "frame_size": [640, 360],
    "face_index": 0,
    "version": "1.2.0",
    "picture": f"/api/v1/frames/{_ID}.jpg",
    "x": 212,
    "y": 90,
    "w": 120,
    "h": 128,
    "confidence": 0.84,
    "best_confidence": 0.91,
    "dominant_emotion": "happy",
    "ok_share": 0.96,
    "width": 640,
    "height": 360,
    "bytes": 48213,
    "sha256": _SHA256,
    "headline": "Looks happy",
    "looks": "happy",
    "statuses": {
        "capture": {
            "schema": 1,
            "device": "camera-1",
            "service": "capture",
            "state": "online",
            "at": "2026-03-01T12:00:05.250000Z",
            "problems": [],
            "values": {"fps": 15.0, "source": "0"},
            "received_at": "2026-03-01T12:00:05.172000Z",
            "clock_skew_s": 0.078,
        }
    },
    "desired": {"paused": False, "model": "slim_resnet"},
    "in_use_by": ["camera-1"],
    "present_on": ["camera-1"],
    # counts
    "faces": 24,
    "detections": 240,
    "counts": {"happy": 18, "neutral": 6},
    "episodes": {"happy": 3, "neutral": 2},
    "mean": {"happy": 0.61, "neutral": 0.2},
    "bucket": "1m",
    "bucket_s": 300.0,
    "step_s": 2.0,
    "people_left_out": 0,
    # times, besides those that end in _at
    "at": _AT,
    "start": _AT,
    "from": "2026-03-01T12:00:00.000000Z",
    "to": _LATER,
    "searched_to": None,
    "next_cursor": None,
    "oldest_detection": _AT,
    "oldest_frame": _AT,
    "days": {"detections": 365, "frames": 30},
    # studies and labels
    "participant": "P07",
    "condition": "video call",
    "text": "I was confused here",
    "labeller": "ada",
    "label": "happy",
    "votes": 64,
    "votes_since": 12,
    "waiting": 431,
    "others": {"happy": 2, "neutral": 1},
    "faces_of_all": 310,
    "faces_of_several": 120,
    "labellers": {"ada": 64, "berta": 71},
    "fleiss_kappa": 0.61,
    "kappa": 0.63,
    "first": "ada",
    "second": "berta",
    "agreement": 0.78,
    # datasets
    "name": "lab-spring",
    "filter": _FILTER,
    "split": _SPLIT,
    "note": "Consent form v2: research in this lab only. Not to be passed on.",
    "dataset": "lab-spring",
    "format": "folders",
    "file": f"/api/v1/exports/{_ID}/file",
    "file_name": "lab-spring-folders.zip",
    "manifest_sha256": _SHA256,
    "items": 927,
    "labels": _LABELS,
    "persons": 14,
    "sessions": 9,
    "pseudo_labels": 0,
    "left_out": {"few_votes": 61},
    "splits": {
        "train": {
            "items": 741,
            "persons": 11,
            "labels": {"angry": 0, "disgust": 0, "fear": 0, "happy": 330, "sad": 101, "surprise": 0, "neutral": 310},
        },
        "validation": {
            "items": 93,
            "persons": 1,
            "labels": {"angry": 0, "disgust": 0, "fear": 0, "happy": 41, "sad": 13, "surprise": 0, "neutral": 39},
        },
        "test": {
            "items": 93,
            "persons": 2,
            "labels": {"angry": 0, "disgust": 0, "fear": 0, "happy": 41, "sad": 13, "surprise": 0, "neutral": 39},
        },
    },
    "compared": {"done": 969, "total": 969},
    "copies": 4,
    "near_copies": 38,
    "dropped_copies": 42,
    "done": 120,
    "total": 927,
    "erased_items": 0,
    "error": None,
    "missing": None,
    "title": "class folders",
    "what": "train, validation and test, in each a folder for every label",
    "library": "pandas",
    "by_hand": None,
    "code": 'rows = pandas.read_json("FILE/train/metadata.jsonl", lines=True)',
    # people, keys, and what they did
    "created_by": "ada",
    "requested_by": "ada",
    "who": "ada",
    "owner": "ada",
    "role": "researcher",
    "everywhere": True,
    "disabled": False,
    "disabled_at": None,
    "revoked_at": None,
    "old": "six quiet harbours",
    "new": "a kettle on the third step",
    "password": "six quiet harbours",
    "logins": 1,
    "keys": 2,
    "ended": 1,
    "action": "view",
    "object": "detections",
    "detail": {"query": {"device": "camera-1", "emotion": "happy"}},
    "request_id": _ID,
    "rows": {"detections": 1800, "faces": 2104, "frames": 90},
    "rows_before": {"detections": 1800, "faces": 2104, "frames": 90},
    "rows_after": {"detections": 0, "faces": 0, "frames": 0},
    "rows_removed": 500,
    "failed": None,
}
"""What is typical of a field, by its name."""

_BY_PLACE: Final[Mapping[str, Any]] = {
    "PreviewRequest.filter": _FILTER,
    "NewDataset.filter": _FILTER,
    "PreviewRequest.split": _SPLIT,
    "NewDataset.split": _SPLIT,
    "BuiltSummary.labellers": 3,
    "Preview.certainty": "exact",
    "Preview.labellers": 3,
    "ModelRef.name": "slim_resnet",
    "Source.kind": "camera",
    "Source.name": "0",
    "ExportFormat.name": "folders",
    "Words.state": "happy",
    "Dataset.state": "ready",
    "Dataset.progress": None,
    "Export.state": "ready",
    "Context.votes": [{"happy": 2, "neutral": 1}],
    "ErasureEntry.id": 7,
    "ErasureEntry.item_id": None,
    "ModelEntry.name": "slim_resnet",
    "PersonEntry.name": "ada",
    "KeyEntry.name": "notebook on the lab's server",
    "StatsBucket.faces": 231,
}
"""Where a name means something else than elsewhere."""

Schema = Mapping[str, Any]


class NoExample(ValueError):
    """Nothing says what is typical of a part; its text is where that part is."""


def add(spec: dict[str, Any]) -> None:
    """Give every JSON body, and every JSON answer that is no error, its example.

    One with a part of which nothing says what is typical gets none; the test of the document names that part.
    """
    schemas = spec.get("components", {}).get("schemas", {})
    for content in contents(spec).values():
        try:
            content["example"] = example(content["schema"], schemas)
        except NoExample:
            continue


def contents(spec: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """What holds the schema of each JSON body and each JSON answer that is no error, by what it is of."""
    return {
        f"{method.upper()} {path} {name}": content
        for path, operations in spec["paths"].items()
        for method, operation in operations.items()
        for name, content in contents_of(operation).items()
    }


def contents_of(operation: Schema) -> dict[str, dict[str, Any]]:
    """The same of one operation, by `body` or the answer's status."""
    parts = {"body": operation.get("requestBody", {})}
    parts |= {status: answer for status, answer in operation["responses"].items() if status.startswith("2")}
    return {name: part["content"][JSON] for name, part in parts.items() if JSON in part.get("content", {})}


def as_text(value: Any) -> str:
    """An example as people read JSON."""
    return json.dumps(value, indent=2, ensure_ascii=False)


def example(schema: Schema, schemas: Mapping[str, Schema], where: str = "") -> Any:
    """What is typical of `schema`; `schemas` are those that it refers to, by name, and `where` is what has it.

    Raises:
        NoExample: if a part that has to be there has neither an example nor a kind that is one.
    """
    name = where.rpartition(".")[2]
    if where in _BY_PLACE:
        return _BY_PLACE[where]
    if schema.get("examples"):
        return schema["examples"][0]
    if "$ref" in schema:
        target = schema["$ref"].removeprefix(_REF)
        # What is worth a name of its own says more of itself than the name of a field does, unless it is but a word.
        return example(schemas[target], schemas, target if "properties" in schemas[target] else where)
    if "const" in schema:
        return schema["const"]
    if schema.get("type") != "array" or not _is_of_objects(schema):
        if name in _BY_NAME and not _refers(schema):
            return _BY_NAME[name]
        if name.endswith("_at"):
            return _AT
    return _of_kind(schema, schemas, where)


def _of_kind(schema: Schema, schemas: Mapping[str, Schema], where: str) -> Any:
    if "enum" in schema:
        return schema["enum"][0]
    if "anyOf" in schema:
        return example(schema["anyOf"][0], schemas, where)
    match schema.get("type"):
        case "object" if "properties" in schema:
            owner = where.rpartition(".")[2]
            required = schema.get("required", ())
            return {
                field: example(part, schemas, f"{owner}.{field}")
                for field, part in schema["properties"].items()
                if field in required or _is_told(part, field)
            }
        case "object" if schema.get("additionalProperties") is False:
            return {}
        case "array" if "items" in schema:
            return [example(schema["items"], schemas, where)]
        case "boolean":
            return False
        case "string" if schema.get("format") == "uuid":
            return _ID
    raise NoExample(where)


def _refers(schema: Schema) -> bool:
    return any("$ref" in part for part in schema.get("anyOf", ()))


def _is_of_objects(schema: Schema) -> bool:
    return "$ref" in schema.get("items", {})


def _is_told(schema: Schema, field: str) -> bool:
    """Whether a field that may be left out is in an example: where somebody said what is typical of it."""
    parts = [schema, *schema.get("anyOf", ())]
    return any(part.get("examples") for part in parts) or field in _BY_NAME
