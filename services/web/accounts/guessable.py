"""Which long passwords are guessed first all the same: those made of what everybody takes. Pure.

NIST SP 800-63B, 5.1.1.2, asks for a look at what is common, repeated, in a row, or of the service and the person. A
list of the passwords that leaked would be long and out of date; most of its long ones are put together from few parts.
So those parts are taken out, and what is left has to be something.
"""

import re
import unicodedata
from collections.abc import Iterator
from typing import Final

LEAST_LEFT: Final = 4
"""So many characters have to be left."""
_LONGEST_BLOCK: Final = 7
"""Of what is the same again and again."""
_SHORTEST_RUN: Final = 3
_SHORTEST_NAME: Final = 3

_PRODUCT: Final = "emotionattheedge emotionedge emotion edge"
_COMMON: Final = """
    password passwort passwd passcode pass motdepasse contraseña contrasena senha parola haslo heslo kennwort
    administrator admin root user guest gast login welcome willkommen bienvenue hello hallo bonjour letmein changeme
    default secret geheim master testing test temp demo server camera telecom iloveyou loveyou love trustno dragon
    monkey football baseball basketball soccer superman batman starwars pokemon minecraft princess sunshine shadow
    michael jesus whatever computer internet google facebook microsoft samsung summer winter spring autumn sommer
    herbst correcthorsebatterystaple theworldinyourhand
"""
_ROWS: Final = """
    abcdefghijklmnopqrstuvwxyz 01234567890 1234567890 !@#$%^&*() 13579 24680 102030405060708090 112233445566778899
    qwertyuiop asdfghjkl zxcvbnm qwertzuiop yxcvbnm azertyuiop qsdfghjklm wxcvbn
    1qaz2wsx3edc4rfv5tgb6yhn7ujm qazwsxedcrfvtgbyhnujm 1q2w3e4r5t6y7u8i9o0p q1w2e3r4t5y6u7i8o9p0
    a1b2c3d4e5f6g7h8i9 1a2b3c4d5e6f7g8h9i 147258369 789456123
"""
"""What lies side by side, in the alphabet or on a keyboard; taken out in both directions."""
_LOOKS_LIKE: Final = {"a": "a@4", "e": "e3", "i": "i1!", "l": "l1", "o": "o0", "s": "s5$", "t": "t7"}
"""What is written for a letter."""
_BETWEEN: Final = re.compile(r"[\s._-]+")


def is_guessable(password: str, name: str) -> bool:
    """Whether little is left of a password without the person's name, common words, rows of keys and repetitions."""
    text = _plain(password)
    if _repeats(text):
        return True
    own = [part for part in (_plain(name), *re.split(r"\W+|_", name.casefold())) if len(part) >= _SHORTEST_NAME]
    for word in sorted(own, key=len, reverse=True):
        text = re.sub(_written(word), "\n", text)
    return len(_PARTS.sub("", text).replace("\n", "")) < LEAST_LEFT


def _plain(text: str) -> str:
    return _BETWEEN.sub("", unicodedata.normalize("NFKC", text).casefold())


def _repeats(text: str) -> bool:
    """Whether it is one short block, again and again."""
    return any(text == (text[:size] * len(text))[: len(text)] for size in range(1, _LONGEST_BLOCK + 1))


def _written(word: str) -> str:
    """A pattern of how a word is written."""
    return "".join(f"[{re.escape(_LOOKS_LIKE.get(letter, letter))}]" for letter in word)


def _runs() -> Iterator[str]:
    """Every stretch of a row, in both directions."""
    for row in _ROWS.split():
        for way in (row, row[::-1]):
            for begin in range(len(way)):
                for end in range(begin + _SHORTEST_RUN, len(way) + 1):
                    yield way[begin:end]


def _pattern() -> re.Pattern[str]:
    # Longest first: a pattern takes the first that fits.
    words = sorted((_PRODUCT + " " + _COMMON).split(), key=len, reverse=True)
    runs = sorted(set(_runs()), key=len, reverse=True)
    year = r"(?:19|20)\d\d"
    same = r"(.)\1{2,}"
    return re.compile("|".join([*map(_written, words), same, *map(re.escape, runs), year]))


_PARTS: Final = _pattern()
