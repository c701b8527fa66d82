"""Faces that are copies of another, or nearly. Pure.

The fingerprint is dHash: whether each of 64 places of the face is darker than its right neighbour, on a 9x8 picture.
Pictures of a person that differ in at most `NEAR_BITS` of them are taken for nearly the same: a face that kept still
from one frame to the next.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import numpy as np

from shared.vision import Grey, cut_square

NEAR_BITS: Final = 4
_BITS: Final = 64
_SIGN: Final = 1 << (_BITS - 1)
_BANDS: Final = NEAR_BITS + 1
"""Two fingerprints that differ in NEAR_BITS places agree in at least one of so many bands."""


@dataclass(frozen=True, slots=True)
class Seen:
    """A face as far as copies matter."""

    person: str
    pixels: bytes
    """The same only for the same pixels."""
    fingerprint: int


@dataclass(frozen=True, slots=True)
class Copies:
    """For each face the row of the one that it is like: itself, if it is like none before it."""

    exact: list[int]
    near: list[int]
    """Within a person; an exact copy is near as well."""


def fingerprint(square: Grey) -> int:
    """dHash of a square face (S, S) uint8, as a signed number of 64 bits (which Postgres's bigint holds)."""
    small = cut_square(square, (0, 0, square.shape[0]), (8, 9)).astype(np.int16)
    bits = (small[:, :-1] < small[:, 1:]).ravel()
    value = int.from_bytes(np.packbits(bits).tobytes(), "big")
    return value - (1 << _BITS) if value & _SIGN else value


def find_copies(faces: Iterable[Seen]) -> Copies:
    """Which faces are like one before them.

    A near copy is like the first face of its person that is near enough; those that are like another are not compared
    with, so a person who keeps still costs one comparison a face.
    """
    exact: list[int] = []
    near: list[int] = []
    first: dict[bytes, int] = {}
    firsts: dict[tuple[str, int, int], list[tuple[int, int]]] = {}
    for row, face in enumerate(faces):
        exact.append(first.setdefault(face.pixels, row))
        bands = [(face.person, number, band) for number, band in enumerate(_split(face.fingerprint))]
        found = _nearest(face.fingerprint, [firsts.get(band, ()) for band in bands])
        near.append(row if found is None else found)
        if found is None:
            for band in bands:
                firsts.setdefault(band, []).append((row, face.fingerprint))
    return Copies(exact, near)


def _nearest(value: int, candidates: Sequence[Sequence[tuple[int, int]]]) -> int | None:
    for of_band in candidates:
        for row, other in of_band:
            if ((value ^ other) & (2**_BITS - 1)).bit_count() <= NEAR_BITS:
                return row
    return None


def _split(value: int) -> list[int]:
    """The bands of a fingerprint, as even as can be."""
    edges = [_BITS * number // _BANDS for number in range(_BANDS + 1)]
    unsigned = value & (2**_BITS - 1)
    return [unsigned >> low & ((1 << high - low) - 1) for low, high in pairwise(edges)]
