"""What each command says of a path that it cannot use: one line with the path, and status 1."""

import importlib
import json
import re
import shutil
from pathlib import Path

import pytest

pytest.importorskip("keras", reason="training's tests need Keras: pip install -e .[train]")

from shared.preset import MODELS_DIR
from tests.support.bad_paths import Kind, below_a_file, empty, folder, missing, too_long, unreadable

MODEL = str(MODELS_DIR / "mini_xception")
IN_FILES: dict[str, tuple[str, str, list[str]]] = {
    "data.__main__ --data": ("data.__main__", ".csv", ["inspect", "--data", "{}"]),
    "data.__main__ --ferplus": ("data.__main__", ".csv", ["inspect", "--data", "{csv}", "--ferplus", "{}"]),
    "evaluate --data": ("evaluate", ".csv", ["--model", MODEL, "--data", "{}"]),
    "evaluate --model": ("evaluate", ".tflite", ["--data", "{csv}", "--model", "{}"]),
    "evaluate --yunet": (
        "evaluate",
        ".onnx",
        ["--model", MODEL, "--data", "{csv}", "--latency-runs", "0", "--yunet", "{}"],
    ),
    "train --data": ("train", ".csv", ["--run", "{out}", "--data", "{}"]),
    "train --teaching": ("train", ".npz", ["--run", "{out}", "--data", "{csv}", "--teaching", "{}"]),
    "train --start-from": ("train", "", ["--run", "{out}", "--data", "{csv}", "--start-from", "{}"]),
    "teach --data": ("teach", ".csv", ["--model", MODEL, "--out", "{out}", "--data", "{}"]),
    "teach --model": ("teach", "", ["--data", "{csv}", "--out", "{out}", "--model", "{}"]),
    "crop_margin --data": ("crop_margin", ".csv", ["--yunet", "{csv}", "--data", "{}"]),
    "crop_margin --yunet": ("crop_margin", ".onnx", ["--data", "{csv}", "--yunet", "{}"]),
    "explain": ("explain", ".png", ["{}", "--out", "{out}"]),
    "export --run": ("export", "", ["--name", "tiny", "--models", "{out}", "--run", "{}"]),
    "shares --run": ("shares", "", ["--run", "{}"]),
    "curves --run": ("curves", "", ["--run", "{}"]),
}
OUT_FILES: dict[str, tuple[str, str, list[str]]] = {
    "data.__main__ --json": ("data.__main__", ".json", ["inspect", "--data", "{csv}", "--json", "{}"]),
    "data.__main__ --sheet": ("data.__main__", ".png", ["inspect", "--data", "{csv}", "--sheet", "{}"]),
    "evaluate --json": (
        "evaluate",
        ".json",
        ["--model", MODEL, "--data", "{csv}", "--latency-runs", "0", "--json", "{}"],
    ),
    "teach --out": ("teach", ".npz", ["--model", MODEL, "--data", "{csv}", "--out", "{}"]),
    "train --run": ("train", "", ["--data", "{csv}", "--run", "{}"]),
}


def told(module: str, arguments: list[str], path: Path, csv: Path, capsys: pytest.CaptureFixture[str]) -> str:
    """The one line that a command ends with."""
    filled = [argument.format(path, csv=csv, out=csv.parent / "out") for argument in arguments]
    assert importlib.import_module(f"training.{module}").main(filled) == 1
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    assert len(lines) == 1
    assert not re.search(r"Errno|Traceback", lines[0])
    return lines[0]


@pytest.mark.parametrize("kind", [missing, empty, folder, below_a_file, too_long, unreadable])
@pytest.mark.parametrize("command", IN_FILES)
def test_a_path_to_read_that_cannot_be_used(
    command: str, kind: Kind, tmp_path: Path, small_csv: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    module, suffix, arguments = IN_FILES[command]
    line = told(module, arguments, kind(tmp_path / f"given{suffix}"), small_csv, capsys)
    # A run keeps where a link leads to.
    assert re.search("xxx" if kind is too_long else "given|/proc" if kind is unreadable else "given", line)
    assert re.search(r"; |Give |expected ", line), "what to do"


@pytest.mark.parametrize(
    ("command", "kind"),
    [
        (command, kind)
        for command in OUT_FILES
        for kind in (folder, below_a_file, too_long)
        if not (command == "train --run" and kind is folder)  # which is what it makes
    ],
)
def test_a_path_to_write_that_cannot_be_used(
    command: str, kind: Kind, tmp_path: Path, small_csv: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    module, suffix, arguments = OUT_FILES[command]
    line = told(module, arguments, kind(tmp_path / f"given{suffix}"), small_csv, capsys)
    assert ("xxx" if kind is too_long else "given") in line


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run that is over, and beside it its data."""
    from training import train

    place = tmp_path_factory.mktemp("finished")
    rows = [f"{number % 7},{' '.join([str(number + 1)] * 48 * 48)},Training" for number in range(182)]
    (place / "fer2013.csv").write_text("\n".join(["emotion,pixels,Usage", *rows]) + "\n")
    arguments = ["--data", str(place / "fer2013.csv"), "--epochs", "1", "--batch-size", "16"]
    assert train.main(["--run", str(place / "run"), "--network", "mini_xception", *arguments]) == 0
    return place / "run"


@pytest.mark.parametrize("name", ["checkpoint.npz", "config.json", "split.json", "history.csv"])
@pytest.mark.parametrize("content", [b"", b"\xff\xfe no such thing", b"[]"])
def test_a_run_with_a_damaged_file(
    name: str, content: bytes, finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    shutil.copytree(finished, run)
    (run / name).write_bytes(content)
    command = ("curves", ["--run", "{}"]) if name == "history.csv" else ("shares", ["--run", "{}", "--share", "1"])
    assert name in told(*command, run, run, capsys)


def test_a_run_whose_data_are_others_by_now(finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = tmp_path / "run"
    shutil.copytree(finished, run)
    config = json.loads((run / "config.json").read_text())
    fewer = Path(config["data"]).read_text().splitlines()[:40]
    (tmp_path / "fewer.csv").write_text("\n".join(fewer) + "\n")
    (run / "config.json").write_text(json.dumps({**config, "data": str(tmp_path / "fewer.csv")}))
    assert "needs the data that it learnt from" in told("shares", ["--run", "{}"], run, run, capsys)
