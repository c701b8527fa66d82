"""Class folders, FER2013's copy of that form, and this project's exports: what does not fit is named, never used."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from shared.emotions import EMOTIONS
from training.data import DataError, fingerprint, read_faces, read_ferplus


def picture(path: Path, grey: int = 100) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("L", (48, 48), grey).save(path)
    return path


def describe(folder: Path, *records: object) -> None:
    text = "".join((record if isinstance(record, str) else json.dumps(record)) + "\n" for record in records)
    (folder / "metadata.jsonl").write_text(text)


def test_kaggles_copy_tells_the_two_test_parts_apart_by_name(tmp_path: Path) -> None:
    for number, name in enumerate(EMOTIONS):
        picture(tmp_path / "train" / name / f"Training_{number}.jpg", number)
        picture(tmp_path / "test" / name / f"PublicTest_{number}.jpg", 50 + number)
        picture(tmp_path / "test" / name / f"PrivateTest_{number}.jpg", 100 + number)
    picture(tmp_path / "train" / "happy" / "PublicTest_99.jpg")

    faces = read_faces(tmp_path)

    for usage, grey in (("Training", 0), ("PublicTest", 50), ("PrivateTest", 100)):
        part = faces.with_usage(usage)
        in_order = np.argsort(part.labels)
        assert part.labels[in_order].tolist() == list(range(7))
        assert part.pixels[in_order, 0, 0].tolist() == [grey + label for label in range(7)]
    (bad,) = faces.bad_rows
    assert str(bad).startswith("train/happy/PublicTest_99.jpg: lies in the folder for training")


@pytest.mark.parametrize(
    ("folder", "label"),
    [
        ("Anger", 0),
        ("DISGUSTED", 1),
        ("fearful", 2),
        ("Happiness", 3),
        ("sadness", 4),
        ("Surprised", 5),
        ("Neutral", 6),
    ],
)
def test_usual_names_of_classes_and_splits_are_known(tmp_path: Path, folder: str, label: int) -> None:
    for split, usage in (("Train", "Training"), ("Val", "PublicTest"), ("TEST", "PrivateTest")):
        picture(tmp_path / split / folder / "a.PNG", 10)
        assert read_faces(tmp_path).with_usage(usage).labels.tolist() == [label]
    flat = tmp_path / "flat"
    picture(flat / folder / "a.jpeg")
    assert read_faces(flat).usage.tolist() == ["Training"]


def test_everything_unusable_is_named_and_the_rest_is_read(tmp_path: Path) -> None:
    picture(tmp_path / "happy" / "good.png")
    picture(tmp_path / "contempt" / "a.png")
    picture(tmp_path / "contempt" / "b.png")
    picture(tmp_path / "3" / "c.png")
    picture(tmp_path / "loose.png")
    picture(tmp_path / "happy" / "clip" / "d.png")
    picture(tmp_path / "train" / "happy" / "clip" / "e.png")
    (tmp_path / "happy" / "notes.txt").write_text("hello")
    (tmp_path / "happy" / "empty.jpg").touch()
    whole = picture(tmp_path / "happy" / "whole.jpg").read_bytes()
    (tmp_path / "happy" / "half.jpg").write_bytes(whole[: len(whole) - 30])
    (tmp_path / "happy" / "text.png").write_text("not a picture")
    os.mkfifo(tmp_path / "happy" / "pipe.png")
    (tmp_path / "happy" / "gone.png").symlink_to(tmp_path / "absent.png")
    (tmp_path / "README.md").write_text("about")
    (tmp_path / "happy" / "\x1b[2J\udcff.png").write_text("")

    faces = read_faces(tmp_path)

    assert faces.files is not None
    assert faces.files.tolist() == ["happy/good.png", "happy/whole.jpg"]
    found = {bad.where: bad.reason for bad in faces.bad_rows}
    expected = {
        "contempt/a.png": "class 'contempt' is not one of",
        "contempt/b.png": "class 'contempt' is not one of",
        "3/c.png": "class '3' is not one of",
        "loose.png": "lies in no class folder",
        "happy/clip/d.png": "deeper than a class folder",
        "train/happy/clip/": "deeper than a class folder",
        "happy/notes.txt": "is not a .png, .jpg, .jpeg file",
        "happy/empty.jpg": "is not a readable PNG or JPEG",
        "happy/half.jpg": "is cut off",
        "happy/text.png": "is not a readable PNG or JPEG",
        "happy/pipe.png": "is not a file",
        "happy/gone.png": "is not a file",
        r"happy/\x1b[2J\udcff.png": "is not a readable PNG or JPEG",
    }
    assert found.keys() == expected.keys()
    for where, part in expected.items():
        assert part in found[where]


def test_a_link_to_its_own_folder_ends(tmp_path: Path) -> None:
    picture(tmp_path / "happy" / "a.png")
    (tmp_path / "happy" / "again").symlink_to(tmp_path)
    (tmp_path / "train").symlink_to(tmp_path)
    faces = read_faces(tmp_path)
    assert faces.files is not None
    assert faces.files.tolist() == ["happy/a.png", "train/happy/a.png"]


def test_an_export_carries_split_and_groups(tmp_path: Path) -> None:
    picture(tmp_path / "happy" / "1.png")
    picture(tmp_path / "sad" / "2.png")
    picture(tmp_path / "3.png")
    describe(
        tmp_path,
        {"file_name": "happy/1.png", "label": "happy", "split": "train", "person": "p1", "session": 7, "glasses": True},
        {"file_name": "sad/2.png", "split": "validation", "person": "p2", "box": [1, 2, 3, 4]},
        {"file_name": "3.png", "label": "surprise", "split": "test", "person": None},
    )

    faces = read_faces(tmp_path)

    assert not faces.bad_rows
    assert faces.files is not None
    assert faces.files.tolist() == ["3.png", "happy/1.png", "sad/2.png"]
    assert faces.labels.tolist() == [5, 3, 4]
    assert faces.usage.tolist() == ["PrivateTest", "Training", "PublicTest"]
    assert {name: values.tolist() for name, values in faces.groups.items()} == {
        "glasses": ["", "True", ""],
        "person": ["", "p1", "p2"],
        "session": ["", "7", ""],
    }


def test_metadata_in_each_split_folder_is_read(tmp_path: Path) -> None:
    for split in ("train", "test"):
        picture(tmp_path / split / "happy" / "1.png")
        describe(tmp_path / split, {"file_name": "happy/1.png", "label": "happy", "person": split})
    assert read_faces(tmp_path).groups["person"].tolist() == ["test", "train"]


def test_metadata_that_does_not_fit_is_named(tmp_path: Path) -> None:
    for name in ("good", "conflict", "unknown", "number", "where", "who", "unlisted"):
        picture(tmp_path / "happy" / f"{name}.png")
    picture(tmp_path.parent / "outside.png")
    describe(
        tmp_path,
        {"file_name": "happy/good.png", "label": "happy"},
        {"file_name": "happy/conflict.png", "label": "sad"},
        {"file_name": "happy/unknown.png", "label": "contempt"},
        {"file_name": "happy/number.png", "label": 3},
        {"file_name": "happy/where.png", "split": "elsewhere"},
        {"file_name": "happy/who.png", "person": ["a", "b"]},
        {"file_name": "happy/good.png", "label": "sad"},
        {"file_name": "../outside.png", "label": "happy"},
        {"file_name": "happy/\x00.png", "label": "happy"},
        {"label": "happy"},
        "[" * 100_000,
        "not JSON",
        "",
        "NaN",
    )

    faces = read_faces(tmp_path)

    assert len(faces) == 1
    found = {bad.where: bad.reason for bad in faces.bad_rows}
    expected = {
        "happy/conflict.png": "its folder says happy, its metadata sad",
        "happy/unknown.png": "label 'contempt' is not one of",
        "happy/number.png": "label '3' is not one of",
        "happy/where.png": "split 'elsewhere' is not one of",
        "happy/who.png": "its person is not a number or a text",
        "happy/unlisted.png": "has no line in metadata.jsonl",
        "metadata.jsonl line 7": "is about a picture of an earlier line",
        "metadata.jsonl line 8": "is about a picture that is not there",
        "metadata.jsonl line 9": "is about a picture that is not there",
        "metadata.jsonl line 10": "is not an object with a file_name",
        "metadata.jsonl line 11": "is not JSON",
        "metadata.jsonl line 12": "is not JSON",
        "metadata.jsonl line 14": "is not an object with a file_name",
    }
    assert found.keys() == expected.keys()
    for where, part in expected.items():
        assert part in found[where]


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=150),
    lambda inner: st.lists(inner),
    max_leaves=4,
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60, deadline=None)
@given(
    record=st.dictionaries(st.sampled_from(["file_name", "label", "split", "person", "age"]), json_values),
    raw=st.binary(max_size=60),
)
def test_any_metadata_is_read_or_named(tmp_path: Path, record: dict[str, object], raw: bytes) -> None:
    picture(tmp_path / "happy" / "a.png")
    picture(tmp_path / "happy" / "b.png")
    good = b'{"file_name": "happy/a.png", "label": "happy"}\n'
    about_b = json.dumps({**record, "file_name": "happy/b.png"}).encode()
    (tmp_path / "metadata.jsonl").write_bytes(good + about_b + b"\n" + json.dumps(record).encode() + b"\n" + raw)

    faces = read_faces(tmp_path)

    assert faces.files is not None
    assert faces.files[0] == "happy/a.png"
    assert set(faces.labels.tolist()) == {3}
    for values in faces.groups.values():
        "".join(values.tolist()).encode()
    "".join(str(bad) for bad in faces.bad_rows).encode()


def test_a_group_label_that_no_file_can_hold_is_spelt_out(tmp_path: Path) -> None:
    picture(tmp_path / "happy" / "a.png")
    line = '{"file_name": "happy/a.png", "person": "\\ud800\\u001b[2J"}'
    (tmp_path / "metadata.jsonl").write_text(line + "\n")
    assert read_faces(tmp_path).groups["person"].tolist() == [r"\ud800\x1b[2J"]


def test_folders_that_are_no_data_set_are_refused_in_words(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no usable picture.*Give a folder of class folders"):
        read_faces(tmp_path)
    picture(tmp_path / "fer2013" / "train" / "happy" / "a.png")
    with pytest.raises(DataError, match=r"fer2013/train/happy/: lies deeper than a class folder"):
        read_faces(tmp_path)
    picture(tmp_path / "happy" / "a.png")
    describe(tmp_path, {"file_name": "happy/a.png", **{f"field {n}": n for n in range(51)}})
    with pytest.raises(DataError, match="51 different fields"):
        read_faces(tmp_path)


def test_votes_are_not_matched_to_pictures(tmp_path: Path) -> None:
    picture(tmp_path / "faces" / "happy" / "a.png")
    (tmp_path / "fer2013new.csv").touch()
    with pytest.raises(DataError, match="leave --ferplus out"):
        read_ferplus(tmp_path / "fer2013new.csv", read_faces(tmp_path / "faces"))


def test_the_fingerprint_changes_with_any_name_or_content(tmp_path: Path) -> None:
    first = picture(tmp_path / "happy" / "a.png")
    original = fingerprint(tmp_path)
    assert fingerprint(tmp_path) == original
    picture(first, 7)
    other_content = fingerprint(tmp_path)
    first.rename(first.with_name("b.png"))
    other_name = fingerprint(tmp_path)
    picture(first)
    assert len({original, other_content, other_name, fingerprint(tmp_path)}) == 4
