"""Motion JPEG over HTTP, as IP cameras and microcontrollers give it (multipart/x-mixed-replace)."""

import contextlib
import http.client
import os
import socket
import ssl
import urllib.error
import urllib.request
from collections import deque
from typing import Any, Final
from urllib.parse import unquote, urlsplit, urlunsplit

from services.capture.frames import Reading, SourceTrouble
from shared.jpeg import JpegSplitter
from shared.messages import Source

_CHUNK: Final = 64 * 1024


class MjpegSource:
    """The JPEGs of one HTTP response, passed through. Made by `open_mjpeg`."""

    live = True

    def __init__(self, response: http.client.HTTPResponse, lines: "_Lines", source: Source) -> None:
        self.source = source
        self._response = response
        self._lines = lines
        self._splitter = JpegSplitter()
        self._pictures: deque[bytes] = deque()

    def read(self) -> Reading:
        """The next picture."""
        while not self._pictures:
            try:
                data = self._response.read1(_CHUNK)
            except (OSError, http.client.HTTPException, ValueError) as error:
                raise self._stopped(_reason(error)) from None
            if not data:
                raise self._stopped("the server ended it")
            self._pictures.extend(self._splitter.feed(data))
        return Reading(self._pictures.popleft())

    def abort(self) -> None:
        """Cut the connection, so that a waiting `read` returns."""
        self._lines.cut()

    def close(self) -> None:
        """Close the connection."""
        self._response.close()
        self._lines.close()

    def _stopped(self, cause: str) -> SourceTrouble:
        return SourceTrouble(
            f"The stream {self.source.name} stopped",
            cause,
            "Check the camera's power and network; it is opened again by itself",
        )


def open_mjpeg(url: str, source: Source, *, open_s: float, read_s: float) -> MjpegSource | None:
    """Open the address if it answers with Motion JPEG; None if with something that FFmpeg may know.

    One request only: small cameras serve one client at a time.

    Raises:
        SourceTrouble: if it does not answer, refuses, or gives a single picture or a web page.
    """
    lines = _Lines(read_s)
    try:
        response = _request(url, source.name, open_s, lines)
    except BaseException:
        lines.close()
        raise
    content = response.headers.get_content_type()
    if content.startswith("multipart/"):
        return MjpegSource(response, lines, source)
    response.close()
    lines.close()
    if content == "text/html" or content.startswith("image/"):
        raise SourceTrouble(
            f"{source.name} gives {'a web page' if content == 'text/html' else 'one picture'}, not a stream",
            f"it answered with {content}",
            "Use the camera's stream address, often /stream, /video or :81/stream",
        )
    return None


def _request(url: str, name: str, timeout_s: float, lines: "_Lines") -> http.client.HTTPResponse:
    """Open `url`, with its user name and password as Basic or Digest; its connections are noted in `lines`."""
    parts = urlsplit(url)
    bare = urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))
    handlers: list[urllib.request.BaseHandler] = [_Http(lines), _Https(lines)]
    if parts.username:
        passwords = urllib.request.HTTPPasswordMgrWithDefaultRealm()
        # Bound to this address, so that a redirect elsewhere does not get the password.
        passwords.add_password(None, bare, unquote(parts.username), unquote(parts.password or ""))
        handlers += [
            urllib.request.HTTPBasicAuthHandler(passwords),
            urllib.request.HTTPDigestAuthHandler(passwords),
        ]
    seen = _Seen()
    response: http.client.HTTPResponse | None = None
    try:
        response = urllib.request.build_opener(*handlers, seen).open(bare, timeout=timeout_s)
    except urllib.error.HTTPError as error:
        raise _refused(name, error.code, error.reason) from None
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise SourceTrouble(
            f"{name} does not answer",
            _reason(error),
            "Check the address, the camera's power and the network; it is tried again by itself",
        ) from None
    finally:
        seen.close_all_but(response)
    return response


def _refused(name: str, code: int, reason: str) -> SourceTrouble:
    if code in (401, 403):
        return SourceTrouble(
            f"{name} asks for a user name and password",
            f"it answered {code} {reason}",
            "Give them in the address: http://user:password@host/path, special characters as %XX",
        )
    return SourceTrouble(f"{name} refused", f"it answered {code} {reason}", "Check the path of the address")


def _reason(error: Exception) -> str:
    inner = error.reason if isinstance(error, urllib.error.URLError) else error
    if isinstance(inner, TimeoutError):
        return "nothing came in time"
    if isinstance(inner, ssl.SSLCertVerificationError):
        return f"its certificate is not trusted: {inner.verify_message}"
    if isinstance(inner, OSError) and inner.strerror:
        return inner.strerror
    return str(inner) or type(inner).__name__


class _Lines:
    """Second handles of a request's connections: a response hides its socket, and only a shutdown ends its read."""

    def __init__(self, read_s: float) -> None:
        self._read_s = read_s
        self._handles: list[socket.socket] = []

    def add(self, connected: socket.socket) -> None:
        connected.settimeout(self._read_s)
        self._handles.append(socket.socket(fileno=os.dup(connected.fileno())))

    def cut(self) -> None:
        for handle in self._handles:
            with contextlib.suppress(OSError):  # the other side has cut it already
                handle.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        while self._handles:
            self._handles.pop().close()


class _Seen(urllib.request.BaseHandler):
    """Notes every response of a request: those before a redirect's or a password's answer are left open by urllib."""

    handler_order = 0

    def __init__(self) -> None:
        self._responses: list[http.client.HTTPResponse] = []

    def http_response(
        self, request: urllib.request.Request, response: http.client.HTTPResponse
    ) -> http.client.HTTPResponse:
        self._responses.append(response)
        return response

    https_response = http_response

    def close_all_but(self, last: http.client.HTTPResponse | None) -> None:
        for response in self._responses:
            if response is not last:
                response.close()


class _Http(urllib.request.HTTPHandler):
    def __init__(self, lines: _Lines) -> None:
        super().__init__()
        self._lines = lines

    def http_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
        return self.do_open(_noting(http.client.HTTPConnection, self._lines), req)


class _Https(urllib.request.HTTPSHandler):
    def __init__(self, lines: _Lines) -> None:
        super().__init__()
        self._lines = lines

    def https_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
        return self.do_open(_noting(http.client.HTTPSConnection, self._lines), req)


def _noting(connection: type[http.client.HTTPConnection], lines: _Lines) -> Any:
    """`connection`, but noting its socket in `lines` once it is connected."""

    class Noting(connection):  # type: ignore[misc, valid-type]  # one of two base classes
        def connect(self) -> None:
            super().connect()
            lines.add(self.sock)

    return Noting
