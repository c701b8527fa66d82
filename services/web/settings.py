"""What the web service can be told."""

import ipaddress
from pathlib import Path
from typing import Literal

from pydantic import Field, SecretStr, ValidationInfo, field_validator

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
    login: Literal["required", "off"] | None = Field(
        default=None,
        description="required: people log in, programs have keys; off: whoever reaches the service may see and change "
        "all. Not set: off where it listens to this machine alone, required elsewhere; always off in the edge role, "
        "which has no database",
    )
    login_idle_h: float = Field(default=12.0, gt=0, le=8760, description="hours after which an unused login ends")
    login_max_h: float = Field(default=168.0, gt=0, le=8760, description="hours after which every login ends")
    first_password: SecretStr | None = Field(
        default=None,
        min_length=12,
        max_length=256,
        description="the first administrator's temporary password, where somebody made and told it already; "
        "one is made where not set",
    )
    first_password_file: Path | None = Field(
        default=None,
        description="where to write the temporary password that was made, readable by this service's user alone; "
        "printed to standard error instead where not set",
    )
    mqtt: MqttSettings = Field(default_factory=MqttSettings, description="the broker")
    database: DatabaseSettings = Field(
        default_factory=DatabaseSettings, description="Postgres; not used in the edge role"
    )
    watch_lease_s: float = Field(
        default=15.0, ge=3.0, le=300.0, description="seconds that devices send previews after the last look at a page"
    )
    data_dir: Path = Field(
        default=Path("data"), description="folder for what must survive a restart: the outbox, the sample clip, exports"
    )
    exports_gb: float = Field(
        default=20.0, gt=0, le=100_000, description="gigabytes that all exports of datasets may take together"
    )
    max_viewers: int = Field(default=500, ge=1, le=10_000, description="live streams open at once")
    requests_per_s: float = Field(
        default=200.0,
        gt=0,
        le=100_000,
        description="requests a second that one login or key may make over REST, and one address with all that is "
        "neither; ten seconds of it can be saved up",
    )

    @field_validator("login")
    @classmethod
    def _a_login_needs_a_database(cls, value: str | None, info: ValidationInfo) -> str | None:
        if value == "required" and info.data.get("role") == "edge":
            raise ValueError("expected off or nothing in the edge role, which has no database; or use the cloud role")
        return value

    @property
    def on_loopback(self) -> bool:
        """Whether only this machine reaches the service."""
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"

    @property
    def login_required(self) -> bool:
        """`login`, or what holds where it is not set."""
        if self.role == "edge" or self.login == "off":
            return False
        return self.login == "required" or not self.on_loopback

    @property
    def host_names(self) -> frozenset[str]:
        """`allowed_hosts`, taken apart."""
        return frozenset(name.strip().lower() for name in self.allowed_hosts.split(",") if name.strip())
