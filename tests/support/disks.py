"""Small file systems that can be filled to the last byte."""

import contextlib
import subprocess
from collections.abc import Iterator
from pathlib import Path

_PAGE = bytes(4096)


class NoSmallDisk(Exception):
    """This user may not mount a file system."""


@contextlib.contextmanager
def small_disk(folder: Path, megabytes: int) -> Iterator[Path]:
    """A tmpfs of that size at `folder`, which is made.

    Raises:
        NoSmallDisk: without root's rights.
    """
    folder.mkdir(parents=True, exist_ok=True)
    mount = ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", str(folder)]
    if subprocess.run(mount, check=False, stderr=subprocess.DEVNULL).returncode != 0:
        raise NoSmallDisk(f"cannot mount a tmpfs at {folder}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def fill(folder: Path) -> Path:
    """Another program's file that takes all the space there is; it grows when it is filled again."""
    path = folder / "other"
    with path.open("ab", buffering=0) as other, contextlib.suppress(OSError):
        while True:
            other.write(_PAGE)
    return path
