"""The readers of the DAVIS layouts, and what they refuse."""

import shutil
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np
import pytest

from edge_vos.errors import DatasetError, EdgeVosError, UsageError
from edge_vos.evaluate.davis import read_davis
from edge_vos.evaluate.sequences import read_annotation, read_frame
from edge_vos.runtime.masks import write_palette_png


class MakeDavis(Protocol):
    def __call__(self, sequences: dict[str, int], **options: object) -> Path: ...


def _names(root: Path, protocol: str = "davis2016", *sequences: str) -> list[str]:
    return [s.name for s in read_davis(root, protocol, sequences or None).sequences]


def test_without_a_list_every_folder_is_a_sequence(make_davis: MakeDavis) -> None:
    root = make_davis({"swing": 4, "bus": 2})
    assert _names(root) == ["bus", "swing"]
    assert _names(root, "davis2016", "swing") == ["swing"]


@pytest.mark.parametrize(
    ("protocol", "lines"),
    [
        ("davis2016", "ImageSets/2016/val.txt"),
        ("davis2016", "ImageSets/480p/val.txt"),
        ("davis2017", "ImageSets/2017/val.txt"),
    ],
)
def test_the_validation_list_is_followed(make_davis: MakeDavis, protocol: str, lines: str) -> None:
    root = make_davis({"swing": 4, "bus": 2}, objects=2)
    (root / lines).parent.mkdir(parents=True)
    name = "/JPEGImages/480p/swing/0000{0}.jpg /Annotations/480p/swing/0000{0}.png"
    paths = "480p" in lines
    (root / lines).write_text("\n".join(name.format(i) if paths else "swing" for i in range(2)))
    assert _names(root, protocol) == ["swing"]
    assert _names(root, protocol, "bus") == ["bus"]


def test_a_split_is_named(make_davis: MakeDavis) -> None:
    root = make_davis({"swing": 4, "bus": 2}, val="ImageSets/2016/train.txt")
    (root / "ImageSets/2016/train.txt").write_text("bus\n")
    assert _names(root) == ["bus", "swing"]
    assert [s.name for s in read_davis(root, split="train").sequences] == ["bus"]
    with pytest.raises(DatasetError, match=r"'val' for davis2016.*one of train"):
        read_davis(root, split="val")
    with pytest.raises(DatasetError, match="every folder is a sequence"):
        read_davis(root, "davis2017", split="val")


def test_full_resolution_is_read_where_480p_is_absent(make_davis: MakeDavis) -> None:
    root = make_davis({"bus": 2}, resolution="Full-Resolution")
    (sequence,) = read_davis(root).sequences
    assert "Full-Resolution" in str(sequence.frames[0])


def test_the_first_and_the_last_annotated_frame_are_not_scored(make_davis: MakeDavis) -> None:
    root = make_davis({"bus": 2}, frames=6)
    assert read_davis(root).sequences[0].scored == (1, 2, 3, 4)
    for index in (2, 5):
        (root / f"Annotations/480p/bus/{index:05d}.png").unlink()
    (sequence,) = read_davis(root).sequences
    assert len(sequence.frames) == 6
    assert sequence.scored == (1, 3)


@pytest.mark.parametrize("mode", ["binary", "one bit", "palette", "colour"])
def test_davis2016_takes_whatever_is_not_zero(tmp_path: Path, mode: str) -> None:
    from PIL import Image

    mask = np.zeros((6, 8), np.uint8)
    mask[1:3, 2:5] = 1
    mask[4, 4] = 2
    path = tmp_path / "mask.png"
    if mode == "palette":
        write_palette_png(path, mask)
    elif mode == "one bit":
        Image.fromarray(mask > 0).save(path)
    else:
        colour = np.stack([np.zeros_like(mask), np.zeros_like(mask), (mask > 0) * 255], -1)
        cv2.imwrite(str(path), (mask > 0) * 255 if mode == "binary" else colour)
    assert (read_annotation(path, "davis2016") == (mask > 0)).all()


def test_davis2017_reads_ids_and_drops_the_void(tmp_path: Path) -> None:
    mask = np.zeros((6, 8), np.uint8)
    mask[1:3, 2:5], mask[4, 4], mask[0, 0] = 1, 3, 255
    write_palette_png(tmp_path / "mask.png", mask)
    mask[0, 0] = 0
    assert (read_annotation(tmp_path / "mask.png", "davis2017") == mask).all()


@pytest.mark.parametrize(("protocol", "objects"), [("davis2016", 1), ("davis2017", 0)])
def test_a_mask_of_0_and_255_is_an_object_or_void(
    tmp_path: Path, protocol: str, objects: int
) -> None:
    mask = np.zeros((6, 8), np.uint8)
    mask[1:3, 2:5] = 255
    write_palette_png(tmp_path / "mask.png", mask)
    assert read_annotation(tmp_path / "mask.png", protocol).max() == objects


def test_davis2017_refuses_colours_and_names_the_other_protocol(tmp_path: Path) -> None:
    picture = np.zeros((6, 8, 3), np.uint8)
    picture[2, 2] = 10, 20, 30
    cv2.imwrite(str(tmp_path / "mask.png"), picture)
    with pytest.raises(DatasetError, match="davis2016"):
        read_annotation(tmp_path / "mask.png", "davis2017")


def _empty_root(root: Path) -> None:
    shutil.rmtree(root)


def _no_annotations(root: Path) -> None:
    shutil.rmtree(root / "Annotations")


def _no_masks(root: Path) -> None:
    shutil.rmtree(root / "Annotations/480p/bus")


def _no_first_mask(root: Path) -> None:
    (root / "Annotations/480p/bus/00000.png").unlink()


def _no_frame(root: Path) -> None:
    (root / "JPEGImages/480p/bus/00002.jpg").unlink()


def _no_frames(root: Path) -> None:
    for path in (root / "JPEGImages/480p/bus").iterdir():
        path.unlink()


def _two_masks(root: Path) -> None:
    for index in (1, 2, 3):
        (root / f"Annotations/480p/bus/{index:05d}.png").unlink()


def _one_level_too_high(root: Path) -> None:
    (root / "inner").mkdir()
    for name in ("JPEGImages", "Annotations"):
        (root / name).rename(root / "inner" / name)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (_empty_root, "is not a folder"),
        (_no_annotations, "is no DAVIS folder.*Annotations/480p"),
        (_no_masks, "bus has no masks"),
        (_no_first_mask, r"00000\.jpg has no mask"),
        (_no_frame, r"00002\.png has no frame"),
        (_no_frames, "has no frame"),
        (_one_level_too_high, "inner looks like one"),
    ],
)
def test_a_broken_folder_is_refused(make_davis: MakeDavis, spoil: object, message: str) -> None:
    root = make_davis({"bus": 2})
    assert callable(spoil)
    spoil(root)
    with pytest.raises(DatasetError, match=message):
        read_davis(root)


def test_two_masks_give_no_score(make_davis: MakeDavis) -> None:
    root = make_davis({"bus": 2, "swing": 2})
    _two_masks(root)
    dataset = read_davis(root)
    assert dataset.unscored == ("bus",)
    with pytest.raises(DatasetError, match=r"bus in .* has nothing to score.*-o MASKS"):
        dataset.require_truth()


def test_a_folder_without_sequences_is_refused(tmp_path: Path) -> None:
    for name in ("JPEGImages", "Annotations"):
        (tmp_path / name / "480p").mkdir(parents=True)
    with pytest.raises(DatasetError, match="holds no sequence"):
        read_davis(tmp_path)


def test_an_unknown_sequence_is_refused_with_close_names(make_davis: MakeDavis) -> None:
    root = make_davis({"dance-jump": 2, "bus": 2})
    with pytest.raises(DatasetError, match=r"'dancejump'.*one of dance-jump"):
        read_davis(root, "davis2016", ["dancejump"])


def test_an_unknown_protocol_is_refused(make_davis: MakeDavis) -> None:
    with pytest.raises(UsageError, match="davis2016, davis2017"):
        read_davis(make_davis({"bus": 2}), "davis2018")


def test_damaged_pictures_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "00000.png"
    path.write_bytes(b"no picture")
    for read in (
        lambda: read_frame(path),
        lambda: read_annotation(path, "davis2016"),
        lambda: read_annotation(path, "davis2017"),
    ):
        with pytest.raises(EdgeVosError, match=r"00000\.png"):
            read()
