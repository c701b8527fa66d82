"""Who wants capture to stand still, kept on this device's disk so that it outlives every restart.

There are two marks, each an empty file in the data folder, and capture runs only where neither is there:

- `paused`: set by somebody at the device (`emotion-edge pause`, a switch wired to `touch`). Nothing from afar lifts it.
- `paused-from-afar`: what the dashboard wished last. Kept, since a broker may lose the retained wish.
"""

import asyncio
import os
from collections.abc import Callable
from pathlib import Path
from typing import Final

from shared import logs
from shared.errors import SettingsError
from shared.slots import wait_at_most

HERE: Final = "paused"
AFAR: Final = "paused-from-afar"
LOOK_EVERY_S: Final = 0.2

log = logs.get(__name__)


def set_mark(folder: Path, name: str, *, there: bool) -> None:
    """Make or remove a mark; it is on disk when this returns. Blocks.

    Raises:
        OSError: if the folder cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if there:
        (folder / name).touch()
    else:
        (folder / name).unlink(missing_ok=True)
    directory = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def in_words(*, here: bool, afar: bool) -> str | None:
    """Who paused, for the status; None where nobody did. The live page knows these words."""
    if here:
        return "device and dashboard" if afar else "device"
    return "dashboard" if afar else None


class Pause:
    """Both marks, as they are. `changed` is called on the loop when one came or went.

    Attributes:
        trouble: why a mark cannot be read or kept, in words; None where all is well.
    """

    def __init__(self, folder: Path, changed: Callable[[], None]) -> None:
        self._folder = folder
        self._changed = changed
        self._here = False
        self._afar = False
        self._unsaved = asyncio.Event()
        self.trouble: str | None = None

    @property
    def paused(self) -> bool:
        """Whether capture has to stand still."""
        return self._here or self._afar

    @property
    def by(self) -> str | None:
        """Who paused; None where nobody did."""
        return in_words(here=self._here, afar=self._afar)

    async def load(self) -> None:
        """Read both marks, before anything is captured.

        Raises:
            SettingsError: if the data folder cannot be read: a pause could be overlooked.
        """
        try:
            self._here, self._afar = await asyncio.to_thread(self._read)
        except OSError as error:
            raise SettingsError(
                f"data_dir {self._folder} cannot be read ({error.strerror}), so nobody knows whether this device is "
                "paused; expected a folder that this program may read and write"
            ) from None
        self._changed()

    def wish(self, paused: bool) -> None:
        """The dashboard's wish. It holds at once and is kept by `run`."""
        if paused != self._afar:
            self._afar = paused
            self._unsaved.set()
            self._changed()

    async def run(self) -> None:
        """Follow the device's own mark and keep the dashboard's, until cancelled."""
        while True:
            await wait_at_most(self._unsaved, LOOK_EVERY_S)
            try:
                if self._unsaved.is_set():
                    self._unsaved.clear()
                    await asyncio.to_thread(set_mark, self._folder, AFAR, there=self._afar)
                here, _ = await asyncio.to_thread(self._read)
                trouble = None
            except OSError as error:
                here = self._here
                trouble = f"{self._folder}: {error.strerror}"
                self._unsaved.set()
            if (here, trouble) != (self._here, self.trouble):
                if trouble is not None:
                    log.warning("a pause cannot be kept", reason=trouble)
                self._here, self.trouble = here, trouble
                self._changed()
            if trouble is not None:
                await asyncio.sleep(LOOK_EVERY_S)

    def _read(self) -> tuple[bool, bool]:
        return (self._folder / HERE).exists(), (self._folder / AFAR).exists()
