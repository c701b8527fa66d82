"""A run that begins with a delivered model computes what that model computes, before it learns on."""

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

keras = pytest.importorskip("keras", reason="training's tests need Keras: pip install -e .[train]")

from shared.preset import MODELS_DIR  # noqa: E402 - Keras first
from training import convert, train  # noqa: E402 - Keras first
from training.data import DataError  # noqa: E402 - Keras first
from training.networks import build_network  # noqa: E402 - Keras first
from training.predictors import LiteRtPredictor, predict  # noqa: E402 - Keras first
from training.run import predict_logits  # noqa: E402 - Keras first
from training.warm_start import warm_start  # noqa: E402 - Keras first

DELIVERED = MODELS_DIR / "slim_resnet"

on_tensorflow = pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="only TensorFlow writes LiteRT files; set KERAS_BACKEND=tensorflow"
)


def some_faces(count: int, seed: int) -> np.ndarray:
    """Pictures with structure of every size, unlike plain noise."""
    random = np.random.default_rng(seed)
    coarse = random.integers(0, 256, (count, 6, 6)).repeat(8, axis=1).repeat(8, axis=2)
    return np.clip(coarse + random.normal(0, 20, (count, 48, 48)), 0, 255).astype(np.uint8)


def test_the_network_computes_what_the_delivered_model_computes() -> None:
    network = build_network("slim_resnet", dropout=0.2)
    # Over other pictures than those it is asked about: the set-up has to undo itself for any input.
    warm_start(network, DELIVERED, some_faces(64, seed=1))
    asked = some_faces(24, seed=2)
    predictor, _ = LiteRtPredictor.from_folder(DELIVERED)
    np.testing.assert_allclose(predict_logits(network, asked), predict(predictor, asked), atol=1e-3)


def as_if_trained(name: str) -> Any:
    """A network whose normalisations are not those of initialisation, with a bias wherever it has one."""
    keras.utils.set_random_seed(4)
    network = build_network(name, dropout=0.0)
    random = np.random.default_rng(0)
    for variable in network.weights:
        if variable.name in ("gamma", "moving_variance"):
            variable.assign(random.uniform(0.6, 1.5, variable.shape))
        elif variable.name in ("beta", "moving_mean", "bias"):
            variable.assign(random.uniform(-0.3, 0.3, variable.shape))
    return network


def delivered(folder: Path, name: str, content: bytes) -> Path:
    """A model folder around ``content``, with the preset of the delivered model in all that matters here."""
    preset = json.loads((DELIVERED / "preset.json").read_text())
    preset.pop("probe", None)
    preset["training"]["settings"]["network"] = name
    preset["sha256"] = hashlib.sha256(content).hexdigest()
    target = folder / "of_a_lab"
    target.mkdir()
    (target / "model.tflite").write_bytes(content)
    (target / "preset.json").write_text(json.dumps({**preset, "name": "of_a_lab"}))
    return target


@on_tensorflow
@pytest.mark.parametrize("name", ["mini_xception", "simple_cnn", "slim_resnet"])
@pytest.mark.parametrize(("precision", "rounding"), [("fp32", 1e-3), ("fp16", 2e-2)])
def test_every_design_comes_back_from_its_file(
    name: str, precision: convert.Precision, rounding: float, tmp_path: Path
) -> None:
    original = as_if_trained(name)
    folder = delivered(tmp_path, name, convert.to_litert(original, precision))
    network = build_network(name, dropout=0.0)

    warm_start(network, folder, some_faces(64, seed=1))

    asked = some_faces(24, seed=2)
    np.testing.assert_allclose(predict_logits(network, asked), predict_logits(original, asked), atol=rounding)
    # It learns on from there: its normalisations have the statistics of the faces, not made-up ones.
    seen = some_faces(64, seed=1)[..., None].astype(np.float32)
    np.testing.assert_allclose(network(seen, training=True), network(seen, training=False), atol=0.05)


@on_tensorflow
def test_weights_of_8_bits_are_refused_in_words(tmp_path: Path) -> None:
    content = convert.to_litert(as_if_trained("mini_xception"), "int8", some_faces(8, seed=3))
    folder = delivered(tmp_path, "mini_xception", content)
    with pytest.raises(DataError, match="rounded to 8 bits; start from the same model's fp32 or fp16 file"):
        warm_start(build_network("mini_xception", dropout=0.0), folder, some_faces(8, seed=1))


@on_tensorflow
def test_a_file_that_computes_otherwise_than_its_layers_say_is_refused(tmp_path: Path) -> None:
    original = as_if_trained("simple_cnn")
    # The same layers by name and shape, behind which something else happens.
    face = keras.Input((48, 48, 1))
    other = keras.Model(face, 1.0 - original(face), name="simple_cnn")
    folder = delivered(tmp_path, "simple_cnn", convert.to_litert(other))
    with pytest.raises(DataError, match="converted in a way that cannot be undone"):
        warm_start(build_network("simple_cnn", dropout=0.0), folder, some_faces(32, seed=1))


def test_inception_is_refused_in_words(tmp_path: Path) -> None:
    folder = delivered(tmp_path, "inception_v3", b"whatever lies here is not looked at")
    with pytest.raises(DataError, match=r"inception_v3 cannot be started from a delivered file.*--resume"):
        warm_start(build_network("inception_v3", dropout=0.0), folder, some_faces(8, seed=1))


def test_another_design_is_refused_in_words() -> None:
    with pytest.raises(DataError, match="choose --network slim_resnet"):
        warm_start(build_network("mini_xception", dropout=0.0), DELIVERED, some_faces(8, seed=1))


def test_a_damaged_model_is_refused_in_words(tmp_path: Path) -> None:
    folder = tmp_path / "slim_resnet"
    shutil.copytree(DELIVERED, folder)
    content = bytearray((folder / "model.tflite").read_bytes())
    content[5000] ^= 0xFF
    (folder / "model.tflite").write_bytes(content)
    with pytest.raises(DataError, match="cannot be started from"):
        warm_start(build_network("slim_resnet", dropout=0.2), folder, some_faces(8, seed=1))


def test_the_command_begins_with_it(tmp_path: Path, small_csv: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = tmp_path / "run"
    arguments = ["--data", str(small_csv), "--run", str(run), "--epochs", "1", "--batch-size", "32"]
    assert train.main([*arguments, "--start-from", str(DELIVERED), "--unseen-data"]) == 0
    assert f"started from {DELIVERED.resolve()}" in capsys.readouterr().out
    config = json.loads((run / "config.json").read_text())
    assert (config["start_from"], config["unseen_data"]) == (str(DELIVERED.resolve()), True)


def test_the_command_refuses_data_that_the_model_may_have_seen(
    tmp_path: Path, small_csv: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    arguments = ["--data", str(small_csv), "--run", str(run), "--start-from", str(DELIVERED)]
    assert train.main(arguments) == 1
    assert "say so with --unseen-data" in capsys.readouterr().err
    assert not run.exists()
