"""What can be set about the classifier."""

from pathlib import Path
from typing import Literal

from pydantic import Field

from services.classifier.delivery_settings import OutboxSettings, UplinkSettings
from shared.detection import MAX_SIDE, YUNET_SCORE
from shared.preset import DEFAULT_MODEL, MODELS_DIR
from shared.settings import EdgeSettings, Group, MqttSettings

DetectorChoice = Literal["auto", "yunet", "haar"]


class SamplingSettings(Group):
    """Which frames are kept as pictures. Off keeps none: privacy mode."""

    mode: Literal["off", "on"] = Field(
        default="off", description="on: keep pictures of some frames by the rules below; off: keep none (privacy mode)"
    )
    on_change: bool = Field(default=True, description="keep a frame when what is shown for a face changes")
    low_confidence: float | None = Field(
        default=0.5, ge=0, le=1, description="keep a frame in which a readable face's best emotion is less probable"
    )
    every_s: float | None = Field(
        default=None, gt=0, description="keep a frame with a face at least every so many seconds"
    )
    daily_cap: int = Field(default=500, ge=0, description="keep at most so many frames a day (UTC)")
    min_interval_s: float = Field(default=2.0, ge=0, description="least time between two kept frames, seconds")


class PreviewSettings(Group):
    """The annotated picture that a screen shows while somebody watches."""

    max_fps: float = Field(default=15.0, gt=0, le=60, description="at most so many preview pictures a second")
    jpeg_quality: int = Field(default=75, ge=10, le=100, description="JPEG quality of preview pictures")


class ClassifierSettings(EdgeSettings):
    """Settings of the classifier service."""

    cloud: MqttSettings | None = Field(
        default=None, description="the cloud's broker; where it is not set, the local broker is the cloud's too"
    )
    models_dir: Path = Field(default=MODELS_DIR, description="folder that holds the model folders and detectors")
    model: str = Field(
        default=DEFAULT_MODEL, pattern=r"^[A-Za-z0-9_.-]{1,64}$", description="name of the model folder to use"
    )
    detector: DetectorChoice = Field(
        default="auto", description="face detector; auto: YuNet where its file is there, else the Haar cascade"
    )
    detector_score: float = Field(
        default=YUNET_SCORE, gt=0, lt=1, description="least score at which YuNet's find counts as a face"
    )
    detector_max_side: int = Field(
        default=MAX_SIDE, ge=64, le=4096, description="larger frames are scaled down to this side for detection, pixels"
    )
    sampling: SamplingSettings = Field(default_factory=SamplingSettings, description="which frames are kept")
    empty_interval_s: float = Field(
        default=10.0,
        ge=0,
        description="frames without a face are recorded at the first of a stretch and then every so many seconds; "
        "0 records each",
    )
    preview: PreviewSettings = Field(default_factory=PreviewSettings, description="annotated pictures for screens")
    always_preview: bool = Field(default=False, description="publish the preview also while nobody watches")
    legacy_topics: bool = Field(
        default=False, description="also publish fc_json_mqtt and fc_img_mqtt, as the paper does"
    )
    status_interval_s: float = Field(default=5.0, ge=0.2, le=60, description="seconds between two status messages")
    outbox: OutboxSettings = Field(default_factory=OutboxSettings, description="the durable queue")
    uplink: UplinkSettings = Field(default_factory=UplinkSettings, description="the way from the outbox to the cloud")
