"""Splitting: no picture, and no copy of one, on two sides."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from training.data import DataError, Faces
from training.split import split_training


def faces_from(rows: list[tuple[int, int, str]]) -> Faces:
    """Faces of (picture number, label, usage); equal numbers are exact copies."""
    pixels = np.zeros((len(rows), 48, 48), np.uint8)
    pixels[:, 0, 0] = [picture for picture, _, _ in rows]
    labels = np.array([label for _, label, _ in rows])
    return Faces(pixels, labels, np.array([usage for _, _, usage in rows]), np.arange(len(rows)) + 2)


def with_people(faces: Faces, people: list[str], sessions: list[str]) -> Faces:
    """The faces with the names of whom they show and of when."""
    return replace(faces, groups={"person": np.array(people), "session": np.array(sessions)})


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


@settings(max_examples=100, deadline=None)
@given(rows=rows_of_faces, seed=st.integers(0, 100), fraction=st.floats(0.05, 0.5), data=st.data())
def test_copies_people_and_sessions_never_cross(
    rows: list[tuple[int, int, str]], seed: int, fraction: float, data: st.DataObject
) -> None:
    def names(most: int) -> list[str]:
        some = st.sampled_from(["", *map(str, range(most))])
        return data.draw(st.lists(some, min_size=len(rows), max_size=len(rows)))

    faces = with_people(faces_from(rows), names(20), names(30))
    try:
        split = split_training(faces, fraction, seed)
    except DataError:
        assume(False)

    test = np.flatnonzero(faces.usage != "Training")
    used = np.sort(np.concatenate([split.train, split.held_out, split.leaked]))
    assert np.array_equal(used, np.flatnonzero(faces.usage == "Training"))
    for names_of in (faces.pixels[:, 0, 0].astype(str), *faces.groups.values()):
        learnt, held, tested = (set(names_of[side].tolist()) - {""} for side in (split.train, split.held_out, test))
        assert not learnt & held
        assert not (learnt | held) & tested


def test_whole_people_are_held_out_near_the_wanted_fraction() -> None:
    faces = faces_from([(number % 256, number % 7, "Training") for number in range(250)])
    faces.pixels[:, 1, 1] = np.arange(250) // 2
    people = [f"person {number // 10}" for number in range(250)]

    split = split_training(with_people(faces, people, [""] * 250), 0.2, 0)

    assert 30 <= len(split.held_out) <= 70
    held = {people[row] for row in split.held_out}
    assert len(split.held_out) == 10 * len(held)


def test_one_person_of_few_is_held_out_rather_than_nobody() -> None:
    faces = faces_from([(number, number % 7, "Training") for number in range(30)])
    people = [str(number // 10) for number in range(30)]

    assert len(split_training(with_people(faces, people, [""] * 30), 0.05, 0).held_out) == 10

    with pytest.raises(DataError, match="of one person or session"):
        split_training(with_people(faces, ["same"] * 30, [""] * 30), 0.05, 0)


def test_a_seed_gives_the_split_that_it_always_gave() -> None:
    """A stopped run splits again when it goes on, perhaps with a later version of this program."""
    faces = faces_from([(number // 2, number % 7, "Training") for number in range(60)])

    assert split_training(faces, 0.2, 3).held_out.tolist() == [32, 33, 34, 35, 38, 39, 44, 45, 50, 51, 54, 55, 56, 57]


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
