"""Paths that cannot be used, each made of one that is free. None of them can be used by root either."""

from collections.abc import Callable
from pathlib import Path

Kind = Callable[[Path], Path]


def missing(path: Path) -> Path:
    """Of nothing."""
    return path


def empty(path: Path) -> Path:
    """Of a file without content."""
    path.write_bytes(b"")
    return path


def folder(path: Path) -> Path:
    """Of a folder."""
    path.mkdir()
    return path


def below_a_file(path: Path) -> Path:
    """Of what would lie in a folder, if that were not a file."""
    path.write_bytes(b"")
    return path / f"below{path.suffix}"


def too_long(path: Path) -> Path:
    """With a name that no file system takes."""
    return path.with_name("x" * 300 + path.suffix)


def unreadable(path: Path) -> Path:
    """Of a file that is there and that nobody can read."""
    path.symlink_to("/proc/self/mem")
    return path
