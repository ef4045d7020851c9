"""The examples for ROS 2 and GStreamer: one runs on fakes, the other in a real pipeline."""

import json
import subprocess
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

from tests.contracts.example import EXAMPLES, load_example

DEBIANS = "/usr/lib/python3/dist-packages"
"""Where apt-get puts GStreamer's binding, which pip does not bring."""

RUN = f"import runpy, sys; sys.path.append({DEBIANS!r}); del sys.argv[0]; "
HAS_GSTREAMER = RUN + (
    "import gi; gi.require_version('GstVideo', '1.0'); gi.require_version('GstBase', '1.0')"
)
RUN_EXAMPLE = RUN + "runpy.run_path(sys.argv[0], run_name='__main__')"


class _Node:
    """Play rclpy's node: keep what is published."""

    def __init__(self, name: str) -> None:
        self.published: dict[str, list[Any]] = {}
        self.parameters: dict[str, Any] = {}

    def declare_parameter(self, name: str, value: Any) -> None:
        self.parameters[name] = SimpleNamespace(value=value)

    def get_parameter(self, name: str) -> Any:
        return self.parameters[name]

    def create_publisher(self, kind: type, topic: str, qos: object) -> Any:
        sent = self.published.setdefault(topic, [])
        return SimpleNamespace(publish=sent.append, get_subscription_count=lambda: 1)

    def create_subscription(self, kind: type, topic: str, callback: Any, qos: object) -> None:
        self.callback = callback


@pytest.fixture
def ros(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The example, loaded with fakes in the place of ROS's own packages."""
    message = type("Message", (), {"header": None})
    for name, has in {
        "rclpy": {},
        "rclpy.node": {"Node": _Node},
        "rclpy.qos": {"qos_profile_sensor_data": None},
        "sensor_msgs": {},
        "sensor_msgs.msg": {"Image": type("Image", (message,), {})},
        "std_msgs": {},
        "std_msgs.msg": {"String": type("String", (message,), {})},
    }.items():
        fake = ModuleType(name)
        vars(fake).update(has)
        monkeypatch.setitem(sys.modules, name, fake)
    return load_example("ros2_node")


def _message(ros: ModuleType, pixels: np.ndarray, encoding: str, padding: int = 0) -> Any:
    rows = pixels.reshape(len(pixels), -1)
    message = ros.Image()
    message.header = "camera"
    message.height, message.width, message.encoding = *pixels.shape[:2], encoding
    message.step = rows.shape[1] + padding
    message.data = np.pad(rows, ((0, 0), (0, padding)), constant_values=9).tobytes()
    return message


def test_a_message_of_ros_is_read_by_its_encoding(ros: ModuleType) -> None:
    bgr = np.arange(4 * 5 * 3, dtype=np.uint8).reshape(4, 5, 3)
    alpha = np.full((4, 5, 1), 255, np.uint8)
    for encoding, pixels in {
        "bgr8": bgr,
        "rgb8": bgr[..., ::-1],
        "bgra8": np.dstack([bgr, alpha]),
        "rgba8": np.dstack([bgr[..., ::-1], alpha]),
    }.items():
        read = ros.image_from(_message(ros, pixels, encoding, padding=3))
        np.testing.assert_array_equal(read, bgr, err_msg=encoding)
    grey = ros.image_from(_message(ros, bgr[..., 0], "mono8"))
    np.testing.assert_array_equal(grey, np.repeat(bgr[..., :1], 3, axis=2))
    with pytest.raises(ValueError, match="yuv422"):
        ros.image_from(_message(ros, bgr, "yuv422"))


def test_the_ros_node_follows_the_box_and_keeps_the_header(ros: ModuleType) -> None:
    node = ros.SegmenterNode()
    node.parameters["box"].value = [60, 40, 60, 60]
    for step in range(3):
        frame = np.full((120, 160, 3), 40, np.uint8)
        frame[45:95, 65 + 2 * step : 115 + 2 * step] = (30, 60, 220)
        node.callback(_message(ros, frame, "bgr8"))
    assert {topic: len(sent) for topic, sent in node.published.items()} == {
        "mask": 3, "overlay": 3, "objects": 3,
    }  # fmt: skip
    mask, overlay = node.published["mask"][-1], node.published["overlay"][-1]
    assert (mask.header, mask.encoding, mask.step, overlay.step) == ("camera", "mono8", 160, 480)
    found = np.frombuffer(mask.data, np.uint8).reshape(120, 160)
    truth = np.zeros((120, 160), bool)
    truth[45:95, 69:119] = True
    assert (truth & (found == 1)).sum() > 0.7 * (truth | (found == 1)).sum()
    (told,) = json.loads(node.published["objects"][-1].data)["objects"]
    assert (told["id"], told["lost"], told["area_px"]) == (1, False, (found == 1).sum())


@pytest.fixture(scope="module")
def gstreamer() -> None:
    done = subprocess.run([sys.executable, "-c", HAS_GSTREAMER, ""], capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"GStreamer's Python binding is not there: {done.stderr.splitlines()[-1]}")


def _pipeline(text: str) -> "subprocess.CompletedProcess[str]":
    program = [sys.executable, "-c", RUN_EXAMPLE, str(EXAMPLES / "gstreamer_element.py"), text]
    return subprocess.run(program, capture_output=True, text=True, timeout=300)


@pytest.mark.usefixtures("gstreamer")
def test_the_gstreamer_element_runs_in_a_pipeline(tmp_path: Path) -> None:
    raw = tmp_path / "masks.raw"
    done = _pipeline(
        "videotestsrc num-buffers=4 pattern=ball ! video/x-raw,width=318,height=240 ! "
        f"videoconvert ! edgevos box=0,0,318,240 output=mask ! filesink location={raw}"
    )
    assert done.returncode == 0, done.stderr
    frames = [json.loads(line) for line in done.stdout.splitlines()]
    assert [[each["id"] for each in objects] for objects in frames] == [[1]] * 4
    stride = (3 * 318 + 3) // 4 * 4  # rows of GStreamer's pictures begin at multiples of four
    pixels = np.fromfile(raw, np.uint8).reshape(4, 240, stride)[:, :, : 3 * 318]
    assert set(np.unique(pixels).tolist()) <= {0, 1}
    assert pixels.any()


@pytest.mark.usefixtures("gstreamer")
def test_the_gstreamer_element_tells_what_is_wrong() -> None:
    done = _pipeline("videotestsrc num-buffers=2 ! videoconvert ! edgevos box=1,2 ! fakesink")
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert "box" in done.stderr
