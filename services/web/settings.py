"""What the web service can be told."""

import ipaddress
import re
from pathlib import Path
from typing import Final, Literal

from pydantic import Field, SecretStr, ValidationInfo, field_validator

from shared.settings import DatabaseSettings, MqttSettings, ServiceSettings

_ORIGIN: Final = re.compile(
    r"(?P<scheme>https?)://(?:[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?|\[[0-9a-f:]+\])(?::(?P<port>[1-9][0-9]{0,4}))?"
)


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
    cors_origins: str = Field(
        default="",
        max_length=4096,
        description="sites whose pages may use the REST interface in a browser, with a key, as "
        "https://lab.example.org, separated by commas; needs a login, never takes a browser's",
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
    max_viewers_each: int = Field(
        default=50,
        ge=1,
        le=10_000,
        description="live streams that one person may have open at once, with all their browsers and keys",
    )
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

    @field_validator("cors_origins")
    @classmethod
    def _exact_origins_and_keys(cls, value: str, info: ValidationInfo) -> str:
        for origin in _listed(value):
            if not _is_exact(origin):
                raise ValueError(
                    f"{origin!r} is no exact origin; expected as https://lab.example.org or http://localhost:3000: "
                    "small letters, no *, no path and no slash at the end, and no port that http or https have anyway"
                )
        role, host, login = (info.data.get(name) for name in ("role", "host", "login"))
        if value.strip() and not _login_required(role or "cloud", host or "", login):
            raise ValueError(
                "needs people to log in, for only keys are taken from other sites' pages; without a login those could "
                "see and change all. Set EMOTION_LOGIN=required (not in the edge role), or leave this empty"
            )
        return value

    @property
    def on_loopback(self) -> bool:
        """Whether only this machine reaches the service."""
        return _is_loopback(self.host)

    @property
    def login_required(self) -> bool:
        """`login`, or what holds where it is not set."""
        return _login_required(self.role, self.host, self.login)

    @property
    def host_names(self) -> frozenset[str]:
        """`allowed_hosts`, taken apart."""
        return frozenset(name.lower() for name in _listed(self.allowed_hosts))

    @property
    def origins(self) -> frozenset[str]:
        """`cors_origins`, taken apart."""
        return frozenset(_listed(self.cors_origins))


def _listed(value: str) -> list[str]:
    return [item.strip() for item in value.split(",") if item.strip()]


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _login_required(role: str, host: str, login: str | None) -> bool:
    if role == "edge" or login == "off":
        return False
    return login == "required" or not _is_loopback(host)


def _is_exact(origin: str) -> bool:
    """Whether it is an origin just as browsers write it, so that comparing texts is enough."""
    found = _ORIGIN.fullmatch(origin)
    if found is None or found["port"] == {"http": "80", "https": "443"}[found["scheme"]]:
        return False
    return found["port"] is None or int(found["port"]) <= 65535
