"""The learning rate over a run."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from training.config import TrainConfig
from training.schedule import Schedule, plateau_factor, stopped_improving

keras = pytest.importorskip("keras", reason="the callbacks of Keras are what the schedule is compared with")


@given(a=st.floats(0, 1), b=st.floats(0, 1))
def test_it_rises_in_warm_up_and_then_only_falls(a: float, b: float) -> None:
    schedule = Schedule(TrainConfig(warmup_fraction=0.1), 10)
    low, high = sorted((a, b))
    if high <= 0.1:
        assert schedule.learning_rate(low) <= schedule.learning_rate(high)
    if low >= 0.1:
        assert schedule.learning_rate(low) >= schedule.learning_rate(high)
    assert 0 <= schedule.learning_rate(a) <= 0.1 + 1e-9


def test_it_ends_at_zero_and_calmly() -> None:
    schedule = Schedule(TrainConfig(epochs=4), 10)
    assert schedule.progress(40, 0.0) == 1
    assert schedule.learning_rate(1.0) == pytest.approx(0, abs=1e-12)
    assert schedule.calm(0.95)
    assert not schedule.calm(0.5)


def test_a_budget_counts_minutes_instead_of_steps() -> None:
    schedule = Schedule(TrainConfig(epochs=None, budget_minutes=2), 10)
    assert schedule.progress(10**6, 60.0) == 0.5
    assert schedule.progress(0, 600.0) == 1


@pytest.mark.parametrize(
    "settings",
    [
        {"epochs": None},
        {"budget_minutes": 5.0},
        {"epochs": 0},
        {"epochs": None, "budget_minutes": 0.0},
        {"precision": "int4"},
        {"optimizer": "lion"},
        {"schedule": "steps"},
        {"weights": "celebrities"},
        {"early_stop_patience": 0},
    ],
)
def test_impossible_settings_are_refused(settings: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"epochs|budget|precision|optimizer|schedule|weights"):
        TrainConfig.from_dict(settings)


def test_a_configuration_comes_back_from_its_file_and_unknown_settings_are_named(tmp_path: object) -> None:
    import json

    config = TrainConfig(seed=7, epochs=None, budget_minutes=3.0)
    assert TrainConfig.from_dict(json.loads(config.to_json())) == config
    with pytest.raises(ValueError, match="speed"):
        TrainConfig.from_dict({"speed": 11})


class Learner:
    """As much of a Keras model as its callbacks look at."""

    def __init__(self) -> None:
        self.optimizer = keras.optimizers.SGD(learning_rate=1.0)
        self.stop_training = False


@settings(deadline=None)
@given(
    losses=st.lists(st.sampled_from([0.5, 0.9998, 0.99996, 1.0, 1.00004, 1.5]), max_size=30), patience=st.integers(1, 5)
)
def test_plateau_and_early_stop_are_those_of_keras(losses: list[float], patience: int) -> None:
    # No two losses are just the least difference apart, where single precision rounds otherwise.
    learner = Learner()
    plateau = keras.callbacks.ReduceLROnPlateau("val_loss", factor=0.5, patience=patience)
    stop = keras.callbacks.EarlyStopping("val_loss", patience=patience)
    for callback in (plateau, stop):
        callback.set_model(learner)
        callback.on_train_begin()
    for epoch, loss in enumerate(losses):
        for callback in (plateau, stop):
            callback.on_epoch_end(epoch, {"val_loss": loss})
        behind = losses[: epoch + 1]
        assert plateau_factor(behind, patience, 0.5) == pytest.approx(float(learner.optimizer.learning_rate))
        assert stopped_improving(behind, patience) == learner.stop_training
        if learner.stop_training:
            break


def test_the_second_stage_begins_when_the_first_is_over_and_counts_anew() -> None:
    config = TrainConfig(
        schedule="plateau",
        plateau_patience=2,
        early_stop_patience=4,
        top_epochs=3,
        learning_rate=1.0,
        unfrozen_learning_rate=0.1,
    )
    schedule = Schedule(config, 10)
    rising = [1.0, 2.0, 3.0]
    assert [schedule.stage(rising[:done]) for done in range(4)] == [1, 1, 1, 2]
    assert schedule.learning_rate(0.1, rising[:2]) == 1.0
    assert schedule.learning_rate(0.1, rising) == 0.1
    # A second stage that is worse than the first is not over for it; it is measured against itself.
    assert schedule.learning_rate(0.1, [*rising, 9.0, 9.0]) == 0.1
    assert schedule.learning_rate(0.1, [*rising, 9.0, 9.0, 9.0]) == pytest.approx(0.01)
    assert not schedule.finished(0.1, [*rising, 9.0, 8.0, 8.0, 8.0, 8.0])
    assert schedule.finished(0.1, [*rising, 9.0, 8.0, 8.0, 8.0, 8.0, 8.0])
    assert schedule.finished(1.0, [])


def test_a_first_stage_that_stops_improving_ends_early() -> None:
    schedule = Schedule(TrainConfig(early_stop_patience=1, top_epochs=20), 10)
    assert schedule.stage([1.0]) == 1
    assert schedule.stage([1.0, 1.1]) == 2
    assert not schedule.finished(0.5, [1.0, 1.1])
