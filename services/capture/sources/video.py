"""Video files, and streams that OpenCV's FFmpeg reads (RTSP, HTTP)."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

import cv2
import numpy as np

from services.capture.frames import Pixels, Reading, SourceTrouble
from services.capture.pacing import Timeline
from shared.errors import BadPicture
from shared.jpeg import MAX_PIXELS, SOI
from shared.messages import Source

_MJPEG: Final = int.from_bytes(b"MJPG", "little")
_RAW: Final = -1
_SHORT_BY: Final = 0.02
"""A file that lacks more than this part of the frames it announces is damaged; counts are often estimates."""


class VideoSource:
    """A video file, or an address of one or of a stream.

    Motion JPEG in a file is passed through undecoded. A stream that ends is a failure; a recording that ends has
    ended, or begins again with `loop`. A recording that ends before the frames it announces says so once, as a bad
    picture.
    """

    def __init__(
        self, address: str, source: Source, *, loop: bool = False, open_s: float = 15.0, read_s: float = 5.0
    ) -> None:
        self.source = source
        self._address = address
        self._loop = loop
        self._options: list[int] = []
        if source.kind == "url":
            self._options += [cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, int(open_s * 1000)]
            self._options += [cv2.CAP_PROP_READ_TIMEOUT_MSEC, int(read_s * 1000)]
        else:
            _check_file(Path(address))
        self._capture = self._open()
        try:
            _check_size(self._capture, source.name)
            self._frame_count = _frame_count(self._capture)
            self.live = source.kind == "url" and self._frame_count == 0
            self._timeline = Timeline(self._capture.get(cv2.CAP_PROP_FPS))
            self._raw = not self.live and self._try_raw()
        except BaseException:
            self._capture.release()
            raise
        self._count = 0
        self._end_told = False

    def read(self) -> Reading | None:
        """The next frame; None at the end of a recording."""
        while True:
            done, pixels = self._capture.read()
            if done:
                break
            if self.live:
                raise SourceTrouble(
                    f"The stream {self.source.name} stopped",
                    "its server ended it or cannot be reached",
                    "Check the camera or server and the network; it is opened again by itself",
                )
            if self._count == 0:
                raise _unreadable(self.source, "it has no frame that can be decoded")
            self._check_complete()
            if not self._loop:
                return None
            self._begin_again()
        self._count += 1
        at_s = self._timeline.next(self._capture.get(cv2.CAP_PROP_POS_MSEC) / 1000)
        return Reading(pixels.tobytes() if self._raw else np.asarray(pixels, np.uint8), at_s)

    def abort(self) -> None:
        """FFmpeg returns by itself within the read timeout."""

    def close(self) -> None:
        """Release the file or stream."""
        self._capture.release()

    def _open(self) -> cv2.VideoCapture:
        return _open_capture(self._address, self.source, self._options)

    def _try_raw(self) -> bool:
        """Ask for undecoded packets where they are JPEGs, and see that they are."""
        if int(self._capture.get(cv2.CAP_PROP_FOURCC)) != _MJPEG or not self._capture.set(cv2.CAP_PROP_FORMAT, _RAW):
            return False
        done, packet = self._capture.read()
        is_jpeg = done and packet.dtype == np.uint8 and packet.tobytes()[:2] == SOI
        self._capture.release()
        self._capture = self._open()
        return is_jpeg and self._capture.set(cv2.CAP_PROP_FORMAT, _RAW)

    def _check_complete(self) -> None:
        text = _ends_early(self.source.name, self._count, self._frame_count)
        if text and not self._end_told:
            self._end_told = True
            raise BadPicture(text)

    def _begin_again(self) -> None:
        self._capture.release()
        self._capture = self._open()
        if self._raw:
            self._capture.set(cv2.CAP_PROP_FORMAT, _RAW)
        self._count = 0
        self._timeline.begin_again()


@dataclass(frozen=True, slots=True)
class VideoFrame:
    """A decoded frame: its number from 0, its place in seconds, its pixels (H, W, 3) BGR uint8."""

    number: int
    at_s: float
    pixels: Pixels


class Video:
    """A video file's frames in order, for reading it without a service. Iterate once, inside `with`.

    Attributes:
        width, height: in pixels.
        fps: frames per second the file announces; 0 where it does not say.
        frame_count: frames the file announces, often an estimate; 0 where it does not say.
        ended_early: in words, where the file broke off before the frames it announces; known after iterating.
    """

    def __init__(self, path: Path) -> None:
        self._source = Source(kind="file", name=path.name)
        _check_file(path)
        self._capture = _open_capture(str(path), self._source)
        try:
            _check_size(self._capture, path.name)
        except BaseException:
            self._capture.release()
            raise
        self.width = int(self._capture.get(cv2.CAP_PROP_FRAME_WIDTH))
        self.height = int(self._capture.get(cv2.CAP_PROP_FRAME_HEIGHT))
        self.fps = max(0.0, float(self._capture.get(cv2.CAP_PROP_FPS)))
        self.frame_count = _frame_count(self._capture)
        self.ended_early: str | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._capture.release()

    def __iter__(self) -> Iterator[VideoFrame]:
        timeline = Timeline(self.fps)
        number = 0
        while True:
            done, pixels = self._capture.read()
            if not done:
                break
            at_s = timeline.next(self._capture.get(cv2.CAP_PROP_POS_MSEC) / 1000)
            yield VideoFrame(number, at_s, np.asarray(pixels, np.uint8))
            number += 1
        if number == 0:
            raise _unreadable(self._source, "it has no frame that can be decoded")
        self.ended_early = _ends_early(self._source.name, number, self.frame_count)


def read_video(path: Path) -> Video:
    """Open a video file to iterate its frames.

    Raises:
        SourceTrouble: (a SourceError) if there is no such file, it is no video, or its pictures are too large.
    """
    return Video(path)


def _open_capture(address: str, source: Source, options: Sequence[int] = ()) -> cv2.VideoCapture:
    capture = cv2.VideoCapture(address, cv2.CAP_FFMPEG, list(options))
    if not capture.isOpened():
        capture.release()
        raise _unreadable(source, "it is not a video that FFmpeg knows, or it is damaged or cut off at its start")
    return capture


def _unreadable(source: Source, cause: str) -> SourceTrouble:
    if source.kind == "url":
        return SourceTrouble(
            f"The stream {source.name} cannot be opened",
            "no answer, a wrong path, a refused user name or password, or no video there",
            "Try the same address in VLC or ffplay; with a password it is rtsp://user:password@host:554/path",
        )
    return SourceTrouble(
        f"The video file {source.name} cannot be read",
        cause,
        "Play it in VLC; convert it with `ffmpeg -i FILE out.mp4`, or give another file",
    )


def _frame_count(capture: cv2.VideoCapture) -> int:
    return max(0, int(capture.get(cv2.CAP_PROP_FRAME_COUNT)))


def _check_size(capture: cv2.VideoCapture, name: str) -> None:
    width, height = int(capture.get(cv2.CAP_PROP_FRAME_WIDTH)), int(capture.get(cv2.CAP_PROP_FRAME_HEIGHT))
    if width * height > MAX_PIXELS:
        raise SourceTrouble(
            f"The video {name} is too large",
            f"its pictures have {width}x{height} pixels; at most {MAX_PIXELS} pixels are accepted",
            "Scale it down, for example with `ffmpeg -i FILE -vf scale=1280:-2 out.mp4`",
        )


def _ends_early(name: str, count: int, announced: int) -> str | None:
    if announced - count <= max(2.0, announced * _SHORT_BY):
        return None
    return f"{name} ends after {count} of {announced} frames: cut off or damaged"


def _check_file(path: Path) -> None:
    try:
        with path.open("rb") as file:
            empty = not file.read(1)
    except (FileNotFoundError, NotADirectoryError):
        raise SourceTrouble(
            f"There is no file {path}",
            "the path is wrong, or its drive is not there",
            "Give a file that exists; in a container, mount its folder",
        ) from None
    except IsADirectoryError:
        raise SourceTrouble(f"{path} is a folder", "a video file was asked for", "Name a file in it") from None
    except OSError as error:
        raise SourceTrouble(
            f"The file {path} cannot be opened", error.strerror or str(error), "Check its permissions"
        ) from None
    if empty:
        raise SourceTrouble(f"The video file {path.name} is empty", "it has 0 bytes", "Copy it again")
