"""What a system says of a file that it refuses, in words that a person can act on."""

import errno
from pathlib import Path
from typing import Final

_LONGEST_NAME: Final = 200
_NOT_ALLOWED: Final = (
    "may not be used by this user; change its permissions and those of its folders, or run this as its owner"
)
_WHY: Final = {
    errno.ENOENT: "does not exist; check the path",
    errno.EISDIR: "is a folder, and a file is needed; name a file",
    errno.ENOTDIR: "lies below a file, and a folder is needed; check the path",
    errno.EEXIST: "is a file, and a folder is needed there; name another path",
    errno.ENAMETOOLONG: "has too long a name; choose a shorter one",
    errno.EACCES: _NOT_ALLOWED,
    errno.EPERM: _NOT_ALLOWED,
    errno.EROFS: "lies on a disk that is only for reading; name a path on another",
    errno.ENOSPC: "does not fit on its disk; make room there",
    errno.EDQUOT: "does not fit into what this user may use of its disk; make room there",
}


def in_words(error: OSError, path: object = None) -> str:
    """Which file was refused, why, and how to mend it, in one line.

    Args:
        error: what the system said.
        path: the file, for an error that does not name it.
    """
    # Of a file that was to take the place of another, the other is the one that was asked for.
    name = str(error.filename2 or error.filename or path or "a file")
    shown = name if len(name) <= _LONGEST_NAME else f"{name[:_LONGEST_NAME]}…"
    said = f"cannot be used ({error.strerror or one_line(error)}); look at it with ls -l, and at its disk"
    return f"{shown} {_WHY.get(error.errno or 0, said)}."


def read_bytes(path: Path) -> bytes:
    """The content of a file.

    Raises:
        OSError: which names the file, also where reading fails and not opening.
    """
    try:
        return path.read_bytes()
    except OSError as error:
        error.filename = str(path)
        raise


def one_line(error: Exception) -> str:
    """What an error says, with its line breaks taken out."""
    return " ".join(str(error).split())


def unusable(path: object, error: Exception, otherwise: str) -> str:
    """Why a file cannot be used: what the system says where it refuses it, else that its content does not fit.

    Args:
        path: the file.
        error: what was met when it was read.
        otherwise: what was expected of the content and how to mend it.
    """
    if isinstance(error, OSError) and error.errno is not None:
        return in_words(error, path)
    return f"{path} cannot be read ({one_line(error)}); {otherwise}"
