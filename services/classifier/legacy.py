"""Pure: the paper's two topics, as it describes them, but as valid JSON."""

import base64
import json

from shared.messages import Detection, rfc3339


def legacy_json(detection: Detection) -> bytes:
    """One classified frame: the emotion of the largest face; both emotion fields are null where there is none."""
    face = max(detection.faces, key=lambda face: face.region.w * face.region.h, default=None)
    return json.dumps(
        {
            "video_file": detection.source.name,
            "frame_number": detection.frame_number,
            "emotion_probability": None if face is None else face.confidence,
            "emotion_text": None if face is None else face.dominant_emotion,
            "timestamp": rfc3339(detection.captured_at),
        }
    ).encode()


def legacy_image(annotated_jpeg: bytes) -> bytes:
    """An annotated picture as base64."""
    return base64.b64encode(annotated_jpeg)
