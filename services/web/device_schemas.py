"""What a person may wish of a device over REST, and which models there are."""

from typing import Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field

from shared.messages import Text

_MODEL_NAME: Final = r"^[A-Za-z0-9_-][A-Za-z0-9_.-]{0,63}$"


class SamplingWish(BaseModel):
    """Which frames are kept as pictures. What is left out is as it is configured at the device."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    mode: Literal["off", "on"] = Field(description="off keeps none: privacy mode")
    every_s: float | None = Field(
        default=None, gt=0, le=86400, description="keep one at least every so many seconds", examples=[10.0]
    )
    daily_cap: int | None = Field(
        default=None, ge=0, le=1_000_000, description="keep at most so many a day", examples=[500]
    )


class DesiredChange(BaseModel):
    """What is to be different (RFC 7396): what is left out stays as it is; null lets the device's own setting rule."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"examples": [{"sampling": {"mode": "on", "every_s": 10.0}}, {"model": "slim_resnet"}]},
    )

    paused: bool | None = Field(default=None, description="stop its camera")
    sampling: SamplingWish | None = None
    model: str | None = Field(
        default=None,
        pattern=_MODEL_NAME,
        description="folder of the model that reads the faces; one that the device has, where it tells which",
        examples=["slim_resnet"],
    )

    def changes(self) -> dict[str, Any]:
        """The fields that were named; None takes a wish back."""
        return self.model_dump(mode="json", exclude_unset=True)


class DesiredState(BaseModel):
    """All that is wished of a device now. Its status tells what it has done of it."""

    device: str
    desired: dict[str, Any] = Field(description="the wish as the broker keeps it")


class ModelEntry(BaseModel):
    """A model that reads faces somewhere, or has."""

    name: Text
    version: Text | None = Field(description="null where a device only says that it has it")
    in_use_by: list[str] = Field(description="devices whose faces it reads now")
    present_on: list[str] = Field(description="devices that have its folder")
    in_detections: bool = Field(
        description="whether a face that stands for an episode was read by it, or one of the newest detections names it"
    )


class ModelList(BaseModel):
    """Models by name and version."""

    items: list[ModelEntry]
