"""Read YouTube-VOS as it is unpacked: a folder a split, each with its ``meta.json``.

Paper: https://arxiv.org/abs/1809.03327

``valid/JPEGImages/<video>/*.jpg``, ``valid/Annotations/<video>/*.png`` and ``valid/meta.json``,
which names each video's objects, with their categories and the frames to be measured. An object
may enter at any frame: it is given where a mask first shows it. The official validation and test
splits hold those masks alone; there are no masks to measure by in them.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from edge_vos.errors import DatasetError
from edge_vos.evaluate.sequences import Dataset, VideoSequence, pair_masks, require_known

PROTOCOL = "youtube-vos"
DEFAULT_SPLIT = "valid"
PARTS = ("JPEGImages", "Annotations", "meta.json")
MEANT = "valid/JPEGImages, valid/Annotations and valid/meta.json in it, or another split's"

_SEEN = """
airplane ape bear bike bird boat bucket bus camel cat cow crocodile deer dog dolphin duck eagle
earless_seal elephant fish fox frisbee frog giant_panda giraffe hand hat hedgehog horse knife
leopard lion lizard monkey motorbike mouse others owl paddle parachute parrot penguin person plant
rabbit raccoon sedan shark sheep sign skateboard snail snake snowboard squirrel surfboard
tennis_racket tiger toilet train truck turtle umbrella whale zebra
"""
SEEN = frozenset(_SEEN.split())
"""The 65 categories of the official training split; any other is unseen."""


def read_youtube_vos(
    root: str | Path, sequences: Sequence[str] | None = None, split: str | None = None
) -> Dataset:
    """Find the videos of a split; no picture is opened yet.

    Categories are seen when ``train/meta.json`` next to the split names them; where there is none,
    when the official training split does.

    Args:
        root: the folder of the splits, or the folder of one.
        sequences: only these, in this order; every video by default.
        split: the split's folder; None is ``valid``, or the only one that is there.

    Raises:
        DatasetError: if a folder, ``meta.json`` or video is missing or not understood.
    """
    folder = _split_folder(Path(root), split)
    videos = _read_meta(folder / "meta.json")
    chosen = sorted(videos) if sequences is None else sequences
    if not chosen:
        raise DatasetError(f"{folder / 'meta.json'} names no video", "at least one")
    require_known(chosen, sorted(videos), folder / "meta.json")
    train = folder.parent / "train" / "meta.json"
    seen = SEEN
    if train.is_file() and train.parent != folder:
        seen = frozenset(
            category
            for objects in _read_meta(train).values()
            for category, _ in objects.values()
            if category
        )
    return Dataset(
        folder, PROTOCOL, tuple(_read_video(folder, name, videos[name]) for name in chosen), seen
    )


_Objects = Mapping[int, tuple[str | None, tuple[str, ...]]]


def _split_folder(root: Path, split: str | None) -> Path:
    if not root.is_dir():
        raise DatasetError(f"{root} is not a folder", "the folder of YouTube-VOS")
    if split is None and _is_split(root):
        return root
    found = sorted(child.name for child in root.iterdir() if _is_split(child))
    if split is None and found:
        split = found[0] if len(found) == 1 else DEFAULT_SPLIT
    if split in found:
        return root / str(split)
    if not found:
        raise DatasetError(f"{root} is no YouTube-VOS folder", MEANT)
    raise DatasetError(f"no split {split!r} in {root}", f"--split {' or '.join(found)}")


def _is_split(folder: Path) -> bool:
    return all((folder / part).exists() for part in PARTS)


def _read_meta(path: Path) -> dict[str, _Objects]:
    try:
        videos = json.loads(path.read_text(encoding="utf-8"))["videos"]
        return {name: dict(_read_objects(video["objects"])) for name, video in videos.items()}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise DatasetError(
            f"{path} is not understood: {error!r}",
            '{"videos": {NAME: {"objects": {ID: {"category": TEXT, "frames": [NAME]}}}}}',
        ) from error


def _read_objects(objects: Mapping[str, Any]) -> Iterator[tuple[int, tuple[str | None, Any]]]:
    for object_id, entry in objects.items():
        yield int(object_id), (entry.get("category"), tuple(map(str, entry.get("frames", ()))))


def _read_video(folder: Path, name: str, objects: _Objects) -> VideoSequence:
    frames, annotations = pair_masks(folder / "JPEGImages" / name, folder / "Annotations" / name)
    if not objects:
        raise DatasetError(f"{folder / 'meta.json'} names no object of {name}", "at least one")
    masked = {frames[index].stem for index in annotations}
    return VideoSequence(
        name,
        frames,
        annotations,
        PROTOCOL,
        # Only where every frame that is to be measured has a mask are the masks more than prompts.
        has_truth=all(listed and masked.issuperset(listed) for _, listed in objects.values()),
        categories={object_id: category for object_id, (category, _) in objects.items()},
    )
