"""What the one source setting means."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.capture.spec import parse_source, without_secrets
from shared.errors import SettingsError


@pytest.mark.parametrize(
    ("text", "kind", "name"),
    [
        ("sample", "sample", "sample"),
        ("0", "camera", "camera 0"),
        (" 2 ", "camera", "camera 2"),
        ("/dev/video1", "camera", "/dev/video1"),
        ("/dev/v4l/by-id/usb-cam", "camera", "/dev/v4l/by-id/usb-cam"),
        ("/home/me/secret-folder/talk.mp4", "path", "talk.mp4"),
        ("pictures/", "path", "pictures"),
        ("C:\\clips\\talk.mp4", "path", "C:\\clips\\talk.mp4"),
        ("rtsp://cam.local:8554/live", "url", "rtsp://cam.local:8554/live"),
        ("HTTPS://cam.local/video", "url", "https://cam.local/video"),
        ("http://[fe80::1]:81/stream", "url", "http://[fe80::1]:81/stream"),
        ("gst:videotestsrc ! jpegenc", "gstreamer", "videotestsrc"),
    ],
)
def test_each_kind_of_source_is_recognised_and_named(text: str, kind: str, name: str) -> None:
    spec = parse_source(text)
    assert (spec.kind, spec.name) == (kind, name)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("  ", "source is empty; expected a camera"),
        ("gst: ", "without a pipeline"),
        ("ftp://host/file.mp4", "begins with ftp://"),
        ("rtsp://", "without a host"),
        ("http://user:pa#ss@host:port/x", "special characters in the password as %XX"),
        ("a\nb", "line break"),
    ],
)
def test_a_source_that_is_none_is_told_with_what_was_expected(text: str, told: str) -> None:
    with pytest.raises(SettingsError, match=told) as error:
        parse_source(text)
    assert "pa#ss" not in str(error.value)


@pytest.mark.parametrize(
    "text",
    [
        "rtsp://admin:hunter2@10.0.0.9:554/h264?password=hunter2",
        "http://10.0.0.9/video.cgi?user=admin&pwd=hunter2",
        "http://hunter2@10.0.0.9/video",
        "gst:rtspsrc location=rtsp://admin:hunter2@10.0.0.9/ user-pw=hunter2 ! fakesink",
    ],
)
def test_a_password_is_in_neither_the_name_nor_the_repr(text: str) -> None:
    spec = parse_source(text)
    assert "hunter2" in spec.value
    assert "hunter2" not in spec.name
    assert "hunter2" not in repr(spec)


def test_passwords_are_taken_out_of_texts_of_others() -> None:
    text = without_secrets("could not open rtsp://admin:hunter2@cam/live user-pw=hunter2 at ?pwd=hunter2&x=1")
    assert "hunter2" not in text
    assert "@cam/live" in text
    assert "&x=1" in text


@given(st.text(max_size=80))
def test_any_text_is_a_source_or_a_settings_error(text: str) -> None:
    try:
        spec = parse_source(text)
    except SettingsError:
        return
    assert 0 < len(spec.name) <= 512
