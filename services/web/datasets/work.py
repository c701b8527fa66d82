"""What building and exporting have in common."""

from collections.abc import Awaitable, Callable
from typing import Any, Protocol, TypeVar

T = TypeVar("T")


class Cancelled(Exception):
    """Nobody wants the result any more: it was deleted, or its faces were erased."""


class OnThread(Protocol):
    """Runs what blocks on a thread that the caller owns."""

    def __call__(self, function: Callable[..., T], /, *args: Any) -> Awaitable[T]: ...
