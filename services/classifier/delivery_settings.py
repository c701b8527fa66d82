"""The settings of the way from this device to the cloud: the outbox, the uplink, the cloud's broker."""

from pydantic import Field

from shared.settings import Group


class OutboxSettings(Group):
    """The durable queue on this device's disk."""

    max_mb: int = Field(
        default=512,
        ge=1,
        le=1_048_576,
        description="megabytes of detections and pictures kept while the cloud is out of reach; "
        "when they are used up the oldest pictures go first, then new detections are refused",
    )


class UplinkSettings(Group):
    """How the outbox is emptied."""

    window: int = Field(default=200, ge=1, le=10_000, description="messages sent and not yet stored in the cloud")
    window_mb: int = Field(default=8, ge=1, le=1024, description="megabytes sent and not yet stored in the cloud")
    resend_after_s: float = Field(
        default=10.0, gt=0, le=3600, description="seconds after which a message that was not stored is sent again"
    )
    max_packet_bytes: int = Field(
        default=2_000_000,
        ge=300_000,  # every detection fits
        le=268_435_455,  # MQTT's own limit
        description="largest message that the cloud's broker takes (its max_packet_size), bytes; "
        "a larger picture stays in the outbox and is told of",
    )
