"""One frame from bytes to what was read: real faces, and bytes that are no picture."""

import contextlib
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.classifier.detector import YuNet
from services.classifier.emotion import EmotionModel
from services.classifier.pipeline import FramePipeline, decode
from shared.errors import BadPicture
from shared.preset import DEFAULT_MODEL
from tests.classifier_kit import encoded, pictures
from tests.conftest import ROOT

PLAIN = encoded(np.full((64, 96, 3), 120, np.uint8))


@pytest.fixture
def pipeline(yunet_file: Path) -> FramePipeline:
    return FramePipeline(YuNet(yunet_file, score=0.7, max_side=640), EmotionModel(ROOT / "models" / DEFAULT_MODEL))


def resized_header(width: int, height: int) -> bytes:
    start = PLAIN.find(b"\xff\xc0")
    return PLAIN[: start + 5] + height.to_bytes(2, "big") + width.to_bytes(2, "big") + PLAIN[start + 9 :]


def test_all_faces_of_a_real_frame_are_read(pipeline: FramePipeline, head_pose_clip: Path) -> None:
    reading = pipeline.read(decode(encoded(pictures(head_pose_clip, every=60)[0])))
    assert reading.size == (640, 360)
    assert len(reading.faces) == 2
    for face in reading.faces:
        assert face.probabilities.sum() == pytest.approx(1.0)
        assert face.look.shape == (12, 12)
    assert set(reading.timings_ms) == {"detect", "classify"}


@pytest.mark.parametrize("size", [(1, 1), (1, 300), (33, 17)])
def test_tiny_pictures_are_read_and_have_no_faces(pipeline: FramePipeline, size: tuple[int, int]) -> None:
    reading = pipeline.read(decode(encoded(np.zeros((size[1], size[0], 3), np.uint8))))
    assert (reading.size, reading.faces) == (size, ())


def test_grey_jpegs_are_read_as_colour(pipeline: FramePipeline) -> None:
    assert decode(encoded(np.zeros((20, 30), np.uint8))).shape == (20, 30, 3)


@pytest.mark.parametrize(
    ("jpeg", "message"),
    [
        (b"", "not a JPEG"),
        (b"GIF89a", "not a JPEG"),
        (PLAIN[:200], "damaged JPEG"),
        (PLAIN[:-10], "cut off"),
        (resized_header(20000, 20000), "20000x20000 pixels"),
        (resized_header(65000, 200), "a side may have at most 32767"),
        (resized_header(0, 10), "its size is 0x10"),
    ],
)
def test_what_is_no_whole_picture_is_refused_in_words(jpeg: bytes, message: str) -> None:
    with pytest.raises(BadPicture, match=message):
        decode(jpeg)


def test_padding_behind_the_picture_is_accepted() -> None:
    assert decode(PLAIN + bytes(500)).shape == (64, 96, 3)


@settings(deadline=None, max_examples=150)
@given(st.binary(max_size=40), st.integers(0, len(PLAIN) - 1))
def test_damaged_bytes_are_decoded_or_refused_but_never_crash(noise: bytes, at: int) -> None:
    damaged = PLAIN[:at] + noise + PLAIN[at + len(noise) :]
    with contextlib.suppress(BadPicture):
        assert decode(damaged).ndim == 3


def test_neither_tensorflow_nor_keras_nor_torch_is_imported() -> None:
    code = (
        "import sys, services.classifier.main\n"
        "print(sorted({'tensorflow', 'keras', 'torch', 'matplotlib', 'skimage'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
