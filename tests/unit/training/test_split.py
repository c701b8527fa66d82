"""Splitting: no picture, and no copy of one, on two sides."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from training.data import DataError, Faces
from training.split import split_training


def faces_from(rows: list[tuple[int, int, str]]) -> Faces:
    """Faces of (picture number, label, usage); equal numbers are exact copies."""
    pixels = np.zeros((len(rows), 48, 48), np.uint8)
    pixels[:, 0, 0] = [picture for picture, _, _ in rows]
    labels = np.array([label for _, label, _ in rows])
    return Faces(pixels, labels, np.array([usage for _, _, usage in rows]), np.arange(len(rows)) + 2)


rows_of_faces = st.lists(
    st.tuples(st.integers(0, 40), st.integers(0, 6), st.sampled_from(["Training", "Training", "PublicTest"])),
    min_size=1,
    max_size=120,
).filter(lambda rows: any(usage == "Training" for _, _, usage in rows))


@settings(max_examples=100, deadline=None)
@given(rows=rows_of_faces, seed=st.integers(0, 100), fraction=st.floats(0.05, 0.5))
def test_copies_never_cross(rows: list[tuple[int, int, str]], seed: int, fraction: float) -> None:
    faces = faces_from(rows)

    split = split_training(faces, fraction, seed)

    pictures = faces.pixels[:, 0, 0]
    test_pictures = set(pictures[faces.usage != "Training"].tolist())
    learnt, held = set(pictures[split.train].tolist()), set(pictures[split.held_out].tolist())
    assert not learnt & held
    assert not (learnt | held) & test_pictures
    used = np.sort(np.concatenate([split.train, split.held_out, split.leaked]))
    assert np.array_equal(used, np.flatnonzero(faces.usage == "Training"))
    assert set(pictures[split.leaked].tolist()) <= test_pictures


def test_each_class_gives_its_share_and_the_seed_decides() -> None:
    faces = faces_from([(number, number % 7, "Training") for number in range(210)])

    split, same, other = (split_training(faces, 0.2, seed) for seed in (1, 1, 2))

    assert np.bincount(faces.labels[split.held_out]).tolist() == [6] * 7
    assert np.array_equal(split.held_out, same.held_out)
    assert not np.array_equal(split.held_out, other.held_out)


def test_copies_and_conflicts_are_counted() -> None:
    faces = faces_from(
        [(1, 0, "Training"), (1, 0, "Training"), (2, 0, "Training"), (2, 3, "Training"), (3, 0, "Training")]
    )

    split = split_training(faces, 0.5, 0)

    assert (split.duplicate_groups, split.duplicate_rows, split.conflicting_groups) == (2, 4, 1)


def test_what_cannot_be_split_is_refused() -> None:
    with pytest.raises(DataError, match="nothing to learn from"):
        split_training(faces_from([(1, 0, "PublicTest")]), 0.1, 0)
    with pytest.raises(DataError, match=r"at most 0\.5"):
        split_training(faces_from([(1, 0, "Training")]), 0.9, 0)
