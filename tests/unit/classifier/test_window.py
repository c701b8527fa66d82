"""What is on its way to the cloud: bounds, resending, and that pictures do not hold up detections."""

from uuid import uuid4

from hypothesis import given
from hypothesis import strategies as st

from services.classifier.outbox_file import Item, Kind
from services.classifier.window import Flight, Window

MB = 1024 * 1024


def item(seq: int = 1, kind: Kind = Kind.DETECTION, size: int = 1000) -> Item:
    return Item(seq, uuid4(), kind, bytes(size))


def taken(window: Window, what: Item, now: float) -> Flight:
    flight = window.add(what)
    window.taken(flight, now)
    return flight


def test_what_is_not_confirmed_in_time_is_sent_again_once_the_cloud_confirms_anything() -> None:
    window = Window(10, MB, 10.0)
    late = [taken(window, item(seq), 0.0) for seq in (1, 2, 3)]
    other = taken(window, item(4), 9.0)
    window.confirm([other.item.id], 9.5)
    assert window.due(9.9) == []
    assert window.due(10.0) == late
    assert window.due(10.0) == []


def test_silent_cloud_is_probed_with_the_oldest_alone() -> None:
    window = Window(10, MB, 10.0)
    first = taken(window, item(1), 0.0)
    second = taken(window, item(2), 0.0)
    assert window.due(10.0) == [first]
    window.taken(first, 10.1)
    assert window.due(19.9) == []
    assert window.due(20.0) == [second]
    window.taken(second, 20.0)
    window.confirm([second.item.id], 20.5)
    assert window.due(21.0) == [first]


def test_next_due_is_when_due_first_has_something() -> None:
    window = Window(10, MB, 10.0)
    assert window.next_due_in(0.0) is None
    taken(window, item(1), 0.0)
    taken(window, item(2), 0.0)
    assert window.next_due_in(4.0) == 6.0
    assert window.due(10.0) != []
    assert window.next_due_in(10.0) == 10.0


def test_while_items_are_still_being_sent_it_is_asked_again() -> None:
    window = Window(10, MB, 10.0)
    window.add(item(1))
    assert window.next_due_in(0.0) == 10.0


def test_after_a_reconnect_everything_goes_again_oldest_first() -> None:
    window = Window(10, MB, 10.0)
    newer, older = taken(window, item(5), 0.0), taken(window, item(3), 0.0)
    assert window.all_again() == [older, newer]
    assert window.due(100.0) == []


def test_pictures_leave_room_for_detections() -> None:
    window = Window(8, 10 * MB, 10.0)
    for seq in range(2):
        picture = item(seq, Kind.FRAME, 30_000)
        assert window.has_room_for(picture.kind, len(picture.payload))
        window.add(picture)
    assert not window.has_room_for(Kind.FRAME, 30_000)
    for seq in range(6):
        assert window.has_room_for(Kind.DETECTION, 1000)
        window.add(item(10 + seq))
    assert not window.has_room_for(Kind.DETECTION, 1000)


def test_picture_larger_than_the_window_is_sent_alone_among_pictures() -> None:
    window = Window(100, MB, 10.0)
    huge = item(1, Kind.FRAME, 5 * MB)
    assert window.has_room_for(huge.kind, len(huge.payload))
    window.add(huge)
    assert not window.has_room_for(Kind.FRAME, 10)
    assert window.has_room_for(Kind.DETECTION, 1000)


def test_waiting_counts_from_the_last_confirmation() -> None:
    window = Window(10, MB, 10.0)
    assert window.waiting_s(Kind.DETECTION, 50.0) == 0.0
    first, _ = taken(window, item(1), 0.0), taken(window, item(2), 0.0)
    assert window.waiting_s(Kind.DETECTION, 30.0) == 30.0
    window.confirm([first.item.id], 40.0)
    assert window.waiting_s(Kind.DETECTION, 45.0) == 5.0


def test_waiting_does_not_begin_again_when_a_message_is_sent_again_but_when_the_link_comes_back() -> None:
    window = Window(10, MB, 10.0)
    flight = taken(window, item(), 0.0)
    for now in (10.0, 20.0, 30.0):
        assert window.due(now) == [flight]
        window.taken(flight, now)
    assert window.waiting_s(Kind.DETECTION, 35.0) == 35.0
    window.all_again()
    window.taken(flight, 36.0)
    assert window.waiting_s(Kind.DETECTION, 40.0) == 4.0


def test_each_kind_is_silent_by_itself() -> None:
    window = Window(40, MB, 10.0)
    pictures = [taken(window, item(seq, Kind.FRAME), 0.0) for seq in (1, 2)]
    first, second = (taken(window, item(seq), 0.0) for seq in (3, 4))
    window.confirm([first.item.id], 9.0)
    assert window.due(10.0) == [pictures[0], second]
    assert window.waiting_s(Kind.FRAME, 15.0) == 15.0
    assert window.waiting_s(Kind.DETECTION, 15.0) == 0.0 + 15.0 - 9.0


def test_overtaken_is_what_is_late_while_something_that_was_sent_later_is_confirmed() -> None:
    window = Window(10, MB, 10.0)
    poison = taken(window, item(1), 0.0)
    for round_ in range(1, 4):
        now = 10.0 * round_
        later = taken(window, item(round_ + 1), now - 5.0)
        window.confirm([later.item.id], now - 1.0)
        assert window.due(now) == [poison]
        window.taken(poison, now)
        assert poison.overtaken == round_
    window.all_again()
    assert poison.overtaken == 0  # what went before may have been lost with the connection


def test_nothing_is_overtaken_by_what_was_sent_before_it_or_by_another_kind_or_sent_again() -> None:
    window = Window(20, MB, 10.0)
    older = taken(window, item(1), 0.0)
    waiting = taken(window, item(2), 3.0)
    picture = taken(window, item(3, Kind.FRAME), 5.0)
    window.confirm([picture.item.id], 8.0)
    again = window.due(13.0)
    for flight in again:
        window.taken(flight, 13.0)
    window.confirm([older.item.id], 14.0)  # perhaps the copy from the beginning: a slow cloud
    window.taken(waiting, 13.0)
    window.due(23.0)
    assert waiting.overtaken == 0


steps = st.lists(
    st.one_of(
        st.tuples(st.just("add"), st.sampled_from(list(Kind)), st.integers(0, 40_000)),
        st.tuples(st.just("confirm"), st.integers(0, 50), st.just(0)),
        st.tuples(st.just("wait"), st.integers(0, 30), st.just(0)),
        st.tuples(st.just("again"), st.just(0), st.just(0)),
    ),
    max_size=80,
)


@given(steps=steps, places=st.integers(1, 12))
def test_bounds_hold_and_every_unconfirmed_item_is_sent_again(steps: list[tuple[str, int, int]], places: int) -> None:
    window = Window(places, 100_000, 10.0)
    now, seq = 0.0, 0
    flying: list[Item] = []
    for what, value, size in steps:
        if what == "add":
            seq += 1
            new = item(seq, Kind(value), size)
            if window.has_room_for(new.kind, len(new.payload)):
                taken(window, new, now)
                flying.append(new)
        elif what == "confirm" and flying:
            gone = flying.pop(value % len(flying))
            assert window.confirm([gone.id, uuid4()], now) == 1
        elif what == "again":
            assert [flight.item for flight in window.all_again()] == flying
            for flight in window.all_again():
                window.taken(flight, now)
        elif what == "wait":
            now += value
            for flight in window.due(now):
                assert flight.item in flying
                window.taken(flight, now)
        assert len(window) == len(flying) <= places
        frames = [i for i in flying if i.kind is Kind.FRAME]
        assert len(frames) <= max(1, places // 4)
        assert len(frames) == 1 or sum(len(i.payload) for i in frames) <= 50_000
    seen: set[int] = set()
    for _ in range(2 * len(flying)):
        now += 10.0
        for flight in window.due(now):
            seen.add(flight.item.seq)
            window.taken(flight, now)
    assert seen == {i.seq for i in flying}
