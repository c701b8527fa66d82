"""Evaluate a model: ``python -m training.evaluate --model models/NAME --data FILE --usage PublicTest --json OUT``.

The model is a folder that the exporter wrote, a bare LiteRT file, or a Keras file, also one of somebody else. The test
rows should be looked at once, when everything is decided; what is chosen by them is no longer measured by them.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from shared.emotions import EMOTIONS
from shared.preset import CropSpec
from training import metrics
from training.commands import ended
from training.crop_margin import read_crop
from training.data import USAGES, DataError, Faces, fingerprint, pixel_hashes, read_faces, read_ferplus
from training.figures import comparison, curves, ferplus_figures, figures, group_figures
from training.predictors import (
    Convention,
    KerasPredictor,
    LiteRtPredictor,
    Predictor,
    measure_latency,
    predict,
)
from training.robustness import robustness
from training.yunet import CutFaceDetector

_KERAS_SUFFIXES: Final = (".keras", ".h5", ".hdf5")


def behind_detector(
    predictor: Predictor, faces: Faces, logits: npt.NDArray[np.float32], detector: CutFaceDetector, crop: CropSpec
) -> dict[str, Any]:
    """Accuracy on the faces that the detector finds: as they are in the data, and cut anew around its boxes.

    Args:
        predictor: the model.
        faces: the faces that were evaluated.
        logits: ``(N, 7)`` what the model gave for them as they are.
        detector: the detector that the product uses.
        crop: how the model's preset says that a face is cut around a box.
    """
    cuts = [detector.cut(face, crop) for face in faces.pixels]
    found = np.array([cut is not None for cut in cuts])
    if not found.any():
        raise DataError(f"{detector.name} found none of these faces; is it the fp32 model of 2023mar?")
    labels = faces.labels[found]
    anew = predict(predictor, np.stack([cut for cut in cuts if cut is not None]))
    return {
        "detector": detector.name,
        "found": int(found.sum()),
        "accuracy_as_in_data": round(metrics.accuracy(logits[found], labels), 4),
        "accuracy_cut_anew": round(metrics.accuracy(anew, labels), 4),
        "same_answer": round(float((anew.argmax(axis=1) == logits[found].argmax(axis=1)).mean()), 4),
    }


def evaluate(predictor: Predictor, faces: Faces, latency_runs: int = 1000) -> tuple[dict[str, Any], npt.NDArray[Any]]:
    """The figures of a model on the given faces, and its logits ``(N, 7)``."""
    logits = predict(predictor, faces.pixels)
    report: dict[str, Any] = {"model": predictor.name, **figures(logits, faces.labels, predictor.temperature)}
    report["size_bytes"] = predictor.size_bytes
    if latency_runs > 0:
        report["latency_one_face_one_thread"] = asdict(measure_latency(predictor, faces.pixels[:64], latency_runs))
    return report, logits


def open_model(path: Path, convention: Convention) -> tuple[Predictor, CropSpec]:
    """The model at ``path`` and its crop: an exported folder, or a file used as told and with FER2013's crop.

    Raises:
        ModelError, ValueError: if it cannot be used.
    """
    if path.is_dir():
        predictor, preset = LiteRtPredictor.from_folder(path)
        return predictor, preset.crop
    if not path.is_file():
        raise ValueError(
            f"{path} does not exist; give a model folder (models/NAME), a .tflite file or a Keras file with --model."
        )
    if path.suffix == ".tflite":
        return LiteRtPredictor.from_file(path, convention), read_crop()
    if path.suffix not in _KERAS_SUFFIXES:
        raise ValueError(f"{path} is neither a folder nor one of .tflite, {', '.join(_KERAS_SUFFIXES)}.")
    return KerasPredictor.from_file(path, convention), read_crop()


def fit_temperature(predictor: Predictor, everything: Faces, calibrate_on: str, measured_on: str) -> float:
    """The temperature fitted on one usage, without the pictures that also stand in the measured one.

    Raises:
        DataError: if both are the same usage, or one has no rows.
    """
    if calibrate_on == measured_on:
        raise DataError(
            f"the temperature cannot be fitted on {calibrate_on}, which is what is measured: it would flatter the "
            "calibration. Give another usage with --calibrate-on."
        )
    faces = everything.with_usage(calibrate_on)
    known = np.isin(pixel_hashes(faces), pixel_hashes(everything.with_usage(measured_on)))
    faces = faces.take(~known)
    if len(faces) == 0:
        raise DataError(f"every picture of {calibrate_on} is also in {measured_on}; nothing is left to fit on.")
    return metrics.fit_temperature(predict(predictor, faces.pixels), faces.labels)


def as_text(report: dict[str, Any]) -> str:
    """The report for reading."""
    low, high = report["accuracy_95"]
    lines = [
        f"{report['model']} on {report['faces']} faces of {report['usage']}",
        f"  accuracy   {100 * report['accuracy']:.2f}%  (95%: {100 * low:.2f} to {100 * high:.2f})",
        f"  macro-F1   {report['macro_f1']:.4f}",
        f"  ECE-15     {report['ece_15']:.4f}  (before temperature: {report['ece_15_before_temperature']:.4f})",
        "  coverage   "
        + "  ".join(f"{100 * float(k):.0f}%: {100 * v:.2f}%" for k, v in report["accuracy_at_coverage"].items()),
    ]
    if "latency_one_face_one_thread" in report:
        latency = report["latency_one_face_one_thread"]
        lines.append(f"  one face   p50 {latency['p50_ms']:.3f} ms, p95 {latency['p95_ms']:.3f} ms, on one thread")
    lines.append(f"  size       {report['size_bytes'] / 1e6:.2f} MB")
    if "ferplus" in report:
        lines.append(
            f"  FER+       {100 * report['ferplus']['accuracy']:.2f}% of {report['ferplus']['faces']} majorities"
        )
    if "behind_detector" in report:
        behind = report["behind_detector"]
        shares = 100 * behind["accuracy_cut_anew"], 100 * behind["accuracy_as_in_data"]
        lines.append(f"  detector   {shares[0]:.2f}% of the {behind['found']} faces it finds; uncut {shares[1]:.2f}%")
    if "against" in report:
        other = report["against"]
        lines.append(
            f"  against    {other['model']} {100 * other['accuracy']:.2f}%; right alone {other['only_this_right']} : "
            f"{other['only_other_right']}, McNemar p = {other['mcnemar_p']:.2g}"
        )
    for column, groups in report.get("groups", {}).items():
        for value, group in groups.items():
            low, high = group["accuracy_95"]
            lines.append(
                f"  {column} {value}: {100 * group['accuracy']:.2f}% of {group['faces']} "
                f"(95%: {100 * low:.2f} to {100 * high:.2f})"
            )
    for name, shares in report.get("robustness", {}).items():
        lines.append(f"  {name:<24}" + "  ".join(f"{key:>5}: {100 * share:5.2f}%" for key, share in shares.items()))
    lines.append("  label \\ predicted" + "".join(f"{name:>10}" for name in EMOTIONS) + "    recall")
    for name, row in zip(EMOTIONS, report["confusion"], strict=True):
        recall = report["recall"][name]
        share = "       -" if recall is None else f"{100 * recall:7.1f}%"
        lines.append(f"  {name:<17}" + "".join(f"{count:>10}" for count in row) + f"  {share}")
    return "\n".join(lines)


def make_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m training.evaluate", description=(__doc__ or "").split(":")[0])
    parser.add_argument(
        "--model", type=Path, required=True, help="a model folder (models/NAME), a .tflite file or a Keras file"
    )
    parser.add_argument("--data", type=Path, required=True, help="FER2013's CSV, or a folder of class folders")
    parser.add_argument("--usage", choices=USAGES, default="PublicTest", help="which rows (default PublicTest)")
    parser.add_argument("--ferplus", type=Path, help="FER+'s fer2013new.csv, to also measure agreement with it")
    parser.add_argument("--yunet", type=Path, help="YuNet's ONNX file, to also measure faces cut around its boxes")
    parser.add_argument("--robustness", action="store_true", help="also measure on worse pictures and crops")
    parser.add_argument("--against", type=Path, metavar="MODEL", help="a second model, compared by McNemar's test")
    parser.add_argument(
        "--calibrate-on", choices=USAGES, help="fit the temperature on these rows (default: as the model's preset says)"
    )
    parser.add_argument("--json", type=Path, help="file to write the figures to")
    parser.add_argument("--report", type=Path, help="HTML page to write, with the curves")
    parser.add_argument("--latency-runs", type=int, default=1000, help="timed runs of one face; 0 for none")
    bare = parser.add_argument_group("for files without a preset, --against included")
    bare.add_argument("--scale", type=float, default=1.0, help="input = grey level * scale + offset (default 1)")
    bare.add_argument("--offset", type=float, default=0.0, help="(default 0)")
    bare.add_argument("--output", choices=["logits", "probabilities"], default="logits")
    bare.add_argument(
        "--classes",
        type=lambda text: tuple(text.split(",")),
        default=EMOTIONS,
        help=f"the outputs in their order; others beside the seven are left out (default {','.join(EMOTIONS)})",
    )
    return parser


def measure(arguments: argparse.Namespace) -> dict[str, Any]:
    """Everything that the command line asks for.

    Raises:
        DataError, ModelError, ValueError: saying what cannot be used.
    """
    convention = Convention(arguments.scale, arguments.offset, arguments.output, arguments.classes)
    predictor, crop = open_model(arguments.model, convention)
    everything = read_faces(arguments.data)
    faces = everything.with_usage(arguments.usage)
    if arguments.calibrate_on is not None:
        predictor.temperature = fit_temperature(predictor, everything, arguments.calibrate_on, arguments.usage)
    report, logits = evaluate(predictor, faces, arguments.latency_runs)
    report["usage"] = arguments.usage
    report["data"] = arguments.data.name
    report["data_sha256"] = fingerprint(arguments.data)
    report["bad_rows"] = dict(Counter(bad.reason for bad in everything.bad_rows))
    report.update(curves(logits, faces.labels, predictor.temperature))
    if arguments.calibrate_on is not None:
        report["temperature_fitted_on"] = arguments.calibrate_on
    if arguments.ferplus is not None:
        report["ferplus"] = ferplus_figures(logits, read_ferplus(arguments.ferplus, faces))
    if arguments.against is not None:
        other, _ = open_model(arguments.against, convention)
        report["against"] = {
            "model": other.name,
            **comparison(logits, predict(other, faces.pixels), faces.labels),
        }
    if faces.groups:
        report["groups"] = group_figures(logits, faces.labels, faces.groups)
    if arguments.robustness:
        report["robustness"] = robustness(predictor, faces)
    if arguments.yunet is not None:
        detector = CutFaceDetector(arguments.yunet)
        report["behind_detector"] = behind_detector(predictor, faces, logits, detector, crop)
    return report


def main(argv: list[str] | None = None) -> int:
    """Entry point; returns the exit status."""
    arguments = make_parser().parse_args(argv)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

    def work() -> int:
        report = measure(arguments)
        print(as_text(report))
        if arguments.json is not None:
            arguments.json.parent.mkdir(parents=True, exist_ok=True)
            arguments.json.write_text(json.dumps(report, indent=2) + "\n")
        if arguments.report is not None:
            # Needs Jinja, which measuring does not.
            from training.report import page

            arguments.report.parent.mkdir(parents=True, exist_ok=True)
            arguments.report.write_text(page(report), encoding="utf-8")
        return 0

    return ended(work)


if __name__ == "__main__":
    sys.exit(main())
