"""Tiny faces and a tiny network, so that whole runs take seconds."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from training.data import Faces, read_faces

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

HERE = Path(__file__).parent
FER2013 = HERE.parents[3] / "shared" / "data" / "fer2013"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Warnings inside Keras, its backends and the converter are not this project's to mend."""
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.filterwarnings("default"))


@pytest.fixture(scope="session")
def fer2013() -> Faces:
    """FER2013 itself, read once, since unpacking it takes seconds."""
    path = FER2013 / "fer2013.csv.xz"
    if not path.is_file():
        pytest.skip(f"FER2013 is not at {path}; it cannot be published with the project")
    return read_faces(path)


def face_row(label: int, value: int, usage: str) -> str:
    """A CSV row whose picture is a flat grey, except for its upper left pixel."""
    return f"{label},{' '.join([str(label), *[str(value)] * (48 * 48 - 1)])},{usage}"


@pytest.fixture
def small_csv(tmp_path: Path) -> Path:
    """FER2013 in small: bright faces of seven classes, told apart by brightness, with some noise."""
    random = np.random.default_rng(0)
    lines = ["emotion,pixels,Usage"]
    for usage, count in (("Training", 182), ("PublicTest", 42)):
        for number in range(count):
            label = number % 7
            pixels = np.clip(random.normal(20 + 35 * label, 6, 48 * 48), 0, 255).astype(int)
            lines.append(f"{label},{' '.join(map(str, pixels))},{usage}")
    path = tmp_path / "fer2013.csv"
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.fixture
def tiny_network(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The name of a network of a few hundred parameters, known while the test runs."""
    keras = pytest.importorskip("keras", reason="training's tests need Keras: pip install -e .[train]")
    from training import networks

    def tiny(dropout: float) -> object:
        face = keras.Input((48, 48, 1), name="face")
        x = keras.layers.Rescaling(1 / 64, offset=-2.0)(face)
        x = keras.layers.Conv2D(4, 5, strides=4, padding="same", use_bias=False, name="a_conv")(x)
        x = keras.layers.BatchNormalization(momentum=0.9, name="a_bn")(x)
        x = keras.layers.ReLU()(x)
        x = keras.layers.Flatten()(x)
        x = keras.layers.Dropout(dropout)(x)
        return keras.Model(face, keras.layers.Dense(7, name="logits")(x), name="tiny")

    builders: dict[str, Callable[[float], object]] = {**networks.NETWORKS, "tiny": tiny}
    monkeypatch.setattr(networks, "NETWORKS", builders)
    policy = keras.config.dtype_policy()
    yield "tiny"
    keras.config.set_dtype_policy(policy)
