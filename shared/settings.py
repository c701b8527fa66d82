"""The groups of settings that more than one service has. Each service's own stand in its `settings.py`.

Values come from the environment; from files of a variable's name in a secrets folder, where passwords belong; and from
one file of such lines, `emotion.env` in that folder. The environment wins. They are read once, in `main`, and passed
down. Nothing here has a default password.
"""

import socket
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    StringConstraints,
    ValidationError,
    model_validator,
)
from pydantic_core import ErrorDetails
from pydantic_settings import (
    BaseSettings,
    NestedSecretsSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)
from pydantic_settings.exceptions import SettingsError as UnreadableSettings

from shared.errors import SettingsError
from shared.messages import DEVICE_PATTERN
from shared.topics import Topics

ENV_PREFIX = "EMOTION_"
SECRETS_DIR = Path("/run/secrets")
SETTINGS_FILE = SECRETS_DIR / "emotion.env"
"""Lines of EMOTION_…=…, as if they were exported; for passwords, which a container's environment would show."""
_DEVICE_NAME_LENGTH = 32

DeviceSetting = Annotated[str, StringConstraints(pattern=DEVICE_PATTERN)]


def default_device_name() -> str:
    """This machine's host name, made into a valid device name."""
    kept = "".join(c if c.isascii() and c.isalnum() else "-" for c in socket.gethostname().lower())
    return kept.strip("-")[:_DEVICE_NAME_LENGTH] or "edge"


class Group(BaseModel):
    """A group of settings inside a service's settings."""

    model_config = ConfigDict(frozen=True, extra="forbid")


def _can_be_looked_up(host: str) -> str:
    try:
        encoded = host.encode("idna")  # as every look-up begins; it refuses empty and overlong parts
    except UnicodeError:
        encoded = b""
    if not encoded or b"\0" in encoded:
        raise ValueError("expected a host name, as broker.example.org, or an address")
    return host


class MqttSettings(Group):
    """How to reach a broker."""

    host: Annotated[str, AfterValidator(_can_be_looked_up)] = Field(
        default="127.0.0.1", description="broker's host name or address"
    )
    port: int = Field(default=1883, ge=1, le=65535, description="broker's port; 8883 is usual with TLS")
    username: str | None = Field(default=None, description="user name; on an edge device, the device's name")
    password: SecretStr | None = Field(default=None, description="password")
    tls: bool = Field(default=False, description="speak TLS (1.2 or later) and check the broker's certificate")
    ca_file: Path | None = Field(default=None, description="certificate authority to trust instead of the system's")
    ca: str | None = Field(
        default=None,
        pattern=r"^[A-Za-z0-9+/]+={0,2}$",
        description="the same authority's certificate itself, in place of its file: the base64 of its PEM in one line",
    )
    cert_file: Path | None = Field(default=None, description="this client's certificate, where the broker asks for one")
    key_file: Path | None = Field(default=None, description="this client's private key")
    keepalive_s: int = Field(default=15, ge=5, le=600, description="seconds after which a silent link is dead")
    topic_prefix: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{1,32}$")] = Field(
        default="emotion", description="first part of every topic"
    )

    @model_validator(mode="after")
    def _tls_files_need_tls(self) -> Self:
        if not self.tls and (self.ca_file or self.ca or self.cert_file or self.key_file):
            raise ValueError("ca_file, ca, cert_file and key_file are used with TLS only; set tls to true")
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
        env_file=SETTINGS_FILE,
        dotenv_filtering="only_existing",  # one file may serve several services
        frozen=True,
        extra="forbid",
    )

    log: LogSettings = Field(default_factory=LogSettings, description="logging")
    health: HealthSettings = Field(default_factory=HealthSettings, description="health and metrics endpoint")

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """In code, the environment, files such as /run/secrets/emotion_mqtt__password, lines of emotion.env there."""
        # Not pydantic's own source of secrets, which knows no groups: it would pass over the file in this example.
        files = NestedSecretsSettingsSource(file_secret_settings, secrets_dir=SECRETS_DIR, secrets_dir_missing="ok")
        return init_settings, env_settings, files, dotenv_settings


class EdgeSettings(ServiceSettings):
    """What the services beside the camera have in common."""

    device: DeviceSetting = Field(
        default_factory=default_device_name, description="this device's name in topics; small letters, digits, hyphens"
    )
    mqtt: MqttSettings = Field(default_factory=MqttSettings, description="the local broker")
    data_dir: Path = Field(
        default=Path("data"), description="folder for what must survive a restart: the outbox, the sample clip, exports"
    )


S = TypeVar("S", bound=ServiceSettings)


def load(settings: type[S], **values: Any) -> S:
    """Build a service's settings from the environment; `values` win over it.

    Raises:
        SettingsError: naming each setting that does not fit, its variable, its value and what was expected.
    """
    try:
        return settings(**values)
    except (UnreadableSettings, OSError) as error:
        # Their texts name the variable or the file, not what it holds.
        raise SettingsError(f"settings cannot be read: {error}; docs/settings.md lists every setting.") from None
    except UnicodeDecodeError:
        raise SettingsError(
            f"a file in {SECRETS_DIR} is not text (UTF-8); keep only secrets that are text there"
        ) from None
    except ValidationError as error:
        lines = []
        for item in error.errors(include_url=False, include_context=False):
            variable = ENV_PREFIX + "__".join(str(part) for part in item["loc"]).upper()
            shown = f" is {item['input']!r}" if _may_be_shown(variable, item) else ""
            lines.append(f"{variable}{shown}: {item['msg']}")
        raise SettingsError("; ".join(lines) + ". docs/settings.md lists every setting.") from None


def _may_be_shown(variable: str, item: ErrorDetails) -> bool:
    """Whether the value of a setting that does not fit is surely no secret."""
    if item["type"] == "extra_forbidden":  # misspelt, perhaps a password's name
        return False
    if any(word in variable for word in ("PASSWORD", "SECRET", "URL", "TOKEN", "SOURCE")):
        return False
    return isinstance(item["input"], str | int | float) and "@" not in str(item["input"])
