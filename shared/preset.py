"""A model folder as one versioned unit: `model.tflite`, `preset.json`, `card.md`.

The preset says all that is needed to use the model as it was trained. Training writes it, the classifier reads it;
neither guesses.
"""

import hashlib
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from shared.emotions import EMOTIONS
from shared.errors import ModelError
from shared.vision import calibrated

PRESET_FILE: Final = "preset.json"
DEFAULT_MODEL: Final = "slim_resnet"
MODELS_DIR: Final = Path(__file__).resolve().parents[1] / "models"
"""The models that come with the project."""
_PROBE_ROUNDING: Final = 1e-4
"""The probe's probabilities are written with six decimals."""


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class InputSpec(_Part):
    """The input tensor: float32, shape (1, height, width, channels), value = grey pixel * scale + offset."""

    height: int = Field(ge=16, le=512)
    width: int = Field(ge=16, le=512)
    channels: Literal[1, 3] = 1
    scale: float = 1.0
    offset: float = 0.0

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """The tensor's shape, batch of one."""
        return (1, self.height, self.width, self.channels)


class CropSpec(_Part):
    """How a square crop is cut around a detector's box, as the training data's faces were.

    With s = sqrt(w * h) of the box: the square's side is `scale` * s; its centre is the box's centre moved by
    (`shift_x` * s, `shift_y` * s), y growing downwards.
    """

    scale: float = Field(gt=0.3, lt=4.0)
    shift_x: float = Field(default=0.0, ge=-1.0, le=1.0)
    shift_y: float = Field(default=0.0, ge=-1.0, le=1.0)


FER2013_CROP: Final = CropSpec(scale=1.1237, shift_x=-0.0024, shift_y=0.0)
"""The square that FER2013 cuts around a face, as `training.crop_margin` measured it: pictures that are cut so can be
learnt from together with FER2013's."""


class Probe(_Part):
    """What the model gave for the picture of `shared.probe` when it was exported, through the preset's own scaling."""

    output: tuple[float, ...] = Field(description="as the model gives it, in the order of the labels")
    probabilities: tuple[float, ...] = Field(description="after the temperature")
    tolerance: float = Field(gt=0, le=0.2, description="difference of a probability that is another CPU's rounding")


class Preset(_Part):
    """Everything about a model but its weights."""

    schema_: Literal[1] = Field(alias="schema")
    name: Annotated[str, Field(pattern=r"^[a-z0-9_]{1,64}$")]
    version: Annotated[str, Field(pattern=r"^[0-9A-Za-z.+-]{1,64}$")]
    model_file: Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]+$")] = "model.tflite"
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    input: InputSpec
    crop: CropSpec
    labels: tuple[str, ...]
    output: Literal["logits", "probabilities"]
    temperature: float = Field(gt=0.05, lt=20.0, description="divides logits before softmax; fitted on validation data")
    probe: Probe | None = Field(default=None, description="to check the above against the model; older files have none")
    training: dict[str, Any] = Field(default_factory=dict, description="data, protocol, seed, epochs, hardware, time")
    results: dict[str, Any] = Field(default_factory=dict, description="figures as measured, with split and interval")

    @field_validator("labels")
    @classmethod
    def _fer2013_order(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if value != EMOTIONS:
            raise ValueError(f"expected the labels {', '.join(EMOTIONS)} in this order, got {', '.join(value)}")
        return value

    @model_validator(mode="after")
    def _file_is_a_name(self) -> Self:
        if self.model_file in (".", ".."):
            raise ValueError("model_file must name a file in the model's folder")
        return self

    @model_validator(mode="after")
    def _probe_fits(self) -> Self:
        if self.probe is None:
            return self
        counts = {len(self.probe.output), len(self.probe.probabilities)}
        if counts != {len(self.labels)}:
            raise ValueError(
                f"the model gave {min(counts)} to {max(counts)} numbers when it was exported, and there are "
                f"{len(self.labels)} labels; the labels do not fit the model"
            )
        # Pure arithmetic, the same on every machine: nothing but the preset's own fields can make it differ.
        found = calibrated(np.array(self.probe.output), self.output, self.temperature)
        if not np.allclose(found, self.probe.probabilities, rtol=0, atol=_PROBE_ROUNDING):
            raise ValueError(
                f"temperature {self.temperature:g} (with output {self.output!r}) does not fit the model: the "
                "probabilities that it gave when it was exported do not come out"
            )
        return self


class Model(_Part):
    """A preset and the model file that it describes, whose hash was checked."""

    preset: Preset
    path: Path


def load_model(folder: Path) -> Model:
    """Read and check a model folder.

    Raises:
        ModelError: naming the folder, what is missing or does not fit, and how to mend it.
    """
    preset_path = folder / PRESET_FILE
    try:
        text = preset_path.read_bytes()
    except OSError as error:
        raise ModelError(
            f"model folder {folder}: {PRESET_FILE} cannot be read ({error.strerror}); "
            "expected a folder written by `python -m training.export`"
        ) from None
    try:
        preset = Preset.model_validate_json(text)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        field = ".".join(str(part) for part in first["loc"]) or "the file"
        raise ModelError(
            f"{preset_path}: {field}: {first['msg']}; write the folder again with `python -m training.export`"
        ) from None
    path = folder / preset.model_file
    try:
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise ModelError(
            f"{path} cannot be read ({error.strerror}); preset {preset.name!r} names it; "
            "restore the folder from git or export it again"
        ) from None
    if digest != preset.sha256:
        raise ModelError(
            f"{path} is not the file that preset {preset.name!r} {preset.version} describes: its sha256 is "
            f"{digest[:12]}…, expected {preset.sha256[:12]}…; restore the folder from git or export it again"
        )
    return Model(preset=preset, path=path)
