"""The window's keys and mouse, with OpenCV's own windows replaced: there may be no display."""

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge_vos.errors import SinkError
from edge_vos.runtime.interactive.controls import Controls
from edge_vos.runtime.interactive.interaction import Interaction
from edge_vos.runtime.interactive.prompt_draft import Stroke
from edge_vos.runtime.interactive.window import Window
from edge_vos.runtime.labels import ObjectState
from edge_vos.runtime.segmenter import FrameResult
from edge_vos.runtime.sinks.drawing import Painter
from edge_vos.runtime.sources.frame import Frame
from edge_vos.runtime.timing.stage_times import LiveStats

SIZE = (120, 160)


class Desktop:
    """Play OpenCV's windows: keys to press, the pictures that were shown."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.keys: list[str] = []
        self.shown: list[np.ndarray] = []
        self.visible = 1.0
        self.mouse: Callable[..., None] = print
        patch.setattr(cv2, "namedWindow", lambda *_: None)
        patch.setattr(cv2, "resizeWindow", lambda *_: None)
        patch.setattr(cv2, "destroyWindow", lambda *_: None)
        patch.setattr(cv2, "setMouseCallback", lambda _, act: setattr(self, "mouse", act))
        patch.setattr(cv2, "getWindowProperty", lambda *_: self.visible)
        patch.setattr(cv2, "imshow", lambda _, picture: self.shown.append(picture.copy()))
        patch.setattr(cv2, "pollKey", lambda: ord(self.keys.pop(0)) if self.keys else -1)

    def drag(self, x0: int, y0: int, x1: int, y1: int) -> None:
        held = cv2.EVENT_FLAG_LBUTTON
        self.mouse(cv2.EVENT_LBUTTONDOWN, x0, y0, held, None)
        self.mouse(cv2.EVENT_MOUSEMOVE, (x0 + x1) // 2, (y0 + y1) // 2, held, None)
        self.mouse(cv2.EVENT_LBUTTONUP, x1, y1, 0, None)


class Doings(Interaction):
    """Write down what is done."""

    def __init__(self, controls: Controls, snapshots: Path) -> None:
        super().__init__(controls, snapshots)
        self.done: list[object] = []
        self.dragged: list[object] = []

    def box(self, box_xywh: tuple[int, int, int, int]) -> None:
        self.done.append(("box", box_xywh))

    def click(self, xy: tuple[int, int], positive: bool = True) -> None:
        self.done.append(("click", xy, positive))

    def drag(self, shape: tuple[int, int, int, int] | Stroke | None) -> None:
        self.dragged.append(shape)

    def paint(self, stroke: Stroke) -> None:
        self.done.append(("paint", stroke))

    def drop(self, object_id: int | None = None) -> None:
        self.done.append(("drop", object_id))


@pytest.fixture
def desktop(monkeypatch: pytest.MonkeyPatch) -> Desktop:
    return Desktop(monkeypatch)


@pytest.fixture
def doings(tmp_path: Path) -> Doings:
    return Doings(Controls(objects=3, about="onnx fp32 64x96"), tmp_path)


@pytest.fixture
def window(desktop: Desktop, doings: Doings) -> Window:
    window = Window(SIZE, doings, Painter())
    frame = Frame(np.full((*SIZE, 3), 90, np.uint8), 0, 0.0, 0.0, 0.0)
    empty = np.zeros(SIZE, np.uint8)
    window.write(frame, FrameResult(empty, np.zeros((4, 30, 40), np.float32), (), {}, 0))
    return window


def test_a_drag_is_a_box_and_a_click_a_point(
    window: Window, desktop: Desktop, doings: Doings
) -> None:
    desktop.drag(100, 80, 40, 20)
    desktop.drag(30, 30, 31, 30)
    desktop.mouse(cv2.EVENT_RBUTTONDOWN, 50, 60, cv2.EVENT_FLAG_RBUTTON, None)
    desktop.mouse(cv2.EVENT_RBUTTONUP, 50, 60, 0, None)
    assert doings.done == [
        ("box", (40, 20, 60, 60)), ("click", (31, 30), True), ("click", (50, 60), False),
    ]  # fmt: skip


def test_a_drag_is_previewed_and_left(window: Window, desktop: Desktop, doings: Doings) -> None:
    desktop.drag(100, 80, 40, 20)
    assert doings.dragged == [(70, 50, 30, 30)]
    held = cv2.EVENT_FLAG_LBUTTON
    desktop.mouse(cv2.EVENT_LBUTTONDOWN, 10, 10, held, None)
    desktop.mouse(cv2.EVENT_MOUSEMOVE, 12, 12, held, None)  # not yet a box
    desktop.mouse(cv2.EVENT_MOUSEMOVE, 12, 12, 0, None)  # released outside
    assert doings.dragged[1:] == [None]


def test_the_brush_adds_and_takes_away(window: Window, desktop: Desktop, doings: Doings) -> None:
    plain = desktop.shown[-1]
    _press(window, desktop, "b]]")
    assert (desktop.shown[-1] != plain).any()
    left, right = cv2.EVENT_FLAG_LBUTTON, cv2.EVENT_FLAG_RBUTTON
    desktop.mouse(cv2.EVENT_LBUTTONDOWN, 20, 20, left, None)
    desktop.mouse(cv2.EVENT_MOUSEMOVE, 30, 20, left, None)
    desktop.mouse(cv2.EVENT_LBUTTONUP, 30, 25, 0, None)
    desktop.mouse(cv2.EVENT_RBUTTONDOWN, 60, 60, right, None)
    desktop.mouse(cv2.EVENT_RBUTTONUP, 60, 60, 0, None)
    added, taken = Stroke(((20, 20), (30, 20), (30, 25)), 6), Stroke(((60, 60),) * 2, 6, False)
    assert doings.done == [("paint", added), ("paint", taken)]
    _press(window, desktop, "b")
    desktop.drag(100, 80, 40, 20)
    assert doings.done[2:] == [("box", (40, 20, 60, 60))]


def test_a_long_message_is_broken_into_lines(
    window: Window, desktop: Desktop, doings: Doings
) -> None:
    doings.controls.say("The box 9,9,1,1. Expected: a box inside the frame of 160x120 pixels")
    window.pump()
    rows = np.flatnonzero((desktop.shown[-1] != 90).any(axis=(1, 2)))
    assert np.count_nonzero(rows > SIZE[0] // 2) > 30


def test_a_drag_is_shown_while_it_lasts(window: Window, desktop: Desktop) -> None:
    window.pump()
    before = desktop.shown[-1]
    desktop.mouse(cv2.EVENT_LBUTTONDOWN, 60, 60, cv2.EVENT_FLAG_LBUTTON, None)
    desktop.mouse(cv2.EVENT_MOUSEMOVE, 120, 90, cv2.EVENT_FLAG_LBUTTON, None)
    window.pump()
    assert (desktop.shown[-1][90, 60:120] != before[90, 60:120]).any()
    desktop.mouse(cv2.EVENT_MOUSEMOVE, 125, 95, 0, None)  # released outside
    window.pump()
    assert np.array_equal(desktop.shown[-1], before)


def _press(window: Window, desktop: Desktop, keys: str) -> None:
    for key in keys:
        desktop.keys.append(key)
        window.pump()


def test_n_goes_through_the_ids(window: Window, desktop: Desktop, doings: Doings) -> None:
    chosen = []
    for _ in range(4):
        chosen.append(doings.object_id)
        _press(window, desktop, "n")
    assert chosen == [1, 2, 3, 1]


def test_keys(window: Window, desktop: Desktop, doings: Doings, tmp_path: Path) -> None:
    controls, plain = doings.controls, desktop.shown[-1]
    _press(window, desktop, "hs")
    window.pump()
    assert np.count_nonzero(desktop.shown[-1] != plain) > 500
    assert [path.name for path in tmp_path.iterdir()] == ["edge-vos-000.png"]
    assert cv2.imread(str(tmp_path / "edge-vos-000.png")).shape == (*SIZE, 3)
    for paused in (True, False):
        _press(window, desktop, " ")
        assert controls.paused.is_set() is paused
    for recording in (True, False):
        _press(window, desktop, "v")
        assert doings.recording.is_set() is recording
    desktop.mouse(cv2.EVENT_MOUSEMOVE, 7, 7, 0, None)
    _press(window, desktop, "d")
    assert doings.done == []  # the pointer is on the background
    assert "no object under the pointer" in controls.message
    mask = np.full(SIZE, 2, np.uint8)
    frame = Frame(np.full((*SIZE, 3), 90, np.uint8), 1, 0.0, 0.0, 0.0)
    window.write(frame, FrameResult(mask, np.zeros((4, 30, 40), np.float32), (), {}, 1))
    _press(window, desktop, "d")
    assert doings.done == [("drop", 2)]
    _press(window, desktop, "r")
    assert controls.requests.qsize() == 1
    assert not controls.stop.is_set()
    _press(window, desktop, "q")
    assert controls.stop.is_set()


def test_escape_quits_where_there_is_nothing_to_leave(
    window: Window, desktop: Desktop, doings: Doings
) -> None:
    _press(window, desktop, "\x1b")
    assert doings.controls.stop.is_set()


def test_the_figures_are_shown_and_hidden(window: Window, desktop: Desktop, doings: Doings) -> None:
    doings.controls.stats = LiveStats(30.0, {"infer": 9.5}, 33.0, 100, 2)
    window.pump()
    assert desktop.shown[-1][2, 2, 0] < 40  # on a dark plate
    assert desktop.shown[-1][:50, :120].max() > 200
    _press(window, desktop, "i")
    window.pump()
    assert (desktop.shown[-1][:50] == 90).all()


def test_the_figures_tell_of_named_objects(window: Window) -> None:
    objects = (
        ObjectState(1, 50, (9, 9, 9, 9), 0.934, lost=False, name="cup"),
        ObjectState(2, 0, (0, 0, 0, 0), 0.0, lost=True, name="left hand"),
        ObjectState(3, 50, (9, 9, 9, 9), 0.8, lost=False),
    )
    empty = np.zeros(SIZE, np.uint8)
    result = FrameResult(empty, np.zeros((4, 30, 40), np.float32), objects, {}, 0)
    assert window._figure_lines(result)[2].startswith("3 objects, 1 lost")
    assert window._figure_lines(result)[3:] == ["cup   93%", "left hand   lost"]


def test_recording_is_seen(window: Window, desktop: Desktop, doings: Doings) -> None:
    doings.recording.set()
    window.pump()
    blue, green, red = desktop.shown[-1][10, 150].astype(int)
    assert red > 200 > blue + green


def test_the_close_button_quits(window: Window, desktop: Desktop, doings: Doings) -> None:
    desktop.visible = 0.0
    window.pump()
    assert doings.controls.stop.is_set()
    window.close()
    window.close()


def test_opencv_without_windows_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise cv2.error("The function is not implemented")

    monkeypatch.setattr(cv2, "namedWindow", fail)
    with pytest.raises(SinkError, match=r"no window.*--headless"):
        Window(SIZE, Interaction(Controls()), Painter())
