"""Passwords: hashed by Argon2id on a thread of its own, which costs a tenth of a second and 64 MiB on purpose."""

import asyncio
import secrets
import unicodedata
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeVar

from argon2 import PasswordHasher
from argon2.exceptions import VerifyMismatchError

from services.web.accounts.guessable import is_guessable
from services.web.problems import ApiProblem

MIN_LENGTH: Final = 12
MAX_LENGTH: Final = 256
TEMPORARY_DAYS: Final = 7
"""For so long a temporary password lets its person in: it was read by somebody else, and may lie on paper."""
_LETTERS: Final = "abcdefghjkmnpqrstuvwxyz23456789"
"""Without those that are taken for one another on paper."""
_MAX_WAITING: Final = 32

T = TypeVar("T")

# RFC 9106's choice for where memory is short, on one lane: this service has one thread for it.
_HASHER: Final = PasswordHasher(time_cost=3, memory_cost=64 * 1024, parallelism=1)


def hashed(password: str) -> str:
    """The password's Argon2id hash with its salt and costs, as text. Takes a tenth of a second."""
    return _HASHER.hash(_same_form(password))


def fits(digest: str, password: str) -> bool:
    """Whether `digest` is of this password. Takes a tenth of a second, whatever the answer.

    Raises:
        argon2.exceptions.InvalidHashError: if `digest` is no Argon2 hash: somebody wrote the table by hand.
    """
    try:
        return _HASHER.verify(digest, _same_form(password))
    except VerifyMismatchError:
        return False


def temporary() -> str:
    """A password to be read from paper once and then replaced: 79 random bits."""
    return "-".join("".join(secrets.choice(_LETTERS) for _ in range(4)) for _ in range(4))


def complaint(password: str, name: str) -> str | None:
    """What is wrong with a password that somebody chose; None where it will do. Length is what counts, unless it is of
    what everybody takes.
    """
    if len(password) < MIN_LENGTH:
        return f"it has {len(password)} characters; expected at least {MIN_LENGTH}, several words for example"
    if is_guessable(password, name):
        return (
            "it is made of what is guessed first: the name, this service's name, common passwords, years, rows of keys "
            "or repetitions; choose several words that belong together only for you"
        )
    return None


def _same_form(password: str) -> str:
    """One form of letters that keyboards compose differently."""
    return unicodedata.normalize("NFKC", password)


class Passwords:
    """Hashes one password after another, off the event loop, with a bound on how many wait."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="passwords")
        self._waiting = 0
        self._nobodys: str | None = None

    async def hashed(self, password: str) -> str:
        """As the function.

        Raises:
            ApiProblem: 503 where too many wait already.
        """
        return await self._run(lambda: hashed(password))

    async def fits(self, digest: str | None, password: str) -> bool:
        """As the function; never without a digest, which takes as long, so that time tells nobody which names exist.

        Raises:
            ApiProblem: 503 where too many wait already.
        """
        if digest is None:
            if self._nobodys is None:
                self._nobodys = await self.hashed(temporary())
            await self.fits(self._nobodys, password)
            return False
        return await self._run(lambda: fits(digest, password))

    def close(self) -> None:
        """Let go of the thread."""
        self._thread.shutdown(wait=False, cancel_futures=True)

    async def _run(self, work: Callable[[], T]) -> T:
        if self._waiting >= _MAX_WAITING:
            raise ApiProblem(
                503,
                "busy",
                "Too many log in at once",
                f"{_MAX_WAITING} passwords are being checked already.",
                "Try again in some seconds.",
                headers={"Retry-After": "5"},
            )
        self._waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, work)
        finally:
            self._waiting -= 1
