"""What the web service can be told."""

from typing import Literal

from pydantic import Field

from shared.settings import DatabaseSettings, MqttSettings, ServiceSettings


class WebSettings(ServiceSettings):
    """Settings of the web service."""

    role: Literal["cloud", "edge"] = Field(
        default="cloud",
        description="cloud: live page and records; edge: live page from the local broker alone, without a database",
    )
    host: str = Field(default="127.0.0.1", description="address the web service listens on; 0.0.0.0 in a container")
    allowed_hosts: str = Field(
        default="",
        max_length=4096,
        description="names under which people reach this service, as www.example.org, separated by commas; "
        "addresses and names without a dot work without",
    )
    port: int = Field(default=8000, ge=0, le=65535, description="port the web service listens on; 0 takes a free one")
    mqtt: MqttSettings = Field(default_factory=MqttSettings, description="the broker")
    database: DatabaseSettings = Field(
        default_factory=DatabaseSettings, description="Postgres; not used in the edge role"
    )
    watch_lease_s: float = Field(
        default=15.0, ge=3.0, le=300.0, description="seconds that devices send previews after the last look at a page"
    )
    max_viewers: int = Field(default=500, ge=1, le=10_000, description="live streams open at once")

    @property
    def host_names(self) -> frozenset[str]:
        """`allowed_hosts`, taken apart."""
        return frozenset(name.strip().lower() for name in self.allowed_hosts.split(",") if name.strip())
