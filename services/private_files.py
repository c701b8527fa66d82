"""Files that hold secrets: never readable by others, never half written, never overwritten by accident."""

import os
import tempfile
from pathlib import Path
from typing import Final

PRIVATE: Final = 0o600
PUBLIC: Final = 0o644


def replace_file(path: Path, content: bytes, mode: int = PRIVATE) -> None:
    """Write `path` as a whole: a reader, or a power cut, finds the old file or the new one.

    Written as root, the file belongs to whom its folder belongs, so that a broker that runs as another user can read
    it once the folder is its own.

    Raises:
        OSError: the old file, if there was one, is as it was.
    """
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")  # created with 0600
    part = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fchmod(file.fileno(), mode)
            if os.geteuid() == 0:
                folder = path.parent.stat()
                os.fchown(file.fileno(), folder.st_uid, folder.st_gid)
            os.fsync(file.fileno())
        part.replace(path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
    folder_handle = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder_handle)
    finally:
        os.close(folder_handle)


def private_folder(path: Path) -> Path:
    """Make a folder that only its owner may enter; one that is there is left as it is."""
    path.mkdir(parents=True, exist_ok=True, mode=0o700)
    return path
