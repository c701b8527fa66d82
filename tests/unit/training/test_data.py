"""Reading: what is not understood is counted and named by its line, never used."""

import gzip
import lzma
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from training.data import DataError, Faces, ferplus_majority, pixel_hashes, read_faces, read_ferplus

HEADER = "emotion,pixels,Usage"
GOOD_PIXELS = " ".join(["7"] * 2304)


def write(path: Path, *rows: str) -> Path:
    path.write_text("\n".join([HEADER, *rows]) + "\n")
    return path


def test_each_bad_row_is_named_by_line_and_reason(tmp_path: Path) -> None:
    path = write(
        tmp_path / "f.csv",
        f"3,{GOOD_PIXELS},Training",
        f"9,{GOOD_PIXELS},Training",
        f"x,{GOOD_PIXELS},Training",
        "3,1 2 3,Training",
        f"3,{GOOD_PIXELS.replace('7', '256', 1)},Training",
        f"3,{GOOD_PIXELS.replace('7', '-1', 1)},Training",
        f"3,{GOOD_PIXELS},Elsewhere",
        "3",
        f"6,{GOOD_PIXELS},PublicTest",
    )

    faces = read_faces(path)

    assert faces.labels.tolist() == [3, 6]
    assert faces.lines.tolist() == [2, 10]
    assert [bad.line for bad in faces.bad_rows] == [3, 4, 5, 6, 7, 8, 9]
    reasons = [bad.reason for bad in faces.bad_rows]
    for reason, part in zip(
        reasons, ("label '9'", "label 'x'", "3 pixels", "256", "whole numbers", "usage", "1 fields"), strict=True
    ):
        assert part in reason


@pytest.mark.parametrize("row", ["\x00,\x00,\x00", '"', "é,é,é", f"0,{'1 ' * 200_000},Training"])
def test_a_row_of_rubbish_stops_nothing_and_takes_no_other_row_with_it(tmp_path: Path, row: str) -> None:
    path = write(tmp_path / "f.csv", f"3,{GOOD_PIXELS},Training", row, f"4,{GOOD_PIXELS},Training")

    faces = read_faces(path)

    assert faces.lines.tolist() == [2, 4]
    assert [bad.line for bad in faces.bad_rows] == [3]


def test_a_line_without_an_end_is_never_held_in_memory(tmp_path: Path) -> None:
    path = tmp_path / "f.csv.gz"
    with gzip.open(path, "wt") as text:
        text.write(f"{HEADER}\n3,{GOOD_PIXELS},Training\n")
        for _ in range(64):
            text.write("7 " * 500_000)
    tracemalloc.start()
    faces = read_faces(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert peak < 8_000_000
    assert [str(bad) for bad in faces.bad_rows] == ["line 3: more than 100000 characters"]


def test_more_bad_rows_than_any_data_set_has_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "f.csv.xz"
    path.write_bytes(lzma.compress(f"{HEADER}\n{'x' * 3}\n".encode() + b"x\n" * 100_001))
    with pytest.raises(DataError, match="more than 100000 bad rows"):
        read_faces(path)


def test_kaggles_other_order_of_columns_and_group_labels_are_read(tmp_path: Path) -> None:
    path = tmp_path / "icml_face_data.csv"
    rows = [f"3,Training,{GOOD_PIXELS},Zoë", f'4,PublicTest,{GOOD_PIXELS},"Doe, J"', f"4,Training,{GOOD_PIXELS},"]
    long = f"3,Training,{GOOD_PIXELS},{'n' * 101}"
    path.write_text("\ufeffemotion, Usage, pixels, person\r\n" + "\r\n".join([*rows, long]) + "\r\n", encoding="utf-8")

    faces = read_faces(path)

    assert faces.labels.tolist() == [3, 4, 4]
    assert faces.usage.tolist() == ["Training", "PublicTest", "Training"]
    assert faces.groups["person"].tolist() == ["Zoë", "Doe, J", ""]
    assert faces.take(np.array([1])).groups["person"].tolist() == ["Doe, J"]
    assert [str(bad) for bad in faces.bad_rows] == ["line 5: a group label of more than 100 characters"]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30, deadline=None)
@given(text=st.text(alphabet=st.characters(codec="ascii"), max_size=200))
def test_any_text_is_read_or_named_never_used_wrongly(tmp_path: Path, text: str) -> None:
    path = tmp_path / "f.csv"
    path.write_text(f"{HEADER}\n0,{GOOD_PIXELS},Training\n{text}", newline="")

    faces = read_faces(path)

    assert len(faces) == 1
    assert faces.labels.tolist() == [0]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**32), label=st.integers(0, 6))
def test_pixels_come_back_as_written(tmp_path: Path, seed: int, label: int) -> None:
    pixels = np.random.default_rng(seed).integers(0, 256, (48, 48))
    path = write(tmp_path / "f.csv", f"{label},{' '.join(map(str, pixels.ravel()))},Training")

    faces = read_faces(path)

    assert np.array_equal(faces.pixels[0], pixels)
    assert faces.labels[0] == label


def test_compressed_files_read_alike(small_csv: Path) -> None:
    raw = small_csv.read_bytes()
    small_csv.with_suffix(".csv.xz").write_bytes(lzma.compress(raw))
    small_csv.with_suffix(".csv.gz").write_bytes(gzip.compress(raw))

    plain, *others = (read_faces(small_csv.with_suffix(suffix)) for suffix in (".csv", ".csv.xz", ".csv.gz"))

    for other in others:
        assert np.array_equal(plain.pixels, other.pixels)
        assert np.array_equal(plain.labels, other.labels)


@pytest.mark.parametrize("at", [0.3, 0.6, 0.9])
@pytest.mark.parametrize("suffix", [".csv.xz", ".csv.gz"])
def test_a_damaged_file_is_refused_in_words(small_csv: Path, suffix: str, at: float) -> None:
    pack = lzma.compress if suffix == ".csv.xz" else gzip.compress
    packed = bytearray(pack(small_csv.read_bytes()))
    start = int(at * len(packed))
    packed[start : start + 64] = b"\xff" * 64
    path = small_csv.with_suffix(suffix)
    path.write_bytes(packed)

    with pytest.raises(DataError, match="damaged"):
        read_faces(path)


@pytest.mark.parametrize("suffix", [".csv.xz", ".csv.gz"])
def test_a_truncated_file_is_refused_in_words(small_csv: Path, suffix: str) -> None:
    pack = lzma.compress if suffix == ".csv.xz" else gzip.compress
    path = small_csv.with_suffix(suffix)
    path.write_bytes(pack(small_csv.read_bytes())[:-200])

    with pytest.raises(DataError, match="damaged"):
        read_faces(path)


def test_other_files_are_refused_in_words(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="does not exist"):
        read_faces(tmp_path / "absent.csv")
    (tmp_path / "faces.zip").write_bytes(b"PK")
    with pytest.raises(DataError, match=r"not a \.csv, \.csv\.gz or \.csv\.xz file, nor a folder"):
        read_faces(tmp_path / "faces.zip")
    other = tmp_path / "other.csv"
    other.write_text("a,b\n1,2\n")
    with pytest.raises(DataError, match="Kaggle form"):
        read_faces(other)
    with pytest.raises(DataError, match="no usable row"):
        read_faces(write(tmp_path / "empty.csv", "3,1 2,Training"))


def test_a_usage_that_is_absent_is_named(small_csv: Path) -> None:
    with pytest.raises(DataError, match=r"PrivateTest.*PublicTest, Training"):
        read_faces(small_csv).with_usage("PrivateTest")


def test_votes_follow_the_line_even_past_bad_rows(tmp_path: Path) -> None:
    faces = read_faces(write(tmp_path / "f.csv", f"3,{GOOD_PIXELS},Training", "bad", f"6,{GOOD_PIXELS},PublicTest"))
    votes = tmp_path / "fer2013new.csv"
    columns = "neutral,happiness,surprise,sadness,anger,disgust,fear,contempt,unknown,NF"
    rows = ["Training,a,10,0,0,0,0,0,0,0,0,0", "Training,b,0,0,0,0,0,0,0,0,0,10", "PublicTest,c,0,10,0,0,0,0,0,0,0,0"]
    votes.write_text("\n".join([f"Usage,Image name,{columns}", *rows]) + "\n")

    assert read_ferplus(votes, faces).argmax(axis=1).tolist() == [0, 1]

    votes.write_text("\n".join([f"Usage,Image name,{columns}", *rows[:2]]) + "\n")
    with pytest.raises(DataError, match="do not belong together"):
        read_ferplus(votes, faces)


def test_only_exact_copies_share_a_hash(small_csv: Path) -> None:
    faces = read_faces(small_csv)
    twice = faces.take(np.array([0, 1, 0]))

    hashes = pixel_hashes(twice)

    assert hashes[0] == hashes[2] != hashes[1]


def test_the_majority_is_the_class_with_most_votes_and_none_where_two_share_it() -> None:
    votes = np.zeros((4, 10), np.float32)
    votes[0, 4] = 6  # anger
    votes[1, [1, 3]] = 5  # happiness and sadness
    votes[2, 9] = 10  # not a face
    votes[3, [0, 6]] = 4, 6  # fear

    assert ferplus_majority(votes).tolist() == [0, -1, -1, 2]


def test_fer2013_itself_is_read_whole(fer2013: Faces) -> None:
    assert np.bincount(fer2013.labels[fer2013.usage == "PublicTest"]).tolist() == [467, 56, 496, 895, 653, 415, 607]
    assert np.count_nonzero(fer2013.usage == "Training") == 28702
    assert not fer2013.bad_rows
    assert len(fer2013) - len(np.unique(pixel_hashes(fer2013))) == 1522
