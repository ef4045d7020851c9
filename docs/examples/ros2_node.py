"""Segment a ROS 2 image topic: `image_raw` in, `mask` (ids), `overlay` and `objects` (JSON) out.

    ros2 run image_tools cam2image
    python docs/examples/ros2_node.py --ros-args -r image_raw:=/image -p box:="[120, 80, 200, 160]"

Each topic holds the newest message alone, so a slow step drops frames and never queues them.
"""

import json
import sys

import numpy as np
import rclpy
from numpy.typing import NDArray
from rclpy.node import Node
from rclpy.qos import qos_profile_sensor_data
from sensor_msgs.msg import Image
from std_msgs.msg import String

from edge_vos import EdgeVosError, FrameResult, Segmenter, open_bundle

CHANNELS = {"bgr8": 3, "rgb8": 3, "bgra8": 4, "rgba8": 4, "mono8": 1}


def image_from(message: Image) -> NDArray[np.uint8]:
    """Return a message's pixels: (H, W, 3) uint8, BGR.

    Raises:
        ValueError: if its encoding is not one of ``CHANNELS``.
    """
    channels = CHANNELS.get(message.encoding)
    if channels is None:
        raise ValueError(f"the encoding {message.encoding!r} is not one of {', '.join(CHANNELS)}")
    rows = np.frombuffer(message.data, np.uint8).reshape(message.height, message.step)
    pixels = rows[:, : message.width * channels].reshape(message.height, message.width, channels)
    if channels == 1:
        return np.repeat(pixels, 3, axis=2)
    order = [2, 1, 0] if message.encoding.startswith("rgb") else [0, 1, 2]
    return np.ascontiguousarray(pixels[..., order])


def message_of(pixels: NDArray[np.uint8], encoding: str, taken: Image) -> Image:
    """Return pixels as a message with the time and the frame of reference of another."""
    message = Image()
    message.header = taken.header
    message.height, message.width = pixels.shape[:2]
    message.encoding, message.step = encoding, pixels.strides[0]
    message.data = pixels.tobytes()
    return message


def describe(result: FrameResult) -> str:
    """Return the objects of a frame as JSON."""
    objects = [
        {"id": state.id, "box_xywh": state.box_xywh, "lost": state.lost}
        | {"area_px": state.area_px, "confidence": round(state.confidence, 3)}
        for state in result.objects
    ]
    return json.dumps({"frame": result.frame_index, "objects": objects})


class SegmenterNode(Node):  # type: ignore[misc]  # rclpy has no types
    """Follow what the parameter `box` holds in the first frame."""

    def __init__(self) -> None:
        super().__init__("edge_vos")
        self.declare_parameter("box", [0, 0, 0, 0])
        self.segmenter = Segmenter(open_bundle())
        self.masks = self.create_publisher(Image, "mask", qos_profile_sensor_data)
        self.overlays = self.create_publisher(Image, "overlay", qos_profile_sensor_data)
        self.objects = self.create_publisher(String, "objects", 1)
        self.create_subscription(Image, "image_raw", self.step, qos_profile_sensor_data)

    def step(self, message: Image) -> None:
        """Segment one message, and publish what was found."""
        frame = image_from(message)
        if not self.segmenter.object_ids:
            box = tuple(self.get_parameter("box").value)
            height, width = frame.shape[:2]
            middle = (width // 4, height // 4, width // 2, height // 2)
            self.segmenter.prompt_box(box if any(box) else middle)
        result = self.segmenter.step(frame)
        self.masks.publish(message_of(result.mask, "mono8", message))
        if self.overlays.get_subscription_count():
            tinted = frame.copy()
            on = result.mask > 0
            tinted[on] = tinted[on] // 2 + np.array([0, 128, 0], np.uint8)
            self.overlays.publish(message_of(tinted, "bgr8", message))
        text = String()
        text.data = describe(result)
        self.objects.publish(text)


def main() -> None:
    """Run until Ctrl-C."""
    rclpy.init()
    node = SegmenterNode()
    try:
        rclpy.spin(node)
    except KeyboardInterrupt:
        pass
    finally:
        node.destroy_node()
        rclpy.try_shutdown()


if __name__ == "__main__":
    try:
        main()
    except EdgeVosError as error:
        sys.exit(str(error))
