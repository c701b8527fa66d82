"""The database's address: read strictly, never shown with its password."""

from pathlib import Path

import pytest
from pydantic import SecretStr

from shared.db.engine import create_engine, database_url
from shared.errors import SettingsError
from shared.settings import DatabaseSettings


def settings(url: str, password_file: Path | None = None) -> DatabaseSettings:
    return DatabaseSettings(url=SecretStr(url), password_file=password_file)


@pytest.mark.parametrize("scheme", ["postgresql", "postgres", "postgresql+asyncpg"])
def test_every_usual_scheme_is_understood(scheme: str) -> None:
    url = database_url(settings(f"{scheme}://me:secret@db:5433/emotion"))
    assert url.drivername == "postgresql+asyncpg"
    assert (url.username, url.password, url.host, url.port, url.database) == ("me", "secret", "db", 5433, "emotion")


def test_password_file_wins_over_the_url(tmp_path: Path) -> None:
    (tmp_path / "password").write_text("from the file\n")
    url = database_url(settings("postgresql://me:old@db/emotion", tmp_path / "password"))
    assert url.password == "from the file"


@pytest.mark.parametrize(
    "bad",
    ["", "nonsense", "mysql://me:hunter2@db/x", "postgresql://me:hunter2@db:port/x", "postgresql://me:hunter2@db"],
)
def test_bad_address_is_told_without_its_password(bad: str) -> None:
    with pytest.raises(SettingsError, match=r"database\.url .*expected postgresql://") as caught:
        create_engine(settings(bad))
    assert "hunter2" not in str(caught.value)


def test_missing_password_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"password_file .* cannot be read"):
        create_engine(settings("postgresql://me@db/emotion", tmp_path / "none"))
