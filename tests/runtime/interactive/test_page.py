"""The page's server: who is let in, what it answers, and what slow viewers cannot do."""

import http.client
import json
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace

import cv2
import numpy as np
import pytest

from edge_vos.errors import SinkError
from edge_vos.runtime.interactive import page as serve
from edge_vos.runtime.interactive import page_server
from edge_vos.runtime.interactive.controls import Controls
from edge_vos.runtime.interactive.interaction import Interaction
from edge_vos.runtime.interactive.page import Page
from edge_vos.runtime.interactive.prompt_draft import Stroke
from edge_vos.runtime.labels import ObjectState
from edge_vos.runtime.segmenter import FrameResult
from edge_vos.runtime.sinks.drawing import Painter
from edge_vos.runtime.sources.frame import Frame

SIZE = (64, 96)


@pytest.fixture
def page() -> Iterator[Page]:
    page = Page("127.0.0.1", 0, Interaction(Controls(objects=3, about="fake")), Painter())
    yield page
    page.close()


def _pair(level: int, size: tuple[int, int] = SIZE) -> tuple[Frame, FrameResult]:
    frame = Frame(np.full((*size, 3), level, np.uint8), level, 0.0, 0.0, 0.0)
    mask = np.zeros(size, np.uint8)
    mask[10:30, 10:40] = 2
    state = ObjectState(2, 600, (10, 10, 30, 20), 0.75, lost=False, name="<b>täss")
    return frame, FrameResult(mask, np.zeros((4, 16, 24), np.float32), (state,), {}, 0)


def _ask(
    page: Page, method: str, path: str, body: str | None = None, token: str | None = None
) -> tuple[int, bytes]:
    port = page._server.server_port
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    given = page.token if token is None else token
    connection.request(method, f"{path}?token={given}", body)
    answer = connection.getresponse()
    content = answer.status, answer.read()
    connection.close()
    return content


class Viewer:
    """Watch the stream."""

    def __init__(self, page: Page) -> None:
        self._socket = socket.create_connection(("127.0.0.1", page._server.server_port), 10)
        self._socket.sendall(f"GET /stream?token={page.token} HTTP/1.0\r\n\r\n".encode())
        self._file = self._socket.makefile("rb")

    def status(self) -> int:
        return int(self._file.readline().split()[1])

    def picture(self) -> np.ndarray:
        while (line := self._file.readline()) != b"Content-Type: image/jpeg\r\n":
            assert line
        self._file.readline()
        jpeg = b""
        while not jpeg.endswith(b"--picture\r\n"):
            jpeg += (line := self._file.readline())
            assert line
        return cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)

    def close(self) -> None:
        self._file.close()
        self._socket.close()


def _until(true: Callable[[], bool]) -> None:
    deadline_s = time.monotonic() + 10
    while not true():
        assert time.monotonic() < deadline_s
        time.sleep(0.01)


def test_nothing_is_seen_or_done_without_the_token(page: Page) -> None:
    wish = json.dumps({"action": "pause"})
    for token in ("", "guess", page.token[:-1], "ä"):
        quoted = token.encode().decode("latin-1").replace("ä", "%C3%A4").replace("Ã¤", "%C3%A4")
        for method, path, body in (
            ("GET", "/", None), ("GET", "/state", None), ("GET", "/stream", None),
            ("POST", "/do", wish), ("GET", "/nowhere", None),
        ):  # fmt: skip
            assert _ask(page, method, path, body, quoted)[0] == 403
    assert not page.interaction.controls.paused.is_set()
    assert page.url == f"http://127.0.0.1:{page._server.server_port}/?token={page.token}"
    assert len(page.token) > 20


def test_the_page_and_its_figures(page: Page) -> None:
    page.write(*_pair(90))
    status, content = _ask(page, "GET", "/")
    assert (status, content[:15]) == (200, b"<!doctype html>")
    assert b"http" not in content  # it asks no other server
    state = json.loads(_ask(page, "GET", "/state")[1])
    assert state["objects"] == [
        {"id": 2, "name": "<b>täss", "confidence": 0.75, "lost": False, "colour": "#008000"}
    ]
    assert (state["about"], state["next"], state["draft"]) == ("fake", 1, None)


def test_what_holds_no_secret_needs_no_token_and_nothing_else_is_there(page: Page) -> None:
    port = page._server.server_port
    wanted = ["live.js"]
    kinds = {"js": "text/javascript", "css": "text/css", "svg": "image/svg+xml"}
    for name in wanted:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        connection.request("GET", f"/{name}")
        answer = connection.getresponse()
        content = answer.read().decode()
        assert answer.status == 200
        assert answer.headers.get_content_type() == kinds[name.split(".")[1]]
        policy = answer.headers["Content-Security-Policy"]
        assert "script-src 'self';" in policy
        assert "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy
        connection.close()
        wanted += [one for one in re.findall(r' from "./(.*?)"', content) if one not in wanted]
    assert {"controls.js", "gestures.js"} <= set(wanted)
    for name in re.findall(r'(?:src|href)="(.*?)"', _ask(page, "GET", "/")[1].decode()):
        assert _ask(page, "GET", f"/{name}", token="")[0] == 200
    for path in ("/nowhere", "/app.js", "/live.html", "/page/live.js", "/../page/live.js", "/..",
                 "/../page_server.py", "/%2e%2e/page.py", "/%2e%2e%2fsite.py"):  # fmt: skip
        assert _ask(page, "GET", path)[0] == 404
        assert _ask(page, "GET", path, token="")[0] == 403


def test_viewers_get_the_newest_picture(page: Page) -> None:
    viewer = Viewer(page)
    _until(lambda: page._viewers == 1)
    levels = []
    for level in (40, 90, 200):
        page.write(*_pair(level))
        levels.append(int(viewer.picture()[50, 80, 0]))
    assert np.allclose(levels, (40, 90, 200), atol=4)
    assert viewer._file.readline().startswith(b"Content-Type")  # until then it is not shown
    viewer.close()


def test_one_who_comes_while_paused_sees_the_picture_too(page: Page) -> None:
    page.write(*_pair(120))
    viewer = Viewer(page)
    _until(lambda: page._viewers == 1)
    page.pump()
    assert viewer.picture()[50, 80, 0] == pytest.approx(120, abs=4)
    viewer.close()


def test_without_viewers_nothing_is_encoded(page: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cv2, "imencode", pytest.fail)
    page.write(*_pair(90))


@pytest.mark.parametrize(
    ("wish", "done"),
    [
        ({"action": "box", "box_xywh": [1, 2, 30, 40]}, ("box", (1, 2, 30, 40))),
        ({"action": "click", "xy": [5, 6], "positive": False}, ("click", (5, 6), False)),
        ({"action": "drag", "box_xywh": [1, 2, 30, 40]}, ("drag", (1, 2, 30, 40))),
        ({"action": "drag", "box_xywh": None}, ("drag", None)),
        (
            {"action": "drag", "points": [[1, 2]], "radius_px": 4, "positive": True},
            ("drag", Stroke(((1, 2),), 4)),
        ),
        (
            {"action": "paint", "points": [[1, 2], [3, 4]], "radius_px": 4, "positive": False},
            ("paint", Stroke(((1, 2), (3, 4)), 4, positive=False)),
        ),
        ({"action": "drop", "object_id": 2}, ("drop", 2)),
        ({"action": "drop"}, ("drop",)),
        ({"action": "choose", "object_id": 2}, ("choose", 2)),
        ({"action": "choose", "object_id": None}, ("choose", None)),
        ({"action": "accept"}, ("accept",)),
        ({"action": "cancel"}, ("cancel",)),
        ({"action": "undo"}, ("undo",)),
        ({"action": "next"}, ("choose_next",)),
        ({"action": "reset"}, ("reset",)),
        ({"action": "pause"}, ("pause",)),
        ({"action": "record"}, ("record",)),
        ({"action": "snapshot"}, ("snapshot",)),
    ],
)
def test_wishes_reach_the_run(page: Page, wish: object, done: tuple[object, ...]) -> None:
    told: list[tuple[object, ...]] = []
    for name in ("box", "click", "drag", "paint", "drop", "accept", "cancel", "undo", "choose",
                 "choose_next", "reset", "pause", "record", "snapshot"):  # fmt: skip
        setattr(page.interaction, name, lambda *a, name=name: told.append((name, *a)))
    assert _ask(page, "POST", "/do", json.dumps(wish))[0] == 200
    assert told == [done]


@pytest.mark.parametrize(
    "body",
    ["", "{", "[]", "7", '{"action": "format"}', '{"action": "box", "box_xywh": [1, 2, 3]}',
     '{"action": "box", "box_xywh": [1, 2, 3, "4"]}', '{"action": "click", "xy": [1, 2]}',
     '{"action": "drag", "box_xywh": [1, 2, 3]}', '{"action": "drag"}',
     '{"action": "paint", "points": [], "radius_px": 4, "positive": true}',
     '{"action": "paint", "points": [[1, 2]], "radius_px": 0, "positive": true}',
     '{"action": "paint", "points": [[1, "2"]], "radius_px": 4, "positive": true}',
     '{"action": "paint", "points": [[1, 2]], "radius_px": 4}',
     '{"action": "stop"}', '{"action": ["pause"]}', "x" * 70000, "[" * 4000],
)  # fmt: skip
def test_a_wish_that_cannot_be_understood_is_refused(page: Page, body: str) -> None:
    assert _ask(page, "POST", "/do", body)[0] == 400
    assert _ask(page, "POST", "/elsewhere", "{}")[0] == 400
    assert _ask(page, "GET", "/state")[0] == 200


def test_a_slow_viewer_never_holds_up_the_run(page: Page) -> None:
    """It takes nothing at all: its connection fills up, the others go on."""
    stuck, quick = Viewer(page), Viewer(page)
    _until(lambda: page._viewers == 2)
    noise = np.random.default_rng(0).integers(0, 255, (480, 640, 3), np.uint8)
    frame, result = _pair(0, (480, 640))
    for index in range(25):  # 25 pictures of about 300 kB
        page.write(replace(frame, image=noise), replace(result, frame_index=index))
        quick.picture()
    assert page._serial == 25
    stuck.close()
    quick.close()


def test_there_are_only_so_many_viewers_and_connections(
    page: Page, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(serve, "_MOST_VIEWERS", 2)
    viewers = [Viewer(page), Viewer(page)]
    _until(lambda: page._viewers == 2)
    assert _ask(page, "GET", "/stream")[0] == 503
    idle = [
        socket.create_connection(("127.0.0.1", page._server.server_port), 10)
        for _ in range(page_server._MOST_CONNECTIONS - 2)
    ]
    _until(lambda: page._server._free._value == 0)
    with pytest.raises((http.client.HTTPException, OSError)):
        _ask(page, "GET", "/state")
    for connection in (*idle, *viewers):
        connection.close()
    _until(lambda: page._server._free._value > 0)
    assert _ask(page, "GET", "/state")[0] == 200


def test_closing_ends_every_stream(page: Page) -> None:
    viewer = Viewer(page)
    _until(lambda: page._viewers == 1)
    page.close()
    page.close()
    _until(lambda: page._viewers == 0)
    viewer.close()
    assert not [t for t in threading.enumerate() if t.name == "edge-vos-page"]


def test_a_port_in_use_is_named(page: Page) -> None:
    with pytest.raises(SinkError, match=r"cannot be served at 127.0.0.1:\d+ .*--port 0"):
        Page("127.0.0.1", page._server.server_port, page.interaction, Painter())


@pytest.fixture
def soon_probed(page: Page, monkeypatch: pytest.MonkeyPatch) -> Page:
    """A page with a picture that looks every 20 ms whether its viewers are still there."""
    monkeypatch.setattr(serve, "_PROBE_S", 0.02)
    page.write(*_pair(120))
    return page


def test_viewers_who_left_while_nothing_comes_make_room(
    soon_probed: Page, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = soon_probed
    monkeypatch.setattr(serve, "_MOST_VIEWERS", 2)
    for has_picture in (False, True):
        viewers = [Viewer(page), Viewer(page)]
        _until(lambda: page._viewers == 2)
        if has_picture:
            page.pump()
            for viewer in viewers:
                viewer.picture()
        for viewer in viewers:
            viewer.close()
        _until(lambda: page._viewers == 0)


def test_a_picture_is_sent_again_to_find_who_vanished(
    soon_probed: Page, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = soon_probed
    monkeypatch.setattr(serve, "_REPEAT_S", 0.1)
    viewer = Viewer(page)
    _until(lambda: page._viewers == 1)
    page.pump()
    assert [viewer.picture()[50, 80, 0] // 8 for _ in range(3)] == [15] * 3
    assert page._serial == 1
    viewer.close()


@pytest.mark.parametrize("odd", [10**12, -(10**12), 10**30, True, None, 1.5, "7", [1]])
def test_odd_numbers_are_refused(page: Page, odd: object) -> None:
    page.write(*_pair(90))
    for wish in (
        {"action": "box", "box_xywh": [30, 20, odd, 20]},
        {"action": "click", "xy": [odd, 5], "positive": True},
        {"action": "drop", "object_id": odd},
        {"action": "choose", "object_id": [odd]},
    ):
        assert _ask(page, "POST", "/do", json.dumps(wish))[0] == 400
    assert page.interaction.draft is None
