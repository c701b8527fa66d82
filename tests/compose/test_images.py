"""What is in the images, and how much."""

from typing import Final

import pytest

from tests.compose.stack import VERSION, build, run

_BASE: Final = "python:3.11-slim-bookworm"
_LARGEST_MB: Final = {"ingest": 130, "web": 130, "capture": 330, "classifier": 330, "tools": 130}

pytestmark = pytest.mark.timeout(3600)


def test_images_are_small_and_hold_no_compiler(images: None) -> None:
    def size(image: str) -> int:
        return int(run("docker", "image", "inspect", image, "-f", "{{.Size}}"))

    base = size(_BASE)
    sizes = {target: (size(f"emotion-edge/{target}:{VERSION}") - base) / 1e6 for target in _LARGEST_MB}
    print("megabytes over the base image:", {target: round(size) for target, size in sizes.items()})
    assert {target: size for target, size in sizes.items() if size >= _LARGEST_MB[target]} == {}
    packages = "ls /venv/lib/python3*/site-packages | grep -iE '^(tensorflow|keras|torch)$'"
    for target in _LARGEST_MB:
        script = f"command -v gcc cc g++ make; {packages}; true"
        found = run("docker", "run", "--rm", "--entrypoint", "sh", f"emotion-edge/{target}:{VERSION}", "-c", script)
        assert found == "", target


def confined(*arguments: str) -> str:
    """Run an image as its stack does: no capabilities, nothing to write but /tmp."""
    return run("docker", "run", "--rm", "--read-only", "--tmpfs", "/tmp", "--cap-drop", "ALL", *arguments)


def test_the_image_for_csi_cameras_makes_jpegs_by_gstreamer(images: None) -> None:
    build("capture-csi")
    script = "gst-launch-1.0 -q videotestsrc num-buffers=1 ! jpegenc ! fdsink fd=1 | head -c 3 | od -An -tx1"
    said = confined("--entrypoint", "sh", f"emotion-edge/capture-csi:{VERSION}", "-c", script)
    assert said.split() == ["ff", "d8", "ff"]


def test_the_trainers_image_has_what_training_needs(images: None) -> None:
    build("trainer")
    backend = confined("--entrypoint", "python", f"emotion-edge/trainer:{VERSION}", "-c", "import tensorflow, keras")
    assert backend == ""
    said = confined(f"emotion-edge/trainer:{VERSION}", "training.train", "--help")
    assert "--data" in said
