"""Asks a camera's driver who it is and what it gives, by Video4Linux2's ioctls. Takes no picture and changes nothing.

The numbers and structures are those of the kernel's include/uapi/linux/videodev2.h, the same on every 64-bit machine.
"""

import contextlib
import errno
import fcntl
import os
import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_QUERYCAP: Final = 0x80685600
_ENUM_FMT: Final = 0xC0405602
_REQBUFS: Final = 0xC0145608
_CAPABILITY: Final = struct.Struct("16s32s32sIII12x")
_FMTDESC: Final = struct.Struct("III32s4sI12x")
_REQUESTBUFFERS: Final = struct.Struct("IIIII")
_VIDEO_CAPTURE: Final = 1
_MMAP: Final = 1
_DEVICE_CAPS: Final = 0x80000000
_MOST_FORMATS: Final = 64

Ioctl = Callable[[int, int, bytearray], object]


@dataclass(frozen=True, slots=True)
class Driver:
    """What a driver answers: the camera's name, whether it gives pictures, its formats (as MJPG), whether it is used.

    `busy`: another program streams from it now.
    """

    card: str
    captures: bool
    formats: tuple[str, ...]
    busy: bool


def ask(path: Path, ioctl: Ioctl = fcntl.ioctl) -> Driver | None:
    """Ask the driver of `path`; None where it is no camera's.

    Raises:
        OSError: if it cannot be opened.
    """
    handle = os.open(path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        answer = bytearray(_CAPABILITY.size)
        try:
            ioctl(handle, _QUERYCAP, answer)
        except OSError:
            return None
        _, card, _, _, capabilities, own = _CAPABILITY.unpack(answer)
        captures = bool((own if capabilities & _DEVICE_CAPS else capabilities) & _VIDEO_CAPTURE)
        formats = _formats(handle, ioctl) if captures else ()
        return Driver(card.rstrip(b"\0").decode("utf-8", "replace"), captures, formats, _busy(handle, ioctl))
    finally:
        os.close(handle)


def _formats(handle: int, ioctl: Ioctl) -> tuple[str, ...]:
    found: list[str] = []
    with contextlib.suppress(OSError):  # EINVAL ends the list
        for index in range(_MOST_FORMATS):
            answer = bytearray(_FMTDESC.pack(index, _VIDEO_CAPTURE, 0, b"", b"", 0))
            ioctl(handle, _ENUM_FMT, answer)
            found.append(_FMTDESC.unpack(answer)[4].decode("ascii", "replace"))
    return tuple(found)


def _busy(handle: int, ioctl: Ioctl) -> bool:
    # Asking for no buffers frees those of this handle, which has none; where another handle has some, it is refused.
    try:
        ioctl(handle, _REQBUFS, bytearray(_REQUESTBUFFERS.pack(0, _VIDEO_CAPTURE, _MMAP, 0, 0)))
    except OSError as error:
        return error.errno == errno.EBUSY
    return False
