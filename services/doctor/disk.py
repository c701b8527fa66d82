"""Is there room for what must survive, and may this program write it?"""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from services.doctor.findings import Finding, ok, problem, warning

_MB: Final = 1_000_000
_LEAST_FREE: Final = 16 * _MB
"""Less than this is a full disk: the outbox's own log takes 4 MB of it."""
OUTBOX: Final = "outbox.sqlite3"


@dataclass(frozen=True, slots=True)
class Disk:
    """What is known of a data folder.

    Attributes:
        folder: it, or where it is not there yet, the nearest folder above it.
        there: whether it is there itself.
        writable: whether this program may make files in `folder`.
        read_only: whether its file system is mounted so.
        locked: files in it that this program may not write.
        owner: uid of `folder`.
        uid: who this program is.
        free: bytes that this user may still write.
        inodes_left: whether another file may be made.
        volatile: whether its file system is gone at a restart (tmpfs).
        outbox: bytes that the outbox's file has.
    """

    folder: Path
    there: bool
    writable: bool
    read_only: bool
    locked: tuple[Path, ...]
    owner: int
    uid: int
    free: int
    inodes_left: bool
    volatile: bool
    outbox: int


def verdict(disk: Disk, quota_mb: int | None) -> Iterator[Finding]:
    """What that means. `quota_mb`: of the outbox; None for a service without one."""
    folder = disk.folder
    if disk.read_only:
        yield problem(
            f"{folder} is read-only",
            "Its file system is mounted read-only. A container's root may be, the data folder may not.",
            "export EMOTION_DATA_DIR=/data   # a volume; on a worn SD card, look at: dmesg | grep -i error",
        )
    elif not disk.writable:
        yield problem(
            f"{folder} cannot be written",
            f"It belongs to user {disk.owner}; this program runs as user {disk.uid}.",
            f"sudo chown -R {disk.uid} {folder.resolve()}",
        )
    elif disk.locked:
        yield problem(
            f"{', '.join(str(path) for path in disk.locked)} cannot be written",
            f"Another user made it, perhaps root; this program runs as user {disk.uid}.",
            f"sudo chown -R {disk.uid} {folder.resolve()}",
        )
    else:
        yield ok(f"{folder} can be written" + ("" if disk.there else "; the data folder will be made in it"))
    if disk.volatile and quota_mb is not None:
        yield warning(
            f"{folder} does not outlive a restart",
            "It lies in memory (tmpfs): detections that wait for the cloud would be lost.",
            "export EMOTION_DATA_DIR=/data   # a folder on a disk, or a volume",
        )
    yield _room(disk, quota_mb)


def _room(disk: Disk, quota_mb: int | None) -> Finding:
    free = f"{disk.free / _MB:,.0f} MB free"
    if not disk.inodes_left:
        cause = "The file system has no inode left: too many small files."
        return problem("no file can be made", cause, f"sudo du --inodes -xd1 {disk.folder.resolve()} | sort -n")
    if disk.free < _LEAST_FREE:
        cause = f"Only {free}: nothing can be kept."
        return problem(
            "the disk is full", cause, f"sudo du -xhd1 {disk.folder.resolve()} | sort -h   # delete what is large"
        )
    if quota_mb is None:
        return ok(free)
    wanted = quota_mb * _MB - disk.outbox
    if disk.free - _LEAST_FREE < wanted:
        fits = max(1, (disk.free - _LEAST_FREE + disk.outbox) // _MB)
        return warning(
            f"{free}, the outbox may want {wanted / _MB:,.0f} MB more",
            "In a long outage the disk is full before the outbox's quota is reached.",
            f"export EMOTION_OUTBOX__MAX_MB={fits}   # or make room on the disk",
        )
    return ok(f"{free}, room for the outbox's {quota_mb} MB")


def facts(data_dir: Path, mounts: Path = Path("/proc/mounts")) -> Disk:
    """Gather them; nothing is written.

    Raises:
        OSError: if the folder cannot be looked at.
    """
    folder = data_dir
    while not _there(folder) and folder != folder.parent:
        folder = folder.parent
    there = folder == data_dir
    status = os.statvfs(folder)
    names = (OUTBOX, f"{OUTBOX}-wal", f"{OUTBOX}-shm")
    files = [path for path in (data_dir / name for name in names) if there and _there(path)]
    return Disk(
        folder=folder,
        there=there,
        writable=os.access(folder, os.W_OK | os.X_OK, effective_ids=True),
        read_only=bool(status.f_flag & os.ST_RDONLY),
        locked=tuple(path for path in files if not os.access(path, os.R_OK | os.W_OK, effective_ids=True)),
        owner=folder.stat().st_uid,
        uid=os.geteuid(),
        free=status.f_bavail * status.f_frsize,
        inodes_left=status.f_files == 0 or status.f_favail > 0,
        volatile=_file_system(folder, mounts) == "tmpfs",
        outbox=files[0].stat().st_size if files and files[0].name == OUTBOX else 0,
    )


def _there(path: Path) -> bool:
    try:
        return path.exists()
    except PermissionError:  # a folder above it may not be entered
        return False


def _file_system(folder: Path, mounts: Path) -> str | None:
    """The kind of the file system that holds `folder`; None where it cannot be known."""
    try:
        lines = mounts.read_text().splitlines()
    except OSError:
        return None
    real = folder.resolve()
    kinds = {Path(fields[1]): fields[2] for fields in (line.split() for line in lines) if len(fields) > 2}
    return next((kinds[place] for place in (real, *real.parents) if place in kinds), None)


def look(data_dir: Path, quota_mb: int | None) -> Iterator[Finding]:
    """Look at the data folder."""
    try:
        disk = facts(data_dir)
    except OSError as error:
        yield problem(f"{data_dir} cannot be looked at", f"{error.strerror}.", f"ls -ld {data_dir.resolve()}")
        return
    yield from verdict(disk, quota_mb)
