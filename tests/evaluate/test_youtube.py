"""YouTube-VOS: objects that enter later, seen and unseen categories, splits without truth."""

import json
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from edge_vos.errors import DatasetError
from edge_vos.evaluate.pictures import mask_folder
from edge_vos.evaluate.run import ScoredFrame, evaluate_dataset, read_dataset, score_trackers
from edge_vos.evaluate.youtube import SEEN, read_youtube_vos
from edge_vos.runtime.masks import read_labels, read_mask, write_palette_png
from edge_vos.runtime.model import LoadedModel
from edge_vos.runtime.segmenter import Segmenter

FRAMES, EVERY = 6, 5
SIZE = (64, 96)
COLOURS = np.array([[40, 40, 40], [0, 0, 230], [0, 230, 0]], np.uint8)
Mask = NDArray[np.uint8]


def _truth(index: int) -> Mask:
    """Object 1 stands still from the second frame on, object 2 moves from the third on."""
    mask = np.zeros(SIZE, np.uint8)
    if index >= 1:
        mask[0:16, 64:96] = 1
    if index >= 2:
        mask[32:64, 16 * (index - 2) : 16 * index] = 2
    return mask


def _write(root: Path, *, all_masks: bool = True) -> Path:
    names = [f"{EVERY * index:05d}" for index in range(FRAMES)]
    pictures, masks = root / "valid/JPEGImages/zebras", root / "valid/Annotations/zebras"
    for folder in (pictures, masks, root / "train"):
        folder.mkdir(parents=True)
    for index, name in enumerate(names):
        mask = _truth(index)
        cv2.imwrite(str(pictures / f"{name}.jpg"), COLOURS[mask])
        if all_masks:
            write_palette_png(masks / f"{name}.png", mask)
        elif index in (1, 2):  # as in the official split: where an object enters, and only that
            write_palette_png(
                masks / f"{name}.png", np.where(mask == index, mask, 0).astype(np.uint8)
            )
    objects = {
        "1": {"category": "dog", "frames": names[1:]},
        "2": {"category": "yeti", "frames": names[2:]},
    }
    _write_meta(root / "valid", {"zebras": {"objects": objects}})
    return root


def _write_meta(split: Path, videos: object) -> None:
    (split / "meta.json").write_text(json.dumps({"videos": videos}))


@dataclass
class Answer:
    mask: Mask


class Repeater:
    """Repeat every mask that it was given; note when that was."""

    def __init__(self) -> None:
        self.mask, self.steps = np.zeros(SIZE, np.uint8), 0
        self.prompts: list[tuple[int, set[int]]] = []

    def prompt(self, mask: Mask) -> None:
        self.mask[mask > 0] = mask[mask > 0]
        self.prompts.append((self.steps, set(np.unique(mask).tolist()) - {0}))

    def step(self, frame: NDArray[np.uint8]) -> Answer:
        self.steps += 1
        return Answer(self.mask.copy())


def test_objects_are_given_where_they_enter_and_scored_from_the_next_frame(tmp_path: Path) -> None:
    tracker, seen = Repeater(), list[ScoredFrame]()
    dataset = read_dataset(_write(tmp_path), "youtube-vos")
    report = score_trackers(dataset, lambda: tracker, observers=[seen.append])
    assert tracker.prompts == [(0, {1}), (1, {2})]  # the first frame is not stepped at all
    assert not seen[0].predicted.any()
    assert report.frames == FRAMES - 1
    one, two = report.sequences["zebras"].objects.values()
    assert (one.frames, one.j) == (3, 100)  # frames 2 to 4 of 0 to 5
    # 32 columns that have moved by 16, then by 32.
    assert (two.frames, two.j) == (2, pytest.approx(100 * (16 / 48 + 0) / 2))
    groups = report.seen_unseen
    assert groups is not None
    assert (groups.j_seen, groups.f_seen, groups.j_unseen) == (100, 100, two.j)
    assert groups.g == pytest.approx((200 + two.j + (two.f or 0)) / 4)
    assert report.as_dict().keys() >= {"g", "j_seen", "f_seen", "j_unseen", "f_unseen", "j_mean"}
    assert report.note is None


@pytest.mark.parametrize("all_masks", [True, False])
def test_the_segmenter_takes_what_enters_later(
    tmp_path: Path, tiny_model: LoadedModel, all_masks: bool
) -> None:
    dataset = read_youtube_vos(_write(tmp_path, all_masks=all_masks))
    with mask_folder(tmp_path / "masks") as write:
        report = score_trackers(dataset, lambda: Segmenter(tiny_model), observers=[write])
    masks = [read_mask(path) for path in sorted((tmp_path / "masks/zebras").iterdir())]
    assert [set(np.unique(mask).tolist()) for mask in masks[:3]] == [{0}, {0, 1}, {0, 1, 2}]
    assert len(masks) == FRAMES
    assert (report.j_mean is not None) == all_masks


def test_ids_above_the_models_channels_are_mapped_and_told(
    tmp_path: Path, tiny_model: LoadedModel
) -> None:
    root = _write(tmp_path)
    folder = root / "valid/Annotations/zebras"
    table = np.array([0, 200, 1], np.uint8)  # 200 enters first, and takes the lowest channel
    for path in folder.iterdir():
        write_palette_png(path, table[read_labels(path)])
    names = [f"{EVERY * index:05d}" for index in range(FRAMES)]
    objects = {"1": {"frames": names[2:]}, "200": {"frames": names[1:]}}
    _write_meta(root / "valid", {"zebras": {"objects": objects}})
    with mask_folder(tmp_path / "masks") as write:
        report = evaluate_dataset(read_youtube_vos(root), tiny_model, observers=[write])
    masks = [read_labels(path) for path in sorted((tmp_path / "masks/zebras").iterdir())]
    assert [set(np.unique(mask).tolist()) for mask in masks[:3]] == [{0}, {0, 200}, {0, 1, 200}]
    assert report.sequences["zebras"].objects.keys() == {1, 200}
    (told,) = report.as_dict()["assumed"]
    assert told.startswith("zebras: objects are followed by other numbers")
    assert "1 in channel 2, 200 in channel 1" in told
    with pytest.raises(DatasetError, match="zebras: the mask holds 2 objects"):
        score_trackers(read_youtube_vos(root), Repeater, channels=2)


def test_a_split_without_later_masks_gives_no_score(tmp_path: Path) -> None:
    dataset = read_youtube_vos(_write(tmp_path, all_masks=False))
    report = score_trackers(dataset, Repeater)
    assert {report.as_dict()[key] for key in ("g", "j_mean", "f_mean", "j_seen", "f_unseen")} == {
        None
    }
    assert report.note is not None
    assert "1 of 1 sequences have no masks" in report.note
    with pytest.raises(DatasetError, match=r"zebras .* nothing to score"):
        dataset.require_truth()


def test_seen_categories_are_those_of_the_training_split(tmp_path: Path) -> None:
    root = _write(tmp_path)
    assert read_youtube_vos(root).seen == SEEN
    assert len(SEEN) == 65
    _write_meta(root / "train", {"a": {"objects": {"1": {"category": "yeti", "frames": []}}}})
    report = score_trackers(read_youtube_vos(root), Repeater)
    assert report.seen_unseen is not None
    assert report.seen_unseen.j_unseen == 100


def test_g_needs_both_groups(tmp_path: Path) -> None:
    root = _write(tmp_path)
    meta = (root / "valid/meta.json").read_text()
    (root / "valid/meta.json").write_text(meta.replace("yeti", "dog"))
    report = score_trackers(read_youtube_vos(root), Repeater)
    assert report.seen_unseen is not None
    assert (report.seen_unseen.g, report.seen_unseen.j_unseen) == (None, None)
    assert report.note is not None
    assert "no G" in report.note


def test_a_split_is_found_or_named(tmp_path: Path) -> None:
    root = _write(tmp_path)
    for place, split in ((root, None), (root, "valid"), (root / "valid", None)):
        assert [s.name for s in read_youtube_vos(place, split=split).sequences] == ["zebras"]
    with pytest.raises(DatasetError, match=r"no split 'test'.*--split valid"):
        read_youtube_vos(root, split="test")
    with pytest.raises(DatasetError, match="no YouTube-VOS folder"):
        read_youtube_vos(root / "train")
    with pytest.raises(DatasetError, match=r"no sequence 'zebra'.*one of zebras"):
        read_youtube_vos(root, ["zebra"])


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{}", '{"videos": {"zebras": {}}}', '{"videos": {"a": {"objects": {"x": {}}}}}'],
)
def test_a_broken_meta_file_is_refused(tmp_path: Path, text: str) -> None:
    root = _write(tmp_path)
    (root / "valid/meta.json").write_text(text)
    with pytest.raises(DatasetError, match=r"meta\.json is not understood"):
        read_youtube_vos(root)
