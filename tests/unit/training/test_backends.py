"""A run is the same on every backend of Keras that is installed, with breaks and without, in both stages."""

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("keras", reason="training's tests need Keras: pip install -e .[train]")

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(params=["tensorflow", "jax", "torch"])
def outcome(request: pytest.FixtureRequest, small_csv: Path, tmp_path: Path) -> dict[str, Any]:
    """What ``tests.support.tiny_runs`` says on one backend."""
    backend: str = request.param
    if importlib.util.find_spec(backend) is None:
        pytest.skip(f"{backend} is not installed")
    process = subprocess.run(
        [sys.executable, "-m", "tests.support.tiny_runs", str(small_csv), str(tmp_path)],
        cwd=ROOT,
        env=os.environ | {"KERAS_BACKEND": backend, "TF_CPP_MIN_LOG_LEVEL": "3"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert process.returncode == 0, process.stderr
    result: dict[str, Any] = json.loads(process.stdout.splitlines()[-1])
    assert result["backend"] == backend
    return result


def test_a_run_learns_in_two_stages_and_survives_breaks(outcome: dict[str, Any]) -> None:
    history, with_breaks = outcome["history"], outcome["history_with_breaks"]
    assert outcome["complete"]
    assert outcome["largest_difference"] < 1e-5
    assert len(history) == len(with_breaks)
    for record, other in zip(history, with_breaks, strict=True):
        for name in record.keys() - {"seconds"}:
            assert record[name] == pytest.approx(other[name], rel=1e-4), name

    assert [record["stage"] for record in history][:3] == [1, 1, 2]
    assert outcome["moved_in_first_stage"] == ["logits/bias", "logits/kernel"]
    assert {name.split("/")[0] for name in outcome["moved_in_second_stage"]} == {
        "block9_conv",
        "block9_bn",
        "block10_conv",
        "block10_bn",
        "logits",
    }
    assert history[-1]["train_loss"] < history[0]["train_loss"]
    assert history[-1]["train_accuracy"] > history[0]["train_accuracy"]
