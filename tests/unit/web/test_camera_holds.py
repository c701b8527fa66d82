"""One camera a device, until it has been quiet for some seconds."""

from services.web.camera_holds import HOLD_S, CameraHolds


def test_the_first_holds_a_device_until_it_has_been_quiet_for_long_enough() -> None:
    now = 100.0
    holds = CameraHolds(lambda: now)
    assert holds.take("phone", "a", "anna").holder == "a"
    assert holds.take("tablet", "b", "ben").holder == "b"  # another device is another's
    for _ in range(10):
        now += HOLD_S - 0.1
        assert holds.take("phone", "b", "ben").name == "anna"
        assert holds.take("phone", "a", "anna").holder == "a"
    now += HOLD_S - 0.1
    assert holds.take("phone", "b", "ben").holder == "a"
    now += 0.2  # being refused holds nothing, for either
    assert holds.take("phone", "b", "ben").holder == "b"
    assert holds.take("phone", "a", "anna").name == "ben"
