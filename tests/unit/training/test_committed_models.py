"""The models that are delivered: each folder is whole, and scores what a user may expect, through LiteRT alone."""

from pathlib import Path

import numpy as np
import pytest

from shared.preset import load_model
from training.data import read_fer2013
from training.metrics import accuracy
from training.predictors import predict

ROOT = Path(__file__).parents[3]
DATA = ROOT.parent / "shared" / "data" / "fer2013" / "fer2013.csv.xz"
MODELS = sorted(path.parent for path in ROOT.glob("models/*/preset.json"))


@pytest.mark.parametrize("folder", MODELS, ids=lambda folder: folder.name)
def test_the_folder_is_whole_and_small(folder: Path) -> None:
    model = load_model(folder)
    assert model.preset.name == folder.name
    assert model.path.stat().st_size < 4_000_000
    assert (folder / "card.md").read_text().startswith(f"# {model.preset.name} {model.preset.version}\n")


def test_the_default_model_reads_real_faces() -> None:
    pytest.importorskip("ai_edge_litert", reason="the LiteRT interpreter is missing: pip install -e .[train]")
    if not DATA.is_file():
        pytest.skip(f"FER2013 is not at {DATA}; it cannot be published with the project")
    from training.predictors import LiteRtPredictor

    predictor, _ = LiteRtPredictor.from_folder(ROOT / "models" / "slim_resnet")
    faces = read_fer2013(DATA).with_usage("PublicTest")
    sample = faces.take(np.random.default_rng(20131).permutation(len(faces))[:1000])
    assert accuracy(predict(predictor, sample.pixels), sample.labels) >= 0.60
