"""What a browser sends, on its way from the broker to capture's reading thread."""

from services.capture.frames import Reading
from services.capture.sources.browser import BrowserSource, Inbox


def test_the_newest_pictures_wait_for_who_reads_and_the_others_are_counted() -> None:
    dropped: list[str] = []
    inbox = Inbox(lambda: dropped.append("one"))
    source = BrowserSource(inbox)
    for picture in (b"1", b"2", b"3"):
        inbox.on_picture("emotion/phone/browser", picture)
    assert [source.read(), source.read()] == [Reading(b"2"), Reading(b"3")]
    assert len(dropped) == 1


def test_what_came_before_a_source_was_opened_again_is_not_read_as_if_it_were_of_now() -> None:
    dropped: list[str] = []
    inbox = Inbox(lambda: dropped.append("one"))
    before = BrowserSource(inbox)
    before.abort()
    assert before.read() is None
    inbox.on_picture("emotion/phone/browser", b"while paused")
    source = BrowserSource(inbox)
    assert len(dropped) == 1
    inbox.on_picture("emotion/phone/browser", b"now")
    assert source.read() == Reading(b"now")
