"""What people look at before and after a run."""

from pathlib import Path

import numpy as np
import pytest

from training import curves, inspect
from training.data import read_fer2013


def test_the_summary_counts_classes_copies_and_bad_rows(small_csv: Path) -> None:
    lines = small_csv.read_text().splitlines()
    copy = lines[1].rsplit(",", 1)[0].split(",", 1)[1]
    small_csv.write_text("\n".join([*lines, f"1,{copy},PublicTest", "9,1,Training"]) + "\n")

    text = inspect.summary(read_fer2013(small_csv))

    assert text.splitlines()[1].split() == ["Training", *["26"] * 7, "182"]
    assert text.splitlines()[2].split() == ["PublicTest", "6", "7", *["6"] * 5, "43"]
    assert "1 groups of 2 rows; 1 of them across usages, 1 with different labels" in text
    assert f"1 x label '9' is not one of 0 to 6, first in line {len(lines) + 2}" in text


def test_the_sheet_has_a_row_per_class(small_csv: Path, tmp_path: Path) -> None:
    sheet = inspect.contact_sheet(read_fer2013(small_csv), 5, np.random.default_rng(0))
    assert sheet.shape == (7 * 48, 5 * 48)
    assert np.all(np.diff([sheet[48 * label : 48 * (label + 1)].mean() for label in range(7)]) > 20)
    pytest.importorskip("PIL")
    out = tmp_path / "sheet.png"
    assert inspect.main(["--data", str(small_csv), "--sheet", str(out)]) == 0
    assert out.read_bytes().startswith(b"\x89PNG")


def test_curves_are_drawn_and_a_missing_run_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert curves.main(["--run", str(tmp_path)]) == 1
    assert "does not exist" in capsys.readouterr().err
    pytest.importorskip("matplotlib")
    columns = "epoch,train_loss,held_out_loss,held_out_accuracy,learning_rate"
    (tmp_path / "history.csv").write_text(f"{columns}\n1,2.0,1.9,0.3,0.1\n2,1.5,1.4,0.5,0.05\n")
    assert curves.main(["--run", str(tmp_path)]) == 0
    assert (tmp_path / "curves.png").read_bytes().startswith(b"\x89PNG")
