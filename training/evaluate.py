"""Evaluate a model: ``python -m training.evaluate --model models/NAME --data FILE --usage PublicTest --json OUT``.

The model is a folder that the exporter wrote, or a Keras file, also one of somebody else. The test rows should be
looked at once, when everything is decided; what is chosen by them is no longer measured by them.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from shared.emotions import EMOTIONS
from shared.errors import ModelError
from shared.preset import CropSpec
from shared.vision import softmax
from training import metrics
from training.crop_margin import read_crop
from training.data import NUM_CLASSES, USAGES, DataError, Faces, read_fer2013, read_ferplus
from training.predictors import KerasPredictor, LiteRtPredictor, Predictor, measure_latency, predict
from training.robustness import robustness
from training.yunet import CutFaceDetector

COVERAGES: Final = (0.9, 0.8, 0.7)

# FER+'s first seven columns, as numbers of FER2013's classes.
_FERPLUS_AS_FER2013: Final = tuple(
    EMOTIONS.index(name) for name in ("neutral", "happy", "surprise", "sad", "angry", "disgust", "fear")
)


def figures(logits: npt.NDArray[np.float32], labels: npt.NDArray[np.int64], temperature: float) -> dict[str, Any]:
    """All figures that follow from logits ``(N, 7)`` and labels ``(N,)``, rounded to four places."""
    predicted = logits.argmax(axis=1)
    hits = int((predicted == labels).sum())
    low, high = metrics.wilson_interval(hits, len(labels))
    confusion = metrics.confusion_matrix(predicted, labels, NUM_CLASSES)
    raw, calibrated = softmax(logits), softmax(logits, temperature)
    return {
        "faces": len(labels),
        "accuracy": round(hits / len(labels), 4),
        "accuracy_95": [round(low, 4), round(high, 4)],
        "macro_f1": round(metrics.macro_f1(confusion), 4),
        "recall": {
            name: None if np.isnan(share) else round(float(share), 4)
            for name, share in zip(EMOTIONS, metrics.recalls(confusion), strict=True)
        },
        "confusion": confusion.tolist(),
        "nll": round(metrics.negative_log_likelihood(logits, labels, temperature), 4),
        "brier": round(metrics.brier(calibrated, labels), 4),
        "ece_15_before_temperature": round(metrics.expected_calibration_error(raw, labels), 4),
        "ece_15": round(metrics.expected_calibration_error(calibrated, labels), 4),
        "temperature": round(temperature, 4),
        "accuracy_at_coverage": {
            f"{coverage:.1f}": round(metrics.accuracy_at_coverage(calibrated, labels, coverage), 4)
            for coverage in COVERAGES
        },
    }


def ferplus_figures(logits: npt.NDArray[np.float32], votes: npt.NDArray[np.float32]) -> dict[str, Any]:
    """Agreement with the FER+ majority.

    Rows whose most frequent vote is shared by two, or is contempt, "unknown" or "not a face", are left out.
    """
    ordered = np.sort(votes, axis=1)
    winner = votes.argmax(axis=1)
    usable = (ordered[:, -1] > ordered[:, -2]) & (winner < len(_FERPLUS_AS_FER2013))
    if not usable.any():
        raise DataError("none of these faces has a FER+ majority for one of the seven emotions.")
    labels = np.array(_FERPLUS_AS_FER2013)[winner[usable]]
    hits = int((logits[usable].argmax(axis=1) == labels).sum())
    low, high = metrics.wilson_interval(hits, len(labels))
    return {
        "faces": len(labels),
        "accuracy": round(hits / len(labels), 4),
        "accuracy_95": [round(low, 4), round(high, 4)],
    }


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


def open_model(path: Path, scale: float, offset: float, output: str) -> tuple[Predictor, CropSpec]:
    """The model at ``path`` and its crop: an exported folder, or a Keras file scaled as told and with FER2013's crop.

    Raises:
        ModelError, ValueError: if it cannot be used.
    """
    if path.is_dir():
        predictor, preset = LiteRtPredictor.from_folder(path)
        return predictor, preset.crop
    if not path.is_file():
        raise ValueError(f"{path} does not exist; give a model folder (models/NAME) or a Keras file with --model.")
    return KerasPredictor.from_file(path, scale, offset, output), read_crop()


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
    parser.add_argument("--model", type=Path, required=True, help="a model folder (models/NAME) or a Keras file")
    parser.add_argument("--data", type=Path, required=True, help="FER2013's CSV, plain, .gz or .xz")
    parser.add_argument("--usage", choices=USAGES, default="PublicTest", help="which rows (default PublicTest)")
    parser.add_argument("--ferplus", type=Path, help="FER+'s fer2013new.csv, to also measure agreement with it")
    parser.add_argument("--yunet", type=Path, help="YuNet's ONNX file, to also measure faces cut around its boxes")
    parser.add_argument("--robustness", action="store_true", help="also measure on worse pictures and crops")
    parser.add_argument("--json", type=Path, help="file to write the figures to")
    parser.add_argument("--latency-runs", type=int, default=1000, help="timed runs of one face; 0 for none")
    keras_only = parser.add_argument_group("for Keras files, where no preset says it")
    keras_only.add_argument("--scale", type=float, default=1.0, help="input = grey level * scale + offset (default 1)")
    keras_only.add_argument("--offset", type=float, default=0.0, help="(default 0)")
    keras_only.add_argument("--output", choices=["logits", "probabilities"], default="logits")
    return parser


def main(argv: list[str] | None = None) -> int:
    """Entry point; returns the exit status."""
    arguments = make_parser().parse_args(argv)
    try:
        predictor, crop = open_model(arguments.model, arguments.scale, arguments.offset, arguments.output)
        everything = read_fer2013(arguments.data)
        faces = everything.with_usage(arguments.usage)
        report, logits = evaluate(predictor, faces, arguments.latency_runs)
        report["usage"] = arguments.usage
        report["data"] = arguments.data.name
        report["data_sha256"] = hashlib.sha256(arguments.data.read_bytes()).hexdigest()
        report["bad_rows"] = dict(Counter(bad.reason for bad in everything.bad_rows))
        if arguments.ferplus is not None:
            report["ferplus"] = ferplus_figures(logits, read_ferplus(arguments.ferplus, faces))
        if arguments.robustness:
            report["robustness"] = robustness(predictor, faces)
        if arguments.yunet is not None:
            detector = CutFaceDetector(arguments.yunet)
            report["behind_detector"] = behind_detector(predictor, faces, logits, detector, crop)
    except (DataError, ModelError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(as_text(report))
    if arguments.json is not None:
        arguments.json.parent.mkdir(parents=True, exist_ok=True)
        arguments.json.write_text(json.dumps(report, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
