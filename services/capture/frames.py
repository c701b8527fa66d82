"""What a source gives, and what is made of it. Pure."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Protocol

import numpy as np
import numpy.typing as npt

from shared.errors import SourceError
from shared.messages import Problem, Source

Pixels = npt.NDArray[np.uint8]
"""A picture (H, W, 3), BGR; grey (H, W) and BGRA (H, W, 4) are accepted."""

MAX_TEXT: Final = 512


class SourceTrouble(SourceError):
    """A source that cannot be opened or read, with what a person should know of it. Texts carry no passwords."""

    def __init__(self, title: str, cause: str = "", next_step: str = "") -> None:
        self.problem = Problem(title=title[:MAX_TEXT], cause=cause[:MAX_TEXT], next_step=next_step[:MAX_TEXT])
        super().__init__("; ".join(part for part in (title, cause, next_step) if part))


@dataclass(frozen=True, slots=True)
class Reading:
    """One frame as a source gave it: a JPEG's bytes, or pixels; `at_s` is its place in a recording, in seconds."""

    data: bytes | Pixels
    at_s: float | None = None


@dataclass(frozen=True, slots=True)
class Frame:
    """A frame that is ready to be published.

    `number` counts what was read of the source, so gaps show drops. `passthrough`: the JPEG is the source's own.
    """

    number: int
    jpeg: bytes
    width: int
    height: int
    captured_at: datetime
    at_s: float | None
    passthrough: bool


class FrameSource(Protocol):
    """An open source. Opened, read and closed on one thread; `abort` is called from another.

    Attributes:
        source: its kind and name as messages carry them.
        live: frames come by themselves and the newest wins; else it is a recording, of which no frame is dropped.
    """

    source: Source
    live: bool

    def read(self) -> Reading | None:
        """The next frame; None at the end of a recording.

        Raises:
            BadPicture: this frame cannot be used; the next may be.
            SourceTrouble: the source has to be opened again.
        """
        ...

    def abort(self) -> None:
        """Make a `read` that is waiting return soon, where that is possible."""
        ...

    def close(self) -> None:
        """Release everything. May be called after a failure."""
        ...


OpenSource = Callable[[], FrameSource]
