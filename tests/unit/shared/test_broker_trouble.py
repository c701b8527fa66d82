"""Why a broker lets nobody in, in words that say what to do."""

import ssl
from datetime import UTC, datetime, timedelta

import pytest

from shared.broker_trouble import expiry, expiry_problem, is_login_refusal, login_refusal, tls_refusal

NOW = datetime(2026, 5, 1, tzinfo=UTC)


def refused(code: int) -> ssl.SSLCertVerificationError:
    error = ssl.SSLCertVerificationError()
    error.verify_code, error.verify_message = code, "as OpenSSL says it"
    return error


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (9, "not valid yet: see whether this machine's clock"),
        (10, "has expired: `emotion-edge certs renew`"),
        (18, "not signed by an authority that is trusted here"),
        (20, "not signed by an authority that is trusted here"),
        (62, "not for 'cloud'"),
        (64, "not for 'cloud'"),
        (1, "as OpenSSL says it"),
    ],
)
def test_each_refusal_of_a_certificate_has_its_words(code: int, words: str) -> None:
    assert words in str(tls_refusal(refused(code), "cloud"))


def test_other_errors_are_left_to_those_who_know_them() -> None:
    assert tls_refusal(ConnectionRefusedError(), "cloud") is None
    assert tls_refusal(None, "cloud") is None
    assert "see whether this port is its TLS port" in str(tls_refusal(ssl.SSLError(1, "wrong version"), "cloud"))


@pytest.mark.parametrize(("code", "is_one"), [(134, True), (135, True), (0, False), (128, False), (None, False)])
def test_a_refused_login_is_known_by_its_code(code: int | None, is_one: bool) -> None:
    assert is_login_refusal(code) is is_one
    assert "'lab'" in login_refusal("lab")
    assert "without a user name" in login_refusal(None)


def test_a_certificate_is_told_of_from_thirty_days_before_it_expires() -> None:
    assert expiry_problem(NOW + timedelta(days=31), NOW, "cloud:8883") is None
    assert expiry_problem(None, NOW, "cloud:8883") is None
    problem = expiry_problem(NOW + timedelta(days=29), NOW, "cloud:8883")
    assert problem is not None
    assert "2026-05-30" in problem.cause
    assert "certs renew" in problem.next_step


def test_the_time_of_expiry_is_read_as_python_gives_it() -> None:
    assert expiry({"notAfter": "May  1 00:00:00 2026 GMT"}) == NOW
    assert expiry({}) is None
    assert expiry(None) is None
