"""The classifier alone, beside the peers' loop."""

import os
import statistics
import subprocess
import sys
from pathlib import Path

from bench.results import Result, against

ROUNDS = 3
SECONDS = 6


def _run(which: str, clip: Path, yunet: Path) -> float:
    # The peers' loop may use every core and thread that TensorFlow wants.
    output = subprocess.run(
        [sys.executable, "-m", "bench.loops", which, str(clip), str(yunet), str(SECONDS)],
        check=True,
        capture_output=True,
        text=True,
        env=os.environ | {"KERAS_BACKEND": "tensorflow", "TF_CPP_MIN_LOG_LEVEL": "3"},
    ).stdout
    return float(output.strip().splitlines()[-1])


def run(clips: list[Path], yunet: Path) -> list[Result]:
    """Frames per second on each clip, in turn with the peers' loop, medians of some rounds."""
    results = []
    for clip in clips:
        own: list[float] = []
        peers: list[float] = []
        for _ in range(ROUNDS):
            own.append(_run("ours", clip, yunet))
            peers.append(_run("peer", clip, yunet))
        results.append(
            against(
                f"classifier: {clip.stem}",
                statistics.median(own),
                statistics.median(peers),
                "frames/s",
                "640x360, baseline: YuNet + Keras predict per face; goal: 30 frames/s and ratio 10",
            )
        )
    return results
