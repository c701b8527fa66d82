"""Backoff, Newest and the runner: parts too small for a file each."""

import asyncio
import os
import signal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.backoff import Backoff
from shared.errors import SettingsError
from shared.runner import run_service
from shared.settings import LogSettings
from shared.slots import Budget, Newest, wait_at_most
from tests.support.patience import STOPS_WITHIN_S


@given(st.floats(0.01, 5), st.floats(5, 100), st.integers(1, 60))
def test_delays_grow_to_the_cap_and_stay_within_half_of_their_step(first: float, cap: float, failures: int) -> None:
    backoff = Backoff(first, cap)
    for number in range(failures):
        step = min(cap, first * 2**number)
        assert step / 2 <= backoff.next_delay() <= step
    backoff.succeeded()
    assert backoff.next_delay() <= first


def test_a_backoff_without_a_sensible_range_is_refused() -> None:
    with pytest.raises(ValueError, match="first_s"):
        Backoff(5, 1)


@given(st.lists(st.integers()), st.integers(1, 5))
async def test_only_the_newest_stay_and_every_drop_is_counted(values: list[int], size: int) -> None:
    slot: Newest[int] = Newest(size)
    for value in values:
        slot.put(value)
    kept = [await slot.get() for _ in range(len(slot))]
    assert kept == values[-size:]
    assert slot.dropped == len(values) - len(kept)


async def test_get_waits_for_a_value() -> None:
    slot: Newest[str] = Newest()
    waiting = asyncio.create_task(slot.get())
    await asyncio.sleep(0)
    assert not waiting.done()
    slot.put("now")
    assert await waiting == "now"


def test_a_stop_signal_ends_the_service_cleanly(capfd: pytest.CaptureFixture[str]) -> None:
    cleaned = []

    async def run() -> None:
        try:
            os.kill(os.getpid(), signal.SIGTERM)
            await asyncio.Event().wait()
        finally:
            cleaned.append(True)

    assert run_service("example", LogSettings(), run) == 0
    assert cleaned == [True]


def test_an_error_for_people_is_one_line_without_a_traceback(capfd: pytest.CaptureFixture[str]) -> None:
    async def fail() -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(_raise(SettingsError("EMOTION_FPS is 'x'")))

    assert run_service("example", LogSettings(), fail) == 1
    assert capfd.readouterr().err == "emotion-edge example: EMOTION_FPS is 'x'\n"


def test_a_defect_of_ours_keeps_its_traceback() -> None:
    with pytest.raises(ZeroDivisionError):
        run_service("example", LogSettings(), lambda: _raise(ZeroDivisionError()))


async def _raise(error: Exception) -> None:
    raise error


async def test_waiting_says_whether_the_event_came() -> None:
    event = asyncio.Event()
    assert not await wait_at_most(event, 0.01)
    event.set()
    assert await wait_at_most(event, None)


async def test_a_cancellation_that_comes_with_the_event_is_not_lost() -> None:
    event = asyncio.Event()

    async def for_ever() -> None:
        while True:
            event.clear()
            await wait_at_most(event, 60)

    task = asyncio.create_task(for_ever())
    await asyncio.sleep(0)
    event.set()
    await asyncio.sleep(0)  # the waiter has its result; the loop has not run it yet
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        async with asyncio.timeout(STOPS_WITHIN_S):
            await task


@given(st.lists(st.tuples(st.integers(1, 12), st.booleans()), max_size=30))
async def test_budget_is_kept_and_served_in_order_also_when_some_who_wait_give_up(
    asked: list[tuple[int, bool]],
) -> None:
    budget = Budget(10)
    held = 0
    served: list[int] = []

    async def take(number: int, amount: int) -> None:
        nonlocal held
        async with budget.taken(amount):
            served.append(number)
            held += min(amount, 10)
            try:
                assert held <= 10
                await asyncio.sleep(0)
            finally:
                held -= min(amount, 10)

    tasks = [asyncio.create_task(take(number, amount)) for number, (amount, _) in enumerate(asked)]
    await asyncio.sleep(0)
    for task, (_, gives_up) in zip(tasks, asked, strict=True):
        if gives_up:
            task.cancel()
    done = await asyncio.gather(*tasks, return_exceptions=True)
    assert served == sorted(served)
    assert all(result is None or isinstance(result, asyncio.CancelledError) for result in done)
    assert {number for number, (_, gives_up) in enumerate(asked) if not gives_up} <= set(served)
    async with asyncio.timeout(STOPS_WITHIN_S), budget.taken(10):
        pass
