"""Tokens that stand for somebody: 256 random bits. Only their SHA-256 is kept, which nobody can turn back."""

import hashlib
import re
import secrets
from typing import Final

KEY_PREFIX: Final = "ee_"
"""Marks keys of programs, so that a scanner for secrets finds one that was published."""
_TOKEN: Final = re.compile(r"(ee_)?[A-Za-z0-9_-]{43}", re.ASCII)


def new_login() -> str:
    """A token for a browser's cookie."""
    return secrets.token_urlsafe(32)


def new_key() -> str:
    """A token for a program."""
    return KEY_PREFIX + secrets.token_urlsafe(32)


def digest(token: str) -> bytes | None:
    """What of a token is kept; None where it cannot be one."""
    return hashlib.sha256(token.encode()).digest() if _TOKEN.fullmatch(token) else None
