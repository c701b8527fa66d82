"""The model card: what a person needs to know before relying on a model, written from its preset."""

from __future__ import annotations

from typing import Any

from shared.emotions import EMOTIONS
from shared.preset import Preset

_LIMITS = """\
## What it is for, and what it is not for

It is for research on facial expressions, and for showing a person who asked for it the word for how a face looks.

A face does not show what someone feels (Barrett et al. 2019, doi 10.1177/1529100619832930). The model says which of
seven words people on the internet would most likely have picked for a picture of this face, no more: people show the
same feeling in different ways, show feelings they do not have, and smile for many reasons. Do not decide anything
about a person by it: not in hiring, policing, insurance, teaching, diagnosis or care.

In the European Union, inferring emotions from faces at work and in education is forbidden outside medical and safety
uses (Regulation (EU) 2024/1689, the AI Act, Article 5(1)(f)); elsewhere the people concerned have to be told
(Article 50(3)).

## Whom the data represent badly

FER2013 (Goodfellow et al. 2013, arXiv:1307.0414) was gathered in 2013 by searching the web for emotion words in
English. To look at, its faces are mostly those of light-skinned adults, many of them acting, in stock photographs and
film stills. Old people, people with dark skin, and faces partly behind masks or scarves are few. Nobody recorded age,
gender or origin, so how much worse the model is for them cannot be measured on these data. Which expression goes with
which word differs between cultures; the words and the labellers here are English-speaking. The faces are 48 pixels
wide, grey, and mostly seen from the front. About one label in three is one that another person would not have given:
people who repeat the labelling agree with it on about 65% of the faces, and ten people who looked again (FER+, Barsoum
et al. 2016, arXiv:1608.01041) often chose another word, most often neutral. Some pictures are drawings, or show no
face. Disgust is rare: fewer than two faces in a hundred.
"""


def _percent(share: float) -> str:
    return f"{100 * share:.1f}%"


def _bullets(*sentences: str) -> list[str]:
    return [f"- {sentence}" for sentence in sentences]


def confusions(matrix: list[list[int]], count: int = 5) -> list[str]:
    """The most frequent mistakes in words, as shares of the class that was mistaken; rows are labels."""
    cells = [
        (row[column] / sum(row), label, column)
        for label, row in enumerate(matrix)
        for column in range(len(row))
        if column != label and sum(row) > 0
    ]
    return [
        f"- {_percent(share)} of the faces labelled {EMOTIONS[label]} are called {EMOTIONS[column]}"
        for share, label, column in sorted(cells, reverse=True)[:count]
    ]


def _figures(title: str, report: dict[str, Any]) -> list[str]:
    low, high = report["accuracy_95"]
    lines = [
        f"### {title}: {report['faces']} faces",
        "",
        "| figure | value |",
        "| --- | --- |",
        f"| accuracy, one pass | {_percent(report['accuracy'])} (95%: {_percent(low)} to {_percent(high)}) |",
        f"| macro-F1 | {report['macro_f1']:.3f} |",
        f"| ECE-15, before and after temperature | {report['ece_15_before_temperature']:.3f}, {report['ece_15']:.3f} |",
        f"| Brier score | {report['brier']:.3f} |",
        *(
            f"| accuracy on the most confident {100 * float(share):.0f}% | {_percent(value)} |"
            for share, value in report["accuracy_at_coverage"].items()
        ),
    ]
    if "ferplus" in report:
        agreement = report["ferplus"]
        low, high = agreement["accuracy_95"]
        lines.append(
            f"| agreement with the FER+ majority, {agreement['faces']} faces | {_percent(agreement['accuracy'])} "
            f"(95%: {_percent(low)} to {_percent(high)}) |"
        )
    if "latency_one_face_one_thread" in report:
        latency = report["latency_one_face_one_thread"]
        lines.append(
            f"| one face on one thread, LiteRT | p50 {latency['p50_ms']:.2f} ms, p95 {latency['p95_ms']:.2f} ms |"
        )
    shares = ", ".join(
        f"{name} {'-' if share is None else _percent(share)}" for name, share in report["recall"].items()
    )
    return [
        *lines,
        "",
        f"Found of each class: {shares}.",
        "",
        "Most frequent mistakes:",
        "",
        *confusions(report["confusion"]),
        "",
    ]


def _lost(results: dict[str, Any]) -> list[str]:
    if "accuracy_lost_against_fp32" not in results:
        return []
    points = 100 * results["accuracy_lost_against_fp32"]
    return [f"The smaller file costs {points:.2f} points of accuracy against fp32 on the held-out faces."]


def _began(training: dict[str, Any]) -> list[str]:
    lines = []
    if training.get("started_from"):
        lines.append(f"Started from {training['started_from']}.")
    if training["settings"]["teaching"] is not None:
        weight = training["settings"]["teaching_weight"]
        lines.append(
            f"Learnt from what delivered models see in each face too, with a weight of {weight} in the target."
        )
    if training["share_of_the_run"] != 1:
        share = training["share_of_the_run"]
        lines.append(f"Weights: {share} of the way from there to what the run gave; chosen on the held-out faces.")
    return lines


def card(preset: Preset, size_bytes: int) -> str:
    """The card in Markdown.

    Args:
        preset: with ``training`` and ``results`` as the exporter fills them.
        size_bytes: of the model file.
    """
    training, results = preset.training, preset.results
    environment, settings = training["environment"], training["settings"]
    precision = f"LiteRT {results.get('precision', 'fp32')}"
    lines = [
        f"# {preset.name} {preset.version}",
        "",
        f"Reads one of seven expressions from a grey face of {preset.input.width}x{preset.input.height} pixels:",
        f"{', '.join(preset.labels)}. {results['parameters']:,} parameters, {size_bytes / 1e6:.2f} MB, {precision}.",
        "",
    ]
    if not training["complete"]:
        lines += ["**Interim: the run that makes this model is still going on; the figures will change.**", ""]
    lines += [
        "## How it was made",
        "",
        *_bullets(
            f"Data: `{training['data']}` (sha256 `{training['data_sha256'][:16]}...`).",
            f"Protocol: {training['protocol']}.",
            f"Also learnt from, by a second head that is not delivered: {training['auxiliary'] or 'nothing'}.",
            f"Run: seed {training['seed']}, {training['epochs']} epochs, {training['steps']:,} steps of "
            f"{settings['batch_size']} faces, {training['minutes']} minutes of training, {settings['precision']}.",
            *_began(training),
            f"Machine: {environment['processor']}, {environment['cores']} cores shared with other work, "
            f"{environment['accelerator']}; Keras {environment['keras']} on {environment['backend']}.",
            f"Keras and LiteRT agree within {results['largest_logit_difference_keras_litert']:.0e} in every logit of "
            "every held-out face.",
            *_lost(results),
            f"Behind a detector: the crop is a square of {preset.crop.scale} times the box's size (the root of width "
            f"times height), moved by ({preset.crop.shift_x}, {preset.crop.shift_y}) of it.",
        ),
        "",
        "## How well it does",
        "",
        "FER2013's PrivateTest was not available and has not been used for anything.",
        "",
    ]
    for usage in ("PublicTest", "PrivateTest"):
        if usage in results:
            lines += _figures(f"{usage}, measured when everything was decided", results[usage])
    lines += _figures("Held-out part of Training, which the temperature was fitted on", results["held_out"])
    return "\n".join(lines) + "\n" + _LIMITS
