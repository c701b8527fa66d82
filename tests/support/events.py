"""Reading server-sent events."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

from tests.support.patience import WAIT_S


class Events:
    """A reader of server-sent events, from the lines of an answer."""

    def __init__(self, lines: AsyncIterator[str]) -> None:
        self._lines = lines

    async def next(self) -> tuple[str, dict[str, Any]]:
        kind = ""
        async for line in self._lines:
            if line.startswith("event: "):
                kind = line.removeprefix("event: ")
            elif line.startswith("data: "):
                return kind, json.loads(line.removeprefix("data: "))
        return "end", {}

    async def until(self, wanted: str) -> dict[str, Any]:
        async with asyncio.timeout(WAIT_S):
            while True:
                kind, data = await self.next()
                if kind == wanted:
                    return data
                assert kind != "end", f"the stream ended before {wanted}"

    async def until_the_end(self) -> None:
        async with asyncio.timeout(WAIT_S):
            while (await self.next())[0] != "end":
                pass
