"""Let a teacher label footage: what a student learns from holds no label that a person drew.

A teacher that learned from labels follows the first mask of each training video, and segments each
photograph from a turned copy of it. Footage without any label goes through ``proposals`` instead.
The result is a folder like any other training data, to be looked at and used again.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_vos.distill.data.footage import Still, Video
from edge_vos.distill.eager import eager_model
from edge_vos.evaluate.pictures import as_sink_error, staged_folder
from edge_vos.model.student import Student
from edge_vos.runtime.segmenter import Segmenter

Image = NDArray[np.uint8]
Progress = Callable[[str], None]

MOST_PARTS = 10
LARGEST_SIDE = 640
"""Of the network's image in pixels, where a teacher follows what it was shown."""

JPEG_QUALITY = 95
TURN_DEGREES = 4.0
GROWTH = 1.05


def label_videos(teacher: Student, videos: Sequence[Video], progress: Progress) -> Iterator[Video]:
    """Yield the videos with the teacher's masks; of their own, only the first one is read."""
    for video in videos:
        progress(f"the teacher labels {video.name}, {len(video.frames)} frames")
        segmenter = begin_following(teacher, video.frames[0].shape)
        segmenter.prompt(video.masks[0])
        yield replace(video, masks=[segmenter.step(frame).mask for frame in video.frames])


def label_stills(teacher: Student, stills: Sequence[Still], progress: Progress) -> Iterator[Still]:
    """Yield the photographs in which the teacher found the parts again, largest ten each."""
    for index, still in enumerate(stills):
        if index % 100 == 0:
            progress(f"the teacher labels photographs, {index} of {len(stills)} done")
        labels = _find_parts(teacher, still)
        parts = tuple(int(i) for i in np.unique(labels) if i)
        if parts:
            yield Still(still.frame, labels, parts)


def begin_following(
    teacher: Student, frame_shape: tuple[int, ...], largest_side: int = LARGEST_SIDE
) -> Segmenter:
    """Return a teacher that follows nothing yet, at the size that suits such frames.

    Its masks are taken as they are: the limits of ``presence`` were chosen on the student's keys.
    """
    return Segmenter(eager_model(teacher, image_size(frame_shape, largest_side)), confirm=False)


def image_size(frame_shape: tuple[int, ...], largest_side: int) -> tuple[int, int]:
    """Return the network's (height, width) for a frame: the longer side so many pixels at most."""
    height, width = frame_shape[:2]
    scale = min(1.0, largest_side / max(height, width))
    return max(64, round(height * scale / 16) * 16), max(64, round(width * scale / 16) * 16)


def write_footage(folder: Path, videos: Iterable[Video], stills: Iterable[Still]) -> None:
    """Write training data in the layout that ``load_videos`` and ``load_stills`` read.

    The folder appears complete or not at all.

    Args:
        folder: to be made.
        videos: taken one after the other; of those with one name, the later get a number.
        stills: likewise.

    Raises:
        SinkError: if the folder exists or cannot be written.
    """
    with staged_folder(folder) as partial, as_sink_error(folder):
        for parts in ("JPEGImages/480p", "Annotations/480p", "images", "labels"):
            (partial / parts).mkdir(parents=True)
        names: Counter[str] = Counter()
        for video in videos:
            names[video.name] += 1
            number = names[video.name]
            name = video.name if number == 1 else f"{video.name}~{number}"
            pictures = partial / "JPEGImages" / "480p" / name
            masks = partial / "Annotations" / "480p" / name
            pictures.mkdir()
            masks.mkdir()
            for index, (frame, mask) in enumerate(zip(video.frames, video.masks, strict=True)):
                _write_jpeg(pictures / f"{index:05d}.jpg", frame)
                _write_png(masks / f"{index:05d}.png", (mask > 0).astype(np.uint8) * 255)
        for index, still in enumerate(stills):
            _write_jpeg(partial / "images" / f"{index:05d}.jpg", still.frame)
            _write_png(partial / "labels" / f"{index:05d}.png", still.labels)


def _find_parts(teacher: Student, still: Still) -> Image:
    """Segment a photograph from the labels of a turned and grown copy of it."""
    counts = np.bincount(still.labels.ravel(), minlength=256)
    chosen = sorted(still.parts, key=lambda part: -counts[part])[:MOST_PARTS]
    prompt = np.zeros_like(still.labels)
    for number, part in enumerate(chosen, start=1):
        prompt[still.labels == part] = number
    height, width = prompt.shape
    turn = cv2.getRotationMatrix2D((width / 2, height / 2), TURN_DEGREES, GROWTH)
    turned = cv2.warpAffine(
        still.frame, turn, (width, height), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT
    )
    turned_prompt = cv2.warpAffine(prompt, turn, (width, height), flags=cv2.INTER_NEAREST)
    if not turned_prompt.any():
        return np.zeros_like(prompt)
    segmenter = begin_following(teacher, prompt.shape)
    segmenter.prompt(np.asarray(turned_prompt, np.uint8))
    segmenter.step(np.asarray(turned, np.uint8))
    found = segmenter.step(still.frame).mask
    return np.array([0, *chosen, *[0] * (255 - len(chosen))], np.uint8)[found]


def _write_jpeg(path: Path, picture: Image) -> None:
    _, encoded = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    path.write_bytes(encoded.tobytes())


def _write_png(path: Path, mask: Image) -> None:
    path.write_bytes(cv2.imencode(".png", mask)[1].tobytes())
