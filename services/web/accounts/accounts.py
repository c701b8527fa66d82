"""All of accounts that routes need, put together."""

from dataclasses import dataclass

from services.web.accounts.keys import Keys
from services.web.accounts.logins import Logins
from services.web.accounts.people import People


@dataclass(frozen=True, slots=True)
class Accounts:
    """People, their logins and their keys."""

    logins: Logins
    people: People
    keys: Keys
