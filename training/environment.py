"""What a run ran on, for the record."""

from __future__ import annotations

import os
import platform
from pathlib import Path

import keras
import numpy as np


def environment() -> dict[str, str]:
    """Versions, backend and hardware by name."""
    return {
        "python": platform.python_version(),
        "keras": keras.__version__,
        "backend": keras.backend.backend(),
        "numpy": np.__version__,
        "processor": processor_name(),
        "cores": str(os.cpu_count()),
        "accelerator": accelerator_name(),
    }


def accelerator_name() -> str:
    """The accelerator that Keras's backend runs on, or "no accelerator"."""
    if keras.backend.backend() == "torch":
        import torch

        return torch.cuda.get_device_name(0) if torch.cuda.is_available() else "no accelerator"
    others = [name for name in keras.distribution.list_devices() if not name.startswith("cpu")]
    return ", ".join(others) or "no accelerator"


def processor_name() -> str:
    """The processor as the system names it."""
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()
