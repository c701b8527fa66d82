"""The learning rate over a run."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from training.config import TrainConfig
from training.schedule import Schedule


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
    ],
)
def test_impossible_settings_are_refused(settings: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"epochs|budget|precision"):
        TrainConfig.from_dict(settings)


def test_a_configuration_comes_back_from_its_file_and_unknown_settings_are_named(tmp_path: object) -> None:
    import json

    config = TrainConfig(seed=7, epochs=None, budget_minutes=3.0)
    assert TrainConfig.from_dict(json.loads(config.to_json())) == config
    with pytest.raises(ValueError, match="speed"):
        TrainConfig.from_dict({"speed": 11})
