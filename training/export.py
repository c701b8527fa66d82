"""Deliver a run's model: ``python -m training.export --run runs/first --name slim_resnet``.

Writes ``models/NAME`` with ``model.tflite``, ``preset.json`` and ``card.md``, all or nothing. The temperature is fitted
on the run's held-out faces. Test rows are measured only where ``--evaluate`` says so.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from shared.emotions import EMOTIONS
from shared.errors import ModelError
from shared.preset import PRESET_FILE, CropSpec, InputSpec, Preset, load_model
from training import metrics
from training.card import card
from training.checkpoint import Checkpoint, CheckpointError
from training.config import TrainConfig
from training.convert import ConversionError, largest_difference, to_litert
from training.crop_margin import FER2013_CROP, read_crop
from training.data import SIDE, USAGES, DataError, Faces, read_fer2013, read_ferplus
from training.evaluate import evaluate, ferplus_figures, figures
from training.predictors import LiteRtPredictor, predict


def training_record(config: TrainConfig, checkpoint: Checkpoint, run: Path) -> dict[str, Any]:
    """What the preset says of the training: data, protocol, seed, length, hardware and time."""
    environment = json.loads((run / "environment.json").read_text())
    split = json.loads((run / "split.json").read_text())
    settings = json.loads(config.to_json())
    # The name and hash say which data it was; where it lay on one machine is nobody's business.
    data = Path(settings.pop("data"))
    ferplus = settings.pop("ferplus")
    return {
        "data": data.name,
        "data_sha256": hashlib.sha256(data.read_bytes()).hexdigest(),
        "auxiliary": None if ferplus is None else f"FER+ votes of the same Training rows ({Path(ferplus).name})",
        "protocol": (
            f"learnt from {len(split['train'])} Training faces; {len(split['held_out'])} more held out, by class, for "
            f"monitoring and temperature; {len(split['leaked'])} left out because a test row has the same pixels; "
            "exact copies never on both sides; fixed schedule, last averaged weights, nothing selected on test rows"
        ),
        "complete": checkpoint.complete,
        "epochs": checkpoint.epoch,
        "steps": checkpoint.step,
        "minutes": round(checkpoint.elapsed_seconds / 60, 1),
        "seed": config.seed,
        "environment": environment,
        "settings": settings,
    }


def replace_folder(new: Path, target: Path) -> None:
    """Put the finished folder ``new`` in the place of ``target``; an interrupted swap leaves one of them whole."""
    old = new.with_name(new.name + ".old")
    if target.exists():
        target.replace(old)
    new.replace(target)
    shutil.rmtree(old, ignore_errors=True)


def export(
    run: Path, target: Path, version: str, crop: CropSpec, evaluate_usages: list[str], ferplus: Path | None
) -> Preset:
    """Convert, check, calibrate, measure and write a model folder.

    Args:
        run: folder of the run; its last checkpoint is taken, also of a run that is still going on.
        target: folder to write; its last part is the model's name.
        version: what the classifier reports with its detections.
        crop: how a face is to be cut around a detector's box.
        evaluate_usages: test rows to measure on, often none.
        ferplus: FER+'s votes, to measure agreement with them too.

    Raises:
        CheckpointError, DataError, ConversionError, ModelError: saying what did not hold; then nothing is written.
    """
    # Imports Keras, which has to find the backend that main has chosen.
    from training.average import averaged_network

    config = TrainConfig.read(run / "config.json")
    checkpoint = Checkpoint.load(run)
    everything = read_fer2013(Path(config.data))
    held_out = everything.take(np.array(json.loads((run / "split.json").read_text())["held_out"]))

    network = averaged_network(config, checkpoint)
    content = to_litert(network)
    spec = InputSpec(height=SIDE, width=SIDE, channels=1)
    predictor = LiteRtPredictor(target.name, content, spec, "logits", 1.0)
    logits = predict(predictor, held_out.pixels)
    difference = largest_difference(network, logits, held_out.pixels)
    predictor.temperature = metrics.fit_temperature(logits, held_out.labels)

    results: dict[str, Any] = {
        "parameters": int(network.count_params()),
        "largest_logit_difference_keras_litert": float(f"{difference:.2e}"),
        "held_out": figures(logits, held_out.labels, predictor.temperature),
    }
    for usage in evaluate_usages:
        faces: Faces = everything.with_usage(usage)
        report, test_logits = evaluate(predictor, faces)
        if ferplus is not None:
            report["ferplus"] = ferplus_figures(test_logits, read_ferplus(ferplus, faces))
        results[usage] = {key: value for key, value in report.items() if key not in ("model", "temperature")}

    preset = Preset(
        schema=1,
        name=target.name,
        version=version,
        sha256=hashlib.sha256(content).hexdigest(),
        input=spec,
        crop=crop,
        labels=EMOTIONS,
        output="logits",
        temperature=round(predictor.temperature, 4),
        training=training_record(config, checkpoint, run),
        results=results,
    )
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent))
    try:
        partial.chmod(0o755)
        (partial / preset.model_file).write_bytes(content)
        (partial / PRESET_FILE).write_text(preset.model_dump_json(by_alias=True, indent=2) + "\n")
        (partial / "card.md").write_text(card(preset, len(content)))
        shutil.copy(run / "history.csv", partial / "history.csv")
        load_model(partial)
        replace_folder(partial, target)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return preset


def make_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m training.export", description=(__doc__ or "").split(":")[0])
    parser.add_argument("--run", type=Path, required=True, help="folder of a run, also one that still goes on")
    parser.add_argument("--name", required=True, help="name of the model: small letters, digits and _")
    parser.add_argument("--models", type=Path, default=Path("models"), help="where model folders lie (default models)")
    parser.add_argument("--model-version", default="1.0.0", help="version that detections will carry (default 1.0.0)")
    parser.add_argument("--crop", type=Path, default=FER2013_CROP, help="what python -m training.crop_margin wrote")
    parser.add_argument("--evaluate", action="append", default=[], choices=USAGES[1:], help="test rows to measure on")
    parser.add_argument("--ferplus", type=Path, help="FER+'s fer2013new.csv, to measure agreement with it as well")
    return parser


def main(argv: list[str] | None = None) -> int:
    """Entry point; returns the exit status."""
    arguments = make_parser().parse_args(argv)
    # Only TensorFlow writes the format, whatever the training ran on; Keras reads this when it is first imported.
    os.environ["KERAS_BACKEND"] = "tensorflow"
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    try:
        crop = read_crop(arguments.crop)
        preset = export(
            arguments.run,
            arguments.models / arguments.name,
            arguments.model_version,
            crop,
            arguments.evaluate,
            arguments.ferplus,
        )
    except (OSError, CheckpointError, DataError, ConversionError, ModelError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    held_out = preset.results["held_out"]
    print(
        f"{arguments.models / arguments.name}: {preset.name} {preset.version}, temperature {preset.temperature}, "
        f"{100 * held_out['accuracy']:.2f}% of {held_out['faces']} held-out faces"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
