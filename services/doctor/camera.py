"""Is the camera there, may it be used, is it free, and does it give what OpenCV reads?

The node is opened to ask its driver; no picture is taken, and nothing is disturbed where capture is using it.
"""

import errno
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from services.doctor import v4l2
from services.doctor.findings import Finding, ok, problem, warning
from services.doctor.places import COMPOSE

_READ_BY_OPENCV: Final = frozenset(
    {"MJPG", "JPEG", "YUYV", "UYVY", "YV12", "YU12", "NV12", "NV21", "RGB3", "BGR3", "GREY", "Y16 "}
)
"""What OpenCV's V4L2 backend decodes, of what cameras give (its modules/videoio/src/cap_v4l.cpp)."""
_ALSO_OURS: Final = ("capture", "demo")


@dataclass(frozen=True, slots=True)
class Node:
    """What is known of a device node.

    Attributes:
        path: it.
        others: names of the other video devices that are there.
        is_device: whether it is a character device.
        allowed: whether its mode lets this user read and write it.
        group: its group's number: that of `video` on the host, also inside a container.
        group_may: whether its group may read and write.
        uid: who this program is.
        container: whether this is a container.
    """

    path: Path
    others: tuple[str, ...]
    there: bool
    is_device: bool
    allowed: bool
    group: int
    group_may: bool
    uid: int
    container: bool


@dataclass(frozen=True, slots=True)
class Holder:
    """A program that has the node open."""

    pid: int
    command: tuple[str, ...]

    @property
    def is_ours(self) -> bool:
        """Whether it is this project's capture."""
        return any(
            word.endswith(("emotion-edge", "services.main", "services/main.py")) for word in self.command
        ) and any(word in _ALSO_OURS for word in self.command)


def node_problem(node: Node) -> Finding | None:
    """What keeps the node from being opened; None where nothing is known to."""
    path = node.path
    if not node.there:
        found = f"There is {', '.join(node.others)}." if node.others else "There is no video device at all."
        if node.others:
            return problem(
                f"there is no {path}", found, f"export EMOTION_SOURCE=/dev/{node.others[0]}   # and start capture again"
            )
        where = " In a container it has to be passed in." if node.container else ""
        command = "ls -l /dev/video*   # on the machine itself, after plugging it in"
        return problem(
            f"there is no {path}", f"{found} It is not plugged in, or its driver is missing.{where}", command
        )
    if not node.is_device:
        return problem(f"{path} is no device", "It is a file or folder.", "v4l2-ctl --list-devices")
    if node.allowed:
        return None
    text = f"{path} may not be used by user {node.uid}"
    if not node.group_may:
        cause = f"Not even its group ({node.group}) may read and write it."
        return problem(text, cause, f"sudo chgrp video {path} && sudo chmod g+rw {path}   # on the machine itself")
    cause = f"Its group has the number {node.group} on this machine, and this program is not in it."
    if node.container:
        command = f"DEPLOY_VIDEO_GROUP={node.group} {COMPOSE} up -d   # or that line in .env; outside of the container"
    else:
        command = "sudo usermod -aG video $USER   # then log in again"
    return problem(text, cause, command)


def open_problem(path: Path, error: OSError, *, container: bool) -> Finding:
    """What it means that a node which may be opened cannot be."""
    if error.errno == errno.EBUSY:
        return busy_problem(path, ())
    if error.errno in (errno.ENODEV, errno.ENXIO):
        return problem(
            f"no camera stands behind {path}", "It was unplugged, or its driver failed.", "sudo dmesg | tail -20"
        )
    if error.errno == errno.EPERM and container:
        cause = "The node is seen here, but the container was not allowed to use video devices."
        return problem(
            f"{path} is closed to this container", cause, f"{COMPOSE} up -d   # its device_cgroup_rules allow it"
        )
    return problem(f"{path} cannot be opened", f"{error.strerror or error}.", f"ls -l {path}")


def busy_problem(path: Path, holders: tuple[Holder, ...]) -> Finding:
    """Another program uses the camera."""
    names = ", ".join(f"{' '.join(holder.command[:1])} (process {holder.pid})" for holder in holders)
    cause = (
        f"A camera serves one program at a time. It is used by {names or 'a program that cannot be seen from here'}."
    )
    return problem(
        f"{path} is in use", cause, f"sudo fuser -v {path}   # on the machine itself; then stop that program"
    )


def driver_finding(path: Path, driver: v4l2.Driver | None, holders: tuple[Holder, ...]) -> Finding:
    """What the driver's answer means."""
    if driver is None or not driver.captures:
        what = "it is no camera's" if driver is None else f"{driver.card!r} has another node for its pictures"
        return problem(f"{path} gives no pictures", f"Its driver says that {what}.", "v4l2-ctl --list-devices")
    if driver.formats and not _READ_BY_OPENCV.intersection(driver.formats):
        cause = f"It gives {', '.join(driver.formats)}: raw sensor data, which the Jetson's own image processor reads."
        command = "export EMOTION_SOURCE='gst:nvarguscamerasrc ! nvjpegenc'   # for a CSI camera"
        return problem(f"{driver.card} gives no format that is read here", cause, command)
    if driver.busy and not any(holder.is_ours for holder in holders):
        return busy_problem(path, holders)
    if driver.busy:
        return ok(f"{driver.card} is in use by capture, as it should be")
    formats = ", ".join(driver.formats) or "unknown formats"
    if driver.formats and "MJPG" not in driver.formats:
        cause = f"It gives {formats}, no MJPG: each frame is compressed here, which costs processor time."
        return warning(f"{driver.card} is free, and makes no JPEGs", cause, f"v4l2-ctl -d {path} --list-formats-ext")
    return ok(f"{driver.card} is free ({formats}); no picture was taken")


def facts(path: Path, *, container: bool) -> Node:
    """Look at the node without opening it."""
    folder = path.parent
    others = tuple(sorted(one.name for one in folder.glob("video*"))) if folder.is_dir() else ()
    try:
        found = path.stat()
    except OSError:
        return Node(path, others, False, False, False, 0, False, os.geteuid(), container)
    return Node(
        path=path,
        others=others,
        there=True,
        is_device=stat.S_ISCHR(found.st_mode),
        allowed=os.access(path, os.R_OK | os.W_OK, effective_ids=True),
        group=found.st_gid,
        group_may=found.st_mode & 0o060 == 0o060,
        uid=os.geteuid(),
        container=container,
    )


def holders_of(path: Path, processes: Path = Path("/proc")) -> tuple[Holder, ...]:
    """The programs that have the node open, as far as this user may see them."""
    found = []
    for folder in processes.glob("[0-9]*"):
        if folder.name == str(os.getpid()):
            continue
        try:
            if any(link.samefile(path) for link in (folder / "fd").iterdir() if link.exists()):
                words = (folder / "cmdline").read_bytes().decode("utf-8", "replace").split("\0")
                found.append(Holder(int(folder.name), tuple(words)))
        except OSError:  # it ended, or is another user's
            continue
    return tuple(found)


def look(path: Path, *, container: bool) -> Iterator[Finding]:
    """From the node to its driver, as far as it goes."""
    node = facts(path, container=container)
    found = node_problem(node)
    if found is not None:
        yield found
        return
    try:
        driver = v4l2.ask(path)
    except OSError as error:
        yield open_problem(path, error, container=container)
        return
    yield driver_finding(path, driver, holders_of(path))
