"""Passwords: what is kept of them, which will do, and how many wait."""

import asyncio

import pytest

from services.web.accounts import passwords, secret_tokens
from services.web.accounts.passwords import Passwords, complaint, fits, hashed, temporary
from services.web.problems import ApiProblem


def test_what_is_kept_is_argon2id_with_a_salt_and_takes_one_form_of_letters() -> None:
    first, second = hashed("Müller und Söhne"), hashed("Mu\u0308ller und So\u0308hne")
    assert first.startswith("$argon2id$v=19$m=65536,t=3,p=1$")
    assert first != second
    assert fits(first, "Mu\u0308ller und So\u0308hne")
    assert not fits(first, "muller und sohne")


def test_length_is_what_counts() -> None:
    assert complaint("eleven char", "anna") is not None
    assert complaint("twelve chars", "anna") is None
    guessed = complaint("AnnaAnnaAnna", "anna")
    assert guessed is not None
    assert "the name" in guessed
    assert "Anna" not in guessed
    assert complaint(temporary(), "anna") is None
    assert temporary() != temporary()


async def test_nobodys_password_is_looked_at_as_long_and_too_many_are_sent_away(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    looked_at: list[str] = []
    real = passwords.fits

    def counted(digest: str, password: str) -> bool:
        looked_at.append(digest)
        return real(digest, password)

    monkeypatch.setattr(passwords, "fits", counted)
    monkeypatch.setattr(passwords, "_MAX_WAITING", 2)
    some = Passwords()
    try:
        assert await some.fits(None, "whatever") is False
        assert len(looked_at) == 1
        answers = await asyncio.gather(*(some.hashed("a password") for _ in range(4)), return_exceptions=True)
        problems = [answer for answer in answers if isinstance(answer, ApiProblem)]
        assert [problem.status for problem in problems] == [503, 503]
    finally:
        some.close()


def test_only_what_can_be_a_token_is_looked_up() -> None:
    for token in (secret_tokens.new_login(), secret_tokens.new_key()):
        kept = secret_tokens.digest(token)
        assert kept is not None
        assert len(kept) == 32
    for wrong in ("", "x" * 42, "x" * 44, "é" * 43, "x" * 42 + "\n", "ab_" + "x" * 43):
        assert secret_tokens.digest(wrong) is None
