"""Throw-away certificates for a run: an authority, a server's certificate, and the same one expired."""

import ipaddress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

_VALID_FOR: Final = timedelta(days=30)
"""Before and after now: the clocks of a run jump by hours, and that alone must not end the certificate."""


class Certificates:
    """The files of a run in `folder`; the server uses `server` and `key`."""

    def __init__(self, folder: Path) -> None:
        self.authority = folder / "ca.pem"
        self.server = folder / "server.pem"
        self.key = folder / "server.key"
        now = datetime.now(UTC)
        authority_key = ec.generate_private_key(ec.SECP256R1())
        server_key = ec.generate_private_key(ec.SECP256R1())
        authority_name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "chaos CA")])
        authority = (
            x509.CertificateBuilder()
            .subject_name(authority_name)
            .issuer_name(authority_name)
            .public_key(authority_key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - _VALID_FOR)
            .not_valid_after(now + _VALID_FOR)
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .sign(authority_key, hashes.SHA256())
        )

        def issued(until: datetime) -> bytes:
            return (
                x509.CertificateBuilder()
                .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "broker")]))
                .issuer_name(authority_name)
                .public_key(server_key.public_key())
                .serial_number(x509.random_serial_number())
                .not_valid_before(now - _VALID_FOR)
                .not_valid_after(until)
                .add_extension(
                    x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False
                )
                .sign(authority_key, hashes.SHA256())
                .public_bytes(serialization.Encoding.PEM)
            )

        self._valid = issued(now + _VALID_FOR)
        self._expired = issued(now - timedelta(days=1))
        self.authority.write_bytes(authority.public_bytes(serialization.Encoding.PEM))
        self.key.write_bytes(
            server_key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
        self.restore()

    def restore(self) -> None:
        """Put the valid certificate into the server's file."""
        self.server.write_bytes(self._valid)

    def expire(self) -> None:
        """Put the expired certificate into the server's file."""
        self.server.write_bytes(self._expired)
