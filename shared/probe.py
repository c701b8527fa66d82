"""One picture that every machine draws alike, and what a model gave for it when it was exported.

Shapes and hashes cannot tell whether the scaling in a preset is the one that its model learnt with; asking the model
can.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt

from shared.errors import ModelError
from shared.vision import Floats, Grey, calibrated, to_input

if TYPE_CHECKING:  # as in shared.vision
    from shared.preset import Preset

_UNIT: Final = 1000
"""Half the picture's side, in the whole numbers that it is drawn with."""


def probe_picture(height: int, width: int) -> Grey:
    """A drawn face (height, width), uint8; from whole numbers alone, so that no machine rounds it otherwise."""
    y = ((2 * np.arange(height, dtype=np.int64) + 1) * _UNIT // height - _UNIT)[:, None]
    x = ((2 * np.arange(width, dtype=np.int64) + 1) * _UNIT // width - _UNIT)[None, :]
    side = np.abs(x)

    def inside(across: npt.NDArray[np.int64], down: npt.NDArray[np.int64], a: int, b: int) -> npt.NDArray[np.bool_]:
        """Where the ellipse of half axes `a` and `b` around the origin is."""
        result: npt.NDArray[np.bool_] = (across * b) ** 2 + (down * a) ** 2 <= (a * b) ** 2
        return result

    picture = np.broadcast_to(60 + (y + _UNIT) // 50, (height, width)).copy()
    face = inside(x, y, 820, 960)
    picture[face] = np.broadcast_to(170 - side // 15 + x // 40, picture.shape)[face]
    picture[inside(side - 380, y + 430, 260, 60)] = 70  # brows
    picture[inside(side - 380, y + 210, 190, 100)] = 215  # eyes
    picture[inside(side - 380, y + 210, 90, 100)] = 25
    picture[inside(x, y - 120, 90, 260) & (y > 0)] = 130  # nose
    mouth = inside(x, y - 420, 440, 330) & (y > 430)
    picture[mouth] = 50
    picture[mouth & (y < 530)] = 235  # teeth
    return np.clip(picture, 0, 255).astype(np.uint8)


def check_probe(preset: Preset, run: Callable[[Floats], npt.NDArray[Any]]) -> None:
    """Compare what the model gives for the probe's picture with what it gave when it was exported.

    Args:
        preset: with or without a probe; older ones have none, and then nothing is compared.
        run: the model, from its input tensor (1, height, width, channels) to its output (1, 7).

    Raises:
        ModelError: they differ by more than another processor's rounding.
    """
    if preset.probe is None:
        return
    face = probe_picture(preset.input.height, preset.input.width)
    found = calibrated(np.asarray(run(to_input(face, preset.input))).reshape(-1), preset.output, preset.temperature)
    expected = np.array(preset.probe.probabilities)
    difference = float(np.abs(found - expected).max())
    if not difference <= preset.probe.tolerance:
        raise ModelError(
            f"preset {preset.name!r} {preset.version} does not fit its model: for the probe's picture the model's "
            f"probabilities differ by {difference:.3f} from those at its export, at most {preset.probe.tolerance} is "
            f"rounding; input.scale ({preset.input.scale:g}) or input.offset ({preset.input.offset:g}) is not what it "
            "learnt with. Restore the folder from git or export it again with `python -m training.export`"
        )
