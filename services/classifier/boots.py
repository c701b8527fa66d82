"""Pure: under which boot detections are counted, so that no track id and no sequence number is given out twice."""

from collections import deque
from collections.abc import Callable
from uuid import UUID, uuid4

_REMEMBERED = 64


class OldBoot(Exception):
    """A frame of an earlier start of capture, or of a second capture with the same device name."""


class Boots:
    """Maps capture's boot to the detections' boot.

    They are the same, but for one case: where the classifier alone was started again, it would count from 0 anew
    under a boot that has these numbers already, so the rest of that boot goes under a new id.
    """

    def __init__(self, last: UUID | None, new_id: Callable[[], UUID] = uuid4) -> None:
        """`last` is the boot that an earlier run of the classifier was in, if any."""
        self._before = last
        self._new_id = new_id
        self._capture: UUID | None = None
        self._left: deque[UUID] = deque(maxlen=_REMEMBERED)
        self._current: UUID | None = None

    @property
    def capture(self) -> UUID | None:
        """Capture's boot, as frames name it."""
        return self._capture

    def enter(self, capture_boot: UUID) -> tuple[UUID, bool]:
        """Take note of a frame's boot; the boot to count it under, and whether counting begins anew.

        Raises:
            OldBoot: capture was in this boot before and left it.
        """
        if self._current is not None and capture_boot == self._capture:
            return self._current, False
        if capture_boot in self._left:
            raise OldBoot
        if self._capture is not None:
            self._left.append(self._capture)
        self._capture = capture_boot
        self._current = self._new_id() if capture_boot == self._before else capture_boot
        self._before = None
        return self._current, True
