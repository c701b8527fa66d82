"""The private authority: what it signs, renewing, and that nothing secret lies open."""

import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from typer.testing import CliRunner

from services.certs import CertificateError, Certificates
from services.main import app

NOW = datetime(2026, 5, 1, tzinfo=UTC)


@pytest.fixture
def made(tmp_path: Path) -> Certificates:
    certificates = Certificates(tmp_path, NOW)
    certificates.make(["Cloud.example.org", "192.0.2.7", "2001:db8::1"])
    return certificates


def load(path: Path) -> x509.Certificate:
    return x509.load_pem_x509_certificate(path.read_bytes())


def test_the_broker_s_certificate_is_for_its_names_and_for_a_server_only(made: Certificates) -> None:
    server = load(made.folder / "broker" / "server.pem")
    names = server.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert [str(name.value) for name in names] == ["cloud.example.org", "192.0.2.7", "2001:db8::1"]
    usage = server.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(usage) == [x509.oid.ExtendedKeyUsageOID.SERVER_AUTH]
    assert server.extensions.get_extension_for_class(x509.BasicConstraints).value.ca is False
    key = server.public_key()
    assert isinstance(key, ec.EllipticCurvePublicKey)
    assert key.curve.name == "secp256r1"
    assert server.not_valid_after_utc == NOW + timedelta(days=397)
    assert server.not_valid_before_utc == NOW - timedelta(days=1)


def test_the_authority_signs_certificates_but_no_further_authority(made: Certificates) -> None:
    authority = load(made.folder / "broker" / "ca.pem")
    limits = authority.extensions.get_extension_for_class(x509.BasicConstraints)
    assert limits.critical
    assert (limits.value.ca, limits.value.path_length) == (True, 0)
    load(made.folder / "broker" / "server.pem").verify_directly_issued_by(authority)


def test_keys_are_for_their_owner_alone_and_the_authority_s_is_not_beside_the_broker_s(made: Certificates) -> None:
    made.add_client("lab-jetson")
    keys = sorted(made.folder.rglob("*.key"))
    assert [str(key.relative_to(made.folder)) for key in keys] == [
        "authority/ca.key",
        "broker/server.key",
        "clients/lab-jetson/client.key",
    ]
    assert {stat.S_IMODE(key.stat().st_mode) for key in keys} == {0o600}
    assert {stat.S_IMODE(key.parent.stat().st_mode) for key in keys} == {0o700}
    assert not list(made.folder.rglob(".*"))


def test_nothing_is_overwritten(made: Certificates) -> None:
    made.add_client("lab-jetson")
    before = {path: path.read_bytes() for path in made.folder.rglob("*.*")}
    with pytest.raises(CertificateError, match=r"server\.pem is there already.*certs renew"):
        made.make(["cloud.example.org"])
    with pytest.raises(CertificateError, match=r"client\.pem is there already"):
        made.add_client("lab-jetson")
    assert {path: path.read_bytes() for path in made.folder.rglob("*.*")} == before


def test_renewing_replaces_keys_and_certificates_and_keeps_authority_and_names(made: Certificates) -> None:
    made.add_client("lab-jetson")
    folder = made.folder
    before = {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*.*")}
    later = Certificates(folder, NOW + timedelta(days=380))
    assert later.renew() == [folder / "broker" / "server.pem", folder / "clients" / "lab-jetson" / "client.pem"]
    same = {name for name, content in before.items() if (folder / name).read_bytes() == content}
    assert {str(name) for name in same} == {
        "authority/ca.key",
        "authority/ca.pem",
        "broker/ca.pem",
        "clients/lab-jetson/ca.pem",
    }
    shown = later.show()
    assert [(one.what, one.problem) for one in shown] == [
        ("authority", None),
        ("broker", None),
        ("client lab-jetson", None),
    ]
    assert shown[1].names == ("cloud.example.org", "192.0.2.7", "2001:db8::1")
    later.renew(["other.example.org"])
    assert later.show()[1].names == ("other.example.org",)


def test_a_certificate_outlives_no_authority(made: Certificates) -> None:
    late = NOW + timedelta(days=3600)
    Certificates(made.folder, late).renew()
    authority = load(made.folder / "broker" / "ca.pem")
    assert load(made.folder / "broker" / "server.pem").not_valid_after_utc == authority.not_valid_after_utc
    with pytest.raises(CertificateError, match="has expired; make a new one"):
        Certificates(made.folder, NOW + timedelta(days=3651)).renew()


@pytest.mark.parametrize(
    ("days", "problem"),
    [(0, None), (366, None), (367, "expires soon: renew it"), (397, "has expired: renew it"), (-3, "not valid yet")],
)
def test_showing_tells_what_expires(made: Certificates, days: int, problem: str | None) -> None:
    now = NOW + timedelta(days=days)
    broker = Certificates(made.folder, now).show()[1]
    assert broker.days_left(now) == 397 - days
    assert (broker.problem is None) == (problem is None)
    assert problem is None or problem in str(broker.problem)


def test_showing_finds_what_does_not_fit(made: Certificates, tmp_path_factory: pytest.TempPathFactory) -> None:
    other = Certificates(tmp_path_factory.mktemp("other"), NOW)
    other.make(["x"])
    pem, key = made.folder / "broker" / "server.pem", made.folder / "broker" / "server.key"
    right, right_key = pem.read_bytes(), key.read_bytes()

    def problem() -> str:
        return str(made.show()[1].problem)

    pem.write_bytes((other.folder / "broker" / "server.pem").read_bytes())
    assert "not signed by this authority" in problem()
    pem.write_bytes(right)
    key.write_bytes((other.folder / "broker" / "server.key").read_bytes())
    assert "does not fit" in problem()
    key.write_bytes(right_key)
    key.chmod(0o644)
    assert "can be read by others" in problem()
    key.unlink()
    assert "is missing" in problem()
    pem.write_text("no certificate")
    with pytest.raises(CertificateError, match=r"server\.pem cannot be read .*; expected a certificate"):
        made.show()


@pytest.mark.parametrize("name", ["", "a b", "cloud.example.org:8883", "-x.org", "*", "http://x", "x" * 64, "a..b"])
def test_what_is_no_name_of_a_host_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(CertificateError, match="neither a host name nor an address"):
        Certificates(tmp_path).make([name])
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["", "../x", "Lab", "a/b", "x" * 33])
def test_what_is_no_name_of_a_client_is_refused(made: Certificates, name: str) -> None:
    with pytest.raises(CertificateError, match="cannot be a client's name"):
        made.add_client(name)


def test_a_making_that_was_cut_off_is_finished_with_the_same_authority(made: Certificates) -> None:
    before = (made.folder / "authority" / "ca.pem").read_bytes()
    (made.folder / "broker" / "server.pem").unlink()
    made.make(["localhost"])
    assert (made.folder / "authority" / "ca.pem").read_bytes() == before


def test_the_command_tells_what_it_did_and_fails_where_something_is_to_do(tmp_path: Path) -> None:
    def run(*arguments: str) -> tuple[int, str]:
        result = CliRunner().invoke(app, ["certs", *arguments, "--folder", str(tmp_path)])
        return result.exit_code, result.output

    code, said = run("show")
    assert (code, "certs make" in said) == (1, True)
    assert run("make", "--name", "localhost", "--days", "20")[0] == 0
    assert run("make", "--name", "localhost")[0] == 1
    code, said = run("show")
    assert code == 1
    assert "broker (localhost): valid until" in said
    assert "expires soon" in said
    assert run("renew")[0] == 0
    assert run("show")[0] == 0
    assert run("client", "lab-jetson")[0] == 0
    assert "client lab-jetson" in run("show")[1]
