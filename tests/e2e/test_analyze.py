"""`emotion-edge analyze VIDEO`: results as files, without servers."""

import json
import os
import subprocess
import sys
from pathlib import Path

import cv2
import pandas as pd
import pytest

from services.analyze import COLUMNS
from shared.emotions import EMOTIONS
from tests.conftest import ROOT


def analyze(*arguments: str, models: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "services.main", "analyze", *arguments],
        cwd=ROOT,
        env=os.environ | {"EMOTION_MODELS_DIR": str(models)},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )


def test_a_clip_becomes_tidy_tables_and_an_annotated_video(
    head_pose_clip: Path, models_dir: Path, tmp_path: Path
) -> None:
    result = analyze(str(head_pose_clip), "--out", str(tmp_path / "out"), models=models_dir)
    assert result.returncode == 0, result.stderr
    stem = head_pose_clip.stem
    table = pd.read_csv(tmp_path / "out" / f"{stem}.csv")
    assert tuple(table.columns) == COLUMNS
    assert len(table) == 112
    assert table["frame_number"].nunique() == 56
    assert table["track_id"].nunique() == 2
    assert (table[list(EMOTIONS)].sum(axis=1) - 1).abs().max() < 1e-3
    lines = [json.loads(line) for line in (tmp_path / "out" / f"{stem}.jsonl").read_text().splitlines()]
    assert [line["frame_number"] for line in lines] == list(range(56))
    assert lines[10]["time_s"] == pytest.approx(0.8, abs=0.05)
    assert lines[0]["faces"][0]["region"]["x"] == table["x"][0]
    video = cv2.VideoCapture(str(tmp_path / "out" / f"{stem}.annotated.mp4"))
    assert int(video.get(cv2.CAP_PROP_FRAME_COUNT)) == 56
    assert sorted(path.suffix for path in (tmp_path / "out").iterdir()) == [".csv", ".jsonl", ".mp4"]


def test_a_text_file_called_mp4_is_one_clear_line_and_leaves_nothing(models_dir: Path, tmp_path: Path) -> None:
    fake = tmp_path / "holiday.mp4"
    fake.write_text("these are not the frames you are looking for")
    result = analyze(str(fake), models=models_dir)
    assert result.returncode == 1
    assert "holiday.mp4" in result.stderr
    assert "Traceback" not in result.stderr
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == ["holiday.mp4"]


def test_an_absent_file_is_one_clear_line(models_dir: Path, tmp_path: Path) -> None:
    result = analyze(str(tmp_path / "nothing.mp4"), models=models_dir)
    assert result.returncode == 1
    assert "nothing.mp4" in result.stderr
