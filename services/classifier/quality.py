"""Pure: whether a face can be read at all, and if not, why."""

from typing import Final, Literal

import numpy as np
import numpy.typing as npt

from services.classifier.faces import FaceBox
from shared.messages import Quality
from shared.preset import CropSpec
from shared.vision import Grey, crop_face

Reason = Literal["small", "blurred", "dark", "bright", "turned"]

SMALL_PX: Final = 48
"""FER2013's faces have 48x48 pixels: a smaller one holds less than the model was trained to read."""
BLURRED_BELOW: Final = 10.0
"""Sharp faces of recorded clips have 38 and more at 64x64; smeared by a twentieth of their width they fall to 3."""
DARK_BELOW: Final = 40.0
"""Mean grey value; below, noise and lost shadows hide brows and mouth."""
BRIGHT_ABOVE: Final = 220.0
"""Mean grey value; above, most of the face is at the sensor's end."""
TURNED_BEYOND_DEG: Final = 30.0
"""Beyond this one half of the face is foreshortened; FER2013 holds hardly such faces."""

_SIDE: Final = 64
_BOX_ONLY: Final = CropSpec(scale=1.0)
_NOSE_DEPTH: Final = 0.6
"""How far the tip of the nose stands before the eyes, in distances between the pupils (about 38 of 63 mm)."""


def blur_of(face: Grey) -> float:
    """Variance of the 4-neighbour Laplacian (Pech-Pacheco et al. 2000) of a grey face; small is blurred."""
    f = face.astype(np.float32)
    laplacian = f[:-2, 1:-1] + f[2:, 1:-1] + f[1:-1, :-2] + f[1:-1, 2:] - 4 * f[1:-1, 1:-1]
    return float(laplacian.var())


def yaw_of(landmarks: npt.NDArray[np.float32]) -> float | None:
    """Degrees by which a face is turned sideways; positive towards the picture's right. None where it cannot be told.

    From eyes and nose of `landmarks` (5, 2): the nose stands before the plane of the eyes, so with the head turned by
    a its tip moves along the line of the eyes by depth * tan(a) of their visible distance.
    """
    left, right, nose = (np.asarray(landmarks[k], np.float64) for k in range(3))
    axis = right - left
    distance_squared = float(axis @ axis)
    if distance_squared < 1.0:
        return None
    offset = float((nose - (left + right) / 2) @ axis) / distance_squared
    return float(np.degrees(np.arctan(offset / _NOSE_DEPTH)))


def assess(grey: Grey, face: FaceBox) -> Quality:
    """Measure `face` in the frame `grey` (H, W)."""
    small = crop_face(grey, face.box, _BOX_ONLY, (_SIDE, _SIDE))
    size = int(min(face.w, face.h))
    blur = blur_of(small)
    brightness = float(small.mean())
    yaw = None if face.landmarks is None else yaw_of(face.landmarks)
    reasons: list[Reason] = []
    if size < SMALL_PX:
        reasons.append("small")
    if blur < BLURRED_BELOW:
        reasons.append("blurred")
    if brightness < DARK_BELOW:
        reasons.append("dark")
    if brightness > BRIGHT_ABOVE:
        reasons.append("bright")
    if yaw is not None and abs(yaw) > TURNED_BEYOND_DEG:
        reasons.append("turned")
    return Quality(
        size_px=size,
        blur=round(blur, 1),
        brightness=round(brightness, 1),
        yaw=None if yaw is None else round(yaw, 1),
        ok=not reasons,
        reasons=tuple(reasons),
    )
