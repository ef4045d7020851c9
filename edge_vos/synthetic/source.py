"""A synthetic scene with exact masks as a source: `synthetic://?size=480x640&objects=3`."""

import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeVar
from urllib.parse import parse_qsl

from edge_vos.errors import SourceError
from edge_vos.runtime.sources.frame import RawFrame, Source
from edge_vos.synthetic.occluders import LONGEST, Schedule
from edge_vos.synthetic.scene import Scene

_T = TypeVar("_T")

SCHEME = "synthetic://"
DEFAULT_FRAMES = 300
CLEAR_FRAMES = 50
"""Frames before anything hides the objects."""

_EXAMPLE = f"{SCHEME}?size=480x640&objects=3&frames=300&seed=0&fps=30"


@dataclass(frozen=True)
class SceneRequest:
    """Say which scene to render.

    Args:
        size: height and width, each 64 to 4096.
        objects: 1 to 10.
        frames: at least 1; ``None`` is without end.
        seed: at least 0; the same seed gives the same frames.
        fps: more than 0, at most 1000.
        occlude: frames for which all objects are hidden, again and again, at most 1,000,000; 0 is
            never.

    Raises:
        SourceError: if a value is out of range.
    """

    size: tuple[int, int] = (480, 640)
    objects: int = 3
    frames: int | None = None
    seed: int = 0
    fps: float = 30.0
    occlude: int = 0

    def __post_init__(self) -> None:
        height, width = self.size
        checks = (
            (all(64 <= side <= 4096 for side in self.size), f"size={height}x{width}", "64 to 4096"),
            (1 <= self.objects <= 10, f"objects={self.objects}", "1 to 10"),
            (self.frames is None or self.frames >= 1, f"frames={self.frames}", "at least 1"),
            (self.seed >= 0, f"seed={self.seed}", "at least 0"),
            (0 < self.fps <= 1000, f"fps={self.fps:g}", "more than 0, at most 1000"),
            (0 <= self.occlude <= LONGEST, f"occlude={self.occlude}", f"0 to {LONGEST}"),
        )
        for ok, value, expected in checks:
            if not ok:
                raise SourceError(f"The synthetic scene cannot have {value}", expected)


def open_synthetic(uri: str, loop: bool = False) -> Source:
    """Open a procedural scene: textured objects that move, turn, scale and hide one another.

    Args:
        uri: ``synthetic://?size=480x640&objects=3&frames=300&seed=0&fps=30``; each part may be
            left out. ``&occlude=30`` has something hide all objects for 30 frames, again and again.
        loop: never end when ``frames`` is left out, instead of after 300.

    Raises:
        SourceError: if an option is unknown or its value is out of range.
    """
    request = parse_scene(uri, None if loop else DEFAULT_FRAMES)
    return Source(
        uri,
        _raw_frames(request),
        fps=request.fps,
        size=request.size,
        frames=request.frames,
        is_endless=request.frames is None,
        has_truth=True,
    )


def parse_scene(uri: str, frames: int | None = None) -> SceneRequest:
    """Read the options of a `synthetic://` URI.

    Args:
        uri: the URI.
        frames: how many when the URI does not say.

    Raises:
        SourceError: if an option is unknown or its value is out of range.
    """
    place, _, query = uri.removeprefix(SCHEME).partition("?")
    if place.strip("/"):
        raise SourceError(f"The source {uri!r} has {place!r} before its options", _EXAMPLE)
    size: tuple[int, int] = SceneRequest.size
    numbers: dict[str, int] = {}
    fps = SceneRequest.fps
    for name, value in parse_qsl(query, keep_blank_values=True):
        match name:
            case "size":
                size = _read(uri, name, value, _size)
            case "fps":
                fps = _read(uri, name, value, float)
            case "objects" | "frames" | "seed" | "occlude":
                numbers[name] = _read(uri, name, value, int)
            case _:
                raise SourceError(
                    f"The synthetic scene has no option {name!r}",
                    "size, objects, frames, seed, fps, occlude",
                    f"Write it as '{_EXAMPLE}'",
                )
    return SceneRequest(
        size=size,
        objects=numbers.get("objects", SceneRequest.objects),
        frames=numbers.get("frames", frames),
        seed=numbers.get("seed", SceneRequest.seed),
        fps=fps,
        occlude=numbers.get("occlude", 0),
    )


def _read(uri: str, name: str, value: str, parse: Callable[[str], _T]) -> _T:
    try:
        return parse(value)
    except ValueError as error:
        raise SourceError(f"{uri!r} has {name}={value!r}", f"as in {_EXAMPLE}") from error


def _size(value: str) -> tuple[int, int]:
    sides = re.fullmatch(r"(\d+)x(\d+)", value)
    if sides is None:
        raise ValueError(value)
    return int(sides[1]), int(sides[2])


def _raw_frames(request: SceneRequest) -> Iterator[RawFrame]:
    scene = Scene(request.size, request.objects, request.seed)
    schedule = Schedule(CLEAR_FRAMES, request.occlude)
    index = 0
    while request.frames is None or index < request.frames:
        start_s = time.perf_counter()
        image, truth = scene.render(index / request.fps)
        if request.occlude:
            schedule.cover(image, truth, index)
        yield RawFrame(image, start_s, truth)
        index += 1
