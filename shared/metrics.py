"""Prometheus metrics: one registry a service, handed down, so that several services share a process.

Names follow Prometheus's conventions: application prefix, base units, `_total` for counters. Track ids and event ids
are never labels.
"""

from collections.abc import Sequence

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

LATENCY_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class Metrics:
    """A service's registry and the only way to make a metric in it."""

    def __init__(self, service: str) -> None:
        self.service = service
        self.registry = CollectorRegistry()

    def counter(self, name: str, help_text: str, labels: Sequence[str] = ()) -> Counter:
        """A count that only grows; `name` without prefix and without `_total`."""
        return Counter(f"emotion_{self.service}_{name}", help_text, labels, registry=self.registry)

    def gauge(self, name: str, help_text: str, labels: Sequence[str] = ()) -> Gauge:
        """A reading that goes up and down."""
        return Gauge(f"emotion_{self.service}_{name}", help_text, labels, registry=self.registry)

    def seconds(self, name: str, help_text: str, labels: Sequence[str] = ()) -> Histogram:
        """A duration in seconds."""
        return Histogram(
            f"emotion_{self.service}_{name}_seconds", help_text, labels, registry=self.registry, buckets=LATENCY_BUCKETS
        )

    def render(self) -> bytes:
        """The exposition text of all metrics of this service."""
        return generate_latest(self.registry)
