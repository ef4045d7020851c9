"""What a video can hold, by its suffix, and which encoder makes it; nothing is imported for it."""

from dataclasses import dataclass, field

from edge_vos.errors import SinkError
from edge_vos.runtime.sources.video_library import INSTALL, has_pyav


@dataclass(frozen=True)
class Codec:
    """Describe how FFmpeg makes one kind of video.

    Args:
        software: the encoder that runs everywhere.
        pixels: the format of its pixels.
        options: of the software encoder.
        hardware: encoders of graphics chips, each with its format of pixels; best first.
        alpha_pixels: the format with transparency; empty where it has none.
        alpha_options: of the software encoder then, beside the others.
    """

    software: str
    pixels: str
    options: dict[str, str]
    hardware: dict[str, str] = field(default_factory=dict)
    alpha_pixels: str = ""
    alpha_options: dict[str, str] = field(default_factory=dict)


CODECS = {
    "h264": Codec(
        "libx264",
        "yuv420p",
        {"preset": "veryfast", "crf": "20"},
        hardware={
            "h264_videotoolbox": "yuv420p",
            "h264_nvenc": "yuv420p",
            "h264_qsv": "nv12",
            "h264_amf": "yuv420p",
            "h264_mf": "nv12",
            "h264_v4l2m2m": "yuv420p",
        },
    ),
    "vp9": Codec(
        "libvpx-vp9",
        "yuv420p",
        {"deadline": "realtime", "cpu-used": "8", "crf": "30", "b": "0", "lag-in-frames": "0",
         "row-mt": "1"},
        alpha_pixels="yuva420p",
        alpha_options={"auto-alt-ref": "0"},
    ),
    "av1": Codec("libsvtav1", "yuv420p", {"preset": "10", "crf": "32"}),
    "prores": Codec(
        "prores_ks",
        "yuv422p10le",
        {"profile": "hq"},
        alpha_pixels="yuva444p10le",
        alpha_options={"profile": "4444"},
    ),
}  # fmt: skip

CONTAINERS = {
    ".mkv": ("h264", "vp9", "av1", "prores"),
    ".mp4": ("h264", "av1"),
    ".avi": (),  # one rate and no index of times: OpenCV writes it
    ".mov": ("h264", "prores"),
    ".webm": ("vp9", "av1"),
}
"""What each suffix may hold; the first is what it holds unless another is asked for."""

ALPHA = {".mov": "prores", ".webm": "vp9"}
"""What a matte with transparency is written as."""

WITHOUT_PYAV = (".mkv", ".mp4", ".avi")


def choose_codec(uri: str, suffix: str, asked: str | None, alpha: bool) -> str | None:
    """Return what a video is written as; ``None`` is what OpenCV and this program write.

    Args:
        uri: what the user asked for.
        suffix: of the file, in small letters.
        asked: a codec by name.
        alpha: whether the pictures are transparent beside the objects.

    Raises:
        SinkError: if the container cannot hold it, or it takes PyAV and that is missing.
    """
    choices = CONTAINERS[suffix]
    if asked is not None and (asked not in choices or (alpha and asked != ALPHA[suffix])):
        allowed = (ALPHA[suffix],) if alpha else choices
        raise SinkError(
            f"The output {uri} cannot hold {asked!r}",
            f"for {suffix} one of {', '.join(allowed)}" if allowed else f"no codec for {suffix}",
        )
    if not choices:
        return None
    if has_pyav():
        return asked or (ALPHA[suffix] if alpha else choices[0])
    if asked is not None or suffix not in WITHOUT_PYAV:
        raise SinkError(
            f"The output {uri} takes PyAV, which is not installed",
            f"without it {', '.join(WITHOUT_PYAV)}, and no codec",
            INSTALL,
        )
    return None
