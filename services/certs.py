"""A private certificate authority, and the certificates that it signs for the broker and its clients.

Everything lies in one folder:

    authority/ca.key, ca.pem            the authority; its key signs, and is needed nowhere but here
    broker/ca.pem, server.pem, .key     what the broker reads; this folder is mounted into it
    clients/NAME/ca.pem, client.pem, .key     for mutual TLS: what client NAME gets

Keys are EC P-256 (RFC 5480), files of keys are 0600. Extensions follow RFC 5280.
"""

import ipaddress
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from services.private_files import PRIVATE, PUBLIC, private_folder, replace_file
from shared.errors import EmotionEdgeError
from shared.paths import unusable

CA_DAYS: Final = 3650
LEAF_DAYS: Final = 397
"""A little over a year, so that renewing can be a yearly habit; what browsers accept at most."""
WARN_DAYS: Final = 30
_CLOCKS_DIFFER: Final = timedelta(days=1)
"""Certificates are valid from this long before they are made: the clock of a device may be behind."""
_HOST_NAME: Final = re.compile(
    r"(?=.{1,253}\Z)([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)*[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?"
)
_CLIENT_NAME: Final = re.compile(r"[a-z0-9_-]{1,32}")


class CertificateError(EmotionEdgeError):
    """Certificates cannot be made, renewed or shown. The text says why and what to do."""


@dataclass(frozen=True, slots=True)
class Shown:
    """One certificate, as `certs show` tells it."""

    path: Path
    what: str
    names: tuple[str, ...]
    expires: datetime
    problem: str | None

    def days_left(self, now: datetime) -> int:
        """Whole days until it expires; negative afterwards."""
        return (self.expires - now).days


@dataclass(frozen=True, slots=True)
class _Signed:
    """A certificate and its private key."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    def write(self, certificate: Path, key: Path) -> None:
        # The key first: a broker that reads between the two finds that they do not fit, and keeps those it has.
        replace_file(key, _key_pem(self.key), PRIVATE)
        replace_file(certificate, _pem(self.certificate), PUBLIC)


class Certificates:
    """The folder of an authority and its certificates."""

    def __init__(self, folder: Path, now: datetime | None = None) -> None:
        self.folder = folder
        self._now = now or datetime.now(UTC)
        self._ca_key = folder / "authority" / "ca.key"
        self._ca = folder / "authority" / "ca.pem"
        self._server = folder / "broker" / "server.pem"

    def make(self, names: Sequence[str], days: int = LEAF_DAYS) -> None:
        """Make the authority, where there is none, and the broker's certificate for `names` (host names, addresses).

        Raises:
            CertificateError: if there is a broker's certificate already, or a name is not one.
        """
        alternatives = [_alternative(name) for name in names]
        if not alternatives:
            raise CertificateError("name at least one host name or address by which clients reach the broker")
        if self._server.exists():
            raise CertificateError(
                f"{self._server} is there already and is not overwritten; `emotion-edge certs renew` replaces it, "
                "with the same authority"
            )
        authority = self._authority() if self._ca_key.exists() else self._make_authority()
        self._write_server(authority, alternatives, days)

    def add_client(self, name: str, days: int = LEAF_DAYS) -> Path:
        """Make a certificate for client `name`; return its folder.

        Raises:
            CertificateError: if it has one already, the name is not one, or there is no authority.
        """
        if not _CLIENT_NAME.fullmatch(name):
            raise CertificateError(
                f"{name!r} cannot be a client's name; expected 1 to 32 small letters, digits, - or _, "
                "as the user name of a device or service"
            )
        folder = self.folder / "clients" / name
        if (folder / "client.pem").exists():
            raise CertificateError(
                f"{folder / 'client.pem'} is there already and is not overwritten; "
                "`emotion-edge certs renew` replaces it, with the same authority"
            )
        self._write_client(self._authority(), folder, name, days)
        return folder

    def renew(self, names: Sequence[str] = (), days: int = LEAF_DAYS) -> list[Path]:
        """Replace the certificates of the broker and of all clients, keys too; the authority stays.

        Whoever trusts the authority trusts the new ones at once. `names` replace those of the broker's certificate.

        Raises:
            CertificateError: if there is nothing to renew or a name is not one.
        """
        if not self._server.exists():
            raise CertificateError(f"there is no {self._server} to renew; `emotion-edge certs make` makes it")
        authority = self._authority()
        alternatives = [_alternative(name) for name in names] or list(_alternatives(_read(self._server)))
        self._write_server(authority, alternatives, days)
        renewed = [self._server]
        for certificate in self._clients():
            self._write_client(authority, certificate.parent, certificate.parent.name, days)
            renewed.append(certificate)
        return renewed

    def show(self) -> list[Shown]:
        """Every certificate with its names, when it expires, and what is wrong with it.

        Raises:
            CertificateError: if there are none, or one cannot be read.
        """
        if not self._ca.exists():
            raise CertificateError(f"there are no certificates in {self.folder}; `emotion-edge certs make` makes them")
        authority = _read(self._ca)
        shown = [self._show(self._ca, "authority", authority)]
        if self._server.exists():
            shown.append(self._show(self._server, "broker", authority))
        return shown + [self._show(path, f"client {path.parent.name}", authority) for path in self._clients()]

    # ---- files

    def _clients(self) -> list[Path]:
        return sorted((self.folder / "clients").glob("*/client.pem"))

    def _show(self, path: Path, what: str, authority: x509.Certificate) -> Shown:
        certificate = _read(path)
        names = () if what == "authority" else tuple(str(name.value) for name in _alternatives(certificate))
        return Shown(path, what, names, certificate.not_valid_after_utc, self._problem(path, certificate, authority))

    def _problem(self, path: Path, certificate: x509.Certificate, authority: x509.Certificate) -> str | None:
        left = certificate.not_valid_after_utc - self._now
        if left <= timedelta(0):
            return "has expired: renew it"
        if certificate.not_valid_before_utc > self._now:
            return "is not valid yet: see whether this machine's clock is right"
        try:
            certificate.verify_directly_issued_by(authority)
        except Exception:  # the library raises one error for each way of not fitting
            return "was not signed by this authority: renew it"
        key = path.with_suffix(".key")
        if not key.exists():
            return f"its key {key.name} is missing: renew it"
        if _read_key(key).public_key() != certificate.public_key():
            return f"its key {key.name} does not fit: renew it"
        if key.stat().st_mode & 0o077:
            return f"its key {key.name} can be read by others: chmod 600 {key}"
        if left <= timedelta(days=WARN_DAYS):
            return "expires soon: renew it"
        return None

    def _authority(self) -> _Signed:
        if not self._ca_key.exists() or not self._ca.exists():
            raise CertificateError(f"there is no authority in {self._ca.parent}; `emotion-edge certs make` makes it")
        authority = _Signed(_read(self._ca), _read_key(self._ca_key))
        if authority.key.public_key() != authority.certificate.public_key():
            raise CertificateError(f"{self._ca_key} is not the key of {self._ca}; bring back the pair from a backup")
        if authority.certificate.not_valid_after_utc <= self._now:
            raise CertificateError(
                f"the authority {self._ca} has expired; make a new one in another folder with "
                "`emotion-edge certs make`, and bring its ca.pem to all who trust this one"
            )
        return authority

    def _make_authority(self) -> _Signed:
        private_folder(self._ca_key.parent)
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Emotion at the Edge private authority")])
        certificate = (
            _builder(name, name, key.public_key(), self._now, self._now + timedelta(days=CA_DAYS))
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_key_usage(signs_certificates=True), critical=True)
            .sign(key, hashes.SHA256())
        )
        authority = _Signed(certificate, key)
        authority.write(self._ca, self._ca_key)
        return authority

    def _write_server(self, authority: _Signed, alternatives: Sequence[x509.GeneralName], days: int) -> None:
        folder = private_folder(self._server.parent)
        signed = self._sign(authority, "broker", alternatives, ExtendedKeyUsageOID.SERVER_AUTH, days)
        replace_file(folder / "ca.pem", _pem(authority.certificate), PUBLIC)
        signed.write(self._server, self._server.with_suffix(".key"))

    def _write_client(self, authority: _Signed, folder: Path, name: str, days: int) -> None:
        private_folder(folder)
        signed = self._sign(authority, name, [x509.DNSName(name)], ExtendedKeyUsageOID.CLIENT_AUTH, days)
        replace_file(folder / "ca.pem", _pem(authority.certificate), PUBLIC)
        signed.write(folder / "client.pem", folder / "client.key")

    def _sign(
        self,
        authority: _Signed,
        name: str,
        alternatives: Sequence[x509.GeneralName],
        purpose: x509.ObjectIdentifier,
        days: int,
    ) -> _Signed:
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        until = min(self._now + timedelta(days=days), authority.certificate.not_valid_after_utc)
        issuer = authority.certificate
        certificate = (
            _builder(subject, issuer.subject, key.public_key(), self._now, until)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_key_usage(signs_certificates=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage([purpose]), critical=False)
            .add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(authority.key.public_key()), critical=False
            )
            .sign(authority.key, hashes.SHA256())
        )
        return _Signed(certificate, key)


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, now: datetime, until: datetime
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(min(now, until) - _CLOCKS_DIFFER)
        .not_valid_after(until)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
    )


def _key_usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )


def _alternative(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        pass
    if not _HOST_NAME.fullmatch(name.lower()):
        raise CertificateError(
            f"{name!r} is neither a host name nor an address; expected for example cloud.example.org or 192.0.2.7, "
            "without port"
        )
    return x509.DNSName(name.lower())


def _alternatives(certificate: x509.Certificate) -> x509.SubjectAlternativeName:
    return certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


def _key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _read(path: Path) -> x509.Certificate:
    try:
        return x509.load_pem_x509_certificate(path.read_bytes())
    except (OSError, ValueError) as error:
        raise CertificateError(unusable(path, error, "expected a certificate as a PEM file")) from None


def _read_key(path: Path) -> ec.EllipticCurvePrivateKey:
    try:
        key = serialization.load_pem_private_key(path.read_bytes(), password=None)
    except (OSError, ValueError, TypeError) as error:
        raise CertificateError(unusable(path, error, "expected a private key as a PEM file")) from None
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise CertificateError(f"{path} holds another kind of key than EC; expected one that `certs make` wrote")
    return key
