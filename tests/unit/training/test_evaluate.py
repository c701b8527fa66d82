"""The evaluation's figures and command, on a model whose answers are known."""

import json
import re
from pathlib import Path
from xml.etree import ElementTree as ET

import numpy as np
import pytest
from PIL import Image

from shared.emotions import EMOTIONS
from shared.preset import CropSpec, InputSpec
from training import evaluate, figures
from training.data import DataError, Faces, read_faces
from training.predictors import (
    Convention,
    KerasPredictor,
    as_logits,
    as_tensor,
    measure_latency,
    predict,
)
from training.robustness import CHANGES


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
    faces = read_faces(small_csv).with_usage("PublicTest")
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
    assert figures.ferplus_figures(logits, votes) == {"faces": 2, "accuracy": 0.5, "accuracy_95": [0.0945, 0.9055]}
    with pytest.raises(DataError, match="majority"):
        figures.ferplus_figures(logits[2:], votes[2:])


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
    faces = read_faces(small_csv)
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


def test_a_model_of_other_classes_is_put_in_order_and_what_it_has_besides_is_left_out(
    tmp_path: Path, small_csv: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    keras = pytest.importorskip("keras", reason="training's tests need Keras: pip install -e .[train]")
    order = ("neutral", "happy", "contempt", "surprise", "sad", "angry", "disgust", "fear")
    levels = [20.0 + 35 * EMOTIONS.index(name) if name in EMOTIONS else 1000.0 for name in order]
    face = keras.Input((48, 48, 1))
    mean = keras.layers.Reshape((1,))(keras.layers.GlobalAveragePooling2D()(face))
    # The square of the distance to each class's brightness, but for a part that all share.
    scores = keras.layers.Dense(8)
    model = keras.Model(face, scores(mean))
    scores.set_weights([2 * np.array([levels]) / 1000, -(np.array(levels) ** 2) / 1000])
    path = tmp_path / "eight.keras"
    model.save(path)
    arguments = ["--model", str(path), "--data", str(small_csv), "--latency-runs", "0"]
    assert evaluate.main(arguments) == 1
    assert "8 scores for 7 classes" in capsys.readouterr().err
    out = tmp_path / "out.json"
    assert evaluate.main([*arguments, "--classes", ",".join(order), "--json", str(out)]) == 0
    assert json.loads(out.read_text())["accuracy"] == 1.0
    assert evaluate.main([*arguments, "--classes", ",".join(order).replace("sad", "sadd")]) == 1
    assert "look at sad" in capsys.readouterr().err


def test_a_file_that_keras_2_wrote_is_read(tmp_path: Path) -> None:
    keras = pytest.importorskip("keras", reason="training's tests need Keras: pip install -e .[train]")
    h5py = pytest.importorskip("h5py")
    face = keras.Input((32, 32, 1))
    x = keras.layers.SeparableConv2D(7, 3, name="separable")(face)
    model = keras.Model(face, keras.layers.GlobalAveragePooling2D()(x))
    path = tmp_path / "mini.hdf5"
    model.save(path)
    with h5py.File(path, "r+") as file:
        config = json.loads(file.attrs["model_config"])
        (layer,) = (entry for entry in config["config"]["layers"] if entry["class_name"] == "SeparableConv2D")
        # What Keras 2 wrote of a separable convolution's base class, which Keras 3 does not know.
        layer["config"].update(groups=1, kernel_initializer=None, kernel_regularizer=None, kernel_constraint=None)
        file.attrs["model_config"] = json.dumps(config)
    faces = np.random.default_rng(0).integers(0, 256, (2, 32, 32), dtype=np.uint8)
    expected = np.asarray(model.predict_on_batch(faces[..., None].astype(np.float32)))
    assert predict(KerasPredictor.from_file(path, Convention()), faces) == pytest.approx(expected, rel=1e-4)


def test_groups_have_intervals_and_the_unlabelled_stand_apart(small_csv: Path) -> None:
    faces = read_faces(small_csv).with_usage("PublicTest")
    ages = np.array(["old"] * 10 + ["young"] * 30 + [""] * 2)
    faces = Faces(faces.pixels, faces.labels, faces.usage, faces.lines, groups={"age": ages}).take(np.arange(42))
    logits = np.eye(7, dtype=np.float32)[faces.labels]
    logits[:5] = np.roll(logits[:5], 1, axis=1)
    table = figures.group_figures(logits, faces.labels, faces.groups)["age"]
    assert {name: (group["faces"], group["accuracy"]) for name, group in table.items()} == {
        "old": (10, 0.5),
        "young": (30, 1.0),
        "not given": (2, 1.0),
    }
    assert table["old"]["accuracy_95"] == [0.2366, 0.7634]


def test_the_temperature_is_never_fitted_on_what_is_measured(small_csv: Path) -> None:
    model = Brightness()
    everything = read_faces(small_csv)
    with pytest.raises(DataError, match="cannot be fitted on PublicTest"):
        evaluate.fit_temperature(model, everything, "PublicTest", "PublicTest")
    pixels = np.concatenate([everything.pixels, everything.with_usage("PublicTest").pixels])
    labels = np.concatenate([everything.labels, np.zeros(42, np.int64)])  # copies of the measured ones, with nonsense
    usage = np.concatenate([everything.usage, np.full(42, "Training")])
    doubled = Faces(pixels, labels, usage, np.arange(len(labels)))
    assert evaluate.fit_temperature(model, doubled, "Training", "PublicTest") == pytest.approx(
        evaluate.fit_temperature(model, everything, "Training", "PublicTest")
    )


def test_the_page_stands_alone_and_shows_what_was_measured(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, small_csv: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    class Dark(Brightness):
        name = "<b>dark</b>"

        def run(self, tensor: np.ndarray) -> np.ndarray:
            return super().run(tensor - 20)

    models = {"bright": Brightness(), "dark": Dark()}
    monkeypatch.setattr(evaluate, "open_model", lambda path, _convention: (models[path.name], CropSpec(scale=1.1)))
    page = tmp_path / "out" / "page.html"
    arguments = ["--model", "bright", "--against", "dark", "--data", str(small_csv), "--latency-runs", "5"]
    assert evaluate.main([*arguments, "--calibrate-on", "Training", "--robustness", "--report", str(page)]) == 0
    text = page.read_text()
    assert "McNemar" in capsys.readouterr().out
    ET.fromstring(re.search(r"<svg.*?</svg>", text, re.DOTALL)[0])  # type: ignore[index]  # there are some
    assert text.count('role="img"') == 2 + len(CHANGES)
    assert "&lt;b&gt;dark&lt;/b&gt;" in text
    assert "<b>dark" not in text
    assert "fitted on Training" in text
    assert not re.search(r"<script|https?://|src=|href=", text)


def test_groups_of_a_labs_own_folder_are_in_every_output(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "lab"
    records = []
    for number in range(42):
        label = number % 7
        # By the window the light is such that every face looks like the class after its own.
        light = "window" if number < 14 else "lamp"
        grey = 20 + 35 * (min(label + 1, 6) if light == "window" else label)
        name = f"{EMOTIONS[label]}/{number}.png"
        (folder / EMOTIONS[label]).mkdir(parents=True, exist_ok=True)
        Image.new("L", (48, 48), grey).save(folder / name)
        records.append({"file_name": name, "split": "test", "person": f"p{number % 3}"})
        if number % 2:
            records[-1]["light"] = light
    (folder / "metadata.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    monkeypatch.setattr(evaluate, "open_model", lambda path, convention: (Brightness(), CropSpec(scale=1.0)))
    out, html = tmp_path / "out.json", tmp_path / "report.html"

    arguments = ["--model", "brightness", "--data", str(folder), "--usage", "PrivateTest", "--latency-runs", "0"]
    assert evaluate.main([*arguments, "--json", str(out), "--report", str(html)]) == 0

    groups = json.loads(out.read_text())["groups"]
    assert {name: group["faces"] for name, group in groups["light"].items()} == {
        "lamp": 14,
        "not given": 21,
        "window": 7,
    }
    assert groups["light"]["lamp"]["accuracy"] == 1
    # Neutral alone has no class after it.
    assert groups["light"]["window"]["accuracy"] == round(1 / 7, 4)
    assert set(groups["person"]) == {"p0", "p1", "p2"}
    text = capsys.readouterr().out
    assert "light window: 14.29% of 7" in text
    assert "window" in html.read_text()
