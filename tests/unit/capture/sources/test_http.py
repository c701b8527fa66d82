"""Motion JPEG from a real HTTP server."""

import base64
import socketserver
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from services.capture.frames import SourceTrouble
from services.capture.sources.http import MjpegSource, open_mjpeg
from services.capture.spec import parse_source
from shared.messages import Source
from tests.support.patience import WAIT_S

Answer = Callable[[BaseHTTPRequestHandler], None]


@contextmanager
def serving(answer: Answer) -> Iterator[str]:
    """A server on the loopback address that answers each GET so; gives its address without scheme."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            answer(self)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the library's name
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, request: object, client_address: object) -> None:
            """A client that went away is no error."""

    with Server(("127.0.0.1", 0), Handler) as server:
        assert isinstance(server, socketserver.TCPServer)
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield f"127.0.0.1:{server.server_address[1]}/stream"
        finally:
            server.shutdown()
            thread.join()


def begin(handler: BaseHTTPRequestHandler, content: str = "multipart/x-mixed-replace; boundary=b") -> None:
    handler.send_response(200)
    handler.send_header("Content-Type", content)
    handler.end_headers()


def part(handler: BaseHTTPRequestHandler, jpeg: bytes) -> None:
    handler.wfile.write(b"--b\r\nContent-Type: image/jpeg\r\n\r\n" + jpeg + b"\r\n")


def opened(url: str) -> MjpegSource:
    source = open_mjpeg(url, Source(kind="url", name=parse_source(url).name), open_s=WAIT_S, read_s=WAIT_S)
    assert source is not None
    return source


def test_each_part_is_passed_through_and_a_cut_is_told(jpeg: bytes) -> None:
    pictures = [jpeg[:-2] + bytes([n]) + jpeg[-2:] for n in range(5)]

    def answer(handler: BaseHTTPRequestHandler) -> None:
        begin(handler)
        for picture in pictures:
            part(handler, picture)

    with serving(answer) as address:
        source = opened(f"http://{address}")
        assert [source.read().data for _ in range(5)] == pictures
        with pytest.raises(SourceTrouble, match="stopped; the server ended it"):
            source.read()
        source.close()


def silent_after(jpeg: bytes, done: threading.Event) -> Callable[[BaseHTTPRequestHandler], None]:
    """A stream of one picture, and then nothing until `done`."""

    def answer(handler: BaseHTTPRequestHandler) -> None:
        begin(handler)
        part(handler, jpeg)
        done.wait(WAIT_S)

    return answer


def test_a_silent_stream_is_told_after_its_time(jpeg: bytes) -> None:
    done = threading.Event()
    with serving(silent_after(jpeg, done)) as address:
        source = opened(f"http://{address}")
        source.read()
        raw: Any = source._response.fp.raw
        raw._sock.settimeout(0.2)
        with pytest.raises(SourceTrouble, match="nothing came in time"):
            source.read()
        done.set()
        source.close()


def test_aborting_ends_a_read_that_waits(jpeg: bytes) -> None:
    done = threading.Event()
    with serving(silent_after(jpeg, done)) as address:
        source = opened(f"http://{address}")
        source.read()
        threading.Timer(0.1, source.abort).start()
        with pytest.raises(SourceTrouble):
            source.read()
        done.set()
        source.close()


def test_user_name_and_password_of_the_address_are_sent_when_asked_for(jpeg: bytes) -> None:
    expected = "Basic " + base64.b64encode(b"admin:p@ss").decode()

    def answer(handler: BaseHTTPRequestHandler) -> None:
        if handler.headers.get("Authorization") != expected:
            handler.send_response(401)
            handler.send_header("WWW-Authenticate", 'Basic realm="camera"')
            handler.end_headers()
            return
        begin(handler)
        part(handler, jpeg)

    with serving(answer) as address:
        source = opened(f"http://admin:p%40ss@{address}")
        assert source.read().data == jpeg
        source.close()
        with pytest.raises(SourceTrouble, match="asks for a user name and password") as error:
            opened(f"http://admin:hunter2@{address}")
        assert "hunter2" not in str(error.value)


@pytest.mark.parametrize(
    ("content", "told"), [("image/jpeg", "gives one picture"), ("text/html; charset=utf-8", "gives a web page")]
)
def test_an_address_that_is_no_stream_is_told(content: str, told: str) -> None:
    with serving(lambda handler: begin(handler, content)) as address, pytest.raises(SourceTrouble, match=told):
        opened(f"http://{address}")


def test_other_content_is_left_to_ffmpeg() -> None:
    with serving(lambda handler: begin(handler, "video/mp4")) as address:
        url = f"http://{address}"
        assert open_mjpeg(url, Source(kind="url", name="x"), open_s=WAIT_S, read_s=WAIT_S) is None


def test_an_address_that_is_not_there_or_refuses_is_told() -> None:
    with pytest.raises(SourceTrouble, match="does not answer; Connection refused"):
        opened("http://127.0.0.1:9/stream")
    with serving(lambda handler: handler.send_error(404)) as address, pytest.raises(SourceTrouble, match="404"):
        opened(f"http://{address}")
