"""The HTTP side of the page: who may ask, for what, and how many at once."""

import json
import secrets
import select
import socket
import threading
from collections.abc import Callable, Mapping
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.resources import files
from typing import Any, Protocol
from urllib.parse import parse_qs, urlsplit

_MOST_CONNECTIONS = 24
_MOST_BODY_BYTES = 1 << 16  # a brush goes along many pixels
_VIEWER_TIMEOUT_S = 10.0  # a viewer that takes nothing for so long is let go
_SEND_BUFFER_BYTES = 1 << 17  # little waits on the way to a slow viewer
_BOUNDARY = "picture"
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_PAGE, _HTML = "live.html", "text/html; charset=utf-8"
_SCRIPT = "text/javascript; charset=utf-8"
_OPEN = {
    "/style.css": "text/css; charset=utf-8",
    "/icon.svg": "image/svg+xml",
    "/live.js": _SCRIPT,
    "/controls.js": _SCRIPT,
    "/gestures.js": _SCRIPT,
    "/painter.js": _SCRIPT,
}
"""What anybody may have, as it holds no secret: the page asks for it without its token."""


class ServedPage(Protocol):
    """Say what a page shows and does; by any thread.

    Attributes:
        token: whoever asks must give it.
    """

    token: str

    def state(self) -> dict[str, Any]:
        """Return what the page tells beside the picture."""

    def act(self, wish: Mapping[str, Any]) -> bool:
        """Do what a button or a click asks for; return whether it could be understood."""

    def watch(self, send: Callable[[bytes], object], is_gone: Callable[[], bool]) -> bool:
        """Send JPEG pictures to one viewer until it is gone; return whether it was let in."""


class PageServer(ThreadingHTTPServer):
    """Serve a page, to so many at once and no more.

    Args:
        address: host and port to listen on.
        page: what is shown, and what clicks do.

    Raises:
        OSError: if the port cannot be listened on.
    """

    daemon_threads = True
    block_on_close = False

    def __init__(self, address: tuple[str, int], page: ServedPage) -> None:
        self.page = page
        self._free = threading.BoundedSemaphore(_MOST_CONNECTIONS)
        super().__init__(address, _Handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        """Answer in a thread of its own, or hang up on one too many."""
        if not self._free.acquire(blocking=False):
            self.shutdown_request(request)
            return
        super().process_request(request, client_address)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Answer, and make room for the next."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._free.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing: a viewer that goes away in the middle is no news."""


class _Handler(BaseHTTPRequestHandler):
    server: PageServer
    timeout = _VIEWER_TIMEOUT_S
    _is_streaming = False

    def do_GET(self) -> None:
        name = urlsplit(self.path).path
        if name in _OPEN:
            self._answer(HTTPStatus.OK, _content(name[1:]), _OPEN[name])
            return
        match self._path():
            case "/":
                self._answer(HTTPStatus.OK, _content(_PAGE), _HTML)
            case "/state":
                state = json.dumps(self.server.page.state()).encode()
                self._answer(HTTPStatus.OK, state, "application/json")
            case "/stream":
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER_BYTES)
                if not self.server.page.watch(self._send_picture, self._is_gone):
                    self._refuse(HTTPStatus.SERVICE_UNAVAILABLE)
            case str():
                self._refuse(HTTPStatus.NOT_FOUND)

    def do_POST(self) -> None:
        path = self._path()
        if path is None:
            return
        length = self.headers.get("Content-Length", "")
        if path != "/do" or not length.isdecimal() or int(length) > _MOST_BODY_BYTES:
            self._refuse(HTTPStatus.BAD_REQUEST)
            return
        try:
            wish = json.loads(self.rfile.read(int(length)))
        except (ValueError, RecursionError):
            wish = None
        if isinstance(wish, dict) and self.server.page.act(wish):
            self._answer(HTTPStatus.OK, b"{}", "application/json")
        else:
            self._refuse(HTTPStatus.BAD_REQUEST)

    def _path(self) -> str | None:
        """Return what is asked for; who has no token is refused."""
        parts = urlsplit(self.path)
        given = parse_qs(parts.query).get("token", [""])[0]
        if secrets.compare_digest(given.encode(), self.server.page.token.encode()):
            return parts.path
        self._refuse(HTTPStatus.FORBIDDEN)
        return None

    def _is_gone(self) -> bool:
        readable, _, _ = select.select([self.connection], [], [], 0)
        return bool(readable) and not self.connection.recv(1, socket.MSG_PEEK)

    def _send_picture(self, jpeg: bytes) -> None:
        # The next one's head comes right after the picture: browsers show it when they see that.
        head = f"--{_BOUNDARY}\r\nContent-Type: image/jpeg\r\n\r\n".encode()
        if not self._is_streaming:
            self._is_streaming = True
            self.send_response(HTTPStatus.OK)
            kind = f"multipart/x-mixed-replace; boundary={_BOUNDARY}"
            self.send_header("Content-Type", kind)
            self.send_header("Cache-Control", "no-store")
            self.end_headers()
            self.wfile.write(head)
        self.wfile.write(jpeg + b"\r\n" + head)

    def _answer(self, status: HTTPStatus, body: bytes, kind: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "no-store")
        self.send_header("Referrer-Policy", "no-referrer")
        self.send_header("X-Content-Type-Options", "nosniff")
        self.send_header("Content-Security-Policy", _POLICY)
        self.end_headers()
        self.wfile.write(body)

    def _refuse(self, status: HTTPStatus) -> None:
        self._answer(status, f"{status.phrase}\n".encode(), "text/plain; charset=utf-8")

    def log_message(self, *_: object) -> None:
        """Say nothing: the address would show the token."""


def _content(name: str) -> bytes:
    """Return a file that lies beside those of the static page."""
    return (files("edge_vos.runtime.web") / "page" / name).read_bytes()
