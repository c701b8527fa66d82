"""What a teacher sees in each face, kept for a run to learn from."""

from pathlib import Path

import numpy as np
import pytest

from shared.preset import InputSpec
from training import teach
from training.batches import soft_labels
from training.config import TrainConfig
from training.data import DataError, read_faces
from training.predictors import LiteRtPredictor

pytest.importorskip("keras", reason="training's tests need Keras: pip install -e .[train]")

from training.teaching import read_teaching
from training.train import load_training_set


class BrightnessTeacher:
    """Knows small_csv's rule: the class is the brightness."""

    name, temperature, size_bytes = "brightness", 2.0, 0
    input = InputSpec(height=48, width=48, channels=1, scale=1.0, offset=0.0)

    def run(self, tensor: np.ndarray) -> np.ndarray:
        level = (tensor.mean() - 20) / 35
        return -((np.arange(7, dtype=np.float32) - np.float32(level)) ** 2)[None]


@pytest.fixture
def teaching(tmp_path: Path, small_csv: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(LiteRtPredictor, "from_folder", lambda folder: (BrightnessTeacher(), None))
    out = tmp_path / "teacher.npz"
    assert teach.main(["--model", "models/any", "--data", str(small_csv), "--out", str(out)]) == 0
    return out


def test_each_face_gets_probabilities_that_know_its_label(teaching: Path, small_csv: Path) -> None:
    faces = read_faces(small_csv).with_usage("Training")
    taught = read_teaching(teaching, faces)
    assert taught.shape == (len(faces), 7)
    np.testing.assert_allclose(taught.sum(axis=1), 1, rtol=1e-5)
    assert (taught.argmax(axis=1) == faces.labels).all()
    # exp(-d²/2) over the classes around it, the temperature being 2.
    middle = taught[faces.labels == 3][0]
    assert middle[2] / middle[3] == pytest.approx(np.exp(-0.5), abs=0.05)


def test_rows_are_found_by_their_line_whatever_the_order(teaching: Path, small_csv: Path) -> None:
    faces = read_faces(small_csv).with_usage("Training")
    order = np.random.default_rng(3).permutation(len(faces))
    np.testing.assert_array_equal(read_teaching(teaching, faces.take(order)), read_teaching(teaching, faces)[order])


def test_the_targets_of_a_run_are_both_mixed(teaching: Path, small_csv: Path) -> None:
    config = TrainConfig(data=str(small_csv), teaching=str(teaching), teaching_weight=0.25, held_out_fraction=0.2)
    data, _, split = load_training_set(config)
    train = read_faces(small_csv).take(split.train)
    expected = 0.75 * soft_labels(train.labels, config.label_smoothing) + 0.25 * read_teaching(teaching, train)
    np.testing.assert_allclose(data.targets[0], expected, rtol=1e-5)


def test_teaching_for_other_faces_is_refused(teaching: Path, small_csv: Path) -> None:
    faces = read_faces(small_csv).with_usage("Training")
    faces.pixels[5] += 1
    with pytest.raises(DataError, match=f"the face of line {faces.lines[5]} is not in it"):
        read_teaching(teaching, faces)
    with pytest.raises(DataError, match="made for other data"):
        read_teaching(teaching, read_faces(small_csv))


def test_a_file_of_another_kind_is_refused(tmp_path: Path, small_csv: Path) -> None:
    faces = read_faces(small_csv)
    with pytest.raises(DataError, match="is not a file; make it with"):
        read_teaching(tmp_path / "none.npz", faces)
    (tmp_path / "text.npz").write_text("hello")
    with pytest.raises(DataError, match=r"make it anew with python -m training\.teach"):
        read_teaching(tmp_path / "text.npz", faces)


def test_without_a_model_it_says_so(tmp_path: Path, small_csv: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "teacher.npz"
    assert teach.main(["--model", str(tmp_path / "absent"), "--data", str(small_csv), "--out", str(out)]) == 1
    assert "error:" in capsys.readouterr().err
    assert not out.exists()


def test_a_weight_out_of_range_is_refused() -> None:
    with pytest.raises(ValueError, match="has to be within 0 and 1"):
        TrainConfig(teaching_weight=1.5)
