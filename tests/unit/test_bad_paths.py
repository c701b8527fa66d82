"""What the command line and the tools say of a path that they cannot use: one line with the path, and what to do."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from services.certs import Certificates
from services.main import app
from tests.support.bad_paths import Kind, below_a_file, empty, folder, missing, too_long, unreadable
from tools import sbom

COMMANDS: dict[str, tuple[list[str], tuple[Kind, ...]]] = {
    "certs make": (["certs", "make", "--name", "cloud.example", "--folder"], (empty, below_a_file, too_long)),
    "certs client": (["certs", "client", "lab", "--folder"], (missing, empty, folder, below_a_file, too_long)),
    "certs renew": (["certs", "renew", "--folder"], (missing, empty, folder, below_a_file, too_long)),
    "certs show": (["certs", "show", "--folder"], (missing, empty, folder, below_a_file, too_long)),
    "device list": (["device", "list", "--folder"], (empty, below_a_file, too_long)),
    "device remove": (["device", "remove", "lab", "--folder"], (empty, below_a_file, too_long)),
    "device add": (
        ["device", "add", "lab", "--host", "h", "--folder", "{secrets}", "--env-file"],
        (empty, folder, below_a_file, too_long),
    ),
    "device services": (
        ["device", "services", "--host", "h", "--folder", "{secrets}", "--pid-file"],
        (missing, empty, folder, below_a_file, too_long, unreadable),
    ),
    "analyze": (["analyze"], (missing, empty, folder, below_a_file, too_long, unreadable)),
}


@pytest.mark.parametrize(("command", "kind"), [(name, kind) for name, (_, kinds) in COMMANDS.items() for kind in kinds])
def test_a_path_that_cannot_be_used_is_told_in_one_line(command: str, kind: Kind, tmp_path: Path) -> None:
    Certificates(tmp_path / "secrets").make(["h"], 10)
    path = kind(tmp_path / "given")
    arguments = [argument.format(secrets=tmp_path / "secrets") for argument in COMMANDS[command][0]]

    done = CliRunner().invoke(app, [*arguments, str(path)])

    assert done.exit_code == 1
    [line] = done.stderr.splitlines()
    assert line.startswith(f"emotion-edge {command}: ")
    assert ("xxx" if kind is too_long else "given") in line
    assert "Errno" not in line
    assert ";" in line, "what to do"


@pytest.mark.parametrize("name", ["broker/ca.pem", "broker/server.key", "broker/server.pem", "authority/ca.key"])
@pytest.mark.parametrize("kind", [folder, unreadable])
def test_a_file_of_the_secrets_that_cannot_be_used_is_told_in_one_line(name: str, kind: Kind, tmp_path: Path) -> None:
    Certificates(tmp_path).make(["h"], 10)
    (tmp_path / name).unlink()
    kind(tmp_path / name)

    done = CliRunner().invoke(app, ["certs", "renew", "--folder", str(tmp_path)])

    if kind is unreadable and name in ("broker/ca.pem", "broker/server.key"):
        assert done.exit_code == 0, "it is only replaced"
        return
    assert done.exit_code == 1
    [line] = done.stderr.splitlines()
    assert name in line
    assert "Errno" not in line


@pytest.mark.parametrize("kind", [empty, below_a_file, too_long])
def test_a_bill_of_materials_that_cannot_be_written_is_told(
    kind: Kind, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert sbom.main([str(kind(tmp_path / "given"))]) == 1
    line = capsys.readouterr().err.splitlines()[-1]
    assert line.startswith("error: ")
    assert ("xxx" if kind is too_long else "given") in line
    assert ";" in line


def test_a_bill_of_materials_asks_for_its_folder(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        sbom.main([])
    assert ended.value.code == 2
    assert "FOLDER" in capsys.readouterr().err
