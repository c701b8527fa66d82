"""A video file's detections without servers: CSV, JSON Lines and an annotated video.

It reads with the same pipeline, tracks and words as the live services, on the file's own time.
"""

import csv
import json
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import IO, Any, Final

import cv2
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from services.capture.sources.video import Video, VideoFrame, read_video
from services.classifier.annotate import annotate
from services.classifier.detector import open_detector
from services.classifier.emotion import EmotionModel
from services.classifier.pipeline import FramePipeline
from services.classifier.scene import Scene, SceneReader
from services.classifier.settings import ClassifierSettings
from shared.emotions import EMOTIONS
from shared.errors import SettingsError
from shared.messages import Face
from shared.settings import load

_EPOCH: Final = datetime(2000, 1, 1, tzinfo=UTC)
"""A file has no time of day; only differences from its start are used."""
_FALLBACK_FPS: Final = 25.0
COLUMNS: Final = (
    "frame_number",
    "time_s",
    "track_id",
    "x",
    "y",
    "w",
    "h",
    "face_confidence",
    *EMOTIONS,
    "dominant_emotion",
    "confidence",
    "shown",
    "quality_ok",
    "quality_reasons",
)


def run_analyze(video: Path, out: Path | None, *, annotated: bool) -> None:
    """Read `video`; write NAME.csv (a row per face), NAME.jsonl (a line per frame) and NAME.annotated.mp4.

    Each file appears only when it is whole. Existing results of the same name are replaced.

    Raises:
        EmotionEdgeError: the video, the model or the output folder cannot be used.
    """
    settings = load(ClassifierSettings)
    folder = out if out is not None else video.parent
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    with read_video(video) as frames, ExitStack() as stack:
        model = EmotionModel(settings.models_dir / settings.model)
        detector, problem = open_detector(
            settings.detector, settings.models_dir, score=settings.detector_score, max_side=settings.detector_max_side
        )
        if problem is not None:
            console.print(f"{problem.title}. {problem.cause} {problem.next_step}")
        pipeline = FramePipeline(detector, model)
        files = _Results(stack, folder, video.stem, frames, annotated=annotated)
        scene = SceneReader()
        for frame in _with_progress(console, frames, video.name):
            reading = pipeline.read(frame.pixels)
            files.add(frame, scene.read(reading, _EPOCH + timedelta(seconds=frame.at_s)))
        if frames.ended_early:
            console.print(f"Note: {frames.ended_early}.")
    console.print(f"{files.frames} frames, {files.faces} faces, {len(files.tracks)} people by track:")
    for path in files.paths:
        console.print(f"  {path}")


def _with_progress(console: Console, frames: Video, name: str) -> Iterator[VideoFrame]:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console) as progress:
        task = progress.add_task(name, total=frames.frame_count or None)
        for frame in frames:
            yield frame
            progress.advance(task)


class _Results:
    """The files being written."""

    def __init__(self, stack: ExitStack, folder: Path, stem: str, video: Video, *, annotated: bool) -> None:
        self.frames = 0
        self.faces = 0
        self.tracks: set[int] = set()
        self.paths: list[Path] = []
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._csv = csv.writer(stack.enter_context(self._whole(folder / f"{stem}.csv")))
            self._jsonl = stack.enter_context(self._whole(folder / f"{stem}.jsonl"))
        except OSError as error:
            raise SettingsError(
                f"results cannot be written to {folder} ({error.strerror}); choose another folder: --out"
            ) from None
        self._csv.writerow(COLUMNS)
        self._video = stack.enter_context(self._writer(folder / f"{stem}.annotated.mp4", video)) if annotated else None

    def add(self, frame: VideoFrame, scene: Scene) -> None:
        """Write one frame."""
        self.frames += 1
        self.faces += len(scene.faces)
        time_s = round(frame.at_s, 3)
        for face in scene.faces:
            self.tracks.add(face.track_id)
            self._csv.writerow(_row(frame.number, time_s, face))
        faces = [face.model_dump(mode="json", exclude={"shown"}) | {"shown": _shown(face)} for face in scene.faces]
        self._jsonl.write(json.dumps({"frame_number": frame.number, "time_s": time_s, "faces": faces}) + "\n")
        if self._video is not None:
            self._video.write(annotate(frame.pixels, scene.live))

    @contextmanager
    def _whole(self, path: Path) -> Iterator[IO[str]]:
        part = path.with_suffix(path.suffix + ".part")
        with _moved_when_whole(part, path), part.open("w", newline="", encoding="utf-8") as file:
            yield file
        self.paths.append(path)

    @contextmanager
    def _writer(self, path: Path, video: Video) -> Iterator[cv2.VideoWriter]:
        part = path.with_suffix(".part.mp4")  # OpenCV chooses the container by the name's end
        fourcc = cv2.VideoWriter.fourcc(*"mp4v")
        with _moved_when_whole(part, path):
            writer = cv2.VideoWriter(str(part), fourcc, video.fps or _FALLBACK_FPS, (video.width, video.height))
            if not writer.isOpened():
                raise SettingsError(f"{path} cannot be written by OpenCV; go without it: --no-annotated")
            try:
                yield writer
            finally:
                writer.release()
        self.paths.append(path)


@contextmanager
def _moved_when_whole(part: Path, path: Path) -> Iterator[None]:
    try:
        yield
    except BaseException:
        part.unlink(missing_ok=True)
        raise
    part.replace(path)


def _row(number: int, time_s: float, face: Face) -> list[Any]:
    region = face.region
    return [
        number,
        time_s,
        face.track_id,
        region.x,
        region.y,
        region.w,
        region.h,
        face.face_confidence,
        *face.emotion.as_tuple(),
        face.dominant_emotion,
        face.confidence,
        _shown(face),
        face.quality.ok,
        " ".join(face.quality.reasons),
    ]


def _shown(face: Face) -> str | None:
    return face.shown.state if face.shown else None
