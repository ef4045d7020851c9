"""One file that holds training material: a stored zip of JPEG and PNG files and their index.

Pictures that are no higher than asked for go in as they are, so that a run on the pack sees the
batches that a run on the folders would have seen. Where the limit forces less, the index says so.
"""

import json
import os
import zipfile
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import cv2

from edge_vos.distill.data.footage import (
    Source,
    StillFiles,
    VideoFiles,
    decode_frame,
    decode_labels,
    decode_mask,
    limit_height,
)
from edge_vos.errors import DatasetError, SinkError
from edge_vos.evaluate.pictures import as_sink_error, refuse_existing

SUFFIX = ".pack"
INDEX = "index.json"
FORMAT = 1
SAMPLE = 16
"""Of so many pictures one is encoded to see how large all would be."""

LARGEST_HEIGHT = 2**15
MEMBER_BYTES = 150
"""What a member of the zip takes beside its content, about."""

SCALED_QUALITY = 90
"""Of JPEGs that have to be scaled down anyway."""


@dataclass(frozen=True)
class Saving:
    """Say how pictures are made to take less: None keeps JPEGs of the right height as they are."""

    quality: int | None
    stride: int

    def in_words(self) -> list[str]:
        """Name what is held back, or nothing."""
        words = [f"JPEG quality {self.quality}"] if self.quality else []
        return words + ([f"every {_ordinal(self.stride)} frame of videos"] * (self.stride > 1))


SAVINGS = tuple(
    Saving(quality, stride)
    for quality, stride in (
        (None, 1), (85, 1), (75, 1), (75, 2), (65, 2), (55, 2), (55, 3), (45, 3), (45, 4), (40, 6)
    )
)  # fmt: skip
"""From nothing to the most that is held back to meet the limit, in the order in which it is tried.
The stride comes late: neighbouring frames are what a video has over photographs."""


@dataclass(frozen=True)
class PackedMaterial:
    """Hold what a pack holds.

    Args:
        videos: with the bytes of their pictures.
        stills: with the bytes of their pictures.
        height: lines to which pictures were scaled down.
        held_back: what was done to meet the limit, in words.
    """

    videos: list[VideoFiles]
    stills: list[StillFiles]
    height: int
    held_back: list[str] = field(default_factory=list)

    @property
    def pictures(self) -> int:
        """Count frames and photographs."""
        return sum(len(video.frames) for video in self.videos) + len(self.stills)


def write_pack(
    path: Path,
    videos: Sequence[VideoFiles],
    stills: Sequence[StillFiles],
    height: int,
    limit_bytes: int,
    progress: Callable[[str], None] = lambda _: None,
) -> PackedMaterial:
    """Write the pictures into one file of at most so many bytes.

    Args:
        path: of the file; it appears whole or not at all.
        videos: names are unique.
        stills: photographs.
        height: lines to which pictures are scaled down.
        limit_bytes: largest file.
        progress: told what is tried, in words.

    Returns:
        what the file holds.

    Raises:
        SinkError: if the limit cannot be met, or the file exists or cannot be written.
        DatasetError: if there is nothing to pack, or a picture cannot be decoded.
    """
    refuse_existing(path)
    if not videos and not stills:
        raise DatasetError("there is nothing to pack", "videos or stills with masks")
    names = Counter(video.name for video in videos)
    if twice := [name for name, count in names.items() if count > 1]:
        raise DatasetError(f"there are several videos {twice[0]!r}", "a name for each")
    with ThreadPoolExecutor() as pool:
        masked = _with_masks(videos, stills, height, pool)
        for saving in SAVINGS:
            thinned = _thinned(masked, saving)
            encode = partial(_jpeg, height=height, quality=saving.quality)
            frames = _frames(thinned)
            sizes = [len(content) for content in pool.map(encode, frames[::SAMPLE])]
            a_frame = sum(sizes) / len(sizes) + MEMBER_BYTES
            if len(frames) * a_frame + _stored_bytes(thinned) > limit_bytes:
                continue
            progress(f"packing with {' and '.join(saving.in_words()) or 'nothing held back'}")
            packed = _with_frames(thinned, list(pool.map(encode, frames)))
            if _stored_bytes(packed) <= limit_bytes:
                _write_zip(path, packed)
                return packed
    raise SinkError(
        f"the material does not fit into {limit_bytes / 2**20:.0f} MiB",
        f"at most {' and '.join(SAVINGS[-1].in_words())}",
        "Give a larger --limit-mib, a smaller --height, or fewer folders",
    )


def read_pack(path: Path) -> PackedMaterial:
    """Read a pack into memory, encoded as it is.

    Raises:
        DatasetError: if it is no pack, or damaged.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            index = json.loads(archive.read(INDEX))
            if index["format"] != FORMAT:
                raise ValueError(f"format {index['format']}")
            return _from_index(index, archive)
    except (OSError, KeyError, TypeError, ValueError, zipfile.BadZipFile) as error:
        raise DatasetError(
            f"{path} cannot be read as a pack: {error}", f"format {FORMAT}",
            "Make it again with edge-vos train pack",
        ) from error  # fmt: skip


def _with_masks(
    videos: Sequence[VideoFiles], stills: Sequence[StillFiles], height: int, pool: Executor
) -> PackedMaterial:
    """Encode the masks, which are the same whatever is held back; frames stay where they are."""
    binary = partial(_binary_png, height=height)
    labels = pool.map(partial(_label_png, height=height), [still.labels for still in stills])
    return PackedMaterial(
        [
            VideoFiles(video.name, video.frames, tuple(pool.map(binary, video.masks)))
            for video in videos
        ],
        [
            StillFiles(still.frame, encoded, still.parts)
            for still, encoded in zip(stills, labels, strict=True)
        ],
        height,
    )


def _thinned(material: PackedMaterial, saving: Saving) -> PackedMaterial:
    step = slice(None, None, saving.stride)
    videos = [VideoFiles(one.name, one.frames[step], one.masks[step]) for one in material.videos]
    return PackedMaterial(videos, material.stills, material.height, saving.in_words())


def _frames(material: PackedMaterial) -> list[Source]:
    """Name all pictures but the masks, in order."""
    of_videos = [frame for video in material.videos for frame in video.frames]
    return of_videos + [still.frame for still in material.stills]


def _with_frames(material: PackedMaterial, frames: Sequence[bytes]) -> PackedMaterial:
    """Put others in the place of all pictures but the masks, in the same order."""
    rest = iter(frames)
    videos = [
        VideoFiles(video.name, tuple(islice(rest, len(video.frames))), video.masks)
        for video in material.videos
    ]
    stills = [StillFiles(next(rest), still.labels, still.parts) for still in material.stills]
    return PackedMaterial(videos, stills, material.height, material.held_back)


def _jpeg(source: Source, height: int, quality: int | None) -> bytes:
    """Return the file as it is where it is a JPEG of the right height, or encode it anew."""
    content = _content(source)
    picture = decode_frame(source, LARGEST_HEIGHT)
    fits = picture.shape[0] <= height
    if quality is None and fits:
        return content
    setting = [cv2.IMWRITE_JPEG_QUALITY, quality or SCALED_QUALITY]
    scaled = limit_height(picture, cv2.INTER_AREA, height)
    encoded = cv2.imencode(".jpg", scaled, setting)[1].tobytes()
    return content if fits and len(content) <= len(encoded) else encoded


def _binary_png(source: Source, height: int) -> bytes:
    mask = decode_mask(source, height)
    return cv2.imencode(".png", mask * 255, [cv2.IMWRITE_PNG_BILEVEL, 1])[1].tobytes()


def _label_png(source: Source, height: int) -> bytes:
    labels = decode_labels(source, height)
    return cv2.imencode(".png", labels)[1].tobytes()


def _content(source: Source) -> bytes:
    if isinstance(source, bytes):
        return source
    try:
        return source.read_bytes()
    except OSError as error:
        raise DatasetError(f"{source} cannot be read: {error}", "an image file") from error


def _members(packed: PackedMaterial) -> dict[str, bytes]:
    """Name every picture of a pack; its sources are bytes."""
    named: dict[str, Source] = {}
    for video in packed.videos:
        for index, (frame, mask) in enumerate(zip(video.frames, video.masks, strict=True)):
            named[f"videos/{video.name}/{index:05d}.jpg"] = frame
            named[f"videos/{video.name}/{index:05d}.png"] = mask
    for index, still in enumerate(packed.stills):
        named[f"stills/{index:05d}.jpg"] = still.frame
        named[f"stills/{index:05d}.png"] = still.labels
    return {name: source for name, source in named.items() if isinstance(source, bytes)}


def _index(packed: PackedMaterial) -> dict[str, Any]:
    return {
        "format": FORMAT,
        "height": packed.height,
        "held_back": packed.held_back,
        "videos": [{"name": v.name, "frames": len(v.frames)} for v in packed.videos],
        "stills": [list(still.parts) for still in packed.stills],
    }


def _from_index(index: dict[str, Any], archive: zipfile.ZipFile) -> PackedMaterial:
    videos = []
    for entry in index["videos"]:
        stems = [f"videos/{entry['name']}/{number:05d}" for number in range(entry["frames"])]
        frames = tuple(archive.read(f"{stem}.jpg") for stem in stems)
        masks = tuple(archive.read(f"{stem}.png") for stem in stems)
        videos.append(VideoFiles(entry["name"], frames, masks))
    stills = [
        StillFiles(
            archive.read(f"stills/{number:05d}.jpg"),
            archive.read(f"stills/{number:05d}.png"),
            tuple(parts),
        )
        for number, parts in enumerate(index["stills"])
    ]
    return PackedMaterial(videos, stills, int(index["height"]), list(index["held_back"]))


def _stored_bytes(packed: PackedMaterial) -> int:
    """Return the size of the zip: a member takes its name twice and 76 bytes beside its content."""
    members = {**_members(packed), INDEX: json.dumps(_index(packed)).encode()}
    return 22 + sum(len(content) + 2 * len(name) + 76 for name, content in members.items())


def _write_zip(path: Path, packed: PackedMaterial) -> None:
    temporary = path.with_name(f"{path.name}.tmp")
    try:
        with as_sink_error(path):
            with zipfile.ZipFile(temporary, "w", zipfile.ZIP_STORED) as archive:
                archive.writestr(_info(INDEX), json.dumps(_index(packed)))
                for name, content in _members(packed).items():
                    archive.writestr(_info(name), content)
            os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def _info(name: str) -> zipfile.ZipInfo:
    """Describe a member without a date, so that the same material gives the same file."""
    return zipfile.ZipInfo(name)


def _ordinal(number: int) -> str:
    return {2: "2nd", 3: "3rd"}.get(number, f"{number}th")
