"""`make bench`: every measurement, or those named.

make bench                          all; the demo for one minute
make bench ARGS="--minutes 10"      the demo for ten
make bench ARGS="--only vision"     one part: vision, memory, training, outbox, ingest, outage, export, demo, viewers,
                                    history
make bench ARGS="--only history --detections 1000000"      over a smaller table than ten million

The history takes longest, so it is measured only where it is named.
"""

import argparse
import shutil
import tempfile
from pathlib import Path

from bench import export, history, ingest, kept, live, outage, outbox, training, viewers, vision
from bench.results import Result, table, write

ROOT = Path(__file__).resolve().parents[1]
SHELF = ROOT.parent / "shared"
PARTS = ("vision", "memory", "training", "outbox", "ingest", "outage", "export", "demo", "viewers")
ALONE = ("history",)


def main() -> None:
    """Measure, print a table, write bench/results/latest.json."""
    parser = argparse.ArgumentParser(
        prog="make bench", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument(
        "--only", choices=(*PARTS, *ALONE), action="append", help="measure this part; may be given again"
    )
    parser.add_argument("--minutes", type=float, default=1.0, help="how long the demo is watched")
    parser.add_argument("--detections", type=int, default=10_000_000, help="how many the history is measured over")
    parser.add_argument("--clips", type=Path, default=SHELF / "clips", help="folder of test clips")
    parser.add_argument("--yunet", type=Path, default=SHELF / "models" / "face_detection_yunet_2023mar.onnx")
    arguments = parser.parse_args()
    clips = sorted(arguments.clips.glob("*.gif"))
    if not clips or not arguments.yunet.exists():
        parser.error(f"expected clips in {arguments.clips} and YuNet at {arguments.yunet}; see --clips and --yunet")
    parts = arguments.only or PARTS
    results: list[Result] = []
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        folder = Path(name)
        models = folder / "models"
        shutil.copytree(ROOT / "models", models, ignore=shutil.ignore_patterns("detectors"))
        (models / "detectors").mkdir()
        shutil.copy(arguments.yunet, models / "detectors")
        env = {"EMOTION_MODELS_DIR": str(models)}
        if "vision" in parts:
            results += vision.run(clips, arguments.yunet)
        if "memory" in parts:
            results += live.run_memory(folder, clips[-1], env)
        if "training" in parts:
            results += training.run()
        if "outbox" in parts:
            results += outbox.run(folder)
        if "ingest" in parts:
            results += ingest.run(folder)
            results += kept.run(folder)
        if "outage" in parts:
            results += outage.run(folder, env)
        if "export" in parts:
            results += export.run(folder)
        if "demo" in parts:
            results += live.run_demo(folder, arguments.minutes, env)
        if "viewers" in parts:
            results += viewers.run(folder)
        if "history" in parts:
            results += history.run(folder, arguments.detections)
    print(table(results))
    print(f"written to {write(results).relative_to(ROOT)}")


if __name__ == "__main__":
    main()
