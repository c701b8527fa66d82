"""Topic names: built and taken apart here only."""

import re
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from shared.messages import DEVICE_PATTERN

LEGACY_JSON: Final = "fc_json_mqtt"
"""The paper's topic of classification results."""
LEGACY_IMAGE: Final = "fc_img_mqtt"
"""The paper's topic of annotated pictures, base64."""

_DEVICE = re.compile(DEVICE_PATTERN)


@dataclass(frozen=True, slots=True)
class Topic:
    """A topic of ours, taken apart: `<prefix>/<device>/<kind>[/<rest>]`."""

    device: str
    kind: str
    rest: str


@dataclass(frozen=True, slots=True)
class Topics:
    """Builds and parses the topics of the contract. `device` may be `+` to subscribe to all."""

    prefix: str = "emotion"

    def camera(self, device: str) -> str:
        return f"{self.prefix}/{device}/camera"

    def browser(self, device: str) -> str:
        """Pictures of a browser's camera, for capture."""
        return f"{self.prefix}/{device}/browser"

    def detections(self, device: str) -> str:
        return f"{self.prefix}/{device}/detections"

    def frames(self, device: str, frame_id: UUID | str) -> str:
        return f"{self.prefix}/{device}/frames/{frame_id}"

    def preview(self, device: str) -> str:
        return f"{self.prefix}/{device}/preview"

    def live(self, device: str) -> str:
        return f"{self.prefix}/{device}/live"

    def status(self, device: str, service: str) -> str:
        return f"{self.prefix}/{device}/status/{service}"

    def ack(self, device: str) -> str:
        return f"{self.prefix}/{device}/ack"

    def desired(self, device: str) -> str:
        return f"{self.prefix}/{device}/desired"

    def parse(self, topic: str) -> Topic | None:
        """Take a topic apart; None where it is not one of ours or its device has no valid name."""
        head, _, tail = topic.partition(self.prefix + "/")
        if head or not tail:
            return None
        device, _, tail = tail.partition("/")
        kind, _, rest = tail.partition("/")
        if not _DEVICE.fullmatch(device) or not kind:
            return None
        return Topic(device, kind, rest)
