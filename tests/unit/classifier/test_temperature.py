"""The hottest part of a device, from files as Linux shows them."""

from pathlib import Path

import pytest

from services.classifier.temperature import hottest_c


def zone(folder: Path, number: int, name: str, reading: str | None) -> None:
    made = folder / f"thermal_zone{number}"
    made.mkdir()
    (made / "type").write_text(f"{name}\n")
    if reading is None:
        (made / "temp").mkdir()  # cannot be read, as that of a part without power
    else:
        (made / "temp").write_text(f"{reading}\n")


def test_the_hottest_part_that_can_be_believed(tmp_path: Path) -> None:
    zone(tmp_path, 0, "CPU-therm", "51500")
    zone(tmp_path, 1, "GPU-therm", "48250")
    zone(tmp_path, 2, "PMIC-Die", "100000")
    zone(tmp_path, 3, "cv0-thermal", "-256000")
    zone(tmp_path, 4, "cv1-thermal", None)
    zone(tmp_path, 5, "thermal-fan-est", "many")
    (tmp_path / "cooling_device0").mkdir()
    assert hottest_c(tmp_path) == pytest.approx(51.5)


@pytest.mark.parametrize("reading", [None, "-256000", "200000", ""])
def test_none_where_nothing_is_told(tmp_path: Path, reading: str | None) -> None:
    assert hottest_c(tmp_path / "missing") is None
    zone(tmp_path, 0, "cv0-thermal", reading)
    assert hottest_c(tmp_path) is None


def test_freezing_is_a_temperature(tmp_path: Path) -> None:
    zone(tmp_path, 0, "CPU-therm", "-5000")
    assert hottest_c(tmp_path) == -5
