"""What a network looks at: ``python -m training.explain IMAGE --model models/NAME --out explain.png``.

Grad-CAM (Selvaraju et al. 2017, arXiv:1610.02391) marks the places of the face that speak for the first answer. It
shows where the network found its evidence, not that the evidence is good, and nothing of what the person feels.
"""

from __future__ import annotations

import argparse
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from shared.detection import (
    HAAR_LEAST_FACE,
    HAAR_NEIGHBOURS,
    HAAR_SCALE,
    LEAST_SIDE,
    MAX_SIDE,
    YUNET_NMS,
    YUNET_SCORE,
    YUNET_TOP_K,
    shrunk,
)
from shared.emotions import EMOTIONS
from shared.paths import read_bytes
from shared.preset import DEFAULT_MODEL, MODELS_DIR, CropSpec, load_model
from shared.vision import Box, crop_face, softmax
from training.commands import ended
from training.data import SIDE, DataError
from training.yunet import open_yunet

# A picture this small is a face that was cut out already, as in FER2013.
_ALREADY_CUT: Final = 64

Grey = npt.NDArray[np.uint8]
Bgr = npt.NDArray[np.uint8]
Map = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Explanation:
    """``face`` is ``(48, 48)`` grey, ``heat`` ``(48, 48)`` in 0..1, ``probabilities`` ``(7,)``."""

    face: Grey
    heat: Map
    probabilities: npt.NDArray[np.float64]


def last_places(network: Any) -> Any:
    """The last layer that still has places and not yet scores: what the scoring layer sees of the face.

    Raises:
        DataError: if the network has no such layer.
    """
    scoring = max(number for number, layer in enumerate(network.layers) if layer.weights)
    for layer in reversed(network.layers[1:scoring]):
        if len(layer.output.shape) == 4:
            return layer
    raise DataError(f"{network.name} has no layer with places, so Grad-CAM cannot look into it.")


def gradient(head: Any, features: Map, label: int) -> Map:
    """The gradient of one logit by the features ``(1, h, w, c)``, on the backend that Keras runs on."""
    import keras

    match keras.backend.backend():
        case "tensorflow":
            import tensorflow as tf

            given = tf.convert_to_tensor(features)
            with tf.GradientTape() as tape:
                tape.watch(given)
                logit = head(given, training=False)[0, label]
            return np.asarray(tape.gradient(logit, given))
        case "torch":
            given = keras.ops.convert_to_tensor(features).detach().requires_grad_(True)
            head(given, training=False)[0, label].backward()
            return np.asarray(given.grad.cpu().numpy())
        case other:
            raise DataError(f"gradients are not known on Keras's backend {other!r}; set KERAS_BACKEND=tensorflow.")


def grad_cam(network: Any, face: Grey, temperature: float) -> Explanation:
    """Where the network finds its first answer in a ``(48, 48)`` grey face."""
    import keras

    layer = last_places(network)
    body = keras.Model(network.input, layer.output)
    head = keras.Model(layer.output, network.output)
    features = np.asarray(body.predict_on_batch(face[None, :, :, None].astype(np.float32)), np.float32)
    logits = np.asarray(head.predict_on_batch(features))[0]
    slopes = gradient(head, features, int(logits.argmax()))
    weighted = np.maximum((features * slopes.mean(axis=(1, 2), keepdims=True)).sum(axis=-1)[0], 0)
    levels = np.rint(255 * weighted / max(float(weighted.max()), 1e-12)).astype(np.uint8)
    whole = (0.0, 0.0, float(levels.shape[1]), float(levels.shape[0]))
    heat = crop_face(levels, whole, CropSpec(scale=1.0), face.shape).astype(np.float32) / 255
    return Explanation(face, np.asarray(heat, np.float32), softmax(logits, temperature))


def open_network(path: Path) -> tuple[Any, CropSpec, float]:
    """The Keras network of a delivered folder or of a run, its crop and its temperature.

    Raises:
        DataError, ModelError, CheckpointError: if it is neither, or cannot be rebuilt.
    """
    from training.average import averaged_network
    from training.checkpoint import Checkpoint
    from training.crop_margin import read_crop
    from training.run_folder import CONFIG_FILE, read_config

    if (path / "preset.json").is_file():
        return _rebuilt(path)
    if (path / CONFIG_FILE).is_file():
        network = averaged_network(read_config(path), Checkpoint.load(path))
        return network, read_crop(), 1.0
    raise DataError(
        f"{path} is neither a delivered model (preset.json) nor a run (config.json); give one with --model."
    )


def _rebuilt(folder: Path) -> tuple[Any, CropSpec, float]:
    from training.networks import build_network
    from training.warm_start import design_of, warm_start

    network = build_network(design_of(folder), 0.0)
    faces = np.random.default_rng(0).integers(0, 256, (32, SIDE, SIDE), dtype=np.uint8)
    warm_start(network, folder, faces)
    preset = load_model(folder).preset
    return network, preset.crop, preset.temperature


def read_picture(path: Path) -> Bgr:
    """A picture file, ``(H, W, 3)`` in OpenCV's order of colours.

    Raises:
        DataError: if it is not one.
        OSError: if it cannot be read.
    """
    import cv2

    # Not imread: that says on standard error, in its own words, what it cannot open.
    content = np.frombuffer(read_bytes(path), np.uint8)
    picture = cv2.imdecode(content, cv2.IMREAD_COLOR) if len(content) else None
    if picture is None:
        raise DataError(f"{path} cannot be read as a picture; give a PNG or JPEG.")
    return np.asarray(picture, np.uint8)


def grey_of(picture: Bgr) -> Grey:
    """The picture in grey, ``(H, W)``, as the classifier makes it."""
    import cv2

    return np.asarray(cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY), np.uint8)


def find_face(picture: Bgr, yunet: Path | None) -> Box:
    """The largest face's box by YuNet where its file is given, else by OpenCV's Haar cascade, set as the product's.

    Raises:
        DataError: if there is none.
    """
    import cv2

    height, width = picture.shape[:2]
    if max(height, width) <= _ALREADY_CUT:
        return 0.0, 0.0, float(width), float(height)
    if min(height, width) < LEAST_SIDE:
        raise DataError(f"the picture has {width}x{height} pixels, too few for a face; give a larger one.")
    size = shrunk(width, height, MAX_SIDE)
    if yunet is not None:
        net = open_yunet(yunet, size, YUNET_SCORE, YUNET_NMS, YUNET_TOP_K)
        found = net.detect(cv2.resize(picture, size, interpolation=cv2.INTER_AREA))[1]
        boxes = [] if found is None else [tuple(map(float, row[:4])) for row in found]
    elif not hasattr(cv2, "CascadeClassifier"):
        raise DataError(f"OpenCV {cv2.__version__} has no Haar cascade; give YuNet's file with --yunet.")
    else:
        cascade: Any = cv2.CascadeClassifier(
            str(Path(cv2.__file__).parent / "data" / "haarcascade_frontalface_default.xml")
        )
        grey: Any = cv2.resize(grey_of(picture), size, interpolation=cv2.INTER_AREA)
        least = (HAAR_LEAST_FACE, HAAR_LEAST_FACE)
        found = cascade.detectMultiScale(cv2.equalizeHist(grey), HAAR_SCALE, HAAR_NEIGHBOURS, minSize=least)
        boxes = [tuple(map(float, box)) for box in found]
    if not boxes:
        raise DataError(
            "no face was found in the picture; give one that shows a face from the front, or YuNet's file with --yunet."
        )
    x, y, w, h = max(boxes, key=lambda box: box[2] * box[3])
    across, down = width / size[0], height / size[1]
    return x * across, y * down, w * across, h * down


def draw(explanation: Explanation, out: Path) -> None:
    """The face, the face with what spoke for the answer, and the probabilities, side by side in a PNG."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 3.4), layout="constrained")
    FigureCanvasAgg(figure)
    plain, marked, bars = figure.subplots(1, 3)
    answer = EMOTIONS[int(explanation.probabilities.argmax())]
    plain.imshow(explanation.face, cmap="gray", vmin=0, vmax=255)
    plain.set_title("what the network sees")
    marked.imshow(explanation.face, cmap="gray", vmin=0, vmax=255)
    marked.imshow(explanation.heat, cmap="inferno", alpha=0.55 * explanation.heat, vmin=0, vmax=1)
    marked.set_title(f"what speaks for “looks {answer}”")
    for axes in (plain, marked):
        axes.set_axis_off()
    bars.barh(EMOTIONS, 100 * explanation.probabilities)
    bars.invert_yaxis()
    bars.set(xlim=(0, 100), xlabel="%")
    bars.spines[["top", "right"]].set_visible(False)
    figure.savefig(out, dpi=110)


def main(argv: list[str] | None = None) -> int:
    """Entry point; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m training.explain", description=(__doc__ or "").split(":")[0])
    parser.add_argument("image", type=Path, help="a photo, or a face of up to 64 pixels that is cut out already")
    parser.add_argument(
        "--model", type=Path, default=MODELS_DIR / DEFAULT_MODEL, help="a delivered model's folder, or a run's"
    )
    parser.add_argument(
        "--yunet", type=Path, help="YuNet's ONNX file; without it, OpenCV's Haar cascade finds the face"
    )
    parser.add_argument("--out", type=Path, default=Path("explain.png"), help="PNG to write (default explain.png)")
    arguments = parser.parse_args(argv)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

    def work() -> int:
        picture = read_picture(arguments.image)
        box = find_face(picture, arguments.yunet)
        grey = grey_of(picture)
        network, crop, temperature = open_network(arguments.model)
        # A face that was cut out already needs no margin.
        margin = CropSpec(scale=1.0) if max(grey.shape) <= _ALREADY_CUT else crop
        explanation = grad_cam(network, crop_face(grey, box, margin, (SIDE, SIDE)), temperature)
        arguments.out.parent.mkdir(parents=True, exist_ok=True)
        draw(explanation, arguments.out)
        for name, probability in zip(EMOTIONS, explanation.probabilities, strict=True):
            print(f"{name:<10}{100 * probability:6.1f}%")
        print(arguments.out)
        return 0

    return ended(work)


if __name__ == "__main__":
    sys.exit(main())
