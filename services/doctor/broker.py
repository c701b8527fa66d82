"""Does a broker let this program in? Name, port, certificate, login, and what can be told of its access rules."""

import asyncio
import socket
import ssl
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Final

from services.doctor import network
from services.doctor.findings import Finding, ok, problem, warning
from shared.broker_trouble import (
    EXPIRED,
    EXPIRES_SOON,
    NOT_TRUSTED,
    NOT_YET_VALID,
    OTHER_NAME,
    expiry,
    tls_refusal,
)
from shared.errors import SettingsError
from shared.mqtt import MqttLink, tls_context
from shared.settings import MqttSettings

_THIS_MACHINE: Final = ("127.0.0.1", "::1", "localhost")
_LOGIN_S: Final = 4.0
_LOOK_EVERY_S: Final = 0.02
_RENEW: Final = "emotion-edge certs renew   # on the broker's machine, then: docker compose kill -s HUP broker"


def certificate_problem(error: ssl.SSLError | OSError, settings: MqttSettings, now: datetime) -> Finding:
    """What a failed TLS handshake means."""
    address = f"{settings.host}:{settings.port}"
    words = tls_refusal(error, settings.host)
    if words is None:
        cause = "It closed the connection in the middle of the handshake: is this its TLS port?"
        return problem(f"no TLS with {address}", cause, f"openssl s_client -connect {address}")
    cause = words[0].upper() + words[1:] + "."
    if not isinstance(error, ssl.SSLCertVerificationError):
        return problem(f"no TLS with {address}", cause, f"openssl s_client -connect {address}")
    text = f"the certificate of {address} is refused"
    code = error.verify_code
    if code == EXPIRED:
        return problem(text, f"{cause} Here it is {now:%Y-%m-%d %H:%M} UTC.", _RENEW)
    if code == NOT_YET_VALID:
        return problem(
            text, f"{cause} Here it is {now:%Y-%m-%d %H:%M} UTC.", "sudo timedatectl set-ntp true   # on this machine"
        )
    if code in OTHER_NAME:
        return problem(text, cause, f"emotion-edge certs renew --name {settings.host}   # on the broker's machine")
    if code in NOT_TRUSTED:
        trusted = settings.ca_file or "the system's authorities"
        return problem(
            text,
            f"{cause} Trusted now: {trusted}.",
            "emotion-edge certs show   # on the broker's machine; copy its ca.pem",
        )
    return problem(text, cause, _RENEW)


def certificate_finding(expires: datetime | None, now: datetime) -> Finding:
    """What to say of a certificate that is accepted."""
    if expires is None:
        return ok("certificate accepted")
    if expires - now <= EXPIRES_SOON:
        return warning(
            f"the certificate expires soon, on {expires:%Y-%m-%d}",
            "After that no new connection is made; what is seen waits in the outbox.",
            _RENEW,
        )
    return ok(f"certificate accepted, valid until {expires:%Y-%m-%d}")


def identity_problem(device: str | None, settings: MqttSettings) -> Finding | None:
    """The access rules give each user the topics of its own name: a device with another name is heard by nobody."""
    user = settings.username
    if device is None or user is None or user == device:
        return None
    return problem(
        f"user {user} may not write the topics of device {device}",
        "The broker's rules give a user its own topics only, and throw the others away without saying so.",
        f"export EMOTION_DEVICE={user}   # or use the user name and password of {device}",
    )


def login_problem(settings: MqttSettings, device: str | None, words: str) -> Finding:
    """What a refused login means."""
    user = settings.username
    cause = words[0].upper() + words[1:] + "."
    if user is None:
        command = "emotion-edge device add NAME --host HOST   # on the broker's machine; it prints the settings to use"
    elif device is None:
        command = f"emotion-edge device services --host {settings.host}   # on the broker's machine: new passwords"
    else:
        command = (
            f"emotion-edge device remove {user}; emotion-edge device add {user} --host {settings.host}"
            "   # on the broker's machine"
        )
    return problem(f"the login at {settings.host}:{settings.port} is refused", cause, command)


def look(settings: MqttSettings, device: str | None, topic: str, *, start: str) -> Iterator[Finding]:
    """From the name to the login, as far as it goes.

    Args:
        settings: of the broker.
        device: the device that sends there under its own name; None where that does not matter.
        topic: one that this program may read; it is subscribed to for a moment, under a client name of its own.
        start: the command that starts the broker.
    """
    for finding in network.reach(settings.host, settings.port, start=start):
        yield finding
        if finding.level == "problem":
            return
    try:
        context = tls_context(settings)
    except SettingsError as error:
        yield problem("its TLS files cannot be used", f"{error}.", f"ls -l {settings.ca_file or settings.cert_file}")
        return
    if context is not None:
        shaken = _shake_hands(settings, context)
        yield shaken
        if shaken.level == "problem":
            return
    elif settings.password is not None and settings.host not in _THIS_MACHINE:
        yield warning(
            "the password travels unencrypted",
            f"TLS is off for {settings.host}.",
            "export EMOTION_CLOUD__TLS=true   # with EMOTION_CLOUD__CA_FILE; or EMOTION_MQTT__… for this broker",
        )
    yield from asyncio.run(_log_in(settings, device, topic))


def _shake_hands(settings: MqttSettings, context: ssl.SSLContext) -> Finding:
    try:
        with (
            socket.create_connection((settings.host, settings.port), timeout=network.TIMEOUT_S) as plain,
            context.wrap_socket(plain, server_hostname=settings.host) as encrypted,
        ):
            return certificate_finding(expiry(encrypted.getpeercert()), datetime.now(UTC))
    except OSError as error:  # ssl.SSLError is one
        return certificate_problem(error, settings, datetime.now(UTC))


async def _log_in(settings: MqttSettings, device: str | None, topic: str) -> list[Finding]:
    link = MqttLink(settings)
    link.subscribe(topic, lambda _topic, _payload: None)
    fresh = link.last_error
    linking = asyncio.create_task(link.run(), name="broker")
    try:
        async with asyncio.timeout(_LOGIN_S):
            # The link tells of a failure by its last error only, since it goes on by itself.
            while not link.connected.is_set() and link.last_error == fresh:  # noqa: ASYNC110 - an error sets no event
                await asyncio.sleep(_LOOK_EVERY_S)
    except TimeoutError:
        cause = f"It took the connection and did not answer the login within {_LOGIN_S:g} s."
        return [problem(f"{link.address} does not answer as a broker", cause, "docker compose logs --tail 20 broker")]
    finally:
        linking.cancel()
        await asyncio.wait([linking])
    if link.login_refused:
        return [login_problem(settings, device, link.last_error or "the login is refused")]
    if link.last_error not in (None, fresh):
        return [problem(f"{link.address} hangs up", f"{link.last_error}.", "docker compose logs --tail 20 broker")]
    return _after_login(link, settings, device)


def _after_login(link: MqttLink, settings: MqttSettings, device: str | None) -> list[Finding]:
    as_whom = f" as {settings.username}" if settings.username else " without a password"
    found = [ok(f"logged in at {link.address}{as_whom}")]
    identity = identity_problem(device, settings)
    if identity is not None:
        found.append(identity)
    if link.refused_topics:
        found.append(
            problem(
                f"reading {', '.join(link.refused_topics)} is refused",
                "The broker's access rules do not let this user read its own topics.",
                "docker compose logs --tail 20 broker   # compare its acl file with deploy/mosquitto/cloud/acl",
            )
        )
    return found
