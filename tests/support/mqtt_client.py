"""An MQTT client for trying a broker from outside: whatever is asked of it, it does, and tells what came of it."""

import queue
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion

from shared.settings import MqttSettings
from tests.support.patience import WAIT_S


class Client:
    """One connection. `refused` is the broker's answer where it let nobody in; None where it did."""

    def __init__(self, settings: MqttSettings) -> None:
        self._client = paho.Client(CallbackAPIVersion.VERSION2, reconnect_on_failure=False)
        if settings.tls:
            context = ssl.create_default_context(cafile=settings.ca_file)
            if settings.cert_file is not None:
                context.load_cert_chain(settings.cert_file, settings.key_file)
            self._client.tls_set_context(context)
        if settings.username is not None:
            password = settings.password.get_secret_value() if settings.password else None
            self._client.username_pw_set(settings.username, password)
        self.refused: str | None = None
        self.messages: queue.SimpleQueue[tuple[str, bytes]] = queue.SimpleQueue()
        self.ended = threading.Event()
        self._answered = threading.Event()
        self._subscribed = threading.Event()
        self._client.on_connect = self._on_connect
        self._client.on_disconnect = self._on_disconnect
        self._client.on_subscribe = lambda *_: self._subscribed.set()
        self._client.on_message = lambda _, __, message: self.messages.put((message.topic, bytes(message.payload)))
        self._client.connect(settings.host, settings.port)
        self._client.loop_start()
        assert self._answered.wait(WAIT_S), "the broker did not answer"

    def _on_connect(self, _: Any, __: Any, ___: Any, code: Any, ____: Any) -> None:
        self.refused = str(code) if code.is_failure else None
        self._answered.set()

    def _on_disconnect(self, _: Any, __: Any, ___: Any, code: Any, ____: Any) -> None:
        if not self._answered.is_set():
            self.refused = f"hung up: {code}"
        self._answered.set()
        self.ended.set()

    def subscribe(self, topic_filter: str) -> None:
        """Subscribe, and wait for the broker's answer, whichever it is."""
        self._subscribed.clear()
        self._client.subscribe(topic_filter, 1)
        assert self._subscribed.wait(WAIT_S), "the broker did not answer the subscription"

    def publish(self, topic: str, payload: bytes) -> None:
        """Publish, and wait until the broker says that it has it."""
        self._client.publish(topic, payload, qos=1).wait_for_publish(WAIT_S)

    def send(self, topic: str, payload: bytes) -> None:
        """Publish, and wait for nothing."""
        self._client.publish(topic, payload, qos=1)

    def next(self) -> tuple[str, bytes]:
        """The next message that came, waiting for it."""
        return self.messages.get(timeout=WAIT_S)

    def close(self) -> None:
        """Leave."""
        self._client.disconnect()
        self._client.loop_stop()


@contextmanager
def client_of(settings: MqttSettings) -> Iterator[Client]:
    """A client for the time of a block."""
    client = Client(settings)
    try:
        yield client
    finally:
        client.close()
