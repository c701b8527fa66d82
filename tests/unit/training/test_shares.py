"""What is printed to choose a share by is what the models score on the held-out faces."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("tensorflow", reason="only TensorFlow writes LiteRT files: pip install -e .[train]")
keras = pytest.importorskip("keras")

from shared.preset import CropSpec  # noqa: E402 - Keras first
from training import export, shares, train  # noqa: E402 - Keras first
from training.average import averaged_network  # noqa: E402 - Keras first
from training.checkpoint import Checkpoint  # noqa: E402 - Keras first
from training.config import TrainConfig  # noqa: E402 - Keras first
from training.data import read_faces  # noqa: E402 - Keras first
from training.lineage import seen_splits  # noqa: E402 - Keras first
from training.metrics import accuracy, fit_temperature, negative_log_likelihood  # noqa: E402 - Keras first
from training.predictors import LiteRtPredictor, predict  # noqa: E402 - Keras first
from training.robustness import noise  # noqa: E402 - Keras first
from training.run import predict_logits  # noqa: E402 - Keras first
from training.run_folder import read_config  # noqa: E402 - Keras first

pytestmark = pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="Keras runs on another backend; set KERAS_BACKEND=tensorflow"
)


def finished(run: Path, config: TrainConfig) -> Path:
    run.mkdir()
    (run / "config.json").write_text(config.to_json())
    assert train.main(["--run", str(run), "--resume"]) == 0
    return run


def test_each_row_is_what_that_model_scores(
    tmp_path: Path, small_csv: Path, tiny_network: str, capsys: pytest.CaptureFixture[str]
) -> None:
    config = TrainConfig(
        network=tiny_network, data=str(small_csv), batch_size=16, held_out_fraction=0.2, ema_decay=0.9, epochs=4
    )
    first = finished(tmp_path / "first", replace(config, learning_rate=0.05))
    begun = tmp_path / "models" / "begun"
    export.export(first, begun, "1", CropSpec(scale=1.1), [], None)
    second = finished(tmp_path / "second", replace(config, epochs=1, start_from=str(begun)))
    capsys.readouterr()

    assert shares.main(["--run", str(second), "--share", "0", "--share", "0.5", "--share", "1"]) == 0

    rows = [[float(cell) for cell in line.split("|")[1:-1]] for line in capsys.readouterr().out.splitlines()[2:]]
    held_out = read_faces(small_csv).take(np.array(json.loads((second / "split.json").read_text())["held_out"]))
    predictor, _ = LiteRtPredictor.from_folder(begun)
    ended = averaged_network(read_config(second), Checkpoint.load(second))
    assert [row[0] for row in rows] == [0, 0.5, 1]
    for column, pixels in ((1, held_out.pixels), (2, noise(held_out.pixels, 16))):
        before = accuracy(predict(predictor, pixels), held_out.labels)
        after = accuracy(predict_logits(ended, pixels), held_out.labels)
        assert [rows[0][column], rows[2][column]] == pytest.approx([100 * before, 100 * after], abs=0.06)
    logits = predict_logits(ended, held_out.pixels)
    lowest = negative_log_likelihood(logits, held_out.labels, fit_temperature(logits, held_out.labels))
    assert rows[2][4] == pytest.approx(lowest, abs=1e-3)

    # What the one learnt from goes with the other, so that a third starts from both with care.
    preset = export.export(second, tmp_path / "models" / "ended", "1", CropSpec(scale=1.1), [], None, share=0.5)
    assert [split.held_out_fraction for split in seen_splits(preset.training)] == [0.2, 0.2]


def test_a_run_that_started_from_nothing_is_refused(
    tmp_path: Path, small_csv: Path, tiny_network: str, capsys: pytest.CaptureFixture[str]
) -> None:
    config = TrainConfig(network=tiny_network, data=str(small_csv), epochs=1, batch_size=16)
    assert shares.main(["--run", str(finished(tmp_path / "run", config))]) == 1
    assert "did not start from a model" in capsys.readouterr().err
