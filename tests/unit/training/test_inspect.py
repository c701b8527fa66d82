"""What people look at before a run."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from training.data import Faces, read_faces
from training.data.__main__ import main
from training.data.inspection import as_text, contact_sheet, ferplus_agreement, inspect


def test_the_summary_counts_classes_copies_and_bad_rows(small_csv: Path) -> None:
    lines = small_csv.read_text().splitlines()
    copy = lines[1].rsplit(",", 1)[0].split(",", 1)[1]
    small_csv.write_text("\n".join([*lines, f"1,{copy},PublicTest", "9,1,Training"]) + "\n")

    report = inspect(read_faces(small_csv), None)
    text = as_text(report)

    assert text.splitlines()[1].split() == ["Training", *["26"] * 7, "182"]
    assert text.splitlines()[2].split() == ["PublicTest", "6", "7", *["6"] * 5, "43"]
    assert "1 groups of 2 rows; 1 of them across usages, 1 with different labels" in text
    assert f"1 x label '9' is not one of 0 to 6, first in line {len(lines) + 2}" in text
    assert report["exact_copies"]["different_labels"] == [
        [
            {"at": "line 2", "label": "angry", "usage": "Training"},
            {"at": f"line {len(lines) + 1}", "label": "disgust", "usage": "PublicTest"},
        ]
    ]


def test_the_balance_of_classes_and_missing_ones_are_told() -> None:
    labels = np.array([3] * 6 + [1] * 2)
    faces = Faces(np.zeros((8, 48, 48), np.uint8), labels, np.array(["Training"] * 8), np.arange(8))
    report = inspect(faces, None)
    assert report["balance"]["share"]["happy"] == 0.75
    assert report["balance"]["largest_to_smallest"] == 3.0
    assert "classes without any face: angry, fear, sad, surprise, neutral" in as_text(report)


def test_people_in_two_usages_are_told() -> None:
    faces = Faces(
        np.zeros((4, 48, 48), np.uint8),
        np.array([3, 3, 4, 4]),
        np.array(["Training", "PublicTest", "Training", "Training"]),
        np.arange(4),
        groups={"person": np.array(["a", "a", "b", ""])},
    )
    report = inspect(faces, None)
    assert report["group_labels"] == {"person": {"values": 2, "faces_without": 1, "values_across_usages": 1}}
    assert "person: 2 different, 1 of them in more than one usage; Training rows of these are not" in as_text(report)


def test_agreement_with_votes_counts_only_faces_that_have_a_majority() -> None:
    faces = Faces(np.zeros((4, 48, 48), np.uint8), np.array([3, 3, 4, 6]), np.array(["Training"] * 4), np.arange(4))
    votes = np.zeros((4, 10), np.float32)
    votes[0, 1] = votes[1, 0] = votes[3, 0] = 9  # happiness, neutral, neutral
    votes[2, 8] = 9  # unknown
    found = ferplus_agreement(faces, votes)
    assert (found["faces_with_majority"], found["faces_without"]) == (3, 1)
    assert found["agreement"] == pytest.approx(2 / 3, abs=1e-4)
    assert (found["by_label"]["happy"], found["by_label"]["neutral"], found["by_label"]["sad"]) == (0.5, 1.0, None)


def test_the_sheet_has_a_row_per_class(small_csv: Path) -> None:
    sheet = contact_sheet(read_faces(small_csv), 5, np.random.default_rng(0))
    assert sheet.shape == (7 * 48, 5 * 48)
    assert np.all(np.diff([sheet[48 * label : 48 * (label + 1)].mean() for label in range(7)]) > 20)


def test_the_command_writes_sheet_and_figures_of_a_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("happy", "sad", "contempt"):
        (tmp_path / "faces" / name).mkdir(parents=True)
        Image.new("RGB", (60, 70), "white").save(tmp_path / "faces" / name / "a.png")
    sheet, figures = tmp_path / "out" / "sheet.png", tmp_path / "out" / "figures.json"

    assert main(["inspect", "--data", str(tmp_path / "faces"), "--sheet", str(sheet), "--json", str(figures)]) == 0

    assert "1 x class 'contempt' is not one of" in capsys.readouterr().out
    report = json.loads(figures.read_text())
    assert report["usages"]["Training"]["happy"] == 1
    assert report["bad_rows"]["rows"][0]["at"] == "contempt/a.png"
    assert len(report["data_sha256"]) == 64
    with Image.open(sheet) as picture:
        assert picture.size == (72 + 24 * 48, 7 * 48)


def test_the_command_says_what_is_wrong(small_csv: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inspect", "--data", str(tmp_path / "absent.csv")]) == 1
    assert "absent.csv does not exist" in capsys.readouterr().err
    assert main(["inspect", "--data", str(small_csv), "--sheet", str(tmp_path / "sheet.xyz")]) == 1
    assert "name it with .png" in capsys.readouterr().err
