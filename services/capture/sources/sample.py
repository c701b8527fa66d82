"""A clip with real faces for a machine without a camera, built at first use.

From two public-domain portraits by NASA and the US Navy that scikit-image and Matplotlib install: Eileen Collins
(astronaut.png) and Grace Hopper (grace_hopper.jpg), moved, zoomed, lit and swapped, so that faces come, go and change
places.
"""

import importlib.util
import math
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import cv2
import numpy as np
import numpy.typing as npt

from services.capture.frames import Pixels, SourceTrouble

VERSION: Final = 1
"""Grows with each change of the recipe, so that an older clip is built again."""
WIDTH: Final = 640
HEIGHT: Final = 360
FPS: Final = 15
SECONDS: Final = 24
_QUALITY: Final = 75
_FACE_PX: Final = 96
"""Height of a face's box at zoom 1."""

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Portrait:
    """Where a package keeps a portrait, and the middle and height of its face in pixels."""

    package: str
    file: str
    face_x: float
    face_y: float
    face_height: float


COLLINS: Final = Portrait("skimage", "data/astronaut.png", 223.0, 120.0, 113.0)
HOPPER: Final = Portrait("matplotlib", "mpl-data/sample_data/grace_hopper.jpg", 268.0, 227.0, 212.0)


@dataclass(frozen=True, slots=True)
class _Pose:
    """A person in one frame: middle of the face, zoom, brightness (1: as taken), how visible (0 to 1)."""

    x: float
    y: float
    zoom: float
    light: float
    visible: float


def sample_clip(data_dir: Path) -> Path:
    """The clip's file under `data_dir`, built there if it is not yet; Motion JPEG in an AVI.

    Raises:
        SourceTrouble: if the portraits are not installed or the folder cannot be written.
    """
    folder = data_dir / "sample"
    clip = folder / f"portraits-v{VERSION}.avi"
    try:
        if clip.is_file():
            return clip
        people = [_load(portrait) for portrait in (COLLINS, HOPPER)]
        folder.mkdir(parents=True, exist_ok=True)
        for old in folder.glob("portraits-v*.avi"):
            old.unlink(missing_ok=True)
        handle, name = tempfile.mkstemp(suffix=".avi", prefix=".building-", dir=folder)
        os.close(handle)
        try:
            _write(Path(name), people)
            Path(name).replace(clip)
        finally:
            Path(name).unlink(missing_ok=True)
    except OSError as error:
        raise SourceTrouble(
            "The sample clip cannot be written",
            f"{folder}: {error.strerror or error}",
            "Give a folder that may be written with EMOTION_DATA_DIR, or another --source",
        ) from None
    return clip


def _load(portrait: Portrait) -> tuple[Pixels, Portrait]:
    # The package is located, not imported: only its picture is needed.
    found = importlib.util.find_spec(portrait.package)
    picture = None
    if found is not None and found.origin is not None:
        path = Path(found.origin).parent / portrait.file
        if path.is_file():
            picture = cv2.imdecode(np.frombuffer(path.read_bytes(), np.uint8), cv2.IMREAD_COLOR)
    if picture is None:
        raise SourceTrouble(
            "The sample's portraits are not installed",
            f"{portrait.file} of the package {portrait.package} is not there",
            "pip install 'emotion-edge[sample]', or give another --source: a camera, a file or an address",
        )
    return np.asarray(picture, np.uint8), portrait


def _write(path: Path, people: list[tuple[Pixels, Portrait]]) -> None:
    writer = cv2.VideoWriter(str(path), cv2.CAP_OPENCV_MJPEG, cv2.VideoWriter.fourcc(*"MJPG"), FPS, (WIDTH, HEIGHT))
    try:
        if not writer.isOpened() or not writer.set(cv2.VIDEOWRITER_PROP_QUALITY, _QUALITY):
            raise SourceTrouble("The sample clip cannot be written", f"OpenCV cannot write {path}")
        backdrop = _backdrop()
        for index in range(FPS * SECONDS):
            frame = backdrop.copy()
            for (picture, portrait), pose in zip(people, _poses(index / FPS), strict=True):
                if pose.visible > 0:
                    _paint(frame, picture, portrait, pose)
            writer.write(np.clip(frame, 0, 255).astype(np.uint8))
    finally:
        writer.release()


def _poses(t: float) -> tuple[_Pose, _Pose]:
    """Both people at `t` seconds. The clip begins and ends empty, so that it loops without a jump."""
    sway = math.sin(2 * math.pi * t / 6)
    # 0-7 Collins alone, coming nearer; 7-13 both; 13-19 both, places swapped; 19-23 Hopper alone in changing light.
    swapped = _ramp(t, 13.0, 15.0)
    collins = _Pose(
        x=320 - 150 * _ramp(t, 5.5, 7.0) + 300 * swapped + 12 * sway,
        y=165 - 22 * math.sin(math.pi * swapped),
        zoom=0.9 + 0.45 * _ramp(t, 1.5, 4.0) - 0.25 * _ramp(t, 5.5, 7.0),
        light=1.0 + 0.2 * math.sin(2 * math.pi * t / 5),
        visible=min(_ramp(t, 0.7, 1.2), 1 - _ramp(t, 18.5, 19.0)),
    )
    hopper = _Pose(
        x=470 - 300 * swapped + 150 * _ramp(t, 19.0, 20.5) - 12 * sway,
        y=180 + 10 * math.sin(2 * math.pi * t / 4) + 22 * math.sin(math.pi * swapped),
        zoom=1.0 + 0.35 * _ramp(t, 19.0, 21.0),
        light=1.0 - 0.45 * math.sin(math.pi * _ramp(t, 20.0, 22.5)),
        visible=min(_ramp(t, 7.0, 7.5), 1 - _ramp(t, 22.8, 23.3)),
    )
    return collins, hopper


def _ramp(t: float, start: float, end: float) -> float:
    """0 before `start`, 1 after `end`, smooth between."""
    u = min(1.0, max(0.0, (t - start) / (end - start)))
    return u * u * (3 - 2 * u)


def _backdrop() -> Floats:
    """A grey-blue wall, darker at its edges; (HEIGHT, WIDTH, 3)."""
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH].astype(np.float32)
    distance = np.hypot((x - WIDTH / 2) / WIDTH, (y - HEIGHT / 2) / HEIGHT)
    shade = (1.0 - 0.7 * distance)[..., None]
    return np.asarray(shade * np.array([118, 106, 98], np.float32), np.float32)


def _paint(frame: Floats, picture: Pixels, portrait: Portrait, pose: _Pose) -> None:
    """Blend a person into `frame`, in place, inside a soft oval around the head and shoulders."""
    face = _FACE_PX * pose.zoom
    half_x, half_y, middle_y = 1.05 * face, 1.45 * face, pose.y + 0.2 * face
    left, right = max(0, math.floor(pose.x - half_x)), min(WIDTH, math.ceil(pose.x + half_x))
    top, bottom = max(0, math.floor(middle_y - half_y)), min(HEIGHT, math.ceil(middle_y + half_y))
    scale = face / portrait.face_height
    move = np.array(
        [
            [scale, 0, pose.x - left - scale * portrait.face_x],
            [0, scale, pose.y - top - scale * portrait.face_y],
        ],
        np.float64,
    )
    size = (right - left, bottom - top)
    moved = _warp(picture, move, size, cv2.INTER_AREA if scale < 0.5 else cv2.INTER_LINEAR)
    inside = _warp(np.full(picture.shape[:2], 255, np.uint8), move, size, cv2.INTER_LINEAR) / np.float32(255)
    y, x = np.mgrid[top:bottom, left:right].astype(np.float32)
    oval = np.clip((1.0 - np.hypot((x - pose.x) / half_x, (y - middle_y) / half_y)) / 0.18, 0, 1)
    part = frame[top:bottom, left:right]
    part += (oval * inside * pose.visible)[..., None] * (moved * np.float32(pose.light) - part)


def _warp(picture: Pixels, move: npt.NDArray[np.float64], size: tuple[int, int], interpolation: int) -> Floats:
    warped = cv2.warpAffine(picture, move, size, flags=interpolation, borderMode=cv2.BORDER_CONSTANT, borderValue=0)
    return warped.astype(np.float32)
