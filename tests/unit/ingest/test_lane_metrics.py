"""A counter that is not there before its first event hides that event from Prometheus' rate()."""

from services.ingest.lane import LaneMetrics
from services.ingest.validate import Reason
from shared.metrics import Metrics


def test_each_class_of_refusal_is_counted_from_zero() -> None:
    metrics = Metrics("ingest")
    LaneMetrics.made_in(metrics)
    counted = {
        reason: metrics.registry.get_sample_value("emotion_ingest_rejected_total", {"reason": reason.value})
        for reason in Reason
    }
    assert set(counted.values()) == {0.0}, counted
