"""The groups of settings that more than one service has. Each service's own stand in its `settings.py`.

Values come from the environment (and from files in a secrets folder, for passwords); they are read once, in `main`,
and passed down. Nothing here has a default password.
"""

import socket
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field, SecretStr, StringConstraints, ValidationError, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from shared.errors import SettingsError
from shared.messages import DEVICE_PATTERN
from shared.topics import Topics

ENV_PREFIX = "EMOTION_"
SECRETS_DIR = Path("/run/secrets")
_DEVICE_NAME_LENGTH = 32

DeviceSetting = Annotated[str, StringConstraints(pattern=DEVICE_PATTERN)]


def default_device_name() -> str:
    """This machine's host name, made into a valid device name."""
    kept = "".join(c if c.isascii() and c.isalnum() else "-" for c in socket.gethostname().lower())
    return kept.strip("-")[:_DEVICE_NAME_LENGTH] or "edge"


class Group(BaseModel):
    """A group of settings inside a service's settings."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class MqttSettings(Group):
    """How to reach a broker."""

    host: str = Field(default="127.0.0.1", description="broker's host name or address")
    port: int = Field(default=1883, ge=1, le=65535, description="broker's port; 8883 is usual with TLS")
    username: str | None = Field(default=None, description="user name; on an edge device, the device's name")
    password: SecretStr | None = Field(default=None, description="password")
    tls: bool = Field(default=False, description="speak TLS (1.2 or later) and check the broker's certificate")
    ca_file: Path | None = Field(default=None, description="certificate authority to trust instead of the system's")
    cert_file: Path | None = Field(default=None, description="this client's certificate, where the broker asks for one")
    key_file: Path | None = Field(default=None, description="this client's private key")
    keepalive_s: int = Field(default=15, ge=5, le=600, description="seconds after which a silent link is dead")
    topic_prefix: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{1,32}$")] = Field(
        default="emotion", description="first part of every topic"
    )

    @model_validator(mode="after")
    def _tls_files_need_tls(self) -> Self:
        if not self.tls and (self.ca_file or self.cert_file or self.key_file):
            raise ValueError("ca_file, cert_file and key_file are used with TLS only; set tls to true")
        return self

    @property
    def topics(self) -> Topics:
        """Topic names under this prefix."""
        return Topics(self.topic_prefix)


class DatabaseSettings(Group):
    """How to reach Postgres."""

    url: SecretStr = Field(
        default=SecretStr("postgresql://emotion@127.0.0.1:5432/emotion"),
        description="Postgres address as postgresql://user:password@host:port/database",
    )
    password_file: Path | None = Field(default=None, description="file that holds the password, instead of in the url")
    pool_size: int = Field(default=5, ge=1, le=100, description="connections kept open")


class LogSettings(Group):
    """What is logged and how."""

    level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="least level that is logged"
    )
    format: Literal["auto", "console", "json"] = Field(
        default="auto", description="json for machines, console for people; auto: console where a terminal reads"
    )


class HealthSettings(Group):
    """Where /healthz, /readyz and /metrics are served."""

    host: str = Field(default="127.0.0.1", description="address to listen on; 0.0.0.0 in a container")
    port: int = Field(default=0, ge=0, le=65535, description="port to listen on; 0 does not listen")


class ServiceSettings(BaseSettings):
    """Base of each service's settings: frozen; from `EMOTION_…` variables; nested by a double underscore."""

    model_config = SettingsConfigDict(
        env_prefix=ENV_PREFIX,
        env_nested_delimiter="__",
        frozen=True,
        extra="forbid",
        secrets_dir=str(SECRETS_DIR) if SECRETS_DIR.is_dir() else None,
    )

    log: LogSettings = Field(default_factory=LogSettings, description="logging")
    health: HealthSettings = Field(default_factory=HealthSettings, description="health and metrics endpoint")


class EdgeSettings(ServiceSettings):
    """What the services beside the camera have in common."""

    device: DeviceSetting = Field(
        default_factory=default_device_name, description="this device's name in topics; small letters, digits, hyphens"
    )
    mqtt: MqttSettings = Field(default_factory=MqttSettings, description="the local broker")
    data_dir: Path = Field(
        default=Path("data"), description="folder for what must survive a restart: the outbox, the sample clip"
    )


S = TypeVar("S", bound=ServiceSettings)


def load(settings: type[S], **values: Any) -> S:
    """Build a service's settings from the environment; `values` win over it.

    Raises:
        SettingsError: naming each setting that does not fit, its variable, its value and what was expected.
    """
    try:
        return settings(**values)
    except ValidationError as error:
        lines = []
        for item in error.errors(include_url=False, include_context=False):
            variable = ENV_PREFIX + "__".join(str(part) for part in item["loc"]).upper()
            secret = any(word in variable for word in ("PASSWORD", "SECRET", "URL", "TOKEN"))
            shown = "" if secret or isinstance(item["input"], dict) else f" is {item['input']!r}"
            lines.append(f"{variable}{shown}: {item['msg']}")
        raise SettingsError("; ".join(lines) + ". docs/settings.md lists every setting.") from None
