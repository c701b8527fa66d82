"""No run holds out a face that the model knows which it starts from."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from shared.preset import MODELS_DIR, load_model
from training.config import TrainConfig
from training.data import DataError
from training.lineage import check_unseen, seen_before

SHA, OTHER_SHA = "a" * 64, "b" * 64
MODEL = Path("models/of_a_lab")
START = TrainConfig(start_from=str(MODEL), seed=3, held_out_fraction=0.05)
RECORD: dict[str, Any] = {"data_sha256": SHA, "settings": {"seed": 3, "held_out_fraction": 0.05}}


def test_the_models_own_data_seed_and_fraction_go_on() -> None:
    check_unseen(START, SHA, RECORD, MODEL)


@pytest.mark.parametrize("changes", [{"seed": 4}, {"held_out_fraction": 0.1}, {"seed": 4, "unseen_data": True}])
def test_another_split_of_the_same_data_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(DataError, match=r"faces that the model knows.*Give --seed 3 --held-out-fraction 0\.05"):
        check_unseen(replace(START, **changes), SHA, RECORD, MODEL)


def test_other_data_need_a_word_that_they_are_new() -> None:
    with pytest.raises(DataError, match=r"aaaaaaaaaaaaaaaa\.\.\., and that of --data is bbb.*--unseen-data"):
        check_unseen(START, OTHER_SHA, RECORD, MODEL)
    check_unseen(replace(START, seed=9, unseen_data=True), OTHER_SHA, RECORD, MODEL)


def test_the_word_is_not_taken_for_the_data_that_it_learnt_from() -> None:
    with pytest.raises(DataError, match="exactly these data"):
        check_unseen(replace(START, unseen_data=True), SHA, RECORD, MODEL)


def test_a_model_that_does_not_say_what_it_learnt_from_needs_the_word_too() -> None:
    with pytest.raises(DataError, match="whose sha256 is unknown"):
        check_unseen(START, SHA, {}, MODEL)
    check_unseen(replace(START, unseen_data=True), SHA, {}, MODEL)


def test_what_the_model_before_the_model_saw_counts_too() -> None:
    # It went on with a lab's own faces, and now comes back to the first data with another split.
    record = {
        "data_sha256": OTHER_SHA,
        "settings": {"seed": 0, "held_out_fraction": 0.2},
        "seen_before": seen_before(RECORD),
    }
    with pytest.raises(DataError, match="Give --seed 3 "):
        check_unseen(replace(START, seed=0, unseen_data=True), SHA, record, MODEL)
    check_unseen(START, SHA, record, MODEL)


@pytest.mark.parametrize(
    "folder", sorted(path.parent for path in MODELS_DIR.glob("*/preset.json")), ids=lambda f: f.name
)
def test_every_delivered_model_says_what_it_saw(folder: Path) -> None:
    training = load_model(folder).preset.training
    config = replace(START, seed=training["seed"], held_out_fraction=training["settings"]["held_out_fraction"])
    check_unseen(config, training["data_sha256"], training, folder)
    with pytest.raises(DataError, match="Give --seed"):
        check_unseen(replace(config, seed=training["seed"] + 1), training["data_sha256"], training, folder)


def test_the_word_needs_a_model_to_speak_of() -> None:
    with pytest.raises(ValueError, match="give --start-from"):
        TrainConfig(unseen_data=True)
