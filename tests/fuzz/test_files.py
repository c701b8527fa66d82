"""Model folders and videos that came damaged from elsewhere end in one sentence, never in a crash."""

import shutil
import tempfile
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.analyze import run_analyze
from services.capture.sources.video import read_video
from services.classifier.emotion import EmotionModel
from shared.errors import EmotionEdgeError, ModelError
from shared.preset import PRESET_FILE
from tests.conftest import ROOT
from tests.fuzz.mutations import damaged

MODEL = ROOT / "models" / "slim_resnet"
PRESET = (MODEL / PRESET_FILE).read_bytes()
BOUNDED = settings(max_examples=80, deadline=None)


def one_sentence(error: BaseException) -> None:
    assert isinstance(error, EmotionEdgeError)
    assert "\n" not in str(error)
    assert 0 < len(str(error)) < 1000


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("models") / "slim_resnet"
    made.mkdir()
    for name in (PRESET_FILE, "model.tflite"):
        shutil.copy(MODEL / name, made)
    return made


def test_a_model_file_with_one_changed_byte_is_refused_by_its_hash(folder: Path) -> None:
    good = (folder / "model.tflite").read_bytes()

    @BOUNDED
    @given(at=st.integers(0, len(good) - 1), change=st.integers(1, 255), cut=st.booleans())
    def check(at: int, change: int, cut: bool) -> None:
        bad = bytearray(good)
        bad[at] ^= change
        (folder / "model.tflite").write_bytes(bad[:at] if cut else bad)
        with pytest.raises(ModelError, match=r"its sha256 is .* expected .* restore the folder") as told:
            EmotionModel(folder)
        one_sentence(told.value)

    check()
    (folder / "model.tflite").write_bytes(good)
    EmotionModel(folder)


def test_a_damaged_preset_is_refused_in_a_sentence_or_still_gives_probabilities(folder: Path) -> None:
    grey = np.random.default_rng(0).integers(0, 255, (96, 96)).astype(np.uint8)

    @BOUNDED
    @given(damaged(PRESET) | damaged(PRESET).flatmap(damaged) | st.binary(max_size=100))
    def check(preset: bytes) -> None:
        (folder / PRESET_FILE).write_bytes(preset)
        try:
            rows = EmotionModel(folder).classify(grey, [(10, 10, 60, 60)])
        except ModelError as error:
            one_sentence(error)
        else:
            assert rows.sum() == pytest.approx(1)

    check()
    (folder / PRESET_FILE).write_bytes(PRESET)


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("clip") / "clip.mp4"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), 10.0, (64, 48))
    for number in range(20):
        writer.write(np.full((48, 64, 3), number * 10, np.uint8))
    writer.release()
    return path.read_bytes()


def _sized(clip: bytes, width: int, height: int) -> bytes:
    """`clip` that announces another size (ISO/IEC 14496-12: VisualSampleEntry)."""
    at = clip.index(b"mp4v", clip.index(b"stsd")) + 28
    return clip[:at] + width.to_bytes(2, "big") + height.to_bytes(2, "big") + clip[at + 4 :]


def _without_frames(clip: bytes) -> bytes:
    at = clip.index(b"stsz") + 12
    return clip[:at] + bytes(4) + clip[at + 4 :]


@pytest.mark.parametrize("kind", ["empty", "random", "cut off", "no frames", "header only", "text"])
def test_a_video_that_cannot_be_read_is_one_sentence_and_leaves_no_files(
    clip: bytes, tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = {
        "empty": b"",
        "random": np.random.default_rng(0).bytes(50_000),
        "cut off": clip[: clip.index(b"moov") + 50],
        "no frames": _without_frames(clip),
        "header only": clip[:32],
        "text": b"these are no pictures\n" * 100,
    }[kind]
    monkeypatch.setenv("EMOTION_MODELS_DIR", str(ROOT / "models"))
    path = tmp_path / "clip.mp4"
    path.write_bytes(data)
    with pytest.raises(EmotionEdgeError, match=r"The video file clip\.mp4") as told:
        run_analyze(path, tmp_path / "out", annotated=True)
    one_sentence(told.value)
    assert [file.name for file in tmp_path.rglob("*") if file.is_file()] == ["clip.mp4"]


@pytest.mark.parametrize("size", [(65535, 65535), (32767, 32767), (65535, 1)])
def test_a_video_that_announces_an_absurd_size_is_refused_or_read_as_it_is(
    clip: bytes, tmp_path: Path, size: tuple[int, int]
) -> None:
    path = tmp_path / "clip.mp4"
    path.write_bytes(_sized(clip, *size))
    try:
        with read_video(path) as video:
            sides = {frame.pixels.shape for frame in video}
    except EmotionEdgeError as error:
        one_sentence(error)
    else:
        assert sides <= {(48, 64, 3)}  # the stream itself says better


def test_no_damage_to_a_video_breaks_its_reader(clip: bytes) -> None:
    @BOUNDED
    @given(damaged(clip).flatmap(damaged))
    def check(data: bytes) -> None:
        with tempfile.TemporaryDirectory() as temporary:
            path = Path(temporary) / "clip.mp4"
            path.write_bytes(data)
            try:
                with read_video(path) as video:
                    for _ in zip(range(30), video, strict=False):
                        pass
            except EmotionEdgeError as error:
                one_sentence(error)

    check()
