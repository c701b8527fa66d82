"""YuNet's file: where it lies below the models folder, and how it is recognised."""

import hashlib
from pathlib import Path
from typing import Final

YUNET_PATH: Final = Path("detectors/face_detection_yunet_2023mar.onnx")
"""Below the models folder. The fp32 file: the int8 one finds nothing with OpenCV's newer engines (opencv #28806)."""
YUNET_SHA256: Final = "8f2383e4dd3cfbb4553ea8718107fc0423210dc964f9f4280604804ed2552fa4"
FETCH_COMMAND: Final = "emotion-edge models fetch"


def yunet_problem(file: Path) -> str | None:
    """Why YuNet's file cannot be used, in words; None where it is the one expected."""
    try:
        digest = hashlib.sha256(file.read_bytes()).hexdigest()
    except OSError as error:
        return f"{file} cannot be read ({error.strerror})"
    if digest != YUNET_SHA256:
        return f"{file} is not the expected file: its sha256 is {digest[:12]}…, expected {YUNET_SHA256[:12]}…"
    return None
