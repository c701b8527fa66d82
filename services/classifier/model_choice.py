"""Which model reads the faces: the configured one, or the one that a person wants of this device."""

import asyncio
import re
from collections.abc import Callable
from pathlib import Path
from typing import Final

from services.classifier.emotion import EmotionModel
from shared import logs
from shared.errors import ModelError
from shared.messages import MOST_TEXT, Problem, StatusValue
from shared.owned_thread import OwnedThread
from shared.preset import PRESET_FILE

_NAME: Final = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9_.-]{0,63}")
"""A folder inside the models folder: no path, and neither . nor .."""

log = logs.get(__name__)


def model_names(models_dir: Path) -> list[str]:
    """The model folders in `models_dir`, by name. Reads the disk."""
    try:
        return sorted(path.parent.name for path in models_dir.glob(f"*/{PRESET_FILE}"))
    except OSError:
        return []  # why it cannot be read is said when a model is loaded from it


class ModelChoice:
    """Loads the wanted model on the classifier's thread and has the frames read by it from then on.

    Where the wanted one cannot be used, the configured one reads on, and `problem` says why. Lives on one event loop.
    """

    def __init__(
        self,
        models_dir: Path,
        configured: str,
        thread: OwnedThread,
        use: Callable[[EmotionModel], None],
        told: Callable[[], None],
    ) -> None:
        """`use` is called on the thread with a model that is loaded; `told` on the loop when the status has changed."""
        self._models_dir = models_dir
        self._configured = configured
        self._thread = thread
        self._use = use
        self._told = told
        self._wanted = configured
        self._tried = configured
        self._changed = asyncio.Event()
        self._names: list[str] = []
        self.in_use = configured
        self.problem: Problem | None = None

    def wish(self, name: str | None) -> None:
        """A person wants this model; None: the configured one."""
        self._wanted = self._configured if name is None else name
        if self._wanted != self._tried:
            self._changed.set()

    async def run(self) -> None:
        """Follow the wishes until cancelled."""
        self._names = await self._thread.submit(model_names, self._models_dir)
        self._told()
        while True:
            await self._changed.wait()
            self._changed.clear()
            if self._wanted == self._tried:
                continue
            name = self._tried = self._wanted
            self._names = await self._thread.submit(model_names, self._models_dir)
            try:
                await self._load(name)
                self.problem = None
            except ModelError as error:
                log.warning("wanted model cannot be used", model=name, error=str(error))
                if self.in_use != self._configured:
                    await self._load(self._configured)
                self.problem = Problem(
                    title=f"The model {name[:64]} cannot be used here",
                    cause=str(error)[:512],
                    next_step=f"Choose one of these: {', '.join(self._names)[:200]}. Or copy its folder into this "
                    f"device's models folder (EMOTION_MODELS_DIR). Until then {self._configured} reads on.",
                )
            self._told()

    async def _load(self, name: str) -> None:
        await self._thread.submit(self._load_here, name)
        self.in_use = name
        log.info("model in use", model=name)

    def _load_here(self, name: str) -> None:
        if _NAME.fullmatch(name) is None:
            raise ModelError("it is not a name of a model folder (letters, digits, _ . -)")
        self._use(EmotionModel(self._models_dir / name))

    def status_values(self) -> dict[str, StatusValue]:
        """Which model folder is in use, and which there are."""
        return {"model_folder": self.in_use, "models": ", ".join(self._names)[:MOST_TEXT]}
