"""What is measured of a service's connections to brokers."""

from functools import partial

from shared.metrics import Metrics
from shared.mqtt import MqttLink


def measure_links(metrics: Metrics, links: dict[str, MqttLink]) -> None:
    """Register the state of `links`, by which broker they lead to. Called once a service."""
    label = ["broker"]
    connected = metrics.gauge("broker_connected", "1 while there is a connection.", label)
    refused = metrics.gauge("broker_login_refused", "1 while the broker refuses the login.", label)
    expires = metrics.gauge(
        "broker_certificate_expires_timestamp_seconds", "When the broker's certificate expires; 0 without TLS.", label
    )
    for name, link in links.items():
        connected.labels(name).set_function(link.connected.is_set)
        refused.labels(name).set_function(partial(_refused, link))
        expires.labels(name).set_function(partial(_expires, link))


def _refused(link: MqttLink) -> float:
    return float(link.login_refused)


def _expires(link: MqttLink) -> float:
    return link.certificate_expires.timestamp() if link.certificate_expires is not None else 0.0
