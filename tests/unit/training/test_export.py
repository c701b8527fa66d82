"""From a run to a model folder, through the real converter where TensorFlow is installed."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("tensorflow", reason="only TensorFlow writes LiteRT files: pip install -e .[train]")
keras = pytest.importorskip("keras")
pytest.importorskip("ai_edge_litert", reason="the LiteRT interpreter is missing: pip install -e .[train]")

from shared.errors import ModelError  # noqa: E402 - Keras first
from shared.preset import MODELS_DIR, CropSpec, InputSpec, load_model  # noqa: E402 - Keras first
from training import convert, evaluate, export, train  # noqa: E402 - Keras first
from training.average import averaged_network  # noqa: E402 - Keras first
from training.card import card  # noqa: E402 - Keras first
from training.checkpoint import Checkpoint  # noqa: E402 - Keras first
from training.config import TrainConfig  # noqa: E402 - Keras first
from training.data import DataError, read_faces  # noqa: E402 - Keras first
from training.networks import NETWORKS, build_network  # noqa: E402 - Keras first
from training.predictors import KerasPredictor, LiteRtPredictor, predict  # noqa: E402 - Keras first
from training.run_folder import read_config, read_run  # noqa: E402 - Keras first

pytestmark = pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="Keras runs on another backend; set KERAS_BACKEND=tensorflow"
)

CROP = CropSpec(scale=1.1)


@pytest.fixture
def finished_run(tmp_path: Path, small_csv: Path, tiny_network: str) -> Path:
    config = TrainConfig(
        network=tiny_network,
        data=str(small_csv),
        epochs=6,
        batch_size=16,
        learning_rate=0.05,
        held_out_fraction=0.2,
        ema_decay=0.9,
    )
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "config.json").write_text(config.to_json())
    assert train.main(["--run", str(folder), "--resume"]) == 0
    return folder


# InceptionV3 is the paper's point of comparison; its 87 MB are for no edge device.
@pytest.mark.parametrize("name", sorted(NETWORKS.keys() - {"inception_v3"}))
def test_keras_and_litert_agree(name: str) -> None:
    keras.utils.set_random_seed(3)
    network = build_network(name, 0.2)
    # Statistics that are not those of initialisation, so that folding them has something to get wrong.
    random = np.random.default_rng(0)
    for variable in network.variables:
        if "moving_variance" in variable.path or "gamma" in variable.path:
            variable.assign(random.uniform(0.6, 1.5, variable.shape))
        elif "moving_mean" in variable.path or "beta" in variable.path:
            variable.assign(random.uniform(-0.3, 0.3, variable.shape))
    faces = random.integers(0, 256, (16, 48, 48), dtype=np.uint8)

    content = convert.to_litert(network)

    logits = predict(LiteRtPredictor(name, content, InputSpec(height=48, width=48), "logits", 1.0), faces)
    assert convert.largest_difference(network, logits, faces) <= convert.TOLERANCES["fp32"]
    assert not any(operator.startswith(("Flex", "CUSTOM")) for operator in convert.operators(content))
    assert "MUL" not in convert.operators(content)[2:], "batch normalisation was not folded"


def test_a_model_that_computes_something_else_is_refused(tiny_network: str) -> None:
    network = build_network(tiny_network, 0.0)
    faces = np.random.default_rng(0).integers(0, 256, (4, 48, 48), dtype=np.uint8)
    logits = np.asarray(network.predict_on_batch(faces[..., None].astype(np.float32)))
    with pytest.raises(convert.ConversionError, match="differ by"):
        convert.largest_difference(network, logits + np.float32(1e-2), faces)


@pytest.mark.parametrize("precision", ["fp16", "int8"])
def test_a_smaller_file_says_what_it_costs_and_keeps_float_input_and_output(
    precision: convert.Precision, finished_run: Path, tmp_path: Path
) -> None:
    full = export.export(finished_run, tmp_path / "full", "1", CROP, [], None)
    preset = export.export(finished_run, tmp_path / "small", "1", CROP, [], None, precision)
    content = (tmp_path / "small" / "model.tflite").read_bytes()
    assert len(content) < (tmp_path / "full" / "model.tflite").stat().st_size
    assert preset.input == full.input
    assert preset.results["precision"] == precision
    assert preset.results["accuracy_lost_against_fp32"] <= convert.MOST_LOSS
    assert 0 < preset.results["largest_logit_difference_keras_litert"] <= convert.TOLERANCES[precision]
    assert f"LiteRT {precision}" in (tmp_path / "small" / "card.md").read_text()
    foreign = [name for name in convert.operators(content) if name.startswith(("Flex", "CUSTOM"))]
    assert foreign == []


def test_a_smaller_file_that_costs_too_much_is_refused_and_nothing_is_written(
    finished_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    labels = np.arange(200) % 7
    exact = np.eye(7, dtype=np.float32)[labels]
    worse = exact.copy()
    worse[0] = np.roll(worse[0], 1)
    assert convert.lost_accuracy(exact, worse, labels, "int8") == pytest.approx(0.005)
    worse[1] = np.roll(worse[1], 1)
    with pytest.raises(convert.ConversionError, match=r"int8 loses 1\.00 points"):
        convert.lost_accuracy(exact, worse, labels, "int8")
    monkeypatch.setattr(convert, "MOST_LOSS", -1.0)
    with pytest.raises(convert.ConversionError, match="fp16 loses"):
        export.export(finished_run, tmp_path / "models" / "tiny", "1", CROP, [], None, "fp16")
    assert not (tmp_path / "models").exists()


def test_a_run_becomes_a_complete_folder(
    finished_run: Path, tmp_path: Path, small_csv: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / "models" / "tiny"
    preset = export.export(finished_run, target, "1.2.3", CROP, ["PublicTest"], None)

    files = {"model.tflite", "preset.json", "card.md", "history.csv", "curves.png"}
    assert {path.name for path in target.iterdir()} == files
    assert [path.name for path in target.parent.iterdir()] == ["tiny"], "no partial folder is left"
    assert load_model(target).preset == preset
    assert preset.crop == CROP
    assert preset.training["complete"] is True
    assert preset.training["seed"] == 0
    text = (target / "card.md").read_text()
    assert "does not show what someone feels" in text
    assert "Interim" not in text
    assert f"{100 * preset.results['PublicTest']['accuracy']:.1f}%" in text
    # Nothing of the machine that it was made on.
    assert str(tmp_path) not in (target / "preset.json").read_text() + text

    out = tmp_path / "report.json"
    assert evaluate.main(["--model", str(target), "--data", str(small_csv), "--json", str(out)]) == 0
    report = json.loads(out.read_text())
    assert report["accuracy"] == preset.results["PublicTest"]["accuracy"]
    assert "PublicTest" in capsys.readouterr().out


def test_the_record_says_which_weights_are_delivered(finished_run: Path) -> None:
    run = read_run(finished_run)
    fixed = export.training_record(run, {}, None, 1.0)["protocol"]
    assert "fixed cosine schedule, last averaged weights" in fixed
    stopped = replace(run.config, early_stop_patience=5, schedule="plateau")
    protocol = export.training_record(replace(run, config=stopped), {}, None, 1.0)["protocol"]
    assert "early stop after 5 epochs" in protocol
    assert "weights of the epoch with the lowest" in protocol
    assert "last averaged" not in protocol


def test_the_record_says_what_a_run_began_with_and_not_where_it_lay(finished_run: Path) -> None:
    run = read_run(finished_run)
    taught = replace(run.config, teaching="/somewhere/teacher.npz", start_from="/somewhere/models/slim_resnet")
    started = load_model(MODELS_DIR / "slim_resnet").preset
    record = export.training_record(replace(run, config=taught), {}, started, 0.75)
    assert record["started_from"] == f"slim_resnet {started.version}, sha256 {started.sha256}"
    assert record["share_of_the_run"] == 0.75
    assert "somewhere" not in json.dumps(record)


def test_the_card_says_by_what_a_run_was_taught_also_where_it_started_from_nothing() -> None:
    started = load_model(MODELS_DIR / "slim_resnet").preset
    settings = {**started.training["settings"], "teaching": "teacher.npz", "teaching_weight": 0.25}
    alone = {**started.training, "settings": settings, "started_from": None, "share_of_the_run": 1.0}
    text = card(started.model_copy(update={"training": alone}), 1000)
    assert "with a weight of 0.25 in the target" in text
    assert "Started from" not in text
    assert "Started from" in card(started, 1000)


def test_a_share_needs_a_model_to_share_with(finished_run: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="nothing to blend with"):
        export.export(finished_run, tmp_path / "models" / "tiny", "1", CROP, [], None, share=0.5)
    with pytest.raises(convert.ConversionError, match="nothing new to deliver"):
        export.export(finished_run, tmp_path / "models" / "tiny", "1", CROP, [], None, share=0)
    assert not (tmp_path / "models").exists()


def test_an_export_replaces_the_last_one_and_a_failed_one_leaves_it(finished_run: Path, tmp_path: Path) -> None:
    target = tmp_path / "models" / "tiny"
    export.export(finished_run, target, "1", CROP, [], None)
    export.export(finished_run, target, "2", CROP, [], None)
    assert load_model(target).preset.version == "2"

    with pytest.raises(ValueError, match="version"):
        export.export(finished_run, target, "not a version", CROP, [], None)
    assert load_model(target).preset.version == "2"
    assert [path.name for path in target.parent.iterdir()] == ["tiny"]

    (target / "model.tflite").write_bytes(b"something else")
    with pytest.raises(ModelError, match="sha256"):
        LiteRtPredictor.from_folder(target)


def test_what_is_delivered_are_the_averaged_weights(finished_run: Path, small_csv: Path) -> None:
    checkpoint = Checkpoint.load(finished_run)
    network = averaged_network(read_config(finished_run), checkpoint)
    for variable in network.weights:
        if variable.path in checkpoint.averaged:
            np.testing.assert_array_equal(variable.numpy(), checkpoint.averaged[variable.path])
    faces = read_faces(small_csv).pixels[:20]
    in_memory = np.asarray(network.predict_on_batch(faces[..., None].astype(np.float32)))
    from_file = predict(KerasPredictor.from_file(finished_run / "model.keras"), faces)
    np.testing.assert_allclose(from_file, in_memory, atol=1e-5)


def test_the_command_names_a_run_that_is_none(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert export.main(["--run", str(tmp_path), "--name", "x", "--models", str(tmp_path)]) == 1
    assert "config.json" in capsys.readouterr().err
