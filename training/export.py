"""Deliver a run's model: ``python -m training.export --run runs/first --name slim_resnet``.

Writes ``models/NAME`` with ``model.tflite``, ``preset.json``, ``card.md`` and the run's history and curves, all or
nothing. The temperature is fitted on the held-out faces. Test rows are measured only where ``--evaluate`` says so.
A file of fp16 or int8 that costs more than half a point of accuracy on the held-out faces is refused.
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
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from shared.emotions import EMOTIONS
from shared.preset import PRESET_FILE, CropSpec, InputSpec, Preset, Probe, load_model
from shared.probe import probe_picture
from shared.vision import calibrated, to_input
from training import metrics
from training.card import card
from training.commands import ended
from training.convert import (
    CALIBRATION_FACES,
    PRECISIONS,
    TOLERANCES,
    ConversionError,
    Precision,
    largest_difference,
    lost_accuracy,
    to_litert,
)
from training.crop_margin import FER2013_CROP, read_crop
from training.curves import CURVES_FILE
from training.data import SIDE, USAGES, Faces, fingerprint, read_ferplus
from training.evaluate import evaluate
from training.figures import ferplus_figures, figures
from training.lineage import seen_before
from training.predictors import LiteRtPredictor, predict
from training.run_folder import ENVIRONMENT_FILE, FinishedRun, read_object, read_run

# What another processor's arithmetic may change in a probability: at int8 a few of its 256 steps.
_PROBE_TOLERANCES: Final[dict[Precision, float]] = {"fp32": 0.01, "fp16": 0.02, "int8": 0.1}


def probe_of(predictor: LiteRtPredictor, precision: Precision, output: str, temperature: float) -> Probe:
    """What the file gives for the probe's picture, for the classifier to compare when it starts."""
    face = probe_picture(predictor.input.height, predictor.input.width)
    given = predictor.ask(to_input(face, predictor.input))[0].astype(np.float64)
    return Probe(
        output=tuple(float(f"{value:.7g}") for value in given),
        probabilities=tuple(round(float(value), 6) for value in calibrated(given, output, temperature)),
        tolerance=_PROBE_TOLERANCES[precision],
    )


def training_record(
    run: FinishedRun, environment: dict[str, Any], started: Preset | None, share: float
) -> dict[str, Any]:
    """What the preset says of the training: data, protocol, seed, length, hardware and time.

    Args:
        run: the run.
        environment: what it ran on.
        started: the model that it started from.
        share: how much of the way the weights went from there to what the run gave.
    """
    config, checkpoint, split = run.config, run.checkpoint, run.split
    settings = json.loads(config.to_json())
    # The name and hash say which data it was; where it lay on one machine is nobody's business.
    data = Path(settings.pop("data"))
    ferplus = settings.pop("ferplus")
    settings.pop("start_from")
    if settings["teaching"] is not None:
        settings["teaching"] = Path(settings["teaching"]).name
    weights = (
        f"fixed {config.schedule} schedule, last averaged weights"
        if config.early_stop_patience is None
        else f"{config.schedule} schedule, early stop after {config.early_stop_patience} epochs without a lower loss "
        "on the held-out faces, weights of the epoch with the lowest (so their figures are somewhat too good)"
    )
    new = "; the data are new to the model that it started from, as its maker said" if config.unseen_data else ""
    return {
        "data": data.name,
        "data_sha256": fingerprint(data),
        "auxiliary": None if ferplus is None else f"FER+ votes of the same Training rows ({Path(ferplus).name})",
        "protocol": (
            f"learnt from {len(split['train'])} Training faces; {len(split['held_out'])} more held out, by class, for "
            f"monitoring and temperature; {len(split['leaked'])} left out because a test row has the same pixels; "
            f"exact copies never on both sides; {weights}; nothing selected on test rows{new}"
        ),
        "started_from": None if started is None else f"{started.name} {started.version}, sha256 {started.sha256}",
        "seen_before": [] if started is None else seen_before(started.training),
        "share_of_the_run": share,
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


def converted(
    network: Any, precision: Precision, name: str, learnt: npt.NDArray[np.uint8], held_out: Faces
) -> tuple[bytes, LiteRtPredictor, dict[str, Any]]:
    """The network as LiteRT's file and its predictor, and what was checked, all on the held-out faces.

    Args:
        network: the Keras model.
        precision: of the file.
        name: of the model.
        learnt: ``(N, 48, 48)`` faces of the training split, of which int8 takes some for its ranges.
        held_out: faces that were not learnt from.

    Raises:
        ConversionError: if the file differs from Keras by more than rounding, or costs too much accuracy.
    """
    spec = InputSpec(height=SIDE, width=SIDE, channels=1)
    sample = learnt[np.random.default_rng(0).permutation(len(learnt))[:CALIBRATION_FACES]]
    content = to_litert(network, precision, sample)
    predictor = LiteRtPredictor(name, content, spec, "logits", 1.0)
    logits = predict(predictor, held_out.pixels)
    difference = largest_difference(network, logits, held_out.pixels, precision)
    checks: dict[str, Any] = {
        "precision": precision,
        "largest_logit_difference_keras_litert": float(f"{difference:.2e}"),
        "accepted_logit_difference": TOLERANCES[precision],
    }
    if precision != "fp32":
        exact = np.asarray(network.predict(held_out.pixels[..., None].astype(np.float32), batch_size=256, verbose=0))
        checks["accuracy_lost_against_fp32"] = round(lost_accuracy(exact, logits, held_out.labels, precision), 4)
    return content, predictor, checks


def export(
    run: Path,
    target: Path,
    version: str,
    crop: CropSpec,
    evaluate_usages: list[str],
    ferplus: Path | None,
    precision: Precision = "fp32",
    share: float = 1.0,
) -> Preset:
    """Convert, check, calibrate, measure and write a model folder.

    Args:
        run: folder of the run; its last checkpoint is taken, also of a run that is still going on.
        target: folder to write; its last part is the model's name.
        version: what the classifier reports with its detections.
        crop: how a face is to be cut around a detector's box.
        evaluate_usages: test rows to measure on, often none.
        ferplus: FER+'s votes, to measure agreement with them too.
        precision: of the file.
        share: how much of the way the weights go from the model that the run started from to what it gave.

    Raises:
        CheckpointError, DataError, ConversionError, ModelError: saying what did not hold; then nothing is written.
    """
    # Imports Keras, which has to find the backend that main has chosen.
    from training.shares import network_at

    found = read_run(run)
    environment = read_object(run, ENVIRONMENT_FILE)
    config, held_out = found.config, found.held_out

    if share == 0:
        raise ConversionError("a share of 0 is the model that the run started from; there is nothing new to deliver.")
    network = network_at(config, found.checkpoint, share, found.learnt)
    started = None if config.start_from is None else load_model(Path(config.start_from)).preset
    content, predictor, checks = converted(network, precision, target.name, found.learnt, held_out)
    logits = predict(predictor, held_out.pixels)
    predictor.temperature = metrics.fit_temperature(logits, held_out.labels)

    results: dict[str, Any] = {
        "parameters": int(network.count_params()),
        **checks,
        "held_out": figures(logits, held_out.labels, predictor.temperature),
    }
    for usage in evaluate_usages:
        faces = found.everything.with_usage(usage)
        report, test_logits = evaluate(predictor, faces)
        if ferplus is not None:
            report["ferplus"] = ferplus_figures(test_logits, read_ferplus(ferplus, faces))
        results[usage] = {key: value for key, value in report.items() if key not in ("model", "temperature")}

    temperature = round(predictor.temperature, 4)
    preset = Preset(
        schema=1,
        name=target.name,
        version=version,
        sha256=hashlib.sha256(content).hexdigest(),
        input=predictor.input,
        crop=crop,
        labels=EMOTIONS,
        output="logits",
        temperature=temperature,
        probe=probe_of(predictor, precision, "logits", temperature),
        training=training_record(found, environment, started, share),
        results=results,
    )
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent))
    try:
        partial.chmod(0o755)
        (partial / preset.model_file).write_bytes(content)
        (partial / PRESET_FILE).write_text(preset.model_dump_json(by_alias=True, indent=2) + "\n")
        (partial / "card.md").write_text(card(preset, len(content)))
        for name in ("history.csv", CURVES_FILE):
            # There are no curves where the run had no Matplotlib to draw them.
            if (run / name).is_file():
                shutil.copy(run / name, partial / name)
        LiteRtPredictor.from_folder(partial)
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
    parser.add_argument(
        "--share",
        type=float,
        default=1.0,
        help="share of the way from the model that the run started from to what it gave (default 1: all of it)",
    )
    parser.add_argument("--precision", choices=PRECISIONS, default="fp32", help="of the file (default fp32)")
    return parser


def main(argv: list[str] | None = None) -> int:
    """Entry point; returns the exit status."""
    arguments = make_parser().parse_args(argv)
    # Only TensorFlow writes the format, whatever the training ran on; Keras reads this when it is first imported.
    os.environ["KERAS_BACKEND"] = "tensorflow"
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

    def work() -> int:
        crop = read_crop(arguments.crop)
        preset = export(
            arguments.run,
            arguments.models / arguments.name,
            arguments.model_version,
            crop,
            arguments.evaluate,
            arguments.ferplus,
            arguments.precision,
            arguments.share,
        )
        held_out = preset.results["held_out"]
        print(
            f"{arguments.models / arguments.name}: {preset.name} {preset.version}, temperature {preset.temperature}, "
            f"{100 * held_out['accuracy']:.2f}% of {held_out['faces']} held-out faces"
        )
        return 0

    return ended(work)


if __name__ == "__main__":
    sys.exit(main())
