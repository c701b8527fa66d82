"""The cloud's broker with the configuration of its deployment, tried from outside: what is forbidden, what works."""

import asyncio
import contextlib
import shutil
import socket
import ssl
import subprocess
import warnings
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from pydantic import SecretStr

from services.certs import Certificates
from services.device import reload_broker, user_of
from shared.mqtt import MqttLink
from shared.settings import MqttSettings
from tests.integration.delivery import stop, until
from tests.support.mqtt_client import Client, client_of
from tests.support.patience import WAIT_S
from tests.support.secure_broker import HOST, OBSERVER, SecureBroker, secure_broker

MINE, OTHER = "edge-1", "edge-2"


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecureBroker]:
    with secure_broker(tmp_path_factory.mktemp("secure"), MINE, OTHER) as running:
        yield running


def test_nobody_comes_in_without_a_password(broker: SecureBroker) -> None:
    anonymous = broker.settings(MINE).model_copy(update={"username": None, "password": None})
    with client_of(anonymous) as client:
        assert client.refused == "Not authorized"


@pytest.mark.parametrize(("user", "password"), [(MINE, "wrong"), ("nobody", "wrong"), (MINE, ""), ("_web", "_web")])
def test_nobody_comes_in_with_a_wrong_password(broker: SecureBroker, user: str, password: str) -> None:
    wrong = broker.settings(MINE).model_copy(update={"username": user, "password": SecretStr(password)})
    with client_of(wrong) as client:
        assert client.refused == "Not authorized"


def test_no_device_comes_in_with_the_password_of_another(broker: SecureBroker) -> None:
    borrowed = broker.settings(OTHER).model_copy(update={"username": MINE})
    with client_of(borrowed) as client:
        assert client.refused == "Not authorized"


INGEST, WEB = user_of("ingest"), user_of("web")
WRITES = [
    (MINE, "detections"),
    (MINE, "frames/018f3a5e-6d10-7c3d-9e00-0000000000bb"),
    (MINE, "live"),
    (MINE, "preview"),
    (MINE, "status/uplink"),
    (INGEST, "ack"),
    (WEB, "desired"),
]


@pytest.mark.parametrize(("user", "tail"), WRITES)
def test_what_a_user_has_to_write_is_delivered(broker: SecureBroker, user: str, tail: str) -> None:
    with client_of(broker.settings(OBSERVER)) as observer, client_of(broker.settings(user)) as client:
        observer.subscribe("emotion/#")
        client.publish(f"emotion/{MINE}/{tail}", b"allowed")
        assert observer.next() == (f"emotion/{MINE}/{tail}", b"allowed")


@pytest.mark.parametrize(
    ("user", "topic"),
    [
        *((MINE, f"emotion/{OTHER}/{tail}") for user, tail in WRITES if user == MINE),
        (MINE, f"emotion/{MINE}/ack"),
        (MINE, f"emotion/{MINE}/desired"),
        (MINE, f"emotion/{OTHER}/ack"),
        (MINE, f"emotion/{OTHER}/desired"),
        (MINE, f"emotion/{MINE}/camera"),
        (MINE, f"emotion/{MINE}"),
        (MINE, f"emotion/{MINE}/detections/more"),
        (MINE, f"emotion/{MINE}/frames/a/b"),
        (MINE, f"emotion/{MINE}/"),
        (MINE, f"other/{MINE}/detections"),
        (MINE, "fc_json_mqtt"),
        (MINE, "homeassistant/sensor/x/config"),
        (INGEST, f"emotion/{MINE}/detections"),
        (INGEST, f"emotion/{MINE}/desired"),
        (WEB, f"emotion/{MINE}/detections"),
        (WEB, f"emotion/{MINE}/ack"),
        (WEB, f"emotion/{MINE}/status/uplink"),
        (OBSERVER, f"emotion/{MINE}/desired"),
    ],
)
def test_what_a_user_must_not_write_reaches_nobody(broker: SecureBroker, user: str, topic: str) -> None:
    with (
        client_of(broker.settings(OBSERVER)) as observer,
        client_of(broker.settings(user)) as client,
        client_of(broker.settings(MINE)) as device,
    ):
        observer.subscribe("#")
        client.publish(topic, b"forbidden")  # which MQTT 3.1.1 answers with success
        device.publish(f"emotion/{MINE}/live", b"after it")
        assert observer.next() == (f"emotion/{MINE}/live", b"after it")


def everybody_speaks(broker: SecureBroker) -> None:
    """One message on each topic of two devices, by whoever may write it; the acknowledgement of MINE comes last."""
    with contextlib.ExitStack() as stack:
        users = (MINE, OTHER, INGEST, WEB)
        clients: dict[str, Client] = {u: stack.enter_context(client_of(broker.settings(u))) for u in users}
        for device in (OTHER, MINE):
            for user, tail in WRITES:
                if user != INGEST:
                    clients[device if user == MINE else user].publish(f"emotion/{device}/{tail}", b"said")
        for device in (OTHER, MINE):
            clients[INGEST].publish(f"emotion/{device}/ack", b"said")


def tails(user: str) -> set[str]:
    return {tail for writer, tail in WRITES if writer == user}


READS = {
    MINE: {f"emotion/{MINE}/ack", f"emotion/{MINE}/desired"},
    INGEST: {f"emotion/{d}/{tail}" for d in (MINE, OTHER) for _, tail in WRITES[:2]},
    WEB: {
        f"emotion/{d}/{tail}"
        for d in (MINE, OTHER)
        for tail in tails(MINE) | {"ack", "desired"}
        if "frames" not in tail
    },
}


@pytest.mark.parametrize(("user", "last"), [(MINE, f"{MINE}/ack"), (INGEST, f"{MINE}/frames"), (WEB, f"{MINE}/ack")])
@pytest.mark.parametrize("topic_filter", ["#", "emotion/#", "emotion/+/+", "+/+/#"])
def test_a_wildcard_shows_no_more_than_what_a_user_may_read(
    broker: SecureBroker, user: str, last: str, topic_filter: str
) -> None:
    with client_of(broker.settings(user)) as client:
        client.subscribe(topic_filter)
        if user == INGEST and topic_filter == "emotion/+/+":
            last = f"{MINE}/detections"
        everybody_speaks(broker)
        seen: set[str] = set()
        while not any(topic.startswith(f"emotion/{last}") for topic in seen):
            seen.add(client.next()[0])
    deep = {topic for topic in READS[user] if topic.count("/") == 2} if topic_filter == "emotion/+/+" else READS[user]
    assert seen == deep


@pytest.mark.parametrize(
    "topic_filter",
    [
        f"emotion/{OTHER}/ack",
        f"emotion/{OTHER}/desired",
        f"emotion/{OTHER}/detections",
        f"emotion/{MINE}/detections",
        f"emotion/{OTHER}/preview",
        "emotion/+/frames/+",
        "$share/mine/emotion/+/detections",
        "$SYS/#",
        "fc_img_mqtt",
    ],
)
def test_a_device_reads_nothing_but_its_own_two_topics(broker: SecureBroker, topic_filter: str) -> None:
    with client_of(broker.settings(MINE)) as client:
        client.subscribe(topic_filter)  # which the broker grants
        client.subscribe(f"emotion/{MINE}/ack")
        everybody_speaks(broker)
        assert client.next() == (f"emotion/{MINE}/ack", b"said")


def test_plaintext_is_not_understood_on_the_tls_port(broker: SecureBroker) -> None:
    plain = MqttSettings(host="127.0.0.1", port=broker.port)
    with client_of(plain) as client:
        assert client.refused is not None
        assert client.refused.startswith("hung up")


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1])
def test_old_tls_is_refused(broker: SecureBroker, version: ssl.TLSVersion) -> None:
    with pytest.raises(ssl.SSLError, match="PROTOCOL_VERSION"):
        shake_hands(broker, version)


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_new_tls_is_spoken(broker: SecureBroker, version: ssl.TLSVersion) -> None:
    assert shake_hands(broker, version) == version.name.replace("_", ".")


def shake_hands(broker: SecureBroker, version: ssl.TLSVersion) -> str | None:
    context = ssl.create_default_context(cafile=broker.ca_file)
    context.set_ciphers("DEFAULT:@SECLEVEL=0")  # or this side would already refuse the old ones
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        context.minimum_version = context.maximum_version = version
    with (
        socket.create_connection(("127.0.0.1", broker.port), timeout=WAIT_S) as plain,
        context.wrap_socket(plain, server_hostname=HOST) as encrypted,
    ):
        return encrypted.version()


# paho 2.2 leaves the socket of a handshake that failed to the garbage collector.
pytestmark = pytest.mark.filterwarnings(
    "ignore:Exception ignored in. <ssl.SSLSocket:pytest.PytestUnraisableExceptionWarning"
)


@contextlib.asynccontextmanager
async def running(settings: MqttSettings) -> AsyncIterator[MqttLink]:
    link = MqttLink(settings)
    task = asyncio.create_task(link.run())
    try:
        yield link
    finally:
        await stop(task)


async def error_of(settings: MqttSettings) -> str:
    async with running(settings) as link:
        await until(lambda: link.last_error not in (None, "not connected yet"))
        assert link.connections == 0
        return str(link.last_error)


async def test_another_authority_is_not_trusted(broker: SecureBroker, tmp_path: Path) -> None:
    Certificates(tmp_path).make([HOST])
    wrong = broker.settings(MINE).model_copy(update={"ca_file": tmp_path / "broker" / "ca.pem"})
    assert "not signed by an authority that is trusted here" in await error_of(wrong)


async def test_the_system_s_authorities_do_not_vouch_for_a_private_one(broker: SecureBroker) -> None:
    assert "not signed by" in await error_of(broker.settings(MINE).model_copy(update={"ca_file": None}))


async def test_a_certificate_for_another_host_is_refused(broker: SecureBroker) -> None:
    error = await error_of(broker.settings(MINE).model_copy(update={"host": "127.0.0.1"}))
    assert "not for '127.0.0.1'" in error
    assert "certs renew --name 127.0.0.1" in error


async def test_an_expired_certificate_is_refused(tmp_path: Path) -> None:
    with secure_broker(tmp_path, MINE, made_at=datetime.now(UTC) - timedelta(days=400)) as broker:
        error = await error_of(broker.settings(MINE))
    assert "has expired" in error
    assert "certs renew" in error


async def test_a_refused_login_is_told_in_words(broker: SecureBroker) -> None:
    wrong = broker.settings(MINE).model_copy(update={"password": SecretStr("wrong")})
    async with running(wrong) as link:
        await until(lambda: link.login_refused)
        assert "refuses the login of user 'edge-1'" in str(link.last_error)
    assert "lets nobody in without" in await error_of(wrong.model_copy(update={"username": None, "password": None}))


async def test_a_certificate_that_expires_soon_is_seen(tmp_path: Path, broker: SecureBroker) -> None:
    with secure_broker(tmp_path, MINE, made_at=datetime.now(UTC) - timedelta(days=390)) as old:
        async with running(old.settings(MINE)) as link:
            await link.connected.wait()
            assert link.certificate_expires is not None
            assert link.certificate_expires - datetime.now(UTC) < timedelta(days=8)
    async with running(broker.settings(MINE)) as link:
        await link.connected.wait()
        assert link.certificate_expires is not None
        assert link.certificate_expires - datetime.now(UTC) > timedelta(days=390)


def test_a_packet_of_the_limit_passes_and_one_above_ends_the_connection(broker: SecureBroker) -> None:
    topic = f"emotion/{MINE}/preview"
    rest = 2 + len(topic) + 2  # beside the payload, in what the broker counts
    with client_of(broker.settings(OBSERVER)) as observer:
        observer.subscribe(topic)
        with client_of(broker.settings(MINE)) as client:
            client.publish(topic, bytes(1_999_990 - rest))
            assert len(observer.next()[1]) == 1_999_990 - rest
            client.send(topic, bytes(2_000_001 - rest))
            assert client.ended.wait(WAIT_S)
        with client_of(broker.settings(MINE)) as client:
            client.publish(topic, b"small")
        assert observer.next() == (topic, b"small")


async def test_no_more_connections_than_the_limit(tmp_path: Path) -> None:
    with secure_broker(tmp_path, MINE, changes={"max_connections": "2"}) as broker:
        with client_of(broker.settings(MINE)) as first, client_of(broker.settings(MINE)) as second:
            assert first.refused is None
            assert second.refused is None
            with pytest.raises((OSError, AssertionError)):
                Client(broker.settings(MINE))

        def is_let_in() -> bool:
            try:
                with client_of(broker.settings(MINE)) as third:
                    return third.refused is None
            except (OSError, AssertionError):
                return False

        await until(is_let_in)  # as soon as the broker has seen that the others are gone


def test_mutual_tls_asks_for_a_certificate_and_a_password(tmp_path: Path) -> None:
    asked = {"cafile": f"{tmp_path}/secrets/broker/ca.pem", "require_certificate": "true"}
    with secure_broker(tmp_path, MINE, changes=asked) as broker:
        folder = broker.certificates.add_client(MINE)
        files = {"cert_file": folder / "client.pem", "key_file": folder / "client.key"}
        with client_of(broker.settings(MINE).model_copy(update=files)) as client:
            assert client.refused is None
        with client_of(broker.settings(MINE).model_copy(update=files | {"password": SecretStr("wrong")})) as client:
            assert client.refused == "Not authorized"
        with client_of(broker.settings(MINE)) as client:
            assert client.refused is not None
        strange = Certificates(tmp_path / "strange")
        strange.make([HOST])
        stranger = strange.add_client(MINE)
        files = {"cert_file": stranger / "client.pem", "key_file": stranger / "client.key"}
        with client_of(broker.settings(MINE).model_copy(update=files)) as client:
            assert client.refused is not None
        # A certificate for a client does not make a broker.
        server = {"cert_file": broker.folder / "secrets/broker/server.pem"}
        server["key_file"] = broker.folder / "secrets/broker/server.key"
        with client_of(broker.settings(MINE).model_copy(update=server)) as client:
            assert client.refused is not None


async def test_certificates_are_renewed_while_clients_stay(tmp_path: Path) -> None:
    with secure_broker(tmp_path, MINE) as broker:
        async with running(broker.settings(MINE)) as link, running(broker.service("web")) as web:
            await link.connected.wait()
            await web.connected.wait()
            before = broker.serial_served()
            broker.certificates.renew()
            reload_broker(broker.pid_file)
            await until(lambda: broker.serial_served() != before)
            assert link.connections == web.connections == 1  # who is connected stays so
            await asyncio.to_thread(broker.stop)
            await asyncio.to_thread(broker.start)
            await until(lambda: link.connections == web.connections == 2)  # and comes back to the new one


async def test_a_removed_device_is_thrown_out_and_the_others_stay(tmp_path: Path) -> None:
    with secure_broker(tmp_path, MINE, OTHER) as broker:
        async with running(broker.settings(MINE)) as removed, running(broker.settings(OTHER)) as stays:
            await removed.connected.wait()
            await stays.connected.wait()
            broker.passwords.remove(MINE)
            await removed.publish(f"emotion/{MINE}/live", b"still in", qos=1)  # until the broker is told
            reload_broker(broker.pid_file)
            await until(lambda: removed.login_refused)
            assert stays.connections == 1
            broker.add_device("edge-3")
            reload_broker(broker.pid_file)
            async with running(broker.settings("edge-3")) as added:
                await added.connected.wait()
            assert stays.connections == 1


def test_the_password_file_is_mosquitto_s_own(tmp_path: Path) -> None:
    program = shutil.which("mosquitto_passwd")
    assert program is not None, "it comes with mosquitto"
    broker = SecureBroker(tmp_path)
    broker.add_device(MINE)
    subprocess.run([program, "-b", broker.passwords.path, "by-hand", "secret"], check=True, capture_output=True)
    assert broker.passwords.devices() == ["by-hand", MINE, OBSERVER]
    broker.add_device(OTHER)
    broker.start()
    try:
        by_hand = broker.settings(MINE).model_copy(update={"username": "by-hand", "password": SecretStr("secret")})
        for settings in (by_hand, broker.settings(MINE), broker.settings(OTHER)):
            with client_of(settings) as client:
                assert client.refused is None
    finally:
        broker.stop()
