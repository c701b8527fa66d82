"""The two loops that are compared, each in a process of its own: ours, and the peers' "YuNet + Keras predict".

    python -m bench.loops ours|peer CLIP YUNET SECONDS     prints frames per second

Both begin with the same JPEG bytes at 640x360, as they come from a camera, and both end with a probability for each
face. The peers' loop is the one that tutorials show: detector, crop, `model.predict` for each face.
"""

import itertools
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import cv2
import numpy as np

SIZE = (640, 360)
WARM_UP = 5


def jpegs(clip: Path) -> list[bytes]:
    """The clip's frames at 640x360 as JPEG."""
    capture = cv2.VideoCapture(str(clip), cv2.CAP_FFMPEG)
    found: list[bytes] = []
    while True:
        done, frame = capture.read()
        if not done:
            return found
        found.append(cv2.imencode(".jpg", cv2.resize(frame, SIZE))[1].tobytes())


def ours(yunet: Path) -> Callable[[bytes], Any]:
    """The classifier's own path from JPEG to people."""
    from services.classifier.detector import YuNet
    from services.classifier.emotion import EmotionModel
    from services.classifier.pipeline import FramePipeline, decode
    from services.classifier.scene import SceneReader
    from services.classifier.settings import ClassifierSettings

    settings = ClassifierSettings()
    detector = YuNet(yunet, score=settings.detector_score, max_side=settings.detector_max_side)
    pipeline = FramePipeline(detector, EmotionModel(settings.models_dir / settings.model))
    scene = SceneReader()
    return lambda jpeg: scene.read(pipeline.read(decode(jpeg)), datetime.now(UTC))


def peer(yunet: Path) -> Callable[[bytes], Any]:
    """YuNet and Keras `predict` for each face; the network is mini-Xception, the peers' smallest."""
    from training.networks import build_network

    model = build_network("mini_xception", 0.0)
    detector = cv2.FaceDetectorYN.create(str(yunet), "", SIZE, 0.7)

    def read(jpeg: bytes) -> list[Any]:
        frame = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)
        assert frame is not None
        found = detector.detect(frame)[1]
        grey = cv2.cvtColor(frame, cv2.COLOR_BGR2GRAY)
        answers = []
        for face in found if found is not None else ():
            x, y, w, h = (max(0, int(v)) for v in face[:4])
            crop = cv2.resize(grey[y : y + h, x : x + w], model.input_shape[1:3])
            answers.append(model.predict(crop[None, :, :, None].astype(np.float32), verbose=0))
        return answers

    return read


def main() -> None:
    """Run one loop for some seconds."""
    which, clip, yunet, seconds = sys.argv[1:]
    read = {"ours": ours, "peer": peer}[which](Path(yunet))
    frames = itertools.cycle(jpegs(Path(clip)))
    for _ in range(WARM_UP):
        read(next(frames))
    began = time.perf_counter()
    count = 0
    while time.perf_counter() - began < float(seconds):
        read(next(frames))
        count += 1
    print(count / (time.perf_counter() - began))


if __name__ == "__main__":
    main()
