"""Serve a page to this machine's own browser."""

from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from edge_vos.errors import SinkError
from edge_vos.runtime.web.site import POLICY

ISOLATION = {
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Embedder-Policy": "require-corp",
    "Cross-Origin-Resource-Policy": "same-origin",
}
"""What a server says so that the page's threads may share memory."""

_KINDS = {
    "": "application/octet-stream",
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".mp4": "video/mp4",
    ".png": "image/png",
    ".svg": "image/svg+xml",
    ".wasm": "application/wasm",
    ".webmanifest": "application/manifest+json",
}


class SiteServer(ThreadingHTTPServer):
    """Serve the files of a folder on this machine, and nothing else.

    Args:
        folder: the page's.
        port: to listen on; 0 is any free one.
        headers: sent with every answer; by default those that isolate and confine the page.

    Raises:
        SinkError: if the port cannot be listened on.
    """

    daemon_threads = True

    def __init__(self, folder: Path, port: int, headers: dict[str, str] | None = None) -> None:
        self.headers = (
            {**ISOLATION, "Content-Security-Policy": POLICY} if headers is None else headers
        )
        self.asked: list[tuple[str, str]] = []
        try:
            super().__init__(("127.0.0.1", port), partial(_Handler, directory=str(folder)))
        except OSError as error:
            raise SinkError(
                f"Port {port} cannot be listened on: {error.strerror or error}",
                "a free port",
                "Name another: edge-vos web --serve --port 0",
            ) from error

    @property
    def address(self) -> str:
        """Return what to open in the browser: browsers trust this name with the camera."""
        return f"http://localhost:{self.server_address[1]}/"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing: a browser that goes away in the middle is no news."""


class _Handler(SimpleHTTPRequestHandler):
    server: SiteServer
    protocol_version = "HTTP/1.1"
    extensions_map = _KINDS

    def end_headers(self) -> None:
        """Add what isolates and confines the page."""
        for name, value in self.server.headers.items():
            self.send_header(name, value)
        self.send_header("Cache-Control", "no-cache")
        self.send_header("X-Content-Type-Options", "nosniff")
        self.send_header("Referrer-Policy", "no-referrer")
        super().end_headers()

    def list_directory(self, _: Any) -> None:
        """Show no listing."""
        self.send_error(404)

    def log_request(self, *_: object) -> None:
        """Keep what was asked for; print nothing."""
        self.server.asked.append((self.command, self.path))

    def log_error(self, *_: object) -> None:
        """Print nothing."""
