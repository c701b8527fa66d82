"""The evaluation's figures and command, on a model whose answers are known."""

import json
from pathlib import Path

import numpy as np
import pytest

from shared.preset import InputSpec
from training import evaluate
from training.data import DataError, read_fer2013
from training.predictors import as_logits, as_tensor, measure_latency, predict


class Brightness:
    """Takes the brightness of a face for its class, as the small data set does."""

    name = "brightness"
    temperature = 0.5
    size_bytes = 12
    input = InputSpec(height=48, width=48)

    def run(self, tensor: np.ndarray) -> np.ndarray:
        assert tensor.shape == (1, 48, 48, 1)
        level = (float(tensor.mean()) - 20) / 35
        return -((np.arange(7, dtype=np.float32)[None] - np.float32(level)) ** 2)


def test_a_perfect_model_scores_as_one(small_csv: Path) -> None:
    faces = read_fer2013(small_csv).with_usage("PublicTest")
    report, logits = evaluate.evaluate(Brightness(), faces, latency_runs=20)
    assert logits.shape == (42, 7)
    assert report["accuracy"] == 1
    assert report["accuracy_95"][0] < 1 == report["accuracy_95"][1]
    assert report["macro_f1"] == 1
    assert set(report["recall"].values()) == {1.0}
    assert np.array(report["confusion"]).tolist() == (6 * np.eye(7, dtype=int)).tolist()
    assert report["ece_15"] < report["ece_15_before_temperature"]
    assert report["accuracy_at_coverage"] == {"0.9": 1.0, "0.8": 1.0, "0.7": 1.0}
    assert 0 < report["latency_one_face_one_thread"]["p50_ms"] <= report["latency_one_face_one_thread"]["p95_ms"]
    text = evaluate.as_text({**report, "usage": "PublicTest"})
    assert "100.00%" in text
    assert "surprise" in text


def test_agreement_with_votes_leaves_the_undecided_out() -> None:
    # FER+'s columns: neutral, happiness, surprise, sadness, anger, disgust, fear, contempt, unknown, NF.
    votes = np.zeros((5, 10), np.float32)
    votes[0, 1] = votes[1, 4] = votes[2, 7] = votes[3, 9] = 10
    votes[4, :2] = 5
    logits = np.eye(7, dtype=np.float32)[[3, 4, 0, 0, 3]]
    assert evaluate.ferplus_figures(logits, votes) == {"faces": 2, "accuracy": 0.5, "accuracy_95": [0.0945, 0.9055]}
    with pytest.raises(DataError, match="majority"):
        evaluate.ferplus_figures(logits[2:], votes[2:])


def test_faces_are_resized_where_a_model_wants_another_size() -> None:
    face = np.full((48, 48), 100, np.uint8)
    tensor = as_tensor(face, InputSpec(height=64, width=64, channels=3, scale=1 / 127.5, offset=-1.0))
    assert tensor.shape == (1, 64, 64, 3)
    assert tensor == pytest.approx(100 / 127.5 - 1, abs=1e-5)


def test_probabilities_become_logits_that_give_them_back() -> None:
    probabilities = np.array([[0.5, 0.3, 0.2]], np.float32)
    exponentials = np.exp(as_logits(probabilities, "probabilities"))
    assert exponentials / exponentials.sum() == pytest.approx(probabilities)


def test_single_faces_are_timed(small_csv: Path) -> None:
    faces = read_fer2013(small_csv)
    latency = measure_latency(Brightness(), faces.pixels, runs=40, warm_up=2)
    assert latency.runs == 40
    assert 0 < latency.p50_ms <= latency.p95_ms
    assert predict(Brightness(), faces.pixels[:3]).shape == (3, 7)


def test_the_command_says_what_is_wrong(tmp_path: Path, small_csv: Path, capsys: pytest.CaptureFixture[str]) -> None:
    missing = ["--model", str(tmp_path / "none"), "--data", str(small_csv)]
    assert evaluate.main(missing) == 1
    assert "does not exist" in capsys.readouterr().err
    (tmp_path / "broken").mkdir()
    assert evaluate.main(["--model", str(tmp_path / "broken"), "--data", str(small_csv)]) == 1
    assert "preset.json" in capsys.readouterr().err


def test_a_keras_file_of_somebody_else_is_evaluated(tmp_path: Path, small_csv: Path) -> None:
    keras = pytest.importorskip("keras", reason="training's tests need Keras: pip install -e .[train]")
    face = keras.Input((64, 64, 1))
    x = keras.layers.Flatten()(keras.layers.AveragePooling2D(16)(face))
    model = keras.Model(face, keras.layers.Dense(7, activation="softmax")(x))
    path = tmp_path / "peer.keras"
    model.save(path)
    out = tmp_path / "reports" / "peer.json"
    arguments = ["--model", str(path), "--data", str(small_csv), "--json", str(out), "--latency-runs", "5"]
    assert evaluate.main([*arguments, "--scale", "0.0078", "--offset", "-1", "--output", "probabilities"]) == 0
    report = json.loads(out.read_text())
    assert report["faces"] == 42
    assert report["usage"] == "PublicTest"
    assert report["data_sha256"]
