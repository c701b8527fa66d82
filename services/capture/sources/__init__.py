"""The kinds of sources, and which of them opens what the user named."""

from collections.abc import Callable
from pathlib import Path

from services.capture.frames import FrameSource, SourceTrouble
from services.capture.settings import CaptureSettings
from services.capture.sources.camera import CameraSource
from services.capture.sources.folder import FolderSource
from services.capture.sources.gstreamer import GStreamerSource
from services.capture.sources.http import open_mjpeg
from services.capture.sources.sample import sample_clip
from services.capture.sources.video import VideoSource
from services.capture.spec import SourceSpec
from shared.messages import Source

Opener = Callable[[SourceSpec, CaptureSettings], FrameSource]
"""`browser` needs a link to listen on, so capture's composition root opens it."""


def open_source(spec: SourceSpec, settings: CaptureSettings) -> FrameSource:
    """Open a source. Blocks; to be called on the thread that reads it.

    Raises:
        SourceTrouble: if it cannot be opened.
    """
    match spec.kind:
        case "camera":
            return CameraSource(spec.value, spec.name, width=settings.width, height=settings.height, fps=settings.fps)
        case "path":
            return _open_path(Path(spec.value).expanduser(), spec, settings)
        case "url":
            return _open_url(spec, settings)
        case "gstreamer":
            return GStreamerSource(spec.value, spec.name)
        case "sample":
            clip = sample_clip(settings.data_dir)
            return VideoSource(str(clip), Source(kind="sample", name=spec.name), loop=True)
        case "browser":
            raise SourceTrouble("browser is no source that is opened by itself", "it has no link to listen on")


def _open_path(path: Path, spec: SourceSpec, settings: CaptureSettings) -> FrameSource:
    if path.is_dir():
        return FolderSource(path, spec.name, fps=settings.fps, loop=settings.loop, max_width=settings.max_width)
    return VideoSource(str(path), Source(kind="file", name=spec.name), loop=settings.loop)


def _open_url(spec: SourceSpec, settings: CaptureSettings) -> FrameSource:
    source = Source(kind="url", name=spec.name)
    open_s = settings.open_s
    if spec.value.lower().startswith("http"):
        open_s /= 2  # it may be asked twice
        mjpeg = open_mjpeg(spec.value, source, open_s=open_s, read_s=settings.stall_s)
        if mjpeg is not None:
            return mjpeg
    return VideoSource(spec.value, source, loop=settings.loop, open_s=open_s, read_s=settings.stall_s)
