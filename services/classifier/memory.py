"""Edge: the little that the classifier remembers over a restart, in a file of its data folder."""

from datetime import date
from pathlib import Path
from typing import Final
from uuid import UUID

from pydantic import BaseModel, ConfigDict, ValidationError

from services.classifier.sampling import Kept
from shared import logs

FILE: Final = "classifier.json"

log = logs.get(__name__)


class _Stored(BaseModel):
    model_config = ConfigDict(frozen=True)

    capture_boot: UUID | None = None
    day: date | None = None
    kept: int = 0


class Memory:
    """Capture's last boot, and how many pictures were kept today."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / FILE
        self.capture_boot: UUID | None = None
        self.kept: Kept | None = None
        self._told = False
        try:
            stored = _Stored.model_validate_json(self._path.read_bytes())
        except FileNotFoundError:
            return
        except (OSError, ValidationError) as error:
            log.warning(
                "what the classifier remembered cannot be read, beginning anew", file=str(self._path), error=str(error)
            )
            return
        self.capture_boot = stored.capture_boot
        self.kept = Kept(stored.day, stored.kept) if stored.day is not None else None

    def save(self, capture_boot: UUID | None, kept: Kept | None) -> None:
        """Write, atomically. Where that is impossible, it is logged once: work goes on without memory."""
        stored = _Stored(capture_boot=capture_boot, day=kept.day if kept else None, kept=kept.count if kept else 0)
        temporary = self._path.with_suffix(".tmp")
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            temporary.write_text(stored.model_dump_json())
            temporary.replace(self._path)
        except OSError as error:
            if not self._told:
                log.warning("cannot write what the classifier remembers", file=str(self._path), error=str(error))
                self._told = True
        else:
            self._told = False
