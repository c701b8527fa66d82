"""Batches: due by count, bytes and age; nothing accepted is lost or overtaken."""

from hypothesis import given
from hypothesis import strategies as st

from services.ingest.batching import Batcher


def batcher(**limits: float) -> Batcher[int]:
    values = {"max_items": 3, "max_bytes": 100, "max_age_s": 1.0, "queue_items": 10, "queue_bytes": 1000} | limits
    return Batcher(
        max_items=int(values["max_items"]),
        max_bytes=int(values["max_bytes"]),
        max_age_s=values["max_age_s"],
        queue_items=int(values["queue_items"]),
        queue_bytes=int(values["queue_bytes"]),
    )


def test_empty_queue_has_nothing_due() -> None:
    empty = batcher()
    assert empty.due_in(5.0) is None
    assert empty.take() == []


def test_flush_happens_when_the_oldest_item_reaches_its_age() -> None:
    waiting = batcher()
    waiting.offer(1, 1, 0.0)
    waiting.offer(2, 1, 0.9)
    assert waiting.due_in(0.25) == 0.75
    assert waiting.due_in(1.0) == 0.0
    assert waiting.take() == [1, 2]


def test_flush_happens_when_a_batch_is_full_by_count() -> None:
    waiting = batcher()
    for number in range(4):
        waiting.offer(number, 1, 0.0)
    assert waiting.due_in(0.0) == 0.0
    assert waiting.take() == [0, 1, 2]
    assert waiting.take() == [3]


def test_flush_happens_when_a_batch_is_full_by_bytes() -> None:
    waiting = batcher()
    waiting.offer(1, 60, 0.0)
    assert waiting.due_in(0.0) == 1.0
    waiting.offer(2, 60, 0.0)
    assert waiting.due_in(0.0) == 0.0
    assert waiting.take() == [1]
    assert waiting.take() == [2]


def test_item_larger_than_a_batch_goes_alone() -> None:
    waiting = batcher()
    assert waiting.offer(1, 5000, 0.0)
    assert not waiting.offer(2, 1, 0.0)
    assert waiting.take() == [1]
    assert waiting.bytes == 0


operations = st.lists(
    st.one_of(
        st.tuples(st.just("offer"), st.integers(0, 300)),
        st.tuples(st.just("take"), st.just(0)),
        st.tuples(st.just("wait"), st.integers(0, 3)),
    )
)


@given(
    operations=operations,
    max_items=st.integers(1, 5),
    max_bytes=st.integers(1, 300),
    queue_items=st.integers(1, 8),
    queue_bytes=st.integers(1, 600),
)
def test_nothing_accepted_is_lost_or_overtaken_and_bounds_hold(
    operations: list[tuple[str, int]], max_items: int, max_bytes: int, queue_items: int, queue_bytes: int
) -> None:
    waiting = batcher(max_items=max_items, max_bytes=max_bytes, queue_items=queue_items, queue_bytes=queue_bytes)
    sizes: dict[int, int] = {}
    accepted: list[int] = []
    taken: list[int] = []
    now, number = 0.0, 0
    oldest: dict[int, float] = {}
    for what, value in operations:
        if what == "offer":
            number += 1
            sizes[number] = value
            if waiting.offer(number, value, now):
                accepted.append(number)
                oldest[number] = now
        elif what == "wait":
            now += value / 2
        else:
            batch = waiting.take()
            assert len(batch) <= max_items
            assert len(batch) <= 1 or sum(sizes[i] for i in batch) <= max_bytes
            assert batch or not len(waiting)
            taken += batch
        held = accepted[len(taken) :]
        assert len(waiting) == len(held) <= queue_items
        assert waiting.bytes == sum(sizes[i] for i in held)
        assert len(held) <= 1 or waiting.bytes <= queue_bytes
        if held and now - oldest[held[0]] >= 1.0:
            assert waiting.due_in(now) == 0.0
    while len(waiting):
        taken += waiting.take()
    assert taken == accepted
