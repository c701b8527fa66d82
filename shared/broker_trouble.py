"""Why a broker does not let this program in, in words that say what to do. Pure."""

import ssl
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Final

from shared.messages import Problem

EXPIRES_SOON: Final = timedelta(days=30)
"""A certificate that expires within this time is told of."""
_LOGIN_REFUSED: Final = frozenset({134, 135})
"""Bad user name or password; not authorized. Reason codes of MQTT 5, into which paho translates 3.1.1's 4 and 5."""
# OpenSSL's X509_V_ERR_… numbers, in its manual under X509_STORE_CTX_get_error.
NOT_YET_VALID: Final = 9
EXPIRED: Final = 10
NOT_TRUSTED: Final = frozenset({18, 19, 20, 21})
OTHER_NAME: Final = frozenset({62, 64})


def is_login_refusal(code: int | None) -> bool:
    """Whether a broker's answer to a connection says that user or password are wrong, or the user may not log in."""
    return code in _LOGIN_REFUSED


def login_refusal(username: str | None) -> str:
    """What a refused login means."""
    if username is None:
        return "the broker lets nobody in without a user name and password; set them"
    return (
        f"the broker refuses the login of user {username!r}: the password is wrong, or the user was removed; "
        "`emotion-edge device list` on the broker's machine tells who may log in"
    )


def tls_refusal(error: BaseException | None, host: str) -> str | None:
    """Why the broker's certificate was refused, or the broker does not speak TLS as asked; None for other errors."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return _certificate_refusal(error, host)
    if isinstance(error, ssl.SSLError):
        return f"no TLS with the broker ({error}): see whether this port is its TLS port"
    return None


def _certificate_refusal(error: ssl.SSLCertVerificationError, host: str) -> str:
    code = error.verify_code
    if code == EXPIRED:
        return (
            "the broker's certificate has expired: `emotion-edge certs renew` there, or this machine's clock is wrong"
        )
    if code == NOT_YET_VALID:
        return "the broker's certificate is not valid yet: see whether this machine's clock is right"
    if code in OTHER_NAME:
        return (
            f"the broker's certificate is not for {host!r}: connect by a name that it was made for, or "
            f"`emotion-edge certs renew --name {host}` there"
        )
    if code in NOT_TRUSTED:
        return (
            "the broker's certificate is not signed by an authority that is trusted here: see whether mqtt.ca_file "
            "or cloud.ca_file is the ca.pem that belongs to this broker"
        )
    return f"the broker's certificate is refused: {error.verify_message}"


def expiry(certificate: Mapping[str, object] | None) -> datetime | None:
    """When a certificate, as `SSLSocket.getpeercert` gives it, expires."""
    until = (certificate or {}).get("notAfter")
    return datetime.fromtimestamp(ssl.cert_time_to_seconds(until), UTC) if isinstance(until, str) else None


def expiry_problem(expires: datetime | None, now: datetime, address: str) -> Problem | None:
    """What a person should know of a broker's certificate; None while there is time."""
    if expires is None or expires - now > EXPIRES_SOON:
        return None
    return Problem(
        title="The broker's certificate expires soon",
        cause=f"That of {address} is valid until {expires:%Y-%m-%d %H:%M} UTC.",
        next_step="On the broker's machine: `emotion-edge certs renew`, then tell the broker to reload (SIGHUP). "
        "When it has expired no new connection is made; what was seen waits in the outbox.",
    )
