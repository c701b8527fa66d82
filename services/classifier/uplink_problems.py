"""What a person should know about the way to the cloud, and how to mend it. Pure: facts in, words out."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from services.classifier.outbox_file import Kind
from shared.broker_trouble import expiry_problem
from shared.messages import Problem

_NAMES: Final = {Kind.DETECTION: "detections", Kind.FRAME: "pictures"}
_MAX_CAUSE: Final = 512


@dataclass(frozen=True, slots=True)
class UplinkFacts:
    """How the uplink, its link and its outbox are now.

    `silent_s`: seconds without a confirmation, by kind of message of which none is confirmed though it was sent again
    and again. `topics`: where each kind is published. `parked`, `unconfirmed`, `too_large`: counts of messages.
    """

    broker: str
    connected: bool
    link_error: str | None
    login_refused: bool
    refused_topics: tuple[str, ...]
    certificate_expires: datetime | None
    silent_s: Mapping[Kind, float]
    topics: Mapping[Kind, str]
    ack_topic: str
    parked: int
    largest_parked_bytes: int
    unconfirmed: int
    too_large: int
    max_packet_bytes: int
    outbox_problem: str | None
    dropped_detections: int
    dropped_frames: int


def all_problems(facts: UplinkFacts, now: datetime) -> tuple[Problem, ...]:
    """Everything that should be told."""
    found = [_connection(facts), expiry_problem(facts.certificate_expires, now, facts.broker)]
    if facts.parked:
        found.append(
            Problem(
                title="The cloud's broker hangs up at some messages",
                cause=f"{facts.parked} messages, the largest of {facts.largest_parked_bytes} bytes, are kept and tried "
                "again.",
                next_step="See whether the broker's size limit (max_packet_size) is large enough for pictures.",
            )
        )
    if facts.unconfirmed:
        found.append(
            Problem(
                title="The cloud does not confirm some messages",
                cause=f"{facts.unconfirmed} messages were sent again and again while later ones were confirmed. They "
                "are kept and tried again.",
                next_step="The log of the classifier names them. Some brokers throw a message away and say nothing: "
                "check its size limit (message_size_limit), and the log of ingest.",
            )
        )
    if facts.too_large:
        found.append(
            Problem(
                title="Some pictures are too large for the cloud's broker",
                cause=f"{facts.too_large} pictures since the start are larger than uplink.max_packet_bytes "
                f"({facts.max_packet_bytes}) and were not sent. The outbox keeps them while it has room.",
                next_step="Have capture make smaller pictures (max_width, jpeg_quality); or raise the broker's "
                "max_packet_size, then uplink.max_packet_bytes to the same, and start the classifier again.",
            )
        )
    return tuple(problem for problem in [*found, _outbox(facts)] if problem is not None)


def refusal(facts: UplinkFacts) -> Problem | None:
    """What a person has to mend before the cloud stores anything; None where it is only out of reach."""
    if facts.login_refused:
        return Problem(
            title="The cloud's broker refuses this device's login",
            cause=f"{facts.broker}: {facts.link_error}"[:_MAX_CAUSE],
            next_step="Nothing is lost while the outbox has room. Take user name and password from what "
            "`emotion-edge device add` wrote for this device; if it was removed, add it again.",
        )
    if facts.connected and facts.silent_s:
        return _silence(facts)
    if facts.connected and facts.refused_topics:
        return Problem(
            title="The cloud's broker refuses this device's subscriptions",
            cause=f"{facts.broker} does not let it read {', '.join(facts.refused_topics)}."[:_MAX_CAUSE],
            next_step="Check the broker's access rules (its acl file) for this device's user.",
        )
    return None


def _connection(facts: UplinkFacts) -> Problem | None:
    refused = refusal(facts)
    if refused is not None or facts.connected:
        return refused
    return Problem(
        title="The cloud's broker is out of reach",
        cause=f"{facts.broker}: {facts.link_error}"[:_MAX_CAUSE],
        next_step="Nothing is lost while the outbox has room. Check the network and the broker's address.",
    )


def _silence(facts: UplinkFacts) -> Problem:
    kinds = sorted(facts.silent_s)
    return Problem(
        title=f"The cloud does not confirm {' and '.join(_NAMES[kind] for kind in kinds)}",
        cause=f"The broker at {facts.broker} takes them, but for {max(facts.silent_s.values()):.0f} s none was "
        "confirmed as stored. A broker says that it took also what its access rules make it throw away.",
        next_step="See whether ingest and its database run, and whether this device's broker user may write to "
        f"{' and '.join(facts.topics[kind] for kind in kinds)} and read {facts.ack_topic}.",
    )


def _outbox(facts: UplinkFacts) -> Problem | None:
    if facts.outbox_problem is not None:
        return Problem(
            title="The outbox cannot be written to",
            cause=facts.outbox_problem[:_MAX_CAUSE],
            next_step="Free some space on this device's disk, or see whether the disk still works.",
        )
    if facts.dropped_detections or facts.dropped_frames:
        return Problem(
            title="The outbox was full",
            cause=f"{facts.dropped_frames} frames and {facts.dropped_detections} detections were dropped since the "
            "start.",
            next_step="Bring the cloud back into reach, or give the outbox more space (outbox.max_mb).",
        )
    return None
