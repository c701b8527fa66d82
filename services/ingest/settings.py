"""What can be set about ingest."""

from typing import Annotated

from pydantic import Field, StringConstraints

from shared.db.retention import RetentionSettings
from shared.settings import DatabaseSettings, Group, MqttSettings, ServiceSettings


class BatchSettings(Group):
    """How messages are gathered into transactions, and how many may wait. Each kind of message has its own queue."""

    max_items: int = Field(default=200, ge=1, le=5000, description="most messages stored in one transaction")
    max_mb: int = Field(default=8, ge=1, le=256, description="most megabytes stored in one transaction")
    max_age_ms: int = Field(
        default=50, ge=0, le=10_000, description="milliseconds a message waits for others to share its transaction"
    )
    queue_items: int = Field(
        default=5000,
        ge=1,
        le=1_000_000,
        description="most messages that wait for the database; more are dropped, counted, "
        "and sent again by their device",
    )
    queue_mb: int = Field(default=64, ge=1, le=4096, description="most megabytes that wait for the database")


class IngestSettings(ServiceSettings):
    """Settings of ingest."""

    mqtt: MqttSettings = Field(default_factory=MqttSettings, description="the broker that devices publish to")
    database: DatabaseSettings = Field(default_factory=DatabaseSettings, description="where everything is stored")
    shared_group: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{0,32}$")] = Field(
        default="ingest",
        description="name of the shared subscription that divides the messages among replicas; "
        "empty: subscribe plainly",
    )
    instance: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{0,32}$")] = Field(
        default="", description="this replica's name in Postgres's list of connections; may stay empty"
    )
    batch: BatchSettings = Field(default_factory=BatchSettings, description="batches and queues")
    dead_letter_kb: int = Field(
        default=256, ge=1, le=16_384, description="kilobytes kept of a refused message; what is longer is cut"
    )
    retention: RetentionSettings = Field(
        default_factory=RetentionSettings, description="for how long each kind of data is kept"
    )
    retention_every_s: float = Field(
        default=3600.0,
        ge=0.1,
        le=86_400,
        description="seconds between two looks for what has expired; of several replicas one at a time looks",
    )
