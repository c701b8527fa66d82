"""Pure: under which boot detections are counted, so that no track id and no sequence number is given out twice."""

from collections import deque
from collections.abc import Callable
from uuid import UUID, uuid4

_REMEMBERED = 64
_BACK_AFTER = 15
"""So many frames in a row of an earlier boot, and none of the current one: it is the one that goes on."""


class OldBoot(Exception):
    """A frame of an earlier start of capture, or of a second capture with the same device name."""


class Boots:
    """Maps capture's boot to the detections' boot.

    They are the same, but for a boot that is entered again: by a classifier that was started anew, or after frames of
    another capture. What follows goes under a new id, as counting from 0 would repeat numbers under the old one.
    """

    def __init__(self, last: UUID | None, new_id: Callable[[], UUID] = uuid4) -> None:
        """`last` is the boot that an earlier run of the classifier was in, if any."""
        self._used: deque[UUID] = deque([] if last is None else [last], maxlen=_REMEMBERED)
        self._new_id = new_id
        self._capture: UUID | None = None
        self._refused = 0
        self._current: UUID | None = None

    @property
    def capture(self) -> UUID | None:
        """Capture's boot, as frames name it."""
        return self._capture

    def enter(self, capture_boot: UUID) -> tuple[UUID, bool]:
        """Take note of a frame's boot; the boot to count it under, and whether counting begins anew.

        Raises:
            OldBoot: capture was in this boot before and left it, and its frames do not go on (yet).
        """
        if self._current is not None and capture_boot == self._capture:
            self._refused = 0
            return self._current, False
        known = capture_boot in self._used
        if known and self._capture is not None and self._refused < _BACK_AFTER:
            self._refused += 1
            raise OldBoot
        self._refused = 0
        self._capture = capture_boot
        self._current = self._new_id() if known else capture_boot
        if not known:
            self._used.append(capture_boot)
        return self._current, True
