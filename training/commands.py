"""How a command of this package ends where it cannot go on: with one line that a person can act on."""

from __future__ import annotations

import sys
from collections.abc import Callable

from shared.errors import ModelError
from shared.paths import in_words
from training.checkpoint import CheckpointError
from training.convert import ConversionError


def ended(work: Callable[[], int]) -> int:
    """The exit status of ``work``; 1 where it met what its user can mend, which is printed."""
    try:
        return work()
    except OSError as error:
        text = in_words(error)
    except (CheckpointError, ConversionError, FloatingPointError, ModelError, ValueError) as error:
        text = str(error)
    print(f"error: {text}", file=sys.stderr)
    return 1
