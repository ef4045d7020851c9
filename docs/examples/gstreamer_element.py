"""A GStreamer element that segments: `edgevos`, between any source and any sink.

Run a pipeline with it:

    python docs/examples/gstreamer_element.py "videotestsrc ! edgevos ! fakesink"

It takes and gives BGR. It paints each object's pixels, or with `output=mask` their ids as grey.
It posts an element message `edge-vos` with the objects of each frame.
"""

import json
import sys
from typing import Any

import gi
import numpy as np

gi.require_version("Gst", "1.0")
gi.require_version("GstBase", "1.0")
gi.require_version("GstVideo", "1.0")
from gi.repository import GLib, GObject, Gst, GstBase, GstVideo  # noqa: E402

from edge_vos import EdgeVosError, Segmenter, open_bundle  # noqa: E402

Gst.init(None)
CAPS = Gst.Caps.from_string("video/x-raw,format=BGR")
TINT = np.array([0, 160, 0], np.uint16)


def box_of(text: str) -> tuple[int, int, int, int]:
    """Read X,Y,W,H.

    Raises:
        ValueError: if it is not written so.
    """
    try:
        x, y, width, height = (int(part) for part in text.split(","))
    except ValueError as error:
        raise ValueError(f"box={text} is not X,Y,W,H in whole pixels") from error
    return x, y, width, height


class EdgeVos(GstBase.BaseTransform):  # type: ignore[misc]  # GStreamer's binding has no types
    """Segment each buffer in place."""

    __gstmetadata__ = (
        "Video object segmentation", "Filter/Effect/Video", "Follows an object", "edge-vos",
    )  # fmt: skip
    __gsttemplates__ = (
        Gst.PadTemplate.new("sink", Gst.PadDirection.SINK, Gst.PadPresence.ALWAYS, CAPS),
        Gst.PadTemplate.new("src", Gst.PadDirection.SRC, Gst.PadPresence.ALWAYS, CAPS),
    )
    box = GObject.Property(type=str, default="", nick="X,Y,W,H in the first frame; its middle else")
    output = GObject.Property(type=str, default="overlay", nick="overlay or mask")

    def __init__(self) -> None:
        super().__init__()
        self.set_in_place(True)
        self.info: Any = None
        self.segmenter: Segmenter | None = None

    def do_start(self) -> bool:
        """Load the bundle that ships, when the pipeline starts."""
        self.segmenter = Segmenter(open_bundle())
        return True

    def do_set_caps(self, incaps: Any, _: Any) -> bool:
        """Take the size and the stride of what comes."""
        self.info = GstVideo.VideoInfo.new_from_caps(incaps)
        return True

    def do_transform_ip(self, buffer: Any) -> Any:
        """Segment one frame where it lies."""
        assert self.segmenter is not None
        done, memory = buffer.map(Gst.MapFlags.READ | Gst.MapFlags.WRITE)
        if not done:
            return Gst.FlowReturn.ERROR
        try:
            height, width, stride = self.info.height, self.info.width, self.info.stride[0]
            rows = np.frombuffer(memory.data, np.uint8).reshape(height, stride)
            frame = rows[:, : 3 * width].reshape(height, width, 3)
            if not self.segmenter.object_ids:
                middle = (width // 4, height // 4, width // 2, height // 2)
                self.segmenter.prompt_box(box_of(self.box) if self.box else middle)
            result = self.segmenter.step(np.ascontiguousarray(frame))
            if self.output == "mask":
                frame[:] = result.mask[..., np.newaxis]
            else:
                on = result.mask > 0
                frame[on] = (frame[on] + TINT) // 2
        except (EdgeVosError, ValueError) as error:
            why = GLib.Error.new_literal(Gst.StreamError.quark(), str(error), 1)
            self.post_message(Gst.Message.new_error(self, why, ""))
            return Gst.FlowReturn.ERROR
        finally:
            buffer.unmap(memory)
        found = [
            {"id": state.id, "box_xywh": state.box_xywh, "lost": state.lost}
            for state in result.objects
        ]
        told = Gst.Structure.new_empty("edge-vos")
        told.set_value("objects", json.dumps(found))
        self.post_message(Gst.Message.new_element(self, told))
        return Gst.FlowReturn.OK


GObject.type_register(EdgeVos)
Gst.Element.register(None, "edgevos", Gst.Rank.NONE, EdgeVos)


def run(pipeline: str) -> list[str]:
    """Run a pipeline to its end.

    Returns:
        the objects of each frame, as JSON.

    Raises:
        RuntimeError: if an element fails.
    """
    told: list[str] = []
    playing = Gst.parse_launch(pipeline)
    playing.set_state(Gst.State.PLAYING)
    wanted = Gst.MessageType.EOS | Gst.MessageType.ERROR | Gst.MessageType.ELEMENT
    try:
        while True:
            message = playing.get_bus().timed_pop_filtered(Gst.CLOCK_TIME_NONE, wanted)
            if message.type == Gst.MessageType.EOS:
                return told
            if message.type == Gst.MessageType.ERROR:
                raise RuntimeError(message.parse_error()[0].message)
            if message.get_structure().get_name() == "edge-vos":
                told.append(message.get_structure().get_value("objects"))
    finally:
        playing.set_state(Gst.State.NULL)


if __name__ == "__main__":
    try:
        print("\n".join(run(" ".join(sys.argv[1:]))))
    except (RuntimeError, GLib.Error) as error:
        sys.exit(str(error))
