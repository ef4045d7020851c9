"""The window's keys and mouse, with OpenCV's own windows replaced: there may be no display."""

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge_vos.errors import SinkError
from edge_vos.runtime.controls import Controls
from edge_vos.runtime.drawing import Painter
from edge_vos.runtime.frame import Frame
from edge_vos.runtime.segmenter import FrameResult
from edge_vos.runtime.window import Window

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
        patch.setattr(cv2, "imshow", lambda _, picture: self.shown.append(picture))
        patch.setattr(cv2, "pollKey", lambda: ord(self.keys.pop(0)) if self.keys else -1)

    def drag(self, x0: int, y0: int, x1: int, y1: int) -> None:
        held = cv2.EVENT_FLAG_LBUTTON
        self.mouse(cv2.EVENT_LBUTTONDOWN, x0, y0, held, None)
        self.mouse(cv2.EVENT_MOUSEMOVE, (x0 + x1) // 2, (y0 + y1) // 2, held, None)
        self.mouse(cv2.EVENT_LBUTTONUP, x1, y1, 0, None)


class Asked:
    """Write down what a segmenter is asked for."""

    def __init__(self) -> None:
        self.calls: list[object] = []

    def prompt_box(self, box: object, object_id: int) -> None:
        self.calls.append(("box", box, object_id))

    def prompt_point(self, xy: object, object_id: int) -> None:
        self.calls.append(("point", xy, object_id))


@pytest.fixture
def desktop(monkeypatch: pytest.MonkeyPatch) -> Desktop:
    return Desktop(monkeypatch)


@pytest.fixture
def controls() -> Controls:
    return Controls(objects=3)


@pytest.fixture
def window(desktop: Desktop, controls: Controls, tmp_path: Path) -> Window:
    window = Window(SIZE, controls, Painter(), tmp_path)
    frame = Frame(np.full((*SIZE, 3), 90, np.uint8), 0, 0.0, 0.0, 0.0)
    empty = np.zeros(SIZE, np.uint8)
    window.write(frame, FrameResult(empty, np.zeros((4, 30, 40), np.float32), (), {}, 0))
    return window


def _asked(controls: Controls) -> list[object]:
    asked = Asked()
    controls.apply(asked)  # type: ignore[arg-type]
    return asked.calls


def test_a_drag_is_a_box_and_a_click_a_point(
    window: Window, desktop: Desktop, controls: Controls
) -> None:
    desktop.drag(100, 80, 40, 20)
    desktop.drag(30, 30, 31, 30)
    assert _asked(controls) == [("box", (40, 20, 60, 60), 1), ("point", (31, 30), 1)]


def test_a_drag_is_shown_while_it_lasts(window: Window, desktop: Desktop) -> None:
    window.pump()
    before = desktop.shown[-1]
    desktop.mouse(cv2.EVENT_LBUTTONDOWN, 60, 60, cv2.EVENT_FLAG_LBUTTON, None)
    desktop.mouse(cv2.EVENT_MOUSEMOVE, 120, 100, cv2.EVENT_FLAG_LBUTTON, None)
    window.pump()
    assert (desktop.shown[-1][100, 60:120] != before[100, 60:120]).any()
    desktop.mouse(cv2.EVENT_MOUSEMOVE, 125, 105, 0, None)  # released outside
    window.pump()
    assert np.array_equal(desktop.shown[-1], before)


def test_n_goes_through_the_ids(window: Window, desktop: Desktop, controls: Controls) -> None:
    for _ in range(4):
        desktop.drag(10, 10, 50, 50)
        desktop.keys.append("n")
        window.pump()
    assert [call[2] for call in _asked(controls)] == [1, 2, 3, 1]  # type: ignore[index]


def test_keys(window: Window, desktop: Desktop, controls: Controls, tmp_path: Path) -> None:
    plain = desktop.shown[-1]
    for key in ["h", "s"]:
        desktop.keys.append(key)
        window.pump()
    window.pump()
    assert np.count_nonzero(desktop.shown[-1] != plain) > 500
    assert [path.name for path in tmp_path.iterdir()] == ["edge-vos-000.png"]
    assert cv2.imread(str(tmp_path / "edge-vos-000.png")).shape == (*SIZE, 3)
    for paused in (True, False):
        desktop.keys.append(" ")
        window.pump()
        assert controls.paused.is_set() is paused
    desktop.keys.append("r")
    window.pump()
    assert controls.requests.qsize() == 1
    assert not controls.stop.is_set()
    desktop.keys.append("q")
    window.pump()
    assert controls.stop.is_set()


def test_the_close_button_quits(window: Window, desktop: Desktop, controls: Controls) -> None:
    desktop.visible = 0.0
    window.pump()
    assert controls.stop.is_set()
    window.close()
    window.close()


def test_opencv_without_windows_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise cv2.error("The function is not implemented")

    monkeypatch.setattr(cv2, "namedWindow", fail)
    with pytest.raises(SinkError, match=r"no window.*--headless"):
        Window(SIZE, Controls(), Painter())
