"""The only importer of aiomqtt: one supervised connection to a broker.

Measured of aiomqtt 2.5: it acknowledges a message before the program has it, and its own queue is unbounded. So
nothing here is relied on to keep anything: handlers are plain functions that run as messages arrive and must not
block; what must not be lost goes through the outbox and its end-to-end acknowledgement.
"""

import asyncio
import base64
import binascii
import math
import socket
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

import aiomqtt
from paho.mqtt import client as paho
from paho.mqtt.reasoncodes import ReasonCode

from shared import logs
from shared.backoff import Backoff
from shared.broker_trouble import EXPIRES_SOON, expiry, is_login_refusal, login_refusal, tls_refusal
from shared.errors import EmotionEdgeError, SettingsError
from shared.paths import in_words, read_bytes
from shared.settings import MqttSettings

Handler = Callable[[str, bytes], None]
"""Called on the event loop with topic and payload of each message; must return at once."""

_STABLE_AFTER_S: Final = 10.0
_CONNECT_TIMEOUT_S: Final = 10.0
_SOCKET_OPTIONS: Final = ((socket.IPPROTO_TCP, socket.TCP_NODELAY, 1),)
"""Small messages leave at once: without it one that waits for its receipt takes 40 ms more."""
_PENDING_IS_NORMAL: Final = 10_000
"""aiomqtt warns of more publishes at once than this; the uplink keeps a whole window on its way."""

_REFUSED: Final = 128
"""From here on a broker's codes are errors."""

log = logs.get(__name__)


class NotConnected(EmotionEdgeError):
    """There is no connection to the broker now, or it broke while publishing."""


@dataclass(frozen=True, slots=True)
class Will:
    """What the broker publishes, retained, when this client vanishes."""

    topic: str
    payload: bytes


@dataclass(frozen=True, slots=True)
class _Subscription:
    topic_filter: str
    qos: int
    handler: Handler
    on_kept: Handler


def packet_bytes(topic: str, payload: bytes) -> int:
    """The size on the wire of a message of QoS 1, as a broker's limit counts it; never less than it is."""
    return 5 + 2 + len(topic.encode()) + 2 + len(payload)  # header, topic with its length, message id


def tls_context(settings: MqttSettings) -> ssl.SSLContext | None:
    """What a connection to this broker is encrypted and checked with; None without TLS.

    Raises:
        SettingsError: if a TLS file cannot be used.
    """
    if not settings.tls:
        return None
    try:
        for file in filter(None, (settings.ca_file, settings.cert_file, settings.key_file)):
            read_bytes(file)  # since OpenSSL does not say which of them it cannot open
        authority = base64.b64decode(settings.ca, validate=True) if settings.ca else None
        context = ssl.create_default_context(cafile=settings.ca_file, cadata=authority)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        if settings.cert_file:
            context.load_cert_chain(settings.cert_file, settings.key_file)
    except (OSError, binascii.Error) as error:  # of which ssl.SSLError is one
        why = in_words(error).rstrip(".") if isinstance(error, OSError) and error.filename is not None else error
        raise SettingsError(
            f"TLS files for broker {settings.host} cannot be used ({why}); "
            "expected readable PEM files in ca_file, cert_file and key_file, or the authority itself in ca"
        ) from None
    return context


class _Client(aiomqtt.Client):
    """aiomqtt's client, careful with sockets that are closed."""

    def _on_socket_register_write(self, client: paho.Client, userdata: Any, sock: Any) -> None:
        # aiomqtt has the loop wait for the socket's number in its next turn, even if the connection breaks in this one:
        # "Bad file descriptor" then, or another socket that has the number by now is waited for, without an end.
        def write() -> None:
            try:
                client.loop_write()
            except Exception as error:  # as aiomqtt does: whatever it is, the connection is over
                if not self._disconnected.done():
                    self._disconnected.set_exception(error)

        def wait() -> None:
            if client.socket() is sock:
                self._loop.add_writer(number, write)

        number = sock.fileno()
        self._loop.call_soon_threadsafe(wait)

    def hang_up(self) -> None:
        """Close what a connection that never came about has left open: aiomqtt does not."""
        self._client._sock_close()


class MqttLink:
    """A connection to a broker that comes back by itself.

    Subscribe first, then `run()` in a task. `connected` is set while there is a connection; `on_connect` functions run
    at each one, after the subscriptions are made. Publishing waits until the bytes are written (QoS 0) or the broker
    has them (QoS 1), so a slow link slows its sender and no queue grows behind its back.
    """

    def __init__(self, settings: MqttSettings, *, client_id: str | None = None, will: Will | None = None) -> None:
        self._settings = settings
        self._client_id = client_id
        self._will = will
        self._tls = tls_context(settings)
        self._subscriptions: list[_Subscription] = []
        self._on_connect: list[Callable[[], None]] = []
        self._on_disconnect: list[Callable[[], None]] = []
        self._client: aiomqtt.Client | None = None
        self.connected = asyncio.Event()
        self.last_error: str | None = "not connected yet"
        self.login_refused = False
        """The broker's last answer to this client was that it may not log in."""
        self.refused_topics: tuple[str, ...] = ()
        """Subscriptions that the broker refused on this connection. Many brokers grant all and deliver nothing."""
        self.certificate_expires: datetime | None = None
        """When the broker's certificate, as it was last shown, expires; None without TLS."""
        self.connections = 0

    @property
    def address(self) -> str:
        """Host and port, for messages to people."""
        return f"{self._settings.host}:{self._settings.port}"

    def subscribe(self, topic_filter: str, handler: Handler, *, qos: int = 0, on_kept: Handler | None = None) -> None:
        """Have `handler` called for what matches. To be called before `run`. `$share/group/filter` is understood.

        What the broker had retained from before the subscription goes to `on_kept` where that is given: it comes at
        each new connection, however old it is.
        """
        self._subscriptions.append(_Subscription(topic_filter, qos, handler, on_kept or handler))

    def on_connect(self, function: Callable[[], None]) -> None:
        """Have `function` called on the loop at each new connection."""
        self._on_connect.append(function)

    def on_disconnect(self, function: Callable[[], None]) -> None:
        """Have `function` called on the loop each time a connection is lost."""
        self._on_disconnect.append(function)

    async def publish(
        self, topic: str, payload: bytes, *, qos: int = 0, retain: bool = False, timeout_s: float = 10.0
    ) -> None:
        """Publish one message.

        Raises:
            NotConnected: if there is no connection, it breaks, or the broker does not take it within `timeout_s`.
        """
        client = self._client
        if client is None:
            raise NotConnected(f"no connection to the broker at {self.address}: {self.last_error}")
        try:
            # Not aiomqtt's own timeout: that is asyncio.wait_for, which before Python 3.12 loses a cancellation that
            # comes in the same turn of the loop as the confirmation.
            async with asyncio.timeout(timeout_s):
                await client.publish(topic, payload, qos=qos, retain=retain, timeout=math.inf)
        except TimeoutError:
            raise NotConnected(
                f"broker at {self.address} did not take a message on {topic} within {timeout_s:g} s"
            ) from None
        except (aiomqtt.MqttError, ValueError) as error:
            raise NotConnected(f"broker at {self.address} did not take a message on {topic}: {error}") from None

    async def check(self, timeout_s: float = 10.0) -> None:
        """Ask the broker something that it answers after all that it was sent before: a subscription that it has.

        Some brokers confirm a message that is too large for them and hang up then; a confirmation alone does not say
        that the connection outlived the message.

        Raises:
            NotConnected: if there is no connection or no answer.
        """
        client = self._client
        if client is None or not self._subscriptions:
            raise NotConnected(f"no connection to the broker at {self.address}: {self.last_error}")
        first = self._subscriptions[0]
        try:
            async with asyncio.timeout(timeout_s):
                await client.subscribe(first.topic_filter, first.qos, timeout=math.inf)
        except TimeoutError:
            raise NotConnected(f"broker at {self.address} did not answer within {timeout_s:g} s") from None
        except (aiomqtt.MqttError, ValueError) as error:
            raise NotConnected(f"broker at {self.address} did not answer: {error}") from None

    async def run(self) -> None:
        """Keep connected until cancelled."""
        backoff = Backoff(0.25, 15.0)
        refused_backoff = Backoff(1.0, 60.0)  # nothing changes until a person does something
        loop = asyncio.get_running_loop()
        while True:
            began = loop.time()
            try:
                await self._one_connection()
            except aiomqtt.MqttError as error:
                self.last_error = self._in_words(error)
                self.login_refused = is_login_refusal(_code(error))
            finally:
                was_connected = self.connected.is_set()
                self.connected.clear()
                self._client = None
                if was_connected:
                    for function in self._on_disconnect:
                        function()
            if was_connected and loop.time() - began > _STABLE_AFTER_S:
                backoff.succeeded()
            if not self.login_refused:
                refused_backoff.succeeded()
            delay = (refused_backoff if self.login_refused else backoff).next_delay()
            log.warning(
                "broker lost" if was_connected else "broker not reached",
                broker=self.address,
                error=self.last_error,
                retry_in_s=round(delay, 2),
            )
            await asyncio.sleep(delay)

    async def _one_connection(self) -> None:
        settings = self._settings
        # A new client each time: aiomqtt makes its queue once, and a stale one would outlive its connection.
        client = _Client(
            settings.host,
            settings.port,
            identifier=self._client_id,
            username=settings.username,
            password=settings.password.get_secret_value() if settings.password else None,
            will=aiomqtt.Will(self._will.topic, self._will.payload, qos=1, retain=True) if self._will else None,
            keepalive=settings.keepalive_s,
            tls_context=self._tls,
            timeout=_CONNECT_TIMEOUT_S,
            max_inflight_messages=200,
            socket_options=_SOCKET_OPTIONS,
        )
        client.pending_calls_threshold = _PENDING_IS_NORMAL
        try:
            async with client:
                self._look_at_certificate(client)
                refused = [
                    wanted.topic_filter
                    for wanted in self._subscriptions
                    if any(
                        _number(code) >= _REFUSED for code in await client.subscribe(wanted.topic_filter, wanted.qos)
                    )
                ]
                if refused:
                    log.error(
                        "the broker refuses subscriptions; check its access rules", broker=self.address, topics=refused
                    )
                self.refused_topics = tuple(refused)
                self._client = client
                self.last_error = None
                self.login_refused = False
                self.connections += 1
                self.connected.set()
                log.info("broker connected", broker=self.address)
                for function in self._on_connect:
                    function()
                async for message in client.messages:
                    self._dispatch(message)
        finally:
            client.hang_up()
        self.last_error = "the connection was closed"

    def _look_at_certificate(self, client: aiomqtt.Client) -> None:
        sock = client._client.socket()
        if not isinstance(sock, ssl.SSLSocket):
            return
        self.certificate_expires = expiry(sock.getpeercert())
        if self.certificate_expires is not None and self.certificate_expires - datetime.now(UTC) <= EXPIRES_SOON:
            log.warning(
                "the broker's certificate expires soon; `emotion-edge certs renew` on its machine",
                broker=self.address,
                expires=self.certificate_expires.isoformat(),
            )

    def _in_words(self, error: aiomqtt.MqttError) -> str:
        if is_login_refusal(_code(error)):
            return login_refusal(self._settings.username)
        # aiomqtt keeps the text of what was raised below it; the error itself is its context.
        return tls_refusal(error.__context__, self._settings.host) or str(error) or type(error).__name__

    def _dispatch(self, message: aiomqtt.Message) -> None:
        payload = message.payload if isinstance(message.payload, bytes) else b""
        for wanted in self._subscriptions:
            if message.topic.matches(wanted.topic_filter):
                handler = wanted.on_kept if message.retain else wanted.handler
                handler(message.topic.value, payload)


def _code(error: aiomqtt.MqttError) -> int | None:
    return _number(error.rc) if isinstance(error, aiomqtt.MqttCodeError) and error.rc is not None else None


def _number(code: int | ReasonCode) -> int:
    return code if isinstance(code, int) else int(code.value)
