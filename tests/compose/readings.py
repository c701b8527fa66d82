"""What the stacks say about themselves: the cloud's database, the services' metrics."""

import re

from tests.compose.stack import Stack, until


def ask(cloud: Stack, query: str) -> str:
    """One value from the cloud's database."""
    return cloud.execute("postgres-1", "psql", "-U", "postgres", "-d", "emotion", "-Atc", query).strip()


def stored(cloud: Stack) -> int:
    return int(ask(cloud, "SELECT count(*) FROM detections"))


def wait_for_more(cloud: Stack, edge: Stack) -> None:
    """Wait until detections made from now on are stored."""
    before = stored(cloud)
    until(lambda: stored(cloud) > before + 20, "more detections are stored")


def reading(stack: Stack, container: str, port: int, name: str) -> float:
    """The sum of a metric of one container."""
    code = f"import urllib.request as r; print(r.urlopen('http://127.0.0.1:{port}/metrics').read().decode())"
    text = stack.execute(container, "python", "-c", code)
    values = [line.rsplit(" ", 1)[1] for line in text.splitlines() if re.match(rf"{name}(\{{|\s)", line)]
    assert values, f"{container} has no metric {name}"
    return sum(map(float, values))


def settle(cloud: Stack, edge: Stack) -> None:
    """Stop the camera and wait until everything that was seen is stored."""
    edge.compose("stop", "capture")
    until(lambda: reading(edge, "classifier-1", 9100, "emotion_classifier_outbox_items") == 0, "the outbox is empty")


def assert_nothing_lost(cloud: Stack) -> None:
    """Each detection of a device carries a number, without gaps: so what is missing can be seen."""
    gaps = ask(
        cloud,
        "SELECT coalesce(sum(missing), 0) FROM (SELECT max(seq) - min(seq) + 1 - count(*) AS missing "
        "FROM detections GROUP BY device, boot_id) AS boots",
    )
    twice = ask(cloud, "SELECT count(*) - count(DISTINCT event_id) FROM detections")
    assert (gaps, twice) == ("0", "0"), "missing, stored twice"
