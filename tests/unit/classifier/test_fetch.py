"""YuNet's file arrives whole and checked, or not at all."""

import hashlib
import http.server
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from services.classifier.fetch import fetch_detector
from services.classifier.yunet_file import YUNET_PATH
from shared.errors import ModelError

FILE = b"a face detector" * 5000
SHA256 = hashlib.sha256(FILE).hexdigest()


@contextmanager
def served(body: bytes, *, said_length: int | None = None, status: int = 200) -> Iterator[str]:
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(body) if said_length is None else said_length))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
            """Say nothing."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/yunet.onnx"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def files_in(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def test_the_file_is_put_below_the_models_folder_and_progress_is_told(tmp_path: Path) -> None:
    told: list[tuple[int, int | None]] = []
    with served(FILE) as url:
        target = fetch_detector(tmp_path, lambda here, of: told.append((here, of)), url=url, sha256=SHA256)
    assert target == tmp_path / YUNET_PATH
    assert target.read_bytes() == FILE
    assert told[-1] == (len(FILE), len(FILE))
    assert files_in(tmp_path) == [target]


@pytest.mark.parametrize(
    ("body", "said_length", "status", "message"),
    [
        (b"something else", None, 200, "expected .* it was not kept"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:8f23\n", None, 200, "git-lfs pointer"),
        (FILE[:100], len(FILE), 200, r"IncompleteRead|cut off after 100"),
        (b"x" * (3 * 1024 * 1024), None, 200, "more than 2097152 bytes"),
        (b"", None, 404, "Not Found"),
    ],
)
def test_what_is_not_the_file_is_refused_in_words_and_leaves_nothing(
    tmp_path: Path, body: bytes, said_length: int | None, status: int, message: str
) -> None:
    with served(body, said_length=said_length, status=status) as url, pytest.raises(ModelError, match=message):
        fetch_detector(tmp_path, url=url, sha256=SHA256)
    assert files_in(tmp_path) == []


def test_no_connection_says_how_to_go_on_by_hand(tmp_path: Path) -> None:
    with socket.socket() as nobody:  # has the port, and listens to no one
        nobody.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{nobody.getsockname()[1]}/yunet.onnx"
        with pytest.raises(ModelError, match=r"check the connection .* or put the file there by hand"):
            fetch_detector(tmp_path, url=url, sha256=SHA256)


def test_what_answers_in_another_language_than_http_is_told(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/yunet.onnx"

        def answer() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(65536)
                connection.sendall(b"SSH-2.0-OpenSSH_9.2\r\n")

        thread = threading.Thread(target=answer)
        thread.start()
        with pytest.raises(ModelError, match="check the connection"):
            fetch_detector(tmp_path, url=url, sha256=SHA256)
        thread.join()


def test_plain_http_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="expected an https address"):
        fetch_detector(tmp_path, url="http://example.org/yunet.onnx")


def test_a_file_that_is_there_is_not_fetched_again(tmp_path: Path, yunet_file: Path) -> None:
    (tmp_path / YUNET_PATH).parent.mkdir()
    (tmp_path / YUNET_PATH).symlink_to(yunet_file)
    assert fetch_detector(tmp_path, url="https://127.0.0.1:1/") == tmp_path / YUNET_PATH
