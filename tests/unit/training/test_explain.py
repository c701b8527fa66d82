"""Grad-CAM, on networks of which it is known what they look at, and the command on the delivered model."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

keras = pytest.importorskip("keras", reason="training's tests need Keras: pip install -e .[train]")

from tests.classifier_kit import pictures  # noqa: E402 - Keras first
from training import explain  # noqa: E402 - Keras first
from training.data import DataError  # noqa: E402 - Keras first

MODEL = Path(__file__).parents[3] / "models" / "slim_resnet"


def upper_left_brightness() -> Any:
    """Sees a bright upper left quarter as happy, and nothing else; its second channel counts for nothing."""
    face = keras.Input((48, 48, 1), name="face")
    places = keras.layers.Conv2D(2, 1, name="places")(keras.layers.AveragePooling2D(8)(face))
    logits = keras.layers.Dense(7, name="logits")
    network = keras.Model(face, logits(keras.layers.Flatten()(places)), name="quarter")
    network.get_layer("places").set_weights([np.full((1, 1, 1, 2), 1 / 255), np.zeros(2)])
    weights = np.zeros((6, 6, 2, 7))
    weights[:3, :3, 0, 3] = 1
    logits.set_weights([weights.reshape(72, 7), np.zeros(7)])
    return network


def test_the_heat_lies_where_the_evidence_is() -> None:
    face = np.zeros((48, 48), np.uint8)
    face[:24, :24] = 255
    explanation = explain.grad_cam(upper_left_brightness(), face, 1.0)
    assert explanation.probabilities.argmax() == 3
    assert explanation.probabilities.sum() == pytest.approx(1)
    assert explanation.heat.shape == (48, 48)
    assert explanation.heat.min() >= 0
    assert explanation.heat[:16, :16].min() > 0.9
    assert explanation.heat[32:, :].max() < 0.1
    assert explanation.heat[:, 32:].max() < 0.1


def test_the_gradient_is_that_of_the_answer() -> None:
    network = upper_left_brightness()
    head = keras.Model(explain.last_places(network).output, network.output)
    features = np.random.default_rng(0).random((1, 6, 6, 2), np.float32)
    slopes = explain.gradient(head, features, 3)
    assert slopes[0, :3, :3, 0] == pytest.approx(1)
    assert slopes[0, 3:].max() == slopes[..., 1].max() == 0


def test_a_network_without_places_is_named() -> None:
    face = keras.Input((48, 48, 1))
    network = keras.Model(face, keras.layers.Dense(7)(keras.layers.Flatten()(face)), name="flat")
    with pytest.raises(DataError, match="flat has no layer with places"):
        explain.last_places(network)


def test_the_delivered_model_explains_a_face(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("ai_edge_litert", reason="the LiteRT interpreter is missing: pip install -e .[train]")
    cv2 = pytest.importorskip("cv2")
    path, out = tmp_path / "face.png", tmp_path / "new" / "explain.png"
    cv2.imwrite(str(path), np.random.default_rng(0).integers(0, 256, (48, 48), dtype=np.uint8))
    assert explain.main([str(path), "--model", str(MODEL), "--out", str(out)]) == 0
    assert out.read_bytes().startswith(b"\x89PNG")
    assert "neutral" in capsys.readouterr().out


def test_a_face_is_found_where_the_classifier_finds_it(tmp_path: Path, head_pose_clip: Path, yunet_file: Path) -> None:
    cv2 = pytest.importorskip("cv2")
    from services.classifier.detector import YuNet
    from shared.detection import MAX_SIDE, YUNET_SCORE

    # Larger than what is searched, and a size that does not divide.
    picture = pictures(head_pose_clip, size=(1001, 563), every=60)[0]
    path = tmp_path / "photo.png"
    cv2.imwrite(str(path), picture)
    box = explain.find_face(explain.read_picture(path), yunet_file)
    faces = YuNet(yunet_file, score=YUNET_SCORE, max_side=MAX_SIDE).detect(picture)
    largest = max(faces, key=lambda face: face.w * face.h)
    assert box == pytest.approx((largest.x, largest.y, largest.w, largest.h), rel=1e-5)


def test_the_command_says_what_is_wrong(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cv2 = pytest.importorskip("cv2")
    assert explain.main([str(tmp_path / "none.png")]) == 1
    assert "does not exist" in capsys.readouterr().err
    (tmp_path / "text.png").write_text("no picture")
    assert explain.main([str(tmp_path / "text.png")]) == 1
    assert "cannot be read as a picture" in capsys.readouterr().err
    path = tmp_path / "grey.png"
    cv2.imwrite(str(path), np.full((200, 200), 90, np.uint8))
    assert explain.main([str(path)]) == 1
    assert "no face was found" in capsys.readouterr().err
    cv2.imwrite(str(path), np.full((48, 48), 90, np.uint8))
    assert explain.main([str(path), "--model", str(tmp_path)]) == 1
    assert "neither a delivered model" in capsys.readouterr().err
