"""What is told of a file that the system refuses; the refusals are real ones."""

import gzip
from collections.abc import Callable
from pathlib import Path

import pytest

from shared.paths import in_words, unusable


def refused(action: Callable[[], object]) -> OSError:
    with pytest.raises(OSError) as raised:  # noqa: PT011 - which one is what the tests are about
        action()
    return raised.value


def test_each_refusal_says_which_file_why_and_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for name, action, told in (
        ("none", lambda: (tmp_path / "none").read_text(), "does not exist; check the path."),
        ("", tmp_path.read_text, "is a folder, and a file is needed; name a file."),
        ("file/x", lambda: (tmp_path / "file/x").read_text(), "lies below a file, and a folder is needed; check"),
        ("file", lambda: (tmp_path / "file").mkdir(), "is a file, and a folder is needed there; name another path."),
    ):
        assert in_words(refused(action)).startswith(f"{tmp_path / name} {told}")


def test_a_name_that_is_too_long_is_not_repeated_in_full() -> None:
    told = in_words(refused(Path("x" * 5000).read_text))
    assert "has too long a name; choose a shorter one." in told
    assert len(told) < 300


def test_a_file_that_takes_the_place_of_another_is_told_by_the_other(tmp_path: Path) -> None:
    (tmp_path / "asked").mkdir()
    (tmp_path / "part").write_text("")
    told = in_words(refused(lambda: (tmp_path / "part").replace(tmp_path / "asked")))
    assert told == f"{tmp_path / 'asked'} is a folder, and a file is needed; name a file."


def test_a_refusal_that_names_no_file_is_told_of_the_one_that_was_read() -> None:
    memory = Path("/proc/self/mem")  # nobody can read its beginning, not even root
    told = unusable(memory, refused(memory.read_bytes), "never said")
    assert told == "/proc/self/mem cannot be used (Input/output error); look at it with ls -l, and at its disk."


def test_a_content_that_does_not_fit_is_told_in_one_line_with_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "x.gz").write_text("plain")
    error = refused(lambda: gzip.decompress((tmp_path / "x.gz").read_bytes()))
    told = unusable(tmp_path / "x.gz", error, "compress it again.")
    assert told == f"{tmp_path / 'x.gz'} cannot be read (Not a gzipped file (b'pl')); compress it again."
    assert unusable("x", ValueError("two\n lines"), "mend it.") == "x cannot be read (two lines); mend it."
