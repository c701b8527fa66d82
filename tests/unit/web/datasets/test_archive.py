"""The archive against Python's zipfile, and gone on with from every place at which it can be cut off."""

import zipfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.web.datasets import archive as module
from services.web.datasets.archive import Archive, ArchiveDamaged

CHUNKS = [
    ("train/happy/", b""),
    ("train/happy/1.png", b"one"),
    ("a.csv", b"x,y\n"),
    ("a.csv", b"1,2\n"),
    ("ü.txt", b""),
]


def write(path: Path, chunks: list[tuple[str, bytes]]) -> bytes:
    with Archive(path) as archive:
        for name, data in chunks:
            archive.append(name, data)
        archive.finish()
    return path.read_bytes()


def test_zipfile_reads_it(tmp_path: Path) -> None:
    write(tmp_path / "a.zip", CHUNKS)
    with zipfile.ZipFile(tmp_path / "a.zip") as read:
        assert read.testzip() is None
        assert read.namelist() == ["train/happy/", "train/happy/1.png", "a.csv", "ü.txt"]
        assert read.read("a.csv") == b"x,y\n1,2\n"
        assert read.getinfo("train/happy/").is_dir()


@settings(max_examples=40, deadline=None)
@given(cut=st.integers(0, len(CHUNKS)), more=st.integers(0, len(CHUNKS)), rubbish=st.binary(max_size=9))
def test_gone_on_with_it_is_the_same_to_the_byte(
    tmp_path_factory: pytest.TempPathFactory, cut: int, more: int, rubbish: bytes
) -> None:
    folder = tmp_path_factory.mktemp("archive")
    whole = write(folder / "whole.zip", CHUNKS)
    path = folder / "cut.zip"
    with Archive(path) as archive:
        for name, data in CHUNKS[:cut]:
            archive.append(name, data)
        mark = archive.mark()
        for name, data in CHUNKS[cut : cut + more]:  # written after the mark and lost, or not
            archive.append(name, data)
    with path.open("ab") as file:
        file.write(rubbish)
    with Archive(path, mark) as archive:
        for name, data in CHUNKS[cut:]:
            archive.append(name, data)
        archive.finish()
    assert path.read_bytes() == whole


def test_what_was_changed_or_lost_meanwhile_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    with Archive(path) as archive:
        for name, data in CHUNKS:
            archive.append(name, data)
        mark = archive.mark()
    good = path.read_bytes()
    path.write_bytes(good.replace(b"one", b"two"))
    with pytest.raises(ArchiveDamaged, match="is not what was written"):
        Archive(path, mark)
    path.write_bytes(good[:-1])
    with pytest.raises(ArchiveDamaged, match="shorter"):
        Archive(path, mark)


def test_more_members_than_the_old_directory_counts(tmp_path: Path) -> None:
    write(tmp_path / "a.zip", [(f"{number}", b"") for number in range(70_000)])
    with zipfile.ZipFile(tmp_path / "a.zip") as read:
        assert len(read.namelist()) == 70_000


def test_members_beyond_4_gb(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # 4 GB cannot be written in a test: the bound is moved, and with it the form that lies beyond.
    monkeypatch.setattr(module, "_MAX_32", 100)
    with Archive(tmp_path / "a.zip") as archive:
        for number in range(5):
            archive.append(f"{number}.txt", b"x" * 40)
        archive.finish()
    data = (tmp_path / "a.zip").read_bytes()
    for bound in (100, 0xFFFFFFFF):
        data = data.replace(bound.to_bytes(4, "little"), b"\xff\xff\xff\xff")
    (tmp_path / "b.zip").write_bytes(data)
    with zipfile.ZipFile(tmp_path / "b.zip") as read:
        assert read.testzip() is None
        assert read.getinfo("4.txt").header_offset > 100
    with pytest.raises(ValueError, match="longer than 4 GB"), Archive(tmp_path / "c.zip") as archive:
        archive.append("a", b"x" * 101)
