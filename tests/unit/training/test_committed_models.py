"""The models that are delivered: each folder is whole, and scores what a user may expect, through LiteRT alone."""

import json
from pathlib import Path

import numpy as np
import pytest

from shared.preset import load_model
from training.data import Faces
from training.metrics import accuracy
from training.predictors import predict

ROOT = Path(__file__).parents[3]
# What lies beside them, in models/detectors, is fetched and belongs to others.
MODELS = sorted(path for path in (ROOT / "models").iterdir() if path.is_dir() and path.name != "detectors")


@pytest.mark.parametrize("folder", MODELS, ids=lambda folder: folder.name)
def test_the_folder_is_whole_and_small(folder: Path) -> None:
    model = load_model(folder)
    assert model.preset.name == folder.name
    assert model.path.stat().st_size < 4_000_000
    assert (folder / "card.md").read_text().startswith(f"# {model.preset.name} {model.preset.version}\n")


@pytest.mark.parametrize("folder", MODELS, ids=lambda folder: folder.name)
def test_the_folder_tells_how_the_model_was_made_and_measured(folder: Path) -> None:
    training = load_model(folder).preset.training
    assert training["complete"]
    assert {"data_sha256", "protocol", "epochs", "minutes", "seed", "environment", "settings"} <= training.keys()
    assert len((folder / "history.csv").read_text().splitlines()) == training["epochs"] + 1
    assert (folder / "curves.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("folder", MODELS, ids=lambda folder: folder.name)
def test_the_model_scores_what_its_folder_says(folder: Path, fer2013: Faces) -> None:
    pytest.importorskip("ai_edge_litert", reason="the LiteRT interpreter is missing: pip install -e .[train]")
    from training.predictors import LiteRtPredictor

    predictor, preset = LiteRtPredictor.from_folder(folder)
    faces = fer2013.with_usage("PublicTest")
    sample = faces.take(np.random.default_rng(20131).permutation(len(faces))[:1000])
    scored = accuracy(predict(predictor, sample.pixels), sample.labels)
    evaluation = json.loads((folder / "evaluation.json").read_text())
    for told in (preset.results["PublicTest"], evaluation):
        # Of a sample, within three standard errors.
        assert scored == pytest.approx(told["accuracy"], abs=0.045)
        assert told["faces"] == len(faces)


@pytest.mark.parametrize("folder", MODELS, ids=lambda folder: folder.name)
def test_the_report_is_of_this_model_and_needs_nothing_from_elsewhere(folder: Path) -> None:
    report = (folder / "report.html").read_text()
    evaluation = json.loads((folder / "evaluation.json").read_text())
    assert folder.name in report
    assert f"{100 * evaluation['accuracy']:.1f}%" in report
    assert f"{evaluation['faces']:,}" in report
    assert "<script" not in report
    assert 'src="http' not in report


@pytest.mark.parametrize("folder", MODELS, ids=lambda folder: folder.name)
def test_keras_and_litert_agree_on_real_faces_at_every_precision(folder: Path, fer2013: Faces) -> None:
    pytest.importorskip("tensorflow", reason="only TensorFlow writes LiteRT files: pip install -e .[train]")
    keras = pytest.importorskip("keras")
    if keras.backend.backend() != "tensorflow":
        pytest.skip("Keras runs on another backend; set KERAS_BACKEND=tensorflow")
    from training.convert import PRECISIONS, largest_difference, to_litert
    from training.explain import open_network
    from training.predictors import LiteRtPredictor

    network, _, _ = open_network(folder)
    delivered, preset = LiteRtPredictor.from_folder(folder)
    public_test = fer2013.with_usage("PublicTest")
    # Rebuilt from the delivered file, so that its own logits have to come out.
    pixels = public_test.pixels[:100]
    assert largest_difference(network, predict(delivered, pixels), pixels) > 0
    for precision in PRECISIONS:
        content = to_litert(network, precision, public_test.pixels[-100:])
        predictor = LiteRtPredictor(precision, content, preset.input, "logits", 1.0)
        assert largest_difference(network, predict(predictor, pixels), pixels, precision) > 0
